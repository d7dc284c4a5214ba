//! The map from digests to the places that claim them, over all archives.
//!
//! One sorted array of 16-byte entries: a hash map of digests takes many times the memory
//! and the time to build. The full digest in the claim decides.

use std::sync::Arc;

use super::Archive;
use crate::content::Copy;
use crate::digest::Digest;

/// Where every blob of a snapshot lies.
#[derive(Debug, Default)]
pub struct BlobMap {
    /// Each source, as its archive and its number there.
    sources: Box<[(Arc<Archive>, u32)]>,
    entries: Box<[Entry]>,
}

/// Sorted by the digest's prefix, then by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    prefix: u64,
    source: u32,
    claim: u32,
}

/// A copy of a blob, and the archive that it lies in.
#[derive(Debug)]
pub struct Located<'m> {
    /// The copy.
    pub copy: Copy,
    /// The archive.
    pub archive: &'m Arc<Archive>,
}

impl BlobMap {
    /// This map without the archives that are not `kept` and with those that are `added`: one pass, no sorting of
    /// what is there. Sources are in the order of their archives, so that nothing depends on which of them came first.
    pub fn updated(&self, kept: impl Fn(&Arc<Archive>) -> bool, added: &[Arc<Archive>]) -> Self {
        let mut merged = Merged::default();
        let mut numbers = Vec::with_capacity(self.sources.len());
        let mut added = added.iter().peekable();
        for source in &self.sources {
            if !kept(&source.0) {
                numbers.push(None);
                continue;
            }
            while let Some(earlier) = added.next_if(|added| added.order(&source.0).is_lt()) {
                merged.add(earlier);
            }
            numbers.push(Some(to_u32(merged.sources.len())));
            merged.sources.push(source.clone());
        }
        added.for_each(|archive| merged.add(archive));
        let Merged { sources, mut new } = merged;
        new.sort_unstable();
        let old = self.entries.iter().filter_map(|entry| {
            Some(Entry {
                source: numbers[entry.source as usize]?,
                ..*entry
            })
        });
        Self {
            sources: sources.into(),
            entries: merge(old, new, self.entries.len()),
        }
    }

    /// Every copy of `digest`, in the order of their archives.
    pub fn copies<'m>(&'m self, digest: &Digest) -> impl Iterator<Item = Located<'m>> {
        let entries = self.entries_of(digest).iter();
        entries.filter_map(move |entry| self.located(*entry, digest))
    }

    /// About how many copies of `digest` there are, at the price of a look-up.
    pub fn count(&self, digest: &Digest) -> usize {
        self.entries_of(digest).len()
    }

    fn entries_of(&self, digest: &Digest) -> &[Entry] {
        let prefix = digest.prefix();
        let start = self.entries.partition_point(|entry| entry.prefix < prefix);
        let rest = &self.entries[start..];
        let length = rest.partition_point(|entry| entry.prefix == prefix);
        &rest[..length]
    }

    /// Whether any archive claims to hold `digest` in a length of `size` bytes.
    pub fn contains(&self, digest: &Digest, size: u64) -> bool {
        self.copies(digest)
            .any(|located| located.copy.len() == size)
    }

    fn located(&self, entry: Entry, digest: &Digest) -> Option<Located<'_>> {
        let (archive, source) = &self.sources[entry.source as usize];
        let source = &archive.found.sources[*source as usize];
        let claim = entry.claim as usize;
        source.is_of(claim, digest).then(|| Located {
            copy: Copy::new(Arc::clone(source), claim),
            archive,
        })
    }
}

/// The sources of a map in the making.
#[derive(Default)]
struct Merged {
    sources: Vec<(Arc<Archive>, u32)>,
    /// What was not in the map before.
    new: Vec<Entry>,
}

impl Merged {
    fn add(&mut self, archive: &Arc<Archive>) {
        for (number, source) in (0..).zip(&archive.found.sources) {
            let slot = to_u32(self.sources.len());
            self.sources.push((Arc::clone(archive), number));
            self.new
                .extend((0..).zip(source.claims()).map(|(claim, known)| Entry {
                    prefix: known.digest.prefix(),
                    source: slot,
                    claim,
                }));
        }
    }
}

/// Two sorted sequences as one.
fn merge(old: impl Iterator<Item = Entry>, new: Vec<Entry>, expected: usize) -> Box<[Entry]> {
    let mut merged = Vec::with_capacity(expected + new.len());
    let mut new = new.into_iter().peekable();
    for entry in old {
        while let Some(earlier) = new.next_if(|new| *new < entry) {
            merged.push(earlier);
        }
        merged.push(entry);
    }
    merged.extend(new);
    merged.into()
}

/// There are no four thousand million files.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
