//! The blobs of one archive while it is read: which bytes are said to have which digest, and which do have it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Learned;
use super::members::{Members, Stored};
use super::packing::{Compression, MAGIC_LENGTH};
use super::problem::{Fault, Problems};
use crate::digest::Digest;

/// What is kept in memory of one archive, because no member holds it, may be this long together.
const MAX_MEMORY: usize = 16 << 20;
/// At most so many bytes of one archive are hashed while it is read; whole layers are hashed later.
const MAX_HASHED: u64 = 1 << 30;

/// Of so many places that claim one digest the right one is looked for.
const MAX_PLACES: usize = 64;

/// One of several layouts of an archive.
#[derive(Debug, Default)]
struct Layout {
    /// What lies in it: what its documents refer to is had from there.
    located: BTreeMap<Digest, Stored>,
    /// What documents have referred to so far, in this layout and those before.
    referred: BTreeSet<Digest>,
}

/// Everything that claims a digest in one archive.
#[derive(Debug)]
pub struct Blobs<'m> {
    members: &'m Members,
    /// The digests that were found out by hashing whole layers.
    learned: &'m Learned,
    /// Places whose digest has to be found out so, with the diff ID of what lies there.
    pending: BTreeMap<Stored, Digest>,
    /// Where the bytes lie that claim a digest: the place that is used, then others.
    located: BTreeMap<Digest, Stored>,
    alternates: BTreeMap<Digest, Vec<Stored>>,
    /// Where an archive has several layouts: the one that is being read.
    layout: Option<Layout>,
    /// Names that several members have, of which one was picked by its digest.
    picked: BTreeSet<String>,
    /// How layers are compressed, by their first bytes: many images may share one.
    compressions: BTreeMap<Stored, Option<Compression>>,
    /// Bytes that no member holds: manifests made here, and blobs embedded in manifests.
    memory: BTreeMap<Digest, Bytes>,
    memory_used: usize,
    /// What was hashed, and is what its digest says.
    verified: BTreeSet<Digest>,
    /// What was hashed, and is not what its digest says wherever it lies.
    damaged: BTreeSet<Digest>,
    hashed: u64,
}

impl<'m> Blobs<'m> {
    /// Nothing yet of the archive with these members.
    pub fn new(members: &'m Members, learned: &'m Learned) -> Self {
        Self {
            members,
            learned,
            pending: BTreeMap::new(),
            located: BTreeMap::new(),
            alternates: BTreeMap::new(),
            layout: None,
            picked: BTreeSet::new(),
            compressions: BTreeMap::new(),
            memory: BTreeMap::new(),
            memory_used: 0,
            verified: BTreeSet::new(),
            damaged: BTreeSet::new(),
            hashed: 0,
        }
    }

    /// Notes that the bytes at `stored` are claimed to have `digest`. The first claim counts until it proves wrong;
    /// what was found out by hashing goes before any claim.
    pub fn locate(&mut self, digest: Digest, stored: Stored) {
        let digest = self.learned.get(stored).cloned().unwrap_or(digest);
        if let Some(layout) = &mut self.layout {
            layout.located.entry(digest.clone()).or_insert(stored);
        }
        match self.located.get(&digest) {
            None => {
                self.located.insert(digest, stored);
            }
            Some(known) if *known == stored => {}
            Some(_) => {
                let others = self.alternates.entry(digest).or_default();
                if others.len() < MAX_PLACES && !others.contains(&stored) {
                    others.push(stored);
                }
            }
        }
    }

    /// Notes that the member `name` is claimed to have `digest`. Where several members have that name, one whose digest
    /// it is can be told from the others.
    pub fn locate_member(&mut self, digest: Digest, name: &str, problems: &mut Problems) {
        match self.members.locate(name) {
            Ok(stored) => self.locate(digest, stored),
            Err(Fault::Duplicate) => {
                // Where none is right, that is told with all such names.
                if let Some(stored) = self.members.pick(name, &digest) {
                    self.locate(digest, stored);
                    self.picked.insert(name.to_owned());
                    problems.add_in(name, &Fault::PickedDuplicate);
                }
            }
            Err(fault) => problems.add_in(name, &fault),
        }
    }

    /// Begins with another of the layouts of an archive that has several.
    pub fn start_layout(&mut self) {
        self.layout.get_or_insert_default().located.clear();
    }

    /// Uses the place of this layout for what one of its documents refers to, unless those of another one were first:
    /// what lies in one layout says nothing about the others.
    pub fn use_own(&mut self, digest: &Digest) {
        let Some(layout) = &mut self.layout else {
            return;
        };
        let is_first = layout.referred.insert(digest.clone());
        let (Some(own), Some(used)) = (layout.located.get(digest), self.located.get_mut(digest))
        else {
            return;
        };
        if is_first && own != used {
            let other = std::mem::replace(used, *own);
            let others = self.alternates.entry(digest.clone()).or_default();
            others.retain(|place| place != own);
            others.push(other);
        }
    }

    pub fn remember(&mut self, digest: &Digest, bytes: Bytes) -> Result<(), Fault> {
        if self.memory.contains_key(digest) {
            return Ok(());
        }
        self.memory_used += bytes.len();
        if self.memory_used > MAX_MEMORY {
            return Err(Fault::TooMany {
                what: "bytes of manifests to make",
                limit: MAX_MEMORY,
            });
        }
        self.memory.insert(digest.clone(), bytes);
        Ok(())
    }

