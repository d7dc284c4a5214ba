//! What a test tells its file system, and what that tells the test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fuser::Errno;

/// All of the file system: it fails whatever it is asked for.
pub(crate) const WHOLE: &str = "";
/// Whoever gets no answer is told EIO after so long: no test hangs for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a file fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot be opened.
    Opens(Errno),
    /// It cannot be read at this offset and behind it.
    Reads { from: u64, errno: Errno },
    /// Reading of it takes so long each time.
    Slow(Duration),
    /// Reading of it does not end.
    Silent,
}

/// How much a file was used.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) opened: usize,
    pub(super) read: u64,
}

#[derive(Default)]
pub(super) struct Switches {
    state: Mutex<State>,
    changed: Condvar,
    renumbers: AtomicBool,
}

#[derive(Default)]
struct State {
    faults: HashMap<PathBuf, Fault>,
    counts: HashMap<PathBuf, Count>,
}

impl Switches {
    pub(super) fn fail(&self, name: &str, fault: Fault) {
        self.state().faults.insert(name.into(), fault);
        self.changed.notify_all();
    }

    pub(super) fn recover(&self) {
        self.state().faults.clear();
        self.changed.notify_all();
    }

    pub(super) fn renumber(&self) {
        self.renumbers.store(true, Ordering::Relaxed);
    }

    pub(super) fn renumbers(&self) -> bool {
        self.renumbers.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, name: &str) -> Count {
        let state = self.state();
        state
            .counts
            .get(Path::new(name))
            .copied()
            .unwrap_or_default()
    }

    /// Whether anything is answered at all.
    pub(super) fn ask(&self) -> Result<(), Errno> {
        self.meet(Path::new(WHOLE), 0)
    }

    /// Opens `path`, if it may be opened.
    pub(super) fn open(&self, path: &Path) -> Result<(), Errno> {
        self.ask()?;
        let mut state = self.state();
        if let Some(Fault::Opens(errno)) = state.faults.get(path) {
            return Err(*errno);
        }
        state.counts.entry(path.to_owned()).or_default().opened += 1;
        Ok(())
    }

    /// How many of `wanted` bytes of `path` may be read at `offset`.
    pub(super) fn read(&self, path: &Path, offset: u64, wanted: u64) -> Result<u64, Errno> {
        self.ask()?;
        self.meet(path, offset)?;
        let mut state = self.state();
        let allowed = match state.faults.get(path) {
            // As of a disk: what lies before the bad place comes still.
            Some(Fault::Reads { from, .. }) => wanted.min(from.saturating_sub(offset)),
            _ => wanted,
        };
        state.counts.entry(path.to_owned()).or_default().read += allowed;
        Ok(allowed)
    }

    /// Has the fault of `path` happen to whoever wants something at `offset`.
    fn meet(&self, path: &Path, offset: u64) -> Result<(), Errno> {
        match self.fault_that_answers(path)? {
            Some(Fault::Opens(errno)) if path == Path::new(WHOLE) => Err(errno),
            Some(Fault::Reads { from, errno }) if offset >= from => Err(errno),
            Some(Fault::Slow(time)) => {
                thread::sleep(time);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with `path`, as soon as that is anything else than that there is no answer.
    fn fault_that_answers(&self, path: &Path) -> Result<Option<Fault>, Errno> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            let fault = state.faults.get(path).copied();
            if fault != Some(Fault::Silent) {
                return Ok(fault);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::EIO);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
