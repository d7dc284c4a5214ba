//! Which image of an archive gets which names: what the archive says, completed from where it lies.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::layout::Entry;
use super::names::{self, About, ImageName, PathName, Written};
use super::node::NodeBody;
use super::problem::{Fault, Problems};
use crate::digest::Digest;
use crate::oci::{Platform, Tag};

/// All images of an archive have no more names together: a signature takes those of all images that are called as it is.
const MAX_NAMES: usize = 50_000;

/// The images of an archive with their names. None is without one, but those that another one holds.
pub type Named = BTreeMap<Digest, BTreeSet<ImageName>>;

/// Names the images that `entries` list; what the archive leaves open is taken from `derived`.
pub fn name_all(
    entries: &[Entry],
    graph: &Graph<'_>,
    derived: Option<&PathName>,
    problems: &mut Problems,
) -> Named {
    let mut naming = Naming {
        graph,
        derived,
        named: Named::new(),
        given: 0,
    };
    let (about, images): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.about.is_some());
    for entry in &images {
        if let Some(name) = naming.written(entry) {
            naming.give(&entry.root, name);
        }
    }
    let roots = || entries.iter().map(|entry| &entry.root);
    let holders = graph.holders(roots().collect::<BTreeSet<_>>().into_iter());
    // What another image holds needs no name of its own.
    let is_held = |root: &Digest| {
        holders
            .get(root)
            .is_some_and(|holders| holders.iter().any(|holder| *holder != root))
    };
    let nameless: BTreeSet<&Digest> = images
        .iter()
        .map(|entry| &entry.root)
        .filter(|root| !naming.named.contains_key(*root) && !is_held(root))
        .collect();
    let (about_others, alone): (Vec<&Digest>, Vec<&Digest>) = nameless
        .into_iter()
        .partition(|root| graph.subject(root).is_some());
    naming.name_alone(&alone, problems);
    let own: BTreeSet<&Digest> = images.iter().map(|entry| &entry.root).collect();
    for entry in &about {
        naming.name_about(entry, &own);
    }
    let left = about.iter().map(|entry| &entry.root);
    let left = left.filter(|root| !naming.named.contains_key(*root));
    let left: BTreeSet<&Digest> = about_others.into_iter().chain(left).collect();
    for root in naming.place_at_subjects(left.into_iter().collect(), &holders) {
        naming.derive(root, None, problems);
    }
    if naming.given >= MAX_NAMES {
        let (what, limit) = ("names", MAX_NAMES);
        problems.add(&Fault::TooMany { what, limit });
    }
    naming.named
}

struct Naming<'a, 'm> {
    graph: &'a Graph<'m>,
    derived: Option<&'a PathName>,
    named: Named,
    /// How many names were given.
    given: usize,
}

impl Naming<'_, '_> {
    fn give(&mut self, root: &Digest, name: ImageName) {
        if self.given < MAX_NAMES {
            self.given += 1;
            self.named.entry(root.clone()).or_default().insert(name);
        }
    }

    /// The name that the archive gives to an image, completed from its path; `None` if it gives none.
    fn written(&self, entry: &Entry) -> Option<ImageName> {
        let pulled_from = entry.pulled_from.as_ref();
        match &entry.written {
            Written::Full(name) => Some(name.clone()),
            Written::Tag(tag) => {
                let derived = self.derived.map(|derived| &derived.name.repository);
                Some(ImageName {
                    repository: pulled_from.or(derived)?.clone(),
                    tag: Some(tag.clone()),
                })
            }
            Written::Nothing => Some(ImageName {
                repository: pulled_from?.clone(),
                tag: None,
            }),
        }
    }

    /// Names what neither the archive names nor another image holds. If that is one image it is what the file means,
    /// and so are several for platforms of their own.
    fn name_alone(&mut self, alone: &[&Digest], problems: &mut Problems) {
        let is_meant =
            self.named.is_empty() && (alone.len() == 1 || self.are_platforms_of_one(alone));
        let tag = match self.derived {
            Some(derived) if derived.is_pinned => None,
            Some(derived) => derived.name.tag.clone().or_else(|| Some(Tag::latest())),
            None => None,
        };
        for root in alone {
            self.derive(root, tag.clone().filter(|_| is_meant), problems);
        }
    }

