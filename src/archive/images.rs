//! The images of one archive and their names: what its layouts say, put together.
//!
//! An archive may hold several layouts in folders of their own, and each may be an OCI layout,
//! a Docker archive, or both at once (see [`hybrid`]).

use std::collections::{BTreeMap, BTreeSet};

use super::found;
use super::graph::Graph;
use super::hybrid;
use super::layout::{self, Entry};
use super::members::Members;
use super::names::{self, ImageName, Repository, Written};
use super::problem::{Fault, Problems};
use super::{Found, Location, docker};
use crate::digest::Digest;
use crate::oci::Tag;

/// Finds the images in an archive with these members.
pub fn find(members: &Members, location: &Location, problems: &mut Problems) -> Found {
    let roots = roots(members);
    if roots.is_empty() {
        // A layer or a backup is a tar as well: only what is called an archive is missed.
        let path = location.path();
        let is_meant = path
            .file_name()
            .is_some_and(|name| names::is_archive_name(&name.to_string_lossy()));
        problems.add(if is_meant {
            &Fault::NoLayout
        } else {
            &Fault::Ignored
        });
    }
    let mut graph = Graph::new(members);
    let mut entries = Vec::new();
    for Root {
        prefix,
        is_layout,
        is_docker,
    } in &roots
    {
        let stored = if *is_layout {
            layout::read(members, prefix, &mut graph, problems)
        } else {
            Vec::new()
        };
        entries.extend(if *is_docker {
            hybrid::join(members, prefix, stored, &mut graph, problems)
        } else {
            stored
        });
    }
    graph.forget_damaged();
    let named = name_all(
        &entries,
        &graph,
        derived_repository(location).as_ref(),
        problems,
    );
    found::finish(&graph, named, problems)
}

/// A folder in an archive that is a layout.
#[derive(Debug)]
struct Root {
    /// The folder, with a slash at its end unless it is the archive's root.
    prefix: String,
    /// It has an `index.json` and blobs.
    is_layout: bool,
    /// It has a `manifest.json` that is an array.
    is_docker: bool,
}

fn roots(members: &Members) -> Vec<Root> {
    let prefixes: BTreeSet<&str> = members
        .names("")
        .filter_map(|name| {
            name.strip_suffix("index.json")
                .or_else(|| name.strip_suffix("manifest.json"))
        })
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        // Whatever lies among the blobs is content.
        .filter(|prefix| !prefix.split('/').any(|part| part == "blobs"))
        .collect();
    let root = |prefix: &str| {
        let has = |name: &str| members.contains(&format!("{prefix}{name}"));
        let has_blobs = || members.names(&format!("{prefix}blobs/")).next().is_some();
        Root {
            is_layout: has("index.json") && (has("oci-layout") || has_blobs()),
            is_docker: has("manifest.json")
                && docker::is_manifest(members, &format!("{prefix}manifest.json")),
            prefix: prefix.to_owned(),
        }
    };
    prefixes
        .into_iter()
        .map(root)
        .filter(|root| root.is_layout || root.is_docker)
        .collect()
}

/// The repository for whatever has no name: the file's path, or the root's own name.
fn derived_repository(location: &Location) -> Option<Repository> {
    let relative = location.relative();
    if relative.as_os_str().is_empty() {
        let path = location.path();
        // The current folder has a name too.
        let path = if path.file_name().is_some() {
            path
        } else {
            path.canonicalize().ok()?
        };
        return names::from_path(path.file_name()?.as_ref());
    }
    names::from_path(relative)
}

/// All images with their names; what the archive leaves open is taken from `derived`.
fn name_all(
    entries: &[Entry],
    graph: &Graph<'_>,
    derived: Option<&Repository>,
    problems: &mut Problems,
) -> BTreeMap<Digest, BTreeSet<ImageName>> {
    let mut named: BTreeMap<Digest, BTreeSet<ImageName>> = BTreeMap::new();
    for entry in entries {
        if let Some(name) = name_of(entry, derived) {
            named.entry(entry.root.clone()).or_default().insert(name);
        }
    }
    for name in named.values().flatten() {
        if let Some(tag) = name.tag.as_ref().filter(|tag| !tag.is_strict()) {
            problems.add(&Fault::LooseTag(tag.to_string()));
        }
    }
    let roots: BTreeSet<&Digest> = entries.iter().map(|entry| &entry.root).collect();
    let holders = graph.holders(roots.iter().copied());
    // What another image holds needs no name of its own.
    let is_held = |root: &Digest| {
        holders
            .get(root)
            .is_some_and(|holders| holders.iter().any(|holder| *holder != root))
    };
    let nameless: Vec<&Digest> = roots
        .into_iter()
        .filter(|root| !named.contains_key(*root) && !is_held(root))
        .collect();
    let is_only_one = nameless.len() == 1 && named.is_empty();
    for root in nameless {
        // What says something about another image, as a signature does, belongs to the repositories of that.
        let hosts = graph
            .subject(root)
            .and_then(|subject| holders.get(subject))
            .into_iter()
            .flatten();
        let of_subject = hosts.filter_map(|host| named.get(*host)).flatten();
        let mut places: BTreeSet<ImageName> = of_subject
            .map(|name| ImageName {
                tag: None,
                ..name.clone()
            })
            .collect();
        if places.is_empty() {
            let tag = is_only_one.then(Tag::latest);
            places.extend(
                derived
                    .cloned()
                    .map(|repository| ImageName { repository, tag }),
            );
        }
        if places.is_empty() {
            problems.add(&Fault::Nameless(root.clone()));
        } else {
            named.insert(root.clone(), places);
        }
    }
    named
}

/// The name that an archive gives to an image, completed from `derived`; `None` if it gives none.
fn name_of(entry: &Entry, derived: Option<&Repository>) -> Option<ImageName> {
    let pulled_from = entry.pulled_from.as_ref();
    match &entry.written {
        Written::Full(name) => Some(name.clone()),
        Written::Tag(tag) => {
            let repository = pulled_from.or(derived)?.clone();
            Some(ImageName {
                repository,
                tag: Some(tag.clone()),
            })
        }
        Written::Nothing => Some(ImageName {
            repository: pulled_from?.clone(),
            tag: None,
        }),
    }
}