    /// The bytes of `digest`, which is here, from the first place that holds what its digest says.
    ///
    /// Bytes that are not what their name says are no copy of the blob, for nobody.
    pub fn read(&mut self, digest: &Digest, size: Option<u64>, limit: u64) -> Result<Bytes, Fault> {
        if let Some(bytes) = self.memory.get(digest) {
            return check_size(size, bytes.len() as u64).map(|()| bytes.clone());
        }
        if let Some(size) = size {
            self.prefer(digest, size);
        }
        loop {
            let Some(stored) = self.located.get(digest).copied() else {
                return Err(Fault::MissingMember(digest.to_string()));
            };
            check_size(size, stored.size)?;
            if self.hashed > MAX_HASHED {
                return Err(Fault::TooMany {
                    what: "bytes to hash",
                    limit: usize::try_from(MAX_HASHED).unwrap_or(usize::MAX),
                });
            }
            let bytes = self.members.read(stored, limit)?;
            self.hashed += stored.size;
            let found = Digest::of(digest.algorithm(), &bytes);
            if found == *digest {
                self.verified.insert(digest.clone());
                return Ok(bytes.into());
            }
            if !self.forget(digest) {
                self.damaged.insert(digest.clone());
                return Err(Fault::DigestMismatch {
                    expected: digest.clone(),
                    found,
                    offset: Some(stored.offset),
                });
            }
        }
    }

    /// Where several places claim `digest`, uses one that is `size` bytes long.
    pub fn prefer(&mut self, digest: &Digest, size: u64) {
        let (Some(used), Some(others)) = (
            self.located.get_mut(digest),
            self.alternates.get_mut(digest),
        ) else {
            return;
        };
        if used.size != size
            && let Some(right) = others.iter_mut().find(|other| other.size == size)
        {
            std::mem::swap(used, right);
        }
    }

    /// Forgets the place that is used for `digest`, and tells whether there is another one.
    fn forget(&mut self, digest: &Digest) -> bool {
        let next = self.alternates.get_mut(digest).and_then(Vec::pop);
        match next {
            Some(next) => self.located.insert(digest.clone(), next).is_some(),
            None => {
                self.located.remove(digest);
                false
            }
        }
    }

    /// How the bytes at `stored` are compressed.
    ///
    /// # Errors
    /// [`Fault`] if they cannot be read.
    pub fn compression(&mut self, stored: Stored) -> Result<Option<Compression>, Fault> {
        if let Some(known) = self.compressions.get(&stored) {
            return Ok(*known);
        }
        let compression = Compression::detect(&self.members.read_front(stored, MAGIC_LENGTH)?);
        self.compressions.insert(stored, compression);
        Ok(compression)
    }

    /// The digest of the bytes at `stored`, which only hashing tells. If that was not done yet, it has to be.
    pub fn learn(&mut self, stored: Stored, diff_id: Digest) -> Option<Digest> {
        let known = self.learned.get(stored).cloned();
        if known.is_none() {
            self.pending.entry(stored).or_insert(diff_id);
        }
        known
    }

    /// Whether the digest of the bytes that are here as `digest` was found out by hashing.
    pub fn is_learned(&self, digest: &Digest) -> bool {
        let stored = self.located.get(digest);
        stored.is_some_and(|stored| self.learned.get(*stored) == Some(digest))
    }

    /// What has to be hashed, with its diff ID.
    pub fn pending(&self) -> impl Iterator<Item = (Stored, &Digest)> {
        self.pending
            .iter()
            .map(|(stored, diff_id)| (*stored, diff_id))
    }

    /// The names that several members have of which none was picked.
    pub fn ambiguous(&self) -> impl Iterator<Item = &'m str> {
        let picked = &self.picked;
        self.members
            .ambiguous()
            .filter(move |name| !picked.contains(*name))
    }

    /// Every digest that a member claims to have, with the places that do, the one that is used first.
    pub fn located(&self) -> impl Iterator<Item = (&Digest, Stored)> {
        self.located.iter().flat_map(|(digest, used)| {
            let others = self.alternates.get(digest).into_iter().flatten();
            std::iter::once(used)
                .chain(others)
                .map(move |stored| (digest, *stored))
        })
    }

    /// The bytes that no member holds.
    pub fn memory(&self) -> &BTreeMap<Digest, Bytes> {
        &self.memory
    }

    /// The members that it is about.
    pub fn members(&self) -> &'m Members {
        self.members
    }

    /// The length of what is here as `digest`.
    pub fn stored_size(&self, digest: &Digest) -> Option<u64> {
        let in_memory = self.memory.get(digest).map(|bytes| bytes.len() as u64);
        in_memory.or_else(|| self.located.get(digest).map(|stored| stored.size))
    }

    /// Whether there are bytes that claim to be `digest`.
    pub fn is_here(&self, digest: &Digest) -> bool {
        self.located.contains_key(digest) || self.memory.contains_key(digest)
    }

    /// What is here under its digest, and has other bytes.
    pub fn damaged(&self) -> &BTreeSet<Digest> {
        &self.damaged
    }

    /// Forgets every place of `digest`, unless its bytes were hashed.
    pub fn forget_unverified(&mut self, digest: &Digest) {
        if !self.verified.contains(digest) {
            self.located.remove(digest);
            self.alternates.remove(digest);
            self.damaged.insert(digest.clone());
        }
    }
}

/// Compares a length with the one that is expected.
///
/// # Errors
/// [`Fault::SizeMismatch`] if one is expected, and it is another.
pub fn check_size(expected: Option<u64>, found: u64) -> Result<(), Fault> {
    match expected {
        Some(expected) if expected != found => Err(Fault::SizeMismatch { expected, found }),
        _ => Ok(()),
    }
}
