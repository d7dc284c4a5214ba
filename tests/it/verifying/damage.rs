//! What is damaged or missing is told once, by what it is, where it lies, and whom it harms.

use serde_json::json;

use super::{
    APP, amd64, arm64, as_json, both, damaged, errors, layer, offset_of, verify, warnings, whole,
};
use crate::fixture::{
    DockerArchive, Image, Index, Layer, Layout, Naming, Node as _, Platform, blob_path,
};
use crate::packages::{Packages, tar};

fn s390x() -> Image {
    let layer = Layer::raw(vec![b'c'; 100_000]);
    Image::new("s390x").platform("linux/s390x").layers([layer])
}

/// The images that the index of three platforms lists.
fn three() -> Index {
    both().with(&s390x())
}

/// One message about the file, which says where the damage is, and one about the image, which says whose it is.
#[test]
fn a_layer_is_named_with_its_place_and_its_platform() {
    let bytes = tar(&damaged());
    let offset = offset_of(&bytes, &[b'b'; 512]);
    let packages = Packages::new().with("app.tar", bytes);
    let digest = layer(&arm64());
    let said = verify(&packages, &[], 1).stdout;
    assert_eq!(
        errors(&said),
        [
            format!(
                "./app.tar: the blob that begins at byte {offset} of the file is damaged: its bytes are not those of {digest}; \
                 copy the archive again, or save the image again"
            ),
            format!("image acme/app:1 (./app.tar): 1 layer for linux/arm64 is damaged ({digest})"),
        ]
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(
        said["images"][0]["flaws"],
        json!([{"flaw": "damaged", "part": "layer", "digest": digest, "platforms": ["linux/arm64"]}])
    );
    assert_eq!(said["images"][0]["severity"], "error");
}

#[test]
fn a_config_is_damaged_and_not_missing() {
    let config = arm64().config();
    let tree = whole().corrupt(&blob_path(&config.digest));
    let damaged = tree.content(&blob_path(&config.digest)).to_vec();
    let bytes = tar(&tree);
    let offset = offset_of(&bytes, &damaged);
    let packages = Packages::new().with("app.tar", bytes);
    let said = verify(&packages, &[], 1).stdout;
    let [file, image] = &errors(&said)[..] else {
        panic!("{said}");
    };
    let digest = &config.digest;
    let start = format!(
        "./app.tar: {digest}: it begins at byte {offset} of the file and is damaged: expected the digest {digest}, found sha256:"
    );
    assert!(file.starts_with(&start), "{said}");
    assert_eq!(
        *image,
        format!("image acme/app:1 (./app.tar): the config for linux/arm64 is damaged ({digest})")
    );
    assert!(!said.contains("missing"), "{said}");
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["flaws"][0]["part"], "config");
    assert_eq!(said["images"][0]["flaws"][0]["flaw"], "damaged");
    assert_eq!(said["problems"].as_array().map(Vec::len), Some(1), "{said}");
}

/// In a folder each blob is a file of its own.
#[test]
fn a_blob_of_a_folder_has_no_offset() {
    let packages = Packages::new();
    packages.put_folder("app", &damaged());
    let digest = layer(&arm64());
    let said = verify(&packages, &[], 1).stdout;
    let start = format!(
        "./app/{}: the file is damaged: its bytes are not those of {digest};",
        blob_path(&digest)
    );
    assert!(errors(&said)[0].starts_with(&start), "{said}");
}

