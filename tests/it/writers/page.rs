//! `docs/reference/names.md`: its text is written by hand, its tables are made of the rows.
//!
//! `UPDATE=1 cargo test names_page` rewrites the tables; otherwise the test fails where they differ.

use std::fmt::Write as _;

use super::forms::{FORMS, Form};
use super::{Row, Served, docker, folders, layouts};
use crate::generated;

/// How many images of one file the table shows.
const SHOWN: usize = 5;

#[test]
fn names_page_is_what_is_made() {
    let sections = [("tools", tools()), ("forms", forms())];
    generated::check_page("docs/reference/names.md", &sections, "names_page");
}

fn tools() -> String {
    let head = "| Tool | File | Names in it | Served as | |\n|---|---|---|---|---|\n".to_owned();
    let rows = [
        docker::rows(),
        docker::hybrids(),
        layouts::rows(),
        folders::rows(),
    ];
    rows.iter().flatten().fold(head, |mut table, row| {
        let Row {
            tool, told, note, ..
        } = row;
        writeln!(
            table,
            "| {tool} | `{}` | {told} | {} | {note} |",
            short(&row.file),
            served(row)
        )
        .expect("a string takes everything");
        table
    })
}

/// The names that clients ask for, the first few of them.
fn served(row: &Row) -> String {
    if row.served.is_empty() {
        return "–".to_owned();
    }
    let names = row.served.iter().take(SHOWN).map(Served::shown);
    let more = (row.served.len() > SHOWN).then(|| "…".to_owned());
    names.chain(more).collect::<Vec<_>>().join("<br>")
}

impl Served {
    fn shown(&self) -> String {
        let star = if self.is_made { "\\*" } else { "" };
        format!("{}{star}", shown(&self.name))
    }
}

fn forms() -> String {
    let head = "| Where | Written | Served as | |\n|---|---|---|---|\n".to_owned();
    FORMS.iter().fold(head, |mut table, form| {
        let Form {
            served, problem, ..
        } = form;
        let names: Vec<_> = served.iter().map(|name| shown(name)).collect();
        let problem =
            problem.map_or_else(String::new, |problem| format!("problem: “… {problem} …”"));
        let (place, text) = (form.place(), form.text());
        writeln!(
            table,
            "| {place} | {text} | {} | {problem} |",
            names.join("<br>")
        )
        .expect("a string takes everything");
        table
    })
}

/// A name as people write it; what has no tag by its digest.
fn shown(name: &str) -> String {
    let (host, rest) = name.split_once('/').expect("a host");
    let name = if host == "." { rest } else { name };
    let digest = if rest.contains(':') {
        ""
    } else {
        "@sha256:…"
    };
    format!("`{}{digest}`", short(name))
}

/// Without the digits of digests.
fn short(text: &str) -> String {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hex = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|part| is_hex(part));
    hex.map_or_else(|| text.to_owned(), |hex| text.replace(hex, "…"))
}
