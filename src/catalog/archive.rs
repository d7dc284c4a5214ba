//! One archive as the catalog keeps it: the file or folder, and what was found in it.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::archive::{self, Candidate, Fault, Found, Learned, Problem, Problems};

/// One file or folder and what was found in it. Immutable; survives publications.
#[derive(Debug)]
pub struct Archive {
    /// The number of the root that it lies in.
    root: usize,
    candidate: Candidate,
    /// What it holds.
    pub found: Found,
    pub(super) problems: Vec<Problem>,
    /// It could not be read, and may be readable the next time without having changed.
    pub(super) is_unsettled: bool,
    /// The digests that were hashed because nothing tells them.
    pub(super) learned: Learned,
}

impl Archive {
    /// Reads `candidate` in the root number `root`. Should the reader fail on it, that is a problem of this file alone.
    pub(super) fn read(root: usize, candidate: Candidate, learned: Learned) -> Self {
        let read = catch_unwind(AssertUnwindSafe(|| archive::read(&candidate, &learned)));
        let (found, problems) = read.unwrap_or_else(|_| {
            let mut problems = Problems::of(&candidate.location.path());
            problems.add(&Fault::Internal);
            (Found::default(), problems)
        });
        let is_unsettled = problems.are_passing();
        Self {
            root,
            candidate,
            found,
            problems: problems.into_vec(),
            is_unsettled,
            learned,
        }
    }

    /// The same archive, read again with more digests learned.
    pub(super) fn read_again(&self, learned: Learned) -> Self {
        Self::read(self.root, self.candidate.clone(), learned)
    }

    /// The path to show to people.
    pub fn path(&self) -> PathBuf {
        self.candidate.location.path()
    }

    /// The last part of its path.
    pub(super) fn file_name(&self) -> String {
        let path = self.path();
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The number of its root, and where it lies there. A file may lie in several roots: each is an archive of its own.
    pub(super) fn place(&self) -> (usize, &Path) {
        (self.root, self.candidate.location.relative())
    }

    /// The order of archives: by root, then by path.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }

    /// Whether this was read of what `candidate` is now.
    pub(super) fn is_of(&self, candidate: &Candidate) -> bool {
        self.candidate.location == candidate.location && self.candidate.stamp == candidate.stamp
    }

    /// Whether reading it again gave the same trouble.
    pub(super) fn is_as_bad_as(&self, again: &Self) -> bool {
        again.is_unsettled
            && self.found.images.len() == again.found.images.len()
            && self.problems == again.problems
    }
}
