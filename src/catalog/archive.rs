//! One archive as the catalog keeps it: the file or folder, and what was found in it.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Candidate, Fault, Found, Learned, Problem, Problems, Stamp};
use crate::content::Verdict;

/// One file or folder and what was found in it. Immutable; survives publications.
#[derive(Debug)]
pub struct Archive {
    /// The number of the root that it lies in.
    root: usize,
    candidate: Candidate,
    /// What it holds.
    pub found: Arc<Found>,
    pub(super) problems: Vec<Problem>,
    /// It could not be read, and may be readable the next time without having changed.
    pub(super) is_unsettled: bool,
    /// It was written to while it was read.
    pub(super) is_changing: bool,
    /// The digests that were hashed because nothing tells them.
    pub(super) learned: Learned,
    /// They were hashed when the file had another name, or other times: they hold unless layers turn out to be others.
    is_doubtful: bool,
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
            found: Arc::new(found),
            is_changing: problems.are_of_change(),
            problems: problems.into_vec(),
            is_unsettled,
            learned,
            is_doubtful: false,
        }
    }

    /// The same archive, read again with more digests learned.
    pub(super) fn read_again(&self, learned: Learned) -> Self {
        Self::read(self.root, self.candidate.clone(), learned)
    }

    /// Whether what was learned of it, before its name or its times changed, has turned out to be wrong.
    pub(super) fn is_mistaken(&self) -> bool {
        let is_wrong = |(_, verdict)| verdict == Verdict::Quarantined;
        let mut sources = self.found.sources.iter();
        self.is_doubtful
            && self.learned != Learned::default()
            && sources.any(|source| source.faulty().any(is_wrong))
    }

    /// This archive, known to have been `before`: what cannot be read now, and did not change, holds what it held.
    #[must_use]
    pub(super) fn after(mut self, before: &Self) -> Self {
        let is_same = before.is_moved_to(&self.candidate);
        let is_less = self.found.held() < before.found.held();
        if self.is_unsettled && !self.is_changing && is_same && is_less {
            self.found = Arc::clone(&before.found);
            self.learned = before.learned.clone();
        }
        self.is_doubtful = before.is_doubtful || !before.is_of(&self.candidate);
        self
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

    /// Whether it is one file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.candidate.stamp, Stamp::File(_))
    }

    /// The number of its file, as [`Stamp::inode`](crate::archive::Stamp::inode).
    pub(super) fn inode(&self) -> Option<u64> {
        self.candidate.stamp.inode()
    }

    /// The order of archives: by root, then by path.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }

    /// Whether this was read of what `candidate` is now.
    pub(super) fn is_of(&self, candidate: &Candidate) -> bool {
        self.candidate.location == candidate.location && self.candidate.stamp == candidate.stamp
    }

    /// Whether this was read of the file that `candidate` is now, whatever it is called there.
    pub(super) fn is_moved_to(&self, candidate: &Candidate) -> bool {
        self.candidate.stamp.is_same_file(&candidate.stamp)
    }

    /// Whether reading it again gave the same trouble.
    pub(super) fn is_as_bad_as(&self, again: &Self) -> bool {
        again.is_unsettled
            && self.found.images.len() == again.found.images.len()
            && self.problems == again.problems
    }
}
