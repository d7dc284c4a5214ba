//! What happened: one [`Exchange`] record for each request in, one line of the access log out.
//!
//! Writing the log never delays a transfer: lines wait in a bounded queue and are counted,
//! not waited for, when whoever reads them does not keep up.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How many lines may wait.
const QUEUE: usize = 8192;
/// How long lines are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(10);
/// How long the end of the program waits for lines to be written.
const CLOSING: Duration = Duration::from_secs(1);

/// What a request is, known when its head has been read.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub path: String,
    /// Who asks.
    pub client: SocketAddr,
    /// What they ask with; empty if they do not say.
    pub user_agent: String,
}

/// One request and what came of it. Written to the log when it is dropped: when
/// the last byte of the answer has been sent, or when it is clear that it never will be.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    began: Instant,
    status: u16,
    /// Length of the body that was promised.
    promised: u64,
    sent: AtomicU64,
    log: AccessLog,
}

impl Exchange {
    /// The record of `request`, which began at `began` and is answered by `status` and a body of `promised` bytes.
    pub fn new(
        request: Request,
        began: Instant,
        status: u16,
        promised: u64,
        log: AccessLog,
    ) -> Self {
        Self {
            request,
            began,
            status,
            promised,
            sent: AtomicU64::new(0),
            log,
        }
    }

    /// Counts bytes of the body that were handed to the system.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn line(&self) -> String {
        let Request {
            method,
            path,
            client,
            user_agent,
        } = &self.request;
        let sent = self.sent.load(Ordering::Relaxed);
        let cut = if sent < self.promised {
            " cut short"
        } else {
            ""
        };
        let duration = self.began.elapsed().as_secs_f64() * 1000.0;
        let now = Timestamp::now();
        let mut line = format!("{now:.3} {client} \"");
        escape(&mut line, method);
        line.push(' ');
        escape(&mut line, path);
        let _ = write!(line, "\" {} {sent} B {duration:.1} ms{cut} \"", self.status);
        escape(&mut line, user_agent);
        line.push_str("\"\n");
        line
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.log.write(self.line());
    }
}

/// Foreign text must not drive a terminal, and must not end the line or the quotes it stands in.
fn escape(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() || matches!(character, '"' | '\\') {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
}

/// Where lines go; clones write to the same log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl AccessLog {
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
        (Self { queue, lost }, Writer { thread, ended })
    }

    fn write(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that writes; it ends when the last clone of its log is dropped.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

impl Writer {
    /// Waits a moment for the lines that are left. Whoever does not read them cannot stop the program from ending.
    pub fn close(self) {
        if self.ended.recv_timeout(CLOSING) != Err(RecvTimeoutError::Timeout) {
            let _ = self.thread.join();
        }
    }
}

fn write_lines(lines: &Receiver<String>, lost: &AtomicU64) {
    while let Ok(first) = lines.recv() {
        // One write for many lines: waking up for each costs more than answering a small request.
        std::thread::sleep(GATHERING);
        let mut batch = first;
        batch.extend(lines.try_iter().take(QUEUE));
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(batch, "{missing} lines of the access log were lost");
        }
        // Nobody is left to tell if standard error is gone.
        let _ = io::stderr().lock().write_all(batch.as_bytes());
    }
}
