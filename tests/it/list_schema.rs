//! `docs/reference/list.schema.json` says what `list --json` writes, and allows nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use jsonschema::Validator;
use packageorigin::archive::{Fault, Format, Severity, Writer};
use serde_json::{Value, json};
use strum::{IntoEnumIterator as _, VariantNames as _};
use tempfile::TempDir;

use crate::fixture::{
    Algorithm, DockerArchive, Image, Layer, Layout, Naming, Node as _, Packing, Tar, blob_path,
    gzip,
};
use crate::listing::{Listing, list};

/// Where the schema has the values that a text may have.
const ENUMS: [&str; 4] = [
    "/$defs/archive/properties/format/enum",
    "/$defs/archive/properties/writer/enum",
    "/$defs/problem/properties/kind/enum",
    "/$defs/problem/properties/severity/enum",
];

#[test]
fn lists_are_as_the_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (nothing, broken) = (tempfile::tempdir().expect("a folder"), broken());
    for folder in [
        &root.join("tests/data"),
        &root.join("examples"),
        nothing.path(),
        broken.path(),
    ] {
        let listing = Listing::of(folder).0;
        let errors: Vec<String> = validator()
            .iter_errors(&listing)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", folder.display());
    }
}

/// Without one of its fields, with one more, or with something else in one of them, a list is none.
#[test]
fn the_schema_allows_nothing_else() {
    let validator = validator();
    let refuses = |listing: &Value, what: &str| {
        assert!(
            !validator.is_valid(listing),
            "{what} does not matter to the schema"
        );
    };
    let listing = Listing::of(broken().path()).0;
    for place in places(&listing) {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut listing = listing.clone();
            change(listing.pointer_mut(&place).expect("a place"));
            listing
        };
        refuses(&changed(&|value| *value = json!({})), &place);
        let Some(fields) = listing.pointer(&place).and_then(Value::as_object) else {
            continue;
        };
        refuses(
            &changed(&|value| value["unheard-of"] = json!("x")),
            &format!("another field in {place}"),
        );
        for field in fields.keys() {
            let object = |value: &mut Value| {
                value.as_object_mut().expect("an object").remove(field);
            };
            refuses(
                &changed(&object),
                &format!("the absence of {place}/{field}"),
            );
        }
    }
}

#[test]
fn the_schema_knows_all_that_the_program_may_say() {
    let formats = Format::iter().map(Format::name);
    let writers = Writer::iter().map(Writer::id);
    let kinds = Fault::VARIANTS.iter().copied();
    let severities: Vec<String> = Severity::iter().map(|known| known.to_string()).collect();
    let said = [
        formats.map(Value::from).chain([Value::Null]).collect(),
        writers.map(Value::from).chain([Value::Null]).collect(),
        kinds.map(Value::from).collect::<Vec<_>>(),
        severities.into_iter().map(Value::from).collect(),
    ];
    let schema = schema();
    for (place, said) in ENUMS.iter().zip(said) {
        let known = list(schema.pointer(place).expect("an enum"));
        assert_eq!(known, said, "{place}: what is known, and what is said");
    }
}

/// The folder is as broken as its name says.
#[test]
fn broken_files_are_problems_of_many_kinds() {
    let listing = Listing::of(broken().path()).0;
    let problems = list(&listing["problems"]).iter();
    let mut kinds: Vec<&str> = problems
        .filter_map(|problem| problem["kind"].as_str())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let expected = [
        "bad-name",
        "compressed",
        "conflict",
        "dangling-link",
        "digest-mismatch",
        "empty-file",
        "ignored",
        "incomplete",
        "loose-tag",
        "no-images",
        "no-layout",
        "not-an-archive",
        "truncated",
    ];
    assert_eq!(kinds, expected);
}

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/list.schema.json");
    serde_json::from_str(&fs::read_to_string(path).expect("a schema")).expect("JSON")
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a valid schema")
}

/// JSON pointers to a value and all that is in it.
fn places(value: &Value) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => (0..).map(|at: usize| at.to_string()).zip(items).collect(),
        _ => Vec::new(),
    };
    let deeper = inside.iter().flat_map(|(key, value)| {
        let places = places(value).into_iter();
        places.map(move |place| format!("/{key}{place}"))
    });
    [String::new()].into_iter().chain(deeper).collect()
}

/// A folder with everything that a list can have in it, and with files that are broken in several ways.
fn broken() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("a file");
    };
    let image = |title: &str| {
        let layer = Layer::files(&[("text", title.as_bytes())]);
        Image::new(title).layers([layer])
    };
    let layout = |title: &str, name: &str| Layout::new().named(&image(title), name);
    put("good.tar", &layout("good", "ghcr.io/acme/app:1").tar());
    put("rival.tar", &layout("rival", "ghcr.io/acme/app:1").tar());
    put("plus.tar", &layout("plus", "ghcr.io/acme/plus:1+1").tar());
    put("unnamable.tar", &layout("unnamable", "acme/App:1").tar());
    put("nothing.tar", &Layout::new().tar());
    let long = image("long").algorithm(Algorithm::Sha512);
    put("long.tar", &Layout::new().named(&long, "acme/long:1").tar());
    let chart = Image::new("chart").artifact_type("application/vnd.example.chart");
    put(
        "chart.tar",
        &Layout::new().named(&chart, "acme/chart:1").tar(),
    );
    let docker = DockerArchive::new(Naming::Docker20).image(&image("docker"), Some(&["app:1"]));
    put("docker.tar", &docker.tar());

    let whole = layout("whole", "acme/whole:1");
    put("cut.tar", &whole.tar()[..1000]);
    put("packed.tar.gz", &gzip(&whole.tar()));
    let manifest = blob_path(&image("whole").digest());
    let corrupt = whole.tree().corrupt(&manifest);
    put("corrupt.tar", &corrupt.tar(&Packing::SORTED));
    let config = blob_path(&image("headless").config().digest);
    let headless = layout("headless", "acme/headless:1");
    let headless = headless.tree().remove(&config);
    put("headless.tar", &headless.tar(&Packing::SORTED));
    put("empty.tar", b"");
    put("text.tar", b"Dear reader");
    put("notes.txt", b"Dear reader");
    let export = Tar::new().file("etc/hosts", b"").finish();
    put("export.tar", &export);
    symlink("nowhere", folder.path().join("link.tar")).expect("a link");
    folder
}
