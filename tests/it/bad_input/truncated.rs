//! Archives that were cut off: whatever part of one is there, nothing wrong is said about it.

use std::collections::BTreeSet;

use super::*;
use crate::fixture::{Dialect, Order, sha512};

/// How many bytes of a whole archive are there, whether all members are, and whether a header could begin there.
struct Cut {
    length: usize,
    is_whole: bool,
    is_between: bool,
}

/// A cut at every block, and within the last member byte by byte at its ends.
fn cuts(bytes: &[u8]) -> Vec<Cut> {
    let ends = ends(bytes);
    let (last, _) = *ends.last().expect("members");
    let blocks = (0..bytes.len()).step_by(512);
    let around = [last - 1, last - 511, last - 512, last + 1, last + 511];
    let lengths: BTreeSet<usize> = blocks.chain(around).collect();
    let (end, data_end) = *ends.last().expect("members");
    let cut = |length| Cut {
        length,
        // Within the first block of the trailer it could be a header that was cut.
        is_whole: (data_end..=end).contains(&length) || length >= end + 512,
        is_between: ends
            .iter()
            .any(|(end, data)| (*data..=*end).contains(&length)),
    };
    lengths
        .into_iter()
        .filter(|length| *length < bytes.len())
        .map(cut)
        .collect()
}

/// Where the blocks of each member end, and where its last byte does.
fn ends(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut archive = ::tar::Archive::new(bytes);
    let entries = archive.entries().expect("a tar").map(|entry| {
        let entry = entry.expect("a member");
        let at = entry.raw_file_position() + entry.size();
        let at = usize::try_from(at).expect("small");
        (at.next_multiple_of(512), at)
    });
    entries.collect()
}

/// One folder with all the cuts of one archive, listed once.
fn check_cuts(what: &str, bytes: &[u8]) {
    let shelf = Shelf::new();
    let cuts = cuts(bytes);
    let name = |cut: &Cut| format!("cut-{:06}.tar", cut.length);
    for cut in &cuts {
        fs::write(shelf.path().join(name(cut)), &bytes[..cut.length]).expect("a file");
    }
    fs::write(shelf.path().join("whole.tar"), bytes).expect("a file");
    let (lines, list) = shelf.list();
    let whole = images(&list, "whole.tar");
    assert!(whole > 0, "{what}");
    assert!(
        cuts.iter().filter(|cut| cut.is_whole).count() >= 2,
        "{what}"
    );
    for cut in &cuts {
        let name = name(cut);
        let about: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains(&format!("/{name}: ")))
            .collect();
        let found = images(&list, &name);
        if cut.is_whole {
            assert_eq!(found, whole, "{what} {name}: {about:?}");
        } else if !cut.is_between {
            assert_eq!(found, 0, "{what} {name}");
            let says = if cut.length == 0 {
                "the file is empty"
            } else {
                "the archive is incomplete"
            };
            let says = if (1..512).contains(&cut.length) {
                "it is not a tar archive"
            } else {
                says
            };
            assert!(
                about.len() == 1 && about[0].contains(says),
                "{what} {name}: {about:?}"
            );
        } else {
            check_alone(what, &bytes[..cut.length]);
        }
    }
    check_answers(what, bytes, &shelf);
}

/// Without a trailer this could be all there ever was: either the image is whole, or what it lacks is told.
fn check_alone(what: &str, bytes: &[u8]) {
    let shelf = Shelf::new().with("bad.tar", bytes);
    let (lines, list) = shelf.list();
    if lines.is_empty() {
        assert_eq!(images(&list, "bad.tar"), 1, "{what} {}", bytes.len());
        let server = shelf.serve();
        let manifest = server.get("/v2/acme/bad/manifests/1").json();
        let layers = manifest["layers"].as_array().expect("layers").iter();
        for entry in layers.chain([&manifest["config"]]) {
            let digest = entry["digest"].as_str().expect("a digest");
            let body = get_blob(&server, BAD, digest).body;
            assert!(
                [sha256(&body), sha512(&body)].contains(&digest.to_owned()),
                "{what}: {digest}"
            );
        }
    } else {
        assert!(
            lines.iter().all(|line| line.contains("/bad.tar: ")),
            "{what}: {lines:?}"
        );
    }
}

/// Every archive but the whole one away: what the cut ones give is right or not there.
fn check_answers(what: &str, bytes: &[u8], shelf: &Shelf) {
    fs::remove_file(shelf.path().join("whole.tar")).expect("it is there");
    let server = shelf.serve();
    shelf.check_good(&server);
    for (_, data) in members(bytes) {
        let answer = get_blob(&server, BAD, &sha256(&data));
        assert!(
            answer.status == 404 || answer.body == data,
            "{what}: {}",
            answer.text()
        );
    }
}

fn images(list: &Value, name: &str) -> u64 {
    let archives = list["archives"].as_array().expect("archives");
    let path = |archive: &&Value| {
        archive["path"]
            .as_str()
            .is_some_and(|path| path.ends_with(&format!("/{name}")))
    };
    let archive = archives.iter().find(path);
    archive.map_or(0, |archive| archive["images"].as_u64().expect("a number"))
}

fn two_layers() -> Image {
    Image::new("bad").layers([
        Layer::files(&[("a", &[b'a'; 700]), ("b", b"b")]),
        Layer::files(&[("c", b"c")]).gzip(),
    ])
}

#[test]
fn layouts() {
    let tree = Layout::new().named(&two_layers(), BAD_NAME).tree();
    check_cuts("sorted", &tree.tar(&Packing::SORTED));
    check_cuts(
        "index first",
        &tree.tar(&Packing {
            order: Order::MarkersFirst,
            ..Packing::default()
        }),
    );
    check_cuts(
        "pax",
        &tree.tar(&Packing {
            dialect: Dialect::Pax,
            ..Packing::SORTED
        }),
    );
    let long = Image::new("bad").algorithm(crate::fixture::Algorithm::Sha512);
    let tree = Layout::new().named(&long, BAD_NAME).tree();
    check_cuts(
        "long names",
        &tree.tar(&Packing {
            dialect: Dialect::Gnu,
            ..Packing::SORTED
        }),
    );
}

#[test]
fn docker_archives() {
    for naming in [
        Naming::Docker20,
        Naming::Skopeo,
        Naming::Crane,
        Naming::Hybrid,
    ] {
        let image = match naming {
            Naming::Crane => Image::new("bad").layers([Layer::files(&[("a", b"a")]).gzip()]),
            _ => Image::new("bad"),
        };
        let docker = DockerArchive::new(naming).image(&image, Some(&["acme/bad:1"]));
        check_cuts(&format!("{naming:?}"), &docker.tar());
    }
}

/// A half-copied archive becomes whole while the server runs.
#[test]
fn a_copy_that_goes_on() {
    let (image, tree) = bad();
    let bytes = tar(&tree);
    let shelf = Shelf::new().with("bad.tar", &bytes[..1000]);
    let server = crate::server::Setup::new()
        .args(["--refresh", "50ms", "--packages"])
        .arg(shelf.path())
        .start();
    server.wait_for_stderr("bad.tar: the archive is incomplete: a member ends at byte");
    assert_eq!(server.get("/v2/acme/bad/manifests/1").status, 404);
    fs::write(shelf.path().join("bad.tar"), &bytes).expect("a file");
    server.wait_for_stderr("Changed: now 2 repositories");
    check_image(&server, BAD, &image);
}
