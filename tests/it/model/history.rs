//! What the folder was, and since when the server must have seen it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::Offer;
use super::pulse::Proof;

/// What one place is after a change.
#[derive(Clone)]
pub(super) struct Shown {
    /// For people.
    pub(super) what: String,
    /// What it may be taken for: the first once the server is done with it, the others until then.
    pub(super) offers: Vec<Arc<Offer>>,
    /// Nothing tells which of these it will be, however long it stays.
    pub(super) is_uncertain: bool,
    pub(super) change: Change,
}

/// What is offered where nothing is.
static NOTHING: Offer = Offer {
    entries: Vec::new(),
    holds: BTreeSet::new(),
    locked: BTreeSet::new(),
    damaged: BTreeMap::new(),
};

/// What kind of change made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes or times have changed: it counts when it has settled.
    Written,
    /// It is gone.
    Removed,
    /// It lies elsewhere, as it was.
    Moved,
    /// It leads to other files, which may have been seen before: each look that comes across them sees the same.
    Linked,
}

/// What one place was for some time.
pub(super) struct Phase {
    pub(super) shown: Shown,
    /// Before the change that made it so.
    began: Instant,
    /// After that change.
    done: Option<Instant>,
    /// Since when the server is known to serve it.
    proved: Option<Instant>,
}

/// All that the folder was.
#[derive(Default)]
pub(super) struct History {
    /// How long a file stays the same before it counts.
    settle: Duration,
    places: Vec<Vec<Phase>>,
    /// The changes in their order.
    steps: Vec<Step>,
}

/// What changed at one moment: places, and the numbers of their phases.
type Step = Vec<(usize, usize)>;

impl History {
    /// The folder as it was when the server began to serve it.
    pub(super) fn new(settle: Duration, shown: Vec<Shown>) -> Self {
        let now = Instant::now();
        let places = shown.into_iter().map(|shown| {
            vec![Phase {
                shown,
                began: now,
                done: Some(now),
                proved: Some(now),
            }]
        });
        Self {
            settle,
            places: places.collect(),
            steps: Vec::new(),
        }
    }

    /// Places are about to become what is shown here, all at one moment.
    pub(super) fn begin(&mut self, shown: Vec<(usize, Shown)>) {
        let began = Instant::now();
        let mut step = Step::new();
        for (place, shown) in shown {
            let phases = &mut self.places[place];
            step.push((place, phases.len()));
            phases.push(Phase {
                shown,
                began,
                done: None,
                proved: None,
            });
        }
        self.steps.push(step);
    }

    /// They have become that.
    pub(super) fn done(&mut self, places: &[usize]) {
        let done = Instant::now();
        for place in places {
            let phase = self.places[*place].last_mut().expect("it has begun");
            phase.done = Some(done);
        }
    }

    /// Whether the server is known to serve what the place is now.
    pub(super) fn is_proved(&self, place: usize) -> bool {
        self.places[place]
            .last()
            .is_some_and(|phase| phase.proved.is_some())
    }

    /// Whether it is known to serve all as it is now.
    pub(super) fn is_all_proved(&self) -> bool {
        (0..self.places.len()).all(|place| self.is_proved(place))
    }

    /// Notes what the server is known to serve.
    pub(super) fn prove(&mut self, proof: Proof) {
        let Proof { covered, now } = proof;
        for phases in &mut self.places {
            let at = phases.iter().rposition(|phase| phase.began <= now);
            let last = &mut phases[at.expect("the first one")];
            if last.done.is_some_and(|done| done <= covered) {
                last.proved.get_or_insert(now);
            }
        }
    }

    /// How many changes there were.
    pub(super) fn changes(&self) -> usize {
        self.steps.len()
    }

