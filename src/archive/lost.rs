//! Images that an archive names and that cannot be served, so that whoever looks for them can be told why.

use super::layout::Entry;
use super::names::{ImageName, PathName, Repository, Written};
use super::problem::Fault;
use crate::digest::Digest;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, MediaType, Platform};

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A list of manifests.
    Index,
    /// What lists the other parts of the image for one platform.
    Manifest,
    /// A configuration.
    Config,
    /// A layer, or whatever else an artifact is made of.
    Layer,
}

impl Part {
    /// The document that `descriptor` refers to.
    pub fn document(descriptor: &Descriptor) -> Self {
        match descriptor.media_type.as_ref().and_then(MediaType::kind) {
            Some(Kind::Index) => Self::Index,
            Some(Kind::Image) | None => Self::Manifest,
        }
    }

    /// Whether it is a manifest or an index.
    pub fn is_document(self) -> bool {
        matches!(self, Self::Index | Self::Manifest)
    }
}

/// What is wrong with a part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// Whatever holds it has other bytes, or does not give them.
    Damaged,
    /// It is there, and no image can be made of it.
    Unusable,
    /// No archive holds it, and it was said to be there.
    Missing,
    /// No archive holds a manifest that an index lists: a platform was not saved.
    Sparse,
}

impl Flaw {
    /// What `fault` is to the part that it was found in.
    pub fn of(fault: &Fault) -> Self {
        match fault {
            // What is pending could not be hashed.
            Fault::DigestMismatch { .. } | Fault::Unreadable(_) | Fault::PendingLayer => {
                Self::Damaged
            }
            Fault::MissingMember(_) => Self::Missing,
            _ => Self::Unusable,
        }
    }
}

/// An image that an archive names, and of which nothing is served.
#[derive(Clone, Debug)]
pub struct Lost {
    /// What it is called.
    pub name: ImageName,
    /// What it is for, where its name is followed by that.
    pub platform: Option<Platform>,
    /// The part at fault.
    pub part: Part,
    /// The digest of that part, where the archive tells it.
    pub digest: Option<Digest>,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// The same while the archive is read.
#[derive(Debug)]
pub struct Loss {
    written: Written,
    pulled_from: Option<Repository>,
    platform: Option<Platform>,
    part: Part,
    digest: Option<Digest>,
    flaw: Flaw,
}

impl Loss {
    /// The manifest or index of what `index.json` lists as `entry` has a flaw.
    pub fn of_entry(entry: Entry, part: Part, flaw: Flaw) -> Self {
        // What says something about another image may repeat its name, and is not that image.
        let written = match (&entry.about, entry.written) {
            (Some(_), Written::Full(name)) => Written::Full(ImageName { tag: None, ..name }),
            (Some(_), _) => Written::Nothing,
            (None, written) => written,
        };
        Self {
            written,
            pulled_from: entry.pulled_from,
            platform: entry.platform,
            part,
            digest: Some(entry.root),
            flaw,
        }
    }

    /// In a part of the image `name` of a Docker archive there is a fault.
    pub fn of_item(name: ImageName, part: Part, fault: &Fault) -> Self {
        let digest = match fault {
            Fault::DigestMismatch { expected, .. } => Some(expected.clone()),
            _ => None,
        };
        Self {
            written: Written::Full(name),
            pulled_from: None,
            platform: None,
            part,
            digest,
            flaw: Flaw::of(fault),
        }
    }

    /// What is kept of it: what the archive leaves open of the name is taken from `derived`.
    pub fn named(self, derived: Option<&PathName>) -> Option<Lost> {
        let repository = || {
            let derived = derived.map(|derived| derived.name.repository.clone());
            self.pulled_from.or(derived)
        };
        let name = match self.written {
            Written::Full(name) => name,
            Written::Tag(tag) => ImageName {
                repository: repository()?,
                tag: Some(tag),
            },
            Written::Nothing => ImageName {
                repository: repository()?,
                tag: None,
            },
        };
        Some(Lost {
            name,
            platform: self.platform,
            part: self.part,
            digest: self.digest,
            flaw: self.flaw,
        })
    }
}
