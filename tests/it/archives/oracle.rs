//! What an archive says about itself, read by other means than the product's: the `tar` crate, and a hash of every
//! member. No name in an archive is believed where bytes can be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixture::{REF_NAME, sha256};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// The type to serve it under.
    pub(super) media_type: String,
    /// Its bytes, stored ones as they are.
    pub(super) bytes: Vec<u8>,
}

/// A descriptor in `index.json`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) media_type: String,
    /// The reference that is written beside it.
    pub(super) name: Option<String>,
}

impl Entry {
    fn new(descriptor: &Value) -> Self {
        let name = descriptor["annotations"][REF_NAME].as_str();
        Self {
            media_type: text(&descriptor["mediaType"]).to_owned(),
            name: name.map(str::to_owned),
        }
    }
}

/// All that is in one archive, by digest.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// What `index.json` lists, and the manifests to be made of `manifest.json`.
    pub(super) roots: BTreeSet<String>,
    /// The manifests that no `index.json` leads to, so that they have to be made.
    pub(super) made: BTreeSet<String>,
    /// What `index.json` lists, in its order.
    pub(super) entries: Vec<Entry>,
    /// For each item of `manifest.json` the canonical manifest, also where another one is stored.
    pub(super) canonical: Vec<Document>,
    /// The manifests and indexes that are there.
    pub(super) documents: BTreeMap<String, Document>,
    /// Every file, whatever it is called.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Oracle {
    /// Reads a tar or a folder.
    pub(super) fn read(archive: &Path) -> Self {
        let members = Members::read(archive);
        let files = members.files.values();
        let mut oracle = Self {
            files: files.map(|bytes| (sha256(bytes), bytes.clone())).collect(),
            ..Self::default()
        };
        if let Some(index) = members.json("index.json") {
            for entry in list(&index["manifests"]) {
                oracle.entries.push(Entry::new(entry));
                oracle.roots.insert(text(&entry["digest"]).to_owned());
                oracle.follow(entry);
            }
        }
        match members.json("manifest.json") {
            Some(Value::Array(items)) => {
                for item in &items {
                    oracle.add_item(&members, item);
                }
            }
            Some(_) => oracle.add_flat(members.file("manifest.json")),
            None => {}
        }
        oracle
    }

    /// The digests that `document` reaches, itself included: documents and blobs, also absent ones.
    pub(super) fn reach(&self, digest: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut pending = vec![digest.to_owned()];
        while let Some(digest) = pending.pop() {
            if let Some(document) = self.documents.get(&digest) {
                pending.extend(references(&document.bytes).iter().map(digest_of));
            }
            reached.insert(digest);
        }
        reached
    }

    /// Whether it is what skopeo calls `dir:`.
    pub(super) fn is_flat(&self) -> bool {
        !self.roots.is_empty() && self.entries.is_empty() && self.canonical.is_empty()
    }

    /// The digests of manifests in indexes that `digest` reaches and that are not there.
    pub(super) fn absent(&self, digest: &str) -> BTreeSet<String> {
        let mut reached = self.reach(digest);
        reached.retain(|digest| {
            !self.documents.contains_key(digest) && !self.files.contains_key(digest)
        });
        reached
    }

    /// What can be pulled whole of `digest`: itself, or of an incomplete index the manifests that are there.
    pub(super) fn whole(&self, digest: &str) -> Vec<String> {
        if self.absent(digest).is_empty() {
            return vec![digest.to_owned()];
        }
        let reached = self.reach(digest).into_iter();
        reached
            .filter(|child| child != digest && self.documents.contains_key(child))
            .collect()
    }

    fn follow(&mut self, descriptor: &Value) {
        let digest = digest_of(descriptor);
        let Some(bytes) = self.files.get(&digest).cloned() else {
            return;
        };
        let document: Value = serde_json::from_slice(&bytes).expect("a stored manifest is JSON");
        let own = document["mediaType"].as_str();
        let media_type = own.unwrap_or_else(|| text(&descriptor["mediaType"]));
        let children = list(&document["manifests"]).to_vec();
        let media_type = media_type.to_owned();
        self.documents
            .insert(digest, Document { media_type, bytes });
        for child in &children {
            self.follow(child);
        }
    }

    /// The manifest or index of a `dir:`, where no descriptor leads to it.
    fn add_flat(&mut self, bytes: &[u8]) {
        let digest = sha256(bytes);
        self.roots.insert(digest.clone());
        let document: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
        // What counts only if the document does not say what it is.
        let media_type = if document["manifests"].is_array() {
            OCI_INDEX
        } else {
            OCI_MANIFEST
        };
        self.follow(&json!({"digest": digest, "mediaType": media_type}));
    }

    fn add_item(&mut self, members: &Members, item: &Value) {
        let document = canonical(members, item);
        let digest = sha256(&document.bytes);
        self.canonical.push(document.clone());
        let config = sha256(members.file(text(&item["Config"])));
        let is_stored = self.documents.values().any(|stored| {
            references(&stored.bytes)
                .iter()
                .any(|entry| digest_of(entry) == config)
        });
        if !is_stored {
            self.roots.insert(digest.clone());
            self.made.insert(digest.clone());
            self.documents.insert(digest, document);
        }
    }
}

