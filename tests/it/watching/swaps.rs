//! A whole shelf is put in the place of another one: everybody sees the one or the other, and never nothing or a mixture.

use std::process::Command;

use super::*;
use crate::pull::{at_once, ever, meanwhile};

/// Two folders with two archives each, outside of what is served at first.
struct Shelves(TempDir);

impl Shelves {
    fn new() -> Self {
        let folder = elsewhere();
        for version in ["v1", "v2"] {
            let shelf = folder.path().join(version);
            fs::create_dir(&shelf).expect("a folder");
            for part in ["a", "b"] {
                let tag = format!("docker.io/acme/app:{version}-{part}");
                let tar = Layout::new().named(&Image::new(&tag), &tag).tar();
                fs::write(shelf.join(format!("{part}.tar")), tar).expect("a file");
            }
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The tags of all that is served.
fn tags(server: &Server) -> Vec<String> {
    let answer = server.get("/v2/acme/app/tags/list");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let tags = answer["tags"].as_array().expect("tags").iter();
    let tags = tags.filter_map(|tag| tag.as_str()).map(str::to_owned);
    tags.filter(|tag| tag != "latest").collect()
}

/// Serves `root`, in which the first shelf is; after `swap` the second one is there. Nobody sees anything else, though all
/// ask all the time, and it is published once. A server that nobody asks notices it as well.
fn check(root: &Path, swap: impl FnOnce()) {
    let [server, quiet] = [Server::serving(root), Server::serving(root)];
    let shelf = |version: &str| vec![format!("{version}-a"), format!("{version}-b")];
    assert_eq!(tags(&server), shelf("v1"));
    let ask = || {
        let tags = tags(&server);
        (tags.clone(), pull(&server, "acme/app", &tags[0]))
    };
    let seen = meanwhile(2, ask, || {
        swap();
        eventually("the second one is served", || tags(&server) == shelf("v2"));
    });
    let image =
        |version: &str| Had::Whole(Image::new(&format!("docker.io/acme/app:{version}-a")).digest());
    let (first, second) = (image("v1"), image("v2"));
    let Had::Whole(old) = &first else { return };
    for (tags, had) in ever(&seen) {
        let is_first = tags == shelf("v1");
        assert!(is_first || tags == shelf("v2"), "{tags:?}");
        let is_right = match &had {
            // It may have gone after it was listed.
            Had::Later | Had::Nothing => is_first,
            Had::Less(digest) => is_first && digest == old,
            Had::Part(_) => false,
            Had::Whole(_) => {
                had == if is_first {
                    first.clone()
                } else {
                    second.clone()
                }
            }
        };
        assert!(is_right, "{tags:?} {had:?}");
    }
    assert_eq!(ask(), (shelf("v2"), second));
    quiet.wait_for_stderr("Changed: now ");
    assert_eq!(tags(&quiet), shelf("v2"));
    for server in [server, quiet] {
        server.wait_for_stderr("Changed: now ");
        assert_eq!(publications(&server), 1, "{}", server.stderr());
    }
}

/// Runs what a person would type in the folder of the shelves.
fn sh(shelves: &Shelves, line: &str) {
    let done = Command::new("sh")
        .args(["-c", line])
        .current_dir(shelves.0.path())
        .status();
    assert!(done.is_ok_and(|status| status.success()), "{line}");
}

/// Prepares the shelves, serves the folder `root` there, and swaps.
fn check_typed(prepare: &str, root: &str, swap: &str) {
    let shelves = Shelves::new();
    sh(&shelves, prepare);
    check(&shelves.path(root), || sh(&shelves, swap));
}

#[test]
fn a_link_gets_another_target() {
    if !changes_are_told() {
        return;
    }
    let root = || {
        check_typed(
            "ln -s v1 current",
            "current",
            "ln -s v2 next && mv -T next current",
        );
    };
    let inside = || {
        check_typed(
            "mkdir root && mv v1 root/.v1 && mv v2 root/.v2 && ln -s .v1 root/current",
            "root",
            "ln -s .v2 root/.next && mv -T root/.next root/current",
        );
    };
    // As a `ConfigMap` is mounted.
    let through = || {
        check_typed(
            "mkdir root && cd root && mv ../v1 ..v1 && mv ../v2 ..v2 && ln -s ..v1 ..data && \
             ln -s ..data/a.tar ..data/b.tar .",
            "root",
            "cd root && ln -s ..v2 ..next && mv -T ..next ..data",
        );
    };
    at_once(&[
        ("the root", &root),
        ("in the root", &inside),
        ("on the way to files", &through),
    ]);
}

#[test]
fn a_folder_takes_the_place() {
    if !changes_are_told() {
        return;
    }
    let folder = || {
        check_typed(
            "mkdir root && mv v1 root/shelf",
            "root",
            "mv root/shelf v1 && mv v2 root/shelf",
        );
    };
    let root = || check_typed("mv v1 root", "root", "mv root v1 && mv v2 root");
    at_once(&[("in the root", &folder), ("the root itself", &root)]);
}

#[test]
fn files_take_the_place() {
    if !changes_are_told() {
        return;
    }
    let same = || check_typed("mv v1 root", "root", "mv v2/a.tar root && mv v2/b.tar root");
    let others = || {
        check_typed(
            "mv v1 root",
            "root",
            "cp v2/a.tar root/c.tar && cp v2/b.tar root/d.tar && rm root/a.tar root/b.tar",
        );
    };
    at_once(&[("one by one", &same), ("under other names", &others)]);
}
