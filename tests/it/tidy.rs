//! The house stays as `ARCHITECTURE.md` draws it: layers, length of files, module docs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and the layers that it may use. The table of `ARCHITECTURE.md`, as data.
const LAYERS: &[(&str, &[&str])] = &[
    ("digest", &[]),
    ("cli", &[]),
    ("oci", &["digest"]),
    ("content", &["digest"]),
    ("cache", &["content", "digest"]),
    ("headers", &["content"]),
    ("archive", &["oci", "content", "digest"]),
    ("catalog", &["archive", "cache", "oci", "content", "digest"]),
    (
        "protocol",
        &["catalog", "oci", "content", "digest", "headers", "observe"],
    ),
    ("transport", &["content", "headers", "observe"]),
    ("observe", &[]),
    ("config", &["cli"]),
    (
        "command",
        &[
            "archive",
            "cache",
            "catalog",
            "cli",
            "config",
            "content",
            "digest",
            "headers",
            "observe",
            "oci",
            "protocol",
            "transport",
        ],
    ),
];

/// The layers that may wait on the runtime.
const ASYNCHRONOUS: &[&str] = &["transport", "command"];

/// No file may be longer: whoever opens one must be able to hold it in mind.
const MAX_LINES: usize = 800;

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The layer that the file belongs to; `None` for `lib.rs` and `main.rs`.
    fn layer(&self) -> Option<&str> {
        let inside = self.path.strip_prefix(root().join("src")).ok()?;
        let first = inside.components().next()?.as_os_str().to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main")).then_some(name)
    }

    /// The lines that are code.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
    }

    /// Every module of this crate that a path in the code begins with.
    fn uses(&self) -> BTreeSet<&str> {
        self.code()
            .flat_map(|line| line.split("crate::").skip(1))
            .map(first_word)
            .collect()
    }
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut pending = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path, text });
        }
    }
    assert!(!sources.is_empty(), "{folder} has no sources");
    sources
}

#[test]
fn layers_use_only_what_they_may() {
    for source in sources("src") {
        let Some(layer) = source.layer() else {
            continue;
        };
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| {
                panic!("`{layer}` is no layer: add it to the table here and in ARCHITECTURE.md")
            });
        for used in source.uses() {
            assert!(
                used == layer || allowed.contains(&used),
                "{}: `{layer}` must not know `{used}`",
                source.path.display()
            );
        }
    }
}

#[test]
fn crate_paths_are_written_out() {
    // A braced list behind `crate::` would hide what it names from the test above.
    for source in sources("src") {
        assert!(
            !source.text.contains("crate::{"),
            "{}: write one `use` for each layer",
            source.path.display()
        );
    }
}

#[test]
fn only_transport_and_command_wait() {
    for source in sources("src") {
        let waits = source.code().any(|line| {
            line.contains("async ") || line.contains(".await") || line.contains("tokio::")
        });
        let may = source
            .layer()
            .is_some_and(|layer| ASYNCHRONOUS.contains(&layer));
        assert!(
            may || !waits,
            "{}: only {ASYNCHRONOUS:?} are asynchronous",
            source.path.display()
        );
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        let path = source.path.display();
        let lines = source.text.lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines");
        assert!(
            source.text.starts_with("//!"),
            "{path} does not open with a `//!` line"
        );
    }
}

#[test]
fn the_architecture_page_holds_the_same_table() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (layer, allowed) in LAYERS {
        let allowed = match *layer {
            "command" => "all".to_owned(),
            _ if allowed.is_empty() => "–".to_owned(),
            _ => allowed
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let row = format!("| `{layer}` | {allowed} |");
        assert!(page.contains(&row), "ARCHITECTURE.md lacks the row {row}");
    }
}

/// A page that leads nowhere helps nobody.
#[test]
fn links_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = [
        "docs",
        "docs/how-to",
        "docs/reference",
        "docs/conformance",
        "fuzz",
        "load",
        "",
    ]
    .iter()
    .flat_map(|folder| fs::read_dir(root.join(folder)).expect("a folder"))
    .map(|entry| entry.expect("an entry").path())
    .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    .collect();
    pages.sort();
    assert!(pages.len() > 12, "{pages:?}");
    let mut dangling = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).expect("a page");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let paths = targets
            .filter(|target| !target.starts_with("http"))
            .filter_map(|target| target.split('#').next());
        let folder = page.parent().expect("a folder");
        for path in paths.filter(|path| !path.is_empty() && !folder.join(path).exists()) {
            dangling.push(format!("{}: {path}", page.display()));
        }
    }
    assert!(dangling.is_empty(), "{dangling:#?}");
}
