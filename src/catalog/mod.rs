//! What is served: an immutable [`Snapshot`], and the [`Catalog`], its one owner that may publish.
//!
//! A request takes one snapshot and never looks again. The catalog scans the roots, reads
//! what is new with the help of `archive`, and publishes a whole new snapshot at once; what
//! did not change is not read again.
//!
//! Nothing here knows of HTTP, and nothing waits on a runtime: refreshing blocks, on a thread
//! that the caller chooses.

mod blobs;
mod build;
mod names;
mod scan;
mod snapshot;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use crate::archive::{self, Candidate, Fault, Found, Problems};
use crate::content::Root;

pub use crate::archive::{Document, Image, Problem, Severity};
pub use snapshot::{Manifest, Repository, Snapshot, View};

/// What the user decides about names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Give repositories without `latest` one.
    pub auto_latest: bool,
    /// Leave out tags that v1.1 of the specification forbids.
    pub strict_tags: bool,
}

/// One file or folder and what was found in it. Immutable; survives publications.
#[derive(Debug)]
pub struct Archive {
    candidate: Candidate,
    /// What it holds.
    pub found: Found,
    problems: Vec<Problem>,
    /// It could not be read, and may be readable the next time without having changed.
    is_unsettled: bool,
}

impl Archive {
    /// The path to show to people.
    pub fn path(&self) -> PathBuf {
        self.candidate.location.path()
    }

    /// Whether this was read of what `candidate` is now.
    fn is_of(&self, candidate: &Candidate) -> bool {
        self.candidate.location == candidate.location && self.candidate.stamp == candidate.stamp
    }

    fn is_as_bad_as(&self, again: &Self) -> bool {
        again.is_unsettled
            && self.found.images.len() == again.found.images.len()
            && self.problems == again.problems
    }

    /// Reads `candidate`. Should the reader fail on it, that is a problem of this file alone.
    fn read(candidate: Candidate) -> Self {
        let read = catch_unwind(AssertUnwindSafe(|| archive::read(&candidate)));
        let (found, problems) = read.unwrap_or_else(|_| {
            let mut problems = Problems::of(&candidate.location.path());
            problems.add(&Fault::Internal);
            (Found::default(), problems)
        });
        let is_unsettled = problems.are_passing();
        Self {
            candidate,
            found,
            problems: problems.into_vec(),
            is_unsettled,
        }
    }
}

/// What happened to the catalog.
#[derive(Debug)]
pub enum Event<'e> {
    /// A new snapshot is served.
    Published {
        /// The snapshot.
        snapshot: &'e Snapshot,
        /// Those of its problems that the one before did not have.
        new_problems: Vec<&'e Problem>,
    },
}

/// Called with each event, on the thread that refreshes.
pub type Listener = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// The owner of the snapshot.
pub struct Catalog {
    roots: Vec<Arc<Root>>,
    options: Options,
    current: ArcSwapOption<Snapshot>,
    /// Held while refreshing: one scan at a time.
    state: Mutex<State>,
    listener: Listener,
}

#[derive(Default)]
struct State {
    /// When the last refresh began; it saw all that had happened by then.
    began: Option<Instant>,
    archives: Vec<Arc<Archive>>,
    scan_problems: Vec<Problem>,
}

impl Catalog {
    /// A catalog of `roots`; nothing is read and nothing is served until it is refreshed.
    pub fn new(roots: Vec<Arc<Root>>, options: Options, listener: Listener) -> Self {
        Self {
            roots,
            options,
            current: ArcSwapOption::empty(),
            state: Mutex::default(),
            listener,
        }
    }

    /// What is served now; `None` before the first refresh has ended.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Brings what is served up to date with what lies in the roots `now`.
    ///
    /// Blocks on files. Returns at once if another refresh that began later has ended meanwhile.
    pub fn refresh(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_some_and(|began| began > now) {
            return;
        }
        state.began = Some(Instant::now());
        let scan = scan::scan(&self.roots);
        let previous = self.snapshot();
        if scan.is_partial && previous.is_some() {
            // What could not be seen is not gone.
            return;
        }
        let archives = read_changed(scan.candidates, &state.archives);
        let is_same = archives.len() == state.archives.len()
            && archives
                .iter()
                .zip(&state.archives)
                .all(|(a, b)| Arc::ptr_eq(a, b))
            && scan.problems == state.scan_problems;
        if is_same && previous.is_some() {
            return;
        }
        let snapshot = Arc::new(build::snapshot(
            archives.clone(),
            scan.problems.clone(),
            self.options,
        ));
        state.archives = archives;
        state.scan_problems = scan.problems;
        self.current.store(Some(Arc::clone(&snapshot)));
        // Whoever listens may take its time; the next refresh must not wait for it.
        drop(state);
        let is_new = |problem: &&Problem| {
            previous
                .as_ref()
                .is_none_or(|previous| previous.problems().binary_search(problem).is_err())
        };
        let new_problems = snapshot.problems().iter().filter(is_new).collect();
        (self.listener)(&Event::Published {
            snapshot: &snapshot,
            new_problems,
        });
    }
}

/// The archives at `candidates`, in their order; those that did not change are kept from `known`.
fn read_changed(candidates: Vec<Candidate>, known: &[Arc<Archive>]) -> Vec<Arc<Archive>> {
    let known: HashMap<PathBuf, &Arc<Archive>> = known
        .iter()
        .map(|archive| (archive.path(), archive))
        .collect();
    let before: Vec<Option<&Arc<Archive>>> = candidates
        .iter()
        .map(|candidate| {
            known
                .get(&candidate.location.path())
                .copied()
                .filter(|archive| archive.is_of(candidate))
        })
        .collect();
    let is_kept =
        |before: Option<&Arc<Archive>>| before.is_some_and(|archive| !archive.is_unsettled);
    let changed: Vec<Candidate> = candidates
        .into_iter()
        .zip(&before)
        .filter(|(_, before)| !is_kept(**before))
        .map(|(changed, _)| changed)
        .collect();
    let mut read = read_all(&changed).into_iter();
    before
        .into_iter()
        .filter_map(|before| {
            if is_kept(before) {
                return before.cloned();
            }
            let again = read.next()?;
            // Still the same trouble: nothing to publish.
            Some(
                before
                    .filter(|before| before.is_as_bad_as(&again))
                    .cloned()
                    .unwrap_or(again),
            )
        })
        .collect()
}

/// Reads `candidates` on all cores.
fn read_all(candidates: &[Candidate]) -> Vec<Arc<Archive>> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(candidates.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut read = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(candidate) = candidates.get(number) else {
                return read;
            };
            read.push((number, Arc::new(Archive::read(candidate.clone()))));
        }
    };
    let mut read: Vec<(usize, Arc<Archive>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_default())
            .collect()
    });
    read.sort_by_key(|(number, _)| *number);
    read.into_iter().map(|(_, archive)| archive).collect()
}

#[cfg(test)]
mod tests;
