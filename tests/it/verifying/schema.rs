//! `docs/reference/verify.schema.json` says what `verify --json` writes, and allows nothing else.

use std::fs;
use std::path::Path;

use jsonschema::{Registry, RegistryBuilder, Validator};
use serde_json::Value;

use super::{OTHER, amd64, arm64, as_json, both, damaged, whole};
use crate::fixture::{Layout, Node as _, blob_path};
use crate::packages::{Packages, tar};

/// A folder in which there is something of all that a report may tell, but for what changes while it is read.
fn all() -> Packages {
    let packages = Packages::new().with("damaged.tar", tar(&damaged()));
    let mut sparse = Layout::new()
        .named(&both(), "docker.io/acme/sparse:1")
        .tree();
    for blob in arm64().blobs() {
        sparse = sparse.remove(&blob_path(&blob.digest));
    }
    packages.put("sparse.tar", tar(&sparse));
    let tool = Layout::new().named(&amd64(), OTHER).tree();
    packages.put("missing.tar", tar(&tool));
    let lost = Layout::new()
        .named(&amd64(), "docker.io/acme/lost:1")
        .tree();
    packages.put(
        "lost.tar",
        tar(&lost.corrupt(&blob_path(&amd64().digest()))),
    );
    packages.put("empty.tar", "");
    packages.put("images.txt", "acme/none:1\nacme/app:1\n");
    packages
}

const ARGUMENTS: [&str; 4] = ["--images", "images.txt", "--platform", "linux/arm64"];

/// Where the schemas are supposed to lie beside each other.
const FOLDER: &str = "https://example.com/reference/";

fn schema(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let schema = fs::read_to_string(folder.join(name)).expect("a schema");
    serde_json::from_str(&schema).expect("JSON")
}

fn validator() -> Validator {
    let list = schema("list.schema.json");
    let registry = Registry::new().add(format!("{FOLDER}list.schema.json"), list);
    let registry = registry.and_then(RegistryBuilder::prepare);
    let registry = registry.expect("a registry");
    let options = jsonschema::options()
        .with_base_uri(format!("{FOLDER}verify.schema.json"))
        .with_registry(&registry);
    options
        .build(&schema("verify.schema.json"))
        .expect("a validator")
}

#[test]
fn reports_are_as_the_schema_says() {
    let validator = validator();
    let packages = all();
    let nothing = Packages::new();
    let good = Packages::new().with("app.tar", tar(&whole()));
    let reports = [
        as_json(&packages, &ARGUMENTS, 1),
        as_json(&packages, &[], 1),
        as_json(&nothing, &[], 1),
        as_json(&good, &["--platform", "linux/s390x"], 1),
        as_json(&good, &[], 0),
    ];
    for report in &reports {
        let errors: Vec<String> = validator
            .iter_errors(report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{report:#}");
    }
    // There is something in each list, so that what lies in it was looked at.
    for list in [
        "images",
        "absent",
        "emptyPaths",
        "emptyPlatforms",
        "problems",
    ] {
        let is_empty = |report: &Value| report[list].as_array().is_none_or(Vec::is_empty);
        assert!(!reports.iter().all(is_empty), "{list}");
    }
}

#[test]
fn the_schema_allows_nothing_else() {
    let validator = validator();
    let report = as_json(&all(), &ARGUMENTS, 1);
    for place in [
        "",
        "/hashed",
        "/images/0",
        "/images/0/flaws/0",
        "/absent/0",
        "/problems/0",
    ] {
        let fields = report.pointer(place).and_then(Value::as_object);
        for field in fields.expect("an object").keys() {
            let mut changed = report.clone();
            let object = changed.pointer_mut(place).and_then(Value::as_object_mut);
            object.expect("an object").remove(field);
            assert!(
                !validator.is_valid(&changed),
                "{place}/{field} may be absent"
            );
        }
        let mut changed = report.clone();
        changed.pointer_mut(place).expect("an object")["unheard-of"] = 1.into();
        assert!(!validator.is_valid(&changed), "another field in {place}");
    }
}
