//! No complete answer to a digest has wrong bytes: layers are hashed while they are sent for the first time.

use std::fs;
use std::thread;

use crate::conformance::digest_of;
use crate::fixture::{Image, Layer, Layout, Tree, blob_path};
use crate::packages::{Packages, tar};
use crate::server::{Response, Server};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
/// The end that is held back.
const HELD_BACK: usize = 64 << 10;

/// Bytes that nothing else has.
fn bytes(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes())
        .take(length)
        .collect()
}

/// An image with one layer of this length.
fn image(length: usize) -> Image {
    Image::new("app").layers([Layer::raw(bytes(length))])
}

fn layout(image: &Image) -> Tree {
    Layout::new().named(image, APP).tree()
}

/// The path of the image's layer inside an archive, and of its blob at the server.
fn layer(image: &Image) -> (String, String) {
    let digest = &image.layer_descriptors()[0].digest;
    (blob_path(digest), format!("/v2/acme/app/blobs/{digest}"))
}

/// The archive with one bit of its layer flipped at `place`.
fn flipped(image: &Image, place: usize) -> Tree {
    let (member, _) = layer(image);
    let mut bytes = layout(image).content(&member).to_vec();
    bytes[place] ^= 1;
    layout(image).replace(&member, bytes)
}

/// The bytes that came of an answer that was cut short.
fn cut(server: &Server, path: &str, headers: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let came = server.raw(request.as_bytes());
    let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") else {
        // The reset that ends a connection may take along what had come.
        assert!(came.is_empty());
        return came;
    };
    let (head, body) = came.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).expect("a length");
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    assert!(body.len() < length, "it is complete");
    body.to_vec()
}

fn assert_whole(answer: &Response, image: &Image) {
    let digest = &image.layer_descriptors()[0].digest;
    assert_eq!(answer.status, 200);
    assert_eq!(&digest_of(&answer.body), digest);
}

#[test]
fn a_flipped_bit_is_cut_off_and_the_other_copy_is_served() {
    let image = image(2_000_000);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("a.tar", tar(&flipped(&image, 1_999_999)));
    packages.put("b.tar", tar(&layout(&image)));
    let server = packages.serve(&[]);

    let came = cut(&server, &path, "");
    assert!(came.len() <= 2_000_000 - HELD_BACK);
    let log = server.wait_for_stderr("are not those of sha256:");
    assert!(log.contains("error: "), "{log}");
    assert!(
        log.contains("a.tar: the blob that begins at byte "),
        "{log}"
    );
    assert!(log.contains("copy the archive again"), "{log}");
    server.wait_for_stderr(" cut short ");
    for _ in 0..3 {
        assert_whole(&server.get(&path), &image);
    }
    assert_eq!(server.stderr().matches("are not those of").count(), 1);
}

