//! What was found out by hashing, remembered beyond the end of the process: hints that save time, and that may be lost.
//!
//! Nothing is believed of a file but what was found out about the very same one. Only what is right is remembered: that
//! bytes were wrong or could not be read may have been the fault of a cable.
//!
//! This is all that a server writes, and it holds no file open. Nothing here knows of archives, of the catalog, or of HTTP.

mod mark;
mod record;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::content::{Claim, Copy, Place, Source, Verdict};
use crate::digest::Digest;

pub use mark::Layer;
pub use record::{Key, Record, lines, read};

use mark::Mark;
use store::Store;

/// So much may wait to be written; what comes when there is no room is found out again some time.
const MAX_WAITING: usize = 1 << 16;
/// After it could not be written the cache is left alone for so long.
const REST: Duration = Duration::from_secs(600);

/// What was found out, in a file that other processes may use at the same time.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    waiting: Mutex<Vec<Note>>,
    /// Something waits.
    arrived: Condvar,
    /// When it could not be written, if that was so the last time. Held while it is written.
    failed: Mutex<Option<Instant>>,
    /// How long it is left alone then.
    rest: Duration,
}

/// Something that is to be written. Its key is found later, and not by whoever serves.
#[derive(Debug)]
enum Note {
    Verified(Copy),
    Learned(Box<(Layer, Digest)>),
}

/// Why nothing is remembered any more, for a while at least.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to `{}` ({error})", .path.display())]
pub struct Trouble {
    path: PathBuf,
    error: io::Error,
}

impl Cache {
    /// The cache in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            store: Store::new(folder),
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            failed: Mutex::default(),
            rest: REST,
        }
    }

    /// What it knows, read when it is asked for the first time.
    pub fn hints(&self) -> Hints<'_> {
        Hints {
            store: &self.store,
            known: OnceLock::new(),
        }
    }

    /// Notes that the bytes of `copy` are right, which began to be hashed at `began`.
    pub fn verified(&self, copy: &Copy, began: SystemTime) {
        if copy.place().0.identity().would_show_change(began) {
            self.note(Note::Verified(copy.clone()));
        }
    }

    /// Notes the digest of `layer`, which began to be hashed at `began`.
    pub fn learned(&self, layer: Layer, digest: Digest, began: SystemTime) {
        if layer.identity.would_show_change(began) {
            self.note(Note::Learned(Box::new((layer, digest))));
        }
    }

    fn note(&self, note: Note) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < MAX_WAITING {
            waiting.push(note);
            self.arrived.notify_one();
        }
    }

    /// Waits until there is something to write.
    pub fn wait(&self) {
        let waiting = lock(&self.waiting);
        let waited = self
            .arrived
            .wait_while(waiting, |waiting| waiting.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes it ready to be written to; gives what stands in the way of that.
    pub fn prepare(&self) -> Option<Trouble> {
        let failed = lock(&self.failed);
        self.store.remove_stale();
        self.append(failed, &[])
    }

    /// Writes what waits; gives what stands in the way of that, if it did not the last time.
    ///
    /// Blocks on files. Where it cannot be written this is not tried again for a while, and nothing is kept until then.
    pub fn write(&self) -> Option<Trouble> {
        let failed = lock(&self.failed);
        let notes = std::mem::take(&mut *lock(&self.waiting));
        if notes.is_empty() || failed.is_some_and(|failed| failed.elapsed() < self.rest) {
            return None;
        }
        self.append(failed, &records(&notes))
    }

    fn append(
        &self,
        mut failed: MutexGuard<'_, Option<Instant>>,
        records: &[Record],
    ) -> Option<Trouble> {
        let appended = self.store.append(records);
        let failed_before = std::mem::replace(&mut *failed, appended.is_err().then(Instant::now));
        let error = appended.err().filter(|_| failed_before.is_none())?;
        let path = self.store.path();
        Some(Trouble { path, error })
    }
}

/// Nothing that could panic leaves what is locked half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is written of `notes`. Files that are gone are left out.
fn records(notes: &[Note]) -> Vec<Record> {
    // Most of what is found out at one time is about few files.
    let mut marks = BTreeMap::new();
    let mut record = |note: &Note| match note {
        Note::Verified(copy) => {
            let (source, _) = copy.place();
            let mark = marks
                .entry(Arc::as_ptr(source).addr())
                .or_insert_with(|| Mark::of_source(source));
            let (offset, length, digest) = extent(copy.claim())?;
            let key = mark.as_ref()?.verdict(offset, length, &digest);
            Some(Record::Verified(key))
        }
        Note::Learned(learned) => {
            let (layer, digest) = &**learned;
            let key = Mark::of_layer(layer)?.layer(layer);
            Some(Record::Learned(key, digest.clone()))
        }
    };
    notes.iter().filter_map(&mut record).collect()
}

/// Where the bytes lie that are sent from there.
fn extent(claim: Claim) -> Option<(u64, u64, Digest)> {
    match claim.place {
        Place::Extent { offset, length } => Some((offset, length, claim.digest)),
        Place::Document { .. } | Place::Memory(_) => None,
    }
}

/// What the cache knew when it was asked for the first time. Not for long: it is held in memory.
pub struct Hints<'c> {
    store: &'c Store,
    known: OnceLock<Known>,
}

#[derive(Default)]
struct Known {
    /// Sorted.
    verified: Vec<Key>,
    learned: BTreeMap<Key, Digest>,
}

impl Hints<'_> {
    /// Settles the claims of `source` that are known to be right.
    pub fn recall(&self, source: &Arc<Source>) {
        if self.known().verified.is_empty() {
            return;
        }
        let Some(mark) = Mark::of_source(source) else {
            return;
        };
        let copies = (0..source.count()).map(|claim| Copy::new(Arc::clone(source), claim));
        for copy in copies.filter(|copy| copy.verdict() == Verdict::Claimed) {
            if let Some((offset, length, digest)) = extent(copy.claim()) {
                let key = mark.verdict(offset, length, &digest);
                if self.known().verified.binary_search(&key).is_ok() {
                    copy.believe();
                }
            }
        }
    }

    /// The digest of `layer`, if it is known.
    pub fn digest(&self, layer: &Layer) -> Option<&Digest> {
        if self.known().learned.is_empty() {
            return None;
        }
        let key = Mark::of_layer(layer)?.layer(layer);
        self.known().learned.get(&key)
    }

    fn known(&self) -> &Known {
        self.known.get_or_init(|| {
            let mut known = Known::default();
            // What could be read before an error counts.
            let _ = self.store.read(|record| match record {
                Record::Verified(key) => known.verified.push(key),
                Record::Learned(key, digest) => _ = known.learned.insert(key, digest),
            });
            known.verified.sort_unstable();
            known
        })
    }
}

#[cfg(test)]
mod tests;
