//! First lines and lines of headers, most of which no client sends, and what RFC 9110 and RFC 9112 allow a server to
//! make of each.

use super::outcome::Outcome::{self, Answered, End, Last};
use super::outcome::{Case, check};
use super::*;

/// Understood: there is nothing wrong with it.
const FINE: &[Outcome] = &[Answered(200)];
/// Refused as malformed; the RFC would have the connection end, and so it does.
const REFUSED: &[Outcome] = &[Last(400)];
/// The RFC leaves it to the server.
const EITHER: &[Outcome] = &[Answered(200), Last(400)];
/// Nothing is there, or it is refused.
const NOWHERE: &[Outcome] = &[Answered(404), Answered(400), Last(400)];
/// A path that must not lead anywhere.
const NOT_FOUND: &[Outcome] = &[Answered(404)];
/// A method that is known and not allowed, or not known.
const NO_METHOD: &[Outcome] = &[Answered(405), Answered(501)];
/// The same, or no target for it.
const NO_TUNNEL: &[Outcome] = &[Answered(405), Answered(501), Answered(400), Last(400)];
/// What is not one valid host is 400; whether the connection ends is left to the server.
const BAD_HOST: &[Outcome] = &[Answered(400), Last(400)];
/// No range: ignored, or refused.
const NO_RANGE: &[Outcome] = &[Answered(200), Answered(416), Answered(400)];
/// A version that is not spoken.
const NO_VERSION: &[Outcome] = &[Last(400), Last(505)];

