//! Joins the two halves of an archive that describes its images twice: as an OCI layout and as a Docker archive.
//!
//! The stored manifest counts if it fits the image, because only its digest is the one that people
//! know. Several releases of Docker wrote stored manifests that do not fit, or left images out of one half.
//! A plain Docker archive is the case in which the other half is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::docker::{self, Config, Item, MAX_ITEMS};
use super::graph::Graph;
use super::layout::Entry;
use super::lost::{Loss, Part};
use super::members::{Members, Stored};
use super::names::{self, ImageName, Written};
use super::problem::{Fault, Problems};
use super::writer::Evidence;
use crate::digest::Digest;

/// The images of both halves of the layout in the folder `prefix`: `stored` are those of the OCI half.
pub fn join<'m>(
    members: &'m Members,
    prefix: &str,
    stored: Vec<Entry>,
    graph: &mut Graph<'m>,
    evidence: &mut Evidence,
    problems: &mut Problems,
) -> Vec<Entry> {
    let name = format!("{prefix}manifest.json");
    let bytes = read_list(members, &name, graph);
    let mut join = Join::new(members, prefix, stored, graph, problems);
    let read = bytes
        .and_then(|bytes| docker::for_each_item(&bytes, |item| join.take(item, &name, evidence)));
    match read {
        Ok(count) if count > MAX_ITEMS => {
            let (what, limit) = ("images", MAX_ITEMS);
            join.problems.add_in(&name, &Fault::TooMany { what, limit });
        }
        Ok(_) => {}
        Err(fault) => join.problems.add_in(&name, &fault),
    }
    join.entries
}

/// Among so many manifests of one configuration the one is looked for that an item means.
const MAX_FITTING: usize = 16;

fn read_list(members: &Members, name: &str, graph: &mut Graph<'_>) -> Result<Vec<u8>, Fault> {
    let stored = members.locate(name)?;
    graph.charge(stored.size, docker::MAX_MANIFEST)?;
    members.read(stored, docker::MAX_MANIFEST)
}

struct Join<'a, 'm> {
    members: &'m Members,
    prefix: &'a str,
    graph: &'a mut Graph<'m>,
    problems: &'a mut Problems,
    entries: Vec<Entry>,
    /// The places of the stored entries that hold a document.
    holders: BTreeMap<Digest, Vec<usize>>,
    /// The stored images with a configuration.
    by_config: BTreeMap<Digest, Vec<Digest>>,
    /// What was found out about those, by configuration: many items may share one.
    known: BTreeMap<Digest, Arc<Known>>,
    /// Configurations that were read, by place, with the digests of the bytes; images may share them.
    configs: BTreeMap<Stored, (Digest, Option<Arc<Config>>)>,
    /// The configurations of images whose bare tags have been completed, and the manifests whose stored ones have been
    /// replaced: many items may be about one image.
    completed: BTreeSet<Digest>,
    replaced: BTreeSet<Digest>,
}

/// What the OCI half has of the images with one configuration.
#[derive(Debug)]
struct Known {
    /// Their manifests.
    stored: Vec<Digest>,
    /// Those of them that fit, as far as it matters which.
    fitting: Vec<Digest>,
    /// The layers, by number, that they call by another digest than the diff ID.
    doubted: BTreeSet<usize>,
}