/// Of three platforms one is damaged, and one was never saved.
#[test]
fn the_platform_of_a_manifest_is_known_though_it_is_not_here() {
    let mut tree = Layout::new().named(&three(), APP).tree();
    for blob in s390x().blobs() {
        tree = tree.remove(&blob_path(&blob.digest));
    }
    let packages = Packages::new().with("app.tar", tar(&tree));
    let said = verify(&packages, &[], 0).stdout;
    assert_eq!(
        warnings(&said)[0],
        "image acme/app:1 (./app.tar): linux/s390x was not saved; save the image with all platforms if they are wanted"
    );

    let manifest = arm64().manifest().digest;
    let packages = Packages::new().with("app.tar", tar(&tree.corrupt(&blob_path(&manifest))));
    let said = verify(&packages, &[], 1).stdout;
    assert_eq!(
        errors(&said)[1],
        format!(
            "image acme/app:1 (./app.tar): the manifest for linux/arm64 is damaged ({manifest}), linux/s390x was not saved; \
             save the image with all platforms if they are wanted"
        )
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(
        said["images"][0]["flaws"],
        json!([
            {"flaw": "damaged", "part": "manifest", "digest": manifest, "platforms": ["linux/arm64"]},
            {"flaw": "sparse", "part": "manifest", "digest": s390x().digest(), "platforms": ["linux/s390x"]},
        ])
    );
}

/// A layer that two platforms share harms both.
#[test]
fn a_shared_layer_is_told_with_all_its_platforms() {
    let of = |platform: &str| {
        let layer = Layer::raw(vec![b'd'; 5000]);
        Image::new(platform).platform(platform).layers([layer])
    };
    let index = Index::new()
        .with(&of("linux/amd64"))
        .with(&of("linux/arm64"));
    let digest = layer(&of("linux/amd64"));
    let tree = Layout::new().named(&index, APP).tree();
    let packages = Packages::new().with("app.tar", tar(&tree.remove(&blob_path(&digest))));
    let said = verify(&packages, &[], 1).stdout;
    assert_eq!(
        errors(&said),
        [format!(
            "image acme/app:1 (./app.tar): 1 layer for linux/amd64 and linux/arm64 is missing ({digest}); \
             add an archive that holds what is missing, or save the image again"
        )]
    );
}

/// The image stays in the report, though nothing of it can be served.
#[test]
fn an_image_whose_index_is_damaged_is_named() {
    let index = both().digest();
    let packages = Packages::new().with("app.tar", tar(&whole().corrupt(&blob_path(&index))));
    let said = verify(&packages, &[], 1).stdout;
    let [file, image] = &errors(&said)[..] else {
        panic!("{said}");
    };
    assert!(
        file.contains(" and is damaged: expected the digest "),
        "{said}"
    );
    assert_eq!(
        *image,
        format!("image acme/app:1 (./app.tar): the index is damaged ({index})")
    );
    let said = as_json(&packages, &[], 1);
    assert_eq!(said["images"][0]["name"], "acme/app:1");
    assert_eq!(
        said["images"][0]["flaws"],
        json!([{"flaw": "damaged", "part": "index", "digest": index, "platforms": []}])
    );
    assert_eq!(said["images"][0]["signed"], json!(null));
    // A list that asks for it is told the same, once.
    packages.put("images.txt", "acme/app:1\n");
    let said = verify(&packages, &["--images", "images.txt"], 1).stdout;
    assert_eq!(errors(&said).len(), 2, "{said}");
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    let why = format!("the index is damaged ({index})");
    assert_eq!(said["absent"][0]["why"], json!(why));

    // Another archive has it whole.
    packages.put("other.tar", tar(&whole()));
    let said = verify(&packages, &["--images", "images.txt"], 1).stdout;
    assert_eq!(errors(&said).len(), 1, "{said}");
}

#[test]
fn an_image_whose_manifest_is_missing_is_named() {
    let tree = Layout::new().named(&amd64(), APP).tree();
    let manifest = amd64().digest();
    let packages = Packages::new().with("app.tar", tar(&tree.remove(&blob_path(&manifest))));
    let said = verify(&packages, &[], 1).stdout;
    let expected = format!("image acme/app:1 (./app.tar): the manifest is missing ({manifest});");
    assert!(errors(&said)[1].starts_with(&expected), "{said}");
}

/// What no name is written for is called as its file, by its digest.
#[test]
fn an_image_without_a_name_is_named_by_its_file() {
    let tree = Layout::new().entry(&amd64(), &[]).tree();
    let manifest = amd64().digest();
    let packages = Packages::new().with("app.tar", tar(&tree.corrupt(&blob_path(&manifest))));
    let said = verify(&packages, &[], 1).stdout;
    assert_eq!(
        errors(&said)[1],
        format!("image app@{manifest} (./app.tar): the manifest is damaged ({manifest})")
    );
}

/// Docker's archives have no manifests: their configurations are all that tells what an image is.
#[test]
fn an_image_of_a_docker_archive_is_named() {
    let image = amd64();
    let archive = DockerArchive::new(Naming::Skopeo).image(&image, Some(&["acme/app:1"]));
    let config = Naming::Skopeo.config(&image);
    let packages = Packages::new().with("app.tar", tar(&archive.tree().corrupt(&config)));
    let said = verify(&packages, &[], 1).stdout;
    let digest = image.config().digest;
    let [file, told] = &errors(&said)[..] else {
        panic!("{said}");
    };
    assert!(
        file.starts_with(&format!("./app.tar: {config}: it begins at byte ")),
        "{said}"
    );
    assert_eq!(
        *told,
        format!("image acme/app:1 (./app.tar): the config is damaged ({digest})")
    );

    let tree = archive.tree();
    let member = tree
        .holder(&amd64().layers[0].blob().bytes)
        .expect("a layer")
        .to_owned();
    let packages = Packages::new().with("app.tar", tar(&tree.remove(&member)));
    let said = verify(&packages, &[], 1).stdout;
    assert!(
        errors(&said)[1].starts_with("image acme/app:1 (./app.tar): a layer is missing;"),
        "{said}"
    );
}

/// What Docker writes today is described twice: the damage is told once.
#[test]
fn an_archive_that_is_described_twice_tells_it_once() {
    for naming in [Naming::Containerd, Naming::Hybrid] {
        let image = Image::new("app");
        let archive = DockerArchive::new(naming).image(&image, Some(&["acme/app:1"]));
        let config = naming.config(&image);
        let packages = Packages::new().with("app.tar", tar(&archive.tree().corrupt(&config)));
        let said = verify(&packages, &[], 1).stdout;
        assert_eq!(errors(&said).len(), 2, "{said}");
        let digest = image.config().digest;
        assert_eq!(
            errors(&said)[1],
            format!("image acme/app:1 (./app.tar): the config is damaged ({digest})")
        );
    }
}

/// What has no tag is pulled by its digest, and may lack something as well.
#[test]
fn an_image_without_a_tag_is_checked() {
    let referrer = Image::new("sbom")
        .subject(&both())
        .artifact_type("application/x.sbom");
    let layout = Layout::new().named(&both(), APP).entry(&referrer, &[]);
    let lost = layer(&referrer);
    let packages = Packages::new().with("app.tar", tar(&layout.tree().remove(&blob_path(&lost))));
    let said = verify(&packages, &[], 1).stdout;
    let digest = referrer.digest();
    assert_eq!(
        errors(&said),
        [format!(
            "image acme/app@{digest} (./app.tar): 1 layer is missing ({lost}); \
             add an archive that holds what is missing, or save the image again"
        )]
    );
    // Nobody signs an SBOM.
    assert_eq!(warnings(&said), ["no signature of acme/app:1 is here"]);
}

/// An attestation belongs to the platform that it is about.
#[test]
fn an_attestation_is_told_with_its_platform() {
    let attestation = Image::new("provenance").platform("unknown/unknown");
    let mut descriptor = attestation
        .descriptor()
        .annotation("vnd.docker.reference.type", "attestation-manifest")
        .annotation("vnd.docker.reference.digest", &arm64().digest());
    descriptor.platform = Some(Platform::new("unknown/unknown"));
    let index = both().with_described(descriptor, &attestation);
    let digest = layer(&attestation);
    let tree = Layout::new().named(&index, APP).tree();
    let packages = Packages::new().with("app.tar", tar(&tree.remove(&blob_path(&digest))));
    let said = as_json(&packages, &[], 1);
    assert_eq!(
        said["images"][0]["flaws"],
        json!([{"flaw": "missing", "part": "layer", "digest": digest, "platforms": ["linux/arm64"]}])
    );
    verify(&packages, &["--platform", "linux/amd64"], 0);
}
