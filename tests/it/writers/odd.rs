//! What is no image, or an odd one: it is served as it is, and nothing is demanded of it.

use std::fs;

use serde_json::{Value, json};

use super::{Row, check, packed, plain};
use crate::fixture::{
    Blob, Custom, Descriptor, DockerArchive, Image, Index, Layer, Layout, Naming, Node, Packing,
    Platform, REF_NAME, Tree,
};
use crate::listing::{Listing, list};
use crate::server::Server;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

/// A manifest of this config and these layers, each with more keys in its descriptor.
fn manifest(config: (&str, &str), layers: &[(&str, &str, Value)]) -> Custom {
    let descriptor = |media_type: &str, bytes: &str, more: &Value| {
        let blob = Blob::new(bytes);
        let mut descriptor =
            json!({"mediaType": media_type, "digest": blob.digest, "size": bytes.len()});
        for (key, value) in more.as_object().into_iter().flatten() {
            descriptor[key] = value.clone();
        }
        descriptor
    };
    let (media_type, bytes) = config;
    let all: Vec<_> = layers
        .iter()
        .map(|(media_type, bytes, more)| descriptor(media_type, bytes, more))
        .collect();
    let json = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(media_type, bytes, &Value::Null),
        "layers": all,
        "annotations": {"org.opencontainers.image.title": media_type},
    });
    let blobs = layers.iter().map(|(_, bytes, _)| *bytes);
    Custom::new(OCI_MANIFEST, &json).holding([bytes].into_iter().chain(blobs).map(Blob::new))
}

/// A layout with one artifact, all of which is there.
fn artifact(what: &'static str, tag: &str, node: &impl Node) -> Row {
    let tree = Layout::new().named(node, tag).tree();
    layout(what, tree).stored(&format!("./app:{tag}"), node)
}

fn layout(what: &'static str, tree: Tree) -> Row {
    Row::tar(what, "app.tar", tree, Packing::SORTED)
}

#[test]
fn artifacts() {
    let none = Value::Null;
    let config =
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let chunked = json!({"annotations": {
        "io.github.containers.zstd-chunked.manifest-checksum": "sha256:0",
        "io.github.containers.zstd-chunked.manifest-position": "1:2:3:4",
    }});
    let stargz = json!({"annotations": {"containerd.io/snapshot/stargz/toc.digest": "sha256:0"}});
    check(&[
        artifact(
            "a Helm chart",
            "1.0.0_build.1",
            &manifest(
                (
                    "application/vnd.cncf.helm.config.v1+json",
                    r#"{"name":"chart"}"#,
                ),
                &[(
                    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                    "chart",
                    none.clone(),
                )],
            ),
        ),
        artifact(
            "a WASM module",
            "1",
            &manifest(
                (
                    "application/vnd.wasm.config.v0+json",
                    r#"{"architecture":"wasm","os":"wasip2"}"#,
                ),
                &[("application/wasm", "\0asm", none.clone())],
            ),
        ),
        artifact(
            "an empty config, which is also the layer",
            "1",
            &manifest((EMPTY_CONFIG, "{}"), &[(EMPTY_CONFIG, "{}", none.clone())]),
        ),
        artifact(
            "a config that is no JSON",
            "1",
            &manifest(
                ("application/x", "\u{1}"),
                &[("text/plain", "any", none.clone())],
            ),
        ),
        artifact(
            "layers with annotations",
            "1",
            &manifest(
                (IMAGE_CONFIG, config),
                &[
                    (
                        "application/vnd.oci.image.layer.v1.tar+zstd",
                        "chunked",
                        chunked,
                    ),
                    (
                        "application/vnd.oci.image.layer.v1.tar+gzip",
                        "stargz",
                        stargz,
                    ),
                    ("application/vnd.erofs.layer.v1", "erofs", none.clone()),
                ],
            ),
        ),
        artifact("no layers", "1", &Image::new("none").layers([])),
        other_entries(),
    ]);
}

/// Entries of unknown types do not keep others from being served.
fn other_entries() -> Row {
    let image = packed("image");
    let (text, absent) = (Blob::new("text"), Blob::new("absent"));
    let tree = Layout::new()
        .described(Descriptor::new("text/plain", &text).annotation(REF_NAME, "notes"))
        .described(Descriptor::new("application/x", &absent))
        .blob(text)
        .named(&image, "1")
        .tree();
    layout("entries of unknown types", tree)
        .stored("./app:1", &image)
        .problem("warning: the manifest is not usable: its type `text/plain` is not supported")
        .problem("warning: the manifest is not usable: its type `application/x` is not supported")
}

