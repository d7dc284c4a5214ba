//! Makes a snapshot of archives: who gets which name, what `latest` means, and what is wrong between them.
//!
//! A pure function of the archives' content and names. Same files, same answers: ties are
//! broken by what stands in the images and in file names, never by when a file was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blobs::BlobMap;
use super::names::{Names, Shadowed};
use super::snapshot::{ImageRef, Repository, Snapshot};
use super::{Archive, Options};
use crate::archive::{Fault, Found, Image, Problem, Repository as Key};
use crate::digest::Digest;
use crate::oci::{Tag, Version, version};

/// The snapshot of `archives`, which are sorted, with the `problems` that are already known.
pub fn snapshot(
    archives: Vec<Arc<Archive>>,
    mut problems: Vec<Problem>,
    options: Options,
) -> Snapshot {
    let shelf = Shelf {
        archives: &archives,
    };
    let mut repositories: Vec<Repository> = shelf
        .images_by_repository()
        .into_iter()
        .map(|(key, images)| shelf.repository(key, &images, options, &mut problems))
        .collect();
    let keys: Vec<&Key> = repositories
        .iter()
        .map(|repository| &repository.key)
        .collect();
    let (names, shadowed) = Names::of(&keys);
    problems.extend(
        shadowed
            .iter()
            .filter_map(|shadowed| shelf.ambiguity(shadowed, &repositories)),
    );
    for (number, repository) in repositories.iter_mut().enumerate() {
        repository.shown = names.shown(number, &repository.key);
    }
    let blobs = BlobMap::of(archives.iter().map(|archive| &archive.found));
    problems.extend(
        archives
            .iter()
            .flat_map(|archive| incomplete(archive, &blobs)),
    );
    problems.extend(
        archives
            .iter()
            .flat_map(|archive| archive.problems.iter().cloned()),
    );
    problems.sort();
    problems.dedup();
    Snapshot {
        repositories: repositories.into(),
        names,
        blobs,
        problems: problems.into(),
        archives: archives.into(),
    }
}

/// An image under one name.
type Named<'a> = (ImageRef, Option<&'a Tag>);

struct Shelf<'a> {
    archives: &'a [Arc<Archive>],
}

impl<'a> Shelf<'a> {
    fn images_by_repository(&self) -> BTreeMap<&'a Key, Vec<Named<'a>>> {
        let mut repositories: BTreeMap<&Key, Vec<Named<'_>>> = BTreeMap::new();
        for (archive, found) in self
            .archives
            .iter()
            .map(|archive| &archive.found)
            .enumerate()
        {
            for (image, names) in found.images.iter().map(|image| &image.names).enumerate() {
                for name in names {
                    let named = (ImageRef { archive, image }, name.tag.as_ref());
                    repositories
                        .entry(&name.repository)
                        .or_default()
                        .push(named);
                }
            }
        }
        repositories
    }

