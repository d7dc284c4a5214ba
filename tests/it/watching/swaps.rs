//! A whole shelf is put in the place of another one: everybody sees the one or the other, and never nothing or a mixture.

use std::process::Command;

use super::*;
use crate::pull::{ever, meanwhile};

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

    /// Gives the link another target, as whoever deploys does it: by renaming a new one.
    fn relink(&self, link: &str, target: &str) {
        let next = self.path("next link");
        symlink(target, &next).expect("a link");
        fs::rename(&next, self.path(link)).expect("a new name");
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
/// ask all the time, and it is published once.
fn check(root: &Path, swap: impl FnOnce()) {
    if !changes_are_told() {
        return;
    }
    let server = Server::serving(root);
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
    assert_eq!(publications(&server), 1, "{}", server.stderr());
}

#[test]
fn the_root_is_a_link() {
    let shelves = Shelves::new();
    shelves.relink("current", "v1");
    let swap = || shelves.relink("current", "v2");
    check(&shelves.path("current"), swap);
}

#[test]
fn a_link_in_the_root() {
    let shelves = Shelves::new();
    fs::create_dir(shelves.path("root")).expect("a folder");
    for version in ["v1", "v2"] {
        let hidden = shelves.path(&format!("root/.{version}"));
        fs::rename(shelves.path(version), hidden).expect("moved");
    }
    shelves.relink("root/current", ".v1");
    let swap = || shelves.relink("root/current", ".v2");
    check(&shelves.path("root"), swap);
}

/// As a `ConfigMap` is mounted: each file is a link through one link that is swapped.
#[test]
fn links_through_a_link() {
    let shelves = Shelves::new();
    fs::create_dir(shelves.path("root")).expect("a folder");
    for version in ["v1", "v2"] {
        let hidden = shelves.path(&format!("root/..{version}"));
        fs::rename(shelves.path(version), hidden).expect("moved");
    }
    shelves.relink("root/..data", "..v1");
    for part in ["a.tar", "b.tar"] {
        let target = format!("..data/{part}");
        symlink(target, shelves.path("root").join(part)).expect("a link");
    }
    let swap = || shelves.relink("root/..data", "..v2");
    check(&shelves.path("root"), swap);
}

/// Runs what a person would type in the folder of the shelves.
fn sh(shelves: &Shelves, line: &str) {
    let done = Command::new("sh")
        .args(["-c", line])
        .current_dir(shelves.0.path())
        .status();
    assert!(done.is_ok_and(|status| status.success()), "{line}");
}

#[test]
fn a_folder_in_the_root() {
    let shelves = Shelves::new();
    sh(&shelves, "mkdir root && mv v1 root/shelf");
    let swap = || sh(&shelves, "mv root/shelf v1 && mv v2 root/shelf");
    check(&shelves.path("root"), swap);
}

#[test]
fn the_root_itself() {
    let shelves = Shelves::new();
    sh(&shelves, "mv v1 root");
    let swap = || sh(&shelves, "mv root v1 && mv v2 root");
    check(&shelves.path("root"), swap);
}

/// The other folder comes over the one that is there, as `rsync --delete-after` makes it: file by file.
#[test]
fn file_by_file() {
    let shelves = Shelves::new();
    sh(&shelves, "mv v1 root");
    let swap = || sh(&shelves, "mv v2/a.tar root && mv v2/b.tar root");
    check(&shelves.path("root"), swap);
}

#[test]
fn under_other_names() {
    let shelves = Shelves::new();
    sh(&shelves, "mv v1 root");
    let swap = || {
        sh(
            &shelves,
            "cp v2/a.tar root/c.tar && cp v2/b.tar root/d.tar && rm root/a.tar root/b.tar",
        )
    };
    check(&shelves.path("root"), swap);
}
