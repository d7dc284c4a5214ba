//! The map from digests to the places that claim them, over all archives.
//!
//! One sorted array of 16-byte entries: a hash map of digests takes many times the memory
//! and the time to build. The full digest in the claim decides.

use std::sync::Arc;

use crate::archive::Found;
use crate::content::{Copy, Source};
use crate::digest::Digest;

/// Where every blob of a snapshot lies.
#[derive(Debug, Default)]
pub struct BlobMap {
    /// Each source with the number of its archive.
    sources: Box<[(Arc<Source>, u32)]>,
    entries: Box<[Entry]>,
}

/// Sorted by the digest's prefix; then the order of the archives, so that answers do not vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    prefix: u64,
    source: u32,
    claim: u32,
}

/// A copy of a blob, and the archive that it lies in.
#[derive(Debug)]
pub struct Located {
    /// The copy.
    pub copy: Copy,
    /// The number of the archive.
    pub archive: usize,
}

impl BlobMap {
    /// The map over `archives`, numbered in their order.
    pub fn of<'f>(archives: impl Iterator<Item = &'f Found>) -> Self {
        let sources: Box<[_]> = (0_u32..)
            .zip(archives)
            .flat_map(|(archive, found)| {
                found
                    .sources
                    .iter()
                    .map(move |source| (Arc::clone(source), archive))
            })
            .collect();
        let mut entries: Vec<Entry> = Vec::with_capacity(
            sources
                .iter()
                .map(|(source, _)| source.claims().len())
                .sum(),
        );
        for (source, (file, _)) in (0_u32..).zip(&sources) {
            for (claim, known) in (0_u32..).zip(file.claims()) {
                entries.push(Entry {
                    prefix: known.digest.prefix(),
                    source,
                    claim,
                });
            }
        }
        entries.sort_unstable();
        Self {
            sources,
            entries: entries.into(),
        }
    }

    /// Every copy of `digest`, in the order of the archives.
    pub fn copies<'m>(&'m self, digest: &'m Digest) -> impl Iterator<Item = Located> + 'm {
        let prefix = digest.prefix();
        let start = self.entries.partition_point(|entry| entry.prefix < prefix);
        self.entries[start..]
            .iter()
            .take_while(move |entry| entry.prefix == prefix)
            .filter_map(move |entry| self.located(*entry, digest))
    }

    /// Whether any archive claims to hold `digest` in a length of `size` bytes.
    pub fn contains(&self, digest: &Digest, size: u64) -> bool {
        self.copies(digest)
            .any(|located| located.copy.claim().len() == size)
    }

    fn located(&self, entry: Entry, digest: &Digest) -> Option<Located> {
        let (source, archive) = &self.sources[entry.source as usize];
        let claim = entry.claim as usize;
        (source.claims()[claim].digest == *digest).then(|| Located {
            copy: Copy::new(Arc::clone(source), claim),
            archive: *archive as usize,
        })
    }
}
