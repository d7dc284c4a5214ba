//! What is inside one file or folder: [`read`] turns a [`Candidate`] into [`Found`] and problems.
//!
//! Only headers and small documents are read. Layers are located, never opened; manifests,
//! indexes and configurations are hashed before anything in them is believed. Broken input is
//! a value: it costs a [`Problem`] and nothing else.
//!
//! Nothing here knows of HTTP or of other archives.

pub mod docker;
mod found;
mod graph;
mod hybrid;
mod images;
mod layout;
pub mod members;
pub mod names;
mod packing;
pub mod problem;
pub mod tar;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::content::{File, Identity, Location, Source};
use crate::digest::Digest;
use crate::oci::{MediaType, Platform};

use members::Members;
pub use names::{ImageName, Repository};
use packing::Compression;
pub use problem::{Fault, Problem, Problems, Severity};

/// Something that may hold images, as a scan saw it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it lies.
    pub location: Location,
    /// What it was then.
    pub stamp: Stamp,
}

/// What a candidate was when it was seen: while this is the same, it need not be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A file.
    File(Identity),
    /// A folder, by the files of its layout, their paths relative to it.
    Folder(Vec<(Box<Path>, Identity)>),
}

/// What an archive holds. Immutable, and valid as long as the files of its sources stay the same.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, with what lies where in them.
    pub sources: Box<[Arc<Source>]>,
    /// The images.
    pub images: Box<[Image]>,
    /// The manifests and indexes, sorted by digest.
    pub documents: Box<[Document]>,
    /// Every digest that an image reaches, sorted, absent ones included.
    pub digests: Box<[Digest]>,
    /// The length of each of them in bytes, as the documents tell.
    pub sizes: Box<[u64]>,
}

impl Found {
    /// The manifest or index with this digest, if it was read in this archive.
    pub fn document(&self, digest: &Digest) -> Option<&Document> {
        let at = self
            .documents
            .binary_search_by(|document| document.digest.cmp(digest));
        at.ok().map(|at| &self.documents[at])
    }

    /// The length of `digest` in bytes, if an image here reaches it.
    pub fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.position(digest)
            .map(|position| self.sizes[position as usize])
    }

    /// The place of `digest` in [`Found::digests`].
    pub fn position(&self, digest: &Digest) -> Option<u32> {
        let at = self.digests.binary_search(digest).ok()?;
        u32::try_from(at).ok()
    }
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
    /// What it reaches, as sorted places in [`Found::digests`].
    pub reach: Box<[u32]>,
    /// What it reaches and the archive does not hold.
    pub absent: Absent,
}

impl Image {
    /// Whether it reaches the digest at `position` in [`Found::digests`].
    pub fn reaches(&self, position: u32) -> bool {
        self.reach.binary_search(&position).is_ok()
    }
}

/// What a platform gets of an image.
#[derive(Clone, Debug)]
pub struct PlatformImage {
    /// The platform.
    pub platform: Platform,
    /// The manifest for it.
    pub digest: Digest,
    /// Length in bytes of its configuration and layers.
    pub size: u64,
}

/// Digests that an image reaches and its archive does not hold.
#[derive(Debug, Default)]
pub struct Absent {
    /// Manifests, as of platforms that were not saved.
    pub manifests: Vec<Digest>,
    /// Configurations and layers, but for layers that are meant to be elsewhere.
    pub blobs: Vec<Digest>,
}

/// A manifest or an index: what is needed to answer for it without its bytes.
#[derive(Debug)]
pub struct Document {
    /// Its digest.
    pub digest: Digest,
    /// The type under which it is served.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: u64,
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

/// Reads `candidate`. What cannot be used is a problem; the rest is found.
pub fn read(candidate: &Candidate) -> (Found, Problems) {
    let path = candidate.location.path();
    let mut problems = Problems::of(&path);
    let found = match members(candidate, &path, &mut problems) {
        Ok(members) => {
            let found = images::find(&members, &candidate.location, &mut problems);
            if found.images.is_empty() && problems.is_empty() {
                problems.add(&Fault::NoImages);
            }
            found
        }
        Err(fault) => {
            problems.add(&fault);
            Found::default()
        }
    };
    (found, problems)
}

fn members(candidate: &Candidate, path: &Path, problems: &mut Problems) -> Result<Members, Fault> {
    match &candidate.stamp {
        Stamp::Folder(listing) => Ok(Members::of_folder(&candidate.location, listing, problems)),
        Stamp::File(_) => {
            let file = File::open(&candidate.location).map_err(Fault::Unreadable)?;
            check_is_tar(&file, path)?;
            Members::of_tar(&candidate.location, file, problems)
        }
    }
}

/// Tells what a file is that is no tar, by its first bytes and its name.
fn check_is_tar(file: &File, path: &Path) -> Result<(), Fault> {
    let mut front = [0; 512];
    let read = file.read_at(&mut front, 0).map_err(Fault::Unreadable)?;
    // A tar of nothing is its end alone.
    let is_empty_tar = read == front.len() && front.iter().all(|byte| *byte == 0);
    if tar::is_header(&front[..read]) || is_empty_tar {
        return Ok(());
    }
    let is_meant = path
        .file_name()
        .is_some_and(|name| names::is_archive_name(&name.to_string_lossy()));
    Err(match Compression::detect(&front[..read]) {
        // A Helm chart or a log may be compressed as well: only what is called an archive is missed.
        Some(compression) if is_meant => Fault::Compressed(compression.name()),
        _ if !is_meant => Fault::Ignored,
        _ if read == 0 => Fault::EmptyFile,
        _ => Fault::NotAnArchive,
    })
}
