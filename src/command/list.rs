//! `packageorigin list`: the catalog that `serve` would serve, as a table or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::text::{count, size, table};
use super::{Failure, catalog, say};
use crate::archive::problem::Printable;
use crate::catalog::{Archive, Image, Severity, Snapshot, View};
use crate::config;
use crate::oci::{MediaType, Tag};

/// Reads the archives once and writes what is in them.
pub(super) fn run(config: &config::List) -> Result<(), Failure> {
    let catalog = catalog(&config.catalog, Box::new(|_| ()))?;
    catalog.refresh(Instant::now());
    while catalog.learn() {}
    let snapshot = catalog.snapshot().unwrap_or_default();
    let text = if config.json {
        format!("{:#}\n", json(&snapshot))
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

/// The images that no tag of the repository leads to.
fn untagged<'s>(view: &View<'s>) -> Vec<&'s Image> {
    let tagged: Vec<_> = view
        .tags()
        .iter()
        .filter_map(|tag| view.resolve(tag))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    view.images()
        .map(|(_, image)| image)
        .filter(|image| !tagged.contains(&&image.root) && seen.insert(&image.root))
        .collect()
}

fn json(snapshot: &Snapshot) -> Value {
    let repositories: Vec<Value> = snapshot
        .repositories()
        .map(|view| repository(&view))
        .collect();
    let archives: Vec<Value> = snapshot.archives().iter().map(archive).collect();
    let problems: Vec<Value> = snapshot
        .problems()
        .iter()
        .map(|problem| {
            json!({
                "severity": problem.severity.to_string(),
                "file": problem.file.to_string_lossy(),
                "member": problem.member,
                "what": problem.what,
                "fix": problem.fix,
            })
        })
        .collect();
    json!({"repositories": repositories, "archives": archives, "problems": problems})
}

fn repository(view: &View<'_>) -> Value {
    let key = &view.repository().key;
    let tags: Vec<Value> = view
        .tags_by_version()
        .iter()
        .filter_map(|tag| tagged(view, tag))
        .collect();
    let untagged: Vec<Value> = untagged(view)
        .into_iter()
        .map(|image| described(view, &view.holders(&image.root), image))
        .collect();
    json!({
        "name": view.shown(),
        "host": key.host.as_ref().map(ToString::to_string),
        "path": key.path.as_str(),
        "tags": tags,
        "untagged": untagged,
    })
}

fn tagged(view: &View<'_>, tag: &Tag) -> Option<Value> {
    let mut value = described(view, &view.archives_of(tag), view.tagged(tag)?);
    let automatic = view.automatic().filter(|_| tag.as_str() == "latest");
    value["tag"] = json!(tag.as_str());
    value["automatic"] = json!(automatic.map(Tag::as_str));
    Some(value)
}

fn described(view: &View<'_>, archives: &[&Archive], image: &Image) -> Value {
    let platforms: Vec<Value> = image
        .platforms
        .iter()
        .map(|image| {
            json!({"platform": image.platform.to_string(), "digest": image.digest.to_string(), "size": image.size})
        })
        .collect();
    let archives: Vec<_> = archives
        .iter()
        .map(|archive| archive.path().to_string_lossy().into_owned())
        .collect();
    json!({
        "digest": image.root.to_string(),
        "mediaType": view.media_type(&image.root).map(MediaType::as_str),
        "size": image.size,
        "platforms": platforms,
        "archives": archives,
        "made": image.is_made,
    })
}

fn archive(archive: &Arc<Archive>) -> Value {
    json!({"path": archive.path().to_string_lossy(), "images": archive.found.images.len()})
}
