//! `packageorigin verify`: every byte is read, and what is damaged or missing is said.

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
        said.ends_with(": nothing is damaged or missing\n"),
        "{said}"
    );
    let said = as_json(&packages, &["app.tar"], 0);
    assert_eq!(
        said["images"],
        json!([{
            "name": "acme/app:1",
            "digest": both().digest(),
            "damaged": [],
            "missing": [],
            "sparse": [],
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

#[test]
fn a_flipped_bit_is_found() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    let said = verify(&packages, &[], 1).stdout;
    let digest = layer(&arm64());
    assert!(said.contains("error: ./app.tar: the blob that begins at byte "), "{said}");
    assert!(
        said.contains(&format!("are not those of {digest}")),
        "{said}"
    );
    assert!(
        said.contains("error: image acme/app:1: 1 part is damaged\n"),
        "{said}"
    );
    assert!(
        said.ends_with(": 1 file is at fault, 1 image cannot be pulled\n"),
        "{said}"
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["damaged"], json!([digest]));
    assert_eq!(said["problems"][0]["kind"], "corrupt");

    // For the other platform the image is whole; the file is at fault all the same.
    let said = as_json(&packages, &["--platform", "linux/amd64"], 1);
    assert_eq!(said["images"][0]["damaged"], json!([]));
}

/// An image is whole as long as any archive has what it needs.
#[test]
fn a_copy_elsewhere_heals_the_image_and_not_the_file() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    packages.put("other.tar", tar(&whole()));
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["damaged"], json!([]));
    assert_eq!(said["problems"][0]["file"], "./app.tar");
}

#[test]
fn what_is_missing_is_told() {
    let packages = Packages::new();
    packages.put_folder("app", &whole().remove(&blob_path(&layer(&amd64()))));
    let said = verify(&packages, &[], 1).stdout;
    assert!(
        said.contains("error: image acme/app:1: 1 part is missing\n"),
        "{said}"
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["missing"], json!([layer(&amd64())]));
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

/// A platform that was not saved is a warning, and a conflict is.
#[test]
fn warnings_count_if_one_is_strict() {
    let mut sparse = whole();
    for blob in arm64().blobs() {
        sparse = sparse.remove(&blob_path(&blob.digest));
    }
    let packages = Packages::new().with("app.tar", tar(&sparse));
    let said = verify(&packages, &[], 0).stdout;
    assert!(
        said.contains("warning: image acme/app:1: 1 manifest was not saved\n"),
        "{said}"
    );
    verify(&packages, &["--strict"], 1);

    let contradiction = Layout::new().named(&Image::new("other"), APP).tree();
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("other.tar", tar(&contradiction));
    let said = verify(&packages, &[], 0).stdout;
    assert!(said.contains("and counts; "), "{said}");
    verify(&packages, &["--strict"], 1);
}

/// The same index, saved for one platform here and for the other there: both can be pulled.
#[test]
fn a_platform_is_there_if_any_archive_has_it() {
    let without = |image: &Image| {
        let blobs = image.blobs().into_iter();
        blobs.fold(whole(), |tree, blob| tree.remove(&blob_path(&blob.digest)))
    };
    let packages = Packages::new().with("a.tar", tar(&without(&arm64())));
    packages.put("images.txt", "acme/app:1\n");
    let amd64_only = ["--images", "images.txt", "--platform", "linux/amd64"];
    let arm64_only = ["--images", "images.txt", "--platform", "linux/arm64"];
    assert_eq!(
        as_json(&packages, &amd64_only, 0)["images"][0]["sparse"],
        json!([])
    );
    let said = as_json(&packages, &arm64_only, 1);
    assert_eq!(said["absent"][0]["why"], "it is not for that platform");

    packages.put("b.tar", tar(&without(&amd64())));
    for platform in [amd64_only, arm64_only] {
        let said = as_json(&packages, &platform, 0);
        assert_eq!(said["images"][0]["name"], "acme/app:1");
    }
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

#[test]
fn a_list_tells_what_must_be_there() {
    let tool = Layout::new().named(&amd64(), OTHER).tree();
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("tool.tar", tar(&tool));
    let put = |lines: &[&str]| packages.put("images.txt", lines.join("\n"));

    let by_digest = format!("acme/app@{}", both().digest());
    put(&[
        "# of a release",
        "",
        "acme/app:1",
        "docker.io/acme/app:1",
        OTHER,
        &by_digest,
    ]);
    verify(&packages, &["--images", "images.txt"], 0);

    let wrong_digest = format!("acme/app:1@{}", amd64().digest());
    put(&[
        "acme/app:1",
        "acme/app:9",
        "acme/none:1",
        "quay.io/acme/app:1",
        &wrong_digest,
    ]);
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    let absent: Vec<&str> = said["absent"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|absent| absent["image"].as_str())
        .collect();
    assert_eq!(
        absent,
        [
            "acme/app:9",
            "acme/none:1",
            "quay.io/acme/app:1",
            &wrong_digest
        ]
    );
    let said = verify(&packages, &["--images", "images.txt"], 1).stdout;
    assert!(
        said.contains("error: missing acme/app:9: no such tag is here, but 1\n"),
        "{said}"
    );
    assert!(
        said.contains("error: missing acme/none:1: nothing of that name is here\n"),
        "{said}"
    );
    assert!(said.contains(": 4 images are missing\n"), "{said}");

    put(&[OTHER]);
    let arm64 = ["--images", "images.txt", "--platform", "linux/arm64"];
    let said = as_json(&packages, &arm64, 1);
    assert_eq!(said["absent"][0]["why"], "it is not for that platform");
}

/// What is there under the name, but cannot be pulled, does not count.
#[test]
fn a_damaged_image_is_not_there() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    packages.put("images.txt", "acme/app:1\n");
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    assert_eq!(said["absent"][0]["why"], "it is not complete");
}

#[test]
fn what_was_typed_is_checked() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    let said = verify(&packages, &["--images", "none.txt"], 3).stderr;
    assert!(
        said.contains("cannot read the list of images `none.txt`"),
        "{said}"
    );
    packages.put("images.txt", "acme/app:1\nnot an image\n");
    let said = verify(&packages, &["--images", "images.txt"], 3).stderr;
    assert!(
        said.contains("`images.txt`, line 2: `not an image` names no image"),
        "{said}"
    );
    let said = verify(&packages, &["--platform", "arm64"], 2).stderr;
    assert!(
        said.contains("`--platform arm64`: expected OS/ARCHITECTURE"),
        "{said}"
    );
    verify(&packages, &["nowhere"], 3);
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
