//! Reading archives and hashing their layers, on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Archive;
use super::look::Step;
use crate::archive::{Candidate, Learned, Unhashed};

/// How many bytes of an archive have to be hashed.
pub(super) fn unhashed(archive: &Archive) -> u64 {
    let layers = archive.found.pending.iter();
    layers.map(Unhashed::size).fold(0, u64::saturating_add)
}

/// The archives that are `pending`, each with itself as it is read with what could be learned of it.
pub(super) fn learn_all(pending: &[Arc<Archive>]) -> Vec<(Arc<Archive>, Arc<Archive>)> {
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

/// The archives that come of `steps`, in their order. An archive whose reader fails is left out.
pub(super) fn read_all(steps: &[Step]) -> Vec<Arc<Archive>> {
    let is_read = |step: &&Step| matches!(step, Step::Read { .. });
    let changed: Vec<&Step> = steps.iter().filter(is_read).collect();
    let mut read = in_parallel(&changed, |step| step.result()).into_iter();
    let archive = |step: &Step| match step {
        Step::Keep(archive) => Some(Arc::clone(archive)),
        Step::Read { .. } => read.next()?,
    };
    steps.iter().filter_map(archive).collect()
}

impl Step {
    fn result(&self) -> Arc<Archive> {
        match self {
            Self::Keep(archive) => Arc::clone(archive),
            Self::Read {
                root,
                candidate,
                before,
            } => read_after(before.as_ref(), *root, candidate),
        }
    }
}

/// Reads `candidate`, after `before` was read in its place.
fn read_after(before: Option<&Arc<Archive>>, root: usize, candidate: &Candidate) -> Arc<Archive> {
    // What was learned holds as long as the file stays the same, whatever else went wrong with it, and wherever it is.
    let same = before.filter(|before| before.is_moved_to(candidate));
    let learned = same.map(|before| before.learned.clone());
    let archive = Archive::read(root, candidate.clone(), learned.unwrap_or_default());
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
