//! Changes that nobody tells: of a file system that a program makes, and of one that the kernel may not watch. They are
//! found by looking.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::disk::Disk;
use crate::fixture::{Image, Layer, Layout, Node as _};
use crate::needs::skip;
use crate::packages::Packages;
use crate::pull::{End, Had, LARGE, Pull, bytes, pull};
use crate::remembering::age;
use crate::server::{Server, Setup, binary};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
/// The line that says that there will be looking.
const LOOKING: &str = "warning: not all folders can be watched for changes";
/// What a server does before it starts: the limit of the name `$1` becomes `$2` for it.
const LIMIT: &str = r#"
set -e
echo "$2" >"/proc/sys/user/$1"
shift 2
exec "$@"
"#;

/// An image with a large layer.
fn image(seed: u64) -> Image {
    Image::new(&seed.to_string()).layers([Layer::raw(bytes(seed, LARGE))])
}

fn archive(image: &Image) -> Vec<u8> {
    Layout::new().named(image, APP).tar()
}

/// A small image in a repository of this name, and its archive.
fn small(name: &str) -> (Image, Vec<u8>) {
    let image = Image::new(name);
    let name = format!("docker.io/acme/{name}:1");
    let bytes = Layout::new().named(&image, &name).tar();
    (image, bytes)
}

fn serve(disk: &Disk) -> Server {
    Setup::new()
        .args(["--refresh", "100ms", "--packages"])
        .arg(disk.path())
        .start()
}

fn pulled(server: &Server) -> Had {
    pull(server, "acme/app", "1")
}

fn whole(image: &Image) -> Had {
    Had::Whole(image.digest())
}

/// Waits until `image` is served under the name of the small one.
fn wait_for_small(server: &Server, name: &str) {
    let expected = whole(&small(name).0);
    let path = format!("acme/{name}");
    eventually(name, || pull(server, &path, "1") == expected);
}

#[test]
fn what_changes_behind_a_file_system_without_events_is_found() {
    let packages = Packages::new().with("app.tar", archive(&image(1)));
    let Some(disk) = Disk::of(packages.path()) else {
        return;
    };
    let server = serve(&disk);
    assert_eq!(pulled(&server), whole(&image(1)));
    let begin = |seed| {
        let layer = image(seed).layers[0].blob();
        Pull::begin(&server, "acme/app", &layer).read(LARGE / 4)
    };
    // Another file takes the name, and a new one comes.
    let first = begin(1);
    packages.put("app.tar", archive(&image(2)));
    packages.put("new.tar", small("new").1);
    eventually("the other one is served", || {
        pulled(&server) == whole(&image(2))
    });
    wait_for_small(&server, "new");
    assert_eq!(first.end(), End::Whole, "it was open");
    // The file itself is written to.
    let second = begin(2);
    fs::write(packages.path().join("app.tar"), archive(&image(3))).expect("a file");
    assert_eq!(second.end(), End::Cut);
    eventually("what was written is served", || {
        pulled(&server) == whole(&image(3))
    });
    packages.remove("new.tar");
    eventually("what was removed is gone", || {
        pull(&server, "acme/new", "1") == Had::Nothing
    });
    assert_eq!(pulled(&server), whole(&image(3)));
    assert!(!server.stderr().contains("error: "));
}

/// What stays the same is not opened, however often it is looked at.
#[test]
fn looking_opens_nothing_that_is_known() {
    let packages = Packages::new().with("app.tar", small("app").1);
    let Some(disk) = Disk::of(packages.path()) else {
        return;
    };
    let server = serve(&disk);
    assert_eq!(pulled(&server), whole(&small("app").0));
    let before = (disk.opened("app.tar"), disk.read("app.tar"));
    packages.put("new.tar", small("new").1);
    server.wait_for_stderr("from 2 archives");
    assert_eq!((disk.opened("app.tar"), disk.read("app.tar")), before);
    assert!(disk.opened("new.tar") > 0, "the disk is asked");
}