    /// What may be served between two moments.
    pub(super) fn window(&self, asked: Instant, answered: Instant) -> Window<'_> {
        let places = self.places.iter();
        let places: Vec<Recent<'_>> = places
            .map(|phases| self.recent(phases, asked, answered))
            .collect();
        let starts: Vec<usize> = places.iter().map(|recent| recent.first).collect();
        let is_open = |(place, phase): &(usize, usize)| {
            *phase > starts[*place] && self.places[*place][*phase].began <= answered
        };
        let steps = self
            .steps
            .iter()
            .map(|step| step.iter().copied().filter(is_open));
        let steps: Vec<Step> = steps.map(Iterator::collect).collect();
        Window {
            steps: steps.into_iter().filter(|step| !step.is_empty()).collect(),
            places,
        }
    }

    fn recent<'h>(&'h self, phases: &'h [Phase], asked: Instant, answered: Instant) -> Recent<'h> {
        let is_proved = |phase: &Phase| phase.proved.is_some_and(|proved| proved <= asked);
        let first = phases.iter().rposition(is_proved).expect("the first one");
        let last = phases.iter().rposition(|phase| phase.began <= answered);
        let last = last.expect("the first one");
        let mut recent = Recent {
            first,
            phases: Vec::new(),
        };
        for number in first..=last {
            let ended = phases.get(number + 1).map_or(answered, |next| {
                next.done.map_or(answered, |done| done.min(answered))
            });
            let phase = &phases[number];
            let offers = recent.offers_of(phase, number == first);
            let lasted = ended.saturating_duration_since(phase.began);
            let counts = match phase.shown.change {
                _ if number == first => true,
                Change::Removed | Change::Linked => true,
                // Known elsewhere, it need not settle again.
                Change::Moved if recent.phases.last().is_some_and(|before| before.counts) => true,
                _ => lasted >= self.settle,
            };
            recent.phases.push(Possible {
                shown: &phase.shown,
                offers,
                counts,
                began: phase.began,
            });
        }
        recent.lose_sight();
        recent
    }

    /// The last changes, for people.
    pub(super) fn latest(&self, count: usize) -> String {
        let now = Instant::now();
        let start = self.steps.len().saturating_sub(count);
        let line = |(place, phase): &(usize, usize)| {
            let phase = &self.places[*place][*phase];
            let ago = now.saturating_duration_since(phase.began);
            let proved = if phase.proved.is_some() {
                ", served"
            } else {
                ""
            };
            format!(
                "  {:7.3} s ago: {}{proved}\n",
                ago.as_secs_f64(),
                phase.shown.what
            )
        };
        self.steps[start..].iter().flatten().map(line).collect()
    }
}

/// What all places may be taken for.
pub(super) struct Window<'h> {
    pub(super) places: Vec<Recent<'h>>,
    /// The changes since each place was known to be served as it was.
    steps: Vec<Step>,
}

/// What one place was since it was known to be served.
pub(super) struct Recent<'h> {
    /// The number of the phase that was.
    first: usize,
    pub(super) phases: Vec<Possible<'h>>,
}

/// A phase as it may be served.
pub(super) struct Possible<'h> {
    pub(super) shown: &'h Shown,
    pub(super) offers: Vec<&'h Offer>,
    /// It lasted long enough to be served.
    pub(super) counts: bool,
    pub(super) began: Instant,
}

impl<'h> Recent<'h> {
    fn offers_of(&self, phase: &'h Phase, is_first: bool) -> Vec<&'h Offer> {
        let all = || phase.shown.offers.iter().map(|offer| &**offer).collect();
        match self.phases.last() {
            // What was known of it is known of it there.
            Some(before) if phase.shown.change == Change::Moved => before.offers.clone(),
            _ if is_first && !phase.shown.is_uncertain => vec![&phase.shown.offers[0]],
            _ => all(),
        }
    }

    /// What is moved *and* written to before either is served is new where it is, and gone where it was, until it has come to
    /// rest.
    fn lose_sight(&mut self) {
        let changes = self.phases[1..].iter().map(|phase| phase.shown.change);
        let (moves, others): (Vec<_>, Vec<_>) =
            changes.partition(|change| *change == Change::Moved);
        if !moves.is_empty() && !others.is_empty() {
            for phase in &mut self.phases[1..] {
                if !std::mem::replace(&mut phase.counts, true) {
                    phase.offers.clear();
                }
                phase.offers.push(&NOTHING);
            }
        }
    }

    /// Whether it can be nothing else than what it is.
    pub(super) fn is_quiet(&self) -> bool {
        self.phases.len() == 1 && self.phases[0].offers.len() == 1
    }

    /// All that it may be taken for.
    pub(super) fn offers(&self) -> Vec<&'h Offer> {
        let mut offers: Vec<&Offer> = Vec::new();
        let counting = self.phases.iter().filter(|phase| phase.counts);
        for offer in counting.flat_map(|phase| &phase.offers) {
            if !offers.iter().any(|known| std::ptr::eq(*known, *offer)) {
                offers.push(offer);
            }
        }
        offers
    }

    /// What it is taken for while it is at this phase: that, or what it was before if that does not last.
    fn at(&self, phase: usize) -> &[&'h Offer] {
        let until = &self.phases[..=phase - self.first];
        let phase = until.iter().rfind(|phase| phase.counts);
        &phase.expect("the first one counts").offers
    }
}

impl<'h> Window<'h> {
    /// Every state that the folder had: of each place all that it may be taken for.
    pub(super) fn states(&self) -> Vec<Vec<Vec<&'h Offer>>> {
        let mut now: Vec<usize> = self.places.iter().map(|recent| recent.first).collect();
        let state = |now: &[usize]| -> Vec<Vec<&'h Offer>> {
            let places = self.places.iter().zip(now);
            places
                .map(|(recent, phase)| recent.at(*phase).to_vec())
                .collect()
        };
        let mut states = vec![state(&now)];
        for step in &self.steps {
            for (place, phase) in step {
                now[*place] = *phase;
            }
            states.push(state(&now));
        }
        states
    }
}
