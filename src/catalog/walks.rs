//! The walks over all roots: one over each at most, and none that gets no answer keeps the others waiting.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::scan::{self, Scan};
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

/// The walks that have not ended, in the order of their roots.
#[derive(Default)]
pub(super) struct Walks(Vec<Option<Walk>>);

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
        self.0.resize_with(roots.len(), || None);
        for (walk, root) in self.0.iter_mut().zip(roots) {
            if walk.is_none() {
                *walk = Walk::begin(Arc::clone(root), watch.cloned()).ok();
            }
        }
        let mut walked = Walked {
            scans: Vec::with_capacity(roots.len()),
            age: Duration::ZERO,
            took: Duration::ZERO,
        };
        for walk in &mut self.0 {
            walked.scans.push(match seen(walk, must_end) {
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

/// Ends `walk`, if it gets answers or `must_end`; else it stays under way.
fn seen(walk: &mut Option<Walk>, must_end: bool) -> io::Result<Seen> {
    let Some(begun) = walk.take() else {
        return Err(io::Error::other("no thread can be started"));
    };
    begun.end(must_end).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            *walk = Some(begun);
            io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
        }
        RecvTimeoutError::Disconnected => io::Error::other("it cannot be walked over"),
    })
}

impl Walk {
    fn begin(root: Arc<Root>, watch: Option<Arc<Watch>>) -> io::Result<Self> {
        let (pulse, (tell, seen)) = (Pulse::new(), mpsc::channel());
        let walking = pulse.clone();
        let thread = thread::Builder::new().name("walk".to_owned());
        thread.spawn(move || {
            let began = Instant::now();
            let scan = scan::scan(&root, watch.as_deref(), &walking);
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

    /// A walk whose disk gave its last answer so many seconds ago, and what tells what it has seen.
    fn walk(silence: u64) -> (mpsc::Sender<Seen>, Walk) {
        let (tell, seen) = mpsc::channel();
        let last = Instant::now().checked_sub(Duration::from_secs(silence));
        let pulse = Pulse(Arc::new(Mutex::new(last.expect("after the beginning"))));
        (tell, Walk { pulse, seen })
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
        let (tell, silent) = walk(10);
        let mut walks = Walks(vec![None, Some(silent), None]);
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
        let (tell, begun) = walk(9);
        let pulse = begun.pulse.clone();
        thread::scope(|scope| {
            let walking = scope.spawn(move || {
                pulse.beat();
                thread::sleep(Duration::from_millis(1100));
                tell.send(nothing(Instant::now())).unwrap();
            });
            assert!(seen(&mut Some(begun), false).is_ok());
            walking.join().unwrap();
        });
        let (tell, silent) = walk(3600);
        tell.send(nothing(Instant::now())).unwrap();
        assert!(seen(&mut Some(silent), true).is_ok());
    }

    /// Should this program fail on a root, that is the trouble of this root alone, and the next walk may go better.
    #[test]
    fn a_walk_that_fails_is_not_waited_for() {
        for must_end in [false, true] {
            let mut failed = Some(walk(0).1);
            let error = seen(&mut failed, must_end).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::Other);
            assert!(failed.is_none());
        }
    }
}
