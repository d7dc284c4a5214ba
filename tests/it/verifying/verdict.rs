//! What is an error and what a warning, and what the exit code and the last line make of it.

use serde_json::json;

use super::{APP, amd64, arm64, as_json, damaged, errors, layer, verify, warnings, whole};
use crate::fixture::{Custom, Image, Layout, Node as _, Tar, Tree, blob_path};
use crate::packages::{Packages, tar};

fn last_line(said: &str) -> &str {
    said.lines().last().expect("a line")
}

fn without(image: &Image) -> Tree {
    let blobs = image.blobs().into_iter();
    blobs.fold(whole(), |tree, blob| tree.remove(&blob_path(&blob.digest)))
}

/// A platform that was not saved is a warning, and a conflict is. Which option makes them matter is said.
#[test]
fn warnings_count_if_one_is_strict() {
    let packages = Packages::new().with("app.tar", tar(&without(&arm64())));
    let said = verify(&packages, &[], 0).stdout;
    let end = "nothing is damaged or missing; 2 warnings, for which --strict would fail";
    assert!(last_line(&said).ends_with(end), "{said}");
    let said = verify(&packages, &["--strict"], 1).stdout;
    let end = "nothing is damaged or missing, but --strict fails because of 2 warnings";
    assert!(last_line(&said).ends_with(end), "{said}");

    let contradiction = Layout::new().named(&Image::new("other"), APP).tree();
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("other.tar", tar(&contradiction));
    let said = verify(&packages, &[], 0).stdout;
    assert!(said.contains("and counts; "), "{said}");
    verify(&packages, &["--strict"], 1);

    // Errors are reason enough.
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    let said = verify(&packages, &["--strict"], 1).stdout;
    assert!(
        last_line(&said).ends_with(": 1 file is at fault, 1 image is not whole"),
        "{said}"
    );
}

/// `serve --strict` and its variable mean something else.
#[test]
fn what_it_means_to_be_strict_is_said() {
    let help = verify(&Packages::new(), &["--help"], 0).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("Fail for warnings, too; `serve --strict` means something else"),
        "{help}"
    );
}

/// What is called an archive was meant to be one.
#[test]
fn a_file_that_is_no_archive_is_an_error() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("empty.tar", "");
    packages.put("none.tar", "nothing of the kind\n".repeat(100));
    packages.put("old.tar", Tar::new().file("repositories", b"{}").finish());
    packages.put("notes.txt", "not meant to be one\n");
    let said = verify(&packages, &[], 1).stdout;
    let [empty, none, old] = &errors(&said)[..] else {
        panic!("{said}");
    };
    assert!(old.contains("it was saved by Docker before 1.10"), "{said}");
    assert!(
        empty.starts_with("./empty.tar: the file is empty; "),
        "{said}"
    );
    assert!(
        none.starts_with("./none.tar: it is not a tar archive; "),
        "{said}"
    );
    assert!(
        last_line(&said).ends_with(": 3 files are at fault"),
        "{said}"
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["problems"][0]["kind"], "empty-file");
    assert_eq!(said["problems"][0]["severity"], "error");
    // Where they are listed it stays a warning: nothing else suffers from them.
    let listed = packages.list();
    assert_eq!(listed.0["problems"][0]["severity"], "warning");
}

/// To verify nothing is no success.
#[test]
fn a_path_without_images_is_an_error() {
    let packages = Packages::new();
    let said = verify(&packages, &[], 1).stdout;
    assert_eq!(errors(&said), [".: no image is there"]);
    assert!(
        last_line(&said).ends_with(": 1 path holds no image"),
        "{said}"
    );
    assert_eq!(as_json(&packages, &[], 1)["emptyPaths"], json!(["."]));

    packages.put("notes.txt", "not meant to be one\n");
    packages.put(
        "export.tar",
        Tar::new().file("etc/passwd", b"root").finish(),
    );
    packages.put("app.tar", tar(&whole()));
    // A folder may hold other archives as well.
    let said = verify(&packages, &[], 0).stdout;
    assert!(
        warnings(&said)[0].starts_with("./export.tar: the archive holds no images: "),
        "{said}"
    );
    // What is named itself is meant, and nothing is said twice.
    let said = verify(&packages, &["app.tar", "export.tar", "notes.txt"], 1).stdout;
    let [export, notes] = &errors(&said)[..] else {
        panic!("{said}");
    };
    assert!(
        export.starts_with("export.tar: the archive holds no images: "),
        "{said}"
    );
    assert_eq!(*notes, "notes.txt: no image is there");
}

/// What else is wrong says why there is no image.
#[test]
fn a_damaged_archive_is_told_once() {
    let mut bytes = tar(&whole());
    bytes.truncate(150_000);
    let packages = Packages::new().with("app.tar", bytes);
    let said = verify(&packages, &["app.tar"], 1).stdout;
    assert_eq!(errors(&said).len(), 1, "{said}");
}

