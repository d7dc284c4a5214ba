//! What happens in the folder: for each place bursts of changes that follow each other closely, and rests in between.

use std::collections::VecDeque;

use super::folder::{Act, Folder, State};
use super::pool::{Kind, Pool};
use super::random::Random;

/// How many ticks pass between two changes of a burst: mostly less than it takes to settle.
const CLOSE: (usize, usize) = (1, 4);
/// How many ticks a place rests, so that the server can be known to have seen it as it is.
const REST: (usize, usize) = (30, 90);
/// How many ticks pass until a folder is renamed again.
const RENAMING: (usize, usize) = (60, 160);

/// The story of all places. It follows from the seed, and not from how fast the machine is.
pub(super) struct Plot {
    random: Random,
    tick: usize,
    places: Vec<Role>,
    renaming: usize,
}

/// What is yet to happen at one place.
struct Role {
    kind: Kind,
    versions: usize,
    /// Its layers are taken for what they are, whatever they are: damaged, they make another image.
    is_pending: bool,
    acts: VecDeque<Act>,
    /// How many bursts' changes are left.
    left: usize,
    due: usize,
}

impl Plot {
    pub(super) fn new(seed: u64, pool: &Pool) -> Self {
        let mut random = Random::new(seed);
        let places = pool.plans.iter().map(|plan| Role {
            kind: plan.kind,
            versions: plan.versions.len(),
            is_pending: plan
                .versions
                .iter()
                .any(|version| version.pending.is_some()),
            acts: VecDeque::new(),
            left: 0,
            due: random.below(40),
        });
        Self {
            places: places.collect(),
            renaming: RENAMING.0,
            random,
            tick: 0,
        }
    }

    /// Does all that is due.
    pub(super) fn go_on(&mut self, folder: &mut Folder) {
        for place in 0..self.places.len() {
            if self.places[place].due <= self.tick {
                self.act(place, folder);
            }
        }
        if self.renaming <= self.tick {
            folder.rename_folder();
            self.renaming = self.tick + self.between(RENAMING);
        }
        self.tick += 1;
    }

    fn act(&mut self, place: usize, folder: &mut Folder) {
        if self.places[place].acts.is_empty() {
            if self.places[place].left == 0 {
                self.places[place].left = 1 + self.random.below(3);
            }
            self.places[place].left -= 1;
            self.places[place].acts = self.next(place, folder).into();
        }
        if let Some(act) = self.places[place].acts.pop_front() {
            folder.perform(place, &act);
        }
        let role = &self.places[place];
        let pause = if role.acts.is_empty() && role.left == 0 {
            REST
        } else {
            CLOSE
        };
        self.places[place].due = self.tick + self.between(pause);
    }

    fn between(&mut self, (least, most): (usize, usize)) -> usize {
        least + self.random.below(most - least)
    }

    /// What is to be done next at a place, given what is there.
    fn next(&mut self, place: usize, folder: &Folder) -> Vec<Act> {
        let kind = self.places[place].kind;
        let version = self.random.below(self.places[place].versions);
        match folder.state(place) {
            State::Locked if self.random.happens(70) => vec![Act::Unlock],
            State::Locked => vec![Act::Replace(version)],
            State::Whole => self.spoil(place, kind, version, folder),
            _ => self.restore(kind, version),
        }
    }

    /// Something is missing or broken: it becomes whole.
    fn restore(&mut self, kind: Kind, version: usize) -> Vec<Act> {
        if kind != Kind::File {
            return vec![Act::Replace(version)];
        }
        match self.random.below(4) {
            0 => slowly(version),
            1 => vec![Act::Begin(version), Act::End(version)],
            2 => vec![Act::Upload(version), Act::Wait, Act::Finish(version)],
            _ => vec![Act::Replace(version)],
        }
    }

    /// All is well: it is changed.
    fn spoil(&mut self, place: usize, kind: Kind, version: usize, folder: &Folder) -> Vec<Act> {
        match kind {
            Kind::File => self.spoil_file(place, version, folder),
            Kind::Layout => self.spoil_layout(place, version, folder.version(place)),
            Kind::Shelf | Kind::Link => self.spoil_shelf(version),
        }
    }

    fn spoil_file(&mut self, place: usize, version: usize, folder: &Folder) -> Vec<Act> {
        let layer = self.random.below(8);
        match self.random.below(16) {
            0 | 1 => vec![Act::Replace(version)],
            2 => vec![
                Act::Upload(version),
                Act::Wait,
                Act::Wait,
                Act::Finish(version),
            ],
            3 => vec![Act::Begin(version), Act::End(version)],
            4 => slowly(version),
            5 => vec![Act::Truncate],
            6 => vec![Act::Append],
            7 | 8 if !self.places[place].is_pending => self.at_last(place, Act::Damage(layer)),
            9 => vec![Act::Rewrite(layer)],
            10 => vec![Act::Touch],
            11 => vec![Act::Lock, Act::Wait, Act::Wait, Act::Wait],
            12 => vec![Act::Remove],
            13 => vec![Act::Remove, Act::Replace(version)],
            14 => self.with_another(place, folder),
            _ => vec![Act::Move(self.random.below(3))],
        }
    }

    /// What shows only when it is served, which takes a while: the place rests then.
    fn at_last(&mut self, place: usize, act: Act) -> Vec<Act> {
        self.places[place].left = 0;
        vec![act]
    }

    /// What concerns two files, the other one at rest.
    fn with_another(&mut self, place: usize, folder: &Folder) -> Vec<Act> {
        let is_free = |other: &usize| {
            let role = &self.places[*other];
            let is_idle = role.acts.is_empty() && role.left == 0;
            let is_whole = folder.state(*other) == State::Whole;
            *other != place && role.kind == Kind::File && is_idle && is_whole
        };
        let others: Vec<usize> = (0..self.places.len()).filter(is_free).collect();
        if others.is_empty() {
            return vec![Act::Touch];
        }
        let other = *self.random.pick(&others);
        if are_alike(place, other) && self.random.happens(60) {
            return vec![Act::Give(other), Act::Remove];
        }
        if self.random.happens(70) {
            vec![Act::Exchange(other)]
        } else {
            vec![Act::Over(other)]
        }
    }

    fn spoil_layout(&mut self, place: usize, version: usize, now: usize) -> Vec<Act> {
        let layer = self.random.below(8);
        match self.random.below(9) {
            0 | 1 => vec![Act::Replace(version)],
            2 => vec![Act::Complete(version), Act::Describe(version)],
            3 => vec![Act::Lose(layer)],
            4 => self.at_last(place, Act::Damage(layer)),
            5 => vec![Act::Touch],
            6 => vec![Act::Lock, Act::Wait, Act::Wait],
            7 => vec![Act::Remove, Act::Wait, Act::Replace(now)],
            _ => vec![Act::RemoveSlowly],
        }
    }

    fn spoil_shelf(&mut self, version: usize) -> Vec<Act> {
        match self.random.below(6) {
            0 => vec![Act::Touch],
            1 => vec![Act::Remove],
            2 => vec![Act::Remove, Act::Replace(version)],
            _ => vec![Act::Replace(version)],
        }
    }
}

/// The first two may hold the same images.
fn are_alike(place: usize, other: usize) -> bool {
    place + other == 1
}

/// Piece by piece, with pauses.
fn slowly(version: usize) -> Vec<Act> {
    vec![
        Act::Begin(version),
        Act::Piece(version, 1),
        Act::Wait,
        Act::End(version),
    ]
}
