//! The images of one archive and their names: what its halves say, put together.
//!
//! An archive may hold several layouts in folders of their own, and each may be an OCI layout,
//! a Docker archive, or both at once. Where both describe an image, the stored manifest counts if
//! it fits the image, because only its digest is the one that people know.

use std::collections::{BTreeMap, BTreeSet};

use super::docker::{self, DockerImage};
use super::graph::Graph;
use super::layout::{self, Entry};
use super::members::Members;
use super::names::{self, ImageName, Repository, Written};
use super::problem::{Fault, Problems};
use super::{Found, Location};
use crate::digest::Digest;
use crate::oci::Tag;

/// Finds the images in an archive with these members.
pub fn find(members: &Members, location: &Location, problems: &mut Problems) -> Found {
    let roots = roots(members);
    if roots.is_empty() {
        // A layer or a backup is a tar as well: only what is called an archive is missed.
        let is_meant = location
            .path()
            .file_name()
            .is_some_and(|name| names::is_archive_name(&name.to_string_lossy()));
        problems.add(if is_meant {
            &Fault::NoImages
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
        let half = Half {
            members,
            prefix,
            graph: &mut graph,
            problems,
        };
        entries.extend(if *is_docker {
            half.join(stored)
        } else {
            stored
        });
    }
    let named = name_all(
        &entries,
        &graph,
        derived_repository(location).as_ref(),
        problems,
    );
    graph.finish(named)
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

/// The Docker half of a root, about to be joined with what the OCI half gave.
struct Half<'a, 'm> {
    members: &'m Members,
    prefix: &'a str,
    graph: &'a mut Graph<'m>,
    problems: &'a mut Problems,
}

impl Half<'_, '_> {
    /// The images of both halves: `stored` are those of the OCI half.
    fn join(mut self, mut stored: Vec<Entry>) -> Vec<Entry> {
        let name = format!("{}manifest.json", self.prefix);
        let items = docker::items(self.members, &name).unwrap_or_else(|fault| {
            self.problems.add_in(&name, &fault);
            Vec::new()
        });
        for item in &items {
            match DockerImage::read(self.members, self.prefix, item) {
                Ok(image) => self.add(&image, &item.repo_tags, &mut stored),
                Err(fault) => self.problems.add_in(&name, &fault),
            }
        }
        stored
    }

    fn add(&mut self, image: &DockerImage<'_>, tags: &[String], entries: &mut Vec<Entry>) {
        let known = self.graph.images_with_config(&image.config_digest);
        let root = match known.iter().find(|digest| self.graph.fits(digest)) {
            Some(fitting) => fitting.clone(),
            None => {
                let made =
                    image.make_manifest(self.members, self.prefix, self.graph, self.problems);
                // Without a better one the stored manifest stays, whatever it lacks.
                let Some(root) = made.or_else(|| known.first().cloned()) else {
                    return;
                };
                self.replace(&known, &root, entries);
                root
            }
        };
        let names = self.full_names(image, tags, &root);
        complete_tags(self.graph, &image.config_digest, &names, entries);
        let is_stored = entries.iter().any(|entry| entry.root == root);
        for name in names {
            let written = Written::Full(name);
            // The OCI half may give this name to an index that holds the image.
            if !entries.iter().any(|entry| entry.written == written) {
                entries.push(Entry {
                    root: root.clone(),
                    written,
                    pulled_from: None,
                });
            }
        }
        if !is_stored && !self.is_reached(&root, entries) {
            entries.push(Entry {
                root,
                written: Written::Nothing,
                pulled_from: None,
            });
        }
    }

    /// Gives the names of stored manifests that do not fit to the one made in their place.
    fn replace(&mut self, rejected: &[Digest], root: &Digest, entries: &mut Vec<Entry>) {
        let mut untagged = Vec::new();
        for entry in entries
            .iter_mut()
            .filter(|entry| rejected.contains(&entry.root) && entry.root != *root)
        {
            self.problems
                .add(&Fault::RejectedManifest(entry.root.clone()));
            // It can still be had by its digest.
            let written = match &entry.written {
                Written::Full(name) => Written::Full(ImageName {
                    tag: None,
                    ..name.clone()
                }),
                _ => Written::Nothing,
            };
            let pulled_from = entry.pulled_from.clone();
            let stored = std::mem::replace(&mut entry.root, root.clone());
            untagged.push(Entry {
                root: stored,
                written,
                pulled_from,
            });
        }
        entries.append(&mut untagged);
    }

    fn full_names(
        &mut self,
        image: &DockerImage<'_>,
        tags: &[String],
        root: &Digest,
    ) -> Vec<ImageName> {
        let mut names = Vec::new();
        for text in tags {
            match names::full(text, root) {
                Ok(Written::Full(name)) => names.push(name),
                Ok(Written::Tag(_) | Written::Nothing) => {}
                Err(fault) => self.problems.add_in(image.config_name(), &fault),
            }
        }
        names
    }

    fn is_reached(&self, root: &Digest, entries: &[Entry]) -> bool {
        entries
            .iter()
            .any(|entry| self.graph.reach(&entry.root).contains_key(root))
    }
}

/// Bare tags in `index.json` belong to the repository that `manifest.json` names for the same image.
fn complete_tags(graph: &Graph<'_>, config: &Digest, names: &[ImageName], entries: &mut [Entry]) {
    let Some(ImageName { repository, .. }) = names.first() else {
        return;
    };
    for entry in entries {
        let Written::Tag(tag) = &entry.written else {
            continue;
        };
        if graph.reach(&entry.root).contains_key(config) {
            let name = ImageName {
                repository: repository.clone(),
                tag: Some(tag.clone()),
            };
            entry.written = Written::Full(name);
        }
    }
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
        let name = match &entry.written {
            Written::Full(name) => Some(name.clone()),
            Written::Tag(tag) => {
                entry
                    .pulled_from
                    .clone()
                    .or_else(|| derived.cloned())
                    .map(|repository| ImageName {
                        repository,
                        tag: Some(tag.clone()),
                    })
            }
            Written::Nothing => entry.pulled_from.clone().map(|repository| ImageName {
                repository,
                tag: None,
            }),
        };
        if let Some(name) = name {
            named.entry(entry.root.clone()).or_default().insert(name);
        }
    }
    for name in named.values().flatten() {
        if let Some(tag) = name.tag.as_ref().filter(|tag| !tag.is_strict()) {
            problems.add(&Fault::LooseTag(tag.to_string()));
        }
    }
    let roots: BTreeSet<&Digest> = entries.iter().map(|entry| &entry.root).collect();
    // What another image holds needs no name of its own.
    let is_held = |root: &&Digest| {
        roots
            .iter()
            .any(|other| other != root && graph.reach(other).contains_key(*root))
    };
    let nameless: BTreeSet<&Digest> = roots
        .iter()
        .copied()
        .filter(|root| !named.contains_key(root) && !is_held(root))
        .collect();
    let is_only_one = nameless.len() == 1 && named.is_empty();
    for root in nameless {
        let mut places = names_of_subject(root, &named, graph);
        if places.is_empty() {
            let tag = is_only_one.then(Tag::latest);
            places.extend(
                derived
                    .cloned()
                    .map(|repository| ImageName { repository, tag }),
            );
        }
        if !places.is_empty() {
            named.insert(root.clone(), places);
        }
    }
    named
}

/// Where an image without a name belongs that says something about another one, as a
/// signature does: to the repositories of that.
fn names_of_subject(
    root: &Digest,
    named: &BTreeMap<Digest, BTreeSet<ImageName>>,
    graph: &Graph<'_>,
) -> BTreeSet<ImageName> {
    let Some(subject) = graph.subject(root) else {
        return BTreeSet::new();
    };
    let hosts = named
        .iter()
        .filter(|(host, _)| graph.reach(host).contains_key(subject));
    hosts
        .flat_map(|(_, names)| names)
        .map(|name| ImageName {
            tag: None,
            ..name.clone()
        })
        .collect()
}