/// Only what a platform needs is an error if one is named; what else was found is told.
#[test]
fn what_other_platforms_need_is_a_warning() {
    let damaged_for = |image: &Image, digest: &str| {
        let packages = Packages::new().with("app.tar", tar(&whole().corrupt(&blob_path(digest))));
        assert!(image.blobs().iter().any(|blob| blob.digest == digest));
        packages
    };
    let parts = [
        layer(&arm64()),
        arm64().config().digest,
        arm64().manifest().digest,
    ];
    for digest in parts {
        let packages = damaged_for(&arm64(), &digest);
        let said = verify(&packages, &["--platform", "linux/amd64"], 0).stdout;
        assert!(warnings(&said)[0].contains(&digest), "{said}");
        assert!(!said.contains("image acme/app:1 ("), "{said}");
        let said = as_json(&packages, &["--platform", "linux/amd64"], 0);
        assert_eq!(said["problems"][0]["severity"], "warning");
        assert_eq!(said["images"][0]["flaws"], json!([]));
        verify(&packages, &["--platform", "linux/arm64"], 1);
        let both = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
        let said = as_json(&packages, &both, 1);
        assert_eq!(said["images"][0]["flaws"][0]["digest"], json!(digest));
    }
    // Of which platform it would be nobody knows.
    let mut bytes = tar(&whole());
    bytes.truncate(150_000);
    let packages = Packages::new().with("app.tar", bytes);
    packages.put("other.tar", tar(&whole()));
    verify(&packages, &["--platform", "linux/amd64"], 1);
}

/// A platform that is named is wanted.
#[test]
fn a_platform_that_was_not_saved_is_missed_if_it_is_named() {
    let packages = Packages::new().with("app.tar", tar(&without(&arm64())));
    verify(&packages, &["--platform", "linux/amd64"], 0);
    let said = verify(&packages, &["--platform", "linux/arm64"], 1).stdout;
    assert!(
        errors(&said)[0].starts_with("image acme/app:1 (./app.tar): linux/arm64 was not saved; "),
        "{said}"
    );
    let said = verify(&packages, &["--platform", "linux/s390x"], 1).stdout;
    assert_eq!(errors(&said), ["no image for linux/s390x is here"]);
    assert!(
        last_line(&said).ends_with(": there is no image for 1 platform"),
        "{said}"
    );
    let said = as_json(&packages, &["--platform", "linux/s390x"], 1);
    assert_eq!(said["emptyPlatforms"], json!(["linux/s390x"]));
}

/// The version of Windows is no part of what one asks for.
#[test]
fn a_platform_is_found_whatever_its_version_is() {
    let image = Image::new("app").platform("windows/amd64");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest(),
            "size": image.manifest().bytes.len(),
            "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"},
        }],
    });
    let custom = Custom::new("application/vnd.oci.image.index.v1+json", &index);
    let tree = Layout::new()
        .named(&custom.holding(image.blobs()), APP)
        .tree();
    let packages = Packages::new().with("app.tar", tar(&tree));
    let said = as_json(&packages, &["--platform", "windows/amd64"], 0);
    assert_eq!(said["images"].as_array().map(Vec::len), Some(1), "{said}");
}

/// The same index, saved for one platform here and for the other there: both can be pulled.
#[test]
fn a_platform_is_there_if_any_archive_has_it() {
    let packages = Packages::new().with("a.tar", tar(&without(&arm64())));
    packages.put("images.txt", "acme/app:1\n");
    let amd64_only = ["--images", "images.txt", "--platform", "linux/amd64"];
    let arm64_only = ["--images", "images.txt", "--platform", "linux/arm64"];
    assert_eq!(
        as_json(&packages, &amd64_only, 0)["images"][0]["flaws"],
        json!([])
    );
    let said = as_json(&packages, &arm64_only, 1);
    assert_eq!(said["absent"][0]["why"], "linux/arm64 was not saved");

    packages.put("b.tar", tar(&without(&amd64())));
    for platform in [amd64_only, arm64_only] {
        let said = as_json(&packages, &platform, 0);
        assert_eq!(said["images"][0]["name"], "acme/app:1");
        assert_eq!(said["images"][0]["archives"], json!(["./a.tar", "./b.tar"]));
    }
}

/// An index that the server makes of images in several archives.
#[test]
fn an_index_that_was_made_is_checked_likewise() {
    let named = |image: &Image| Layout::new().named(image, APP).tree();
    let packages = Packages::new().with("a.tar", tar(&named(&amd64())));
    packages.put(
        "b.tar",
        tar(&named(&arm64()).corrupt(&blob_path(&layer(&arm64())))),
    );
    let said = verify(&packages, &[], 1).stdout;
    assert!(
        errors(&said)[1].starts_with(
            "image acme/app:1 (./a.tar and 1 more): 1 layer for linux/arm64 is damaged ("
        ),
        "{said}"
    );
    verify(&packages, &["--platform", "linux/amd64"], 0);
}