/// As those of vfat are. A request that comes meanwhile is told to come again, and nothing is found to be wrong.
#[test]
fn numbers_of_files_need_not_outlive_a_mount() {
    let packages = Packages::new().with("app.tar", archive(&image(1)));
    packages.put("small.tar", small("small").1);
    let Some(mut disk) = Disk::of(packages.path()) else {
        return;
    };
    let server = serve(&disk);
    assert_eq!(pulled(&server), whole(&image(1)));
    for _ in 0..2 {
        disk.unmount();
        disk.mount();
        eventually("it is served as before", || {
            let had = pulled(&server);
            assert!(matches!(had, Had::Whole(_) | Had::Later), "{had:?}");
            had == whole(&image(1))
        });
        wait_for_small(&server, "small");
        let log = server.stderr();
        assert!(!log.contains("app.tar"), "{log}");
        assert!(!log.contains("small.tar"), "{log}");
    }
}

/// Nor outlive a look at them: some file systems make them up whenever they are asked.
#[test]
fn numbers_of_files_need_not_last_at_all() {
    let packages = Packages::new().with("app.tar", archive(&image(1)));
    let Some(disk) = Disk::of(packages.path()) else {
        return;
    };
    disk.renumber();
    let server = serve(&disk);
    for _ in 0..3 {
        assert_eq!(pulled(&server), whole(&image(1)));
    }
    packages.put("new.tar", small("new").1);
    wait_for_small(&server, "new");
    assert_eq!(pulled(&server), whole(&image(1)));
    server.wait_for_stderr("Changed: ");
    assert_eq!(server.stderr().matches("Changed: ").count(), 1);
}

/// The kernel watches only so much for one user. In a namespace of its own a server gets less than it needs.
#[test]
fn what_cannot_be_watched_is_looked_at() {
    let often = ["--refresh", "100ms"];
    thread::scope(|scope| {
        // By itself it looks every ten seconds.
        scope.spawn(|| check_looking("max_inotify_instances", "0", &[]));
        scope.spawn(|| check_looking("max_inotify_watches", "0", &often));
        scope.spawn(|| check_looking("max_inotify_watches", "3", &often));
    });
}

/// A server with these options, which has no more than this, says that it looks, and finds what changes.
fn check_looking(limit: &str, number: &str, options: &[&str]) {
    let packages = Packages::new().with("app.tar", archive(&image(1)));
    for folder in ["a", "b", "c", "d"] {
        packages.put(&format!("{folder}/first.tar"), small(folder).1);
    }
    let Some(setup) = limited(limit, number) else {
        return;
    };
    let server = setup
        .args(options)
        .arg("--packages")
        .arg(packages.path())
        .start();
    let layer = image(1).layers[0].blob();
    let begun = Pull::begin(&server, "acme/app", &layer).read(LARGE / 4);
    packages.put("app.tar", archive(&image(2)));
    for folder in ["a", "b", "c", "d"] {
        let name = format!("new-{folder}");
        packages.put(&format!("{folder}/new.tar"), small(&name).1);
        packages.remove(&format!("{folder}/first.tar"));
    }
    server.wait_for_stderr("Changed: ");
    eventually("the other one is served", || {
        pulled(&server) == whole(&image(2))
    });
    for folder in ["a", "b", "c", "d"] {
        wait_for_small(&server, &format!("new-{folder}"));
        let gone = pull(&server, &format!("acme/{folder}"), "1");
        assert_eq!(gone, Had::Nothing);
    }
    assert_eq!(begun.end(), End::Whole);
    let log = server.stderr();
    assert_eq!(log.matches(LOOKING).count(), 1, "{limit} {number}: {log}");
}

/// How a server is to be started that has no more than this. `None` where that cannot be.
fn limited(limit: &str, number: &str) -> Option<Setup> {
    let options = ["--user", "--map-root-user", "sh", "-c", LIMIT, "sh"];
    let mut tried = Command::new("unshare");
    let tried = tried.args(options).args([limit, number, "true"]).output();
    if !tried.is_ok_and(|done| done.status.success()) {
        skip("unshare, and a user namespace");
        return None;
    }
    let setup = Setup::new().program("unshare").args(options);
    Some(setup.args([limit, number]).arg(binary()))
}

