//! A repository of a snapshot: what its tags mean, and what may be asked for in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::blobs::BlobMap;
use super::coalesce::{self, Candidate, Choice, Decision};
use super::{Archive, Options};
use crate::archive::{
    Document, Fault, Image, ImageName, PlatformImage, Problem, Repository as Key, Rivals, Role,
};
use crate::digest::Digest;
use crate::oci::{MediaType, Tag, Version, canonical, version};

/// Of one repository at most so many problems are told.
const MAX_PROBLEMS: usize = 100;

/// A repository: the images that archives put there, and what their tags mean. Immutable; survives publications that
/// do not concern it.
#[derive(Debug)]
pub struct Repository {
    /// The registry and the name there.
    pub key: Key,
    /// Sorted.
    pub(super) tags: Box<[(Tag, Target)]>,
    /// The tag that `latest` means where no archive has one.
    pub(super) latest: Option<Tag>,
    /// Everything in it, tagged or not, sorted by archive.
    pub(super) images: Box<[ImageRef]>,
    /// What each archive gives to it, sorted by archive.
    pub(super) holdings: Box<[Holding]>,
    /// The indexes that were made of images for several platforms.
    pub(super) made: Box<[Coalesced]>,
    /// Subject to the manifests about it, sorted by their digests.
    pub(super) referrers: BTreeMap<Digest, Vec<DocumentRef>>,
    /// What is wrong between the archives that put images here.
    pub(super) problems: Box<[Problem]>,
    /// It lacks manifests, so that any archive may complete it.
    pub(super) is_sparse: bool,
}

/// An image of an archive.
#[derive(Clone, Debug)]
pub struct ImageRef {
    pub(super) archive: Arc<Archive>,
    pub(super) number: u32,
}

/// A document of an archive.
#[derive(Clone, Debug)]
pub struct DocumentRef {
    archive: Arc<Archive>,
    number: u32,
}

/// What a tag means.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// An image of an archive.
    Image(ImageRef),
    /// The index of this number among those that were made.
    Made(usize),
}

/// An index that was made of images for several platforms, because no archive holds one.
#[derive(Debug)]
pub struct Coalesced {
    /// What it is, as if an archive held it.
    pub image: Image,
    /// The type under which it is served.
    pub media_type: MediaType,
    /// Its bytes.
    pub bytes: Bytes,
    /// What it lists.
    pub parts: Box<[ImageRef]>,
}

/// What an archive gives to a repository.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) archive: Arc<Archive>,
    reach: Reach,
    /// The archive puts images here; else it only completes those of others.
    pub(super) is_own: bool,
}

/// What may be asked for, as positions in the archive.
#[derive(Debug)]
enum Reach {
    All,
    Some(Box<[u32]>),
}

impl ImageRef {
    pub(super) fn image(&self) -> &Image {
        &self.archive.found.images[self.number as usize]
    }
}

impl DocumentRef {
    pub(super) fn document(&self) -> &Document {
        &self.archive.found.documents[self.number as usize]
    }

    pub(super) fn digest(&self) -> Digest {
        self.archive.found.digest(self.document().position)
    }

    pub(super) fn size(&self) -> u64 {
        self.archive.found.size(self.document().position)
    }
}

impl Holding {
    fn new(archive: &Arc<Archive>, is_own: bool, reach: Vec<u32>) -> Self {
        let is_all = reach.len() == archive.found.positions();
        Self {
            archive: Arc::clone(archive),
            reach: if is_all {
                Reach::All
            } else {
                Reach::Some(reach.into())
            },
            is_own,
        }
    }

    /// Whether what is at `position` in the archive may be asked for.
    pub(super) fn reaches(&self, position: u32) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Some(positions) => positions.binary_search(&position).is_ok(),
        }
    }

    /// The manifests that it reaches and the archive does not hold.
    fn missing_manifests(&self) -> impl Iterator<Item = &Digest> {
        let found = &self.archive.found;
        let lacking = found.lacking.iter();
        lacking
            .filter(|lacking| lacking.role == Role::Manifest)
            .map(|lacking| &lacking.digest)
            .filter(|digest| {
                found
                    .position(digest)
                    .is_some_and(|position| self.reaches(position))
            })
    }
}

