//! Layers whose digest nothing tells: a gzip of `layer.tar`, a name of the user's own. They have to be read as a whole
//! once, and their images are *pending* until then.

use std::collections::BTreeMap;

use super::members::Stored;
use crate::content::{File, Identity, Location, OpenError};
use crate::digest::{Algorithm, Digest};

/// The digests of such layers, by their places: they hold as long as the files stay the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned(BTreeMap<Stored, Digest>);

impl Learned {
    /// Notes the digest of what lies at the place of `unhashed`.
    pub fn insert(&mut self, unhashed: &Unhashed, digest: Digest) {
        self.0.insert(unhashed.stored, digest);
    }

    pub(super) fn get(&self, stored: Stored) -> Option<&Digest> {
        self.0.get(&stored)
    }
}

/// A layer that has to be hashed.
#[derive(Clone, Debug)]
pub struct Unhashed {
    stored: Stored,
    location: Location,
    identity: Identity,
}

impl Unhashed {
    /// What lies at `stored` in the file at `location`, as long as that has `identity`.
    pub(super) fn new(stored: Stored, location: Location, identity: Identity) -> Self {
        Self {
            stored,
            location,
            identity,
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.stored.size
    }

    /// Reads all of it. Blocks on the file.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be read, or is not what it was.
    pub fn hash(&self) -> Result<Digest, OpenError> {
        let file = File::open(&self.location)?;
        if *file.identity() != self.identity {
            return Err(OpenError::Changed);
        }
        let Stored { offset, size, .. } = self.stored;
        let digest = file.hash(offset..offset + size, Algorithm::Sha256, |_| ())?;
        Ok(digest)
    }
}
