//! `docs/reference/list.md`: its text is written by hand; the example, the fields and the tables are made.
//!
//! `UPDATE=1 cargo test list_page` rewrites what is made.

mod faults;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use packageorigin::archive::{Fault, Format, Problem, Writer};
use serde_json::Value;
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::generated;
use crate::listing::{list, list_in};

/// What the schema describes, and where.
const PARTS: [(&str, &str); 6] = [
    ("The whole", ""),
    ("In `repositories`", "/$defs/repository"),
    (
        "In `tags`; in `untagged` without `tag` and `automatic`",
        "/$defs/tag",
    ),
    ("In `platforms`", "/$defs/platform"),
    ("In `archives` of the whole", "/$defs/archive"),
    ("In `problems`", "/$defs/problem"),
];

#[test]
fn list_page_is_what_is_made() {
    let sections = [
        ("table", table()),
        ("json", json()),
        ("fields", fields()),
        ("formats", formats()),
        ("writers", writers()),
        ("problems", problems()),
    ];
    generated::check_page("docs/reference/list.md", &sections, "list_page");
}

/// Else a kind would be missing in the table.
#[test]
fn every_fault_has_a_sample() {
    let samples: BTreeSet<&str> = faults::samples().iter().map(Into::into).collect();
    let faults: BTreeSet<&str> = Fault::VARIANTS.iter().copied().collect();
    assert_eq!(samples, faults);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a terminal shows of the examples.
fn table() -> String {
    let list = list_in(root(), ["examples"]);
    let talk = list.stderr;
    console("packageorigin list examples", &[list.stdout, talk].concat())
}

fn json() -> String {
    let list = list_in(&root().join("examples"), ["--json", "hello.tar"]);
    console("packageorigin list --json hello.tar", &list.stdout)
}

fn console(command: &str, output: &str) -> String {
    format!("```console\n$ {command}\n{output}```\n")
}

/// The fields as the schema describes them.
fn fields() -> String {
    let path = root().join("docs/reference/list.schema.json");
    let schema = fs::read_to_string(path).expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let parts = PARTS.map(|(title, place)| {
        let properties = &schema.pointer(place).expect("a part")["properties"];
        let rows = properties.as_object().expect("fields").iter();
        let rows = rows.map(|(name, property)| {
            let property = resolved(&schema, property);
            let meaning = property["description"].as_str().expect("a meaning");
            format!("| `{name}` | {} | {meaning} |\n", kind(&schema, property))
        });
        let head = format!("{title}:\n\n| Field | Type | Meaning |\n|---|---|---|\n");
        [head, rows.collect()].concat()
    });
    parts.join("\n")
}

/// What a property is that only refers to another one.
fn resolved<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    match target(schema, property) {
        Some(target) if property.get("description").is_none() => target,
        _ => property,
    }
}

fn target<'s>(schema: &'s Value, property: &Value) -> Option<&'s Value> {
    let place = property["$ref"].as_str()?.strip_prefix('#')?;
    Some(schema.pointer(place).expect("what is referred to"))
}

/// The type of a property, in words.
fn kind(schema: &Value, property: &Value) -> String {
    if let Some(target) = target(schema, property) {
        return kind(schema, target);
    }
    match &property["type"] {
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
            kinds.join(" or ")
        }
        Value::String(kind) if kind == "array" => {
            format!("array of {}s", self::kind(schema, &property["items"]))
        }
        Value::String(kind) => kind.clone(),
        _ if list(&property["enum"]).contains(&Value::Null) => "string or null".to_owned(),
        _ => "string".to_owned(),
    }
}

fn formats() -> String {
    let head = "| `format` | What tells it |\n|---|---|\n".to_owned();
    let rows = Format::iter().map(|format| {
        let sign = match format {
            Format::DockerArchive => "`manifest.json` lists images, as `docker save` invented it",
            Format::OciLayout => "`index.json` and blobs",
            Format::Both => "both at once, for readers of either; they complete each other",
            Format::Dir => "`manifest.json` is the manifest of the one image: skopeo's `dir:`",
        };
        format!("| `{}` | {sign} |\n", format.name())
    });
    [head, rows.collect()].concat()
}

fn writers() -> String {
    let head = "| `writer` | `WRITTEN BY` |\n|---|---|\n".to_owned();
    let rows = Writer::iter().map(|writer| format!("| `{}` | {} |\n", writer.id(), writer.name()));
    [head, rows.collect()].concat()
}

fn problems() -> String {
    let head =
        "| `kind` | `severity` | What it says | What to do |\n|---|---|---|---|\n".to_owned();
    let faults = faults::samples();
    let mut rows: Vec<String> = faults
        .iter()
        .map(|fault| {
            let Problem {
                kind,
                severity,
                what,
                fix,
                ..
            } = Problem::new("", fault);
            format!(
                "| `{kind}` | {severity} | {} | {fix} |\n",
                faults::short(&what)
            )
        })
        .collect();
    rows.sort();
    [head, rows.concat()].concat()
}
