//! Keeping the catalog fresh: when to look for changes.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::bell::{Bell, Ring};
use super::keep::{start_thread, survive};
use crate::catalog::{Catalog, Watch};
use crate::observe::Log;

/// Between two looks where changes are told: something may be missed, and a link on the way to a folder be swapped.
const BESIDE_EVENTS: Duration = Duration::from_secs(60);
/// The same where they are not.
const WITHOUT_EVENTS: Duration = Duration::from_secs(10);
/// After a change that was told so long a time without another is waited for,
const QUIET: Duration = Duration::from_millis(100);
/// and so long at most.
const GATHERING: Duration = Duration::from_secs(1);
/// Looking takes one part of so many of the time, however many files there are.
const SHARE: u32 = 10;

/// What keeps a catalog fresh.
pub(super) struct Fresh {
    pub(super) catalog: Arc<Catalog>,
    /// Tells changes, if anything is to.
    pub(super) watch: Option<Arc<Watch>>,
    /// The pause between two looks, if the user wants one; zero for none.
    pub(super) refresh: Option<Duration>,
    pub(super) bell: Arc<Bell>,
    pub(super) log: Log,
    /// Wakes whoever hashes what could not be hashed before.
    pub(super) wake: mpsc::SyncSender<()>,
}

/// What tells changes, unless the user wants to have nothing looked for, or nothing can.
pub(super) fn watch(refresh: Option<Duration>, log: &Log) -> Option<Arc<Watch>> {
    if refresh.is_some_and(|refresh| refresh.is_zero()) {
        return None;
    }
    match Watch::new() {
        Ok(watch) => Some(Arc::new(watch)),
        Err(error) => {
            tell_failure(log, &error);
            None
        }
    }
}

fn tell_failure(log: &Log, error: &io::Error) {
    log.say(&format!(
        "warning: not all folders can be watched for changes ({error}), so they are looked at now and then instead; \
         raise fs.inotify.max_user_watches or fs.inotify.max_user_instances"
    ));
}

impl Fresh {
    /// Looks now, and then again and again, on a thread of its own.
    pub(super) fn keep(self) -> anyhow::Result<()> {
        if let Some(watch) = self.watch.clone() {
            let bell = Arc::clone(&self.bell);
            start_thread("watch", move || {
                while watch.wait() {
                    bell.changed();
                }
                // It is told why when somebody looks, which is not left to the watch any more.
                bell.changed();
            })?;
        }
        start_thread("catalog", move || {
            loop {
                self.look();
            }
        })
    }

    /// Looks once, and waits until it is worth while to look again.
    fn look(&self) {
        let refreshed = survive(|| self.catalog.refresh(Instant::now())).unwrap_or_default();
        // What could not be hashed before may be readable now.
        let _ = self.wake.try_send(());
        if let Some(error) = self.watch.as_ref().and_then(|watch| watch.take_failure()) {
            tell_failure(&self.log, &error);
        }
        let pause = self.pause(refreshed.is_watched);
        let pauses = [refreshed.again, pause].into_iter().flatten();
        self.wait(Instant::now(), refreshed.took, pauses.min());
    }

    /// How long to wait where nothing tells that something has changed; `None` if for ever.
    fn pause(&self, is_watched: bool) -> Option<Duration> {
        let usual = if is_watched {
            BESIDE_EVENTS
        } else {
            WITHOUT_EVENTS
        };
        Some(self.refresh.unwrap_or(usual)).filter(|pause| !pause.is_zero())
    }

    /// Waits after a look that took `took` and has `ended`: for the `pause`, or until a change that is told has been followed by a
    /// quiet moment, and until the look has had its share of the time; but for no longer than until somebody asks.
    fn wait(&self, ended: Instant, took: Duration, pause: Option<Duration>) {
        let earliest = ended + took * (SHARE - 1);
        // What lies beyond the end of time never comes.
        let due = pause.and_then(|pause| ended.checked_add(pause));
        let due = due.map(|due| due.max(earliest));
        let (mut until, mut latest) = (due, None);
        while let Some(Ring::Changed) = self.bell.wait(until) {
            let now = Instant::now();
            let latest = *latest.get_or_insert(now + GATHERING);
            let quiet = (now + QUIET).min(latest).max(earliest);
            until = due.map_or(Some(quiet), |due| Some(due.min(quiet)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Event, Listener, Options};
    use crate::content::Root;

    fn fresh(refresh: Option<Duration>, listener: Listener) -> Fresh {
        let options = Options {
            auto_latest: true,
            strict_tags: false,
            strict: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let roots = vec![Root::new(folder.path())];
        Fresh {
            catalog: Arc::new(Catalog::new(roots, options, listener)),
            watch: None,
            refresh,
            bell: Arc::default(),
            log: Log::to_stderr().0,
            wake: mpsc::sync_channel(1).0,
        }
    }

    /// Whatever fails while the folder is looked at, it is looked at again.
    #[test]
    fn a_panic_is_survived() {
        let fails = Box::new(|_: &Event<'_>| panic!("whoever listens fails"));
        let fresh = fresh(Some(Duration::ZERO), fails);
        for _ in 0..2 {
            fresh.bell.asked();
            fresh.look();
        }
        assert!(fresh.catalog.snapshot().is_some());
    }

    #[test]
    fn how_often_it_is_looked_at() {
        let pauses = |refresh: Option<u64>| {
            let fresh = fresh(refresh.map(Duration::from_secs), Box::new(|_| ()));
            [true, false].map(|is_watched| fresh.pause(is_watched).map(|pause| pause.as_secs()))
        };
        assert_eq!(pauses(None), [Some(60), Some(10)]);
        assert_eq!(pauses(Some(3)), [Some(3); 2]);
        assert_eq!(pauses(Some(0)), [None; 2]);
    }

    /// A scan that takes long is not begun again before ten times as long has passed, unless somebody asks.
    #[test]
    fn looking_takes_a_tenth_of_the_time() {
        let fresh = fresh(None, Box::new(|_| ()));
        let wait = |took: Duration, due: Duration| {
            let began = Instant::now();
            fresh.wait(began, took, Some(due));
            began.elapsed()
        };
        let (scan, short) = (Duration::from_millis(20), Duration::from_millis(1));
        assert!(wait(scan, short) >= scan * 9);
        fresh.bell.changed();
        assert!(wait(scan, short) >= scan * 9, "a change is no reason");
        fresh.bell.asked();
        assert!(wait(Duration::from_secs(3600), short) < Duration::from_secs(60));
    }
}
