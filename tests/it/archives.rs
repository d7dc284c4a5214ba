//! Real archives, each served alone: whatever is in one comes out of the server, byte for byte and under its names.
//!
//! What is expected is written down in a [`table`]; what an archive holds is read by an [`oracle`], and by the tools
//! that people trust: [`skopeo`] and [`crane`].

mod crane;
mod more;
mod oracle;
mod skopeo;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::sha256;
use crate::needs::{Finished, run};
use crate::server::{Response, Server, binary, command};
pub(crate) use more::compare;
use oracle::{Document, Oracle};
pub(crate) use table::Repository;
use table::{CONTAINERD, DOCKER, FLAT, OTHERS, Row, SKOPEO, repositories};

/// Archives that lack manifests of an index, with how many.
const SPARSE: [(&str, usize); 2] = [
    ("ctr1.6-export-arm64.tar", 2),
    ("docker28.5-ctrdstore-save-multiarch-sparse.tar", 2),
];

/// What is in the folder and is no archive that can be served.
const NOT_SERVED: [&str; 4] = [
    "README.md",
    "SHA256SUMS",
    "dirs",
    "docker20.10-save-twotags.tar.gz",
];

#[test]
fn archives_of_docker() {
    check_all(DOCKER);
}

#[test]
fn archives_of_containerd() {
    check_all(CONTAINERD);
}

#[test]
fn archives_of_skopeo() {
    check_all(SKOPEO);
}

#[test]
fn archives_of_others() {
    check_all(OTHERS);
}

#[test]
fn flat_folders() {
    check_all(FLAT);
}

#[test]
fn every_archive_is_in_a_table() {
    let files = names_in(&data())
        .into_iter()
        .filter(|name| !NOT_SERVED.contains(&name.as_str()));
    let folders = names_in(&data().join("dirs"))
        .into_iter()
        .map(|name| format!("dirs/{name}"));
    let present: BTreeSet<String> = files.chain(folders).collect();
    let rows = [DOCKER, CONTAINERD, SKOPEO, OTHERS, FLAT].concat();
    let listed: BTreeSet<String> = rows.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, present);
    assert_eq!(rows.len(), listed.len(), "an archive is listed twice");
}

/// Nothing was edited since the tools wrote it.
#[test]
fn every_archive_is_as_its_tool_wrote_it() {
    let mut present = BTreeMap::new();
    for name in names_in(&data()) {
        if !["README.md", "SHA256SUMS"].contains(&name.as_str()) {
            sums(&name, &mut present);
        }
    }
    let text = fs::read_to_string(data().join("SHA256SUMS")).expect("SHA256SUMS");
    let written: BTreeMap<String, String> = text
        .lines()
        .map(|line| line.split_once("  ").expect("a sum and a name"))
        .map(|(sum, name)| (name.to_owned(), format!("sha256:{sum}")))
        .collect();
    assert_eq!(present, written);
}

/// Adds the digest of a file, or of all files in a folder, by their names.
fn sums(name: &str, into: &mut BTreeMap<String, String>) {
    let path = data().join(name);
    if path.is_dir() {
        for below in names_in(&path) {
            sums(&format!("{name}/{below}"), into);
        }
    } else {
        let bytes = fs::read(path).expect("a file");
        into.insert(name.to_owned(), sha256(&bytes));
    }
}

/// The same image has one digest, whoever saved it, and it is the one that newer Dockers store.
#[test]
fn one_image_has_one_digest() {
    let check = |tag: &str, archives: &[(&str, &str)]| {
        let digests: BTreeSet<String> = archives
            .iter()
            .map(|(archive, repository)| digest_served(archive, repository, tag))
            .collect();
        assert_eq!(digests.len(), 1, "{archives:?}: {digests:?}");
    };
    // Pulled from one registry; here Docker 28 stores a manifest and the others do not.
    check(
        "2",
        &[
            ("docker28.5-save-pulled.tar", "v2s2/app"),
            ("docker20.10-save-pulled.tar", "v2s2/app"),
            ("podman4.3-docker-archive-m.tar", "v2s2/app"),
        ],
    );
    check(
        "latest",
        &[
            ("docker28.5-save-mixed-tagged-untagged.tar", "v2s2/app"),
            ("crane0.20-legacy.tar", "oci/app"),
            ("skopeo1.9-docker-archive.tar", "test/app"),
            (
                "podman4.3-docker-archive-untagged.tar",
                "podman4.3-docker-archive-untagged",
            ),
            ("buildah1.28-docker-archive.tar", "oci/app"),
        ],
    );
}

