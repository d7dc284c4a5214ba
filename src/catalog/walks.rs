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
    /// How long ago the first of them had begun, if that was not now.
    pub age: Duration,
    /// How long it took from now until the last of them had ended.
    pub took: Duration,
}

impl Walks {
    /// Walks over all `roots`. Whatever is listed is watched from then on, if there is a `watch`.
    ///
    /// A walk is waited for as long as it gets answers, and in any case if all of them `must_end`. Otherwise its root counts as
    /// lost, and what it sees in the end is given by the next call after that.
    pub(super) fn over(
        &mut self,
        roots: &[Arc<Root>],
        watch: Option<&Arc<Watch>>,
        must_end: bool,
    ) -> Walked {
        let now = Instant::now();
        self.0.resize_with(roots.len(), Walker::default);
        for (walker, root) in self.0.iter_mut().zip(roots) {
            walker.begin(root, watch);
        }
        let mut walked = Walked {
            scans: Vec::with_capacity(roots.len()),
            age: Duration::ZERO,
            took: Duration::ZERO,
        };
        for walker in &mut self.0 {
            walked.scans.push(match walker.end(must_end) {
                Ok(seen) => {
                    let (age, took) = (
                        now.saturating_duration_since(seen.began),
                        seen.ended.saturating_duration_since(now),
                    );
                    walked.age = walked.age.max(age);
                    walked.took = walked.took.max(took);
                    seen.scan
                }
                Err(error) => Scan::lost(error),
            });
        }
        walked
    }
}

impl Walker {
    /// Begins a walk, unless one is under way.
    fn begin(&mut self, root: &Arc<Root>, watch: Option<&Arc<Watch>>) {
        if self.walk.is_none() {
            let known = std::mem::take(&mut self.manifests);
            self.walk = Walk::begin(Arc::clone(root), watch.cloned(), known).ok();
        }
    }

    /// Ends the walk, if it gets answers or `must_end`; else it stays under way.
    fn end(&mut self, must_end: bool) -> io::Result<Seen> {
        let Some(walk) = self.walk.take() else {
            return Err(io::Error::other("no thread can be started"));
        };
        match walk.end(must_end) {
            Ok(mut seen) => {
                self.manifests = std::mem::take(&mut seen.scan.manifests);
                Ok(seen)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.walk = Some(walk);
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "it does not answer",
                ))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("it cannot be walked over"))
            }
        }
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

    /// However long it takes, it goes on and is not begun anew.
    #[test]
    fn a_walk_without_answers_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let roots = ["none", "silent", "."].map(|name| Root::new(folder.path().join(name)));
        let (tell, silent) = walker(10);
        let mut walks = Walks(vec![Walker::default(), silent, Walker::default()]);
        let began = Instant::now().checked_sub(Duration::from_secs(60));
        let began = began.expect("after the beginning");
        let error = |scan: &Scan| scan.lost.as_ref().map(io::Error::kind);
        for _ in 0..2 {
            let walked = walks.over(&roots, None, false);
            let errors: Vec<_> = walked.scans.iter().map(error).collect();
            let (gone, silent) = (io::ErrorKind::NotFound, io::ErrorKind::TimedOut);
            assert_eq!(errors, [Some(gone), Some(silent), None]);
            assert_eq!(walked.age, Duration::ZERO);
        }
        tell.send(nothing(began)).unwrap();
        let walked = walks.over(&roots, None, false);
        assert!(walked.scans[1].lost.is_none());
        assert!(
            walked.age >= Duration::from_secs(60),
            "it is as old as that"
        );
        assert!(walked.took < Duration::from_secs(60));
        let walked = walks.over(&roots, None, false);
        let error = walked.scans[1].lost.as_ref().map(io::Error::kind);
        assert_eq!(error, Some(io::ErrorKind::NotFound), "it is walked over");
    }

    #[test]
    fn a_walk_is_waited_for_as_long_as_it_gets_answers() {
        let (tell, mut begun) = walker(9);
        let pulse = begun.walk.as_ref().unwrap().pulse.clone();
        thread::scope(|scope| {
            let walking = scope.spawn(move || {
                pulse.beat();
                thread::sleep(Duration::from_millis(1100));
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
            let error = failed.end(must_end).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::Other);
            assert!(failed.walk.is_none());
        }
    }
}
