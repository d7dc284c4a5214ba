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
mod look;
mod names;
mod reading;
mod readings;
mod recall;
mod repository;
mod scan;
mod settle;
mod snapshot;
mod verify;
mod walks;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use self::look::Look;
use self::reading::{learn_all, read_all, unhashed};
use self::readings::Readings;
use self::settle::{Moment, Settling};
use self::walks::Walks;
use crate::archive::{Fault, Learned};
use crate::cache::{Cache, Hints};
use crate::content::{Root, Verdict};

pub use crate::archive::problem::Printable;
pub use crate::archive::{Document, Image, Problem, Severity};
pub use archive::Archive;
pub use check::{Flaw, Flawed, Inspection, Part, is_wanted};
pub use repository::Repository;
pub use snapshot::{Manifest, Referring, Snapshot, View};
pub use verify::{Verifier, hash_all};
pub use watch::Watch;

/// Archives are hashed together as long as no more bytes of them have to be.
const LEARNED_AT_ONCE: u64 = 256 << 20;

/// Whoever had to leave something unfinished looks again after this time, whatever else is a reason to look.
const UNFINISHED: Duration = Duration::from_secs(10);

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
        /// Roots that had gone and are back.
        returned: Vec<PathBuf>,
    },
}

/// What a refresh leaves to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Something has not come to rest: another refresh is worth while after this time.
    pub again: Option<Duration>,
    /// The watch tells of every change from now on.
    pub is_watched: bool,
    /// How long the scan took, but for roots that do not answer.
    pub took: Duration,
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
    /// Hears of changes in what was scanned.
    watch: Option<Arc<Watch>>,
    /// What was found out before, if that is remembered.
    cache: Option<Arc<Cache>>,
}

#[derive(Default)]
struct State {
    /// When the last refresh began; it saw all that had happened by then.
    began: Option<Instant>,
    /// What it left to do.
    refreshed: Refreshed,
    stock: Stock,
    settling: Settling,
    walks: Walks,
    readings: Readings,
    /// What each root lay on when something was last seen in it.
    devices: Vec<Option<u64>>,
}

/// What a snapshot is made of.
#[derive(Clone, Default)]
struct Stock {
    /// By root, then by path.
    archives: Vec<Arc<Archive>>,
    /// What could not be looked at.
    problems: Vec<Problem>,
    /// The roots that have gone, whose archives are those that they had.
    lost: Vec<PathBuf>,
}

impl Stock {
    fn is_same(&self, other: &Self) -> bool {
        self.has_same_archives(other) && self.problems == other.problems && self.lost == other.lost
    }

