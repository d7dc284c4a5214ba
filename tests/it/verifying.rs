//! `packageorigin verify`: every byte is read, and what is damaged or missing is said.

mod damage;
mod lists;
mod schema;
mod verdict;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Image, Index, Layer, Layout, Node as _, Tree, blob_path};
use crate::needs::{Finished, run};
use crate::packages::{Packages, tar};
use crate::server::{binary, command};

const APP: &str = "docker.io/acme/app:1";
const OTHER: &str = "ghcr.io/other/tool:2";

fn amd64() -> Image {
    Image::new("amd64").layers([Layer::raw(vec![b'a'; 100_000])])
}

fn arm64() -> Image {
    let layer = Layer::raw(vec![b'b'; 100_000]);
    Image::new("arm64").platform("linux/arm64").layers([layer])
}

fn both() -> Index {
    Index::new().with(&amd64()).with(&arm64())
}

fn layer(image: &Image) -> String {
    image.layer_descriptors()[0].digest.clone()
}

/// The layout of `both` as [`APP`].
fn whole() -> Tree {
    Layout::new().named(&both(), APP).tree()
}

fn damaged() -> Tree {
    whole().corrupt(&blob_path(&layer(&arm64())))
}

/// Runs the command on `packages`, and checks what it exits with.
fn verify(packages: &Packages, arguments: &[&str], code: i32) -> Finished {
    let mut verify = command(binary());
    verify
        .arg("verify")
        .args(arguments)
        .current_dir(packages.path());
    let finished = run(&mut verify, Duration::from_secs(30));
    assert_eq!(finished.code, Some(code), "{}", finished.said());
    finished
}

fn as_json(packages: &Packages, arguments: &[&str], code: i32) -> Value {
    let finished = verify(packages, &[arguments, &["--json"]].concat(), code);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

/// The lines that begin so, without their beginning.
fn lines<'s>(said: &'s str, beginning: &str) -> Vec<&'s str> {
    let lines = said.lines();
    lines
        .filter_map(|line| line.strip_prefix(beginning))
        .collect()
}

fn errors(said: &str) -> Vec<&str> {
    lines(said, "error: ")
}

fn warnings(said: &str) -> Vec<&str> {
    lines(said, "warning: ")
}

/// Where `part` begins in `bytes`.
fn offset_of(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).expect("a part")
}

#[test]
fn all_is_well() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    let said = verify(&packages, &[], 0).stdout;
    assert!(
        said.contains("warning: no signature of acme/app:1 is here\n"),
        "{said}"
    );
    assert!(said.contains("1 archive (201 kB), 1 image, in "), "{said}");
    assert!(
        said.ends_with(
            ": nothing is damaged or missing; 1 warning, for which --strict would fail\n"
        ),
        "{said}"
    );
    let said = as_json(&packages, &["app.tar"], 0);
    assert_eq!(
        said["images"],
        json!([{
            "name": "acme/app:1",
            "digest": both().digest(),
            "archives": ["app.tar"],
            "severity": null,
            "flaws": [],
            "signed": false,
        }])
    );
    assert_eq!(
        (&said["problems"], &said["absent"]),
        (&json!([]), &json!([]))
    );
    // Both layers, and both configurations.
    assert_eq!(said["archives"], 1);
    assert!(said["hashed"]["bytes"].as_u64() >= Some(200_000), "{said}");
}

/// An image is whole as long as any archive has what it needs.
#[test]
fn a_copy_elsewhere_heals_the_image_and_not_the_file() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    packages.put("other.tar", tar(&whole()));
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["flaws"], json!([]));
    assert_eq!(said["problems"][0]["file"], "./app.tar");
}

#[test]
fn a_truncated_archive_is_an_error() {
    let mut bytes = tar(&whole());
    bytes.truncate(150_000);
    let packages = Packages::new().with("app.tar", bytes);
    let said = verify(&packages, &[], 1).stdout;
    assert!(
        said.contains("error: ./app.tar: the archive is incomplete"),
        "{said}"
    );
}

/// With a signature beside it nothing is left to warn of.
#[test]
fn a_signed_image_is_sound_for_the_strict() {
    let signature = format!(
        "docker.io/acme/app:{}.sig",
        both().digest().replace(':', "-")
    );
    let by_tag = Layout::new()
        .named(&both(), APP)
        .named(&Image::new("signature"), &signature);
    let referrer = Image::new("signature")
        .subject(&both())
        .artifact_type("application/vnd.dev.cosign.artifact.sig.v1+json");
    let by_subject = Layout::new().named(&both(), APP).entry(&referrer, &[]);
    let about_it = Image::new("sbom")
        .subject(&both())
        .artifact_type("application/vnd.dev.cosign.artifact.sbom.v1+json");
    let by_nothing = Layout::new().named(&both(), APP).entry(&about_it, &[]);
    for (layout, is_signed) in [(by_tag, true), (by_subject, true), (by_nothing, false)] {
        let packages = Packages::new().with("app.tar", layout.tar());
        let said = as_json(&packages, &["--strict"], i32::from(!is_signed));
        assert_eq!(said["images"].as_array().map(Vec::len), Some(1), "{said}");
        assert_eq!(said["images"][0]["signed"], is_signed);
    }
}

/// It reads, and writes nothing.
#[test]
fn nothing_is_written() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    let names = |path: &Path| -> Vec<_> {
        let entries = fs::read_dir(path).expect("a folder");
        entries
            .map(|entry| entry.expect("an entry").file_name())
            .collect()
    };
    let before = names(packages.path());
    verify(&packages, &["-packages", "."], 1);
    assert_eq!(names(packages.path()), before);
}
