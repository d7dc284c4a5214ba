//! Layers whose digest nothing tells: a gzip of `layer.tar`, a name of the user's own. They have to be read as a whole
//! once, and their images are *pending* until then.

use std::collections::BTreeMap;

use super::members::Stored;
use crate::content::{Copy, File, Identity, Location, OpenError, Place};
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
    diff_id: Digest,
}

impl Unhashed {
    /// What lies at `stored` in the file at `location`, as long as that has `identity`, and is `diff_id` once decompressed.
    pub(super) fn new(
        stored: Stored,
        location: Location,
        identity: Identity,
        diff_id: Digest,
    ) -> Self {
        Self {
            stored,
            location,
            identity,
            diff_id,
        }
    }

    /// The file that holds it, what that must still be, and where it begins there.
    pub fn place(&self) -> (&Location, &Identity, u64) {
        (&self.location, &self.identity, self.stored.offset)
    }

    /// The digest that the image's configuration says it has once it is decompressed.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Whether `copy` is of the same bytes in the same file.
    pub fn is(&self, copy: &Copy) -> bool {
        let Stored { offset, size, .. } = self.stored;
        let place = Place::Extent {
            offset,
            length: size,
        };
        let (source, _) = copy.place();
        let file = (source.location(), source.identity());
        file == (&self.location, &self.identity) && copy.claim().place == place
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