    /// Whether nothing came, went or was read again.
    fn has_same_archives(&self, other: &Self) -> bool {
        let mut pairs = self.archives.iter().zip(&other.archives);
        self.archives.len() == other.archives.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
    }
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
            watch: None,
            cache: None,
        }
    }

    /// Has `watch` hear of changes in whatever is scanned from now on.
    #[must_use]
    pub fn watched(mut self, watch: Arc<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Has `cache` remember what is learned, and believes it.
    #[must_use]
    pub fn remembering(mut self, cache: Arc<Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// What is served now; `None` before the first refresh has ended.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Brings what is served up to date with what lies in the roots `now`, as far as it has come to rest.
    ///
    /// Blocks on files. Returns at once if another refresh that began later has ended meanwhile.
    pub fn refresh(&self, now: Instant) -> Refreshed {
        let mut state = self.state();
        if state.began.is_some_and(|began| began > now) {
            return state.refreshed;
        }
        let now = now.max(Instant::now());
        state.began = Some(now);
        let is_first = self.snapshot().is_none();
        let (look, took) = self.look(&mut state, is_first, now);
        state.refreshed = Refreshed {
            again: look.again,
            is_watched: look.is_watched,
            took,
        };
        if look.is_held {
            return state.refreshed;
        }
        let stock = self.read(&mut state, is_first, look);
        let refreshed = state.refreshed;
        if is_first || !stock.is_same(&state.stock) {
            self.publish(state, stock);
        }
        refreshed
    }

    /// Looks at all roots `now`, and tells how long that took.
    fn look(&self, state: &mut State, is_first: bool, now: Instant) -> (Look, Duration) {
        // Half a shelf would be a wrong answer, so of the first walks all have to end.
        let walks = &mut state.walks;
        let mut walked = walks.over(&self.roots, self.watch.as_ref(), is_first);
        state.readings.take_late();
        for root in state.readings.unfinished() {
            walked.scans[root].leave_unseen();
        }
        let until = now + walked.took;
        let moment = Moment { now, until };
        let mut look = Look::at(&self.roots, walked.scans, state, is_first, moment);
        if walked.is_unfinished {
            look.again = Some(sooner(look.again));
        }
        (look, walked.took)
    }

    /// Reads what is new, as `look` says. At the first look all of it is waited for.
    fn read(&self, state: &mut State, is_first: bool, mut look: Look) -> Stock {
        let (archives, is_changing) = if is_first {
            read_all(&look.steps, &[], self.hints().as_ref())
        } else {
            let (readings, before) = (&mut state.readings, &state.stock.archives);
            readings.read(look.steps, before, self.cache.as_ref())
        };
        if is_changing {
            state.refreshed.again = Some(look::PAUSE);
        }
        for root in state.readings.unfinished() {
            let path = self.roots[root].path();
            look.problems.push(Problem::new(path, &Fault::Slow));
            // Nothing tells when it is read.
            state.refreshed.is_watched = false;
            state.refreshed.again = Some(sooner(state.refreshed.again));
        }
        Stock {
            archives,
            problems: look.problems,
            lost: look.lost,
        }
    }

    /// Hashes the layers whose digest nothing else tells, and publishes their images; false if nothing was learned.
    ///
    /// Blocks on files, for as long as it takes to read those layers; refreshing goes on meanwhile. Small ones come
    /// first, so that a large one keeps nothing waiting but itself.
    pub fn learn(&self) -> bool {
        let mut pending: Vec<Arc<Archive>> = self
            .state()
            .stock
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
            has_learned |= self.replace(&learn_all(&together, self.cache.as_deref()));
        }
        has_learned
    }

    /// Publishes archives that were read again, in place of those that they were before; false if there are none.
    fn replace(&self, read_again: &[(Arc<Archive>, Arc<Archive>)]) -> bool {
        let state = self.state();
        let mut stock = state.stock.clone();
        let mut is_new = false;
        for archive in &mut stock.archives {
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
            self.publish(state, stock);
        }
        is_new
    }

    /// Publishes what is served anew, because something of it turned out to be wrong or unreadable.
    pub fn tell_faulty(&self) {
        let mut mistaken = self.state().stock.archives.clone();
        mistaken.retain(|archive| archive.is_mistaken());
        let read_again = |archive: Arc<Archive>| {
            let again = archive.read_again(Learned::default());
            (archive, Arc::new(again))
        };
        let read_again: Vec<_> = mistaken.into_iter().map(read_again).collect();
        if !self.replace(&read_again) {
            let state = self.state();
            let stock = state.stock.clone();
            self.publish(state, stock);
        }
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

    fn hints(&self) -> Option<Hints<'_>> {
        self.cache.as_deref().map(Cache::hints)
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

    fn publish(&self, mut state: MutexGuard<'_, State>, stock: Stock) {
        let previous = self.snapshot();
        let snapshot = Arc::new(build::snapshot(
            previous.as_deref().unwrap_or(&Snapshot::default()),
            &stock,
            self.options,
        ));
        let is_same = previous.is_some() && stock.has_same_archives(&state.stock);
        let mut returned = std::mem::replace(&mut state.stock, stock).lost;
        returned.retain(|root| !state.stock.lost.contains(root));
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
            returned,
        });
    }
}

/// When to look again, with something left unfinished.
fn sooner(again: Option<Duration>) -> Duration {
    again.map_or(UNFINISHED, |again| again.min(UNFINISHED))
}

#[cfg(test)]
mod tests;
