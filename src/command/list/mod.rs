//! `packageorigin list`: the catalog that `serve` would serve, as tables or as JSON.

pub(super) mod json;
mod people;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Context;

use super::{Failure, catalog, say, write};
use crate::catalog::{Archive, Image, Problem, Severity, Snapshot, View};
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
        people::list(&snapshot, &config.catalog.packages)
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

/// Whether it is an archive, or is meant to be one: other files are passed over.
fn is_archive(snapshot: &Snapshot, archive: &Archive) -> bool {
    let is_meant = |problem: &Problem| problem.severity > Severity::Note;
    archive.found.format.is_some() || (snapshot.problems_of(&archive.path()).any(is_meant))
}

/// The images that no tag of the repository leads to, neither itself nor as one of its platforms.
pub(super) fn untagged<'s>(view: &View<'s>) -> Vec<&'s Image> {
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
