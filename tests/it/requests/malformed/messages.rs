//! Whole messages: of the version before, cut short, of other protocols, with what stands before a first line.

use super::outcome::Outcome::{self, Answered, End, Last};
use super::outcome::{Case, check};
use super::*;

/// A message, and what may be made of it.
type Message = (&'static str, &'static [u8], &'static [Outcome]);

const FINE: &[Outcome] = &[Answered(200)];
/// Answered, and then the connection has to end.
const LAST: &[Outcome] = &[Last(200)];
const REFUSED: &[Outcome] = &[Last(400)];
const EITHER: &[Outcome] = &[Answered(200), Last(400)];
/// No valid host.
const BAD_HOST: &[Outcome] = &[Answered(400), Last(400)];

/// RFC 9112, section 2.2: at least one empty line before a request is nothing.
#[rustfmt::skip]
const BEGINNINGS: &[Message] = &[
    ("an empty line", b"\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", FINE),
    ("many empty lines", b"\r\n\r\n\r\n\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", EITHER),
    ("a line feed", b"\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", EITHER),
    ("a bare CR", b"\rGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", EITHER),
    ("a line of a blank", b" \r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", REFUSED),
    ("a NUL", b"\0GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", REFUSED),
    ("a folded line behind the first", b"GET /v2/ HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", EITHER),
    ("a blank behind the first", b"GET /v2/ HTTP/1.1\r\n \r\nHost: x\r\n\r\n", EITHER),
    ("a host that is folded away", b"GET /v2/ HTTP/1.1\r\n Host: y\r\nHost: x\r\n\r\n", EITHER),
    ("no headers", b"GET /v2/ HTTP/1.1\r\n\r\n", BAD_HOST),
    ("no headers for HEAD", b"HEAD /v2/ HTTP/1.1\r\n\r\n", BAD_HOST),
    ("the address that a load balancer tells", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", REFUSED),
    ("the same in binary", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", REFUSED),
    // Clients go on without TLS if the answer to its hello is HTTP.
    ("a hello of TLS", b"\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03randomrandomrandomrandomrandom\x20", REFUSED),
    ("an old hello of TLS", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", REFUSED),
    ("a hello of SOCKS", b"\x05\x01\x00", REFUSED),
    ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &[Last(400), Last(505), End]),
    ("Redis", b"*1\r\n$4\r\nPING\r\n", REFUSED),
    ("mail", b"EHLO x\r\n", REFUSED),
];

/// RFC 9112, section 9.3: what the version before keeps open, and what it does not know.
#[rustfmt::skip]
const HTTP_1_0: &[Message] = &[
    ("no host", b"GET /v2/ HTTP/1.0\r\n\r\n", LAST),
    ("a host", b"GET /v2/ HTTP/1.0\r\nHost: x\r\n\r\n", LAST),
    ("two hosts", b"GET /v2/ HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", REFUSED),
    ("no host that is one", b"GET /v2/ HTTP/1.0\r\nHost: x y\r\n\r\n", REFUSED),
    ("HEAD", b"HEAD /v2/ HTTP/1.0\r\n\r\n", LAST),
    ("a URL", b"GET http://x/v2/ HTTP/1.0\r\n\r\n", LAST),
    ("POST", b"POST /v2/ HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", &[Last(405)]),
    ("keep-alive", b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[Answered(200), Last(200)]),
    ("keep-alive in capitals", b"GET /v2/ HTTP/1.0\r\nConnection: KEEP-ALIVE\r\n\r\n", &[Answered(200), Last(200)]),
    ("keep-alive and close", b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", LAST),
    ("close and keep-alive", b"GET /v2/ HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", LAST),
    ("close", b"GET /v2/ HTTP/1.0\r\nConnection: close\r\n\r\n", LAST),
    ("keep-alive with a body", b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", &[Answered(200), Last(200)]),
    // RFC 9110, section 10.1.1: to be ignored.
    ("an expectation", b"GET /v2/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", LAST),
    ("an upgrade", b"GET /v2/ HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", LAST),
    // Section 6.1: it has no chunks, so that nobody knows where such a message ends.
    ("chunks", b"POST /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[Last(405), Last(400), Last(501)]),
    ("chunks and keep-alive", b"POST /v2/ HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[Last(405), Last(400), Last(501)]),
    ("chunks of one that reads", b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[Last(200), Last(400), Last(501)]),
];

/// The next request is read as the rest of these.
#[rustfmt::skip]
const CUT: &[Message] = &[
    ("nothing", b"", FINE),
    ("a method", b"GET", &[Last(405), Last(501)]),
    ("a method and a blank", b"GET ", REFUSED),
    ("a target", b"GET /v2/", REFUSED),
    ("a target and a blank", b"GET /v2/ ", REFUSED),
    ("half a version", b"GET /v2/ HTTP/1.", REFUSED),
    ("a version", b"GET /v2/ HTTP/1.1", REFUSED),
    ("a version and half an end", b"GET /v2/ HTTP/1.1\r", REFUSED),
    ("a first line", b"GET /v2/ HTTP/1.1\r\n", REFUSED),
    ("half a name", b"GET /v2/ HTTP/1.1\r\nHo", REFUSED),
    ("a name", b"GET /v2/ HTTP/1.1\r\nHost:", REFUSED),
    ("a host", b"GET /v2/ HTTP/1.1\r\nHost: x", REFUSED),
    ("a host and half an end", b"GET /v2/ HTTP/1.1\r\nHost: x\r", REFUSED),
    ("a host and an end", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n", REFUSED),
    ("an end of the head but for a byte", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r", REFUSED),
    ("a value, which may be anything", b"GET /v2/ HTTP/1.1\r\nX: y", LAST),
];

#[test]
fn beginnings() {
    check(&Shelf::new(), &cases(BEGINNINGS));
}

#[test]
fn http_1_0() {
    check(&Shelf::new(), &cases(HTTP_1_0));
}

#[test]
fn cut_short() {
    check(&Shelf::new(), &cases(CUT));
}

fn cases(messages: &[Message]) -> Vec<Case> {
    let cases = messages.iter();
    cases
        .map(|(name, message, allowed)| (*name, message.to_vec(), allowed.to_vec()))
        .collect()
}
