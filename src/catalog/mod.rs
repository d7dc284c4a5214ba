//! What is served: an immutable [`Snapshot`], and the [`Catalog`], its one owner that may publish.
//!
//! A request takes one snapshot and never looks again. The catalog scans the roots, reads
//! what is new with the help of `archive`, and publishes a whole new snapshot at once; what
//! did not change is not read again.
//!
//! Nothing here knows of HTTP, and nothing waits on a runtime: refreshing blocks, on a thread
//! that the caller chooses.

mod archive;
mod blobs;
mod build;
mod check;
mod coalesce;
mod names;
mod repository;
mod scan;
mod snapshot;
mod verify;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use crate::archive::{Candidate, Learned, Unhashed};
use crate::content::{Root, Verdict};

pub use crate::archive::{Document, Image, Problem, Severity};
pub use archive::Archive;
pub use check::{Flaw, Flawed, Inspection, Part, is_wanted};
pub use repository::Repository;
pub use snapshot::{Manifest, Referring, Snapshot, View};
pub use verify::{Verifier, hash_all};

/// Archives are hashed together as long as no more bytes of them have to be.
const LEARNED_AT_ONCE: u64 = 256 << 20;

/// What the user decides about names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Give repositories without `latest` one.
    pub auto_latest: bool,
    /// Leave out tags that v1.1 of the specification forbids.
    pub strict_tags: bool,
    /// Serve no tag that archives give to images which contradict each other.
    pub strict: bool,
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
        /// Whether it has the same archives as the one before: only more is known about them.
        is_same: bool,
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
        let mut state = self.state();
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
        let is_known = is_same(&archives, &state.archives) && scan.problems == state.scan_problems;
        if is_known && previous.is_some() {
            return;
        }
        self.publish(state, archives, scan.problems);
    }

    /// Hashes the layers whose digest nothing else tells, and publishes their images; false if nothing was learned.
    ///
    /// Blocks on files, for as long as it takes to read those layers; refreshing goes on meanwhile. Small ones come
    /// first, so that a large one keeps nothing waiting but itself.
    pub fn learn(&self) -> bool {
        let mut pending: Vec<Arc<Archive>> = self
            .state()
            .archives
            .iter()
            .filter(|archive| !archive.found.pending.is_empty())
            .cloned()
            .collect();
        pending.sort_by_key(|archive| unhashed(archive));
        let mut has_learned = false;
        while !pending.is_empty() {
            let mut size = 0;
            let fits = |archive: &&Arc<Archive>| {
                size += unhashed(archive);
                size <= LEARNED_AT_ONCE
            };
            let count = pending.iter().take_while(fits).count().max(1);
            let together: Vec<_> = pending.drain(..count).collect();
            has_learned |= self.replace(&learn_all(&together));
        }
        has_learned
    }

    /// Publishes archives that were read again, in place of those that they were before; false if there are none.
    fn replace(&self, read_again: &[(Arc<Archive>, Arc<Archive>)]) -> bool {
        let state = self.state();
        let mut archives = state.archives.clone();
        let mut is_new = false;
        for archive in &mut archives {
            // What changed meanwhile has to be hashed anew.
            let again = read_again
                .iter()
                .find(|(before, _)| Arc::ptr_eq(before, archive));
            if let Some((_, again)) = again {
                *archive = Arc::clone(again);
                is_new = true;
            }
        }
        if is_new {
            let problems = state.scan_problems.clone();
            self.publish(state, archives, problems);
        }
        is_new
    }

    /// Publishes what is served anew, because something of it turned out to be wrong or unreadable.
    pub fn tell_faulty(&self) {
        let state = self.state();
        let (archives, problems) = (state.archives.clone(), state.scan_problems.clone());
        self.publish(state, archives, problems);
    }

    /// Hashes with `verifier` what is served and was never hashed, one blob after the other, while nobody waits for it.
    ///
    /// Blocks on files, for as long as it takes to read all of them.
    pub fn verify_all(&self, verifier: &Verifier) {
        let mut after: Option<Arc<Archive>> = None;
        // The snapshot is not held meanwhile: it may be replaced often before all is hashed.
        while let Some(archive) = self.archive_after(after.as_deref()) {
            for copy in archive.found.unverified() {
                // Tried once: who asks for it tries again.
                if copy.verdict() == Verdict::Claimed {
                    verifier.verify_unasked(copy);
                }
            }
            after = Some(archive);
        }
    }

    fn archive_after(&self, archive: Option<&Archive>) -> Option<Arc<Archive>> {
        let snapshot = self.snapshot()?;
        let archives = snapshot.archives();
        let next = archive.map_or(0, |archive| {
            archives.partition_point(|other| other.order(archive).is_le())
        });
        archives.get(next).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(
        &self,
        mut state: MutexGuard<'_, State>,
        archives: Vec<Arc<Archive>>,
        scan_problems: Vec<Problem>,
    ) {
        let previous = self.snapshot();
        let snapshot = Arc::new(build::snapshot(
            previous.as_deref().unwrap_or(&Snapshot::default()),
            &archives,
            scan_problems.clone(),
            self.options,
        ));
        let is_same = previous.is_some() && is_same(&archives, &state.archives);
        state.archives = archives;
        state.scan_problems = scan_problems;
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
            is_same,
        });
    }
}

