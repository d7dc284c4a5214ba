//! Reads an OCI image layout: `index.json` and `blobs/`
//! ([image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).

use super::graph::{Graph, MAX_ENTRIES};
use super::members::Members;
use super::names::{self, Repository, Written};
use super::problem::{Fault, Problems};
use crate::digest::{Algorithm, Digest};
use crate::oci::Descriptor;
use crate::oci::manifest::{self, ManifestError};

/// An `index.json` up to this size is read, as containerd does.
const MAX_INDEX: u64 = 20 << 20;

/// An image that `index.json` names.
#[derive(Debug)]
pub struct Entry {
    /// Its manifest or index.
    pub root: Digest,
    /// What the annotations say about its name.
    pub written: Written,
    /// The repository that it was pulled from, if that is known.
    pub pulled_from: Option<Repository>,
}

/// Reads the layout whose folder in the archive is `prefix` into `graph`, and gives its images.
pub fn read(
    members: &Members,
    prefix: &str,
    graph: &mut Graph<'_>,
    problems: &mut Problems,
) -> Vec<Entry> {
    locate_blobs(members, prefix, graph, problems);
    let name = format!("{prefix}index.json");
    let listed = read_index(members, &name).unwrap_or_else(|fault| {
        problems.add_in(&name, &fault);
        Vec::new()
    });
    if listed.len() > MAX_ENTRIES {
        problems.add_in(
            &name,
            &Fault::TooMany {
                what: "entries",
                limit: MAX_ENTRIES,
            },
        );
    }
    let mut entries = Vec::new();
    for descriptor in listed.into_iter().take(MAX_ENTRIES) {
        match descriptor {
            Ok(descriptor) => entries.extend(entry(&descriptor, &name, graph, problems)),
            Err(error) => problems.add_in(&name, &Fault::Json(error)),
        }
    }
    entries
}

/// Files under `blobs/` whose path is no digest are allowed and passed over.
fn locate_blobs(members: &Members, prefix: &str, graph: &mut Graph<'_>, problems: &mut Problems) {
    let folder = format!("{prefix}blobs/");
    for name in members.names(&folder) {
        let Some(digest) = digest_of_path(&name[folder.len()..]) else {
            continue;
        };
        match members.locate(name) {
            Ok(stored) => graph.locate(digest, stored),
            // Two members of one name were told of when the table was made.
            Err(Fault::Duplicate) => {}
            Err(fault) => problems.add_in(name, &fault),
        }
    }
}

fn digest_of_path(path: &str) -> Option<Digest> {
    let (algorithm, encoded) = path.split_once('/')?;
    Digest::from_hex(Algorithm::from_name(algorithm)?, encoded).ok()
}

fn read_index(
    members: &Members,
    name: &str,
) -> Result<Vec<Result<Descriptor, serde_json::Error>>, Fault> {
    let bytes = members.read(members.locate(name)?, MAX_INDEX)?;
    manifest::index_entries(&bytes).map_err(Fault::Manifest)
}

fn entry(
    descriptor: &Descriptor,
    index: &str,
    graph: &mut Graph<'_>,
    problems: &mut Problems,
) -> Option<Entry> {
    let root = descriptor.digest();
    let is_there = root.as_ref().is_ok_and(|root| graph.is_here(root));
    graph.visit(descriptor, index, problems);
    let root = root.ok()?;
    if !graph.is_document(&root) {
        if let Some(other) = descriptor
            .media_type
            .as_ref()
            .filter(|told| told.kind().is_none())
        {
            problems.add_in(index, &Fault::Manifest(ManifestError::unsupported(other)));
        } else if !is_there {
            problems.add_in(index, &Fault::MissingMember(descriptor.digest.clone()));
        }
        return None;
    }
    let written = names::annotated(descriptor, &root).unwrap_or_else(|fault| {
        problems.add_in(index, &fault);
        Written::Nothing
    });
    Some(Entry {
        root,
        written,
        pulled_from: names::source_repository(descriptor),
    })
}
