//! What an archive holds, as it is kept: compact, immutable, and looked up by digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::lost::Lost;
use super::names::ImageName;
use super::pending::Unhashed;
use super::writer::{Format, Writer};
use crate::content::{Copy, Source, Verdict};
use crate::digest::Digest;
use crate::oci::media_type::Kind;
use crate::oci::{MediaType, Platform};

/// What an archive holds. Immutable, and valid as long as the files of its sources stay the same.
///
/// Everything that its documents refer to has a *position*: first what it holds, sorted by digest,
/// then what it lacks, likewise. What a document refers to is kept as positions, four bytes each.
#[derive(Debug, Default)]
pub struct Found {
    /// How it describes its images; `None` if it describes none.
    pub format: Option<Format>,
    /// What wrote it, if that can be told.
    pub writer: Option<Writer>,
    /// The files, with what lies where in them.
    pub sources: Box<[Arc<Source>]>,
    /// The images.
    pub images: Box<[Image]>,
    /// The manifests and indexes, sorted by digest, and so by position.
    pub documents: Box<[Document]>,
    /// What each of them refers to, as sorted positions, one document after the other.
    pub references: Box<[u32]>,
    /// The numbers of those documents that say something about another one.
    pub(super) referring: Box<[u32]>,
    /// Source and claim of everything that it holds, sorted by digest; `None` where there is one source:
    /// its claims are in that order.
    pub(super) places: Option<Box<[(u32, u32)]>>,
    /// What its documents refer to and it does not hold, sorted by digest.
    pub lacking: Box<[Lacking]>,
    /// Layers that have to be hashed before their images can be served.
    pub pending: Box<[Unhashed]>,
    /// Images that it names, and of which nothing can be served.
    pub lost: Box<[Lost]>,
    /// What lies in it under its digest and turned out to be something else when it was cataloged, sorted.
    pub damaged: Box<[Digest]>,
}

/// Something that a document refers to and the archive does not hold.
#[derive(Debug)]
pub struct Lacking {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes, as the document tells it.
    pub size: u64,
    /// What it is to the document.
    pub role: Role,
}

/// What something is to the document that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A manifest or an index, as of a platform that was not saved.
    Manifest,
    /// A configuration or a layer.
    Blob,
    /// A layer that clients fetch from elsewhere, so that its absence is ordinary.
    Foreign,
}

/// An image of an archive: a manifest or an index, with its names.
#[derive(Debug)]
pub struct Image {
    /// Its manifest or index.
    pub root: Digest,
    /// Where clients look for it. Never empty.
    pub names: Box<[ImageName]>,
    /// When it was made: the newest of its platforms.
    pub created: Option<Timestamp>,
    /// The images for platforms in it; empty for an artifact.
    pub platforms: Box<[PlatformImage]>,
    /// Length in bytes of all that it reaches, as its documents tell.
    pub size: u64,
    /// Whether its manifest was made here, because the archive keeps none.
    pub is_made: bool,
}

/// What a platform gets of an image.
#[derive(Clone, Debug)]
pub struct PlatformImage {
    /// The platform.
    pub platform: Arc<Platform>,
    /// The manifest for it.
    pub digest: Digest,
}

/// A manifest or an index: what is needed to answer for it without its bytes.
#[derive(Debug)]
pub struct Document {
    /// Its position in the archive, which tells its digest and its length.
    pub position: u32,
    /// The type under which it is served.
    pub media_type: MediaType,
    /// Where in [`Found::references`] begins what it refers to; that of the next document follows.
    pub references: u32,
    /// What it says about another manifest, if it does.
    pub referrer: Option<Box<Referrer>>,
}

/// That a manifest has a subject, and how it is listed as a
/// [referrer](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers) of that.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// The manifest that it is about.
    pub subject: Digest,
    /// What it is.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Document {
    /// Whether it is an index.
    pub fn is_index(&self) -> bool {
        self.media_type.kind() == Some(Kind::Index)
    }
}

impl Found {
    /// The manifest or index with this digest, if it was read in this archive.
    pub fn document(&self, digest: &Digest) -> Option<&Document> {
        let number = self.document_number(self.position(digest)?)?;
        Some(&self.documents[number])
    }

    /// Whether a manifest or an index that was read is at `position`.
    pub fn is_document(&self, position: u32) -> bool {
        self.document_number(position).is_some()
    }

    fn document_number(&self, position: u32) -> Option<usize> {
        self.documents
            .binary_search_by_key(&position, |document| document.position)
            .ok()
    }

