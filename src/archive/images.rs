//! The images of one archive: what its layouts say, put together.
//!
//! An archive may hold several layouts in folders of their own, and each may be an OCI layout,
//! a Docker archive, or both at once (see [`hybrid`]), or what skopeo calls a `dir:`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::graph::Graph;
use super::keep::keep;
use super::layout::{self, Entry};
use super::members::Members;
use super::names::{self, ImageName, PathName};
use super::naming::{self, Named};
use super::problem::{Fault, Problems};
use super::writer::{Evidence, Sign};
use super::{Found, Learned, Location, apko, dir, docker, hybrid};
use crate::digest::Digest;

/// Finds the images in an archive with these members.
pub fn find(
    members: &Members,
    location: &Location,
    learned: &Learned,
    problems: &mut Problems,
) -> Found {
    let roots = roots(members);
    if roots.is_empty() {
        problems.add(&nothing_found(members, location));
    }
    let mut graph = Graph::new(members, learned);
    let mut evidence = Evidence::default();
    let mut listed = Vec::new();
    for root in &roots {
        if roots.len() > 1 {
            graph.blobs.start_layout();
        }
        let entries = root.read(members, &mut graph, &mut evidence, problems);
        listed.push((entries, graph.take_lost()));
    }
    for name in graph.blobs.ambiguous() {
        problems.add_in(name, &Fault::Duplicate);
    }
    graph.forget_damaged();
    let is_dir = evidence.has(Sign::Dir);
    let (mut named, mut lost) = (Named::new(), Vec::new());
    for (root, (entries, losses)) in roots.iter().zip(listed) {
        // Each of several layouts has a name of its own; a folder around the only one means nothing.
        let folder = if roots.len() > 1 { &root.prefix } else { "" };
        let derived = derived_name(location, folder, is_dir);
        for (image, names) in naming::name_all(&entries, &graph, derived.as_ref(), problems) {
            named.entry(image).or_default().extend(names);
        }
        let losses = losses.into_iter();
        lost.extend(losses.filter_map(|loss| loss.named(derived.as_ref())));
    }
    if !lost.is_empty() {
        // Another half or folder of the archive may have it.
        let given: BTreeSet<&ImageName> = named.values().flatten().collect();
        lost.retain(|lost| lost.name.tag.is_none() || !given.contains(&lost.name));
    }
    take_fallback_tags(&named, &mut graph);
    Found {
        format: evidence.format(),
        writer: evidence.writer(members),
        lost: lost.into(),
        ..keep(&graph, named, problems)
    }
}

/// Why there is no image in an archive without a layout.
fn nothing_found(members: &Members, location: &Location) -> Fault {
    // A layer or a backup is a tar as well: only what is called an archive is missed.
    let path = location.path();
    let is_meant = path
        .file_name()
        .is_some_and(|name| names::is_archive_name(&name.to_string_lossy()));
    if members.contains("repositories") {
        Fault::OldDocker
    } else if is_meant {
        Fault::NoLayout
    } else {
        Fault::Ignored
    }
}

/// A folder in an archive that describes images.
#[derive(Debug)]
struct Root {
    /// The folder, with a slash at its end unless it is the archive's root.
    prefix: String,
    /// There is an `index.json`, and where its blobs are.
    layout: Option<Blobs>,
    /// There is a `manifest.json` that is a Docker archive's (an array) or a `dir:`'s (an object).
    manifest: Option<docker::Kind>,
}

/// Where the blobs of a layout are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blobs {
    /// In `blobs/`.
    InFolder,
    /// Beside `index.json`, as apko writes them.
    Beside,
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
    prefixes
        .into_iter()
        .map(|prefix| Root::at(members, prefix))
        .filter(|root| root.layout.is_some() || root.manifest.is_some())
        .collect()
}