impl Document {
    pub(super) fn digest(&self) -> String {
        sha256(&self.bytes)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("a manifest is JSON")
    }

    /// Whether it is of the form that is made for layers of which all are compressed with gzip.
    pub(super) fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST
    }
}

/// The canonical manifest of an item of `manifest.json`, written here a second time, from the rules.
fn canonical(members: &Members, item: &Value) -> Document {
    let config = members.file(text(&item["Config"]));
    let layers: Vec<&[u8]> = list(&item["Layers"])
        .iter()
        .map(|name| members.file(text(name)))
        .collect();
    let is_docker = !layers.is_empty() && layers.iter().all(|layer| layer.starts_with(b"\x1f\x8b"));
    let (media_type, config_type) = if is_docker {
        (DOCKER_MANIFEST, DOCKER_CONFIG)
    } else {
        (OCI_MANIFEST, OCI_CONFIG)
    };
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let (digest, size) = (sha256(bytes), bytes.len());
        if is_docker {
            format!(r#"{{"mediaType":"{media_type}","size":{size},"digest":"{digest}"}}"#)
        } else {
            format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
        }
    };
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| descriptor(&layer_type(layer, is_docker), layer))
        .collect();
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{},"layers":[{}]}}"#,
        descriptor(config_type, config),
        layers.join(",")
    );
    Document {
        media_type: media_type.to_owned(),
        bytes: bytes.into_bytes(),
    }
}

fn layer_type(layer: &[u8], is_docker: bool) -> String {
    match layer {
        _ if is_docker => DOCKER_LAYER_GZIP.to_owned(),
        [0x1f, 0x8b, ..] => format!("{OCI_LAYER}+gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => format!("{OCI_LAYER}+zstd"),
        _ => OCI_LAYER.to_owned(),
    }
}

/// The descriptors in a manifest or an index.
fn references(document: &[u8]) -> Vec<Value> {
    let document: Value = serde_json::from_slice(document).expect("a manifest is JSON");
    let config = [document["config"].clone()];
    let lists = [&document["layers"], &document["manifests"]];
    config
        .into_iter()
        .filter(Value::is_object)
        .chain(lists.into_iter().flat_map(list).cloned())
        .collect()
}

fn digest_of(descriptor: &Value) -> String {
    text(&descriptor["digest"]).to_owned()
}

/// An array, or nothing at all where there is none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// The files and links of an archive by their names.
struct Members {
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Members {
    fn read(archive: &Path) -> Self {
        let mut members = Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
        };
        if archive.is_dir() {
            members.read_folder(archive, Path::new(""));
        } else {
            members.read_tar(archive);
        }
        members
    }

    fn read_tar(&mut self, archive: &Path) {
        let mut archive = tar::Archive::new(fs::File::open(archive).expect("an archive"));
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("a member");
            let name = plain(&entry.path().expect("a name"));
            match entry.header().entry_type() {
                tar::EntryType::Regular => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).expect("its bytes");
                    self.files.insert(name, bytes);
                }
                tar::EntryType::Symlink => {
                    let target = entry.link_name().expect("a target").expect("a target");
                    let target = plain(&name.parent().expect("a folder").join(target));
                    self.links.insert(name, target);
                }
                tar::EntryType::Directory => {}
                other => panic!("{other:?} in real archives is new"),
            }
        }
    }

    fn read_folder(&mut self, root: &Path, below: &Path) {
        for entry in fs::read_dir(root.join(below)).expect("a folder") {
            let name = below.join(entry.expect("an entry").file_name());
            if root.join(&name).is_dir() {
                self.read_folder(root, &name);
            } else {
                let bytes = fs::read(root.join(&name)).expect("a file");
                self.files.insert(name, bytes);
            }
        }
    }

    fn file(&self, name: &str) -> &[u8] {
        let mut name = Path::new(name);
        while let Some(target) = self.links.get(name) {
            name = target;
        }
        self.files
            .get(name)
            .unwrap_or_else(|| panic!("no member {}", name.display()))
    }

    fn json(&self, name: &str) -> Option<Value> {
        let bytes = self.files.get(Path::new(name))?;
        Some(serde_json::from_slice(bytes).expect("JSON"))
    }
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        match part.to_str() {
            Some(".") => {}
            Some("..") => assert!(plain.pop(), "{} leaves the archive", path.display()),
            _ => plain.push(part),
        }
    }
    plain
}
