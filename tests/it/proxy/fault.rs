//! Which requests meet harm, and what harm that is.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Seen;

/// Something that happens in the course of an answer.
pub(crate) type Event = Arc<dyn Fn() + Send + Sync>;

/// What is done to an answer.
#[derive(Clone)]
pub(crate) enum Harm {
    /// The connection ends after so many bytes of the head.
    CutHead(usize),
    /// The connection ends after the head and so many bytes of the body.
    CutBody(u64),
    /// After the head and so many bytes of the body this happens, and then the answer goes on.
    At(u64, Event),
    /// Before the request is sent on this happens.
    Before(Event),
    /// The body comes at so many bytes a second.
    Rate(u64),
    /// The request is not sent on; this is the [`answer`](super::answer), and then the connection ends.
    Instead(Vec<u8>),
    /// The answer says that it is the last on its connection, and is.
    Last,
    /// The server is not told which range is wanted, and so sends the whole.
    WithoutRange,
}

impl Harm {
    /// After so many bytes of the body nothing comes for a while.
    pub(crate) fn stall(place: u64, time: Duration) -> Self {
        Self::At(place, Arc::new(move || thread::sleep(time)))
    }
}

/// Which of the requests that a fault is about.
enum Turns {
    /// Those of which so many came before.
    These(Range<usize>),
    /// All within a time after the first.
    Within(Duration),
}

/// Harm to the answers to some requests.
pub(crate) struct Fault {
    method: Option<&'static str>,
    path: String,
    only_ranges: bool,
    turns: Turns,
    /// How many of these requests came so far.
    met: usize,
    /// When the first of them came.
    since: Option<Instant>,
    harm: Harm,
}

impl Fault {
    /// Harm to the first GET whose path has `part` in it.
    pub(crate) fn get(part: &str, harm: Harm) -> Self {
        Self {
            method: Some("GET"),
            path: part.to_owned(),
            only_ranges: false,
            turns: Turns::These(0..1),
            met: 0,
            since: None,
            harm,
        }
    }

    /// Harm to the first request of any method whose path has `part` in it.
    pub(crate) fn any(part: &str, harm: Harm) -> Self {
        Self {
            method: None,
            ..Self::get(part, harm)
        }
    }

    /// Counts only requests for a range.
    pub(crate) fn only_ranges(self) -> Self {
        Self {
            only_ranges: true,
            ..self
        }
    }

    /// Not the first of these requests, but those of which so many came before.
    pub(crate) fn turns(self, turns: Range<usize>) -> Self {
        Self {
            turns: Turns::These(turns),
            ..self
        }
    }

    /// Not the first of these requests, but all.
    pub(crate) fn always(self) -> Self {
        self.turns(0..usize::MAX)
    }

    /// Not only the first of these requests, but all that come within this time after it.
    pub(crate) fn within(self, time: Duration) -> Self {
        Self {
            turns: Turns::Within(time),
            ..self
        }
    }

    /// What becomes of the answer to this request, which is counted.
    pub(super) fn meet(&mut self, request: &Seen) -> Option<Harm> {
        let is_meant = self.method.is_none_or(|method| request.method == method)
            && request.path.contains(&self.path)
            && (request.range.is_some() || !self.only_ranges);
        if !is_meant {
            return None;
        }
        let before = self.met;
        self.met += 1;
        let since = self.since.get_or_insert_with(Instant::now);
        let is_its_turn = match &self.turns {
            Turns::These(turns) => turns.contains(&before),
            Turns::Within(time) => since.elapsed() < *time,
        };
        is_its_turn.then(|| self.harm.clone())
    }
}
