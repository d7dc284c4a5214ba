//! A folder that changes, a server of it under load, and a model that knows for every moment which answers are right.
//!
//! What happens to the folder follows from a seed: files are written at once and in pieces, uploaded under another name,
//! replaced, cut off, appended to, overwritten in place, touched, made unreadable, removed, moved, exchanged; folders of them
//! are renamed, swapped and removed; a link is led elsewhere; a layout that is a folder is changed file by file. Meanwhile clients
//! pull, fast and slowly, some of them leaving early. Every answer is judged, and every byte compared.
//!
//! # Which answers are right
//!
//! The folder has *places*: whatever belongs together and moves together. What the folder is to a registry is what its places
//! *offer*, wherever they lie, so that whatever is moved, and whatever changes places with another, offers the same as before.
//! Each change begins a *phase* of its place. A phase ends for the model, with all before it, when the next one is *proved* to be
//! served (`pulse.rs`): then nothing of it may be served any more. No clock decides that, so a busy machine makes the model
//! lenient, and never wrong. Of the phases that are left those count that lasted as long as a file has to stay the same until
//! it is read; what lasts for less is never served. What is removed counts at once.
//!
//! - **What is there**: places come to rest one by one, so a manifest, a list or a blob is right if *some combination* of phases that
//!   count makes it, one of each place. Several archives that are swapped at once are one place, of which no half is served.
//! - **What is not there** is judged more strictly. The folder never was such a combination; it had one *state* after the other. So 404, or
//!   a tag that a list lacks, is right only if one of these states lacked it. Whoever copies an archive to another place and removes
//!   the first one has it served all the time.
//! - **Later** (429) is right only if what is asked for may be somewhere where something happens, or that nobody may read, and is nowhere
//!   where nothing happens.
//! - **Bytes** are those of the digest, whatever happens. The one exception is in the product's promise: a range that is not all of a layer
//!   may be what lies there under the digest of that layer, where some bytes of it have been overwritten with others.
//! - **An answer that is cut short** is right only for a blob that lies where something was written to, replaced or removed since it was
//!   proved, or is damaged. To move a file is no reason.
//!
//! Three things are not promised, and so are allowed:
//!
//! - What is moved *and* written to before either is served may be gone until it has come to rest: in its new place a file is known
//!   only as long as it is as it was.
//! - An archive whose layers have to be hashed first may be with them or without, until it is proved.
//! - What becomes unreadable before it is proved may or may not have been read.
//!
//! In the end everything is made whole, and a fresh process must list what is served; the server must then have no more
//! descriptors and threads than before the load, and hardly more memory than after a third of it.

mod client;
mod end;
mod figures;
mod folder;
mod history;
mod judge;
mod plot;
mod pool;
mod pulse;
mod random;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Manner};
use figures::Figures;
use folder::Folder;
use history::History;
use judge::{Asked, Held, Judge};
use plot::Plot;
use pool::Pool;
use pulse::Pulse;

use crate::needs::say;
use crate::server::{Server, Setup, binary};

/// How long it runs where nobody says otherwise.
const USUAL: Duration = Duration::from_secs(45);
/// The variable that says for how many minutes.
const MINUTES: &str = "PACKAGEORIGIN_TEST_MODEL_MINUTES";
/// The variable that says what happens.
const SEED: &str = "PACKAGEORIGIN_TEST_SEED";
/// What happens where nobody says otherwise.
const USUAL_SEED: u64 = 1;

/// How long a file stays the same before it counts, where changes are told; elsewhere it is longer.
const SETTLE: Duration = Duration::from_secs(1);
/// Something may happen to each place so often.
const TICK: Duration = Duration::from_millis(250);
/// Between two requests of one client, so that other tests have their share of the machine.
const THINKING: Duration = Duration::from_millis(8);
/// Who may not read what nobody may read, unlike root.
const NOBODY: u32 = 65534;
/// So many wrong answers are told.
const TOLD: usize = 3;
/// By so much the memory may grow after a third of the time, in KiB. Measured were 8,000: allocators keep what threads that have
/// come and gone have used. Even the shortest run has 4,000 requests in that time, so that 4 KiB lost by each are noticed.
const GROWTH: usize = 16 << 10;

const QUICK: Manner = Manner {
    is_slow: false,
    is_fickle: false,
    is_wasteful: false,
};
const CLIENTS: [Manner; 5] = [
    QUICK,
    Manner {
        is_fickle: true,
        ..QUICK
    },
    Manner {
        is_wasteful: true,
        ..QUICK
    },
    Manner {
        is_slow: true,
        ..QUICK
    },
    Manner {
        is_slow: true,
        is_fickle: true,
        is_wasteful: true,
    },
];

#[test]
fn every_answer_is_right_for_some_state_of_the_folder() {
    let seed = number(SEED).unwrap_or(USUAL_SEED);
    let time = number(MINUTES).map_or(USUAL, |minutes| Duration::from_secs(60 * minutes));
    let base = tempfile::tempdir().expect("a folder");
    fs::set_permissions(base.path(), Permissions::from_mode(0o755)).expect("other rights");
    let mut scene = Scene::new(base.path());
    let before = Figures::at_rest(scene.server.pid());
    let record = Record::default();
    let resident = scene.run(seed, time, &record);
    record.check(seed, &scene.history);
    scene.come_to_rest();
    end::check(&scene.server, scene.folder.root());
    let after = before.wait(scene.server.pid());
    let changes = lock(&scene.history).changes();
    say(&format!(
        "model: seed {seed}, {changes} changes, {}",
        lock(&record.counts)
    ));
    say(&format!("model: served after {}", scene.pulse));
    say(&format!("model: {before} before, {after} after"));
    check_growth(&resident);
}

