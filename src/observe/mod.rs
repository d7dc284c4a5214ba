//! What happened: one [`Exchange`] record for each request in; a line of the log and the remembered [`Misses`] out.
//!
//! Writing the log never delays a transfer: lines wait in a bounded queue and are counted,
//! not waited for, when whoever reads them does not keep up.

mod log;
mod misses;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;

pub use log::{Log, Writer};
pub use misses::{Miss, Misses};

/// Who is told of all requests; clones tell the same.
#[derive(Clone, Debug)]
pub struct Observer {
    log: Log,
    misses: Arc<Misses>,
}

impl Observer {
    /// Lets `log` tell of each request.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            misses: Arc::default(),
        }
    }

    /// What was asked for and not found.
    pub fn misses(&self) -> &Misses {
        &self.misses
    }
}

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
    /// The name of what is not here.
    missed: OnceLock<String>,
    observer: Observer,
}

impl Exchange {
    /// The record of `request`, which begins now.
    pub fn new(request: Request, observer: Observer) -> Self {
        Self {
            request,
            began: Instant::now(),
            status: AtomicU16::new(0),
            promised: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            missed: OnceLock::new(),
            observer,
        }
    }

    /// Notes that the answer is `status` and a body of `promised` bytes.
    pub fn answered(&self, status: u16, promised: u64) {
        self.status.store(status, Ordering::Relaxed);
        self.promised.store(promised, Ordering::Relaxed);
    }

    /// Notes that what was asked for is not here: its name, as people write it.
    pub fn missed(&self, name: String) {
        let _ = self.missed.set(name);
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
        let Observer { log, misses } = &self.observer;
        log.write(self.line());
        if let Some(name) = self.missed.take() {
            let Request {
                client, user_agent, ..
            } = &self.request;
            if let Some(miss) = misses.note(&name, client.ip(), user_agent, Timestamp::now()) {
                log.say(&format!("Not here: {miss}"));
            }
        }
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
