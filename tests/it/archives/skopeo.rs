//! What skopeo reads in an archive, compared with what is served of it and with what skopeo pulls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::oracle::{Entry, OCI_LAYER, Oracle};
use super::table::{CONTAINERD, DOCKER, FLAT, OTHERS, Repository, Row, SKOPEO, repositories};
use super::{alone, data, full, images, names_in};
use crate::fixture::sha256;
use crate::needs::{needs, run};
use crate::server::Server;

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The tag that crane writes for what has none.
const NO_TAG: &str = "i-was-a-digest";

#[test]
fn skopeo_agrees_on_archives_of_docker() {
    check_all(DOCKER);
}

#[test]
fn skopeo_agrees_on_archives_of_containerd() {
    check_all(CONTAINERD);
}

#[test]
fn skopeo_agrees_on_archives_of_skopeo() {
    check_all(SKOPEO);
}

#[test]
fn skopeo_agrees_on_archives_of_others() {
    check_all(OTHERS);
}

#[test]
fn skopeo_agrees_on_flat_folders() {
    check_all(FLAT);
}

fn check_all(rows: &[Row]) {
    if !needs(&["skopeo"]) {
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

/// Whatever skopeo finds in `archive` is served, byte for byte where it is stored.
pub(super) fn compare(
    server: &Server,
    archive: &Path,
    oracle: &Oracle,
    repositories: &[Repository],
) {
    let reader = Reader {
        server,
        archive,
        served: served(server, oracle, repositories),
    };
    if oracle.is_flat() {
        reader.check_stored("dir", "", None);
    }
    reader.check_layout(&oracle.entries);
    // It reads them as tars only.
    if archive.is_file() {
        reader.check_docker(oracle.canonical.len());
    }
    for repository in repositories {
        let name = format!("{}/{}", server.authority(), repository.path);
        for image in images(repository, oracle) {
            for whole in oracle.whole(&image) {
                check_pull(&name, &whole, oracle);
            }
        }
    }
}

/// What skopeo pulls of an image is all that is in the archive, byte for byte.
fn check_pull(name: &str, image: &str, oracle: &Oracle) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = format!("dir:{}", folder.path().display());
    let source = format!("docker://{name}@{image}");
    skopeo(&[
        "copy",
        "-q",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        &source,
        &target,
    ]);
    let files = names_in(folder.path()).into_iter();
    let arrived: BTreeSet<String> = files
        .filter(|file| file != "version")
        .map(|file| sha256(&fs::read(folder.path().join(file)).expect("a file")))
        .collect();
    assert_eq!(arrived, oracle.reach(image), "{source}");
}

/// The path of each image, by tag or digest, with what is served there.
fn served(
    server: &Server,
    oracle: &Oracle,
    repositories: &[Repository],
) -> BTreeMap<String, Vec<u8>> {
    let mut paths = Vec::new();
    for repository in repositories {
        let digests = repository.untagged.iter().map(|short| full(oracle, short));
        let references = repository.all_tags().into_keys().chain(digests);
        paths.extend(references.map(|reference| manifest(&repository.path, &reference)));
    }
    let get = |path: String| {
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        (path, answer.body)
    };
    paths.into_iter().map(get).collect()
}

fn manifest(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

struct Reader<'a> {
    server: &'a Server,
    archive: &'a Path,
    served: BTreeMap<String, Vec<u8>>,
}

impl Reader<'_> {
    /// Every entry of `index.json` that skopeo can select.
    fn check_layout(&self, entries: &[Entry]) {
        let transport = if self.archive.is_dir() {
            "oci"
        } else {
            "oci-archive"
        };
        let is_alone = entries.len() == 1;
        for Entry { media_type, name } in entries {
            match name {
                // It finds by their names only what is of the types of OCI.
                Some(name) if media_type.starts_with("application/vnd.oci.image.") => {
                    self.check_stored(transport, &format!(":{name}"), Some(name));
                }
                _ if is_alone => self.check_stored(transport, "", name.as_deref()),
                _ => {}
            }
        }
    }

    /// The bytes of the manifest come under its name.
    fn check_stored(&self, transport: &str, selector: &str, name: Option<&str>) {
        let raw = self.raw(transport, selector).into_bytes();
        let all = || format!("{:?}", self.served.keys());
        match name.map(Name::parse) {
            Some(name @ Name { path: Some(_), .. }) => {
                assert!(self.get(&name) == raw, "{name:?} is not skopeo's");
            }
            // A tag is of a repository that something else names.
            Some(Name { tag, .. }) => {
                let is_there = |(path, bytes): (&String, &Vec<u8>)| {
                    path.ends_with(&format!("/manifests/{tag}")) && *bytes == raw
                };
                assert!(self.served.iter().any(is_there), "{selector}: {}", all());
            }
            None => {
                let mut bytes = self.served.values();
                assert!(bytes.any(|bytes| *bytes == raw), "{selector}: {}", all());
            }
        }
    }

    /// Every item of `manifest.json`. Skopeo makes another manifest for it; the configuration and
    /// the layers without their compression are the same.
    fn check_docker(&self, items: usize) {
        let configs = self.configs();
        for item in 0..items {
            let seen = self.docker(&format!(":@{item}"));
            let config = digest(&seen["config"]);
            let served = configs
                .get(&config)
                .unwrap_or_else(|| panic!("{config} is not in {:?}", configs.keys()));
            let diff_ids = digests(&seen["layers"]);
            assert_eq!(diff_ids, self.diff_ids(&config), "@{item}");
            if plain(served) {
                assert_eq!(diff_ids, digests(&served["layers"]), "@{item}");
            }
        }
        if items > 0 {
            self.check_docker_names();
        }
    }

    fn check_docker_names(&self) {
        let source = self.source("docker-archive", "");
        let list: Value = serde_json::from_str(&skopeo(&["list-tags", &source])).expect("JSON");
        let names = list["Tags"].as_array().expect("tags").iter();
        let names = names.map(|name| name.as_str().expect("a name"));
        for text in names.filter(|name| !name.starts_with('@')) {
            let name = Name::parse(text);
            if name.tag == NO_TAG {
                continue;
            }
            let config = digest(&self.docker(&format!(":{text}"))["config"]);
            let served = serde_json::from_slice(&self.get(&name)).expect("a manifest");
            let children = self.children(name.path.as_deref().expect("a path"), &served);
            let mut configs = children.iter().map(|child| digest(&child["config"]));
            assert!(configs.any(|found| found == config), "{text}: {served}");
        }
    }

    /// The image manifests that are served, by the digests of their configurations.
    fn configs(&self) -> BTreeMap<String, Value> {
        let mut configs = BTreeMap::new();
        for (path, bytes) in &self.served {
            let document: Value = serde_json::from_slice(bytes).expect("a manifest");
            for image in self.children(repository_of(path), &document) {
                configs.insert(digest(&image["config"]), image);
            }
        }
        configs
    }

    /// The images that are there of an index, or the image itself.
    fn children(&self, repository: &str, document: &Value) -> Vec<Value> {
        let Some(list) = document["manifests"].as_array() else {
            return vec![document.clone()];
        };
        let answers = list
            .iter()
            .map(|child| self.server.get(&manifest(repository, &digest(child))));
        answers
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json())
            .collect()
    }

    /// What the configuration, as it is served, says about the layers.
    fn diff_ids(&self, config: &str) -> Vec<String> {
        let repositories = self.served.keys().map(|path| repository_of(path));
        let mut answers = repositories
            .map(|repository| self.server.get(&format!("/v2/{repository}/blobs/{config}")));
        let found = answers.find(|answer| answer.status == 200);
        let config = found.expect("a configuration").json();
        let diff_ids = config["rootfs"]["diff_ids"].as_array();
        diff_ids
            .expect("diff IDs")
            .iter()
            .map(|diff_id| diff_id.as_str().expect("a digest").to_owned())
            .collect()
    }

    /// What is served under a full name to a client that knows the registry as its mirror.
    fn get(&self, name: &Name) -> Vec<u8> {
        let path = name.path.as_deref().expect("a path");
        let path = format!("{}?ns={}", manifest(path, &name.tag), name.host);
        let answer = self.server.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }

    fn docker(&self, selector: &str) -> Value {
        serde_json::from_str(&self.raw("docker-archive", selector)).expect("a manifest")
    }

    fn raw(&self, transport: &str, selector: &str) -> String {
        let source = self.source(transport, selector);
        skopeo(&["inspect", "--raw", &source])
    }

    fn source(&self, transport: &str, selector: &str) -> String {
        format!("{transport}:{}{selector}", self.archive.display())
    }
}

