//! Archives that are written slowly: nothing is said or served of them before they are whole, and nobody waits for them.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use super::*;
use crate::pull::{ever, meanwhile};

/// How often something is written, and how long it takes until the next time.
const STEPS: usize = 20;
const STEP: Duration = Duration::from_millis(300);
/// At this step something else is added,
const ADDED: usize = 2;
/// and at this one it has to be there: a few seconds later.
const SEEN: usize = 19;

fn slow(name: &str) -> Image {
    Image::new(name).layers([Layer::raw(bytes(1, 2_000_000))])
}

fn slow_archive(name: &str) -> Vec<u8> {
    Layout::new()
        .named(&slow(name), &format!("docker.io/acme/{name}:1"))
        .tar()
}

/// Writes archives of [`slow`] into files that are open, all of them piece by piece; another archive, added meanwhile, is
/// there before that has ended.
fn write_slowly(packages: &Packages, server: &Server, files: [(&str, fs::File); 3]) {
    let files = files.map(|(name, file)| (slow_archive(name), file));
    for step in 0..STEPS {
        for (bytes, file) in &files {
            let pieces = &mut bytes.chunks(bytes.len().div_ceil(STEPS));
            let piece = pieces.nth(step).expect("a piece");
            (&mut &*file).write_all(piece).expect("written");
        }
        if step == ADDED {
            packages.put("quick.tar", archive("quick", "1"));
        }
        if step == SEEN {
            let quick = pull(server, "acme/quick", "1");
            assert_eq!(quick, Had::Whole(image("quick", "1").digest()));
        }
        thread::sleep(STEP);
    }
}

#[test]
fn they_are_left_alone_until_they_are_whole() {
    let packages = Packages::new().with("old.tar", archive("old", "1"));
    let server = Server::serving(packages.path());
    let names = ["new", "long", "old"];
    let whole = |name: &str| Had::Whole(slow(name).digest());
    let ask = || names.map(|name| (name, pull(&server, &format!("acme/{name}"), "1")));
    let seen = meanwhile(1, ask, || {
        let open = |name: &str| {
            let path = packages.path().join(format!("{name}.tar"));
            let file = fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path);
            file.expect("a file")
        };
        // As Windows copies files to a share: first it has its length, then its bytes.
        let length = slow_archive("long").len() as u64;
        open("long").set_len(length).expect("a length");
        // The last one is overwritten, as `rsync --inplace` does it.
        write_slowly(&packages, &server, names.map(|name| (name, open(name))));
        eventually("all of them are served", || {
            ask().iter().all(|(name, had)| *had == whole(name))
        });
    });
    let old = image("old", "1").digest();
    for (name, had) in ever(&seen).into_iter().flatten() {
        let is_allowed = match &had {
            Had::Later => true,
            Had::Nothing => name != "old",
            Had::Less(digest) => *digest == old,
            Had::Whole(digest) => had == whole(name) || *digest == old,
            Had::Part(_) => false,
        };
        assert!(is_allowed, "{name}: {had:?}");
    }
    let log = server.stderr();
    let complains = log.contains("warning: ") || log.contains("error: ");
    assert!(!complains, "{log}");
}
