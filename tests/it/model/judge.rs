//! Whether an answer is right for some state that the folder had a moment ago.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::time::Instant;

use super::history::{Change, Recent, Window};
use super::pool::{Id, Offer, Pool, View};
use crate::fixture::sha256;
use crate::server::Response;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// The manifest that a tag means.
    Tag(&'static str, &'static str),
    /// A manifest by its digest.
    Manifest(&'static str, Id),
    /// A blob, or a part of it.
    Blob(&'static str, Id, Option<Range<usize>>),
    /// The tags of a repository.
    Tags(&'static str),
    /// The repositories.
    Catalog,
}

/// One question, and what came of it.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) is_head: bool,
    /// Before the question was sent.
    pub(super) began: Instant,
    /// When the first byte of the answer was there: what it is made of has been decided by then.
    pub(super) answered: Instant,
    /// When its last byte was there.
    pub(super) ended: Instant,
    /// An answer that was cut short is an error.
    pub(super) answer: io::Result<Response>,
}

impl Asked {
    /// Until when the folder may have decided what came of it: a transfer is cut by what happens while it lasts.
    pub(super) fn decided(&self) -> Instant {
        if self.answer.is_ok() {
            self.answered
        } else {
            self.ended
        }
    }

    /// All about it, for people.
    pub(super) fn told(&self, pool: &Pool) -> String {
        let digest = match &self.question {
            Question::Manifest(_, id) | Question::Blob(_, id, _) => &pool.blobs[*id].digest,
            _ => "",
        };
        let answer = match &self.answer {
            Ok(Response {
                status,
                headers,
                body,
            }) => {
                let start = &body[..body.len().min(300)];
                format!("{status} {headers:?}\n{}", String::from_utf8_lossy(start))
            }
            Err(error) => error.to_string(),
        };
        let method = if self.is_head { "HEAD" } else { "GET" };
        let (first, rest) = (self.answered - self.began, self.ended - self.answered);
        format!(
            "{method} {:?} {digest}: after {first:?} and {rest:?} {answer}",
            self.question
        )
    }
}

/// What was wrong with an answer.
pub(super) type Wrong = String;

/// How much an answer could have been wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Only this was right.
    Strictly,
    /// Something was changing, and other answers would have been right as well.
    Loosely,
}

/// Judges the answers.
pub(super) struct Judge<'p, 'w> {
    pool: &'p Pool,
    window: &'w Window<'w>,
    asked: &'w Asked,
    /// Of each place all that it may be taken for.
    offers: Vec<Vec<&'w Offer>>,
    states: Vec<Vec<Vec<&'w Offer>>>,
}

impl<'p, 'w> Judge<'p, 'w> {
    pub(super) fn new(pool: &'p Pool, window: &'w Window<'w>, asked: &'w Asked) -> Self {
        let places = window.places.iter();
        Self {
            pool,
            window,
            asked,
            offers: places.map(Recent::offers).collect(),
            states: window.states(),
        }
    }

    pub(super) fn judge(&self) -> Result<Held, Wrong> {
        let answer = match &self.asked.answer {
            Ok(answer) => answer,
            Err(error) => return self.cut(error),
        };
        match answer.status {
            200 | 206 => self.content(answer)?,
            404 => self.missing()?,
            429 => self.later(answer)?,
            status => return Err(format!("the status is {status}")),
        }
        Ok(self.held())
    }

    fn content(&self, answer: &Response) -> Result<(), Wrong> {
        match &self.asked.question {
            Question::Tag(repository, tag) => self.tag(repository, tag, answer),
            Question::Manifest(repository, id) => self.manifest(repository, *id, answer),
            Question::Blob(repository, id, range) => {
                self.blob(repository, *id, range.as_ref(), answer)
            }
            Question::Tags(repository) => self.tags(repository, answer),
            Question::Catalog => self.catalog(answer),
        }
    }

