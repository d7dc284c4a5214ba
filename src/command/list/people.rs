//! The list for people: what is served by its names, and what was taken from which archive.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::text::{count, size, table};
use super::{is_archive, untagged};
use crate::archive::problem::Printable;
use crate::archive::{Format, Writer};
use crate::catalog::{Archive, Image, Severity, Snapshot, View};

/// All that is served of `packages`. What is wrong is counted here, and told besides.
pub(super) fn list(snapshot: &Snapshot, packages: &[PathBuf]) -> String {
    let shelf = Shelf::of(packages);
    let parts = [
        images(snapshot, &shelf),
        archives(snapshot, &shelf),
        passed_over(snapshot),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// What the paths of archives begin with.
struct Shelf<'p> {
    /// The one folder that is listed: it goes without saying.
    folder: Option<&'p Path>,
}

impl<'p> Shelf<'p> {
    fn of(packages: &'p [PathBuf]) -> Self {
        let folder = match packages {
            [folder] => Some(folder.as_path()),
            _ => None,
        };
        Self { folder }
    }

    /// The path to show: from the folder on, or as it was typed where several are listed or it is the archive itself.
    fn shown(&self, archive: &Archive) -> String {
        let path = archive.path();
        let inside = self
            .folder
            .and_then(|folder| path.strip_prefix(folder).ok());
        let inside = inside.filter(|inside| !inside.as_os_str().is_empty());
        Printable(&inside.unwrap_or(&path).to_string_lossy()).to_string()
    }
}

/// What is served, by name.
fn images(snapshot: &Snapshot, shelf: &Shelf<'_>) -> String {
    let header = [
        "REPOSITORY",
        "TAG",
        "PLATFORMS",
        "SIZE",
        "DIGEST",
        "ARCHIVE",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut views: Vec<(Cow<'_, str>, View<'_>)> = snapshot
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
                rows.push(row(&name, shown, image, &held_by(&archives, shelf)));
            }
        }
        for image in untagged(&view) {
            let archives = held_by(&view.holders(&image.root), shelf);
            rows.push(row(&name, "(by digest only)".to_owned(), image, &archives));
        }
    }
    if rows.len() == 1 {
        return "No images\n".to_owned();
    }
    let mut text = table(&rows);
    if rows.iter().any(|row| row[4].ends_with('*')) {
        text.push_str("\n* manifest made here, because the archive keeps none: its digest is not that of the registry the image came from\n");
    }
    text
}

fn row(name: &str, tag: String, image: &Image, archives: &str) -> Vec<String> {
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
    vec![
        name.to_owned(),
        tag,
        Printable(&platforms).to_string(),
        size(image.size),
        format!("{}{made}", image.root.short()),
        archives.to_owned(),
    ]
}

fn held_by(archives: &[&Archive], shelf: &Shelf<'_>) -> String {
    match archives {
        [] => String::new(),
        [first] => shelf.shown(first),
        [first, others @ ..] => format!("{} and {} more", shelf.shown(first), others.len()),
    }
}

/// The name to ask for it, or what it is known by if no name leads to it.
fn name_of<'s>(view: &View<'s>) -> Cow<'s, str> {
    view.shown()
        .unwrap_or_else(|| format!("({})", view.repository().key.path).into())
}

/// What the archives are, and what was taken from each.
fn archives(snapshot: &Snapshot, shelf: &Shelf<'_>) -> String {
    let header = ["ARCHIVE", "FORMAT", "WRITTEN BY", "IMAGES", "PROBLEMS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let archives = snapshot.archives().iter();
    for archive in archives.filter(|archive| is_archive(snapshot, archive)) {
        let found = &archive.found;
        rows.push(vec![
            shelf.shown(archive),
            found.format.map_or("-", Format::name).to_owned(),
            found.writer.map_or("-", Writer::name).to_owned(),
            found.images.len().to_string(),
            counted(snapshot, archive),
        ]);
    }
    if rows.len() == 1 {
        return String::new();
    }
    table(&rows)
}

/// How many problems there are of each weight, and what they are.
fn counted(snapshot: &Snapshot, archive: &Archive) -> String {
    let weights = [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Note, "note", "notes"),
    ];
    let path = archive.path();
    let parts = weights.iter().filter_map(|(severity, one, many)| {
        let problems = snapshot.problems_of(&path);
        let kinds: Vec<&str> = problems
            .filter(|problem| problem.severity == *severity)
            .map(|problem| problem.kind)
            .collect();
        let number = count(kinds.len(), one, many);
        let kinds = Vec::from_iter(BTreeSet::from_iter(kinds)).join(", ");
        (!kinds.is_empty()).then(|| format!("{number} ({kinds})"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// How many files are no archives and need not be.
fn passed_over(snapshot: &Snapshot) -> String {
    let files = snapshot.archives().iter();
    let number = files
        .filter(|file| !is_archive(snapshot, file))
        .filter(|file| snapshot.problems_of(&file.path()).next().is_some())
        .count();
    if number == 0 {
        return String::new();
    }
    let files = count(
        number,
        "file that is no image archive",
        "files that are no image archives",
    );
    format!("Passed over {files} (`--json` names them)\n")
}
