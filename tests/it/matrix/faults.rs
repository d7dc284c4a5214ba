//! What clients make of faults in the middle of a pull: a table of the page, with a row for each fault.

mod rows;
mod scene;

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rows::Row;
use scene::Scene;

use super::cell::last_words;
use super::client::{CLIENTS, Client, Daemon};
use super::session::{Pulled, Session};
use super::table::Table;
use super::{HERE, PAGE};
use crate::generated;
use crate::needs::skip;
use crate::proxy::Seen;

/// The marks of the table.
const FAULTS: &str = "faults";

/// All clients at once: they wait most of the time.
#[test]
fn faults() {
    let rows = rows::all();
    let columns: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = CLIENTS
            .iter()
            .map(|client| {
                let named =
                    thread::Builder::new().name(format!("matrix::faults of {}", client.name));
                let column = named.spawn_scoped(scope, || column(client, &rows));
                (client.name, column.expect("a thread"))
            })
            .collect();
        let ended = started.into_iter();
        ended
            .map(|(name, column)| {
                (
                    name,
                    column.join().unwrap_or_else(|_| panic!("{name} failed")),
                )
            })
            .collect()
    });
    generated::check_section(
        PAGE,
        FAULTS,
        |section| table(section, &rows, &columns),
        "matrix::faults",
    );
}

/// What a client makes of all faults; `None` if it is not the one that the page tells of.
fn column(client: &Client, rows: &[Row]) -> Option<Vec<Outcome>> {
    let session = Session::of(client.name)?;
    let known = Table::read(&generated::section(PAGE, HERE));
    let (known, version) = (known.version(client.name), session.version());
    if env::var_os("UPDATE").is_none() && known != Some(&version) {
        skip(&format!("{} {known:?} and not {version}", client.name));
        return None;
    }
    let more = (1..sessions(client)).filter_map(|_| Session::of(client.name));
    let sessions: Vec<_> = [session].into_iter().chain(more).collect();
    Some(shared_out(&sessions, rows))
}

/// How many of a client share the rows. Docker waits five seconds before it asks again, and longer each time.
fn sessions(client: &Client) -> usize {
    match client.daemon {
        Daemon::Docker { .. } => 4,
        Daemon::Containerd | Daemon::None => 1,
    }
}

/// What comes of all rows, in their order.
fn shared_out(sessions: &[Session], rows: &[Row]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = |session| {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = rows.get(number) else {
                return done;
            };
            done.push((number, outcome(session, row)));
        }
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = sessions
            .iter()
            .map(|session| scope.spawn(move || work(session)))
            .collect();
        let ended = started.into_iter();
        ended
            .flat_map(|own| own.join().expect("what is said above"))
            .collect()
    });
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Has a client pull while the fault happens.
fn outcome(session: &Session, row: &Row) -> Outcome {
    let scene = Scene::of(row);
    let pulled = session.pull(&scene.reference());
    assert_eq!(scene.proxy.spoiled() > 0, row.is_fault(), "{}", row.what);
    Outcome::of(&pulled, &scene)
}

/// What a client made of a fault.
#[derive(Debug)]
enum Outcome {
    /// It has the image, and noticed nothing.
    Fine,
    /// It has the image, and got what was missing.
    Resumed,
    /// It has the image, and asked for something from its beginning once more.
    AskedAgain,
    /// It gave up with these words.
    Failed(String),
}

impl Outcome {
    /// # Panics
    ///
    /// If the client believes that it has the image and has not.
    fn of(pulled: &Pulled, scene: &Scene) -> Self {
        if !pulled.success {
            return Self::Failed(words(&pulled.said));
        }
        assert_eq!(pulled.lacks(scene.image()), [""; 0], "{}", pulled.said);
        let seen = scene.proxy.seen();
        let again: Vec<_> = seen
            .iter()
            .enumerate()
            .filter(|(place, one)| is_repeated(one, &seen[..*place]))
            .map(|(_, one)| one)
            .collect();
        match again.last() {
            Some(last) if last.range.is_some() => Self::Resumed,
            Some(_) => Self::AskedAgain,
            None => Self::Fine,
        }
    }
}

/// Whether a client has asked for the same thing before.
fn is_repeated(one: &Seen, before: &[Seen]) -> bool {
    let is_same = |other: &&Seen| (&other.method, &other.path) == (&one.method, &one.path);
    one.path != "/v2/" && before.iter().any(|other| is_same(&other))
}

/// Why a client gave up, without what differs from pull to pull.
fn words(said: &str) -> String {
    let words = last_words(said);
    // Some show the document that the server sent.
    let message = words.split_once(r#""message":""#);
    let words = message.map_or(words, |(_, rest)| rest.split('"').next().unwrap_or(rest));
    let mut parts = words.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    let hex = |c: char| c.is_ascii_hexdigit();
    parts.fold(first, |words, part| {
        format!("{words}sha256:…{}", part.trim_start_matches(hex))
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("ok"),
            Self::Resumed => f.write_str("ok, resumed"),
            Self::AskedAgain => f.write_str("ok, asked again"),
            Self::Failed(words) => write!(f, "fails: {words}"),
        }
    }
}

/// The table, in which a client that was not asked keeps its column.
fn table(section: &str, rows: &[Row], columns: &[(&str, Option<Vec<Outcome>>)]) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let mut lines = vec![
        format!("| fault | {} |", names.join(" | ")),
        format!("|---{}|", "|---".repeat(names.len())),
    ];
    for (number, row) in rows.iter().enumerate() {
        let cells = columns.iter().map(|(name, column)| match column {
            Some(outcomes) => outcomes[number].to_string(),
            None => known(section, &row.what, name).to_owned(),
        });
        lines.push(format!(
            "| {} | {} |",
            row.what,
            cells.collect::<Vec<_>>().join(" | ")
        ));
    }
    lines.join("\n")
}

/// What the page says of a fault and a client.
fn known<'a>(section: &'a str, fault: &str, client: &str) -> &'a str {
    let mut lines = section.lines().map(|line| line.split('|').map(str::trim));
    let place = lines
        .next()
        .and_then(|mut head| head.position(|title| title == client));
    let mut row = lines.find(|row| row.clone().nth(1) == Some(fault));
    let cell = place
        .zip(row.as_mut())
        .and_then(|(place, row)| row.nth(place));
    cell.unwrap_or_default()
}