/// An image under one name.
pub(super) type Named<'a> = (ImageRef, Option<&'a Tag>);

/// Makes the repositories of one snapshot.
pub(super) struct Builder<'a> {
    pub(super) blobs: &'a BlobMap,
    pub(super) options: Options,
}

impl Builder<'_> {
    /// The repository `key` of these images, which are sorted by archive.
    pub(super) fn repository(&self, key: &Key, named: &[Named<'_>]) -> Repository {
        let mut problems = Vec::new();
        let mut images: Vec<ImageRef> = Vec::new();
        let mut claims: BTreeMap<&Tag, Vec<&ImageRef>> = BTreeMap::new();
        for (image, tag) in named {
            let is_known = images.last().is_some_and(|last| {
                Arc::ptr_eq(&last.archive, &image.archive) && last.number == image.number
            });
            if !is_known {
                images.push(image.clone());
            }
            if let Some(tag) = tag.filter(|tag| self.takes(tag, image, &mut problems)) {
                claims.entry(tag).or_default().push(image);
            }
        }
        let claimed: Vec<Tag> = claims.keys().map(|tag| (*tag).clone()).collect();
        let holdings = self.holdings(&images);
        let mut made = Vec::new();
        let tags: Box<[_]> = claims
            .into_iter()
            .filter_map(|(tag, claims)| {
                let target = self.target(key, tag, &claims, &mut made, &mut problems)?;
                Some((tag.clone(), target))
            })
            .collect();
        problems.truncate(MAX_PROBLEMS);
        let latest = self.options.auto_latest.then(|| highest_version(&claimed));
        // A tag that was refused is not made up for by another one.
        let latest = latest
            .flatten()
            .filter(|latest| tags.iter().any(|(tag, _)| tag == latest));
        Repository {
            key: key.clone(),
            latest,
            tags,
            images: images.into(),
            made: made.into(),
            referrers: referrers(&holdings),
            is_sparse: holdings
                .iter()
                .any(|holding| holding.missing_manifests().next().is_some()),
            holdings: holdings.into(),
            problems: problems.into(),
        }
    }

    /// Whether the tag is served; if it is one that clients stumble over, that is a problem.
    fn takes(&self, tag: &Tag, image: &ImageRef, problems: &mut Vec<Problem>) -> bool {
        if tag.is_strict() {
            return true;
        }
        let leave_out = self.options.strict_tags;
        let fault = if leave_out {
            Fault::LeftOutTag
        } else {
            Fault::LooseTag
        }(tag.to_string());
        problems.push(Problem::new(image.archive.path(), &fault));
        !leave_out
    }

    /// What each archive gives: what its images here reach, and manifests that images of others lack.
    fn holdings(&self, images: &[ImageRef]) -> Vec<Holding> {
        let mut holdings: Vec<Holding> = images
            .chunk_by(|a, b| Arc::ptr_eq(&a.archive, &b.archive))
            .map(|images| {
                let archive = &images[0].archive;
                let roots = images.iter().map(|image| &image.image().root);
                Holding::new(archive, true, archive.found.reach(roots))
            })
            .collect();
        self.complete(&mut holdings);
        holdings
    }

    /// Adds what completes sparse images: manifests that other archives hold, with all that they reach there.
    fn complete(&self, holdings: &mut Vec<Holding>) {
        let mut sought: BTreeSet<Digest> = BTreeSet::new();
        let mut next = 0;
        while next < holdings.len() {
            let missing: Vec<Digest> = holdings[next]
                .missing_manifests()
                .filter(|digest| sought.insert((*digest).clone()))
                .cloned()
                .collect();
            let mut by_archive: Vec<(&Arc<Archive>, Vec<&Digest>)> = Vec::new();
            for digest in &missing {
                for located in self.blobs.copies(digest) {
                    if located.archive.found.document(digest).is_none() {
                        continue;
                    }
                    let known = by_archive
                        .iter_mut()
                        .find(|(archive, _)| Arc::ptr_eq(archive, located.archive));
                    match known {
                        Some((_, digests)) => digests.push(digest),
                        None => by_archive.push((located.archive, vec![digest])),
                    }
                }
            }
            for (archive, digests) in by_archive {
                holdings.push(Holding::new(archive, false, archive.found.reach(digests)));
            }
            next += 1;
        }
        // Stable, so that own holdings stay before borrowed ones of the same archive.
        holdings.sort_by(|a, b| a.archive.order(&b.archive));
    }

    /// What `tag` means of all that claim it; nothing if they contradict each other and that is refused.
    fn target(
        &self,
        key: &Key,
        tag: &Tag,
        claims: &[&ImageRef],
        made: &mut Vec<Coalesced>,
        problems: &mut Vec<Problem>,
    ) -> Option<Target> {
        let rivals = rivals(claims);
        let candidates: Vec<Candidate<'_>> =
            rivals.iter().map(|rivals| candidate(rivals)).collect();
        let best = |number: usize| most_complete(&rivals[number]);
        let decision = coalesce::decide(&candidates);
        let name = format!("{}:{tag}", full_name(key));
        let refuses = self.options.strict && !decision.losers.is_empty();
        problems.extend(self.told(&name, &decision, &best));
        if refuses {
            return None;
        }
        Some(match decision.choice {
            Choice::One(winner) => Target::Image(best(winner).clone()),
            Choice::Index(parts) => {
                let parts: Box<[ImageRef]> =
                    parts.into_iter().map(|part| best(part).clone()).collect();
                let name = ImageName {
                    repository: key.clone(),
                    tag: Some(tag.clone()),
                };
                made.push(coalesced(name, parts));
                Target::Made(made.len() - 1)
            }
        })
    }

    /// What is to be said about a decision.
    fn told<'i>(
        &self,
        name: &str,
        decision: &Decision,
        image: &impl Fn(usize) -> &'i ImageRef,
    ) -> Vec<Problem> {
        let pair = |loser: usize, winner: usize, fault: &dyn Fn(Box<Rivals>) -> Fault| {
            let (loser, winner) = (image(loser), image(winner));
            let rivals = Rivals {
                name: name.to_owned(),
                loser: loser.image().root.clone(),
                winner: winner.image().root.clone(),
                elsewhere: winner.archive.path(),
            };
            Problem::new(loser.archive.path(), &fault(Box::new(rivals)))
        };
        let lost: &dyn Fn(Box<Rivals>) -> Fault = if self.options.strict {
            &Fault::Refused
        } else {
            &Fault::Conflict
        };
        let lost = decision
            .losers
            .iter()
            .map(|(loser, winner)| pair(*loser, *winner, lost));
        let shadowed = decision
            .shadowed
            .iter()
            .map(|(single, index)| pair(*single, *index, &Fault::ShadowedPlatform));
        lost.chain(shadowed).collect()
    }
}

