//! The images of one archive and their names: what its layouts say, put together.
//!
//! An archive may hold several layouts in folders of their own, and each may be an OCI layout,
//! a Docker archive, or both at once (see [`hybrid`]).

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::hybrid;
use super::keep;
use super::layout::{self, Entry};
use super::members::Members;
use super::names::{self, ImageName, Written};
use super::problem::{Fault, Problems};
use super::{Found, Learned, Location, docker};
use crate::digest::Digest;
use crate::oci::Tag;

/// Finds the images in an archive with these members.
pub fn find(
    members: &Members,
    location: &Location,
    learned: &Learned,
    problems: &mut Problems,
) -> Found {
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
    let mut graph = Graph::new(members, learned);
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
    let named = name_all(&entries, &graph, derived_name(location).as_ref(), problems);
    keep::keep(&graph, named, problems)
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

/// The name for whatever has none: the file's path, or the root's own name.
fn derived_name(location: &Location) -> Option<ImageName> {
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
    derived: Option<&ImageName>,
    problems: &mut Problems,
) -> BTreeMap<Digest, BTreeSet<ImageName>> {
    let mut named: BTreeMap<Digest, BTreeSet<ImageName>> = BTreeMap::new();
    for entry in entries {
        if let Some(name) = name_of(entry, derived) {
            named.entry(entry.root.clone()).or_default().insert(name);
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
    let nameless = roots
        .into_iter()
        .filter(|root| !named.contains_key(*root) && !is_held(root));
    let (about_others, alone): (Vec<&Digest>, Vec<&Digest>) =
        nameless.partition(|root| graph.subject(root).is_some());
    let is_only_one = alone.len() == 1 && named.is_empty();
    for root in alone {
        let latest = || {
            derived
                .and_then(|name| name.tag.clone())
                .unwrap_or_else(Tag::latest)
        };
        place(
            root,
            derived,
            is_only_one.then(latest),
            &mut named,
            problems,
        );
    }
    let about_others = place_at_subjects(about_others, graph, &holders, &mut named);
    for root in about_others {
        place(root, derived, None, &mut named, problems);
    }
    named
}

/// Gives to an image without a name the repository of `derived`.
fn place(
    root: &Digest,
    derived: Option<&ImageName>,
    tag: Option<Tag>,
    named: &mut BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) {
    match derived {
        Some(name) => {
            let name = ImageName {
                tag,
                ..name.clone()
            };
            named.entry(root.clone()).or_default().insert(name);
        }
        None => problems.add(&Fault::Nameless(root.clone())),
    }
}

/// Puts what says something about another image, as a signature does, where that is; gives back
/// those that are about nothing here. They may be about each other, so it goes on while one finds its place.
fn place_at_subjects<'d>(
    mut pending: Vec<&'d Digest>,
    graph: &Graph<'_>,
    holders: &BTreeMap<&Digest, Vec<&Digest>>,
    named: &mut BTreeMap<Digest, BTreeSet<ImageName>>,
) -> Vec<&'d Digest> {
    loop {
        let before = pending.len();
        pending.retain(|root| {
            let hosts = graph
                .subject(root)
                .and_then(|subject| holders.get(subject))
                .into_iter()
                .flatten();
            let theirs = hosts.filter_map(|host| named.get(*host)).flatten();
            let places: BTreeSet<ImageName> = theirs
                .map(|name| ImageName {
                    tag: None,
                    ..name.clone()
                })
                .collect();
            let is_placed = !places.is_empty();
            if is_placed {
                named.insert((*root).clone(), places);
            }
            !is_placed
        });
        if pending.len() == before {
            return pending;
        }
    }
}

/// The name that an archive gives to an image, completed from `derived`; `None` if it gives none.
fn name_of(entry: &Entry, derived: Option<&ImageName>) -> Option<ImageName> {
    let pulled_from = entry.pulled_from.as_ref();
    match &entry.written {
        Written::Full(name) => Some(name.clone()),
        Written::Tag(tag) => {
            let repository = pulled_from
                .or(derived.map(|name| &name.repository))?
                .clone();
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
