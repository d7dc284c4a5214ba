//! Files that hold blobs, and what they claim about them.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::claims::Claims;
use super::{Identity, Location};
use crate::digest::Digest;

/// How many bytes of documents are kept in memory, over all sources.
const KEPT_BUDGET: usize = 16 << 20;

/// How much of the budget is spent. One for the process, as its memory is.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// One file as it was when it was read, and the blobs that lie in it.
///
/// Immutable, but for the bytes of documents, which are kept once they were asked for, and for the verdicts on the claims.
#[derive(Debug)]
pub struct Source {
    location: Location,
    identity: Identity,
    claims: Claims,
}

impl Source {
    /// The file at `location`, which holds what `claims` say as long as it has `identity`.
    pub fn new(location: Location, identity: Identity, claims: Vec<Claim>) -> Self {
        Self {
            location,
            identity,
            claims: Claims::new(claims),
        }
    }

    /// Where the file lies.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What the file must still be for the claims to hold.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many claims there are.
    pub fn count(&self) -> usize {
        self.claims.len()
    }

    /// The blobs that lie in the file, sorted by digest.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        (0..self.count()).map(|number| self.claims.get(number))
    }

    /// The claim of this number, in the order of [`Source::claims`].
    pub fn claim(&self, number: usize) -> Claim {
        self.claims.get(number)
    }

    /// Whether the claim of this number is on `digest`.
    pub fn is_of(&self, number: usize, digest: &Digest) -> bool {
        self.claims.is_of(number, digest)
    }

    /// Length in bytes of what the claim of this number is on.
    pub fn length(&self, number: usize) -> u64 {
        self.claims.length(number)
    }

    /// The number of the first claim on `digest`.
    pub fn find(&self, digest: &Digest) -> Option<usize> {
        self.claims.find(digest)
    }

    /// What was found out about the bytes that the claim of this number is on.
    pub fn verdict(&self, number: usize) -> Verdict {
        // All else was made here, or is hashed whenever it is read.
        if self.is_extent(number) {
            self.claims.verdict(number)
        } else {
            Verdict::Verified
        }
    }

    /// Whether the claim of this number is on bytes that are sent from where they lie.
    pub(super) fn is_extent(&self, number: usize) -> bool {
        self.claims.is_extent(number)
    }

    /// The claims whose bytes turned out to be wrong or unreadable, and which of the two.
    pub fn faulty(&self) -> impl Iterator<Item = (Claim, Verdict)> {
        let faulty = self.claims.faulty();
        faulty.map(|(number, verdict)| (self.claim(number), verdict))
    }

    /// Notes what was found out about the bytes that the claim of this number is on. Whether they are right is found out
    /// once, for as long as the source lasts; what could not be read may be readable later. Whether this is new.
    pub(super) fn settle(&self, number: usize, verdict: Verdict) -> bool {
        self.claims.settle(number, verdict)
    }

    /// What is kept of the document that the claim of this number is on.
    pub(super) fn kept(&self, number: usize) -> Option<&Bytes> {
        self.claims.kept(number).map(|kept| &kept.0)
    }

    /// Keeps the bytes of the document that the claim of this number is on, while there is room.
    pub(super) fn keep(&self, number: usize, bytes: &Bytes) {
        if let Some(kept) = Kept::within_budget(bytes.clone()) {
            self.claims.keep(number, kept);
        }
    }
}

/// That certain bytes have a certain digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The digest that the bytes are said to have.
    pub digest: Digest,
    /// Where the bytes are.
    pub place: Place,
}

impl Claim {
    /// Length of the blob in bytes.
    pub fn len(&self) -> u64 {
        match &self.place {
            Place::Memory(bytes) => bytes.len() as u64,
            Place::Document { length, .. } | Place::Extent { length, .. } => *length,
        }
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is known of the bytes that a claim is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: nobody has hashed them yet.
    Claimed,
    /// They are those that the digest names.
    Verified,
    /// Nothing: the disk would not give them. Other copies are asked first.
    Unreadable,
    /// They are others, and are not sent.
    Quarantined,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory: made when the archive was read, because no part of the file is these bytes.
    Memory(Bytes),
    /// In the file, and small: hashed each time they are read, then kept while there is room.
    Document {
        /// Where they begin in the file.
        offset: u64,
        /// How many there are.
        length: u64,
    },
    /// In the file, and sent before all of it has been hashed, but for its end.
    Extent {
        /// Where they begin in the file.
        offset: u64,
        /// How many there are.
        length: u64,
    },
}

/// Bytes that count against the budget as long as they are kept.
#[derive(Debug)]
pub struct Kept(Bytes);

impl Kept {
    /// Takes `bytes` if the budget allows.
    pub(super) fn within_budget(bytes: Bytes) -> Option<Self> {
        let size = bytes.len();
        let grown = |spent: usize| {
            spent
                .checked_add(size)
                .filter(|total| *total <= KEPT_BUDGET)
        };
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .ok()
            .map(|_| Self(bytes))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}
