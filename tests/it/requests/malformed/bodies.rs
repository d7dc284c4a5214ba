//! Bodies, which no request here needs, and where they end: RFC 9112, sections 6 and 7. Where two readers disagree
//! about that, one of them takes a part of the body for a request.

use super::outcome::Outcome::{self, Answered, End, Last, Waits};
use super::outcome::{Case, check};
use super::*;

/// A request that must not be answered: it is a body, or stands behind a message whose end nobody knows.
const HIDDEN: &str = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n";

/// Headers, a body, and what a server may make of them.
type Framed = (&'static str, &'static str, &'static str, &'static [Outcome]);

/// Framed well, whatever is in it: `GET` has no use for a body, which is no reason to mistake it.
const WHOLE: &[Outcome] = &[Answered(200), Last(400)];
/// The end is unknown: 400, and the connection ends.
const UNKNOWN_END: &[Outcome] = &[Last(400)];
/// Chunks that are none: what was read before them may have been answered, and then the connection ends.
const BROKEN: &[Outcome] = &[Last(200), Last(400), End];
/// More has to come.
const UNFINISHED: &[Outcome] = &[Waits, End, Last(200), Last(400)];

/// In braces stand the request that is hidden, its length, and that in hexadecimal. What is answered by 200 here is by 405
/// where the method would write.
#[rustfmt::skip]
const FRAMED: &[Framed] = &[
    ("a length", "Content-Length: {length}", "{hidden}", WHOLE),
    ("a length of nothing", "Content-Length: 0", "", WHOLE),
    ("zeros before a length", "Content-Length: 00000000000{length}", "{hidden}", WHOLE),
    ("a length in capitals", "CONTENT-LENGTH: {length}", "{hidden}", WHOLE),
    ("a length, expected", "Content-Length: {length}\r\nExpect: 100-continue", "{hidden}", &[Answered(200), Answered(417), Last(200), Last(417)]),
    ("the same length twice", "Content-Length: {length}\r\nContent-Length: {length}", "{hidden}", WHOLE),
    ("the same length in a list", "Content-Length: {length}, {length}", "{hidden}", WHOLE),
    ("two lengths", "Content-Length: {length}\r\nContent-Length: 0", "{hidden}", UNKNOWN_END),
    ("two lengths, the other first", "Content-Length: 0\r\nContent-Length: {length}", "{hidden}", UNKNOWN_END),
    ("two lengths apart", "Content-Length: {length}\r\nX: y\r\nContent-Length: 3", "{hidden}", UNKNOWN_END),
    ("two lengths in a list", "Content-Length: {length}, 0", "{hidden}", UNKNOWN_END),
    ("a list that is empty", "Content-Length: ,", "{hidden}", UNKNOWN_END),
    ("a length and nothing", "Content-Length: {length},", "{hidden}", &[Answered(200), Last(400)]),
    ("no length", "Content-Length:", "{hidden}", UNKNOWN_END),
    ("a length with a sign", "Content-Length: +{length}", "{hidden}", UNKNOWN_END),
    ("a negative length", "Content-Length: -1", "{hidden}", UNKNOWN_END),
    ("a negative nothing", "Content-Length: -0", "{hidden}", UNKNOWN_END),
    ("a length in hexadecimal", "Content-Length: 0x{hex}", "{hidden}", UNKNOWN_END),
    ("a length with a fraction", "Content-Length: {length}.0", "{hidden}", UNKNOWN_END),
    ("a length with an exponent", "Content-Length: 1e1", "{hidden}", UNKNOWN_END),
    ("a length in quotes", "Content-Length: \"{length}\"", "{hidden}", UNKNOWN_END),
    ("a length with a blank in it", "Content-Length: 1 0", "{hidden}", UNKNOWN_END),
    ("a length with an underscore", "Content-Length: 1_0", "{hidden}", UNKNOWN_END),
    ("a length of letters", "Content-Length: x", "{hidden}", UNKNOWN_END),
    ("a length of other digits", "Content-Length: \u{663}", "{hidden}", UNKNOWN_END),
    ("a length of 2^64", "Content-Length: 18446744073709551616", "{hidden}", UNKNOWN_END),
    ("a length that is 2^64 too long", "Content-Length: 18446744073709551654", "{hidden}", UNKNOWN_END),
    ("a length of many digits", "Content-Length: 99999999999999999999999999999999999999", "{hidden}", UNKNOWN_END),
    ("a length of 2^63", "Content-Length: 9223372036854775808", "{hidden}", UNFINISHED),
    ("a length that is too long", "Content-Length: 100000", "{hidden}", UNFINISHED),
    ("chunks", "Transfer-Encoding: chunked", "{hex}\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    ("chunks in capitals", "TRANSFER-ENCODING: CHUNKED", "{hex}\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    ("chunks, expected", "Transfer-Encoding: chunked\r\nExpect: 100-continue", "{hex}\r\n{hidden}\r\n0\r\n\r\n", &[Answered(200), Answered(417), Last(200), Last(417)]),
    ("no chunk", "Transfer-Encoding: chunked", "0\r\n\r\n", WHOLE),
    ("many zeros for the last chunk", "Transfer-Encoding: chunked", "0000000\r\n\r\n", WHOLE),
    ("zeros before a size", "Transfer-Encoding: chunked", "0000{hex}\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    ("chunks of one byte", "Transfer-Encoding: chunked", "1\r\nG\r\n1\r\nE\r\n1\r\nT\r\n0\r\n\r\n", WHOLE),
    ("an extension", "Transfer-Encoding: chunked", "{hex};a=b\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    ("an extension in quotes", "Transfer-Encoding: chunked", "{hex};a=\"b;c\"\r\n{hidden}\r\n0;d\r\n\r\n", WHOLE),
    ("an extension behind blanks", "Transfer-Encoding: chunked", "{hex} ; a = b\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    ("blanks behind a size", "Transfer-Encoding: chunked", "{hex}  \r\n{hidden}\r\n0\r\n\r\n", &[Answered(200), Last(200), Last(400), End]),
    ("a trailer", "Transfer-Encoding: chunked\r\nTrailer: A", "{hex}\r\n{hidden}\r\n0\r\nA: b\r\n\r\n", WHOLE),
    ("a length as a trailer", "Transfer-Encoding: chunked", "0\r\nContent-Length: 5\r\n\r\n", WHOLE),
    ("a host as a trailer", "Transfer-Encoding: chunked", "0\r\nHost: y\r\nTransfer-Encoding: chunked\r\n\r\n", WHOLE),
    ("a list of chunks alone", "Transfer-Encoding: ,chunked,", "{hex}\r\n{hidden}\r\n0\r\n\r\n", &[Answered(200), Last(200), Last(400), Last(501)]),
    // Section 6.1: whoever says both may be hiding something; then the connection has to end.
    ("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 3", "0\r\n\r\n", &[Last(200), Last(400)]),
    ("a length and chunks", "Content-Length: {length}\r\nTransfer-Encoding: chunked", "0\r\n\r\n{hidden}", &[Last(200), Last(400)]),
    ("chunks and a length of nothing", "Transfer-Encoding: chunked\r\nContent-Length: 0", "{hex}\r\n{hidden}\r\n0\r\n\r\n", &[Last(200), Last(400)]),
    // Section 6.3: chunked has to be the last coding.
    ("another coding", "Transfer-Encoding: gzip", "{hidden}", &[Last(400), Last(501)]),
    ("none at all", "Transfer-Encoding: identity", "{hidden}", &[Last(400), Last(501)]),
    ("no name", "Transfer-Encoding:", "{hidden}", &[Last(400), Last(501)]),
    ("no name that is one", "Transfer-Encoding: xchunked", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("a longer name", "Transfer-Encoding: chunkedx", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("chunks that are packed", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("packed in chunks", "Transfer-Encoding: gzip, chunked", "{hex}\r\n{hidden}\r\n0\r\n\r\n", &[Answered(200), Last(200), Last(400), Last(501)]),
    ("chunks in chunks", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n", &[Last(400), Last(501), Answered(200), Last(200)]),
    ("chunks in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n", &[Last(400), Last(501), Answered(200), Last(200)]),
    ("chunks, and none in a second line", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("chunks in quotes", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("chunks with a parameter", "Transfer-Encoding: chunked;a=b", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("chunks behind a vertical tab", "Transfer-Encoding: \u{b}chunked", "0\r\n\r\n{hidden}", &[Last(400), Last(501)]),
    ("chunks behind a tab", "Transfer-Encoding:\tchunked", "{hex}\r\n{hidden}\r\n0\r\n\r\n", WHOLE),
    // Section 7.1: chunks that are none.
    ("no size", "Transfer-Encoding: chunked", "\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size of other letters", "Transfer-Encoding: chunked", "zz\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size with a sign", "Transfer-Encoding: chunked", "+{hex}\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a negative size", "Transfer-Encoding: chunked", "-1\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size with a prefix", "Transfer-Encoding: chunked", "0x{hex}\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size with an underscore", "Transfer-Encoding: chunked", "1_0\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size of 2^64", "Transfer-Encoding: chunked", "10000000000000000\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size of many digits", "Transfer-Encoding: chunked", "ffffffffffffffffffffffff\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a blank before the size", "Transfer-Encoding: chunked", " {hex}\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size that is too small", "Transfer-Encoding: chunked", "5\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("a size that is too large", "Transfer-Encoding: chunked", "2a\r\n{hidden}\r\n0\r\n\r\n", BROKEN),
    ("no end behind a chunk", "Transfer-Encoding: chunked", "3\r\nabc0\r\n\r\n", BROKEN),
    ("a line feed behind a chunk", "Transfer-Encoding: chunked", "3\r\nabc\n0\r\n\r\n", BROKEN),
    ("a line feed behind a size", "Transfer-Encoding: chunked", "3\nabc\r\n0\r\n\r\n", BROKEN),
    ("a line feed in an extension", "Transfer-Encoding: chunked", "3;a\nabc\r\n0\r\n\r\n", BROKEN),
    ("a bare CR behind a size", "Transfer-Encoding: chunked", "3\rxabc\r\n0\r\n\r\n", BROKEN),
    ("a NUL behind a size", "Transfer-Encoding: chunked", "3\0\r\nabc\r\n0\r\n\r\n", BROKEN),
    ("a word behind a size", "Transfer-Encoding: chunked", "3 abc\r\nabc\r\n0\r\n\r\n", BROKEN),
    ("no size, but an extension", "Transfer-Encoding: chunked", ";a=b\r\n\r\n", BROKEN),
    ("chunks without a last one", "Transfer-Encoding: chunked", "3\r\nabc\r\n", BROKEN),
    ("a trailer that is none", "Transfer-Encoding: chunked", "0\r\nno colon\r\n\r\n", BROKEN),
    ("a trailer without a name", "Transfer-Encoding: chunked", "0\r\n: x\r\n\r\n", BROKEN),
    ("a chunk that is too long", "Transfer-Encoding: chunked", "ffff\r\n{hidden}", UNFINISHED),
];

/// RFC 9110, section 9.3: a body means nothing to a request that reads, and no other is allowed here.
#[test]
fn framing() {
    let shelf = Shelf::new();
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("PUT", 405)] {
        let cases = FRAMED.iter().map(|(name, headers, body, allowed)| {
            let head = format!("{method} /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
            let allowed = allowed.iter().map(|outcome| answered_by(*outcome, status));
            (*name, fill(&(head + body)), allowed.collect())
        });
        check(&shelf, &cases.collect::<Vec<Case>>());
    }
}

/// The outcome where a good answer has this status.
fn answered_by(outcome: Outcome, status: u16) -> Outcome {
    match outcome {
        Answered(200) => Answered(status),
        Last(200) => Last(status),
        other => other,
    }
}

fn fill(text: &str) -> Vec<u8> {
    let length = HIDDEN.len();
    text.replace("{hidden}", HIDDEN)
        .replace("{length}", &length.to_string())
        .replace("{hex}", &format!("{length:x}"))
        .into_bytes()
}