    /// What `document` refers to, as sorted positions.
    pub fn references(&self, document: &Document) -> &[u32] {
        let is_up_to = |other: &Document| other.position <= document.position;
        let next = self.documents.get(self.documents.partition_point(is_up_to));
        let end = next.map_or(self.references.len(), |next| next.references as usize);
        &self.references[document.references as usize..end]
    }

    /// Those of its documents that say something about another one.
    pub fn referring(&self) -> impl Iterator<Item = (u32, &Document)> {
        self.referring
            .iter()
            .map(|number| (*number, &self.documents[*number as usize]))
    }

    /// The position of `digest`, if the archive holds it or refers to it.
    pub fn position(&self, digest: &Digest) -> Option<u32> {
        let held = match &self.places {
            None => self.sources.first().and_then(|source| source.find(digest)),
            Some(places) => {
                let at = places.partition_point(|place| self.digest_of(*place) < *digest);
                let place = places.get(at);
                place
                    .is_some_and(|place| self.digest_of(*place) == *digest)
                    .then_some(at)
            }
        };
        let position = held.or_else(|| {
            let at = self
                .lacking
                .binary_search_by(|lacking| lacking.digest.cmp(digest));
            Some(self.held() + at.ok()?)
        });
        u32::try_from(position?).ok()
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.held() + self.lacking.len()
    }

    /// How many of them are of what it holds.
    pub fn held(&self) -> usize {
        match &self.places {
            None => self.sources.first().map_or(0, |source| source.count()),
            Some(places) => places.len(),
        }
    }

    /// Source and claim of what the archive holds at `position`.
    fn place(&self, position: u32) -> (u32, u32) {
        match &self.places {
            None => (0, position),
            Some(places) => places[position as usize],
        }
    }

    fn digest_of(&self, (source, claim): (u32, u32)) -> Digest {
        self.sources[source as usize].claim(claim as usize).digest
    }

    /// What the archive does not hold at `position`; `None` if it does hold it.
    pub fn lacking_at(&self, position: u32) -> Option<&Lacking> {
        (position as usize)
            .checked_sub(self.held())
            .map(|at| &self.lacking[at])
    }

    /// The digest at `position`.
    pub fn digest(&self, position: u32) -> Digest {
        match self.lacking_at(position) {
            Some(lacking) => lacking.digest.clone(),
            None => self.digest_of(self.place(position)),
        }
    }

    /// The length in bytes of what is at `position`: of what lies there, or as documents tell it.
    pub fn size(&self, position: u32) -> u64 {
        match self.lacking_at(position) {
            Some(lacking) => lacking.size,
            None => {
                let (source, claim) = self.place(position);
                self.sources[source as usize].length(claim as usize)
            }
        }
    }

    /// What lies in the archive and was never hashed.
    pub fn unverified(&self) -> impl Iterator<Item = Copy> {
        let claims = |source: &Arc<Source>| {
            let all = (0..source.count()).map(|claim| Copy::new(Arc::clone(source), claim));
            all.filter(|copy| copy.verdict() == Verdict::Claimed)
                .collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(claims)
    }

    /// Every copy of what the archive holds at `position`.
    pub fn copies(&self, position: u32) -> impl Iterator<Item = Copy> {
        let digest = self.digest(position);
        let held = u32::try_from(self.held()).unwrap_or(u32::MAX);
        (position..held)
            .map(|position| self.place(position))
            .take_while(move |(source, claim)| {
                self.sources[*source as usize].is_of(*claim as usize, &digest)
            })
            .map(|(source, claim)| {
                Copy::new(Arc::clone(&self.sources[source as usize]), claim as usize)
            })
    }

    /// Whether one of its documents is `digest` or refers to it, so that it does not merely lie there.
    pub fn refers_to(&self, digest: &Digest) -> bool {
        let Some(position) = self.position(digest) else {
            return false;
        };
        let refers = |document| self.references(document).binary_search(&position).is_ok();
        self.document_number(position).is_some() || self.documents.iter().any(refers)
    }

    /// Everything that the documents `roots` reach, themselves included, as sorted positions.
    pub fn reach<'d>(&self, roots: impl IntoIterator<Item = &'d Digest>) -> Vec<u32> {
        let mut pending: Vec<usize> = roots
            .into_iter()
            .filter_map(|root| self.document_number(self.position(root)?))
            .collect();
        let mut walked = BTreeSet::new();
        let mut reached = Vec::new();
        while let Some(number) = pending.pop() {
            if !walked.insert(number) {
                continue;
            }
            let document = &self.documents[number];
            let references = self.references(document);
            reached.push(document.position);
            reached.extend_from_slice(references);
            if document.is_index() {
                let children = references.iter();
                pending.extend(children.filter_map(|child| self.document_number(*child)));
            }
        }
        reached.sort_unstable();
        reached.dedup();
        reached
    }
}
