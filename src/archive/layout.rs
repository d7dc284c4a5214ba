//! Reads an OCI image layout: `index.json` and `blobs/`
//! ([image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).

use std::collections::BTreeSet;

use super::graph::Graph;
use super::lost::{Flaw, Loss, Part};
use super::members::Members;
use super::names::{self, About, Repository, Written};
use super::problem::{Fault, Problems};
use super::writer::{Evidence, Sign};
use crate::digest::{Algorithm, Digest};
use crate::oci::manifest::{self, MAX_ENTRIES, ManifestError};
use crate::oci::{Descriptor, MediaType, Platform};

/// An `index.json` up to this size is read, as containerd does.
const MAX_INDEX: u64 = 20 << 20;

/// An image that `index.json` or `manifest.json` names.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its manifest or index.
    pub root: Digest,
    /// What the archive says about its name.
    pub written: Written,
    /// The repository that it was pulled from, if that is known.
    pub pulled_from: Option<Repository>,
    /// That it says something about another image, whose name it may repeat.
    pub about: Option<About>,
    /// What it runs on by its descriptor, in the one spelling.
    pub platform: Option<Platform>,
}

impl Entry {
    /// An image of which nothing else is known.
    pub fn new(root: Digest, written: Written) -> Self {
        Self {
            root,
            written,
            pulled_from: None,
            about: None,
            platform: None,
        }
    }
}

/// Reads the layout whose folder in the archive is `prefix` into `graph`, and gives its images.
pub fn read(
    members: &Members,
    prefix: &str,
    graph: &mut Graph<'_>,
    evidence: &mut Evidence,
    problems: &mut Problems,
) -> Vec<Entry> {
    locate_blobs(members, prefix, graph, problems);
    let name = format!("{prefix}index.json");
    let mut entries = Vec::new();
    let read = read_index(members, &name, graph).and_then(|bytes| {
        let read = manifest::for_each_entry(&bytes, |descriptor| {
            let listed = graph.list().and_then(|()| descriptor.map_err(Fault::Json));
            match listed {
                Ok(descriptor) => {
                    evidence.see_entry(&descriptor);
                    entries.extend(entry(&descriptor, &name, graph, evidence, problems));
                }
                Err(fault) => problems.add_in(&name, &fault),
            }
        });
        read.map_err(Fault::Manifest)
    });
    match read {
        Ok(count) if count > MAX_ENTRIES => {
            let (what, limit) = ("entries", MAX_ENTRIES);
            problems.add_in(&name, &Fault::TooMany { what, limit });
        }
        Ok(_) => {}
        Err(fault) => problems.add_in(&name, &fault),
    }
    entries
}

/// Files under `blobs/` whose path is no digest are allowed and passed over.
fn locate_blobs(members: &Members, prefix: &str, graph: &mut Graph<'_>, problems: &mut Problems) {
    let folder = format!("{prefix}blobs/");
    for name in members.names(&folder) {
        if let Some(digest) = digest_of_path(&name[folder.len()..]) {
            graph.blobs.locate_member(digest, name, problems);
        }
    }
}

fn digest_of_path(path: &str) -> Option<Digest> {
    let (algorithm, encoded) = path.split_once('/')?;
    Digest::from_hex(Algorithm::from_name(algorithm)?, encoded).ok()
}

fn read_index(members: &Members, name: &str, graph: &mut Graph<'_>) -> Result<Vec<u8>, Fault> {
    let stored = members.locate(name)?;
    graph.charge(stored.size, MAX_INDEX)?;
    members.read(stored, MAX_INDEX)
}

fn entry(
    descriptor: &Descriptor,
    index: &str,
    graph: &mut Graph<'_>,
    evidence: &mut Evidence,
    problems: &mut Problems,
) -> Option<Entry> {
    let root = descriptor.digest();
    let is_there = root.as_ref().is_ok_and(|root| graph.blobs.is_here(root));
    graph.visit(descriptor, index, problems);
    let root = root.ok()?;
    let Some(node) = graph.node(&root) else {
        let told = descriptor.media_type.as_ref();
        if let Some(other) = told.filter(|told| told.kind().is_none()) {
            problems.add_in(index, &Fault::Manifest(ManifestError::unsupported(other)));
            return None;
        }
        let flaw = if !is_there {
            problems.add_in(index, &Fault::MissingMember(descriptor.digest.clone()));
            Flaw::Missing
        } else if graph.blobs.damaged().contains(&root) {
            Flaw::Damaged
        } else {
            Flaw::Unusable
        };
        let entry = described(descriptor, root, index, problems);
        graph.lose(Loss::of_entry(entry, Part::document(descriptor), flaw));
        return None;
    };
    if node.is_build_cache {
        evidence.see(Sign::BuildCache);
        problems.add_in(&root.to_string(), &Fault::BuildCache);
        return None;
    }
    let entry = described(descriptor, root, index, problems);
    if let Some(About::Subject(subject)) = &entry.about {
        graph.refer_entry(&entry.root, subject);
    }
    Some(entry)
}

/// What the entry of `index` for `root` says of it.
fn described(descriptor: &Descriptor, root: Digest, index: &str, problems: &mut Problems) -> Entry {
    let written = names::annotated(descriptor, &root).unwrap_or_else(|fault| {
        problems.add_in(index, &fault);
        Written::Nothing
    });
    Entry {
        root,
        written,
        pulled_from: names::source_repository(descriptor),
        about: About::of(descriptor),
        platform: descriptor
            .platform
            .as_ref()
            .filter(|platform| platform.is_real())
            .map(Platform::normalized),
    }
}

/// Whether `index.json` lists nothing but nameless images that it says to be for platforms of their own, so that it can
/// as well be an image itself: apko writes it so.
pub fn is_image(entries: &[Entry]) -> bool {
    let platforms: BTreeSet<&Platform> = entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .collect();
    let is_nameless = |entry: &Entry| {
        entry.written == Written::Nothing && entry.pulled_from.is_none() && entry.about.is_none()
    };
    entries.len() > 1 && entries.iter().all(is_nameless) && platforms.len() == entries.len()
}

/// The `index.json` of the folder `prefix` as an image: its very bytes, under their own digest.
pub fn index_itself(
    members: &Members,
    prefix: &str,
    graph: &mut Graph<'_>,
    problems: &mut Problems,
) -> Option<Entry> {
    let name = format!("{prefix}index.json");
    let stored = members.locate(&name).ok()?;
    let bytes = members.read(stored, MAX_INDEX).ok()?;
    let root = Digest::sha256(&bytes);
    graph.blobs.locate(root.clone(), stored);
    let descriptor = Descriptor::new(&root, stored.size, Some(MediaType::OCI_INDEX));
    graph.visit(&descriptor, &name, problems);
    graph
        .is_document(&root)
        .then(|| Entry::new(root, Written::Nothing))
}
