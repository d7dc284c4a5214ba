//! When a change has come to rest: what is new or different is read only after two looks, some time apart, saw the same.
//!
//! Time is that of the monotonic clock. When a file says it was written does not matter: machines without a battery for their
//! clock start in 1970.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::archive::{Candidate, Stamp};

/// So many times what a change takes to come to rest it is waited for, so that all are published together.
const PATIENCE: u32 = 3;
/// So many times at most if there are always new ones.
const LONG_PATIENCE: u32 = 5;

/// What has changed and has not come to rest.
#[derive(Debug, Default)]
pub(super) struct Settling {
    restless: HashMap<Place, Restless>,
    /// Since when something that has come to rest waits for the others.
    held: Option<Instant>,
}

/// The number of a root, and a path beneath it.
type Place = (usize, Box<Path>);

#[derive(Debug)]
struct Restless {
    stamp: Stamp,
    /// When it had been seen first as it is.
    since: Instant,
    /// When it was first seen to be different from what is served.
    began: Instant,
    /// When it was seen last.
    seen: Instant,
    /// How long it has to stay the same.
    pause: Duration,
}

/// When a look is taken, which may take a while: something may have been seen as late as its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When it began.
    pub now: Instant,
    /// When all had been seen.
    pub until: Instant,
}

impl Restless {
    /// How long it has to stay the same from `now` on; `None` if it has come to rest.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let rest = self
            .pause
            .saturating_sub(now.saturating_duration_since(self.since));
        (!rest.is_zero()).then_some(rest)
    }

    /// Whether something that waits since `held` goes on waiting for this.
    fn holds(&self, held: Instant, now: Instant) -> bool {
        self.rest(now).is_some()
            && now.duration_since(self.began) < PATIENCE * self.pause
            && now.duration_since(held) < LONG_PATIENCE * self.pause
    }
}

impl Settling {
    /// Looks at `candidate` of root number `root`, which is not what is served: whether it was the same `pause` ago or earlier.
    pub(super) fn is_settled(
        &mut self,
        root: usize,
        candidate: &Candidate,
        Moment { now, until }: Moment,
        pause: Duration,
    ) -> bool {
        let place = (root, candidate.location.relative().into());
        let restless = self.restless.entry(place).or_insert_with(|| Restless {
            stamp: candidate.stamp.clone(),
            since: until,
            began: now,
            seen: now,
            pause,
        });
        if restless.stamp != candidate.stamp {
            restless.stamp = candidate.stamp.clone();
            restless.since = until;
        }
        (restless.seen, restless.pause) = (now, pause);
        restless.rest(now).is_none()
    }

    /// Ends the look of `now`: whether what has come to rest waits for what may do so in a moment. What goes on and on, as a
    /// slow copy does, is not waited for, and nothing is for long.
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        self.restless.retain(|_, restless| restless.seen == now);
        let held = *self.held.get_or_insert(now);
        let mut restless = self.restless.values();
        let holds = restless.any(|restless| restless.holds(held, now));
        if !holds {
            self.held = None;
            // The others are read now.
            self.restless
                .retain(|_, restless| restless.rest(now).is_some());
        }
        holds
    }

    /// How long after the look of `now` the next one is worth while; `None` if all has come to rest.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.restless
            .values()
            .filter_map(|restless| restless.rest(now))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::content::{Location, Root};

    const PAUSE: Duration = Duration::from_secs(1);

    /// A folder with so many files.
    fn candidate(path: &str, files: usize) -> Candidate {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let root = Root::new(folder.path());
        let seen = crate::content::File::open(&Location::new(Arc::clone(&root), Path::new("file")));
        let identity = *seen.unwrap().identity();
        let files = (0..files).map(|at| (Path::new(&at.to_string()).into(), identity));
        Candidate {
            location: Location::new(root, Path::new(path)),
            stamp: Stamp::Folder(files.collect()),
        }
    }

    /// One look at each of `candidates`, so long after the start: which of them have come to rest, whether they wait for
    /// others, and when to look again.
    fn look(
        settling: &mut Settling,
        now: Instant,
        candidates: &[&Candidate],
    ) -> (Vec<bool>, bool, Option<u64>) {
        let settled = candidates
            .iter()
            .map(|candidate| settling.is_settled(0, candidate, Moment { now, until: now }, PAUSE))
            .collect();
        let holds = settling.holds(now);
        let rest = settling.rest(now).map(|rest| rest.as_secs());
        (settled, holds, rest)
    }

    #[test]
    fn two_looks_that_see_the_same_are_enough() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let one = candidate("a", 1);
        assert_eq!(
            look(&mut settling, start, &[&one]),
            (vec![false], true, Some(1))
        );
        let soon = start + PAUSE / 2;
        assert_eq!(
            look(&mut settling, soon, &[&one]),
            (vec![false], true, Some(0))
        );
        assert_eq!(
            look(&mut settling, start + PAUSE, &[&one]),
            (vec![true], false, None)
        );
        assert!(settling.restless.is_empty(), "nothing is kept");
    }

    #[test]
    fn what_changes_again_begins_anew() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let (one, two) = (candidate("a", 1), candidate("a", 2));
        assert!(!look(&mut settling, start, &[&one]).0[0]);
        assert!(!look(&mut settling, start + PAUSE, &[&two]).0[0]);
        assert!(!look(&mut settling, start + PAUSE * 3 / 2, &[&two]).0[0]);
        assert!(look(&mut settling, start + PAUSE * 2, &[&two]).0[0]);
    }

    #[test]
    fn what_goes_away_is_not_waited_for() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let (one, two) = (candidate("a", 1), candidate("b", 1));
        assert_eq!(
            look(&mut settling, start, &[&one]),
            (vec![false], true, Some(1))
        );
        let soon = start + PAUSE / 2;
        assert_eq!(
            look(&mut settling, soon, &[&two]),
            (vec![false], true, Some(1))
        );
        assert_eq!(
            look(&mut settling, start + PAUSE, &[]),
            (vec![], false, None)
        );
    }

    /// Others wait for what is being copied, and not for long.
    #[test]
    fn what_never_rests_holds_up_others_only_for_a_while() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let quiet = candidate("quiet", 1);
        let mut held = Vec::new();
        for second in 0..8 {
            let growing = candidate("growing", second);
            let now = start + PAUSE * u32::try_from(second).unwrap();
            let (settled, holds, _) = look(&mut settling, now, &[&quiet, &growing]);
            assert!(!settled[1]);
            held.push(settled[0] && holds);
        }
        assert_eq!(held, [false, true, true, false, false, false, false, false]);
    }

    /// Something new each second must not keep everything back for ever.
    #[test]
    fn a_stream_of_changes_is_published_now_and_then() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let all: Vec<Candidate> = (0..20).map(|at| candidate(&at.to_string(), 1)).collect();
        let mut waiting: Vec<&Candidate> = Vec::new();
        let mut published = 0;
        for (second, candidate) in (0..).zip(&all) {
            waiting.push(candidate);
            let (settled, holds, _) = look(&mut settling, start + PAUSE * second, &waiting);
            if !holds {
                let before = waiting.len();
                let mut settled = settled.into_iter();
                waiting.retain(|_| settled.next() == Some(false));
                published += usize::from(waiting.len() < before);
            }
        }
        assert!(waiting.len() <= 6, "{} wait", waiting.len());
        assert!(published < 10, "{published} publications");
    }
}
