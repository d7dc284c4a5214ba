//! Archives that are written slowly: nothing is said or served of them before they are whole, and nobody waits for them.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use super::*;
use crate::pull::{ever, meanwhile};

/// How often something is written, and how long it takes until the next time.
const STEPS: usize = 20;
const STEP: Duration = Duration::from_millis(250);
/// At this step something else is added,
const ADDED: usize = 3;
/// and at this one it has to be there: a few seconds later.
const SEEN: usize = 17;

fn slow() -> Image {
    Image::new("slow").layers([crate::fixture::Layer::raw(bytes(1, 2_000_000))])
}

/// Writes an archive of [`slow`] piece by piece to `slow.tar`, which `file` is; another one, added meanwhile, is there
/// before that has ended.
fn write_slowly(packages: &Packages, server: &Server, mut file: fs::File) {
    let bytes = layout("slow", &slow()).tar();
    let pieces = bytes.chunks(bytes.len().div_ceil(STEPS));
    for (step, piece) in pieces.enumerate() {
        file.write_all(piece).expect("written");
        if step == ADDED {
            packages.put("quick.tar", archive("quick", "quick"));
        }
        if step == SEEN {
            let quick = pull(server, "acme/quick", "1");
            assert_eq!(quick, Had::Whole(image("quick", "quick").digest()));
        }
        thread::sleep(STEP);
    }
}

/// Of what is written slowly clients have `before`, then all of it, and no line of the log complains.
fn check(packages: &Packages, before: &Had, file: impl FnOnce(&Path) -> fs::File) {
    let server = Server::serving(packages.path());
    let whole = Had::Whole(slow().digest());
    let ask = || pull(&server, "acme/slow", "1");
    let seen = meanwhile(1, ask, || {
        let file = file(&packages.path().join("slow.tar"));
        write_slowly(packages, &server, file);
        eventually("it is served", || ask() == whole);
    });
    let mut seen = ever(&seen);
    seen.remove(&Had::Later);
    assert_eq!(seen, [before.clone(), whole].into());
    let log = server.stderr();
    assert!(
        !log.contains("warning: ") && !log.contains("error: "),
        "{log}"
    );
}

#[test]
fn a_new_one_that_grows() {
    let packages = Packages::new().with("other.tar", archive("other", "other"));
    check(&packages, &Had::Nothing, |path| {
        fs::File::create(path).expect("a file")
    });
}

/// As Windows copies files to a share: first it has its length, then its bytes.
#[test]
fn a_new_one_that_has_its_length_from_the_start() {
    let packages = Packages::new().with("other.tar", archive("other", "other"));
    check(&packages, &Had::Nothing, |path| {
        let file = fs::File::create(path).expect("a file");
        let length = layout("slow", &slow()).tar().len();
        file.set_len(length as u64).expect("a length");
        file
    });
}

/// As `rsync --inplace` updates files. What is in memory of the old version may be given out, as long as nothing better is
/// known.
#[test]
fn one_that_is_overwritten() {
    let packages = Packages::new().with("slow.tar", archive("slow", "before"));
    let server = Server::serving(packages.path());
    let whole = Had::Whole(slow().digest());
    let ask = || pull(&server, "acme/slow", "1");
    let seen = meanwhile(1, ask, || {
        let file = fs::File::options()
            .write(true)
            .open(packages.path().join("slow.tar"));
        write_slowly(&packages, &server, file.expect("a file"));
        eventually("it is served", || ask() == whole);
    });
    let before = image("slow", "before").digest();
    for had in ever(&seen) {
        let is_allowed = match &had {
            Had::Later => true,
            Had::Whole(digest) => *digest == before || had == whole,
            Had::Less(digest) => *digest == before,
            Had::Part(_) | Had::Nothing => false,
        };
        assert!(is_allowed, "{had:?}");
    }
    let log = server.stderr();
    assert!(
        !log.contains("warning: ") && !log.contains("error: "),
        "{log}"
    );
}