/// Layers that are elsewhere by intent: nobody misses them, and nobody fetches them.
#[test]
fn foreign_layers() {
    let urls = json!({"urls": ["https://maker.example/layer"]});
    let rows = [
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ]
    .map(|media_type| {
        let node = manifest(
            (IMAGE_CONFIG, "{}"),
            &[
                (
                    "application/vnd.oci.image.layer.v1.tar",
                    "here",
                    Value::Null,
                ),
                (media_type, "elsewhere", urls.clone()),
            ],
        );
        let row = artifact(media_type, "1", &node);
        let layer = crate::fixture::blob_path(&Blob::new("elsewhere").digest);
        Row {
            tree: row.tree.remove(&layer),
            ..row
        }
    });
    check(&rows);
}

/// In a Docker archive the data of a foreign layer is there: it is a layer like others, so that nobody has to fetch it.
#[test]
fn foreign_layers_of_docker_archives() {
    let rows = [Naming::Docker20, Naming::Skopeo].map(|naming| {
        let image = plain("foreign");
        let archive = DockerArchive::new(naming).image(&image, Some(&["app:1"]));
        let mut items: Value = serde_json::from_slice(&archive.manifest()).expect("JSON");
        items[0]["LayerSources"] = json!({&image.layers[0].diff_id: {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": Blob::new("at its maker's").digest,
            "size": 14,
            "urls": ["https://maker.example/layer"],
        }});
        let tree = archive.tree().replace("manifest.json", items.to_string());
        Row::tar("a foreign layer", "app.tar", tree, naming.packing())
            .made("docker.io/library/app:1", &image)
    });
    check(&rows);
}

/// A layer without content, in the three shapes that it is written in; and no layer at all.
#[test]
fn empty_layers() {
    let zeros = || Layer::raw([0; 1024]);
    let nothing = || Layer::raw([]);
    let some = || Layer::files(&[("a", b"a")]);
    let row = |what, naming: Naming, layers: &[Layer]| {
        let image = Image::new(what).layers(layers);
        let archive = DockerArchive::new(naming).image(&image, Some(&["app:1"]));
        Row::tar(what, "app.tar", archive.tree(), naming.packing())
            .made("docker.io/library/app:1", &image)
    };
    check(&[
        row("zeros", Naming::Docker20, &[some(), zeros(), zeros()]),
        row("zeros by digest", Naming::Skopeo, &[zeros(), some()]),
        row("nothing", Naming::Docker20, &[some(), nothing()]),
        row("nothing by digest", Naming::Skopeo, &[nothing(), nothing()]),
        row(
            "zeros in gzip",
            Naming::Crane,
            &[some().gzip(), zeros().gzip()],
        ),
        row("only zeros in gzip", Naming::Crane, &[zeros().gzip()]),
        row("no layers", Naming::Jib, &[]),
    ]);
    let image = Image::new("null").layers([]);
    let archive = DockerArchive::new(Naming::Jib).image(&image, Some(&["app:1"]));
    let manifest = String::from_utf8(archive.manifest()).expect("JSON");
    let manifest = manifest.replace(r#""Layers":[]"#, r#""Layers":null"#);
    let tree = archive.tree().replace("manifest.json", manifest);
    check(
        &[Row::tar("null layers", "app.tar", tree, Packing::default())
            .made("docker.io/library/app:1", &image)],
    );
}

/// Old caches are indexes, whose last child is their config.
#[test]
fn a_cache_is_no_image() {
    let (config, layer) = (Blob::new(r#"{"layers":[]}"#), Blob::new("cached"));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer.digest, "size": layer.bytes.len()},
            {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": config.digest, "size": config.bytes.len()},
        ],
    });
    let cache =
        Custom::new("application/vnd.oci.image.index.v1+json", &index).holding([config, layer]);
    let tree = Layout::new().named(&cache, "latest").tree();
    check(&[layout("an old cache", tree)]);
}

/// Tags that tell what is about an image, as cosign and registries without the referrers API have them.
#[test]
fn tags_made_of_digests() {
    let image = packed("image");
    let hex = image.digest().replace(':', "-");
    let signature = Image::new("signature").layers([Layer::raw("signed")]);
    // Only the tag says what it is about.
    let sbom = Image::new("sbom")
        .artifact_type("application/spdx+json")
        .annotation("key", "value");
    let fallback = Index::new().with(&sbom);
    let (signed, fallen) = (format!("{hex}.sig"), hex.clone());
    let tree = Layout::new()
        .named(&image, "1")
        .named(&signature, &signed)
        .named(&fallback, &fallen)
        .tree();
    let row = layout("tags made of digests", tree)
        .stored("./app:1", &image)
        .stored(&format!("./app:{signed}"), &signature)
        .stored(&format!("./app:{fallen}"), &fallback);
    let tar = row.tree.tar(&Packing::SORTED);
    check(&[row]);
    check_referrers(&tar, &image.digest(), &sbom);
}

/// The answer about `subject` is this one artifact.
fn check_referrers(tar: &[u8], subject: &str, artifact: &Image) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("app.tar"), tar).expect("a file");
    let server = Server::serving(folder.path());
    let answer = server.get(&format!("/v2/app/referrers/{subject}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let found: Vec<_> = list(&json["manifests"])
        .iter()
        .map(|found| &found["digest"])
        .collect();
    assert_eq!(found, [&json!(artifact.digest())], "{}", answer.text());
    assert_eq!(
        json["manifests"][0]["artifactType"],
        "application/spdx+json"
    );
}

/// Entries that are about another image say so in an annotation, whether or not the artifact has a subject. With olareg
/// the entry is the answer of a registry.
#[test]
fn entries_about_another_image() {
    const CONTAINERD: &str = "io.containerd.manifest.subject";
    const OLAREG: &str = "org.olareg.referrer.subject";
    let image = packed("image");
    let plain = Image::new("sbom").artifact_type("application/spdx+json");
    let subject = plain.clone().subject(&image);
    let layout = Layout::new().named(&image, "1");
    let (digest, answer) = (image.digest(), Index::new().with(&subject));
    for (layout, sbom) in [
        (
            layout.clone().entry(&plain, &[(CONTAINERD, &digest)]),
            &plain,
        ),
        (layout.clone().entry(&plain, &[(OLAREG, &digest)]), &plain),
        (
            layout.clone().entry(&subject, &[(CONTAINERD, &digest)]),
            &subject,
        ),
        (
            layout.clone().entry(&answer, &[(OLAREG, &digest)]),
            &subject,
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("app.tar"), layout.tar()).expect("a file");
        let images = Listing::of(folder.path()).images();
        let tagged: Vec<_> = images.iter().filter(|line| line.contains("app:")).collect();
        assert_eq!(tagged, [&format!("./app:1 {digest}")]);
        check_referrers(&layout.tar(), &digest, sbom);
    }
}

/// What `list` says of an index: the platforms that can be pulled.
fn platforms(layout: &Layout) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("app.tar"), layout.tar()).expect("a file");
    let listing = Listing::of(folder.path());
    assert_eq!(listing.problems(), Vec::<String>::new());
    assert_eq!(listing.images().len(), 1, "{listing:#?}");
    list(&listing.0["repositories"][0]["tags"][0]["platforms"])
        .iter()
        .map(|platform| platform["platform"].as_str().expect("a text").to_owned())
        .collect()
}

