//! Every tool that writes archives of images, each in its own dialect: what a file of it becomes.
//!
//! A [`Row`] is a file and what has to be served of it, computed by the makers in `fixture`. The table of tools in
//! `docs/reference/names.md` is made of the same rows.

mod docker;
mod folders;
mod forms;
mod layouts;
mod odd;
mod page;

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Blob, Family, Image, Layer, Node, Packing, Tree};
use crate::listing::{Listing, list};
use crate::server::Server;

/// A file or folder as a tool writes it, and what it becomes.
struct Row {
    /// The tool, for people.
    tool: &'static str,
    /// Where it lies below the packages folder.
    file: String,
    /// The members, and how they are packed; `None` for a folder.
    tree: Tree,
    packing: Option<Packing<'static>>,
    /// What `list --json` calls it.
    format: Option<&'static str>,
    writer: Option<&'static str>,
    /// Where the names come from, for people.
    told: String,
    /// What is special about it, for people.
    note: &'static str,
    served: Vec<Served>,
    /// One beginning of `SEVERITY: WHAT` for each problem.
    problems: Vec<&'static str>,
}

/// An image, and the name it has to have.
struct Served {
    /// `HOST/PATH:TAG`; without the tag for what is there by its digest only. The host is `.` for a name from the path.
    name: String,
    media_type: String,
    is_made: bool,
    /// The manifest, and all that it reaches.
    blobs: Vec<Blob>,
}

impl Row {
    fn tar(tool: &'static str, file: &str, tree: Tree, packing: Packing<'static>) -> Self {
        Self {
            packing: Some(packing),
            ..Self::folder(tool, file, tree)
        }
    }

