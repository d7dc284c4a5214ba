//! The report for people: what is wrong, file by file and image by image, and then how it stands.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::text::{count, size};
use super::checked::Checked;
use super::report::Report;
use crate::archive::problem::Printable;
use crate::catalog::{Flaw, Flawed, Part};
use crate::oci::Platform;

pub(super) fn report(report: &Report<'_>) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let _ = writeln!(text, "{problem}");
    }
    for (path, error) in &report.hashed.unreadable {
        let path = path.to_string_lossy();
        let _ = writeln!(text, "error: {}: {error}", Printable(&path));
    }
    for path in &report.empty_paths {
        let path = path.to_string_lossy();
        let _ = writeln!(text, "error: {}: no image is there", Printable(&path));
    }
    for platform in &report.empty_platforms {
        let _ = writeln!(text, "error: no image for {platform} is here");
    }
    for image in &report.images {
        if let Some(severity) = report.severity(image) {
            let _ = writeln!(text, "{severity}: {}", told(image));
        }
    }
    for absent in report.absent.iter().filter(|absent| !absent.is_told) {
        let _ = writeln!(text, "error: missing {}: {}", absent.text, absent.why);
    }
    text.push_str(&unsigned(report));
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(report));
    text
}

/// What is wrong with an image, and what can be done about what is told nowhere else.
fn told(image: &Checked) -> String {
    let flaws_of = &image.inspection.flaws;
    let has = |flaw: Flaw| flaws_of.iter().any(|flawed| flawed.flaw == flaw);
    let fix = if has(Flaw::Missing) {
        "; add an archive that holds what is missing, or save the image again"
    } else if has(Flaw::Sparse) {
        "; save the image with all platforms if they are wanted"
    } else {
        ""
    };
    let text = format!(
        "image {} ({}): {}",
        image.name,
        held_by(&image.archives),
        flaws(flaws_of)
    );
    format!("{}{fix}", Printable(&text))
}

fn held_by(archives: &[PathBuf]) -> String {
    match archives {
        [] => "in no archive".to_owned(),
        [one] => one.display().to_string(),
        [first, others @ ..] => format!("{} and {} more", first.display(), others.len()),
    }
}

/// What is wrong with the parts of an image, those together that are alike.
pub(super) fn flaws(all: &[Flawed]) -> String {
    let is_alike = |a: &Flawed, b: &Flawed| {
        (a.flaw, a.part) == (b.flaw, b.part)
            && (a.platforms == b.platforms || a.flaw == Flaw::Sparse)
    };
    let mut all: Vec<&Flawed> = all.iter().collect();
    all.sort_by(|a, b| (a.flaw, a.part, &a.platforms).cmp(&(b.flaw, b.part, &b.platforms)));
    let groups = all.chunk_by(|a, b| is_alike(a, b));
    groups.map(alike).collect::<Vec<_>>().join(", ")
}

/// What is wrong with parts that are alike.
fn alike(parts: &[&Flawed]) -> String {
    let Flawed {
        flaw,
        part,
        platforms,
        ..
    } = parts[0];
    let state = match flaw {
        Flaw::Sparse => return unsaved(parts),
        Flaw::Damaged => "damaged",
        Flaw::Missing => "missing",
        Flaw::Unusable => "not usable",
    };
    let what = match (part, parts.len()) {
        (Part::Index, 1) => "the index".to_owned(),
        (Part::Index, number) => format!("{number} indexes"),
        (Part::Manifest, 1) => "the manifest".to_owned(),
        (Part::Manifest, number) => format!("{number} manifests"),
        (Part::Config, 1) => "the config".to_owned(),
        (Part::Config, number) => format!("{number} configs"),
        // It is not known how many.
        (Part::Layer, 1) if parts[0].digest.is_none() => "a layer".to_owned(),
        (Part::Layer, number) => count(number, "layer", "layers"),
    };
    let platforms = platforms.iter().map(Platform::to_string).collect();
    let whose = match joined(platforms, "and") {
        platforms if platforms.is_empty() => platforms,
        platforms => format!(" for {platforms}"),
    };
    let is = if parts.len() == 1 { "is" } else { "are" };
    let mut digests = parts.iter().filter_map(|part| part.digest.as_ref());
    let which = match (digests.next(), digests.count()) {
        (None, _) => String::new(),
        (Some(digest), 0) => format!(" ({digest})"),
        (Some(digest), more) => format!(" ({digest} and {more} more)"),
    };
    format!("{what}{whose} {is} {state}{which}")
}

/// That manifests were not saved, by their platforms where those are known.
fn unsaved(parts: &[&Flawed]) -> String {
    let platforms = parts.iter().flat_map(|part| &part.platforms);
    let platforms: Vec<String> = platforms.map(Platform::to_string).collect();
    match platforms.as_slice() {
        [] => {
            let manifests = count(parts.len(), "manifest was", "manifests were");
            format!("{manifests} not saved")
        }
        [one] => format!("{one} was not saved"),
        _ => format!("{} were not saved", joined(platforms, "and")),
    }
}

/// A list as people write it.
pub(super) fn joined(mut words: Vec<String>, conjunction: &str) -> String {
    let Some(last) = words.pop() else {
        return String::new();
    };
    if words.is_empty() {
        return last;
    }
    format!("{} {conjunction} {last}", words.join(", "))
}

fn unsigned(report: &Report<'_>) -> String {
    let unsigned: Vec<&str> = report.unsigned().map(|image| image.name.as_str()).collect();
    match unsigned.as_slice() {
        [] => String::new(),
        [name] => format!("warning: no signature of {name} is here\n"),
        [name, ..] => format!(
            "warning: no signatures of {} images are here, such as {name}\n",
            unsigned.len()
        ),
    }
}

fn summary(report: &Report<'_>) -> String {
    let hashed = report.hashed;
    format!(
        "Read {} in {} ({}), {}, in {:.1} s: {}\n",
        count(hashed.blobs, "blob", "blobs"),
        count(report.archives, "archive", "archives"),
        size(hashed.bytes),
        count(report.images.len(), "image", "images"),
        hashed.duration.as_secs_f64(),
        outcome(report),
    )
}

/// How it stands, and what that is due to.
fn outcome(report: &Report<'_>) -> String {
    if report.has_errors() {
        return wrongs(report);
    }
    let sound = "nothing is damaged or missing";
    let warnings = match report.warnings() {
        0 => return sound.to_owned(),
        warnings => count(warnings, "warning", "warnings"),
    };
    if report.scope.is_strict {
        format!("{sound}, but --strict fails because of {warnings}")
    } else {
        format!("{sound}; {warnings}, for which --strict would fail")
    }
}

fn wrongs(report: &Report<'_>) -> String {
    let absent = report.absent.iter().filter(|absent| !absent.is_told);
    let wrongs = [
        (
            report.faulty_files().len(),
            "file is at fault",
            "files are at fault",
        ),
        (
            report.broken().count(),
            "image is not whole",
            "images are not whole",
        ),
        (
            absent.count(),
            "image of the lists is not here",
            "images of the lists are not here",
        ),
        (
            report.empty_paths.len(),
            "path holds no image",
            "paths hold no image",
        ),
    ];
    let mut wrongs: Vec<String> = wrongs
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(number, one, many))
        .collect();
    if !report.empty_platforms.is_empty() {
        let platforms = count(report.empty_platforms.len(), "platform", "platforms");
        wrongs.push(format!("there is no image for {platforms}"));
    }
    wrongs.join(", ")
}
