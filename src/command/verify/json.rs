//! The report for programs. `docs/reference/verify.schema.json` describes it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::list::json::problem;
use super::checked::Checked;
use super::report::Report;
use crate::catalog::{Flaw, Flawed, Part};
use crate::digest::Digest;
use crate::oci::Platform;

pub(super) fn report(report: &Report<'_>) -> Value {
    let hashed = report.hashed;
    let unreadable = hashed.unreadable.iter();
    let unreadable: Vec<Value> = unreadable
        .map(|(path, error)| json!({"file": text(path), "what": error}))
        .collect();
    let absent: Vec<Value> = report
        .absent
        .iter()
        .map(|absent| json!({"image": absent.text, "why": absent.why}))
        .collect();
    let images = report.images.iter().map(|known| image(report, known));
    let empty_paths = report.empty_paths.iter().map(|path| text(path));
    json!({
        "hashed": {"blobs": hashed.blobs, "bytes": hashed.bytes},
        "archives": report.archives,
        "images": images.collect::<Vec<_>>(),
        "absent": absent,
        "emptyPaths": empty_paths.collect::<Vec<_>>(),
        "emptyPlatforms": platforms(report.empty_platforms.iter().copied()),
        "unreadable": unreadable,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn image(report: &Report<'_>, image: &Checked) -> Value {
    let severity = report.severity(image);
    let archives = image.archives.iter().map(PathBuf::as_path).map(text);
    json!({
        "name": image.name,
        "digest": image.digest.as_ref().map(Digest::to_string),
        "archives": archives.collect::<Vec<_>>(),
        "severity": severity.map(|severity| severity.to_string()),
        "flaws": image.inspection.flaws.iter().map(flawed).collect::<Vec<_>>(),
        "signed": image.is_signed,
    })
}

fn flawed(flawed: &Flawed) -> Value {
    let flaw = match flawed.flaw {
        Flaw::Damaged => "damaged",
        Flaw::Unusable => "unusable",
        Flaw::Missing => "missing",
        Flaw::Sparse => "sparse",
    };
    let part = match flawed.part {
        Part::Index => "index",
        Part::Manifest => "manifest",
        Part::Config => "config",
        Part::Layer => "layer",
    };
    json!({
        "flaw": flaw,
        "part": part,
        "digest": flawed.digest.as_ref().map(Digest::to_string),
        "platforms": platforms(flawed.platforms.iter()),
    })
}

fn platforms<'p>(platforms: impl Iterator<Item = &'p Platform>) -> Vec<String> {
    platforms.map(Platform::to_string).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
