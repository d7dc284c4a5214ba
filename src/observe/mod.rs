//! What happened: one [`Exchange`] record for each request in, one line of the log out.
//!
//! Writing the log never delays a transfer: lines wait in a bounded queue and are counted,
//! not waited for, when whoever reads them does not keep up.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
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
    /// Zero as long as nothing was answered.
    status: AtomicU16,
    /// Length of the body that was promised.
    promised: AtomicU64,
    sent: AtomicU64,
    log: Log,
}

impl Exchange {
    /// The record of `request`, which begins now.
    pub fn new(request: Request, log: Log) -> Self {
        Self {
            request,
            began: Instant::now(),
            status: AtomicU16::new(0),
            promised: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            log,
        }
    }

    /// Notes that the answer is `status` and a body of `promised` bytes.
    pub fn answered(&self, status: u16, promised: u64) {
        self.status.store(status, Ordering::Relaxed);
        self.promised.store(promised, Ordering::Relaxed);
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
        let (status, sent) = (
            self.status.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
        );
        let is_cut = status == 0 || sent < self.promised.load(Ordering::Relaxed);
        let cut = if is_cut { " cut short" } else { "" };
        let duration = self.began.elapsed().as_secs_f64() * 1000.0;
        let now = Timestamp::now();
        let mut line = format!("{now:.3} {client} \"");
        escape(&mut line, method);
        line.push(' ');
        escape(&mut line, path);
        let _ = write!(line, "\" {status} {sent} B {duration:.1} ms{cut} \"");
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

/// Of a foreign text at most so much is logged: lines wait in memory.
const MAX_TEXT: usize = 1024;

/// Foreign text must not drive a terminal, and must not end the line or the quotes it stands in.
fn escape(line: &mut String, text: &str) {
    for character in text.chars().take(MAX_TEXT) {
        let is_plain =
            character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric();
        if is_plain && !matches!(character, '"' | '\\') {
            line.push(character);
        } else {
            let _ = write!(line, "{}", character.escape_default());
        }
    }
    if text.chars().nth(MAX_TEXT).is_some() {
        line.push('…');
    }
}

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

    fn write(&self, line: String) {
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