    fn tag(&self, repository: &str, tag: &str, answer: &Response) -> Result<(), Wrong> {
        let digest = answer.header("docker-content-digest").unwrap_or_default();
        let id = self
            .pool
            .id(digest)
            .ok_or("a digest of no image that there ever was")?;
        let views = self.views(repository);
        if !views.iter().any(|view| view.tags.get(tag) == Some(&id)) {
            return Err(format!("no archive gave the tag to {digest}"));
        }
        self.whole(id, answer)
    }

    fn manifest(&self, repository: &str, id: Id, answer: &Response) -> Result<(), Wrong> {
        self.reached(repository, id)?;
        self.whole(id, answer)
    }

    fn blob(
        &self,
        repository: &str,
        id: Id,
        range: Option<&Range<usize>>,
        answer: &Response,
    ) -> Result<(), Wrong> {
        self.reached(repository, id)?;
        match range.filter(|_| !self.asked.is_head) {
            None => self.whole(id, answer),
            Some(range) => self.part(id, range, answer),
        }
    }

    /// It is reached by an image of the repository, and somewhere there is something that claims to be it.
    fn reached(&self, repository: &str, id: Id) -> Result<(), Wrong> {
        let views = self.views(repository);
        if !views.iter().any(|view| view.reach.contains(&id)) {
            return Err("no image of the repository had it".to_owned());
        }
        let mut offers = self.offers.iter().flatten();
        if !self.pool.is_made(id) && !offers.any(|offer| offer.claims(id)) {
            return Err("no archive held it".to_owned());
        }
        Ok(())
    }

    /// The bytes are those of the digest, no matter what.
    fn whole(&self, id: Id, answer: &Response) -> Result<(), Wrong> {
        let blob = &self.pool.blobs[id];
        if answer.status != 200 {
            return Err("a part that nobody asked for".to_owned());
        }
        let length = answer.header("content-length").unwrap_or_default();
        if length != blob.bytes.len().to_string() {
            return Err(format!(
                "a length of {length} and not of {}",
                blob.bytes.len()
            ));
        }
        if answer.header("docker-content-digest") != Some(&blob.digest) {
            return Err("another digest in its head".to_owned());
        }
        if !self.asked.is_head && sha256(&answer.body) != blob.digest {
            return Err("wrong bytes".to_owned());
        }
        Ok(())
    }

    /// The bytes are those of the digest; or, as it is sent on the claim of an archive, those that lie there, and not of two
    /// states of them.
    fn part(&self, id: Id, range: &Range<usize>, answer: &Response) -> Result<(), Wrong> {
        let bytes = &self.pool.blobs[id].bytes;
        let told = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
        if answer.status != 206 || answer.header("content-range") != Some(&told) {
            return Err(format!("not the part that was asked for: {told}"));
        }
        let offers = self.window.places.iter().flat_map(Recent::offers);
        let mut damaged = offers.filter_map(|offer| offer.damaged.get(&id));
        let is_right = answer.body == bytes[range.clone()]
            || damaged.any(|damaged| answer.body == damaged[range.clone()]);
        if is_right {
            Ok(())
        } else {
            Err("wrong bytes".to_owned())
        }
    }

    fn tags(&self, repository: &str, answer: &Response) -> Result<(), Wrong> {
        if self.asked.is_head {
            return Ok(());
        }
        let json = answer.json();
        let listed = json["tags"].as_array().ok_or("no list")?.iter();
        let listed: Option<Vec<&str>> = listed.map(|tag| tag.as_str()).collect();
        let listed = listed.ok_or("not a list of tags")?;
        let views = self.views(repository);
        let is_right = |view: &View| view.tags.keys().eq(listed.iter());
        if !views.iter().any(is_right) {
            let right: Vec<_> = views
                .iter()
                .map(|view| view.tags.keys().collect::<Vec<_>>())
                .collect();
            return Err(format!("the tags {listed:?}, and not one of {right:?}"));
        }
        let states = self
            .states
            .iter()
            .flat_map(|state| self.views_of(repository, state));
        let common = states
            .map(|view| view.tags.into_keys().collect::<BTreeSet<_>>())
            .reduce(|common, tags| &common & &tags);
        let common = common.unwrap_or_default();
        match common.iter().find(|tag| !listed.contains(&tag.as_str())) {
            Some(tag) => Err(format!(
                "{listed:?} lacks {tag}, which it had at every moment"
            )),
            None => Ok(()),
        }
    }