/// Neither the old nor the new kind of attestation is a platform, also where it is alone with an image.
#[test]
fn attestations_are_no_platforms() {
    let (amd64, arm64) = (packed("amd64"), packed("arm64").platform("linux/arm64"));
    let old = |image: &Image| Image::new("old").platform("unknown/unknown").subject(image);
    let new = |image: &Image| {
        Image::new("new")
            .artifact_type("application/vnd.docker.attestation.manifest.v1+json")
            .subject(image)
    };
    for (images, expected) in [
        (vec![&amd64], vec!["linux/amd64"]),
        (vec![&amd64, &arm64], vec!["linux/amd64", "linux/arm64"]),
    ] {
        for attest in [old, new] {
            let with_images = images
                .iter()
                .fold(Index::new(), |index, image| index.with(*image));
            let index = images.iter().fold(with_images, |index, image| {
                let attestation = attest(image);
                let descriptor = Descriptor {
                    platform: Some(Platform::new("unknown/unknown")),
                    ..attestation.descriptor()
                };
                let descriptor = descriptor
                    .annotation("vnd.docker.reference.type", "attestation-manifest")
                    .annotation("vnd.docker.reference.digest", &image.digest());
                index.with_described(descriptor, &attestation)
            });
            assert_eq!(platforms(&Layout::new().named(&index, "1")), expected);
            check(&[artifact("an attested image", "1", &index)]);
        }
    }
}

/// A stored index may have a platform twice: in another compression, or for another version of Windows.
#[test]
fn platforms_that_are_there_twice() {
    let (gzip, zstd) = (
        packed("same"),
        Image::new("same").layers([plain("same").layers[0].clone().zstd()]),
    );
    let descriptor = Descriptor {
        platform: Some(Platform::new("linux/amd64")),
        ..zstd.descriptor()
    };
    let descriptor = descriptor.annotation("io.github.containers.compression.zstd", "true");
    let index = Index::new().with(&gzip).with_described(descriptor, &zstd);
    let layout = Layout::new().named(&index, "1");
    assert!(
        platforms(&layout)
            .iter()
            .all(|platform| platform == "linux/amd64")
    );
    check(&[artifact("two compressions", "1", &index)]);
}
