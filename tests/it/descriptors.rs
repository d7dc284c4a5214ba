//! Descriptors: files are open while their bytes are sent, and at no other time; few are enough for a large shelf.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Blob, DockerArchive, Image, Layer, Layout, Naming, sha256};
use crate::packages::{Packages, many};
use crate::pull::{End, Had, LARGE, Pull, bytes, pull};
use crate::server::{Response, Server, Setup, binary};
use crate::serving::eventually;

/// What a program holds while it waits for work.
const AT_REST: [&str; 6] = [
    "socket:",
    "pipe:",
    "/dev/null",
    "anon_inode:[eventpoll]",
    "anon_inode:[eventfd]",
    // Which takes no hold of the folders that it watches.
    "anon_inode:inotify",
];

/// Where the server's descriptors lead.
fn open(server: &Server) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("descriptors");
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

/// What of `folder` the server has open or mapped, deleted files included.
fn held(server: &Server, folder: &Path) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("maps");
    let mapped = maps.lines().filter_map(|line| line.split_once('/'));
    let mapped = mapped.map(|(_, path)| format!("/{path}"));
    let folder = folder.to_str().expect("an ASCII path");
    let held = open(server).into_iter().chain(mapped);
    held.filter(|path| path.starts_with(folder)).collect()
}

fn layout(image: &Image, name: &str) -> Layout {
    Layout::new().named(image, &format!("docker.io/acme/{name}:1"))
}

/// An image with a layer that takes a while.
fn large() -> Image {
    Image::new("large").layers([Layer::raw(bytes(1, LARGE))])
}

#[test]
fn at_rest_nothing_is_open() {
    let docker = DockerArchive::new(Naming::Legacy).image(
        &Image::new("docker").layers([Layer::raw(bytes(2, 9999)).gzip()]),
        Some(&["acme/docker:1"]),
    );
    let packages = Packages::new()
        .with("tar.tar", layout(&Image::new("tar"), "tar").tar())
        .with("docker.tar", docker.tar())
        .with("text.txt", "no archive");
    packages.put_folder("folder", &layout(&Image::new("folder"), "folder").tree());
    packages.put_folder("unpacked", &docker.tree());
    for verify in ["on-demand", "background"] {
        let server = packages.serve(&["--verify", verify]);
        for name in ["tar", "docker", "folder"] {
            eventually("it is served", || {
                matches!(pull(&server, &format!("acme/{name}"), "1"), Had::Whole(_))
            });
        }
        eventually("nothing of the folder is open", || {
            held(&server, packages.path()).is_empty()
        });
        let at_rest = |target: &String| AT_REST.iter().any(|kind| target.starts_with(kind));
        eventually("it waits for work", || open(&server).iter().all(at_rest));
        let watches = open(&server);
        let watches = watches.iter().filter(|target| target.contains("inotify"));
        assert!(watches.count() <= 1);
    }
}

#[test]
fn a_file_is_open_while_it_is_sent() {
    let packages = Packages::new().with("large.tar", layout(&large(), "large").tar());
    let server = packages.serve(&[]);
    let blob = large().layers[0].blob();
    let begun = Pull::begin(&server, "acme/large", &blob);
    eventually("nothing but the transfer has it open", || {
        held(&server, packages.path()).len() == 1
    });
    assert_eq!(begun.end(), End::Whole);
    eventually("the file is closed", || {
        held(&server, packages.path()).is_empty()
    });
}

/// Its blocks are free as soon as nobody has it open or mapped.
#[test]
fn a_deleted_archive_gives_its_space_back() {
    let packages = Packages::new().with("large.tar", layout(&large(), "large").tar());
    packages.put_folder("folder", &layout(&Image::new("folder"), "folder").tree());
    let server = packages.serve(&[]);
    let blob = large().layers[0].blob();
    let begun = Pull::begin(&server, "acme/large", &blob);
    let left = Pull::begin(&server, "acme/large", &blob);
    assert!(matches!(pull(&server, "acme/folder", "1"), Had::Whole(_)));
    packages.remove("large.tar");
    packages.remove("folder");
    eventually("it is not served", || {
        pull(&server, "acme/large", "1") == Had::Nothing
    });
    let held = || held(&server, packages.path());
    assert!(
        held()
            .iter()
            .all(|path| path.ends_with("large.tar (deleted)"))
    );
    drop(left);
    assert_eq!(begun.end(), End::Whole);
    eventually("nobody holds it", || held().is_empty());
}

