//! A tree in which nothing changes: looking at it again reads folders, and opens no file.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

use super::*;
use crate::packages::many;

const FILES: usize = 10_000;
const ARCHIVES: usize = 2000;

/// Hears of every opening in some folders.
struct Openings(OwnedFd);

/// What was opened.
#[derive(Debug, Default)]
struct Opened {
    files: Vec<String>,
    folders: usize,
}

impl Openings {
    fn of(folders: &[PathBuf]) -> Self {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        for folder in folders {
            add_watch(&inotify, folder, WatchFlags::OPEN | WatchFlags::ONLYDIR).expect("a watch");
        }
        Self(inotify)
    }

    fn so_far(&self) -> Opened {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.0, &mut buffer);
        let mut opened = Opened::default();
        while let Ok(event) = events.next() {
            assert!(
                !event.events().contains(ReadFlags::QUEUE_OVERFLOW),
                "very many"
            );
            match event.file_name() {
                Some(name) if !event.events().contains(ReadFlags::ISDIR) => {
                    opened.files.push(name.to_string_lossy().into_owned());
                }
                // Told by the folder itself and by the one around it.
                Some(_) => {}
                None => opened.folders += 1,
            }
        }
        opened
    }
}

/// All folders beneath one, and itself.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = all.get(next) {
        let entries = fs::read_dir(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
        all.extend(folders);
        next += 1;
    }
    all
}

#[test]
fn no_file_is_opened_again() {
    let packages = Packages::new();
    many(packages.path(), ARCHIVES);
    for number in 0..FILES - ARCHIVES {
        let folder = packages.path().join(format!("texts/{}", number % 10));
        if number < 10 {
            fs::create_dir_all(&folder).expect("a folder");
        }
        fs::write(folder.join(format!("{number}.txt")), "no archive").expect("a file");
    }
    packages.put_folder("layout", &layout("layout", "1").tree());
    packages.put("broken.tar", "no archive");
    let path = packages.path().to_str().expect("ASCII");
    let server = Server::start(["--refresh", "0", path]);

    let folders = folders(packages.path());
    let openings = Openings::of(&folders);
    let mut opened = Opened::default();
    for round in 1..=2 {
        server.signal("HUP");
        eventually("every folder is looked at", || {
            let more = openings.so_far();
            opened.files.extend(more.files);
            opened.folders += more.folders;
            opened.folders >= round * folders.len()
        });
    }
    // What comes after shows that both looks have ended.
    packages.put("new.tar", archive("new", "1"));
    server.signal("HUP");
    comes(&server, "new", "1");
    opened.files.extend(openings.so_far().files);
    opened
        .files
        .retain(|name| name != "new.tar" && name != ".unfinished");
    assert_eq!(opened.files, Vec::<String>::new());
}