/// The first line, and what may be made of it.
type Line = (&'static str, &'static [u8], &'static [Outcome]);

/// RFC 9112, sections 2.3 and 3: method, target and version. Words may be parted leniently.
#[rustfmt::skip]
const REQUEST_LINES: &[Line] = &[
    ("as it should be", b"GET /v2/ HTTP/1.1", FINE),
    ("two blanks", b"GET  /v2/ HTTP/1.1", EITHER),
    ("two blanks before the version", b"GET /v2/  HTTP/1.1", EITHER),
    ("a blank first", b" GET /v2/ HTTP/1.1", EITHER),
    ("a blank last", b"GET /v2/ HTTP/1.1 ", EITHER),
    ("tabs", b"GET\t/v2/\tHTTP/1.1", EITHER),
    ("a form feed", b"GET\x0c/v2/ HTTP/1.1", EITHER),
    ("a bare CR", b"GET\r/v2/ HTTP/1.1", EITHER),
    ("no target", b"GET HTTP/1.1", REFUSED),
    ("an empty target", b"GET  HTTP/1.1", REFUSED),
    ("no version", b"GET /v2/", REFUSED),
    ("a method alone", b"GET", REFUSED),
    ("no method", b"/v2/ HTTP/1.1", REFUSED),
    ("a word too many", b"GET /v2/ a HTTP/1.1", REFUSED),
    ("a word behind", b"GET /v2/ HTTP/1.1 x", REFUSED),
    ("the version twice", b"GET /v2/ HTTP/1.1 HTTP/1.1", REFUSED),
    ("no word of HTTP", b"hello", REFUSED),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2", REFUSED),
    ("an answer", b"HTTP/1.1 200 OK", REFUSED),
    ("a header", b"Host: x", REFUSED),
    ("zeros", b"\0\0\0\0", REFUSED),
    ("a delimiter in the method", b"G@T /v2/ HTTP/1.1", REFUSED),
    ("a colon in the method", b"GET: /v2/ HTTP/1.1", REFUSED),
    ("a slash in the method", b"G/T /v2/ HTTP/1.1", REFUSED),
    ("a method in brackets", b"(GET) /v2/ HTTP/1.1", REFUSED),
    ("a method in quotes", b"\"GET\" /v2/ HTTP/1.1", REFUSED),
    ("a method that is not ASCII", b"G\xc3\x8bT /v2/ HTTP/1.1", REFUSED),
    ("a NUL in the method", b"G\0T /v2/ HTTP/1.1", REFUSED),
    ("a BOM first", b"\xef\xbb\xbfGET /v2/ HTTP/1.1", REFUSED),
    ("lower case", b"get /v2/ HTTP/1.1", NO_METHOD),
    ("mixed case", b"Get /v2/ HTTP/1.1", NO_METHOD),
    ("a method of one's own", b"X-PULL /v2/ HTTP/1.1", NO_METHOD),
    ("all that a token may have", b"!#$%&'*+-.^_`|~09 /v2/ HTTP/1.1", NO_METHOD),
    ("a method that begins like one", b"GETS /v2/ HTTP/1.1", NO_METHOD),
    ("TRACE", b"TRACE /v2/ HTTP/1.1", NO_METHOD),
    ("OPTIONS", b"OPTIONS /v2/ HTTP/1.1", NO_METHOD),
    ("DELETE", b"DELETE /v2/acme/app/manifests/1.0 HTTP/1.1", NO_METHOD),
    ("PROPFIND", b"PROPFIND / HTTP/1.1", NO_METHOD),
    ("QUERY", b"QUERY /v2/ HTTP/1.1", NO_METHOD),
    ("the first line of HTTP/2", b"PRI * HTTP/2.0", &[Last(400), Last(505), End]),
    ("version 0.9", b"GET /v2/ HTTP/0.9", NO_VERSION),
    ("version 2", b"GET /v2/ HTTP/2.0", NO_VERSION),
    ("version 3", b"GET /v2/ HTTP/3", NO_VERSION),
    ("version 9.9", b"GET /v2/ HTTP/9.9", NO_VERSION),
    // RFC 9110, section 2.5: it should be taken as 1.1. hyper refuses it, and no client sends it.
    ("version 1.2", b"GET /v2/ HTTP/1.2", &[Answered(200), Last(400), Last(505)]),
    ("version 01.1", b"GET /v2/ HTTP/01.1", REFUSED),
    ("version 1.01", b"GET /v2/ HTTP/1.01", REFUSED),
    ("version 1", b"GET /v2/ HTTP/1", NO_VERSION),
    ("version 1.", b"GET /v2/ HTTP/1.", NO_VERSION),
    ("a version with a comma", b"GET /v2/ HTTP/1,1", REFUSED),
    ("a version of letters", b"GET /v2/ HTTP/x.y", REFUSED),
    ("a version in lower case", b"GET /v2/ http/1.1", REFUSED),
    ("the version of another protocol", b"GET /v2/ HTTX/1.1", REFUSED),
    ("the version of a phone", b"OPTIONS sip:x SIP/2.0", REFUSED),
];

/// RFC 9112, section 3.2: the four forms of a target, and what is none.
#[rustfmt::skip]
const TARGETS: &[Line] = &[
    ("absolute", b"GET http://x/v2/ HTTP/1.1", FINE),
    ("absolute, of another host", b"GET http://other.example:99/v2/ HTTP/1.1", FINE),
    ("absolute, in capitals", b"GET HTTP://X/v2/ HTTP/1.1", FINE),
    ("absolute, of another scheme", b"GET https://x/v2/ HTTP/1.1", FINE),
    ("absolute, without a path", b"GET http://x HTTP/1.1", NOT_FOUND),
    ("absolute, with a query only", b"GET http://x?/v2/ HTTP/1.1", NOT_FOUND),
    ("absolute, without a host", b"GET http:///v2/ HTTP/1.1", REFUSED),
    ("absolute, of a user", b"GET http://user@x/v2/ HTTP/1.1", &[Answered(200), Answered(400), Last(400)]),
    ("absolute, with a bad port", b"GET http://x:port/v2/ HTTP/1.1", BAD_HOST),
    ("another scheme", b"GET ftp://x/v2/ HTTP/1.1", &[Answered(200), Answered(404), Answered(421), Answered(400), Last(400)]),
    // It should be refused, but is read as a URL whose scheme is empty.
    ("no scheme", b"GET ://x/v2/ HTTP/1.1", EITHER),
    ("an authority", b"GET x:80 HTTP/1.1", NOWHERE),
    ("a name", b"GET v2/ HTTP/1.1", NOWHERE),
    ("an asterisk", b"GET * HTTP/1.1", NOWHERE),
    ("an asterisk for HEAD", b"HEAD * HTTP/1.1", NOWHERE),
    ("OPTIONS of an asterisk", b"OPTIONS * HTTP/1.1", &[Answered(200), Answered(204), Answered(405)]),
    ("CONNECT to an authority", b"CONNECT x:80 HTTP/1.1", NO_TUNNEL),
    ("CONNECT to a path", b"CONNECT /v2/ HTTP/1.1", NO_TUNNEL),
    ("CONNECT to a URL", b"CONNECT http://x/ HTTP/1.1", NO_TUNNEL),
    ("two slashes", b"GET //v2/ HTTP/1.1", NOT_FOUND),
    ("a slash too many", b"GET /v2// HTTP/1.1", NOT_FOUND),
    ("a backslash", b"GET \\v2\\ HTTP/1.1", NOWHERE),
    ("one dot", b"GET /./v2/ HTTP/1.1", NOT_FOUND),
    ("two dots", b"GET /v2/../v2/ HTTP/1.1", NOT_FOUND),
    ("an encoded slash", b"GET %2fv2%2f HTTP/1.1", NOWHERE),
    // RFC 3986, section 2.2: whether an encoded slash is one is for the server to say.
    ("an encoded slash behind", b"GET /v2%2f HTTP/1.1", &[Answered(200), Answered(404), Answered(400)]),
    ("an encoded letter", b"GET /%762/ HTTP/1.1", &[Answered(200)]),
    ("encoded twice", b"GET /%25762/ HTTP/1.1", NOT_FOUND),
    ("half of an encoding", b"GET /v2/% HTTP/1.1", NOWHERE),
    ("no encoding", b"GET /v2/%zz HTTP/1.1", NOWHERE),
    ("an encoded NUL", b"GET /v2/%00 HTTP/1.1", NOWHERE),
    ("an encoded end of line", b"GET /v2/%0d%0aX:%20y HTTP/1.1", NOWHERE),
    ("encoded, overlong", b"GET /v2/%c0%af HTTP/1.1", NOWHERE),
    ("encoded, no UTF-8", b"GET /v2/%ff%fe HTTP/1.1", NOWHERE),
    ("encoded, half of a pair", b"GET /v2/%ed%a0%80 HTTP/1.1", NOWHERE),
    ("a slash, overlong", b"GET /v2/\xc0\xaf HTTP/1.1", NOWHERE),
    ("no UTF-8", b"GET /v2/\xff\xfe HTTP/1.1", NOWHERE),
    ("UTF-8", b"GET /v2/\xc3\xa4 HTTP/1.1", NOWHERE),
    ("a NUL", b"GET /v2/\0 HTTP/1.1", REFUSED),
    ("DEL", b"GET /v2/\x7f HTTP/1.1", REFUSED),
    ("an escape", b"GET /v2/\x1b[2J HTTP/1.1", REFUSED),
    ("a quote", b"GET /v2/\" HTTP/1.1", NOWHERE),
    ("angle brackets", b"GET /v2/<x> HTTP/1.1", NOWHERE),
    ("braces", b"GET /v2/{x} HTTP/1.1", NOWHERE),
    ("a fragment", b"GET /v2/#x HTTP/1.1", &[Answered(200), Answered(404), Answered(400), Last(400)]),
    ("a query", b"GET /v2/?any=thing HTTP/1.1", FINE),
    ("a query of a query", b"GET /v2/??a=b&&=&c HTTP/1.1", FINE),
    ("a query with a NUL", b"GET /v2/?a=%00 HTTP/1.1", FINE),
    ("parameters of a segment", b"GET /v2/;x=y HTTP/1.1", NOT_FOUND),
];

/// RFC 9112, section 3.2: one host, and a valid one, or 400.
#[rustfmt::skip]
const HOSTS: &[Line] = &[
    ("a name", b"Host: x", FINE),
    ("a name with a port", b"Host: x:5000", FINE),
    ("an empty port", b"Host: x:", FINE),
    ("a port that is too high", b"Host: x:99999", FINE),
    ("an address of version 4", b"Host: 127.0.0.1", FINE),
    ("an address of version 6", b"Host: [::1]:80", FINE),
    ("none by name", b"Host:", FINE),
    ("a capital", b"hOST: X", FINE),
    ("blanks around it", b"Host: \t x \t ", FINE),
    ("marks that a name may have", b"Host: a-b_c~d.e!f$g", FINE),
    ("no host at all", b"X: y", BAD_HOST),
    ("two", b"Host: a\r\nHost: b", BAD_HOST),
    ("the same twice", b"Host: a\r\nHost: a", BAD_HOST),
    ("two apart", b"Host: a\r\nX: y\r\nHost: b", BAD_HOST),
    ("two names", b"Host: a b", BAD_HOST),
    ("a path", b"Host: x/y", BAD_HOST),
    ("a query", b"Host: x?y", BAD_HOST),
    ("a fragment", b"Host: x#y", BAD_HOST),
    ("a URL", b"Host: http://x", BAD_HOST),
    ("a user", b"Host: user@x", BAD_HOST),
    ("a port that is no number", b"Host: x:port", BAD_HOST),
    ("two ports", b"Host: x:1:2", BAD_HOST),
    ("an address without brackets", b"Host: ::1", BAD_HOST),
    ("half a bracket", b"Host: [::1", BAD_HOST),
    ("a port without a colon", b"Host: [::1]80", BAD_HOST),
    ("brackets of letters", b"Host: [zz]", BAD_HOST),
    ("brackets of version 4", b"Host: [127.0.0.1]", BAD_HOST),
    ("a sign before the port", b"Host: x:+80", BAD_HOST),
    ("a user and a port", b"Host: user:word@x:80", BAD_HOST),
    ("brackets of nothing", b"Host: []", BAD_HOST),
    ("a quoted name", b"Host: \"x\"", BAD_HOST),
    ("a backslash", b"Host: a\\b", BAD_HOST),
    ("half an encoding", b"Host: x%2", BAD_HOST),
    ("no ASCII", b"Host: \xc3\xa4", BAD_HOST),
];

/// RFC 9112, section 5, and RFC 9110, section 5: lines of headers behind a `Host`.
#[rustfmt::skip]
const HEADERS: &[Line] = &[
    ("no colon", b"no colon", REFUSED),
    ("a colon alone", b":", REFUSED),
    ("no name", b": value", REFUSED),
    ("a blank before the colon", b"Name : value", REFUSED),
    ("a tab before the colon", b"Name\t: value", REFUSED),
    ("a length with a blank before the colon", b"Content-Length : 5", REFUSED),
    ("chunks with a tab before the colon", b"Transfer-Encoding\t: chunked", REFUSED),
    ("a blank in the name", b"Na me: value", REFUSED),
    ("a NUL in the name", b"Na\0me: value", REFUSED),
    ("a slash in the name", b"Na/me: value", REFUSED),
    ("brackets in the name", b"Na(me): value", REFUSED),
    ("a quote in the name", b"Na\"me: value", REFUSED),
    ("at in the name", b"Na@me: value", REFUSED),
    ("no ASCII in the name", b"N\xc3\xa4me: value", REFUSED),
    ("DEL in the name", b"Na\x7fme: value", REFUSED),
    ("all that a token may have", b"!#$%&'*+-.^_`|~09: value", FINE),
    ("an underscore", b"Content_Length: 5", FINE),
    ("an empty value", b"X:", FINE),
    ("a value of blanks", b"X: \t \t", FINE),
    ("no blank", b"X:y", FINE),
    ("a value with colons", b"X: :::", FINE),
    ("a tab in the value", b"X: a\tb", FINE),
    ("no ASCII in the value", b"X: \xc3\xa4\xff", FINE),
    ("a NUL in the value", b"X: a\0b", REFUSED),
    ("an escape in the value", b"X: a\x1bb", EITHER),
    ("DEL in the value", b"X: a\x7fb", EITHER),
    // Refused, or a blank instead of the CR: it must not end the line.
    ("a bare CR in the value", b"X: a\rb", EITHER),
    ("a bare CR before a length", b"X: a\rContent-Length: 5", EITHER),
    ("a bare CR first", b"\rX: y", REFUSED),
    ("two CR at the end", b"X: a\r", EITHER),
    ("folded", b"X: a\r\n b", EITHER),
    ("folded by a tab", b"X: a\r\n\tb", EITHER),
    ("folded into nothing", b"X: a\r\n ", EITHER),
    ("folded chunks", b"Transfer-Encoding:\r\n chunked", &[Last(400), Outcome::Waits]),
    ("a header twice", b"X: a\r\nX: b", FINE),
    ("a user agent of no ASCII", b"User-Agent: \xff\xfe", FINE),
    ("close in a list", b"Connection: close, keep-alive", &[Last(200)]),
    ("close in a list, last", b"Connection: keep-alive, close", &[Last(200)]),
    ("close in capitals", b"Connection: CLOSE", &[Last(200)]),
    ("close in a second line", b"Connection: keep-alive\r\nConnection: close", &[Last(200)]),
    ("close between empty ones", b"Connection: ,, close ,,", &[Last(200)]),
    ("close in quotes", b"Connection: \"close\"", FINE),
    ("what only begins like close", b"Connection: closed", FINE),
    ("an unknown option", b"Connection: X-Y\r\nX-Y: z", FINE),
    ("an empty option", b"Connection:", FINE),
    ("the old name", b"Proxy-Connection: close", FINE),
    ("Keep-Alive alone", b"Keep-Alive: timeout=5, max=1", FINE),
    ("HTTP/2 without TLS", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", FINE),
    ("WebSocket", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", FINE),
    ("an upgrade to nothing", b"Connection: Upgrade", FINE),
    ("an expectation without a body", b"Expect: 100-continue", FINE),
    ("an expectation in capitals", b"EXPECT: 100-CONTINUE", FINE),
    ("an unknown expectation", b"Expect: the-unexpected", &[Answered(200), Answered(417)]),
    ("two expectations", b"Expect: 100-continue\r\nExpect: 100-continue", &[Answered(200), Answered(417)]),
    ("TE", b"TE: trailers, deflate;q=0.5\r\nConnection: TE", FINE),
    ("trailers without chunks", b"Trailer: X", FINE),
    ("another method by a header", b"X-HTTP-Method-Override: DELETE", FINE),
    ("another path by a header", b"X-Original-URL: /v2/_catalog\r\nX-Rewrite-URL: /v2/_catalog", FINE),
    ("forwarded", b"X-Forwarded-Host: evil\r\nForwarded: host=evil;proto=https", FINE),
    ("hops", b"Max-Forwards: -1", FINE),
    ("credentials of no kind", b"Authorization: \xff", FINE),
    ("a date of no kind", b"If-Modified-Since: yesterday", FINE),
    ("a version of HTTP/2", b":authority: x", REFUSED),
];

/// The headers of a request for a manifest: where they contradict each other, the whole is always an answer
/// (RFC 9110, section 14.2: a server may ignore `Range`).
#[rustfmt::skip]
const CONDITIONS: &[Line] = &[
    ("two ranges in two lines", b"Range: bytes=0-1\r\nRange: bytes=5-6", &[Answered(200), Answered(206), Answered(400)]),
    ("an unknown unit", b"Range: lines=0-1", FINE),
    ("two units", b"Range: bytes=0-1, lines=0-1", &[Answered(200), Answered(206), Answered(416)]),
    ("no unit", b"Range: 0-1", FINE),
    ("a unit alone", b"Range: bytes", FINE),
    ("nothing", b"Range:", FINE),
    ("no position", b"Range: bytes=-", NO_RANGE),
    ("backwards", b"Range: bytes=9-1", NO_RANGE),
    ("a sign", b"Range: bytes=+1-2", NO_RANGE),
    ("hexadecimal", b"Range: bytes=0x0-0x1", NO_RANGE),
    ("more than 64 bits", b"Range: bytes=99999999999999999999999-", &[Answered(416)]),
    ("up to more than 64 bits", b"Range: bytes=0-99999999999999999999999", &[Answered(206)]),
    ("blanks", b"Range: bytes= 0 - 1", &[Answered(200), Answered(206), Answered(416), Answered(400)]),
    ("no ASCII", b"Range: bytes=\xff", NO_RANGE),
    ("empty members", b"Range: bytes=,,0-1,,", &[Answered(200), Answered(206), Answered(416)]),
    ("if another, in two lines", b"If-Range: \"a\"\r\nIf-Range: \"b\"\r\nRange: bytes=0-1", FINE),
    ("if a weak one", b"If-Range: W/\"a\"\r\nRange: bytes=0-1", FINE),
    ("if no tag", b"If-Range: a\r\nRange: bytes=0-1", FINE),
    // RFC 9110, section 8.8.3: a tag may have such bytes, and this one is another.
    ("if a tag of no ASCII", b"If-Range: \"\xff\"\r\nRange: bytes=0-1", FINE),
    ("a match of no ASCII", b"If-Match: \"\xff\"", &[Answered(412)]),
    ("no match of no ASCII", b"If-None-Match: \"\xff\"", FINE),
    ("if-range without a range", b"If-Range: \"a\"", FINE),
    ("many kinds", b"Accept: a/b\r\nAccept: c/d\r\nAccept: e/f", FINE),
    ("no kind that there is", b"Accept: image/png", &[Answered(200), Answered(406)]),
    ("no kind", b"Accept: ;;;", FINE),
    ("no coding at all", b"Accept-Encoding: identity;q=0, *;q=0", &[Answered(200), Answered(406)]),
    ("none of all", b"If-None-Match: \"", &[Answered(200), Answered(400)]),
    ("any of all, and none", b"If-Match: *\r\nIf-None-Match: *", &[Answered(304)]),
];

#[test]
fn request_lines() {
    check(
        &Shelf::new(),
        &with(REQUEST_LINES, |line| {
            [line, b"\r\nHost: x\r\n\r\n"].concat()
        }),
    );
}

#[test]
fn targets() {
    check(
        &Shelf::new(),
        &with(TARGETS, |line| [line, b"\r\nHost: x\r\n\r\n"].concat()),
    );
}

#[test]
fn hosts() {
    check(
        &Shelf::new(),
        &with(HOSTS, |lines| behind(b"GET /v2/ HTTP/1.1", lines)),
    );
}

#[test]
fn header_lines() {
    let first = b"GET /v2/ HTTP/1.1\r\nHost: x";
    check(&Shelf::new(), &with(HEADERS, |lines| behind(first, lines)));
}

#[test]
fn conditions() {
    let first = b"GET /v2/acme/app/manifests/1.1 HTTP/1.1\r\nHost: x";
    check(
        &Shelf::new(),
        &with(CONDITIONS, |lines| behind(first, lines)),
    );
}

/// A line feed alone may end a line as well (RFC 9112, section 2.2), and so may no line end.
#[test]
fn line_feeds_alone() {
    let mut cases = with(REQUEST_LINES, |line| [line, b"\nHost: x\n\n"].concat());
    for (_, _, allowed) in &mut cases {
        allowed.push(Last(400));
    }
    check(&Shelf::new(), &cases);
}

fn with(lines: &[Line], message: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Case> {
    let cases = lines.iter();
    cases
        .map(|(name, line, allowed)| (*name, message(line), allowed.to_vec()))
        .collect()
}

fn behind(first: &[u8], lines: &[u8]) -> Vec<u8> {
    [first, b"\r\n", lines, b"\r\n\r\n"].concat()
}
