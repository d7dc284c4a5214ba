//! What the server takes: descriptors, threads and memory.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Idle threads end after ten seconds.
const LIMIT: Duration = Duration::from_secs(40);

/// What a process has at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// In KiB.
    pub(super) resident: usize,
}

impl Figures {
    pub(super) fn of(process: u32) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("a running process");
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse().ok())
                .expect("a number")
        };
        Self {
            descriptors: descriptors.count(),
            threads: number("Threads:"),
            resident: number("VmRSS:"),
        }
    }

    /// The figures of a process that has nothing to do: connections that have ended are gone a moment later.
    pub(super) fn at_rest(process: u32) -> Self {
        let mut last = Self::of(process);
        loop {
            thread::sleep(PAUSE);
            let now = Self::of(process);
            if now.held() == last.held() {
                return now;
            }
            last = now;
        }
    }

    /// Waits until the process has no more than it had, and gives what it has then.
    ///
    /// # Panics
    ///
    /// If it keeps more.
    pub(super) fn wait(&self, process: u32) -> Self {
        let deadline = Instant::now() + LIMIT;
        loop {
            let now = Self::of(process);
            if now.descriptors <= self.descriptors && now.threads <= self.threads {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "{now} at rest, and {self} before"
            );
            thread::sleep(PAUSE);
        }
    }

    /// What is to come back.
    fn held(&self) -> (usize, usize) {
        (self.descriptors, self.threads)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            descriptors,
            threads,
            resident,
        } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {resident} KiB"
        )
    }
}
