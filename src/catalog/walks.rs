//! The walks over all roots: one over each at most, and none that gets no answer keeps the others waiting.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::scan::{self, Manifests, Scan};
use super::watch::Watch;
use crate::content::Root;

/// A disk that has not answered for so long is not waited for. Those that only slept answer sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a disk gave its last answer. Clones are the same.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Notes that it has answered.
    pub(super) fn beat(&self) {
        *self.last() = Instant::now();
    }

    /// For how long its next answer is waited for from now on.
    fn patience(&self) -> Duration {
        PATIENCE.saturating_sub(self.last().elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The walks over each of the roots, in their order.
#[derive(Default)]
pub(super) struct Walks(Vec<Walker>);

/// Walks over one root.
#[derive(Default)]
struct Walker {
    /// The walk that has not ended.
    walk: Option<Walk>,
    /// What the last one has read.
    manifests: Manifests,
}

/// A walk on a thread of its own.
struct Walk {
    pulse: Pulse,
    seen: Receiver<Seen>,
}

/// What one walk has seen.
struct Seen {
    scan: Scan,
    began: Instant,
    ended: Instant,
}

/// What all walks have seen.
pub(super) struct Walked {
    /// In the order of the roots.
    pub scans: Vec<Scan>,
    /// How long it took from now until the last of them had ended.
    pub took: Duration,
    /// Whether one is under way still.
    pub is_unfinished: bool,
}

impl Walks {
    /// Walks over all `roots`. Whatever is listed is watched from then on, if there is a `watch`.
    ///
    /// A walk is waited for as long as it gets answers, and in any case if all of them `must_end`. Otherwise its root counts as
    /// lost, and it is waited for again by the next call.
    pub(super) fn over(
        &mut self,
        roots: &[Arc<Root>],
        watch: Option<&Arc<Watch>>,
        must_end: bool,
    ) -> Walked {
        let now = Instant::now();
        self.0.resize_with(roots.len(), Walker::default);
        let walkers = self.0.iter_mut().zip(roots);
        let begun: Vec<_> = walkers
            .map(|(walker, root)| walker.begin(root, watch))
            .collect();
        let mut walked = Walked {
            scans: Vec::with_capacity(roots.len()),
            took: Duration::ZERO,
            is_unfinished: false,
        };
        for ((walker, root), begun) in self.0.iter_mut().zip(roots).zip(begun) {
            let seen = begun.and_then(|()| walker.seen_since(now, root, watch, must_end));
            walked.is_unfinished |= walker.walk.is_some();
            walked.scans.push(match seen {
                Ok(seen) => {
                    let took = seen.ended.saturating_duration_since(now);
                    walked.took = walked.took.max(took);
                    seen.scan
                }
                Err(lost) => lost,
            });
        }
        walked
    }
}

impl Walker {
    /// Begins a walk, unless one is under way; gives the root as lost if that cannot be done.
    fn begin(&mut self, root: &Arc<Root>, watch: Option<&Arc<Watch>>) -> Result<(), Scan> {
        if self.walk.is_none() {
            let known = std::mem::take(&mut self.manifests);
            let begun = Walk::begin(Arc::clone(root), watch.cloned(), known);
            // There may be room for another thread in a moment.
            let partial = |error| Scan {
                is_partial: true,
                ..Scan::lost(error)
            };
            self.walk = Some(begun.map_err(partial)?);
        }
        Ok(())
    }

    /// What a walk sees that begins `now` or later. One that is older, and has ended at last, is followed by another: much may have
    /// happened since it looked.
    fn seen_since(
        &mut self,
        now: Instant,
        root: &Arc<Root>,
        watch: Option<&Arc<Watch>>,
        must_end: bool,
    ) -> Result<Seen, Scan> {
        let mut seen = self.end(must_end)?;
        if seen.began < now {
            self.begin(root, watch)?;
            seen = self.end(must_end)?;
        }
        Ok(seen)
    }

    /// Ends the walk, if it gets answers or `must_end`. Else it stays under way, and the root counts as lost.
    fn end(&mut self, must_end: bool) -> Result<Seen, Scan> {
        let walk = self.walk.take();
        let ended = walk.as_ref().map(|walk| walk.end(must_end));
        let error = match ended {
            Some(Ok(mut seen)) => {
                self.manifests = std::mem::take(&mut seen.scan.manifests);
                return Ok(seen);
            }
            Some(Err(RecvTimeoutError::Timeout)) => {
                self.walk = walk;
                io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
            }
            _ => io::Error::other("it cannot be walked over"),
        };
        Err(Scan::lost(error))
    }
}

impl Walk {
    fn begin(root: Arc<Root>, watch: Option<Arc<Watch>>, known: Manifests) -> io::Result<Self> {
        let (pulse, (tell, seen)) = (Pulse::new(), mpsc::channel());
        let walking = pulse.clone();
        let thread = thread::Builder::new().name("walk".to_owned());
        thread.spawn(move || {
            let began = Instant::now();
            let scan = scan::scan(&root, watch.as_deref(), &walking, known);
            let ended = Instant::now();
            // Nobody may want to know any more.
            let _ = tell.send(Seen { scan, began, ended });
        })?;
        Ok(Self { pulse, seen })
    }

    fn end(&self, must_end: bool) -> Result<Seen, RecvTimeoutError> {
        if must_end {
            return Ok(self.seen.recv()?);
        }
        loop {
            match self.seen.recv_timeout(self.pulse.patience()) {
                Err(RecvTimeoutError::Timeout) if !self.pulse.patience().is_zero() => {}
                seen => return seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One whose disk gave its last answer so many seconds ago, and what tells what it has seen.
    fn walker(silence: u64) -> (mpsc::Sender<Seen>, Walker) {
        let (tell, seen) = mpsc::channel();
        let last = Instant::now().checked_sub(Duration::from_secs(silence));
        let pulse = Pulse(Arc::new(Mutex::new(last.expect("after the beginning"))));
        let walk = Some(Walk { pulse, seen });
        let manifests = Manifests::default();
        (tell, Walker { walk, manifests })
    }

    fn nothing(began: Instant) -> Seen {
        Seen {
            scan: Scan::default(),
            began,
            ended: began,
        }
    }

    /// However long it takes, it goes on; what it sees in the end is old.
    #[test]
    fn a_walk_without_answers_is_not_begun_anew_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let roots = ["none", "silent", "."].map(|name| Root::new(folder.path().join(name)));
        let (tell, silent) = walker(10);
        let mut walks = Walks(vec![Walker::default(), silent, Walker::default()]);
        let began = Instant::now();
        let error = |scan: &Scan| scan.lost.as_ref().map(io::Error::kind);
        for _ in 0..2 {
            let walked = walks.over(&roots, None, false);
            let errors: Vec<_> = walked.scans.iter().map(error).collect();
            let (gone, silent) = (io::ErrorKind::NotFound, io::ErrorKind::TimedOut);
            assert_eq!(errors, [Some(gone), Some(silent), None]);
            assert!(walked.is_unfinished);
        }
        tell.send(nothing(began)).unwrap();
        let walked = walks.over(&roots, None, false);
        assert!(!walked.is_unfinished);
        let gone = Some(io::ErrorKind::NotFound);
        assert_eq!(error(&walked.scans[1]), gone, "it is walked over again");
    }

    #[test]
    fn a_walk_is_waited_for_as_long_as_it_gets_answers() {
        let (tell, mut begun) = walker(7);
        let pulse = begun.walk.as_ref().unwrap().pulse.clone();
        thread::scope(|scope| {
            let walking = scope.spawn(move || {
                pulse.beat();
                thread::sleep(Duration::from_millis(3100));
                tell.send(nothing(Instant::now())).unwrap();
            });
            assert!(begun.end(false).is_ok());
            walking.join().unwrap();
        });
        let (tell, mut silent) = walker(3600);
        tell.send(nothing(Instant::now())).unwrap();
        assert!(silent.end(true).is_ok());
    }

    /// Should this program fail on a root, that is the trouble of this root alone, and the next walk may go better.
    #[test]
    fn a_walk_that_fails_is_not_waited_for() {
        for must_end in [false, true] {
            let mut failed = walker(0).1;
            let error = failed.end(must_end).err().unwrap().lost;
            assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::Other));
            assert!(failed.walk.is_none());
        }
    }
}
