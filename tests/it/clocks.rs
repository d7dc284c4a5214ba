//! Clocks that are wrong, clocks that are set while the server runs, and files that say they are of another time: none of
//! it decides what is served.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::fixture::{Image, Layer, Layout, Node as _};
use crate::listing::Listing;
use crate::needs::{needs, skip};
use crate::packages::Packages;
use crate::pull::{End, Had, LARGE, Pull, bytes, pull};
use crate::server::{Server, Setup, binary};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";

/// An image with a large layer.
fn image(seed: u64) -> Image {
    let large = Layer::raw(bytes(seed, LARGE));
    Image::new(&seed.to_string()).layers([large])
}

fn archive(image: &Image) -> Vec<u8> {
    Layout::new().named(image, APP).tar()
}

/// A clock that one server goes by. The machine's is left alone.
struct Clock {
    library: PathBuf,
    folder: TempDir,
}

impl Clock {
    /// `None` where there is no libfaketime: then one line says that the test is skipped.
    fn new() -> Option<Self> {
        // The program is not used; the library is in the same package.
        let library = needs(&["faketime"]).then(library)?;
        if library.is_none() {
            skip("the library of faketime");
        }
        let folder = tempfile::tempdir().expect("a folder");
        library.map(|library| Self { library, folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// Sets it to the beginning of this day, give or take the time that the server has been running.
    fn set(&self, day: &str) {
        let unfinished = self.folder.path().join("unfinished");
        fs::write(&unfinished, format!("@{day} 00:00:00\n")).expect("a file");
        fs::rename(unfinished, self.file()).expect("a new name");
    }

    /// How a server is to be started that goes by this clock.
    fn setup(&self) -> Setup {
        Setup::new()
            .env("LD_PRELOAD", &self.library)
            .env("TZ", "UTC")
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            // That clock cannot be set on any machine, and what files say is not for the library to change.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}

fn library() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut places = architectures.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    places.find(|place| place.is_file())
}

/// The year that the server thinks it is, by the line that it logs of a request.
fn year(server: &Server) -> String {
    let mark = format!("?{:?}", SystemTime::now()).replace(' ', "");
    server.get(&format!("/v2/{mark}"));
    let log = server.wait_for_stderr(&mark);
    let line = log.lines().find(|line| line.contains(&mark));
    let (year, _) = line.expect("just seen").split_once('-').expect("a date");
    year.to_owned()
}

/// A pull stands in the middle while `change` happens, and ends right. Then the folder changes, and everybody has what is
/// there.
fn check_that_all_is_well(server: &Server, packages: &Packages, seed: u64, change: impl FnOnce()) {
    let now = image(seed);
    let begun = Pull::begin(server, "acme/app", &now.layers[0].blob()).read(LARGE / 4);
    change();
    assert_eq!(begun.end(), End::Whole);
    let pulled = || pull(server, "acme/app", "1");
    assert_eq!(pulled(), Had::Whole(now.digest()));
    let next = image(seed + 1);
    packages.put("app.tar", archive(&next));
    let expected = Had::Whole(next.digest());
    eventually("the new version is served", || pulled() == expected);
}

fn end(server: Server) {
    let log = server.stderr();
    assert!(!log.contains("panicked"), "{log}");
    assert!(server.stop().success());
}

/// A machine whose clock has no battery: its files are of a future that is far away.
#[test]
fn a_machine_may_start_in_1970() {
    let Some(clock) = Clock::new() else {
        return;
    };
    clock.set("1970-01-01");
    let packages = Packages::new().with("app.tar", archive(&image(0)));
    let server = clock.setup();
    let server = server
        .args(["--refresh", "20ms", "--packages"])
        .arg(packages.path())
        .start();
    let date = server.get("/v2/").header("date").map(str::to_owned);
    let date = date.expect("a date");
    assert!(date.starts_with("Thu, 01 Jan 1970 00:"), "{date}");
    assert_eq!(year(&server), "1970");
    check_that_all_is_well(&server, &packages, 0, || ());
    packages.remove("app.tar");
    eventually("it is gone", || {
        pull(&server, "acme/app", "1") == Had::Nothing
    });
    end(server);
}

/// The same where the machine has been running for a second only: nothing was ten seconds ago.
#[test]
fn a_machine_may_have_started_just_now() {
    let Some(clock) = Clock::new() else {
        return;
    };
    if !can_start_anew() {
        skip("unshare, and a namespace of its own for its clocks");
        return;
    }
    clock.set("1970-01-01");
    let packages = Packages::new().with("app.tar", archive(&image(0)));
    let server = clock
        .setup()
        .program("unshare")
        .args(since_boot())
        .arg(binary())
        .args(["--refresh", "20ms", "--packages"])
        .arg(packages.path())
        .start();
    let offsets = fs::read_to_string(format!("/proc/{}/timens_offsets", server.pid()));
    let offsets = offsets.expect("how its clocks differ");
    let mut words = offsets.split_whitespace();
    assert_eq!(words.next(), Some("monotonic"));
    assert!(words.next().is_some_and(|offset| offset.starts_with('-')));
    check_that_all_is_well(&server, &packages, 0, || ());
    end(server);
}

/// What `unshare` takes so that a program finds a machine that was started a second ago.
fn since_boot() -> [String; 3] {
    let running = fs::read_to_string("/proc/uptime").expect("a number");
    let (seconds, _) = running.split_once('.').expect("a point");
    let ago = seconds.parse::<u64>().expect("a number").saturating_sub(1);
    [
        "--time".to_owned(),
        format!("--monotonic=-{ago}"),
        format!("--boottime=-{ago}"),
    ]
}

fn can_start_anew() -> bool {
    let tried = Command::new("unshare")
        .args(since_boot())
        .arg("true")
        .output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Whoever sets it, and however far.
#[test]
fn a_clock_may_be_set_while_the_server_runs() {
    let Some(clock) = Clock::new() else {
        return;
    };
    clock.set("1970-01-01");
    let packages = Packages::new().with("app.tar", archive(&image(0)));
    let server = clock
        .setup()
        .args(["--refresh", "20ms", "--packages"])
        .arg(packages.path())
        .start();
    for (seed, year_then) in (0..).zip(["2026", "1980", "2200"]) {
        check_that_all_is_well(&server, &packages, seed, || {
            clock.set(&format!("{year_then}-06-01"));
        });
        assert_eq!(year(&server), year_then);
    }
    end(server);
}

/// From before 1901 until after 2106, which is what 32 bits hold, and further than any file system goes.
fn times() -> Vec<SystemTime> {
    let after = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let before = |millis| UNIX_EPOCH - Duration::from_millis(millis);
    vec![
        after(0),
        before(1),
        before(1_500),
        before((1 << 31) * 1_000),
        before((1 << 32) * 1_000),
        after((1 << 31) - 1),
        after(1 << 31),
        after((1 << 32) + 1),
        after(15_000_000_000),
    ]
}

/// Writes an archive that is said to be of this time, all at once.
fn put(packages: &Packages, name: &str, bytes: &[u8], time: SystemTime) {
    let unfinished = packages.path().join(format!(".{name}"));
    fs::write(&unfinished, bytes).expect("a file");
    let file = File::options().write(true).open(&unfinished);
    file.expect("a file").set_modified(time).expect("a time");
    fs::rename(unfinished, packages.path().join(name)).expect("a new name");
}

fn small(title: &str, number: usize) -> (Image, Vec<u8>) {
    let image = Image::new(&format!("{title} {number}"));
    let name = format!("docker.io/acme/app{number}:1");
    let bytes = Layout::new().named(&image, &name).tar();
    (image, bytes)
}

fn modified(path: &Path) -> SystemTime {
    let metadata = fs::metadata(path).expect("a file");
    metadata.modified().expect("a time")
}

/// Whatever time a file says it is of, it is served; another one of the same time and length takes its place, and one of
/// an earlier time does as well.
#[test]
fn the_time_of_a_file_decides_nothing() {
    let packages = Packages::new();
    let put_all = |title: &str, times: &[SystemTime]| {
        for (number, time) in times.iter().enumerate() {
            let bytes = small(title, number).1;
            put(&packages, &format!("{number}.tar"), &bytes, *time);
        }
    };
    let times = times();
    put_all("first", &times);
    // Else the file system knows no such times, and nothing would be shown.
    assert!(modified(&packages.path().join("3.tar")) < UNIX_EPOCH);
    assert_eq!(modified(&packages.path().join("6.tar")), times[6]);
    let listed = Listing::of(packages.path());
    assert_eq!(listed.problems(), [""; 0]);
    assert_eq!(listed.images().len(), times.len());
    let server = packages.serve(&[]);
    let is_served = |title: &str| {
        (0..times.len()).all(|number| {
            let had = pull(&server, &format!("acme/app{number}"), "1");
            had == Had::Whole(small(title, number).0.digest())
        })
    };
    assert!(is_served("first"));
    put_all("other", &times);
    eventually("those of the same time and length are served", || {
        is_served("other")
    });
    let earlier: Vec<_> = times
        .iter()
        .map(|time| *time - Duration::from_secs(86_400))
        .collect();
    put_all("older", &earlier);
    eventually("those of an earlier time are served", || is_served("older"));
}