/// The images that claim a tag, those of one digest together.
fn rivals<'a>(claims: &[&'a ImageRef]) -> Vec<Vec<&'a ImageRef>> {
    let mut rivals: BTreeMap<&Digest, Vec<&ImageRef>> = BTreeMap::new();
    for claim in claims {
        rivals.entry(&claim.image().root).or_default().push(claim);
    }
    rivals.into_values().collect()
}

/// Of the images of one digest the one that shows the most of it, the first of several: others may lie in archives that
/// lack manifests or configurations.
fn most_complete<'a>(same: &[&'a ImageRef]) -> &'a ImageRef {
    let best = |best: &'a ImageRef, image: &&'a ImageRef| {
        let is_better = image.image().platforms.len() > best.image().platforms.len();
        if is_better { image } else { best }
    };
    same.iter().fold(same[0], best)
}

/// The images of one digest as one candidate.
fn candidate<'a>(same: &[&'a ImageRef]) -> Candidate<'a> {
    let names = same.iter().map(|image| image.archive.file_name());
    let copies = same.iter();
    Candidate {
        copies: copies
            .map(|image| (image.image(), &*image.archive.found))
            .collect(),
        file_name: names
            .max_by(|a, b| version::compare_file_names(a, b))
            .unwrap_or_default(),
    }
}

