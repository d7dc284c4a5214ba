//! How it is known what the server has seen: by an archive that is replaced again and again, and asked for until it is there.
//!
//! Two rounds are needed. A walk over the folder is not one moment: it may pass by a file before that changes, and by the
//! archive of the first round after that was replaced. Whatever has changed before the first round began is seen by every walk
//! that begins after the first round was served, and so by the first one that sees the archive of the second round. If it has
//! been the same from then on, it has come to rest when that has, and is served with it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{DockerArchive, Image, Layer, Naming};
use crate::server::Server;

/// The repository of the pulse.
pub(super) const REPOSITORY: &str = "acme/pulse";
/// Between two times that it is asked for.
const PAUSE: Duration = Duration::from_millis(50);
/// So many times it may be asked for in vain: a machine that is busy with other things takes longer for each. They are 40 seconds
/// at least. At most ten pass until the folder is looked at where the kernel tells no changes, four until it has settled
/// there, and sixteen while it waits for others.
const PATIENCE: usize = 800;

/// The archive.
pub(super) struct Pulse {
    file: PathBuf,
    rounds: usize,
    /// When the last round began.
    began: Instant,
    /// How long each round took.
    took: Vec<Duration>,
}

/// What is known after a round: all that was done before `covered` and has not changed until `now` is served.
#[derive(Clone, Copy)]
pub(super) struct Proof {
    pub(super) covered: Instant,
    pub(super) now: Instant,
}

impl Pulse {
    /// Puts the archive there.
    pub(super) fn new(folder: &Path) -> Self {
        let pulse = Self {
            file: folder.join("pulse.tar"),
            rounds: 0,
            began: Instant::now(),
            took: Vec::new(),
        };
        pulse.put();
        pulse
    }

    fn put(&self) {
        let unfinished = self.file.with_extension("part");
        fs::write(&unfinished, archive(self.rounds)).expect("a file");
        fs::rename(unfinished, &self.file).expect("a new name");
    }

    /// Waits until all that was there at the start is served.
    ///
    /// # Errors
    /// As those of a round.
    pub(super) fn wait(&self, server: &Server) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if self.is_served(server)? {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        Err(format!(
            "a change is not served after {:?}",
            self.began.elapsed()
        ))
    }

    /// One round, and what is known after it.
    ///
    /// # Errors
    /// If the archive is not served in time.
    pub(super) fn beat(&mut self, server: &Server) -> Result<Proof, String> {
        self.rounds += 1;
        let covered = std::mem::replace(&mut self.began, Instant::now());
        self.put();
        self.wait(server)?;
        let now = Instant::now();
        self.took.push(now - self.began);
        Ok(Proof { covered, now })
    }

    /// Whether all of it is there, also what had to be hashed first.
    fn is_served(&self, server: &Server) -> Result<bool, String> {
        let path = format!("/v2/{REPOSITORY}/tags/list");
        let answer = server.try_request("GET", &path, &[], b"");
        let answer = answer.map_err(|error| format!("the pulse gets no answer: {error}"))?;
        let json = answer.json();
        let has = |tag: String| {
            json["tags"]
                .as_array()
                .is_some_and(|tags| tags.contains(&tag.into()))
        };
        Ok(self.tags().into_iter().all(has))
    }

    fn tags(&self) -> [String; 2] {
        [
            format!("plain-{}", self.rounds),
            format!("gzip-{}", self.rounds),
        ]
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.took.iter().min(), self.took.iter().max());
        let times = self.took.len();
        write!(f, "{first:.1?} to {last:.1?} in {times} rounds")
    }
}

/// Two images, of which one is known only when its layer has been hashed.
fn archive(round: usize) -> Vec<u8> {
    let layer = |kind: &str| Layer::files(&[(kind, round.to_string().as_bytes())]);
    let archive = DockerArchive::new(Naming::Legacy);
    let images = [("plain", layer("plain")), ("gzip", layer("gzip").gzip())];
    let archive = images.into_iter().fold(archive, |archive, (kind, layer)| {
        let image = Image::new(&format!("{kind} {round}")).layers([layer]);
        archive.image(&image, Some(&[&format!("{REPOSITORY}:{kind}-{round}")]))
    });
    archive.tar()
}
