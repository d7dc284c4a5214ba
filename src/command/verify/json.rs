//! The report for programs. `docs/reference/verify.md` describes it.

use serde_json::{Value, json};

use super::super::list::json::problem;
use super::report::{Checked, Report};
use crate::catalog::Flaw;

pub(super) fn report(report: &Report<'_>) -> Value {
    let hashed = report.hashed;
    let unreadable = hashed.unreadable.iter();
    let unreadable: Vec<Value> = unreadable
        .map(|(path, error)| json!({"file": path.to_string_lossy(), "what": error}))
        .collect();
    let absent: Vec<Value> = report
        .absent
        .iter()
        .map(|absent| json!({"image": absent.text, "why": absent.why}))
        .collect();
    json!({
        "hashed": {"blobs": hashed.blobs, "bytes": hashed.bytes},
        "archives": report.archives,
        "images": report.images.iter().map(image).collect::<Vec<_>>(),
        "absent": absent,
        "unreadable": unreadable,
        "problems": report.problems.iter().map(|known| problem(known)).collect::<Vec<_>>(),
    })
}

fn image(image: &Checked) -> Value {
    let with = |wanted: Flaw| {
        let flaws = image.flaws.iter().filter(move |(_, flaw)| *flaw == wanted);
        flaws
            .map(|(digest, _)| digest.to_string())
            .collect::<Vec<_>>()
    };
    json!({
        "name": image.name,
        "digest": image.digest.to_string(),
        "damaged": with(Flaw::Damaged),
        "missing": with(Flaw::Missing),
        "sparse": with(Flaw::Sparse),
        "signed": image.is_signed,
    })
}