impl<'a, 'm> Join<'a, 'm> {
    fn new(
        members: &'m Members,
        prefix: &'a str,
        entries: Vec<Entry>,
        graph: &'a mut Graph<'m>,
        problems: &'a mut Problems,
    ) -> Self {
        let mut places: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            places.entry(&entry.root).or_default().push(place);
        }
        let holders = graph.holders(places.keys().copied());
        let holders = holders
            .into_iter()
            .map(|(held, roots)| {
                (
                    held.clone(),
                    roots
                        .into_iter()
                        .flat_map(|root| &places[root])
                        .copied()
                        .collect(),
                )
            })
            .collect();
        let by_config = graph.images_by_config();
        Self {
            members,
            prefix,
            graph,
            problems,
            entries,
            known: BTreeMap::new(),
            holders,
            by_config,
            configs: BTreeMap::new(),
            completed: BTreeSet::new(),
            replaced: BTreeSet::new(),
        }
    }

    fn take(&mut self, item: Result<Item, serde_json::Error>, list: &str, evidence: &mut Evidence) {
        let item = self.graph.list().and_then(|()| item.map_err(Fault::Json));
        match item {
            Ok(item) => self.add(&item, evidence),
            Err(fault) => self.problems.add_in(list, &fault),
        }
    }

    fn config(&mut self, item: &Item) -> Option<Arc<Config>> {
        self.read_config(&item.config).unwrap_or_else(|fault| {
            // The other half may have met it first.
            let is_told = matches!(&fault, Fault::DigestMismatch { expected, .. } if self.graph.blobs.damaged().contains(expected));
            if !is_told {
                self.problems.add_in(&item.config, &fault);
            }
            self.lose(item, Part::Config, &fault);
            None
        })
    }

    /// Notes that nothing can be served of an image that `manifest.json` names.
    fn lose(&mut self, item: &Item, part: Part, fault: &Fault) {
        for text in &item.repo_tags {
            if self.graph.list().is_err() {
                break;
            }
            if let Some(name) = names::called(text) {
                self.graph.lose(Loss::of_item(name, part, fault));
            }
        }
    }

    /// The configuration in the member `name`; `None` if that was read before and is none.
    fn read_config(&mut self, name: &str) -> Result<Option<Arc<Config>>, Fault> {
        let stored = docker::locate(self.members, self.prefix, name)?;
        if let Some((digest, known)) = self.configs.get(&stored) {
            docker::check_name(name, stored, digest)?;
            return Ok(known.clone());
        }
        let (digest, config) = Config::read(self.members, stored)?;
        let name_fits = docker::check_name(name, stored, &digest);
        let config = config.map(Arc::new);
        let known = config.as_ref().ok().cloned();
        self.configs.insert(stored, (digest, known));
        name_fits?;
        config.map(Some).map_err(Fault::Json)
    }

    fn known(&mut self, config: &Digest) -> Arc<Known> {
        if let Some(known) = self.known.get(config) {
            return Arc::clone(known);
        }
        let stored = self.by_config.get(config).cloned().unwrap_or_default();
        let doubted = stored
            .iter()
            .flat_map(|stored| self.graph.misplaced_layers(stored));
        let known = Arc::new(Known {
            fitting: stored
                .iter()
                .filter(|stored| self.graph.fits(stored))
                .take(MAX_FITTING)
                .cloned()
                .collect(),
            doubted: doubted.collect(),
            stored,
        });
        self.known.insert(config.clone(), Arc::clone(&known));
        known
    }

    fn add(&mut self, item: &Item, evidence: &mut Evidence) {
        let Some(config) = self.config(item) else {
            return;
        };
        evidence.see_item(item, &config.parsed);
        let known = self.known(&config.digest);
        let Some(root) = self.root(item, &config, &known) else {
            return;
        };
        let names = self.full_names(item, &root);
        if !names.is_empty() && self.completed.insert(config.digest.clone()) {
            self.complete_tags(&known.stored, &names);
        }
        let mut is_named = self.holders.contains_key(&root);
        for name in names {
            is_named = true;
            if !self.is_held_under(&root, &name) {
                self.entries
                    .push(Entry::new(root.clone(), Written::Full(name)));
            }
        }
        if !is_named {
            self.entries.push(Entry::new(root, Written::Nothing));
        }
    }

    /// Whether the OCI half gives this name to the image already, or to an index that holds it.
    fn is_held_under(&self, root: &Digest, name: &ImageName) -> bool {
        let holders = self.holders.get(root).into_iter().flatten();
        holders
            .map(|place| &self.entries[*place])
            .any(|entry| full_name(&entry.written) == Some(name))
    }

    /// The manifest to serve for an image: the stored one that fits, or one made here; without
    /// either the stored one stays, whatever it lacks.
    fn root(&mut self, item: &Item, config: &Config, known: &Known) -> Option<Digest> {
        if let Some(fitting) = self.fitting(item, known) {
            return Some(fitting);
        }
        let image = docker::Image {
            item,
            config,
            doubted: &known.doubted,
        };
        match image.make_manifest(self.members, self.prefix, self.graph) {
            Ok(made) => {
                if self.replaced.insert(made.clone()) {
                    self.replace(&known.stored, &made);
                }
                Some(made)
            }
            Err((member, fault)) => {
                self.problems.add_in(&member, &fault);
                let part = if member == item.config {
                    Part::Config
                } else {
                    Part::Layer
                };
                let stored = known.stored.first().cloned();
                if stored.is_none() {
                    self.lose(item, part, &fault);
                }
                stored
            }
        }
    }

    /// That of several stored manifests that fit which has a name of the item: images may share a configuration.
    fn fitting(&self, item: &Item, known: &Known) -> Option<Digest> {
        let has_name = |root: &&Digest| {
            item.repo_tags.iter().any(|text| {
                let name = names::full(text, root);
                matches!(name, Ok(Written::Full(name)) if self.is_held_under(root, &name))
            })
        };
        let named = match known.fitting.as_slice() {
            [] | [_] => None,
            several => several.iter().find(has_name),
        };
        named.or(known.fitting.first()).cloned()
    }

    /// Gives the names of stored manifests that do not fit to the one made in their place.
    fn replace(&mut self, rejected: &[Digest], made: &Digest) {
        for stored in rejected.iter().filter(|stored| *stored != made) {
            for place in self.holders.get(stored).cloned().unwrap_or_default() {
                let entry = &mut self.entries[place];
                if entry.root != *stored {
                    continue;
                }
                self.problems.add(&Fault::RejectedManifest(stored.clone()));
                // It can still be had by its digest.
                let written = match full_name(&entry.written) {
                    Some(name) => Written::Full(ImageName {
                        tag: None,
                        ..name.clone()
                    }),
                    None => Written::Nothing,
                };
                let pulled_from = entry.pulled_from.clone();
                entry.root = made.clone();
                self.holders.entry(made.clone()).or_default().push(place);
                self.entries.push(Entry {
                    pulled_from,
                    ..Entry::new(stored.clone(), written)
                });
            }
        }
    }

    fn full_names(&mut self, item: &Item, root: &Digest) -> Vec<ImageName> {
        let mut names = Vec::new();
        for text in &item.repo_tags {
            let written = self.graph.list().and_then(|()| names::full(text, root));
            match written {
                Ok(Written::Full(name)) => names.push(name),
                Ok(Written::Tag(_) | Written::Nothing) => {}
                Err(fault) => {
                    let is_last = matches!(fault, Fault::TooMany { .. });
                    self.problems
                        .add_in(&format!("{}manifest.json", self.prefix), &fault);
                    if is_last {
                        break;
                    }
                }
            }
        }
        names
    }

    /// Bare tags in `index.json` belong to the repository that `manifest.json` names for the same
    /// image: with the same tag if it does, else the first.
    fn complete_tags(&mut self, images: &[Digest], names: &[ImageName]) {
        for place in images
            .iter()
            .filter_map(|image| self.holders.get(image))
            .flatten()
        {
            let entry = &mut self.entries[*place];
            let Written::Tag(tag) = &entry.written else {
                continue;
            };
            let same = names.iter().find(|name| name.tag.as_ref() == Some(tag));
            if let Some(ImageName { repository, .. }) = same.or(names.first()) {
                let name = ImageName {
                    repository: repository.clone(),
                    tag: Some(tag.clone()),
                };
                entry.written = Written::Full(name);
            }
        }
    }
}

fn full_name(written: &Written) -> Option<&ImageName> {
    match written {
        Written::Full(name) => Some(name),
        Written::Tag(_) | Written::Nothing => None,
    }
}
