//! What is inside one file or folder: [`read`] turns a [`Candidate`] into [`Found`] and problems.
//!
//! Only headers and small documents are read. Layers are located, never opened; manifests,
//! indexes and configurations are hashed before anything in them is believed. Broken input is
//! a value: it costs a [`Problem`] and nothing else.
//!
//! Nothing here knows of HTTP or of other archives.

mod apko;
mod blobs;
mod dir;
pub mod docker;
mod found;
mod graph;
mod hybrid;
mod images;
mod keep;
mod layout;
mod lost;
pub mod members;
pub mod names;
mod naming;
mod node;
mod packing;
mod pending;
pub mod problem;
pub mod tar;
mod writer;

use std::path::Path;

use crate::content::{File, Identity, Location};

pub use found::{Document, Found, Image, Lacking, PlatformImage, Referrer, Role};
pub use lost::{Flaw, Lost, Part};
use members::Members;
pub use names::{ImageName, Repository};
use packing::Compression;
pub use pending::{Learned, Unhashed};
pub use problem::{Fault, Problem, Problems, Rivals, Severity};
pub use writer::{Format, Writer};

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

impl Stamp {
    /// Whether these are the same files, though their names or who may read them may have changed.
    pub fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(another)) => one.is_same_file(another),
            (Self::Folder(one), Self::Folder(another)) => {
                let mut pairs = one.iter().zip(another);
                one.len() == another.len()
                    && pairs.all(|((path, one), (other_path, other))| {
                        path == other_path && one.is_same_file(other)
                    })
            }
            _ => false,
        }
    }

    /// The number of the file, or of the first one of the folder, on its device; `None` where numbers are not for good.
    pub fn inode(&self) -> Option<u64> {
        match self {
            Self::File(identity) => identity.inode(),
            Self::Folder(files) => files.first()?.1.inode(),
        }
    }
}

/// Reads `candidate`. What cannot be used is a problem; the rest is found.
///
/// Where a digest can be known only by reading all of a layer, it is taken from `learned`.
pub fn read(candidate: &Candidate, learned: &Learned) -> (Found, Problems) {
    let path = candidate.location.path();
    let mut problems = Problems::of(&path);
    let found = match members(candidate, &path, &mut problems) {
        Ok(members) => {
            let found = images::find(&members, &candidate.location, learned, &mut problems);
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
        Stamp::File(seen) => {
            let file = File::open(&candidate.location).map_err(Fault::Unreadable)?;
            if file.identity() != seen {
                return Err(Fault::Changing);
            }
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