/// What Docker from version 25 on stores is the canonical form.
#[test]
fn docker_stores_the_canonical_manifest() {
    for (name, _) in DOCKER
        .iter()
        .filter(|(name, _)| name.starts_with("docker28.5-save-"))
    {
        let oracle = Oracle::read(&data().join(name));
        assert!(oracle.made.is_empty(), "{name}: all are stored");
        let canonical: BTreeSet<String> = oracle.canonical.iter().map(Document::digest).collect();
        assert_eq!(canonical, oracle.roots, "{name}");
    }
}

/// A schema 2 manifest that skopeo once pushed is made again from what `docker save` left of it.
#[test]
fn a_gzip_archive_gets_the_original_digest() {
    let oracle = Oracle::read(&data().join("ctr2.1-export-two.tar"));
    let stored = digest_served("ctr2.1-export-two.tar", "v2s2/app", "2");
    let canonical: Vec<String> = oracle.canonical.iter().map(Document::digest).collect();
    assert!(canonical.contains(&stored), "{stored}: {canonical:?}");
    let folder = docker_half_of("ctr2.1-export-two.tar");
    let server = Server::serving(folder.path());
    let made = server.head("/v2/v2s2/app/manifests/2");
    assert_eq!(made.header("docker-content-digest"), Some(stored.as_str()));
}

#[test]
fn a_compressed_archive_is_told_and_not_served() {
    let name = "docker20.10-save-twotags.tar.gz";
    let folder = alone(name);
    let server = Server::serving(folder.path());
    assert_eq!(catalog(&server), Vec::<String>::new());
    let told = server.wait_for_stderr("compressed with gzip");
    assert!(
        told.contains(&format!(
            "{name}: the archive is compressed with gzip; decompress it"
        )),
        "{told}"
    );
}

/// A single file or image folder can be named instead of a folder of them.
#[test]
fn an_archive_is_a_root_too() {
    for name in [
        "docker28.5-save-single.tar",
        "skopeo1.9-oci-archive.tar",
        "dirs/umoci0.4-layout",
    ] {
        check_root(name);
    }
}

#[test]
fn a_flat_folder_is_a_root_too() {
    check_root("dirs/skopeo1.22-dir");
}

fn check_root(name: &str) {
    let archive = data().join(name);
    let server = Server::serving(&archive);
    let all = [DOCKER, SKOPEO, OTHERS, FLAT].concat();
    let (_, rows) = all.iter().find(|(row, _)| *row == name).expect("a row");
    check_repositories(&server, &Oracle::read(&archive), &repositories(rows));
}

fn check_all(rows: &[Row]) {
    for (name, expected) in rows {
        let expected = repositories(expected);
        let oracle = Oracle::read(&data().join(name));
        let folder = alone(name);
        let server = Server::serving(folder.path());
        check_repositories(&server, &oracle, &expected);
        check_list(name, folder.path(), &oracle, &expected);
    }
}

/// The digests of all that a repository holds, in full.
fn images(repository: &Repository, oracle: &Oracle) -> BTreeSet<String> {
    let short = repository.tags.values().chain(&repository.untagged);
    short.map(|short| full(oracle, short)).collect()
}

/// The digest of a document that begins so.
fn full(oracle: &Oracle, short: &str) -> String {
    let begin = format!("sha256:{short}");
    let mut found = oracle
        .documents
        .keys()
        .filter(|digest| digest.starts_with(&begin));
    match (found.next(), found.next()) {
        (Some(digest), None) => digest.clone(),
        _ => panic!(
            "no document {short} in the archive: {:?}",
            oracle.documents.keys()
        ),
    }
}

fn check_repositories(server: &Server, oracle: &Oracle, expected: &[Repository]) {
    let mut names: Vec<String> = expected
        .iter()
        .map(|repository| repository.shown().to_owned())
        .collect();
    names.sort();
    assert_eq!(catalog(server), names);
    let mut reached = BTreeSet::new();
    for repository in expected {
        for name in repository.names() {
            check_names(server, oracle, repository, &name, "");
        }
        check_namespaces(server, oracle, repository);
        check_content(server, oracle, repository);
        for image in images(repository, oracle) {
            reached.extend(oracle.reach(&image));
        }
    }
    let forgotten: Vec<&String> = oracle.roots.difference(&reached).collect();
    assert!(
        forgotten.is_empty(),
        "in the archive and not in the table: {forgotten:?}"
    );
}