/// Whether nothing came, went or was read again.
fn is_same(archives: &[Arc<Archive>], others: &[Arc<Archive>]) -> bool {
    let mut pairs = archives.iter().zip(others);
    archives.len() == others.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
}

/// How many bytes of an archive have to be hashed.
fn unhashed(archive: &Archive) -> u64 {
    let layers = archive.found.pending.iter();
    layers.map(Unhashed::size).fold(0, u64::saturating_add)
}

/// The archives that are `pending`, each with itself as it is read with what could be learned of it.
fn learn_all(pending: &[Arc<Archive>]) -> Vec<(Arc<Archive>, Arc<Archive>)> {
    let layers: Vec<(usize, &Unhashed)> = pending
        .iter()
        .enumerate()
        .flat_map(|(number, archive)| {
            archive
                .found
                .pending
                .iter()
                .map(move |layer| (number, layer))
        })
        .collect();
    let digests = in_parallel(&layers, |(_, layer)| layer.hash().ok());
    let mut learned: Vec<Option<Learned>> = pending.iter().map(|_| None).collect();
    for ((number, layer), digest) in layers.into_iter().zip(digests) {
        // What cannot be read stays pending.
        if let Some(digest) = digest.flatten() {
            let known = learned[number].get_or_insert_with(|| pending[number].learned.clone());
            known.insert(layer, digest);
        }
    }
    let read = |(archive, learned): (&Arc<Archive>, Option<Learned>)| {
        let again = archive.read_again(learned?);
        Some((Arc::clone(archive), Arc::new(again)))
    };
    pending.iter().zip(learned).filter_map(read).collect()
}

/// The archives at `candidates`, in their order; those that did not change are kept from `known`.
fn read_changed(candidates: Vec<(usize, Candidate)>, known: &[Arc<Archive>]) -> Vec<Arc<Archive>> {
    let known: HashMap<(usize, &Path), &Arc<Archive>> = known
        .iter()
        .map(|archive| (archive.place(), archive))
        .collect();
    let before: Vec<Option<&Arc<Archive>>> = candidates
        .iter()
        .map(|(root, candidate)| {
            known
                .get(&(*root, candidate.location.relative()))
                .copied()
                .filter(|archive| archive.is_of(candidate))
        })
        .collect();
    let is_kept =
        |before: Option<&Arc<Archive>>| before.is_some_and(|archive| !archive.is_unsettled);
    let candidates = candidates.into_iter().zip(before.iter().copied());
    let changed: Vec<_> = candidates
        .filter(|(_, before)| !is_kept(*before))
        // What was learned holds as long as the file stays the same, whatever else went wrong with it.
        .map(|(changed, before)| (changed, before.map(|before| &before.learned)))
        .collect();
    let mut read = in_parallel(&changed, |((root, candidate), learned)| {
        let learned = learned.cloned().unwrap_or_default();
        Arc::new(Archive::read(*root, candidate.clone(), learned))
    })
    .into_iter();
    before
        .into_iter()
        .filter_map(|before| {
            if is_kept(before) {
                return before.cloned();
            }
            let again = read.next()??;
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

/// Does `work` on each of `items`, on all cores; the results are in their order, `None` where it failed.
fn in_parallel<I: Sync, R: Send>(items: &[I], work: impl Fn(&I) -> R + Sync) -> Vec<Option<R>> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(items.len());
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else {
                return done;
            };
            done.push((number, work(item)));
        }
    };
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        for worker in workers {
            for (number, result) in worker.join().unwrap_or_default() {
                results[number] = Some(result);
            }
        }
    });
    results
}

#[cfg(test)]
mod tests;
