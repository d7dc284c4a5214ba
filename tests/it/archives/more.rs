//! Archives that are not in the repository, because they are too many, too large or somebody's own: every one in the folder
//! that `PACKAGEORIGIN_TEST_ARCHIVES` names is served alone and compared with what is in it.
//!
//! There is no table for them: under which names they come is what `list` says, and everything must come under one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::oracle::Oracle;
use super::table::Repository;
use super::{check_repositories, crane, list, names_in, skopeo};
use crate::needs::{optional, tool};
use crate::server::Server;

/// The folder. What is in it is read into memory, one archive at a time.
const FOLDER: &str = "PACKAGEORIGIN_TEST_ARCHIVES";

#[test]
fn more_archives() {
    let Some(folder) = optional(FOLDER) else {
        return;
    };
    let archives = archives_in(&folder);
    assert!(!archives.is_empty(), "no archive in {}", folder.display());
    let mut failed = Vec::new();
    for archive in &archives {
        // One is not kept back by another, and all are named in the end.
        let compared = std::panic::catch_unwind(|| compare_alone(archive));
        if compared.is_err() {
            failed.push(archive);
        }
    }
    let count = archives.len();
    assert!(
        failed.is_empty(),
        "{} of {count}: {failed:#?}",
        failed.len()
    );
}

fn compare_alone(archive: &Path) {
    let server = Server::serving(archive);
    compare(&server, archive, archive);
}

/// Compares what a server of nothing but this archive has with what is in it, and gives its names. `root` is what the
/// server was told to serve: the archive, or a folder it lies in.
pub(crate) fn compare(server: &Server, root: &Path, archive: &Path) -> Vec<Repository> {
    let oracle = Oracle::read(archive);
    let list = list(root);
    let listed = list["repositories"].as_array().expect("repositories");
    let repositories: Vec<Repository> = listed.iter().map(Repository::listed).collect();
    check_repositories(server, &oracle, &repositories);
    if tool("skopeo").is_some() {
        skopeo::compare(server, archive, &oracle, &repositories);
    }
    if tool("crane").is_some() {
        crane::compare(server, archive, &oracle, &repositories);
    }
    repositories
}

/// The tars, and the folders that are archives, at any depth.
fn archives_in(folder: &Path) -> Vec<PathBuf> {
    let mut names = names_in(folder);
    names.sort();
    let mut archives = Vec::new();
    for path in names.iter().map(|name| folder.join(name)) {
        if is_tar(&path) || is_image_folder(&path) {
            archives.push(path);
        } else if path.is_dir() {
            archives.extend(archives_in(&path));
        }
    }
    archives
}

fn is_tar(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|data| data.is_file());
    is_file && File::open(path).is_ok_and(begins_as_tar)
}

fn begins_as_tar(file: File) -> bool {
    let mut archive = tar::Archive::new(file);
    let first = archive
        .entries()
        .ok()
        .and_then(|mut entries| entries.next());
    first.is_some_and(|entry| entry.is_ok())
}

fn is_image_folder(path: &Path) -> bool {
    let markers = ["index.json", "manifest.json"];
    markers.iter().any(|name| path.join(name).is_file())
}