    fn are_platforms_of_one(&self, images: &[&Digest]) -> bool {
        let platform = |image: &&Digest| match &self.graph.node(image)?.body {
            NodeBody::Image(image) => image
                .known
                .as_ref()
                .map(|known| known.platform.normalized())
                .filter(Platform::is_real),
            NodeBody::Index(_) => None,
        };
        let platforms: BTreeSet<Platform> = images.iter().filter_map(platform).collect();
        platforms.len() == images.len()
    }

    /// Gives to an image without a name the repository that the path tells.
    fn derive(&mut self, root: &Digest, tag: Option<Tag>, problems: &mut Problems) {
        match self.derived {
            Some(derived) => {
                let repository = derived.name.repository.clone();
                self.give(root, ImageName { repository, tag });
            }
            None => problems.add(&Fault::Nameless(root.clone())),
        }
    }

    /// Names what says something about another image, as a signature does: by the tag under which that is looked for,
    /// where it is known which image is meant, else by the digest alone.
    fn name_about(&mut self, entry: &Entry, images: &BTreeSet<&Digest>) {
        let name = self.written(entry);
        if self.given >= MAX_NAMES {
            return;
        }
        if let Some(About::SameName(Some(ending))) = &entry.about {
            for (subject, place) in self.subjects(name.as_ref(), images) {
                if let Some(tag) = names::tag_about(&subject, ending) {
                    let tag = Some(tag);
                    self.give(&entry.root, ImageName { tag, ..place });
                }
            }
        }
        if let Some(name) = name.filter(|_| !self.named.contains_key(&entry.root)) {
            self.give(&entry.root, ImageName { tag: None, ..name });
        }
    }

    /// The images that are called `name`, or without one the only image there is, each with the name that it has.
    fn subjects(
        &self,
        name: Option<&ImageName>,
        images: &BTreeSet<&Digest>,
    ) -> Vec<(Digest, ImageName)> {
        let mut images = images.iter().copied();
        let images: Vec<&Digest> = match name {
            Some(name) => images
                .filter(|image| {
                    let names = self.named.get(*image);
                    names.is_some_and(|names| names.contains(name))
                })
                .collect(),
            None => match (images.next(), images.next()) {
                (Some(image), None) => vec![image],
                _ => Vec::new(),
            },
        };
        let with_names = |image: &Digest| {
            let names = self.named.get(image).into_iter().flatten();
            let names = names.filter(|known| name.is_none_or(|name| name == *known));
            names
                .map(|name| (image.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        images.into_iter().flat_map(with_names).collect()
    }

    /// Puts what says something about another image where that is; gives back those that are about nothing here. They
    /// may be about each other, so whatever finds its place is looked at for what is about it.
    fn place_at_subjects<'d>(
        &mut self,
        pending: Vec<&'d Digest>,
        holders: &BTreeMap<&Digest, Vec<&'d Digest>>,
    ) -> Vec<&'d Digest> {
        let hosts_of = |root: &Digest| {
            let subject = self.graph.subject(root);
            let known = subject.and_then(|subject| holders.get(subject));
            known.into_iter().flatten().copied()
        };
        let mut about: BTreeMap<&Digest, Vec<&'d Digest>> = BTreeMap::new();
        for root in &pending {
            for host in hosts_of(root) {
                about.entry(host).or_default().push(root);
            }
        }
        let mut hosts: Vec<&Digest> = about
            .keys()
            .copied()
            .filter(|host| self.named.contains_key(*host))
            .collect();
        let mut left: BTreeSet<&'d Digest> = pending.into_iter().collect();
        while let Some(host) = hosts.pop() {
            for root in about.remove(host).unwrap_or_default() {
                if !left.contains(root) {
                    continue;
                }
                let theirs = hosts_of(root)
                    .filter_map(|host| self.named.get(host))
                    .flatten();
                let places: BTreeSet<ImageName> = theirs
                    .take(MAX_NAMES - self.given)
                    .map(|name| ImageName {
                        tag: None,
                        ..name.clone()
                    })
                    .collect();
                if !places.is_empty() {
                    self.given += places.len();
                    self.named.insert(root.clone(), places);
                    left.remove(root);
                    hosts.push(root);
                }
            }
        }
        left.into_iter().collect()
    }
}