    fn catalog(&self, answer: &Response) -> Result<(), Wrong> {
        if self.asked.is_head {
            return Ok(());
        }
        let json = answer.json();
        let listed = json["repositories"].as_array().ok_or("no list")?.iter();
        let listed: Option<BTreeSet<&str>> = listed.map(|name| name.as_str()).collect();
        let mut listed = listed.ok_or("not a list of names")?;
        listed.remove(super::pulse::REPOSITORY);
        let known = self.pool.repositories();
        if let Some(name) = listed.iter().find(|name| !known.contains(*name)) {
            return Err(format!("the name {name}, which nothing ever had"));
        }
        for name in known {
            let is_right = if listed.contains(name) {
                self.views(name).iter().any(View::is_there)
            } else {
                self.is_lacking(name, |view| !view.is_there())
            };
            if !is_right {
                return Err(format!("{name} is wrong in {listed:?}"));
            }
        }
        Ok(())
    }

    fn missing(&self) -> Result<(), Wrong> {
        let is_right = match &self.asked.question {
            Question::Tag(repository, tag) => {
                self.is_lacking(repository, |view| !view.tags.contains_key(*tag))
            }
            Question::Manifest(repository, id) | Question::Blob(repository, id, _) => {
                self.is_lacking(repository, |view| !view.reach.contains(id)) || self.is_nowhere(*id)
            }
            Question::Tags(repository) => self.is_lacking(repository, |view| !view.is_there()),
            Question::Catalog => false,
        };
        if is_right {
            Ok(())
        } else {
            Err("it was there at every moment".to_owned())
        }
    }

    /// Whether in some state of the folder the repository was so.
    fn is_lacking(&self, repository: &str, lacks: impl Fn(&View) -> bool) -> bool {
        let mut states = self.states.iter();
        states.any(|state| self.views_of(repository, state).iter().any(&lacks))
    }

    /// Whether in some state of the folder no archive had the bytes.
    fn is_nowhere(&self, id: Id) -> bool {
        let has_not = |place: &Vec<&Offer>| place.iter().any(|offer| !offer.has(id));
        let mut states = self.states.iter();
        !self.pool.is_made(id) && states.any(|state| state.iter().all(has_not))
    }

    /// Later it may be there: only where something changes that would have it.
    fn later(&self, answer: &Response) -> Result<(), Wrong> {
        if answer.header("retry-after").is_none() {
            return Err("it does not say when to ask again".to_owned());
        }
        let wanted = self.wanted();
        if wanted
            .iter()
            .any(|id| !self.is_steady(*id) && self.is_shaky(*id))
        {
            Ok(())
        } else {
            Err("nothing was changing that had it".to_owned())
        }
    }

    /// What may be meant by the question.
    fn wanted(&self) -> BTreeSet<Id> {
        match &self.asked.question {
            Question::Tag(repository, tag) => {
                let views = self.views(repository).into_iter();
                views
                    .filter_map(|view| view.tags.get(*tag).copied())
                    .collect()
            }
            Question::Manifest(_, id) | Question::Blob(_, id, _) => [*id].into(),
            Question::Tags(_) | Question::Catalog => BTreeSet::new(),
        }
    }

