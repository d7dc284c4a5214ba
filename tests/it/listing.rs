//! What `list --json` says of a folder.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::needs::{Finished, run};
use crate::server::{binary, command};

/// How long it may take: layers that have to be hashed are waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// The answer of `list --json`.
#[derive(Debug)]
pub(crate) struct Listing(pub(crate) Value);

impl Listing {
    /// Lists a folder or a file.
    ///
    /// # Panics
    ///
    /// If the command fails: whatever is wrong with a file is no failure.
    pub(crate) fn of(packages: &Path) -> Self {
        let done = list_in(Path::new("."), [OsStr::new("--json"), packages.as_os_str()]);
        Self(serde_json::from_str(&done.stdout).expect("JSON"))
    }

    /// What is served, sorted: `HOST/PATH:TAG DIGEST`, or without the tag what is there by its digest only. The host
    /// is `.` where the name is made from the path, a star marks what is made here, and an automatic tag is left out.
    pub(crate) fn images(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for repository in list(&self.0["repositories"]) {
            let name = format!(
                "{}/{}",
                repository["host"].as_str().unwrap_or("."),
                repository["path"].as_str().expect("a path")
            );
            let images = list(&repository["tags"]).iter();
            for image in images.chain(list(&repository["untagged"])) {
                if image["automatic"].is_string() {
                    continue;
                }
                let tag = image["tag"].as_str().map(|tag| format!(":{tag}"));
                let digest = image["digest"].as_str().expect("a digest");
                let star = if image["made"] == true { "*" } else { "" };
                lines.push(format!("{name}{} {digest}{star}", tag.unwrap_or_default()));
            }
        }
        lines.sort();
        lines
    }

    /// The problems that are more than a note: `SEVERITY: WHAT`.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems = list(&self.0["problems"]).iter();
        problems
            .filter(|problem| problem["severity"] != "note")
            .map(|problem| {
                let text = |key: &str| problem[key].as_str().expect("a text");
                format!("{}: {}", text("severity"), text("what"))
            })
            .collect()
    }

    /// The archives, as they were recognized.
    pub(crate) fn archives(&self) -> &[Value] {
        list(&self.0["archives"])
    }
}

/// Runs `list` with these arguments in `folder`.
///
/// # Panics
///
/// If the command fails.
pub(crate) fn list_in<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Finished {
    let mut command = command(binary());
    command.arg("list").args(arguments).current_dir(folder);
    let done = run(&mut command, LIMIT);
    assert!(done.success, "{}", done.said());
    done
}

/// An array.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