/// The canonical index of `parts`, each an image for one platform.
fn coalesced(name: ImageName, parts: Box<[ImageRef]>) -> Coalesced {
    let child = |part: &ImageRef| {
        let document = part.archive.found.document(&part.image().root)?;
        let PlatformImage { platform, .. } = part.image().platforms.first()?;
        Some(canonical::Child {
            media_type: document.media_type.clone(),
            blob: canonical::Blob {
                digest: part.image().root.clone(),
                size: part.archive.found.size(document.position),
            },
            platform: (**platform).clone(),
        })
    };
    let (media_type, json) = canonical::index(parts.iter().filter_map(child).collect());
    let images = || parts.iter().map(ImageRef::image);
    let sizes = images().map(|image| image.size);
    let image = Image {
        root: Digest::sha256(json.as_bytes()),
        names: Box::new([name]),
        created: images().filter_map(|image| image.created).max(),
        platforms: images()
            .flat_map(|image| image.platforms.iter().cloned())
            .collect(),
        size: sizes.fold(json.len() as u64, u64::saturating_add),
        is_made: true,
    };
    Coalesced {
        image,
        media_type,
        bytes: json.into(),
        parts,
    }
}

fn referrers(holdings: &[Holding]) -> BTreeMap<Digest, Vec<DocumentRef>> {
    let mut referrers: BTreeMap<Digest, BTreeMap<Digest, DocumentRef>> = BTreeMap::new();
    for holding in holdings {
        let found = &holding.archive.found;
        for (number, document) in found.referring() {
            let is_here = holding.reaches(document.position);
            if let Some(referrer) = document.referrer.as_ref().filter(|_| is_here) {
                let about = referrers.entry(referrer.subject.clone()).or_default();
                about
                    .entry(found.digest(document.position))
                    .or_insert_with(|| DocumentRef {
                        archive: Arc::clone(&holding.archive),
                        number,
                    });
            }
        }
    }
    referrers
        .into_iter()
        .map(|(subject, about)| (subject, about.into_values().collect()))
        .collect()
}

/// The tag that `latest` means where there is none: the highest version, a stable one if there is any.
fn highest_version(tags: &[Tag]) -> Option<Tag> {
    if tags.iter().any(|tag| tag.as_str() == "latest") {
        return None;
    }
    let versions = tags
        .iter()
        .filter_map(|tag| Some((Version::parse(tag.as_str())?, tag)));
    let newest = versions.max_by(|(a, tag_a), (b, tag_b)| {
        a.is_stable()
            .cmp(&b.is_stable())
            .then_with(|| a.cmp(b))
            .then_with(|| tag_a.cmp(tag_b))
    });
    newest.map(|(_, tag)| tag.clone())
}

/// The name of a repository with its host; those made from paths are marked by a dot.
pub(super) fn full_name(key: &Key) -> String {
    match &key.host {
        Some(host) => format!("{host}/{}", key.path),
        None => format!("./{}", key.path),
    }
}

#[cfg(test)]
impl Repository {
    /// A repository of which only the name matters.
    pub(super) fn empty(key: &Key) -> Self {
        let blobs = BlobMap::default();
        let options = Options {
            auto_latest: true,
            strict_tags: false,
            strict: false,
        };
        let builder = Builder {
            blobs: &blobs,
            options,
        };
        builder.repository(key, &[])
    }
}
