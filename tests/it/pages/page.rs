//! What a page asks a person to do, as steps.

use std::fs;
use std::path::Path;

/// Something that a page asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A line behind a `$`, and what it writes; empty where the page does not show that. It has to fail if the mark
    /// `<!-- fails -->` stands before its block.
    Type {
        line: String,
        shown: String,
        fails: bool,
    },
    /// A file, whose path is the last code in the sentence before it.
    Write { path: String, text: String },
}

/// The steps of a page of `docs/how-to/`.
///
/// # Panics
///
/// If there is a block that is neither.
pub(super) fn steps(name: &str) -> Vec<Step> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/how-to")
        .join(name);
    let page =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    read(&page)
}

fn read(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            steps.extend(read_block(kind, &block, before));
            before = "";
        } else if !line.is_empty() {
            before = line;
        }
    }
    steps
}

fn read_block(kind: &str, block: &[&str], before: &str) -> Vec<Step> {
    match kind {
        "console" => read_console(block, before == "<!-- fails -->"),
        "json" | "toml" => vec![Step::Write {
            path: last_code(before).to_owned(),
            text: block.join("\n") + "\n",
        }],
        _ => panic!("a block of `{kind}` behind `{before}` is nothing that can be run"),
    }
}

fn read_console(block: &[&str], fails: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for text in block {
        if let Some(line) = text.strip_prefix("$ ") {
            steps.push(Step::Type {
                line: line.to_owned(),
                shown: String::new(),
                fails,
            });
            continue;
        }
        let Some(Step::Type { line, shown, .. }) = steps.last_mut() else {
            panic!("`{text}` stands behind no line to be typed");
        };
        let (end, text) = if line.ends_with('\\') && shown.is_empty() {
            (line, format!("\n{text}"))
        } else {
            (shown, format!("{text}\n"))
        };
        end.push_str(&text);
    }
    steps
}

/// The last text between two back-quotes.
fn last_code(sentence: &str) -> &str {
    let code = sentence.rsplit('`').nth(1);
    code.unwrap_or_else(|| panic!("`{sentence}` names no file"))
}

/// Whether a program wrote what a page shows; `…` stands for anything.
pub(super) fn agrees(shown: &str, said: &str) -> bool {
    let (shown, said) = (tidied(shown), tidied(said));
    let parts: Vec<&str> = shown.split('…').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    if parts.len() == 1 {
        return shown == said;
    }
    let Some(mut rest) = said.strip_prefix(first) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Without blanks at the ends of lines, which nobody sees.
fn tidied(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn a_page_is_read_as_steps() {
    let page = "# Title\n\nText.\n\n```console\n$ one \\\n    more\n$ two\na\n\nb\n```\n\n<!-- fails -->\n\n```console\n$ three\n```\n\nIn `/etc/x.json`:\n\n```json\n{}\n```\n";
    let typed = |line: &str, shown: &str, fails| Step::Type {
        line: line.to_owned(),
        shown: shown.to_owned(),
        fails,
    };
    let wanted = [
        typed("one \\\n    more", "", false),
        typed("two", "a\n\nb\n", false),
        typed("three", "", true),
        Step::Write {
            path: "/etc/x.json".to_owned(),
            text: "{}\n".to_owned(),
        },
    ];
    assert_eq!(read(page), wanted);
}

#[test]
fn an_ellipsis_stands_for_anything() {
    for (shown, said, agree) in [
        ("a", "a\n", true),
        ("a", "ab", false),
        ("a…", "abc", true),
        ("…c", "abc", true),
        ("a…c", "abc", true),
        ("a…b…c", "a-b-c", true),
        ("a…b…c", "a-c", false),
        ("a…c", "abd", false),
        ("a…a", "a", false),
        ("a\nb", "a  \nb\n\n", true),
    ] {
        assert_eq!(agrees(shown, said), agree, "{shown} {said}");
    }
}
