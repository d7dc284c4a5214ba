//! `packageorigin list`: the catalog that `serve` would serve, as tables or as JSON.

mod json;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::Context;

use super::text::{count, size, table};
use super::{Failure, catalog, say};
use crate::archive::problem::Printable;
use crate::archive::{Format, Writer};
use crate::catalog::{Archive, Image, Severity, Snapshot, View};
use crate::config;
use crate::digest::Digest;

/// Reads the archives once and writes what is in them.
pub(super) fn run(config: &config::List) -> Result<(), Failure> {
    let catalog = catalog(&config.catalog, Box::new(|_| ()))?;
    catalog.refresh(Instant::now());
    while catalog.learn() {}
    let snapshot = catalog.snapshot().unwrap_or_default();
    let text = if config.json {
        format!("{:#}\n", json::list(&snapshot))
    } else {
        people(&snapshot)
    };
    write(&text)
        .context("cannot write the list")
        .map_err(Failure::Start)?;
    if !config.json {
        for problem in snapshot
            .problems()
            .iter()
            .filter(|problem| problem.severity > Severity::Note)
        {
            say(&problem.to_string());
        }
    }
    Ok(())
}

/// A reader that has seen enough, such as `head`, is no failure.
fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn people(snapshot: &Snapshot) -> String {
    let mut text = images(snapshot);
    text.push('\n');
    text.push_str(&archives(snapshot));
    let skipped = snapshot
        .problems()
        .iter()
        .filter(|problem| problem.severity == Severity::Note)
        .count();
    if skipped > 0 {
        let _ = write!(
            text,
            "\nPassed over {} (`--json` names them)\n",
            count(
                skipped,
                "file that is no image archive",
                "files that are no image archives"
            )
        );
    }
    text
}

/// What is served, by name.
fn images(snapshot: &Snapshot) -> String {
    let mut rows = vec![
        [
            "REPOSITORY",
            "TAG",
            "PLATFORMS",
            "SIZE",
            "DIGEST",
            "ARCHIVE",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let mut views: Vec<(String, View<'_>)> = snapshot
        .repositories()
        .map(|view| (name_of(&view), view))
        .collect();
    views.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, view) in views {
        for tag in view.tags_by_version() {
            if let Some(image) = view.tagged(&tag) {
                let archives = view.archives_of(&tag);
                let shown = match view.automatic().filter(|_| tag.as_str() == "latest") {
                    Some(target) => format!("latest → {target} (automatic)"),
                    None => tag.to_string(),
                };
                rows.push(row(&name, shown, &archives, image));
            }
        }
        for image in untagged(&view) {
            let archives = view.holders(&image.root);
            rows.push(row(&name, "(by digest only)".to_owned(), &archives, image));
        }
    }
    let mut text = table(&rows);
    if rows.iter().any(|row| row[4].ends_with('*')) {
        text.push_str("\n* manifest made here, because the archive keeps none: its digest is not that of the registry the image came from\n");
    }
    text
}

/// What the archives are, and what was taken from each. What is wrong with them is said besides.
fn archives(snapshot: &Snapshot) -> String {
    let header = ["ARCHIVE", "FORMAT", "WRITTEN BY", "IMAGES", "PROBLEMS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let archives = snapshot.archives().iter();
    for archive in archives.filter(|archive| is_archive(snapshot, archive)) {
        let problems: Vec<Severity> = problems_of(snapshot, archive).collect();
        let found = &archive.found;
        rows.push(vec![
            shown_path(archive),
            found.format.map_or("-", Format::name).to_owned(),
            found.writer.map_or("-", Writer::name).to_owned(),
            found.images.len().to_string(),
            counted(&problems),
        ]);
    }
    if rows.len() == 1 {
        return String::new();
    }
    table(&rows)
}

/// Whether it is an archive, or is meant to be one: other files are passed over.
fn is_archive(snapshot: &Snapshot, archive: &Archive) -> bool {
    archive.found.format.is_some() || problems_of(snapshot, archive).next().is_some()
}

/// How much the problems of `archive` matter that do.
fn problems_of(snapshot: &Snapshot, archive: &Archive) -> impl Iterator<Item = Severity> {
    let path = archive.path();
    let problems = snapshot.problems_of(&path).map(|problem| problem.severity);
    let problems: Vec<Severity> = problems.collect();
    problems
        .into_iter()
        .filter(|severity| *severity > Severity::Note)
}

/// How many problems there are of each weight.
fn counted(problems: &[Severity]) -> String {
    let number = |severity: Severity| problems.iter().filter(|known| **known == severity).count();
    let parts = [
        (number(Severity::Error), "error", "errors"),
        (number(Severity::Warning), "warning", "warnings"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(*number, one, many))
        .collect();
    parts.join(", ")
}

fn row(name: &str, tag: String, archives: &[&Archive], image: &Image) -> Vec<String> {
    let platforms: Vec<String> = image
        .platforms
        .iter()
        .map(|image| image.platform.to_string())
        .collect();
    let platforms = if platforms.is_empty() {
        "-".to_owned()
    } else {
        platforms.join(",")
    };
    let made = if image.is_made { "*" } else { "" };
    let digest = format!("{}{made}", image.root.short());
    let archive = match archives {
        [] => String::new(),
        [first] => shown_path(first),
        [first, others @ ..] => {
            format!("{} and {} more", shown_path(first), others.len())
        }
    };
    vec![
        name.to_owned(),
        tag,
        Printable(&platforms).to_string(),
        size(image.size),
        digest,
        archive,
    ]
}

fn shown_path(archive: &Archive) -> String {
    Printable(&archive.path().to_string_lossy()).to_string()
}

/// The name to ask for it, or what it is known by if no name leads to it.
fn name_of(view: &View<'_>) -> String {
    match view.shown() {
        Some(name) => name.into_owned(),
        None => format!("({})", view.repository().key.path),
    }
}

/// The images that no tag of the repository leads to, neither itself nor as one of its platforms.
fn untagged<'s>(view: &View<'s>) -> Vec<&'s Image> {
    let mut known: BTreeSet<&Digest> = BTreeSet::new();
    for image in view.tags().iter().filter_map(|tag| view.tagged(tag)) {
        known.insert(&image.root);
        known.extend(image.platforms.iter().map(|platform| &platform.digest));
    }
    view.images()
        .map(|(_, image)| image)
        .filter(|image| known.insert(&image.root))
        .collect()
}
