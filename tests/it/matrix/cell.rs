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
    /// What to write of a command that failed.
    pub(crate) fn failed(said: &str) -> Self {
        if is_about_the_command(said) {
            Self::Nothing
        } else {
            Self::No(last_words(said))
        }
    }
}

/// Whether podman says that it has no such command, which newer ones have.
fn is_about_the_command(said: &str) -> bool {
    said.contains("unrecognized command") || said.trim_end().ends_with("See 'podman --help'")
}

/// The last clause of what a client said, up to the media type that it may be about.
pub(super) fn last_words(said: &str) -> String {
    let line = said.trim_end().lines().next_back().unwrap_or_default();
    let clause = line.rsplit(": ").next().unwrap_or_default();
    match clause.split_once("application/") {
        Some((words, _)) => format!("{}…", words.trim_end_matches('"')),
        None => clause.trim_end_matches('"').to_owned(),
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

#[test]
fn a_failed_command_is_told_in_the_last_words() {
    for (said, cell) in [
        (
            "Trying…\nError: copying: unexpected EOF\n\n",
            "no: unexpected EOF",
        ),
        (
            "level=fatal msg=\"copying: unexpected EOF\"\n",
            "no: unexpected EOF",
        ),
        (
            "unsupported media type application/vnd.example",
            "no: unsupported media type …",
        ),
        ("Error: unrecognized command `podman artifact pull`", "–"),
        (
            "Error: unknown flag: --tls-verify\nSee 'podman --help'\n",
            "–",
        ),
    ] {
        assert_eq!(Cell::failed(said).to_string(), cell);
    }
}
