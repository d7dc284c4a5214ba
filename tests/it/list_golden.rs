//! Same files, same answers: `list --json` of `tests/data` is kept, and neither times nor the order in which files came
//! to be have a say in it.
//!
//! `UPDATE=1 cargo test list_golden` rewrites the list.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::generated;
use crate::listing::list_in;

#[test]
fn the_list_is_the_one_that_is_kept() {
    let list = list(&data());
    generated::check("tests/golden/list.json", list.as_bytes(), "list_golden");
}

#[test]
fn files_of_other_times_in_another_order_give_the_same_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now();
    copy_backwards(&data(), folder.path());
    for (age, file) in files(folder.path()).iter().enumerate() {
        // Neither all alike nor in an order that another one follows.
        let days = u32::try_from(age * 7 % 31).expect("a few");
        let time = now - Duration::from_secs(86_400) * days;
        let file = File::options().write(true).open(file).expect("a file");
        file.set_modified(time).expect("a time");
    }
    assert!(
        list(folder.path()) == list(&data()),
        "the copy is listed otherwise than the folder"
    );
}

/// What is listed of `folder`: no path in it tells where that is.
fn list(folder: &Path) -> String {
    list_in(folder, ["--json", "."]).stdout
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Copies what is in `from`, what comes last by its name first.
fn copy_backwards(from: &Path, to: &Path) {
    for path in entries(from).iter().rev() {
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            fs::create_dir(&copy).expect("a folder");
            copy_backwards(path, &copy);
        } else {
            fs::copy(path, &copy).expect("a copy");
        }
    }
}

/// All files beneath `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (folders, mut found): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

/// What is in `folder`, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}