/// Where everything is told, nothing is said of looking.
#[test]
fn what_can_be_watched_is_not_complained_of() {
    let packages = Packages::new().with("app.tar", small("app").1);
    let server = Setup::new().arg("--packages").arg(packages.path()).start();
    packages.put("new.tar", small("new").1);
    wait_for_small(&server, "new");
    let log = server.stderr();
    assert!(!log.contains("warning: "), "{log}");
}

fn remembering(disk: &Disk, cache: &Path) -> Server {
    Setup::new()
        .env("PACKAGEORIGIN_NO_CACHE", "")
        .args([Path::new("--packages"), disk.path()])
        .args([Path::new("--cache"), cache])
        .start()
}

/// A server with a cache is started, and clients pull the layer of `image`; how often the disk had to give it for that.
fn read_for_a_pull(disk: &Disk, cache: &Path, image: &Image) -> u64 {
    let server = remembering(disk, cache);
    let before = disk.read("app.tar");
    let layer = image.layers[0].blob();
    let end = Pull::begin(&server, "acme/app", &layer).end();
    assert_eq!(end, End::Whole);
    let read = disk.read("app.tar") - before;
    assert!(server.stop().success());
    assert_eq!(read % LARGE as u64, 0);
    read / LARGE as u64
}

/// Puts `bytes` there as an archive that says it is of this time, and waits until it has been there for a while.
fn put_old(packages: &Packages, bytes: &[u8], time: SystemTime) {
    packages.put("app.tar", bytes);
    let path = packages.path().join("app.tar");
    let file = File::options().write(true).open(&path).expect("a file");
    file.set_modified(time).expect("a time");
    age(&path);
}

/// What was hashed is known again by the path, the length, the time and the documents of a file, though its number is
/// another one by now. Another image in a file of the same path, length and time is hashed.
#[test]
fn what_was_hashed_is_remembered_over_a_mount() {
    let cache = tempfile::tempdir().expect("a folder");
    let (packages, time) = (
        Packages::new(),
        SystemTime::now() - Duration::from_secs(3600),
    );
    put_old(&packages, &archive(&image(1)), time);
    let Some(mut disk) = Disk::of(packages.path()) else {
        return;
    };
    let read = |disk: &Disk, seed| read_for_a_pull(disk, cache.path(), &image(seed));
    assert_eq!(read(&disk, 1), 2, "it is sent, and hashed");
    disk.unmount();
    disk.mount();
    assert_eq!(read(&disk, 1), 1, "it is sent");
    disk.unmount();
    let other = archive(&image(2));
    assert_eq!(other.len(), archive(&image(1)).len());
    put_old(&packages, &other, time);
    disk.mount();
    assert_eq!(read(&disk, 2), 2, "it is another one");
    assert_eq!(read(&disk, 2), 1, "now it is known as well");
}

/// One bit of the same image is another one, in a file of the same path, length and time: only the time of its change
/// tells. Whatever is remembered, nobody gets that bit.
#[test]
fn what_was_hashed_is_not_believed_of_a_file_that_was_changed() {
    let cache = tempfile::tempdir().expect("a folder");
    let (packages, time) = (
        Packages::new(),
        SystemTime::now() - Duration::from_secs(3600),
    );
    let mut archive = archive(&image(1));
    put_old(&packages, &archive, time);
    let Some(mut disk) = Disk::of(packages.path()) else {
        return;
    };
    assert_eq!(read_for_a_pull(&disk, cache.path(), &image(1)), 2);
    disk.unmount();
    let middle = archive.len() / 2;
    archive[middle] ^= 1;
    put_old(&packages, &archive, time);
    disk.mount();
    let server = remembering(&disk, cache.path());
    let layer = image(1).layers[0].blob();
    assert_eq!(Pull::begin(&server, "acme/app", &layer).end(), End::Cut);
}