/// The number that a variable holds.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder, and the server.
struct Scene {
    pool: Arc<Pool>,
    folder: Folder,
    pulse: Pulse,
    server: Server,
    history: Arc<Mutex<History>>,
}

impl Scene {
    /// The history begins when all that is there is served.
    fn new(base: &Path) -> Self {
        let pool = Arc::new(Pool::new());
        let folder = Folder::new(base, &pool);
        let pulse = Pulse::new(folder.root());
        let server = start(base, folder.root());
        pulse.wait(&server).expect("all that is there");
        let history = folder.history();
        *lock(&history) = History::new(SETTLE, folder.shown());
        Self {
            pool,
            folder,
            pulse,
            server,
            history,
        }
    }

    /// Changes and load. Gives how much memory the server had, second by second.
    fn run(&mut self, seed: u64, time: Duration, record: &Record) -> Vec<usize> {
        let Self {
            pool,
            folder,
            pulse,
            server,
            history,
        } = self;
        let (pool, server, history) = (&**pool, &*server, &**history);
        let end = Instant::now() + time;
        let mut resident = Vec::new();
        thread::scope(|scope| {
            let mut plot = Plot::new(seed, pool);
            scope.spawn(move || record.until_over(TICK, || plot.go_on(folder)));
            scope.spawn(move || record.until_over(TICK, || beat(pulse, server, history, record)));
            for (number, manner) in (1..).zip(CLIENTS) {
                let seed = seed.wrapping_add(number);
                let mut client = Client::new(pool, server.addr(), manner, seed);
                scope.spawn(move || {
                    record.until_over(THINKING, || pull(&mut client, pool, history, record));
                });
            }
            while Instant::now() < end && !record.is_over() {
                thread::sleep(Duration::from_secs(1));
                resident.push(Figures::of(server.pid()).resident);
            }
            record.is_over.store(true, Ordering::Relaxed);
        });
        resident
    }

    /// Everything becomes whole, and is served.
    fn come_to_rest(&mut self) {
        self.folder.heal();
        while !lock(&self.history).is_all_proved() {
            let proof = self.pulse.beat(&self.server).expect("what has changed");
            lock(&self.history).prove(proof);
        }
    }
}

/// The server, as somebody who may not read everything.
fn start(base: &Path, packages: &Path) -> Server {
    let setup = Setup::new().arg("--packages").arg(packages);
    if !rustix::process::geteuid().is_root() {
        return setup.start();
    }
    // Where it has been built others may not look.
    let program: PathBuf = base.join("packageorigin");
    fs::copy(binary(), &program).expect("a copy of the program");
    setup.program(program).user(NOBODY).start()
}

/// One round of the pulse, if there is anything to be proved.
fn beat(pulse: &mut Pulse, server: &Server, history: &Mutex<History>, record: &Record) {
    if lock(history).is_all_proved() {
        return;
    }
    match pulse.beat(server) {
        Ok(proof) => lock(history).prove(proof),
        Err(wrong) => record.wrong(wrong),
    }
}

/// One request.
fn pull(client: &mut Client<'_>, pool: &Pool, history: &Mutex<History>, record: &Record) {
    if let Some(asked) = client.ask() {
        judge(&asked, pool, &lock(history), record);
        client.follow(&asked);
    }
}

fn judge(asked: &Asked, pool: &Pool, history: &History, record: &Record) {
    let window = history.window(asked.began, asked.decided());
    let judge = Judge::new(pool, &window, asked);
    match judge.judge() {
        Ok(held) => lock(&record.counts).add(asked, held),
        Err(wrong) => record.wrong(format!(
            "{wrong}\n{}\n{}The last changes:\n{}",
            asked.told(pool),
            judge.circumstances(),
            history.latest(20),
        )),
    }
}

/// # Panics
///
/// If the memory has grown too much.
fn check_growth(resident: &[usize]) {
    let (warm, end) = (resident[resident.len() / 3], resident[resident.len() - 1]);
    say(&format!(
        "model: {warm} KiB after a third of the time, {end} KiB at the end"
    ));
    assert!(end <= warm + GROWTH, "{resident:?}");
}

/// What has been found out.
#[derive(Default)]
struct Record {
    is_over: AtomicBool,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<Counts>,
}

impl Record {
    /// Does `work` again and again, with pauses.
    fn until_over(&self, pause: Duration, mut work: impl FnMut()) {
        while !self.is_over() {
            work();
            thread::sleep(pause);
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn wrong(&self, what: String) {
        let mut wrong = lock(&self.wrong);
        wrong.push(what);
        if wrong.len() >= TOLD {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    /// # Panics
    ///
    /// If any answer was wrong, or none was tested.
    fn check(&self, seed: u64, history: &Mutex<History>) {
        let wrong = lock(&self.wrong);
        assert!(
            wrong.is_empty(),
            "seed {seed}:\n{}\nThe last changes:\n{}",
            wrong.join("\n"),
            lock(history).latest(40)
        );
        assert!(lock(&self.counts).strict > 0, "nothing was asked");
    }
}

/// How many answers there were.
#[derive(Default)]
struct Counts {
    all: usize,
    /// Those that could have been no others.
    strict: usize,
    /// By status; 0 is an answer that was cut short.
    by_status: BTreeMap<u16, usize>,
}

impl Counts {
    fn add(&mut self, asked: &Asked, held: Held) {
        let status = asked.answer.as_ref().map_or(0, |answer| answer.status);
        *self.by_status.entry(status).or_default() += 1;
        self.all += 1;
        self.strict += usize::from(held == Held::Strictly);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            all,
            strict,
            by_status,
        } = self;
        write!(
            f,
            "{all} answers {by_status:?}, {strict} of which could have been no others"
        )
    }
}
