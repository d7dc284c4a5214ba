//! Good requests that were damaged by chance, from fixed seeds: whatever is made of one, it is one answer and no more, and
//! what was not damaged is answered right.

use std::thread;

use super::outcome::{answers, exchange, is_answer_to_next, method};
use super::*;

/// How many threads send.
const THREADS: u64 = 8;
/// How many requests each of them sends.
const ROUNDS: usize = 150;
/// What the rest of a message is answered by: it is no request, or one of a method that begins in the message.
const REFUSED: [u16; 2] = [400, 405];
/// All that a server may have to say.
const STATUSES: [u16; 13] = [
    200, 206, 304, 400, 404, 405, 412, 414, 416, 417, 431, 501, 505,
];
/// Bytes that mean something to somebody.
const BYTES: &[u8] = b"\r\n \t\0:;,=\"/%?#@*0159aAgGxX-+.()\x0b\x0c\x1b\x7f\x80\xff";

/// Requests of every shape. Their bodies are no requests, so that no damage makes one of them.
const SEEDS: [&str; 7] = [
    "GET /v2/ HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nAccept-Encoding: gzip\r\n\r\n",
    "HEAD /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x:80\r\nAccept: a/b\r\nAccept: c/d, */*\r\n\r\n",
    "GET /v2/acme/app/tags/list?n=2&last=a HTTP/1.1\r\nHost: [::1]:5000\r\nConnection: keep-alive\r\n\r\n",
    "GET /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-5,9-\r\nIf-Range: \"x\"\r\n\r\n",
    "GET http://x/v2/acme/app/manifests/B?ns=docker.io HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"x\"\r\n\r\n",
    "PUT /v2/acme/app/manifests/2 HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n((((((((((((((((((((",
    "POST /v2/acme/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n(((((\r\n0\r\nA: b\r\n\r\n",
];

#[test]
fn damaged_requests() {
    let shelf = Shelf::new();
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let shelf = &shelf;
            scope.spawn(move || {
                let mut chance = Chance::new(seed);
                for _ in 0..ROUNDS {
                    let message = chance.damaged();
                    if let Err(wrong) = check(shelf, &message) {
                        panic!("{wrong}\n    {}", message.escape_ascii());
                    }
                }
            });
        }
    });
    shelf.check_alive();
}

fn check(shelf: &Shelf, message: &[u8]) -> Result<(), String> {
    let came = exchange(shelf, message, true)?;
    let answers = answers(&came, &method(message))?;
    let is_right = match answers.as_slice() {
        [] => true,
        [only] => is_known(shelf, only),
        [first, next] => {
            is_known(shelf, first)
                && (REFUSED.contains(&next.status) || is_answer_to_next(shelf, next))
        }
        _ => false,
    };
    is_right
        .then_some(())
        .ok_or_else(|| format!("came {}", came.escape_ascii()))
}

/// Whether it is one of the few answers that a damaged request can lead to.
fn is_known(shelf: &Shelf, answer: &Response) -> bool {
    let manifest = shelf.image.manifest().bytes;
    let body = &answer.body;
    STATUSES.contains(&answer.status)
        && match answer.status {
            200 => {
                body.is_empty()
                    || body == b"{}"
                    || *body == manifest
                    || answer.json()["name"] == "acme/app"
            }
            206 => body.len() < manifest.len() + 1000,
            _ => true,
        }
}

/// Chance that is the same each time.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn byte(&mut self) -> u8 {
        BYTES[self.below(BYTES.len())]
    }

    fn damaged(&mut self) -> Vec<u8> {
        let mut message = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            self.damage(&mut message);
        }
        message
    }

    fn damage(&mut self, message: &mut Vec<u8>) {
        let place = self.below(message.len());
        match self.below(6) {
            0 => message[place] = self.byte(),
            1 => message.insert(place, self.byte()),
            2 => drop(message.remove(place)),
            3 => message[place] ^= 1 << self.below(8),
            4 => self.repeat_line(message),
            _ => self.cut(message, place),
        }
    }

    /// A line stands there twice.
    fn repeat_line(&mut self, message: &mut Vec<u8>) {
        let lines: Vec<&[u8]> = message.split_inclusive(|byte| *byte == b'\n').collect();
        let chosen = self.below(lines.len());
        *message = [&lines[..=chosen], &lines[chosen..]].concat().concat();
    }

    /// A few bytes are missing.
    fn cut(&mut self, message: &mut Vec<u8>, place: usize) {
        let end = (place + 1 + self.below(8)).min(message.len());
        // Something is left to be damaged again.
        if end - place < message.len() {
            message.drain(place..end);
        }
    }
}
