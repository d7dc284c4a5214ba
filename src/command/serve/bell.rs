//! What wakes the thread that looks for changes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Rung from any thread; rung twice before anyone listens is rung once.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Option<Ring>>,
    ringing: Condvar,
}

/// Why it was rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ring {
    /// Something has changed, and more may in a moment.
    Changed,
    /// Somebody wants to have it looked at now.
    Asked,
}

impl Bell {
    pub(super) fn changed(&self) {
        self.ring(Ring::Changed);
    }

    pub(super) fn asked(&self) {
        self.ring(Ring::Asked);
    }

    fn ring(&self, why: Ring) {
        let mut rung = self.rung();
        *rung = (*rung).max(Some(why));
        self.ringing.notify_one();
    }

    /// Waits for it to be rung, until `due` at most, or for as long as it takes.
    pub(super) fn wait(&self, due: Option<Instant>) -> Option<Ring> {
        let mut rung = self.rung();
        while rung.is_none() {
            rung = match due {
                None => self
                    .ringing
                    .wait(rung)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.ringing.wait_timeout(rung, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        rung.take()
    }

    fn rung(&self) -> MutexGuard<'_, Option<Ring>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_asks_is_heard_before_changes() {
        let bell = Bell::default();
        bell.asked();
        bell.changed();
        assert_eq!(bell.wait(None), Some(Ring::Asked));
        assert_eq!(bell.wait(Some(Instant::now())), None);
        bell.changed();
        assert_eq!(bell.wait(None), Some(Ring::Changed));
    }

    #[test]
    fn it_wakes() {
        let bell = Bell::default();
        let far = Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| bell.wait(Some(far)));
            bell.changed();
            assert_eq!(waiting.join().unwrap(), Some(Ring::Changed));
        });
    }
}
