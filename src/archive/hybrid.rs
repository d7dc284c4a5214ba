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
    let items = read_items(members, &name, graph).unwrap_or_else(|fault| {
        problems.add_in(&name, &fault);
        Vec::new()
    });
    if items.len() > MAX_ITEMS {
        problems.add_in(
            &name,
            &Fault::TooMany {
                what: "images",
                limit: MAX_ITEMS,
            },
        );
    }
    let mut join = Join::new(members, prefix, stored, graph, problems);
    for item in items.into_iter().take(MAX_ITEMS) {
        if let Err(fault) = join.graph.list() {
            join.problems.add_in(&name, &fault);
            break;
        }
        match item {
            Ok(item) => join.add(&item, evidence),
            Err(error) => join.problems.add_in(&name, &Fault::Json(error)),
        }
    }
    join.entries
}

fn read_items(
    members: &Members,
    name: &str,
    graph: &mut Graph<'_>,
) -> Result<Vec<Result<Item, serde_json::Error>>, Fault> {
    let stored = members.locate(name)?;
    graph.charge(stored.size)?;
    docker::items(&members.read(stored, docker::MAX_MANIFEST)?)
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
    /// Whether stored manifests fit, as far as that was asked: many items may share one.
    fits: BTreeMap<Digest, bool>,
    /// Configurations that were read, by place; images may share them.
    configs: BTreeMap<Stored, Option<Arc<Config>>>,
    /// The configurations of images whose bare tags have been completed, and the manifests whose stored ones have been
    /// replaced: many items may be about one image.
    completed: BTreeSet<Digest>,
    replaced: BTreeSet<Digest>,
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
            fits: BTreeMap::new(),
            holders,
            by_config,
            configs: BTreeMap::new(),
            completed: BTreeSet::new(),
            replaced: BTreeSet::new(),
        }
    }

    fn config(&mut self, item: &Item) -> Option<Arc<Config>> {
        let config = self.read_config(&item.config).and_then(|config| {
            if let Some(config) = &config {
                config.check_name(&item.config)?;
            }
            Ok(config)
        });
        config.unwrap_or_else(|fault| {
            self.problems.add_in(&item.config, &fault);
            None
        })
    }

    /// The configuration in the member `name`; `None` if that was read before and is none.
    fn read_config(&mut self, name: &str) -> Result<Option<Arc<Config>>, Fault> {
        let stored = docker::locate(self.members, self.prefix, name)?;
        if let Some(known) = self.configs.get(&stored) {
            return Ok(known.clone());
        }
        let config = Config::read(self.members, stored).map(Arc::new);
        self.configs.insert(stored, config.as_ref().ok().cloned());
        config.map(Some)
    }

    fn add(&mut self, item: &Item, evidence: &mut Evidence) {
        let Some(config) = self.config(item) else {
            return;
        };
        evidence.see_item(item, &config.parsed);
        let known = self
            .by_config
            .get(&config.digest)
            .cloned()
            .unwrap_or_default();
        let Some(root) = self.root(item, &config, &known) else {
            return;
        };
        let names = self.full_names(item, &root);
        if !names.is_empty() && self.completed.insert(config.digest.clone()) {
            self.complete_tags(&known, &names);
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
    fn root(&mut self, item: &Item, config: &Config, known: &[Digest]) -> Option<Digest> {
        for digest in known {
            let graph = &*self.graph;
            if *self
                .fits
                .entry(digest.clone())
                .or_insert_with(|| graph.fits(digest))
            {
                return Some(digest.clone());
            }
        }
        let doubted = known
            .iter()
            .flat_map(|stored| self.graph.misplaced_layers(stored))
            .collect();
        let image = docker::Image {
            item,
            config,
            doubted,
        };
        match image.make_manifest(self.members, self.prefix, self.graph) {
            Ok(made) => {
                if self.replaced.insert(made.clone()) {
                    self.replace(known, &made);
                }
                Some(made)
            }
            Err((member, fault)) => {
                self.problems.add_in(&member, &fault);
                known.first().cloned()
            }
        }
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
