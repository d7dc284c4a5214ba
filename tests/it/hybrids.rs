//! Archives that describe their images twice, as an OCI layout and as a Docker archive, and the known ways
//! in which writers got one half wrong: which half is believed.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::fixture::{
    Blob, Descriptor, DockerArchive, IMAGE_NAME, Image, Index, Layer, Layout, Naming, Node as _,
    Packing, REF_NAME, Tree, blob_path,
};
use crate::server::{Server, binary, command};
use crate::serving::eventually;

/// An image of two different layers, not compressed.
fn image(title: &str) -> Image {
    let layer = |name: &str| Layer::files(&[(name, title.as_bytes())]);
    Image::new(title).layers([layer("a"), layer("b")])
}

fn packed(tree: &Tree) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hybrid.tar"), tree.tar(&Packing::SORTED)).unwrap();
    folder
}

/// What `list --json` says of an archive of this tree.
fn list(tree: &Tree) -> Value {
    let folder = packed(tree);
    let Output { stdout, .. } = command(binary())
        .args(["list", "--json"])
        .arg(folder.path())
        .output()
        .unwrap();
    serde_json::from_slice(&stdout).unwrap()
}

/// Every tag with what it means: `repository:tag digest`, those made here with a star.
fn tags(list: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for repository in list["repositories"].as_array().unwrap() {
        let name = repository["name"].as_str().unwrap();
        for tag in repository["tags"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tag| tag["automatic"].is_null())
        {
            let star = if tag["made"] == true { "*" } else { "" };
            lines.push(format!(
                "{name}:{} {}{star}",
                tag["tag"].as_str().unwrap(),
                tag["digest"].as_str().unwrap()
            ));
        }
        for image in repository["untagged"].as_array().unwrap() {
            let star = if image["made"] == true { "*" } else { "" };
            lines.push(format!(
                "{name} {}{star}",
                image["digest"].as_str().unwrap()
            ));
        }
    }
    lines.sort();
    lines
}

fn problems(list: &Value) -> Vec<&str> {
    list["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["what"].as_str().unwrap())
        .collect()
}

/// A hybrid archive of `image` as `app:1`, whose stored manifest has `layers` instead of the right ones.
fn with_layers(image: &Image, layers: &Value) -> (Tree, Blob) {
    with_manifest(image, |manifest| manifest["layers"] = layers.clone())
}

/// The same with any other change of the stored manifest.
fn with_manifest(image: &Image, change: impl Fn(&mut Value)) -> (Tree, Blob) {
    let mut manifest: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    change(&mut manifest);
    let manifest = Blob::new(manifest.to_string());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "annotations": {IMAGE_NAME: "docker.io/library/app:1", REF_NAME: "1"},
    }]});
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(image, Some(&["app:1"]))
        .tree()
        .replace("index.json", index.to_string())
        .remove(&blob_path(&image.manifest().digest))
        .file(&blob_path(&manifest.digest), manifest.bytes.clone());
    (tree, manifest)
}

#[test]
fn a_sound_archive_keeps_its_stored_manifest() {
    let image = image("sound");
    let list = list(
        &DockerArchive::new(Naming::Hybrid)
            .image(&image, Some(&["app:1"]))
            .tree(),
    );
    assert_eq!(tags(&list), [format!("app:1 {}", image.digest())]);
    assert_eq!(problems(&list), Vec::<&str>::new());
}

#[test]
fn a_stored_manifest_that_does_not_fit_is_replaced_and_kept() {
    let image = image("unfit");
    let right: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    let (first, second) = (&right["layers"][0], &right["layers"][1]);
    let mut absent = second.clone();
    absent["digest"] = json!(Blob::new("absent").digest);
    let mut resized = second.clone();
    resized["size"] = json!(1);
    let wrong = [
        json!([]),
        Value::Null,
        json!([second, first]),
        json!([first]),
        json!([first, first]),
        json!([first, absent]),
        json!([first, resized]),
    ];
    for layers in wrong {
        let (tree, stored) = with_layers(&image, &layers);
        let list = list(&tree);
        // The one made here is what a sound archive would have stored.
        let expected = [
            format!("app {}", stored.digest),
            format!("app:1 {}*", image.digest()),
        ];
        assert_eq!(tags(&list), expected, "{layers}");
        let rejected = problems(&list)
            .into_iter()
            .filter(|what| what.contains("does not fit the image"));
        assert_eq!(rejected.count(), 1, "{layers}");
        let folder = packed(&tree);
        let server = Server::serving(folder.path());
        assert!(server.get("/v2/app/manifests/1").body == image.manifest().bytes);
        assert!(
            server
                .get(&format!("/v2/app/manifests/{}", stored.digest))
                .body
                == stored.bytes
        );
    }
}