/// Started with so few descriptors, and not allowed to take more.
fn with_descriptors(count: usize, packages: &Packages) -> Setup {
    Setup::new()
        .program("sh")
        .args(["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")])
        .arg(binary())
        .args(["--packages"])
        .arg(packages.path())
}

#[test]
fn few_descriptors_are_shared_and_lose_nothing() {
    let packages = Packages::new();
    for number in 0..40 {
        let image = Image::new(&number.to_string());
        packages.put(
            &format!("{number}.tar"),
            layout(&image, &format!("app/{number}")).tar(),
        );
    }
    let server = with_descriptors(64, &packages)
        .args(["--refresh", "20ms"])
        .start();
    let idle: Vec<TcpStream> = (0..100)
        .map(|_| server.connect().expect("accepted"))
        .collect();
    packages.put("new.tar", layout(&Image::new("new"), "new").tar());
    server.wait_for_stderr("Changed: now 41 repositories");
    drop(idle);
    for name in ["app/0", "app/39", "new"] {
        assert!(matches!(
            pull(&server, &format!("acme/{name}"), "1"),
            Had::Whole(_)
        ));
    }
    assert_eq!(server.stderr().matches("Changed").count(), 1);
}

/// How many archives, and how many clients that each want a part of them.
const ARCHIVES: usize = 5000;
const CLIENTS: usize = 200;
/// So many others take their time and have a file open each.
const SLOW: usize = 80;
/// How long one that is told to ask again does so.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection on which many requests are made.
struct Client<'s> {
    server: &'s Server,
    stream: BufReader<TcpStream>,
}

impl<'s> Client<'s> {
    fn new(server: &'s Server) -> Self {
        let stream = BufReader::new(server.connect().expect("accepted"));
        Self { server, stream }
    }

    /// What lies at the path and has this digest. Whoever is told to ask again does so.
    fn get(&mut self, path: &str, digest: &str) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            self.stream
                .get_mut()
                .write_all(request.as_bytes())
                .expect("sent");
            let answer = Response::read(&mut self.stream, "GET")
                .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.server.stderr()));
            if answer.status == 200 {
                assert_eq!(sha256(&answer.body), digest, "{path}");
                return;
            }
            assert_eq!(answer.status, 429, "{path}: {}", answer.text());
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{path}: refused for {PATIENCE:?}");
    }
}

#[test]
fn a_large_shelf_needs_few_descriptors() {
    let packages = Packages::new().with("large.tar", layout(&large(), "large").tar());
    let shelf = many(packages.path(), ARCHIVES);
    let server = with_descriptors(256, &packages).start();
    let blob = large().layers[0].blob();
    let slow: Vec<Pull> = (0..SLOW)
        .map(|_| Pull::begin(&server, "acme/large", &blob))
        .collect();
    thread::scope(|scope| {
        for first in 0..CLIENTS {
            let (server, shelf) = (&server, &shelf);
            scope.spawn(move || {
                let mut client = Client::new(server);
                for (number, blobs) in shelf.iter().enumerate().skip(first).step_by(CLIENTS) {
                    for Blob { digest, .. } in blobs {
                        let path = format!("/v2/acme/app/{number}/blobs/{digest}");
                        client.get(&path, digest);
                    }
                }
            });
        }
    });
    for pull in slow {
        assert_eq!(pull.end(), End::Whole);
    }
    eventually("nothing of the folder is open", || {
        held(&server, packages.path()).is_empty()
    });
    assert!(!server.stderr().contains("error: "), "{}", server.stderr());
}
