//! What may come back on a connection, and what did: an unusual message is sent, and behind it a request that must not
//! be mistaken for a part of it, nor a part of the message for a request.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::{Node as _, Response, SOON, Shelf};

/// The request behind every message.
const NEXT: &[u8] =
    b"GET /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n";
/// A server that says nothing for so long waits for the rest of the message.
const QUIET: Duration = Duration::from_millis(300);

/// What a server may make of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer with this status, after which the next request is answered or the connection ends.
    Answered(u16),
    /// An answer with this status, and the end of the connection.
    Last(u16),
    /// No answer, and the end.
    End,
    /// The message wants more bytes: the next request is a part of it.
    Waits,
}

/// A name, the bytes of a message, and what a server may make of it.
pub(super) type Case = (&'static str, Vec<u8>, Vec<Outcome>);

/// Sends each message on a connection of its own.
///
/// # Panics
///
/// With all messages that were taken for something else.
pub(super) fn check(shelf: &Shelf, cases: &[Case]) {
    let wrong = cases.iter().filter_map(|(name, message, allowed)| {
        let made = outcomes(shelf, message, allowed.contains(&Outcome::Waits));
        let wrong = match made {
            Ok(made) if made.iter().any(|outcome| allowed.contains(outcome)) => return None,
            Ok(made) => format!("{made:?} is none of {allowed:?}"),
            Err(error) => error,
        };
        Some(format!("{name}: {wrong}\n    {}", message.escape_ascii()))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    shelf.check_alive();
}

/// What the server made of a message: all that what came can be called.
///
/// # Errors
///
/// If what came is no sequence of whole answers, or there is one more than there may be, or not the right one.
fn outcomes(shelf: &Shelf, message: &[u8], may_wait: bool) -> Result<Vec<Outcome>, String> {
    let came = exchange(shelf, message, may_wait)?;
    let answers = answers(&came, &method(message))?;
    let mut made = match answers.as_slice() {
        [] => vec![Outcome::End],
        [only] => vec![Outcome::Answered(only.status), Outcome::Last(only.status)],
        [first, next] if is_answer_to_next(shelf, next) => vec![Outcome::Answered(first.status)],
        _ => return Err(format!("came {}", came.escape_ascii())),
    };
    if may_wait && answers.is_empty() {
        made.push(Outcome::Waits);
    }
    Ok(made)
}

/// Whether it is the answer to the request behind the message, in every byte that counts.
pub(super) fn is_answer_to_next(shelf: &Shelf, answer: &Response) -> bool {
    let digest = shelf.image.digest();
    answer.status == 200
        && answer.body == shelf.image.manifest().bytes
        && answer.header("docker-content-digest") == Some(digest.as_str())
}

/// The method that a server must have read if it read one.
pub(super) fn method(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let word = text.split_whitespace().next().unwrap_or_default();
    word.to_owned()
}

/// All bytes that come back until the end of the connection.
///
/// # Errors
///
/// If it does not end.
pub(super) fn exchange(shelf: &Shelf, message: &[u8], may_wait: bool) -> Result<Vec<u8>, String> {
    let mut stream = shelf.connect().map_err(|error| error.to_string())?;
    let bytes = [message, NEXT].concat();
    // A server that has refused the beginning may be gone before the end is written.
    let _ = stream.write_all(&bytes);
    let patience = if may_wait { QUIET } else { SOON };
    let deadline = Instant::now() + SOON;
    stream.set_read_timeout(Some(patience)).expect("a duration");
    let mut came = Vec::new();
    loop {
        match stream.read_to_end(&mut came) {
            Err(error) if is_silence(&error) && may_wait && Instant::now() < deadline => {
                let _ = stream.shutdown(Shutdown::Write);
            }
            Err(error) if is_silence(&error) => {
                return Err(format!("no end after {}", came.escape_ascii()));
            }
            // What came before a reset was sent before it.
            Ok(_) | Err(_) => return Ok(came),
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The answers in what came: the first to a message of `method`, all others to GET. Interim ones are no answers.
///
/// # Errors
///
/// If there is anything else between or behind them.
pub(super) fn answers(mut came: &[u8], method: &str) -> Result<Vec<Response>, String> {
    let all = came;
    let mut answers = Vec::new();
    while !came.is_empty() {
        let asked = if answers.is_empty() { method } else { "GET" };
        let answer = Response::read(&mut came, asked)
            .map_err(|error| format!("{error}: {}", all.escape_ascii()))?;
        if answer.status >= 200 {
            answers.push(answer);
        }
    }
    Ok(answers)
}