    /// Some place holds it, and nothing happens there.
    fn is_steady(&self, id: Id) -> bool {
        let places = self.window.places.iter();
        let mut quiet = places.filter(|recent| recent.is_quiet());
        quiet.any(|recent| recent.phases[0].offers[0].holds.contains(&id))
    }

    /// Some place may hold it, and changes or cannot be read.
    fn is_shaky(&self, id: Id) -> bool {
        let mut places = self.window.places.iter();
        places.any(|recent| {
            let phases = recent.phases.iter();
            let mut offers = phases.flat_map(|phase| &phase.offers);
            let is_locked = offers.clone().any(|offer| offer.locked.contains(&id));
            is_locked || !recent.is_quiet() && offers.any(|offer| offer.claims(id))
        })
    }

    /// An answer that was cut: only what is written to, or is damaged, may be.
    fn cut(&self, error: &io::Error) -> Result<Held, Wrong> {
        let is_cut = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        );
        let Question::Blob(_, id, _) = &self.asked.question else {
            return Err(format!("no answer: {error}"));
        };
        let mut places = self.window.places.iter();
        let is_right = places.any(|recent| {
            let phases = recent.phases.iter();
            let mut offers = phases.clone().flat_map(|phase| &phase.offers);
            let is_damaged = offers.clone().any(|offer| offer.damaged.contains_key(id));
            let was_written = recent.phases[1..]
                .iter()
                .any(|phase| phase.shown.change != Change::Moved);
            is_damaged || was_written && offers.any(|offer| offer.claims(*id))
        });
        if is_cut && is_right {
            Ok(Held::Loosely)
        } else {
            Err(format!("cut although nothing was written to: {error}"))
        }
    }

    /// The repository as it may be: archives come to rest one by one, so what each place may be taken for goes with whatever
    /// each other one may.
    fn views(&self, repository: &str) -> Vec<View> {
        self.views_of(repository, &self.offers)
    }

    fn views_of(&self, repository: &str, places: &[Vec<&Offer>]) -> Vec<View> {
        let concerns = |offer: &&Offer| {
            let mut entries = offer.entries.iter();
            entries.any(|entry| entry.repository == repository)
        };
        let mut chosen: Vec<Vec<&Offer>> = vec![Vec::new()];
        for place in places.iter().filter(|place| place.iter().any(concerns)) {
            chosen = chosen
                .iter()
                .flat_map(|chosen| place.iter().map(|offer| [&chosen[..], &[*offer]].concat()))
                .collect();
        }
        chosen
            .iter()
            .map(|offers| self.pool.view(repository, offers))
            .collect()
    }

    fn held(&self) -> Held {
        let mut places = self.window.places.iter();
        if places.all(Recent::is_quiet) {
            return Held::Strictly;
        }
        let repository = match &self.asked.question {
            Question::Tag(repository, _)
            | Question::Manifest(repository, _)
            | Question::Blob(repository, _, _)
            | Question::Tags(repository) => *repository,
            Question::Catalog => return Held::Loosely,
        };
        let views = self.views(repository);
        if views.iter().all(|view| *view == views[0]) {
            Held::Strictly
        } else {
            Held::Loosely
        }
    }

    /// What the places were, for people; a star marks those that had what was asked for.
    pub(super) fn circumstances(&self) -> String {
        let wanted = self.wanted();
        let has = |offer: &&Offer| wanted.iter().any(|id| offer.claims(*id));
        let phases = self.window.places.iter().flat_map(|recent| &recent.phases);
        let lines = phases.map(|phase| {
            let mark = if phase.offers.iter().any(has) {
                '*'
            } else {
                ' '
            };
            let before = self.asked.began.saturating_duration_since(phase.began);
            let after = phase.began.saturating_duration_since(self.asked.began);
            let at = after.as_secs_f64() - before.as_secs_f64();
            let counts = if phase.counts { "" } else { " (does not last)" };
            format!("{mark} {at:8.3} s: {}{counts}\n", phase.shown.what)
        });
        lines.collect()
    }
}