fn skopeo(arguments: &[&str]) -> String {
    let finished = run(Command::new("skopeo").args(arguments), LIMIT);
    assert!(finished.success, "{arguments:?}: {}", finished.said());
    finished.stdout
}

/// The repository in the path of a manifest.
fn repository_of(path: &str) -> &str {
    let path = path.strip_prefix("/v2/").expect("a path of the API");
    path.rsplit_once("/manifests/").expect("a manifest").0
}

/// Whether no layer is compressed.
fn plain(manifest: &Value) -> bool {
    let mut layers = manifest["layers"].as_array().expect("layers").iter();
    layers.all(|layer| layer["mediaType"] == OCI_LAYER)
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a digest").to_owned()
}

fn digests(descriptors: &Value) -> Vec<String> {
    let descriptors = descriptors.as_array().expect("descriptors");
    descriptors.iter().map(digest).collect()
}

/// A name as Docker understands it.
#[derive(Debug)]
struct Name {
    host: String,
    /// None where the name is nothing but a tag.
    path: Option<String>,
    tag: String,
}

impl Name {
    fn parse(text: &str) -> Self {
        let Some((name, tag)) = text.rsplit_once(':') else {
            return Self {
                host: String::new(),
                path: None,
                tag: text.to_owned(),
            };
        };
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        Self {
            host: host.to_owned(),
            path: Some(path),
            tag: tag.to_owned(),
        }
    }
}
