//! Sends what was recorded, byte for byte, and holds the answers against what the client relies on.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::recording::{Answer, Exchange, Line, Scenario};
use super::shelf::Shelf;
use crate::server::Response;

/// Which lines of the heads are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// All that the client sends.
    All,
    /// Only those that are marked to count.
    ThatCount,
}

/// Replays a scenario on as few connections as the client would need.
///
/// # Panics
///
/// If an answer is not what the client relies on.
pub(super) fn replay(shelf: &Shelf, scenario: &Scenario<'_>, lines: Lines) {
    let mut open = None;
    for exchange in &scenario.exchanges {
        if exchange.hello.is_empty() {
            let stream = open.take().unwrap_or_else(|| connect(shelf));
            open = ask(shelf, stream, exchange, lines);
        } else {
            greet(shelf, &exchange.hello);
        }
    }
    if let Some(stream) = open {
        // Bytes behind the last answer would be taken for the next one.
        let _ = stream.get_ref().shutdown(Shutdown::Write);
        assert_end(stream);
    }
}

fn connect(shelf: &Shelf) -> BufReader<TcpStream> {
    BufReader::new(shelf.server.connect().expect("a connection"))
}

/// A client that tries TLS first takes what is plainly HTTP as a reason to do without.
fn greet(shelf: &Shelf, hello: &[u8]) {
    let came = shelf.server.raw(hello);
    let text = String::from_utf8_lossy(&came);
    assert!(text.starts_with("HTTP/1.1 400 "), "{text:?}");
}

/// Sends one request and checks the answer; gives the connection if the client keeps it.
fn ask(
    shelf: &Shelf,
    mut stream: BufReader<TcpStream>,
    exchange: &Exchange<'_>,
    lines: Lines,
) -> Option<BufReader<TcpStream>> {
    let head = head(shelf, exchange, lines);
    let body = exchange.body.map_or(&[][..], |word| shelf.bytes(word));
    let message = [head.as_bytes(), body].concat();
    let method = head.split(' ').next().expect("a method");
    stream.get_mut().write_all(&message).expect("it is taken");
    let answer = Response::read(&mut stream, method)
        .unwrap_or_else(|error| panic!("{error}, asked\n{head}"));
    check(shelf, &exchange.answer, &answer)
        .unwrap_or_else(|wrong| panic!("{wrong}, asked\n{head}answered {answer:.500?}"));
    if head.contains("\r\nConnection: close\r\n") {
        assert_end(stream);
        return None;
    }
    Some(stream)
}

fn head(shelf: &Shelf, exchange: &Exchange<'_>, lines: Lines) -> String {
    let wanted = |line: &&Line<'_>| lines == Lines::All || line.counts;
    let sent = exchange.lines.iter().filter(wanted);
    let text = sent.fold(String::new(), |text, line| text + line.text + "\r\n");
    shelf.fill(&text) + "\r\n"
}

fn assert_end(mut stream: BufReader<TcpStream>) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
    assert!(rest.is_empty(), "more came: {:?}", rest.escape_ascii());
}

fn check(shelf: &Shelf, expected: &Answer<'_>, answer: &Response) -> Result<(), String> {
    same("status", expected.status, &answer.status.to_string())?;
    for (name, value) in &expected.headers {
        same(name, &shelf.fill(value), &only(answer, name)?)?;
    }
    // No client unpacks or follows for the sake of a blob's digest without trouble somewhere.
    for name in ["content-encoding", "location"] {
        if let Some(value) = answer.header(name) {
            return Err(format!("there is a {name}: {value}"));
        }
    }
    if let Some(content) = expected.content {
        check_content(shelf, content, answer)?;
    }
    expected
        .error
        .map_or(Ok(()), |code| check_error(code, answer))
}

/// The value of a header that may be there only once.
fn only(answer: &Response, name: &str) -> Result<String, String> {
    let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
    let mut values = answer.headers.iter().filter(named);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value.clone()),
        (None, _) => Err(format!("there is no {name}")),
        _ => Err(format!("there are several {name}")),
    }
}

/// Content is told as JSON, or by the word for its bytes and maybe where they begin.
fn check_content(shelf: &Shelf, expected: &str, answer: &Response) -> Result<(), String> {
    if expected.starts_with('{') {
        let wanted: Value = serde_json::from_str(&shelf.fill(expected)).expect("JSON");
        return same("JSON", &wanted.to_string(), &answer.json().to_string());
    }
    let (word, from) = expected.split_once(' ').unwrap_or((expected, "0.."));
    let from = from.trim_end_matches("..").parse().expect("a number");
    if answer.body == shelf.bytes(word)[from..] {
        Ok(())
    } else {
        Err(format!("these {} bytes are not those", answer.body.len()))
    }
}

/// Clients print code and message, and some fail over anything else than JSON.
fn check_error(code: &str, answer: &Response) -> Result<(), String> {
    same(
        "Content-Type",
        "application/json",
        &only(answer, "content-type")?,
    )?;
    let error = &answer.json()["errors"][0];
    same("code", code, error["code"].as_str().unwrap_or_default())?;
    let message = error["message"].as_str().unwrap_or_default();
    if message.is_empty() {
        return Err("there is no message".to_owned());
    }
    Ok(())
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what} is `{found}` and should be `{expected}`"))
}