impl Root {
    fn at(members: &Members, prefix: &str) -> Self {
        let has = |name: &str| members.contains(&format!("{prefix}{name}"));
        let has_folder = || members.names(&format!("{prefix}blobs/")).next().is_some();
        let layout = if !has("index.json") {
            None
        } else if apko::has_flat_blobs(members, prefix) {
            Some(Blobs::Beside)
        } else {
            (has("oci-layout") || has_folder()).then_some(Blobs::InFolder)
        };
        let manifest = docker::kind_of_manifest(members, &format!("{prefix}manifest.json"));
        Self {
            prefix: prefix.to_owned(),
            layout,
            // Many an object is called so.
            manifest: manifest
                .filter(|kind| *kind == docker::Kind::Array || dir::is_dir(members, prefix)),
        }
    }

    fn read<'m>(
        &self,
        members: &'m Members,
        graph: &mut Graph<'m>,
        evidence: &mut Evidence,
        problems: &mut Problems,
    ) -> Vec<Entry> {
        let prefix = &self.prefix;
        match self.layout {
            Some(Blobs::InFolder) => evidence.see(Sign::Layout),
            Some(Blobs::Beside) => {
                evidence.see(Sign::FlatBlobs);
                apko::locate_blobs(members, prefix, graph, problems);
            }
            None => {}
        }
        let mut entries = match self.layout {
            Some(_) => layout::read(members, prefix, graph, evidence, problems),
            None => Vec::new(),
        };
        let index = self.index_itself(&mut entries, members, graph, problems);
        match self.manifest {
            Some(docker::Kind::Array) => {
                evidence.see(Sign::Docker);
                entries = hybrid::join(members, prefix, entries, graph, evidence, problems);
            }
            Some(docker::Kind::Object) => {
                evidence.see(Sign::Dir);
                entries.extend(dir::read(members, prefix, graph, problems));
            }
            None => {}
        }
        if let Some(index) = index {
            entries.extend(apko::index_names(&entries, &index, graph));
        }
        entries
    }

    /// The index that `index.json` itself is, where it lists nothing but the images of one.
    fn index_itself(
        &self,
        entries: &mut Vec<Entry>,
        members: &Members,
        graph: &mut Graph<'_>,
        problems: &mut Problems,
    ) -> Option<Digest> {
        if self.layout != Some(Blobs::Beside) && !layout::is_image(entries) {
            return None;
        }
        let index = layout::index_itself(members, &self.prefix, graph, problems)?;
        let root = index.root.clone();
        entries.push(index);
        Some(root)
    }
}

/// The name for whatever has none in the folder `folder` of the archive: the file's path, or the root's own name, and
/// that folder.
fn derived_name(location: &Location, folder: &str, is_dir: bool) -> Option<PathName> {
    let relative = location.relative();
    let path = if relative.as_os_str().is_empty() {
        let path = location.path();
        // The current folder has a name too.
        let path = if path.file_name().is_some() {
            path
        } else {
            path.canonicalize().ok()?
        };
        PathBuf::from(path.file_name()?)
    } else {
        relative.to_owned()
    };
    if folder.is_empty() {
        let synced = names::from_synced_path(&path).filter(|_| is_dir);
        return synced.or_else(|| names::from_path(&path));
    }
    let synced = names::from_synced_path(folder.trim_end_matches('/').as_ref());
    synced.filter(|_| is_dir).or_else(|| {
        let archive = names::without_extension(path.file_name()?.to_str()?).to_owned();
        names::from_path(&path.with_file_name(archive).join(folder))
    })
}

/// Lists what tags like `sha256-<hex>` hold among the referrers of that digest: where a registry could not list
/// them, clients did so.
fn take_fallback_tags(named: &Named, graph: &mut Graph<'_>) {
    for (root, names) in named {
        let tags = names.iter().filter_map(|name| name.tag.as_ref());
        let subjects: BTreeSet<Digest> = tags.filter_map(names::fallback_subject).collect();
        if subjects.is_empty() {
            continue;
        }
        let children = graph.children(root).unwrap_or_default();
        for subject in &subjects {
            for child in &children {
                graph.refer(child, subject);
            }
        }
    }
}
