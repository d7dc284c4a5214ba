//! What crane computes for an archive, and what it pulls from the server and checks.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::oracle::{Document, Oracle};
use super::table::{CONTAINERD, DOCKER, FLAT, OTHERS, Repository, Row, SKOPEO, repositories};
use super::{alone, data, docker_half_of, full, images, list};
use crate::fixture::sha256;
use crate::needs::{needs, run};
use crate::server::Server;

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn crane_agrees_on_archives_of_docker() {
    check_all(DOCKER);
}

#[test]
fn crane_agrees_on_archives_of_containerd() {
    check_all(CONTAINERD);
}

#[test]
fn crane_agrees_on_archives_of_skopeo() {
    check_all(SKOPEO);
}

#[test]
fn crane_agrees_on_archives_of_others() {
    check_all(OTHERS);
}

#[test]
fn crane_agrees_on_flat_folders() {
    check_all(FLAT);
}

/// Crane would push an archive of compressed layers with the manifest that is made here.
#[test]
fn the_digest_of_a_gzip_archive_is_that_of_crane() {
    if !needs(&["crane"]) {
        return;
    }
    let mut compared = 0;
    for (name, _) in [DOCKER, CONTAINERD, SKOPEO, OTHERS].concat() {
        let archive = data().join(name);
        let oracle = Oracle::read(&archive);
        if let [item] = oracle.canonical.as_slice()
            && item.is_docker()
        {
            // Without its OCI half, if it has one, the archive says nothing else.
            let folder = docker_half_of(name);
            assert_eq!(served(folder.path()), [digest(&archive)].into(), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 5, "{compared} of the archives are such");
}

/// The digests of all images in a folder.
fn served(folder: &Path) -> BTreeSet<String> {
    let list = list(folder);
    let repositories = list["repositories"].as_array().expect("repositories");
    repositories
        .iter()
        .flat_map(|entry| [&entry["tags"], &entry["untagged"]])
        .flat_map(|images| images.as_array().into_iter().flatten())
        .filter_map(|image| image["digest"].as_str().map(str::to_owned))
        .collect()
}

fn check_all(rows: &[Row]) {
    if !needs(&["crane"]) {
        return;
    }
    for (name, expected) in rows {
        let archive = data().join(name);
        let folder = alone(name);
        let server = Server::serving(folder.path());
        compare(
            &server,
            &archive,
            &Oracle::read(&archive),
            &repositories(expected),
        );
    }
}

/// The archive is well-formed for crane, and so is every image of the server, by tag and by digest.
pub(super) fn compare(
    server: &Server,
    archive: &Path,
    oracle: &Oracle,
    repositories: &[Repository],
) {
    if archive.is_file() {
        check_file(archive, oracle);
    }
    for repository in repositories {
        let name = format!("{}/{}", server.authority(), repository.path);
        for (tag, short) in repository.all_tags() {
            check_manifest(&format!("{name}:{tag}"), &full(oracle, &short), oracle);
        }
        for image in images(repository, oracle) {
            check_manifest(&format!("{name}@{image}"), &image, oracle);
            for whole in oracle.whole(&image) {
                check_image(&name, &whole, oracle);
            }
        }
    }
}

/// Crane reads a Docker archive if there is one image in it.
fn check_file(archive: &Path, oracle: &Oracle) {
    if let [item] = oracle.canonical.as_slice() {
        let file = archive.to_str().expect("an ASCII path");
        crane(&["validate", "--tarball", file]);
        if item.is_docker() {
            assert_eq!(digest(archive), item.digest(), "{file}");
        }
    }
}

/// The digest of the manifest that crane would push.
fn digest(archive: &Path) -> String {
    let file = archive.to_str().expect("an ASCII path");
    crane(&["digest", "--tarball", file]).trim_end().to_owned()
}

fn check_manifest(reference: &str, digest: &str, oracle: &Oracle) {
    assert_eq!(crane(&["digest", reference]).trim_end(), digest);
    let manifest = crane(&["manifest", reference]).into_bytes();
    assert_eq!(sha256(&manifest), digest, "{reference}");
    assert!(manifest == oracle.documents[digest].bytes, "{reference}");
}

/// Crane reads the image whole.
fn check_image(name: &str, digest: &str, oracle: &Oracle) {
    let reference = format!("{name}@{digest}");
    if only_gzip(digest, oracle) {
        crane(&["validate", "--remote", &reference]);
    } else {
        // `validate` takes every layer for one that is compressed with gzip; `pull` does not.
        crane(&["validate", "--fast", "--remote", &reference]);
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().to_str().expect("an ASCII path");
        crane(&["pull", "--format", "oci", &reference, target]);
    }
}

/// Whether all layers that a manifest or an index reaches are compressed so.
fn only_gzip(digest: &str, oracle: &Oracle) -> bool {
    let reached = oracle.reach(digest);
    let images = reached
        .iter()
        .filter_map(|digest| oracle.documents.get(digest));
    images.map(Document::json).all(|image| {
        let mut layers = image["layers"].as_array().into_iter().flatten();
        layers.all(|layer| {
            let digest = layer["digest"].as_str().expect("a digest");
            oracle.files[digest].starts_with(b"\x1f\x8b")
        })
    })
}

fn crane(arguments: &[&str]) -> String {
    let finished = run(Command::new("crane").args(arguments), LIMIT);
    assert!(finished.success, "{arguments:?}: {}", finished.said());
    finished.stdout
}
