//! The log: lines that wait in a bounded queue until a thread writes them.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many lines may wait.
const QUEUE: usize = 8192;
/// How long lines are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(10);
/// How long the end of the program waits for lines to be written.
const CLOSING: Duration = Duration::from_secs(1);

/// Where lines go; clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log {
    queue: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// A log that writes to standard error, and the thread that does it.
    pub fn to_stderr() -> (Self, Writer) {
        let (queue, lines) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let (done, ended) = sync_channel(1);
        let counter = Arc::clone(&lost);
        let thread = std::thread::spawn(move || {
            write_lines(&lines, &counter);
            let _ = done.send(());
        });
        (
            Self {
                queue: queue.clone(),
                lost,
            },
            Writer {
                queue,
                thread,
                ended,
            },
        )
    }

    /// Writes a line of talk among those of requests: nobody who serves may wait for whoever reads it.
    pub fn say(&self, text: &str) {
        self.write(format!("{text}\n"));
    }

    /// Writes a whole line, its end included.
    pub(super) fn write(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<String>,
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

/// What is written to the queue to end the thread: no line is empty.
const END: String = String::new();

impl Writer {
    /// Waits a moment for the lines that are left. Whoever does not read them cannot stop the program from ending.
    pub fn close(self) {
        let is_told = self.queue.try_send(END).is_ok();
        if is_told && self.ended.recv_timeout(CLOSING) != Err(RecvTimeoutError::Timeout) {
            let _ = self.thread.join();
        }
    }
}

fn write_lines(lines: &Receiver<String>, lost: &AtomicU64) {
    let mut is_ended = false;
    while !is_ended && let Ok(first) = lines.recv() {
        // One write for many lines: waking up for each costs more than answering a small request.
        if first != END {
            std::thread::sleep(GATHERING);
        }
        let mut batch = String::new();
        for line in std::iter::once(first).chain(lines.try_iter().take(QUEUE)) {
            is_ended |= line == END;
            batch.push_str(&line);
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(batch, "{missing} lines of the log were lost");
        }
        // Nobody is left to tell if standard error is gone.
        let _ = io::stderr().lock().write_all(batch.as_bytes());
    }
}
