//! The list for programs. `docs/reference/list.schema.json` describes it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_archive, untagged};
use crate::archive::{Format, Writer};
use crate::catalog::{Archive, Image, Problem, Snapshot, View};
use crate::oci::{MediaType, Tag};

/// All that is served, and all that is wrong.
pub(super) fn list(snapshot: &Snapshot) -> Value {
    let repositories: Vec<Value> = snapshot
        .repositories()
        .map(|view| repository(&view))
        .collect();
    let archives = snapshot.archives().iter();
    let archives: Vec<Value> = archives
        .filter(|archive| is_archive(snapshot, archive))
        .map(archive)
        .collect();
    let problems: Vec<Value> = snapshot.problems().iter().map(problem).collect();
    json!({"repositories": repositories, "archives": archives, "problems": problems})
}

/// What is wrong with a file.
pub(in crate::command) fn problem(problem: &Problem) -> Value {
    json!({
        "severity": problem.severity.to_string(),
        "kind": problem.kind,
        "file": problem.file.to_string_lossy(),
        "member": problem.member,
        "what": problem.what,
        "fix": problem.fix,
    })
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
            json!({"platform": image.platform.to_string(), "digest": image.digest.to_string(), "size": view.size(&image.digest)})
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
    let found = &archive.found;
    json!({
        "path": archive.path().to_string_lossy(),
        "format": found.format.map(Format::name),
        "writer": found.writer.map(Writer::id),
        "images": found.images.len(),
    })
}