/// The tags of a repository, asked for as `name`, and what they mean.
fn check_names(server: &Server, oracle: &Oracle, repository: &Repository, name: &str, query: &str) {
    let tags = if query.is_empty() {
        repository.all_tags()
    } else {
        repository.tags.clone()
    };
    let list = server.get(&format!("/v2/{name}/tags/list{query}"));
    assert_eq!(list.status, 200, "{name}{query}: {}", list.text());
    let expected: Vec<&String> = tags.keys().collect();
    assert_eq!(list.json(), json!({"name": name, "tags": expected}));
    for (tag, short) in &tags {
        let digest = full(oracle, short);
        check_document(
            server,
            oracle,
            &format!("/v2/{name}/manifests/{tag}{query}"),
            &digest,
        );
        check_document(
            server,
            oracle,
            &format!("/v2/{name}/manifests/{digest}{query}"),
            &digest,
        );
    }
}

/// A mirror's client names the host: only what comes from there answers.
fn check_namespaces(server: &Server, oracle: &Oracle, repository: &Repository) {
    let Repository { host, path, .. } = repository;
    if let Some(host) = host {
        check_names(server, oracle, repository, path, &format!("?ns={host}"));
    }
    let elsewhere = server.get(&format!("/v2/{path}/tags/list?ns=elsewhere.example"));
    assert_eq!(elsewhere.status, 404, "{path} is of {host:?}");
}

/// Every file of the archive is there if the repository reaches it, and only then.
fn check_content(server: &Server, oracle: &Oracle, repository: &Repository) {
    let name = &repository.path;
    let images = images(repository, oracle);
    let reached: BTreeSet<String> = images
        .iter()
        .flat_map(|image| oracle.reach(image))
        .collect();
    let known = oracle.files.keys().chain(oracle.documents.keys());
    for digest in reached.iter().chain(known).collect::<BTreeSet<_>>() {
        let is_document = oracle.documents.contains_key(digest);
        let is_there =
            reached.contains(digest) && (is_document || oracle.files.contains_key(digest));
        let manifest = format!("/v2/{name}/manifests/{digest}");
        let blob = format!("/v2/{name}/blobs/{digest}");
        if is_there && is_document {
            check_document(server, oracle, &manifest, digest);
        } else if is_there {
            check_blob(server, &blob, &oracle.files[digest], digest);
            check_error(&server.get(&manifest), "MANIFEST_UNKNOWN");
        } else {
            check_error(&server.get(&manifest), "MANIFEST_UNKNOWN");
            check_error(&server.get(&blob), "BLOB_UNKNOWN");
        }
    }
    for image in &images {
        check_referrers(server, oracle, &reached, &format!("/v2/{name}"), image);
    }
}

/// The manifests of a repository whose subject is `image`, and no others.
fn check_referrers(
    server: &Server,
    oracle: &Oracle,
    reached: &BTreeSet<String>,
    repository: &str,
    image: &str,
) {
    let answer = server.get(&format!("{repository}/referrers/{image}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = answer.json();
    let listed = list["manifests"].as_array().expect("a list").iter();
    let listed: BTreeSet<&str> = listed
        .filter_map(|entry| entry["digest"].as_str())
        .collect();
    let documents = oracle.documents.iter();
    let expected: BTreeSet<&str> = documents
        .filter(|(digest, _)| reached.contains(*digest))
        .filter(|(_, document)| document.json()["subject"]["digest"] == image)
        .map(|(digest, _)| digest.as_str())
        .collect();
    assert_eq!(listed, expected, "{image}");
}

fn check_document(server: &Server, oracle: &Oracle, path: &str, digest: &str) {
    let Document { media_type, bytes } = &oracle.documents[digest];
    assert_eq!(sha256(bytes), digest);
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(answer.body == *bytes, "{path}: {}", answer.text());
    check_head(&server.head(path), &answer, media_type, digest);
}

fn check_blob(server: &Server, path: &str, bytes: &[u8], digest: &str) {
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(answer.body == bytes, "{path}: other bytes");
    check_head(
        &server.head(path),
        &answer,
        "application/octet-stream",
        digest,
    );
}

/// What GET and HEAD say about content.
fn check_head(head: &Response, get: &Response, media_type: &str, digest: &str) {
    let length = get.body.len().to_string();
    for answer in [head, get] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(media_type), "{digest}");
        assert_eq!(answer.header("docker-content-digest"), Some(digest));
        assert_eq!(
            answer.header("content-length"),
            Some(length.as_str()),
            "{digest}"
        );
    }
}

fn check_error(answer: &Response, code: &str) {
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.json()["errors"][0]["code"], code);
}