/// Docker 25.0 wrote what no other tool does into the descriptor of the config, which harms nobody.
#[test]
fn a_platform_in_the_config_descriptor_stays() {
    let image = image("platform");
    let (tree, stored) = with_manifest(&image, |manifest| {
        manifest["config"]["platform"] = json!({"architecture": "amd64", "os": "linux"});
    });
    let list = list(&tree);
    assert_eq!(tags(&list), [format!("app:1 {}", stored.digest)]);
    assert_eq!(problems(&list), Vec::<&str>::new());
}

/// containerd leaves a tag out of `manifest.json` where another name has the same platform.
#[test]
fn a_tag_that_only_the_index_has_is_there() {
    let image = image("index");
    let tree = DockerArchive::new(Naming::Containerd)
        .image(&image, Some(&["app:1", "app:2"]))
        .tree();
    let less = DockerArchive::new(Naming::Containerd).image(&image, Some(&["app:1"]));
    let list = list(&tree.replace("manifest.json", less.manifest()));
    let digest = image.digest();
    assert_eq!(
        tags(&list),
        [format!("app:1 {digest}"), format!("app:2 {digest}")]
    );
    assert_eq!(problems(&list), Vec::<&str>::new());
}

/// The layer that `image` has at the top, as Windows images have their base: elsewhere, compressed.
fn foreign(image: &Image) -> Value {
    let mut layers: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    let layer = Blob::new("only at its maker's");
    layers["layers"][1] = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": layer.digest,
        "size": layer.bytes.len(),
        "urls": ["https://maker.example/layer"],
    });
    layers["layers"].take()
}

/// Docker on Windows stores the data of a foreign layer, which its stored manifest does not tell: with the other half the
/// image can be pulled without the layer's maker.
#[test]
fn a_foreign_layer_whose_data_is_there_is_served() {
    let image = image("windows");
    let (tree, stored) = with_layers(&image, &foreign(&image));
    let list = list(&tree);
    assert_eq!(
        tags(&list),
        [
            format!("app {}", stored.digest),
            format!("app:1 {}*", image.digest())
        ]
    );
    let folder = packed(&tree);
    let server = Server::serving(folder.path());
    for blob in &image.blobs()[1..] {
        let answer = server.get(&format!("/v2/app/blobs/{}", blob.digest));
        assert!(answer.body == blob.bytes, "{}", blob.digest);
    }
}

#[test]
fn a_foreign_layer_that_is_not_there_is_left_to_its_maker() {
    let image = image("windows");
    let (tree, stored) = with_layers(&image, &foreign(&image));
    let layer = Blob::new(image.layers[1].blob().bytes);
    let tree = tree.remove(&blob_path(&layer.digest));
    let only_the_index = list(&tree.clone().remove("manifest.json"));
    assert_eq!(tags(&only_the_index), [format!("app:1 {}", stored.digest)]);
    assert_eq!(problems(&only_the_index), Vec::<&str>::new());
    let both = list(&tree);
    assert_eq!(tags(&both), [format!("app:1 {}", stored.digest)]);
}

/// Where Docker could not make a layer again as it was, its file goes by the diff ID and has another digest.
#[test]
fn a_layer_called_by_its_diff_id_has_the_digest_of_its_bytes() {
    let damaged = image("wrong").layers[1].blob();
    let image = image("right");
    let diff_id = &image.layers[1].diff_id;
    let stored = String::from_utf8(image.manifest().bytes).unwrap();
    let stored = Blob::new(stored.replace(diff_id, &damaged.digest));
    let entry = Descriptor::new("application/vnd.oci.image.manifest.v1+json", &stored)
        .annotation(IMAGE_NAME, "docker.io/library/app:1");
    let layout = Layout::new().described(entry).blob(stored.clone()).tree();
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1"]))
        .tree()
        .replace("index.json", layout.content("index.json"))
        .replace(&blob_path(diff_id), damaged.bytes.as_slice())
        .file(&blob_path(&stored.digest), stored.bytes.as_slice());
    let tags = tags(&list(&tree));
    // Stored or made, it is the same.
    let expected = format!("app:1 {}", stored.digest);
    assert!(
        tags.iter().any(|tag| tag.trim_end_matches('*') == expected),
        "{tags:#?}, expected {expected}"
    );
    let folder = packed(&tree);
    let server = Server::serving(folder.path());
    // It is hashed beside the start.
    eventually("the layer is hashed", || {
        let answer = server.get(&format!("/v2/app/blobs/{}", damaged.digest));
        answer.body == damaged.bytes
    });
}

#[test]
fn without_a_better_one_the_stored_manifest_stays() {
    // Both halves lack a layer.
    let image = image("both");
    let layer: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    let layer = layer["layers"][1]["digest"].as_str().unwrap().to_owned();
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1"]))
        .tree()
        .remove(&blob_path(&layer));
    let list = list(&tree);
    assert_eq!(tags(&list), [format!("app:1 {}", image.digest())]);
    assert!(
        problems(&list)
            .iter()
            .any(|what| what.contains("1 blob is missing"))
    );
}

