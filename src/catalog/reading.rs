//! Reading archives and hashing their layers, on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use super::look::Step;
use super::readings::Archives;
use super::{Archive, recall};
use crate::archive::{Candidate, Unhashed};
use crate::cache::{Cache, Hints};
use crate::digest::Digest;

/// How many bytes of an archive have to be hashed.
pub(super) fn unhashed(archive: &Archive) -> u64 {
    let layers = archive.found.pending.iter();
    layers.map(Unhashed::size).fold(0, u64::saturating_add)
}

/// The archives that are `pending`, each with itself as it is read with what could be learned of it.
pub(super) fn learn_all(
    pending: &[Arc<Archive>],
    cache: Option<&Cache>,
) -> Vec<(Arc<Archive>, Arc<Archive>)> {
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
    let digests = in_parallel(&layers, |(_, layer)| learn(layer, cache));
    let mut learned: Vec<Vec<(Unhashed, Digest)>> = pending.iter().map(|_| Vec::new()).collect();
    for ((number, layer), digest) in layers.into_iter().zip(digests) {
        // What cannot be read stays pending.
        let digest = digest.flatten();
        learned[number].extend(digest.map(|digest| (layer.clone(), digest)));
    }
    let hints = cache.map(Cache::hints);
    let read = |(archive, learned): (&Arc<Archive>, Vec<_>)| {
        let again = recall::recall(recall::with(archive, &learned), hints.as_ref());
        (Arc::clone(archive), Arc::new(again))
    };
    let pending = pending.iter().zip(learned);
    let learned = pending.filter(|(_, learned)| !learned.is_empty());
    learned.map(read).collect()
}

/// The digest of `layer`, if it can be read.
fn learn(layer: &Unhashed, cache: Option<&Cache>) -> Option<Digest> {
    let began = SystemTime::now();
    let digest = layer.hash().ok()?;
    if let Some(cache) = cache {
        recall::remember(cache, layer, &digest, began);
    }
    Some(digest)
}

/// The archives that come of `steps`, in their order, and whether one of them was written to while it was read. What is among
/// those that are `ready`, which lie in the same root and are sorted by path, is not read again. An archive whose reader fails is
/// left out.
pub(super) fn read_all(
    steps: &[Step],
    ready: &[Arc<Archive>],
    hints: Option<&Hints<'_>>,
) -> Archives {
    let is_read = |step: &&Step| matches!(step, Step::Read { .. });
    let changed: Vec<&Step> = steps.iter().filter(is_read).collect();
    let read = in_parallel(&changed, |step| step.result(ready, hints));
    let is_changing = read.iter().flatten().any(|archive| archive.is_changing);
    let mut read = read.into_iter();
    let archive = |step: &Step| match step {
        Step::Keep(archive) => Some(Arc::clone(archive)),
        Step::Read { before, .. } => {
            let archive = read.next()??;
            let is_here = |before: &&Arc<Archive>| before.place() == archive.place();
            match before.as_ref().filter(is_here) {
                // What is being written to stays as it was.
                Some(before) if archive.is_changing => Some(Arc::clone(before)),
                _ => Some(archive),
            }
        }
    };
    (steps.iter().filter_map(archive).collect(), is_changing)
}

impl Step {
    fn result(&self, ready: &[Arc<Archive>], hints: Option<&Hints<'_>>) -> Arc<Archive> {
        match self {
            Self::Keep(archive) => Arc::clone(archive),
            Self::Read {
                root,
                candidate,
                before,
            } => find(ready, candidate)
                .unwrap_or_else(|| read_after(before.as_ref(), *root, candidate, hints)),
        }
    }
}

/// What was read of `candidate`, if it is among `archives` of its root, and would not be another one now.
fn find(archives: &[Arc<Archive>], candidate: &Candidate) -> Option<Arc<Archive>> {
    let path = candidate.location.relative();
    let at = archives.binary_search_by(|archive| archive.place().1.cmp(path));
    // Also what could not be read: it has been tried, and is tried again the next time.
    let found = &archives[at.ok()?];
    found.is_of(candidate).then(|| Arc::clone(found))
}

/// Reads `candidate`, after `before` was read in its place.
fn read_after(
    before: Option<&Arc<Archive>>,
    root: usize,
    candidate: &Candidate,
    hints: Option<&Hints<'_>>,
) -> Arc<Archive> {
    // What was learned holds as long as the file stays the same, whatever else went wrong with it, and wherever it is.
    let same = before.filter(|before| before.is_moved_to(candidate));
    let learned = same.map(|before| before.learned.clone());
    let archive = Archive::read(root, candidate.clone(), learned.unwrap_or_default());
    let archive = recall::recall(archive, hints);
    let Some(before) = before else {
        return Arc::new(archive);
    };
    let archive = archive.after(before);
    if before.is_of(candidate) && before.is_as_bad_as(&archive) {
        // Still the same trouble: nothing to publish.
        Arc::clone(before)
    } else {
        Arc::new(archive)
    }
}

/// Does `work` on each of `items`, on all cores; the results are in their order, `None` where it failed.
pub(super) fn in_parallel<I: Sync, R: Send>(
    items: &[I],
    work: impl Fn(&I) -> R + Sync,
) -> Vec<Option<R>> {
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
