//! What clients make of faults in the middle of a pull: a table of the page, with a row for each fault.

mod rows;
mod scene;

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rows::Row;
use scene::Scene;

use super::cell::last_words;
use super::client::{CLIENTS, Client, DOCKER_CONTAINERD, Daemon};
use super::session::{Pulled, Session};
use super::table::Table;
use super::{HERE, PAGE, TREES};
use crate::daemons::Home;
use crate::generated;
use crate::needs::{optional, skip};
use crate::proxy::Seen;

/// The marks of the table of the clients on this machine.
const FAULTS: &str = "faults";
/// The marks of the table of those in other systems.
const FAULTS_ELSEWHERE: &str = "faults of newer clients";

#[test]
fn clients() {
    let asked = CLIENTS.iter().map(|client| Asked { client, root: None });
    let (rows, asked): (_, Vec<_>) = (rows::all(), asked.collect());
    let columns = all_at_once(&asked, &rows);
    generated::check_section(
        PAGE,
        FAULTS,
        |section| table(section, &rows, &columns),
        "matrix::faults::clients",
    );
}

#[test]
fn newer_clients() {
    let Some(trees) = optional(TREES) else {
        return;
    };
    let (rows, mut columns) = (rows::all(), Vec::new());
    for root in env::split_paths(&trees) {
        let clients = CLIENTS.iter().chain([&DOCKER_CONTAINERD]);
        let asked: Vec<_> = clients
            .filter(|client| client.lies_in(&root))
            .map(|client| Asked {
                client,
                root: Some(&root),
            })
            .collect();
        columns.extend(all_at_once(&asked, &rows));
    }
    generated::check_section(
        PAGE,
        FAULTS_ELSEWHERE,
        |section| table(section, &rows, &columns),
        "matrix::faults::newer_clients",
    );
}

/// A client of this machine, or of another system.
struct Asked<'a> {
    client: &'static Client,
    root: Option<&'a Path>,
}

impl Asked<'_> {
    fn session(&self) -> Option<Session> {
        match self.root {
            None => Session::of(self.client.name),
            // It needs no mirror.
            Some(root) => Some(Session::start(
                self.client,
                Home::within(root),
                "localhost:1",
            )),
        }
    }

    /// What it makes of all faults.
    fn column(&self, rows: &[Row]) -> Column {
        let Some(session) = self.session() else {
            return self.unasked();
        };
        let (name, version) = (self.client.name, session.version());
        let known = Table::read(&generated::section(PAGE, HERE));
        let known = known.version(name).unwrap_or_default();
        let is_meant = self.root.is_some() || known == version || env::var_os("UPDATE").is_some();
        if !is_meant {
            skip(&format!("{name} {known} and not {version}"));
            return self.unasked();
        }
        let title = match self.root {
            None => name.to_owned(),
            Some(_) => format!("{name} {version}"),
        };
        let more = (1..sessions(self.client)).filter_map(|_| self.session());
        let sessions: Vec<_> = [session].into_iter().chain(more).collect();
        let section = generated::section(PAGE, self.section());
        let known_cells = rows
            .iter()
            .map(|row| told(&section, &row.what, &title).to_owned());
        let known_cells: Vec<_> = known_cells.collect();
        Column {
            outcomes: Some(shared_out(&sessions, rows, &known_cells)),
            title,
        }
    }

    /// The marks of the table that it belongs to.
    fn section(&self) -> &'static str {
        match self.root {
            None => FAULTS,
            Some(_) => FAULTS_ELSEWHERE,
        }
    }

    fn unasked(&self) -> Column {
        Column {
            title: self.client.name.to_owned(),
            outcomes: None,
        }
    }
}

/// A column of the table.
struct Column {
    title: String,
    /// What the client made of each fault; `None` where it is not here.
    outcomes: Option<Vec<Outcome>>,
}

/// Asks all clients at once: they wait most of the time.
fn all_at_once(asked: &[Asked<'_>], rows: &[Row]) -> Vec<Column> {
    thread::scope(|scope| {
        let started: Vec<_> = asked
            .iter()
            .map(|asked| {
                // What is skipped is told with the name of the thread.
                let name = format!("matrix::faults of {}", asked.client.name);
                let column = thread::Builder::new().name(name);
                let column = column.spawn_scoped(scope, || asked.column(rows));
                column.expect("a thread")
            })
            .collect();
        let ended = started.into_iter();
        ended
            .map(|column| column.join().expect("what is said above"))
            .collect()
    })
}

/// How many of a client share the rows. Docker's own downloads wait five seconds before a second try, and longer each time.
fn sessions(client: &Client) -> usize {
    match client.daemon {
        Daemon::Docker {
            containerd_store: false,
        } => 4,
        _ => 1,
    }
}

/// What comes of all rows, in their order, each beside what is `told` of it.
fn shared_out(sessions: &[Session], rows: &[Row], told: &[String]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = |session| {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = rows.get(number) else {
                return done;
            };
            done.push((number, steady(session, row, &told[number])));
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

/// What comes of a row, tried again where the page tells another outcome: some depend on the moment, and on a machine that
/// has much else to do the moment may be another. What has changed for good stays another.
fn steady(session: &Session, row: &Row, told: &str) -> Outcome {
    let mut made = outcome(session, row);
    for _ in 0..TRIES {
        if !told.is_empty() && made.to_string() != told {
            made = outcome(session, row);
        }
    }
    made
}

/// How often a row is tried again.
const TRIES: usize = 2;

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
    /// It has the image that took the place of the one that it began with.
    Replacement,
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
        if scene.was_replaced() && pulled.lacks(&scene::replacement()).is_empty() {
            return Self::Replacement;
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

/// What clients say when a connection ends. Which of these it is depends on the moment.
const LOST: [&str; 4] = [
    "EOF",
    "unexpected EOF",
    "connection refused",
    "connection reset by peer",
];

/// Why a client gave up, without what differs from pull to pull.
fn words(said: &str) -> String {
    let words = last_words(said);
    // Some have two reasons, and one of them in brackets.
    if LOST.contains(&words.trim_end_matches(')')) {
        return "connection lost".to_owned();
    }
    // Some show the document that the server sent.
    let message = words.split_once(r#""message":""#);
    let words = message.map_or(&*words, |(_, rest)| rest.split('"').next().unwrap_or(rest));
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
            Self::Replacement => f.write_str("ok, the other image"),
            Self::Failed(words) => write!(f, "fails: {words}"),
        }
    }
}

/// The table, in which a client that was not asked keeps its column.
fn table(section: &str, rows: &[Row], columns: &[Column]) -> String {
    let titles: Vec<_> = columns.iter().map(|column| &*column.title).collect();
    let mut lines = vec![
        format!("| fault | {} |", titles.join(" | ")),
        format!("|---{}|", "|---".repeat(titles.len())),
    ];
    for (number, row) in rows.iter().enumerate() {
        let cells = columns.iter().map(|column| match &column.outcomes {
            Some(outcomes) => outcomes[number].to_string(),
            None => told(section, &row.what, &column.title).to_owned(),
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
fn told<'a>(section: &'a str, fault: &str, client: &str) -> &'a str {
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let mut lines = lines.map(|line| line.split('|').map(str::trim));
    let place = lines
        .next()
        .and_then(|mut head| head.position(|title| title == client));
    let mut row = lines.find(|row| row.clone().nth(1) == Some(fault));
    let cell = place
        .zip(row.as_mut())
        .and_then(|(place, row)| row.nth(place));
    cell.unwrap_or_default()
}