#[test]
fn what_no_archive_has_right_is_not_there() {
    // The flipped bit lies before what is held back, so some of it was sent.
    for (length, place) in [(2_000_000, 0), (HELD_BACK + 1, 0), (HELD_BACK, 9), (1, 0)] {
        let image = image(length);
        let (_, path) = layer(&image);
        let packages = Packages::new().with("a.tar", tar(&flipped(&image, place)));
        let server = packages.serve(&[]);
        if length > HELD_BACK {
            let came = cut(&server, &path, "");
            assert!(came.len() <= length - HELD_BACK);
        } else {
            assert_eq!(server.get(&path).status, 404);
        }
        server.wait_for_stderr("are not those of sha256:");
        let again = server.get(&path);
        assert_eq!(again.status, 404, "{}", again.text());
        assert!(
            !server.stderr().contains("Not here"),
            "it is here, and damaged"
        );
        assert_eq!(again.json()["errors"][0]["code"], "BLOB_UNKNOWN");
        assert_eq!(server.head(&path).status, 404);
        let heads = |log: String| {
            let lines = log.lines().filter(|line| line.contains("\"HEAD "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let told = heads(server.wait_for_stderr("\"HEAD "));
        assert!(
            told.iter().all(|line| !line.contains("cut short")),
            "{told:?}"
        );

        // Put right, it is served.
        packages.put("a.tar", tar(&layout(&image)));
        eventually("the whole archive is served", || {
            server.get(&path).status == 200
        });
        assert_whole(&server.get(&path), &image);
    }
}

/// A blob that is short is hashed before the answer begins: the first request has the right copy.
#[test]
fn a_short_one_is_right_at_once() {
    let image = image(50_000);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("c.tar", tar(&layout(&image)));
    packages.put("a.tar", tar(&flipped(&image, 1)));
    packages.put("b.tar", tar(&flipped(&image, 2)));
    let server = packages.serve(&[]);
    assert_whole(&server.get(&path), &image);
    server.wait_for_stderr("b.tar: the blob that begins at byte ");
    assert!(!server.stderr().contains("cut short"));
}

/// A file of a folder is hashed likewise.
#[test]
fn folders_are_no_different() {
    let image = image(300_000);
    let (member, path) = layer(&image);
    let packages = Packages::new();
    packages.put_folder("app", &flipped(&image, 7));
    let server = packages.serve(&[]);
    cut(&server, &path, "");
    let log = server.wait_for_stderr("are not those of sha256:");
    assert!(
        log.contains(&format!("app/{member}: the file is damaged: ")),
        "{log}"
    );
}

/// Who asks for all of it in another way gets no more of it.
#[test]
fn ranges_that_make_up_the_whole_are_the_whole() {
    for range in ["bytes=0-", "bytes=-300000", "bytes=0-99999,100000-299999"] {
        let image = image(300_000);
        let (_, path) = layer(&image);
        let packages = Packages::new().with("a.tar", tar(&flipped(&image, 5)));
        let server = packages.serve(&[]);
        let came = cut(&server, &path, &format!("Range: {range}\r\n"));
        assert!(came.len() <= 300_000 - HELD_BACK, "{range}");
    }
}

/// Part of a blob is sent on the claim, and has it hashed.
#[test]
fn a_part_is_sent_and_the_whole_is_hashed() {
    let image = image(300_000);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("a.tar", tar(&flipped(&image, 5)));
    let server = packages.serve(&[]);
    let part = server.request("GET", &path, &[("Range", "bytes=100000-200000")]);
    assert_eq!(part.status, 206);
    assert_eq!(part.body, bytes(300_000)[100_000..=200_000]);
    server.wait_for_stderr("are not those of sha256:");
    let again = server.request("GET", &path, &[("Range", "bytes=100000-200000")]);
    assert_eq!(again.status, 404);
}

#[test]
fn in_the_background_nobody_has_to_ask() {
    let image = image(300_000);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("a.tar", tar(&flipped(&image, 5)));
    packages.put("b.tar", tar(&layout(&image)));
    let server = packages.serve(&["--verify", "background"]);
    server.wait_for_stderr("are not those of sha256:");
    assert_whole(&server.get(&path), &image);
}

#[test]
fn turned_off_it_is_left_to_clients() {
    let image = image(300_000);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("a.tar", tar(&flipped(&image, 5)));
    let server = packages.serve(&["--verify", "off"]);
    let answer = server.get(&path);
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    assert!(!server.stderr().contains("are not those of"));
}

/// How many bytes the server has read so far, cached or not.
fn bytes_read(server: &Server) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("its counters");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.expect("a counter").parse().expect("a number")
}

/// Counted, not timed: beside what is sent, it is read once.
#[test]
fn many_clients_have_it_hashed_once() {
    const LENGTH: usize = 4_000_000;
    let image = image(LENGTH);
    let (_, path) = layer(&image);
    let packages = Packages::new().with("a.tar", tar(&layout(&image)));
    let server = packages.serve(&[]);
    for clients in [16, 16] {
        let before = bytes_read(&server);
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| assert_whole(&server.get(&path), &image));
            }
        });
        let beside = bytes_read(&server) - before - clients * LENGTH;
        let times = (beside + LENGTH / 2) / LENGTH;
        let is_first = before < LENGTH;
        assert_eq!(times, usize::from(is_first), "{beside} bytes beside");
    }
}
