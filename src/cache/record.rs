//! The lines of the cache: each is one thing that was found out, and whole in itself.
//!
//! A line is a letter, a [`Key`], what was found out if that is more than a yes, and a checksum of all that. Whatever
//! else lies in the file (half a line, zeros where a disk lost power, a kind that a later version writes) is passed over.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use crate::digest::{Algorithm, Digest};

/// No line is longer.
const MAX_LINE: u64 = 256;

const VERIFIED: &str = "v";
const LEARNED: &str = "l";

/// What something is remembered under: a hash of all that must be the same for it to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub(super) u128);

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The bytes are those that their digest names.
    Verified(Key),
    /// The bytes, whose digest nothing told, have this one.
    Learned(Key, Digest),
}

impl Record {
    /// What it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Verified(key) | Self::Learned(key, _) => *key,
        }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (text, sum) = line.rsplit_once(' ')?;
        if sum.len() != 8 || number(sum)? != checksum(text) {
            return None;
        }
        let mut words = text.split(' ');
        let (kind, key) = (words.next()?, Key::parse(words.next()?)?);
        match (kind, words.next(), words.next()) {
            (VERIFIED, None, None) => Some(Self::Verified(key)),
            (LEARNED, Some(digest), None) => Some(Self::Learned(key, digest.parse().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Record {
    /// Its line, without the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Verified(Key(key)) => format!("{VERIFIED} {key:032x}"),
            Self::Learned(Key(key), digest) => format!("{LEARNED} {key:032x} {digest}"),
        };
        write!(f, "{text} {:08x}", checksum(&text))
    }
}

impl Key {
    fn parse(hex: &str) -> Option<Self> {
        number(hex).filter(|_| hex.len() == 32).map(Self)
    }
}

/// What `hex` says, which is written as it is written here: without a sign, and in lower case.
fn number(hex: &str) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let value = u128::from_str_radix(hex, 16).ok();
    value.filter(|_| hex.bytes().all(is_digit))
}

fn checksum(text: &str) -> u128 {
    let hash = Digest::of(Algorithm::Sha256, text.as_bytes());
    u128::from(hash.prefix() >> 32)
}

/// Gives every record in what `reader` reads to `take`, in their order.
///
/// # Errors
/// As the reader tells them.
pub fn read(mut reader: impl BufRead, mut take: impl FnMut(Record)) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // The rest of a longer one counts as the next, and is none either.
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if let Some(record) = Record::parse(&line) {
            take(record);
        }
    }
}

/// The lines of `records`. They begin with the end of a line, because what they are put behind may be half of one.
pub fn lines<'r>(records: impl IntoIterator<Item = &'r Record>) -> String {
    let lines = records.into_iter().map(|record| format!("\n{record}"));
    lines.chain(["\n".to_owned()]).collect()
}