/// `list --json` tells the same as the server, and what is missing.
fn check_list(name: &str, folder: &Path, oracle: &Oracle, expected: &[Repository]) {
    let list = list(folder);
    let images: BTreeSet<String> = expected
        .iter()
        .flat_map(|repository| images(repository, oracle))
        .collect();
    assert_eq!(
        list["archives"][0]["images"],
        images.len(),
        "{name}: {list:#}"
    );
    for repository in expected {
        check_listed(&list, oracle, repository);
    }
    let missing = SPARSE
        .iter()
        .find(|(sparse, _)| *sparse == name)
        .map(|(_, count)| *count);
    let absent: usize = images.iter().map(|image| oracle.absent(image).len()).sum();
    assert_eq!(absent, missing.unwrap_or(0), "{name}: {images:?}");
    let problems: Vec<&str> = list["problems"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|problem| problem["what"].as_str())
        .collect();
    match missing {
        None => assert!(problems.is_empty(), "{name}: {problems:?}"),
        Some(count) => {
            assert_eq!(problems.len(), 1, "{name}: {problems:?}");
            assert!(
                problems[0].contains(&format!("{count} manifests are missing")),
                "{problems:?}"
            );
        }
    }
}

/// What `list --json` says of a folder or a file.
fn list(path: &Path) -> Value {
    let Finished {
        success,
        stdout,
        stderr,
        ..
    } = run(
        command(binary())
            .args(["list", "--json", "--packages"])
            .arg(path),
        Duration::from_secs(60),
    );
    assert!(success, "{}: {stderr}", path.display());
    serde_json::from_str(&stdout).expect("JSON")
}

fn check_listed(list: &Value, oracle: &Oracle, repository: &Repository) {
    let repositories = list["repositories"].as_array().expect("repositories");
    let listed = repositories
        .iter()
        .find(|listed| {
            listed["path"] == repository.path.as_str() && listed["host"] == json!(repository.host)
        })
        .unwrap_or_else(|| panic!("{repository:?} is not listed: {list:#}"));
    assert_eq!(listed["name"], repository.shown());
    let mut tags = BTreeMap::new();
    for entry in listed["tags"].as_array().expect("tags") {
        let (tag, digest) = (entry["tag"].as_str(), entry["digest"].as_str());
        let (tag, digest) = (
            tag.expect("a tag").to_owned(),
            digest.expect("a digest").to_owned(),
        );
        assert_eq!(entry["made"], oracle.made.contains(&digest), "{tag}");
        assert_eq!(
            entry["mediaType"],
            oracle.documents[&digest].media_type.as_str()
        );
        let target = (tag == "latest").then_some(&repository.latest);
        assert_eq!(entry["automatic"], json!(target), "{tag}");
        tags.insert(tag, digest);
    }
    let expected = repository.all_tags().into_iter();
    let expected: BTreeMap<String, String> = expected
        .map(|(tag, short)| (tag, full(oracle, &short)))
        .collect();
    assert_eq!(tags, expected);
    let untagged: Vec<&str> = listed["untagged"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|image| image["digest"].as_str())
        .collect();
    let expected: Vec<String> = repository
        .untagged
        .iter()
        .map(|short| full(oracle, short))
        .collect();
    assert_eq!(untagged, expected);
}

fn catalog(server: &Server) -> Vec<String> {
    let answer = server.get("/v2/_catalog").json();
    let names = answer["repositories"].as_array().expect("a list");
    names
        .iter()
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// The digest that a tag has with this archive alone.
fn digest_served(archive: &str, repository: &str, tag: &str) -> String {
    let folder = alone(archive);
    let server = Server::serving(folder.path());
    let answer = server.head(&format!("/v2/{repository}/manifests/{tag}"));
    let digest = answer.header("docker-content-digest");
    digest
        .unwrap_or_else(|| panic!("{archive} {repository}:{tag}: {}", answer.status))
        .to_owned()
}

/// Where the archives are.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

/// A folder with nothing but a copy of this archive.
fn alone(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let from = data().join(name);
    copy(
        &from,
        &folder.path().join(from.file_name().expect("a name")),
    );
    folder
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("a folder");
        for name in names_in(from) {
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).expect("a copy");
    }
}

/// A folder with the archive as it would be without its OCI half.
fn docker_half_of(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut from = tar::Archive::new(fs::File::open(data().join(name)).expect("an archive"));
    let mut to = tar::Builder::new(fs::File::create(folder.path().join(name)).expect("a file"));
    for entry in from.entries().expect("a tar") {
        let entry = entry.expect("a member");
        let path = entry.path().expect("a name").into_owned();
        if path != Path::new("index.json") && path != Path::new("oci-layout") {
            to.append(&entry.header().clone(), entry).expect("a member");
        }
    }
    to.finish().expect("an end");
    folder
}
