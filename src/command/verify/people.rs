//! The report for people: what is wrong, file by file and image by image, and then how it stands.

use std::fmt::Write as _;

use super::super::text::{count, size};
use super::report::{Checked, Report};
use crate::archive::problem::Printable;
use crate::catalog::{Flaw, Severity};

pub(super) fn report(report: &Report<'_>) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let _ = writeln!(text, "{problem}");
    }
    for (path, error) in &report.hashed.unreadable {
        let path = path.to_string_lossy();
        let _ = writeln!(text, "error: {}: {error}", Printable(&path));
    }
    for image in &report.images {
        if let Some(severity) = image.severity() {
            let _ = writeln!(text, "{severity}: image {}: {}", image.name, flaws(image));
        }
    }
    for absent in &report.absent {
        let _ = writeln!(text, "error: missing {}: {}", absent.text, absent.why);
    }
    text.push_str(&unsigned(report));
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(report));
    text
}

fn flaws(image: &Checked) -> String {
    let all = [
        (Flaw::Damaged, "part is damaged", "parts are damaged"),
        (Flaw::Missing, "part is missing", "parts are missing"),
        (
            Flaw::Sparse,
            "manifest was not saved",
            "manifests were not saved",
        ),
    ];
    let told = all.iter().filter_map(|(flaw, singular, plural)| {
        let number = image
            .flaws
            .iter()
            .filter(|(_, found)| found == flaw)
            .count();
        (number > 0).then(|| count(number, singular, plural))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn unsigned(report: &Report<'_>) -> String {
    let images = report.images.iter();
    let unsigned: Vec<&str> = images
        .filter(|image| !image.is_signed)
        .map(|image| image.name.as_str())
        .collect();
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
    let faulty = report.faulty_files().len();
    let wrong = |image: &&Checked| image.severity() == Some(Severity::Error);
    let broken = report.images.iter().filter(wrong).count();
    let mut text = format!(
        "Read {} in {} ({}), {}, in {:.1} s: ",
        count(hashed.blobs, "blob", "blobs"),
        count(report.archives, "archive", "archives"),
        size(hashed.bytes),
        count(report.images.len(), "image", "images"),
        hashed.duration.as_secs_f64(),
    );
    let mut wrongs = Vec::new();
    if faulty > 0 {
        wrongs.push(count(faulty, "file is at fault", "files are at fault"));
    }
    if broken > 0 {
        wrongs.push(count(
            broken,
            "image cannot be pulled",
            "images cannot be pulled",
        ));
    }
    if !report.absent.is_empty() {
        wrongs.push(count(
            report.absent.len(),
            "image is missing",
            "images are missing",
        ));
    }
    text.push_str(&if wrongs.is_empty() {
        "nothing is damaged or missing".to_owned()
    } else {
        wrongs.join(", ")
    });
    text.push('\n');
    text
}