    fn repository(
        &self,
        key: &Key,
        named: &[Named<'a>],
        options: Options,
        problems: &mut Vec<Problem>,
    ) -> Repository {
        let images: BTreeSet<ImageRef> = named.iter().map(|(image, _)| *image).collect();
        let mut claims: BTreeMap<&Tag, Vec<ImageRef>> = BTreeMap::new();
        for (image, tag) in named {
            let Some(tag) = tag else { continue };
            if !tag.is_strict() {
                let leave_out = options.strict_tags;
                let fault = if leave_out {
                    Fault::LeftOutTag
                } else {
                    Fault::LooseTag
                }(tag.to_string());
                problems.push(Problem::new(self.archives[image.archive].path(), &fault));
                if leave_out {
                    continue;
                }
            }
            claims.entry(tag).or_default().push(*image);
        }
        let tags: BTreeMap<Tag, ImageRef> = claims
            .into_iter()
            .map(|(tag, claims)| (tag.clone(), self.winner(key, tag, &claims, problems)))
            .collect();
        Repository {
            key: key.clone(),
            shown: None,
            latest: if options.auto_latest {
                automatic_latest(&tags)
            } else {
                None
            },
            referrers: self.referrers(&images),
            images: images.into_iter().collect(),
            tags,
        }
    }

    /// Who gets a tag that several images claim: the newest, then by file name, then by digest.
    fn winner(
        &self,
        key: &Key,
        tag: &Tag,
        claims: &[ImageRef],
        problems: &mut Vec<Problem>,
    ) -> ImageRef {
        let order = |a: &&ImageRef, b: &&ImageRef| {
            let (left, right) = (self.image(**a), self.image(**b));
            left.created
                .cmp(&right.created)
                .then_with(|| {
                    version::compare_file_names(&self.file_name(**a), &self.file_name(**b))
                })
                .then_with(|| left.root.cmp(&right.root))
        };
        // `max_by` gives the last of equals: the same image in several archives is taken from the first.
        let Some(winner) = claims.iter().rev().max_by(order).copied() else {
            unreachable!("a tag is there because an image claims it");
        };
        let winning = &self.image(winner).root;
        let losers: BTreeMap<&Digest, ImageRef> = claims
            .iter()
            .map(|claim| (&self.image(*claim).root, *claim))
            .filter(|(root, _)| *root != winning)
            .collect();
        problems.extend(losers.into_iter().map(|(loser, at)| {
            let fault = Fault::Conflict {
                name: format!("{}:{tag}", full_name(key)),
                loser: loser.clone(),
                winner: winning.clone(),
                elsewhere: self.archives[winner.archive].path(),
            };
            Problem::new(self.archives[at.archive].path(), &fault)
        }));
        winner
    }

    fn referrers(&self, images: &BTreeSet<ImageRef>) -> BTreeMap<Digest, Vec<(usize, usize)>> {
        let mut referrers: BTreeMap<Digest, BTreeMap<&Digest, (usize, usize)>> = BTreeMap::new();
        // The images of one archive stand together; few archives have referrers at all.
        let mut of_archive: (usize, Vec<(usize, u32)>) = (usize::MAX, Vec::new());
        for at in images {
            let found = &self.archives[at.archive].found;
            if of_archive.0 != at.archive {
                of_archive = (at.archive, referring(found));
            }
            let image = &found.images[at.image];
            for (number, position) in &of_archive.1 {
                let document = &found.documents[*number];
                if let Some(referrer) = document
                    .referrer
                    .as_ref()
                    .filter(|_| image.reaches(*position))
                {
                    let about = referrers.entry(referrer.subject.clone()).or_default();
                    about
                        .entry(&document.digest)
                        .or_insert((at.archive, *number));
                }
            }
        }
        let sorted =
            |(subject, about): (Digest, BTreeMap<_, _>)| (subject, about.into_values().collect());
        referrers.into_iter().map(sorted).collect()
    }

    fn ambiguity(&self, shadowed: &Shadowed, repositories: &[Repository]) -> Option<Problem> {
        let loser = &repositories[shadowed.repository];
        let fault = Fault::Ambiguous {
            bare: shadowed.bare.clone(),
            shadowed: full_name(&loser.key),
            chosen: full_name(&repositories[shadowed.by].key),
        };
        let first = loser.images.first()?;
        Some(Problem::new(self.archives[first.archive].path(), &fault))
    }

    fn image(&self, at: ImageRef) -> &'a Image {
        &self.archives[at.archive].found.images[at.image]
    }

    fn file_name(&self, at: ImageRef) -> String {
        let path = self.archives[at.archive].path();
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// The documents that say something about another one, by their numbers and positions.
fn referring(found: &Found) -> Vec<(usize, u32)> {
    let documents = found
        .documents
        .iter()
        .enumerate()
        .filter(|(_, document)| document.referrer.is_some());
    documents
        .filter_map(|(number, document)| Some((number, found.position(&document.digest)?)))
        .collect()
}

/// The name of a repository with its host; those made from paths are marked by a dot.
fn full_name(key: &Key) -> String {
    match &key.host {
        Some(host) => format!("{host}/{}", key.path),
        None => format!("./{}", key.path),
    }
}

/// The tag that `latest` means: the highest version, a stable one if there is any.
fn automatic_latest(tags: &BTreeMap<Tag, ImageRef>) -> Option<Tag> {
    if tags.contains_key("latest") {
        return None;
    }
    let versions = tags
        .keys()
        .filter_map(|tag| Some((Version::parse(tag.as_str())?, tag)));
    let newest = versions.max_by(|(a, tag_a), (b, tag_b)| {
        a.is_stable()
            .cmp(&b.is_stable())
            .then_with(|| a.cmp(b))
            .then_with(|| tag_a.cmp(tag_b))
    });
    newest.map(|(_, tag)| tag.clone())
}

/// What images of `archive` reach and no archive at all holds.
fn incomplete(archive: &Archive, blobs: &BlobMap) -> Vec<Problem> {
    let problem = |image: &Image| {
        let is_missing = |digest: &&Digest| {
            archive
                .found
                .size_of(digest)
                .is_some_and(|size| !blobs.contains(digest, size))
        };
        let missing = |digests: &[Digest]| digests.iter().filter(is_missing).count();
        let (manifests, blobs) = (
            missing(&image.absent.manifests),
            missing(&image.absent.blobs),
        );
        let name = image
            .names
            .iter()
            .find_map(|name| Some((name, name.tag.as_ref()?)));
        let image = match name {
            Some((name, tag)) => format!("{}:{tag}", full_name(&name.repository)),
            None => image.root.to_string(),
        };
        let fault = Fault::Incomplete {
            image,
            manifests,
            blobs,
        };
        (manifests + blobs > 0).then(|| Problem::new(archive.path(), &fault))
    };
    archive.found.images.iter().filter_map(problem).collect()
}
