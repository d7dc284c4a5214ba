//! What happened when a client was told to do something.

use std::fmt;

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// The client has no such command.
    Nothing,
    /// It did, and the bytes are right.
    Yes,
    /// The same, and how.
    How(String),
    /// It did not, and why.
    No(String),
}

impl Cell {
    /// That it did not, in the last of a client's words.
    pub(crate) fn no(said: &str) -> Self {
        Self::No(last_words(said).to_owned())
    }
}

/// The last clause of the last line that a client wrote.
pub(super) fn last_words(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim);
    let line = lines.rfind(|line| !line.is_empty());
    let clause = line.and_then(|line| line.rsplit(": ").next());
    without_odd_quote(clause.unwrap_or("without a word"))
}

/// A message of several clauses may stand in quotes as a whole: then the last clause ends with one that it did not open.
fn without_odd_quote(clause: &str) -> &str {
    match clause.strip_suffix('"') {
        Some(rest) if clause.matches('"').count() % 2 == 1 => rest,
        _ => clause,
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("–"),
            Self::Yes => f.write_str("yes"),
            Self::How(how) => write!(f, "yes, {how}"),
            Self::No(why) => write!(f, "no: {why}"),
        }
    }
}