    fn folder(tool: &'static str, file: &str, tree: Tree) -> Self {
        Self {
            tool,
            file: file.into(),
            tree,
            packing: None,
            format: None,
            writer: None,
            told: String::new(),
            note: "",
            served: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What it is recognized as.
    fn is(mut self, format: &'static str, writer: Option<&'static str>) -> Self {
        (self.format, self.writer) = (Some(format), writer);
        self
    }

    /// Where its names are.
    fn told(mut self, told: &str) -> Self {
        self.told = told.into();
        self
    }

    fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// Its manifest is stored, and has this name.
    fn stored(self, name: &str, node: &impl Node) -> Self {
        self.serves(name, node, false)
    }

    /// Its manifest has to be made, and it has this name.
    fn made(self, name: &str, image: &Image) -> Self {
        self.serves(name, &image.canonical(), true)
    }

    fn serves(mut self, name: &str, node: &impl Node, is_made: bool) -> Self {
        self.served.push(Served {
            name: name.into(),
            media_type: node.descriptor().media_type,
            is_made,
            blobs: node.blobs(),
        });
        self
    }

    fn problem(mut self, problem: &'static str) -> Self {
        self.problems.push(problem);
        self
    }

    /// A packages folder with nothing else in it.
    fn folder_with_it(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(&self.file);
        match &self.packing {
            Some(packing) => {
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(&path, self.tree.tar(packing)).expect("a file");
            }
            None => self.tree.write_to(&path),
        }
        folder
    }

    /// What is not as it has to be, in `list` and on the server.
    fn differences(&self) -> Vec<String> {
        let folder = self.folder_with_it();
        let listing = Listing::of(folder.path());
        let server = Server::serving(folder.path());
        let pulled = self
            .served
            .iter()
            .flat_map(|image| self.pull(&server, image));
        let differences = [
            differ("images", &listing.images(), &self.images()),
            self.told_problems(&listing),
        ];
        let all = differences.into_iter().flatten().chain(pulled);
        all.map(|what| format!("{}: {what}", self.tool)).collect()
    }

    fn images(&self) -> Vec<String> {
        let mut lines: Vec<_> = self
            .served
            .iter()
            .map(|image| {
                let star = if image.is_made { "*" } else { "" };
                format!("{} {}{star}", image.name, image.blobs[0].digest)
            })
            .collect();
        lines.sort();
        lines
    }

    /// Every archive tells its format and its writer, and every image its archives.
    fn recognition(&self) -> Option<String> {
        let folder = self.folder_with_it();
        let listing = Listing::of(folder.path());
        // A file beside the one that is meant may call itself an archive and be none.
        let archives = listing.archives().iter();
        let described =
            archives.filter(|archive| self.format.is_none() || !archive["format"].is_null());
        let keys: BTreeSet<_> = described.map(kind).collect();
        let known = json!([self.format, self.writer]).to_string();
        let expected = BTreeSet::from([known]);
        let paths: Vec<_> = listing
            .archives()
            .iter()
            .map(|archive| &archive["path"])
            .collect();
        let lost = list(&listing.0["repositories"])
            .iter()
            .flat_map(|repository| [&repository["tags"], &repository["untagged"]])
            .flat_map(list)
            .filter(|image| {
                let archives = list(&image["archives"]);
                archives.is_empty() || archives.iter().any(|path| !paths.contains(&path))
            })
            .count();
        let differs = keys != expected;
        let known = differs.then(|| format!("recognized as {keys:?}, expected {expected:?}"));
        let lost = (lost > 0).then(|| format!("{lost} images do not name their archives"));
        known.or(lost).map(|what| format!("{}: {what}", self.tool))
    }

    fn told_problems(&self, listing: &Listing) -> Option<String> {
        let told = listing.problems();
        let is_right = told.len() == self.problems.len()
            && self
                .problems
                .iter()
                .all(|problem| told.iter().any(|told| told.contains(problem)));
        (!is_right).then(|| format!("problems {told:#?}, expected {:?}", self.problems))
    }

    /// Pulls an image by every name that it has, and every blob that is there.
    fn pull(&self, server: &Server, image: &Served) -> Vec<String> {
        let (host, path, reference) = image.parts();
        let wanted = &image.blobs[0];
        let mut targets = vec![format!("/v2/{path}/manifests/{reference}")];
        if let Some(host) = host {
            targets.push(format!("/v2/{path}/manifests/{reference}?ns={host}"));
            let without_port = host.split(':').next().expect("a host");
            targets.push(format!("/v2/{without_port}/{path}/manifests/{reference}"));
        }
        let manifests = targets.iter().filter_map(|target| {
            let answer = server.get(target);
            let is_right = answer.status == 200
                && answer.body == wanted.bytes
                && answer.header("content-type") == Some(&image.media_type)
                && answer.header("docker-content-digest") == Some(&wanted.digest);
            (!is_right).then(|| format!("{target}: {} {:.120}", answer.status, answer.text()))
        });
        let blobs = image.blobs[1..].iter().filter_map(|blob| {
            let kind = if is_document(&blob.bytes) {
                "manifests"
            } else {
                "blobs"
            };
            let target = format!("/v2/{path}/{kind}/{}", blob.digest);
            let answer = server.get(&target);
            let is_there = self.tree.holder(&blob.bytes).is_some();
            let is_right = if is_there {
                answer.status == 200 && answer.body == blob.bytes
            } else {
                answer.status == 404
            };
            (!is_right).then(|| format!("{target}: {}, there: {is_there}", answer.status))
        });
        manifests.chain(blobs).collect()
    }
}

impl Served {
    /// The host, the path, and the tag or else the digest.
    fn parts(&self) -> (Option<&str>, &str, &str) {
        let (host, name) = self.name.split_once('/').expect("a host");
        let (path, reference) = name
            .split_once(':')
            .unwrap_or((name, &self.blobs[0].digest));
        ((host != ".").then_some(host), path, reference)
    }
}

fn kind(archive: &Value) -> String {
    json!([archive["format"], archive["writer"]]).to_string()
}

/// A manifest or an index, which is not to be had as a blob.
fn is_document(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|json| json["schemaVersion"] == 2)
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Option<String> {
    (found != expected).then(|| format!("{what} {found:#?}, expected {expected:#?}"))
}

/// An image of three layers, not compressed, the first and the last of which are the same.
fn plain(title: &str) -> Image {
    let layer = |name: &str| Layer::files(&[(name, title.as_bytes())]);
    Image::new(title).layers([layer("a"), layer("b"), layer("a")])
}

/// The same with gzip layers.
fn packed(title: &str) -> Image {
    let layer = |name: &str| Layer::files(&[(name, title.as_bytes())]).gzip();
    Image::new(title).layers([layer("a"), layer("b"), layer("a")])
}

/// The same with the media types of Docker.
fn schema_2(title: &str) -> Image {
    packed(title).family(Family::Docker)
}

fn check(rows: &[Row]) {
    let differences: Vec<_> = rows.iter().flat_map(Row::differences).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn docker_archives() {
    check(&docker::rows());
}

#[test]
fn hybrid_archives() {
    check(&docker::hybrids());
}

#[test]
fn oci_layouts() {
    check(&layouts::rows());
}

#[test]
fn folders() {
    check(&folders::rows());
}

#[test]
fn every_writer_is_recognized() {
    let rows = [
        docker::rows(),
        docker::hybrids(),
        layouts::rows(),
        folders::rows(),
    ];
    let differences: Vec<_> = rows.iter().flatten().filter_map(Row::recognition).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