#[test]
fn an_index_without_entries_is_made_up_for() {
    let image = image("null");
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1"]))
        .tree()
        .replace("index.json", r#"{"schemaVersion":2,"manifests":null}"#);
    let list = list(&tree);
    assert_eq!(tags(&list), [format!("app:1 {}*", image.digest())]);
}

#[test]
fn images_that_only_one_half_lists_are_found() {
    let (tagged, untagged) = (image("tagged"), image("untagged"));
    let index: Value = {
        let tree = DockerArchive::new(Naming::Hybrid)
            .image(&tagged, Some(&["app:1"]))
            .tree();
        assert!(tree.names().contains(&"index.json"));
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": tagged.digest(),
            "size": tagged.manifest().bytes.len(),
            "annotations": {IMAGE_NAME: "docker.io/library/app:1", REF_NAME: "1"},
        });
        json!({"schemaVersion": 2, "manifests": [descriptor]})
    };
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&tagged, Some(&["app:1"]))
        .image(&untagged, None)
        .tree()
        .replace("index.json", index.to_string());
    let expected = [
        format!("app:1 {}", tagged.digest()),
        format!("hybrid {}*", untagged.digest()),
    ];
    assert_eq!(tags(&list(&tree)), expected);
}

#[test]
fn a_tag_that_only_one_half_has_leads_to_the_stored_manifest() {
    let image = image("tags");
    let both = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1"]))
        .tree();
    let more = json!([{
        "Config": blob_path(&image.config().digest),
        "RepoTags": ["app:1", "other:2"],
        "Layers": layer_paths(&image),
    }]);
    let list = list(&both.replace("manifest.json", more.to_string()));
    let digest = image.digest();
    assert_eq!(
        tags(&list),
        [format!("app:1 {digest}"), format!("other:2 {digest}")]
    );
}

fn layer_paths(image: &Image) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| blob_path(layer["digest"].as_str().unwrap()))
        .collect()
}

#[test]
fn bare_tags_belong_to_the_repository_of_the_other_half() {
    let image = image("bare");
    let docker = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["ghcr.io/acme/app:1"]))
        .tree();
    let index = Layout::new()
        .named(&image, "1")
        .named(&image, "stable")
        .tree();
    let folder = tempfile::tempdir().unwrap();
    index.write_to(folder.path());
    let list = list(&docker.replace(
        "index.json",
        fs::read(folder.path().join("index.json")).unwrap(),
    ));
    let digest = image.digest();
    assert_eq!(
        tags(&list),
        [
            format!("acme/app:1 {digest}"),
            format!("acme/app:stable {digest}")
        ]
    );
}

#[test]
fn an_index_keeps_its_name_though_the_other_half_gives_it_to_one_platform() {
    let (amd64, arm64) = (image("amd64"), image("arm64").platform("linux/arm64"));
    let index = Index::new().with(&amd64).with(&arm64);
    let item = json!([{
        "Config": blob_path(&amd64.config().digest),
        "RepoTags": ["app:1"],
        "Layers": layer_paths(&amd64),
    }]);
    let tree = Layout::new()
        .entry(
            &index,
            &[(IMAGE_NAME, "docker.io/library/app:1"), (REF_NAME, "1")],
        )
        .tree();
    let list = list(&tree.file("manifest.json", item.to_string()));
    assert_eq!(tags(&list), [format!("app:1 {}", index.digest())]);
    assert_eq!(
        list["repositories"][0]["tags"][0]["platforms"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn two_images_that_claim_one_tag_are_told_and_the_newest_counts() {
    let (old, new) = (
        image("old").created("2020-01-01T00:00:00Z"),
        image("new").created("2025-01-01T00:00:00Z"),
    );
    for naming in [Naming::Docker20, Naming::Skopeo] {
        for images in [[&old, &new], [&new, &old]] {
            let archive = images
                .iter()
                .fold(DockerArchive::new(naming), |archive, image| {
                    archive.image(image, Some(&["app:1"]))
                });
            let list = list(&archive.tree());
            assert_eq!(
                tags(&list),
                [
                    format!("app {}*", old.digest()),
                    format!("app:1 {}*", new.digest())
                ]
            );
            let told = problems(&list)
                .into_iter()
                .filter(|what| what.contains("`docker.io/library/app:1` is"));
            assert_eq!(told.count(), 1);
        }
    }
}

#[test]
fn a_bare_tag_takes_the_repository_that_has_it() {
    let image = image("two");
    let docker = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1", "other:2"]))
        .tree();
    let folder = tempfile::tempdir().unwrap();
    Layout::new()
        .named(&image, "1")
        .named(&image, "2")
        .tree()
        .write_to(folder.path());
    let list = list(&docker.replace(
        "index.json",
        fs::read(folder.path().join("index.json")).unwrap(),
    ));
    let digest = image.digest();
    assert_eq!(
        tags(&list),
        [format!("app:1 {digest}"), format!("other:2 {digest}")]
    );
}
