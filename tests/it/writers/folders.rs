//! What tools leave as folders.

use serde_json::{Value, json};

use super::layouts::{LAYOUT, without_media_type};
use super::{Row, packed, plain, schema_2};
use crate::fixture::{
    Blob, Custom, DockerArchive, IMAGE_NAME, Image, Index, Layer, Layout, Naming, Node, REF_NAME,
    Tree, encoded,
};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn row(tool: &'static str, tree: Tree) -> Row {
    Row::folder(tool, "shelf/app", tree).is(LAYOUT, None)
}

pub(super) fn rows() -> Vec<Row> {
    [layouts(), directories(), stores(), extracted()]
        .into_iter()
        .flatten()
        .collect()
}

fn two_platforms() -> (Image, Image, Index) {
    let (amd64, arm64) = (packed("amd64"), packed("arm64").platform("linux/arm64"));
    let index = Index::new().with(&amd64).with(&arm64);
    (amd64, arm64, index)
}

fn layouts() -> Vec<Row> {
    let image = packed("folder");
    let (amd64, arm64, index) = two_platforms();
    let nameless = Layout::new().entry(&image, &[]).tree();
    let buildx = Layout::new()
        .entry(
            &image,
            &[(IMAGE_NAME, "ghcr.io/acme/app:1"), (REF_NAME, "1")],
        )
        .tree()
        .folder("ingest")
        .file("index.json.lock", "");
    let mut rows = vec![
        row(
            "skopeo, `oci:DIRECTORY:TAG`",
            Layout::new().named(&image, "1").tree(),
        )
        .told("`ref.name`: `1`")
        .stored("./shelf/app:1", &image),
        row("crane, `crane pull --format=oci`", nameless.clone())
            .told("no name")
            .stored("./shelf/app:latest", &image),
        row(
            "crane, `crane pull --format=oci --annotate-ref`",
            Layout::new()
                .named(&index, "index.docker.io/library/app:1")
                .tree(),
        )
        .told("`ref.name`: `index.docker.io/library/app:1`")
        .stored("docker.io/library/app:1", &index),
        row(
            "crane, several `crane pull --format=oci` of one platform each",
            Layout::new().entry(&arm64, &[]).entry(&amd64, &[]).tree(),
        )
        .told("no name")
        .note("one index is made of the platforms")
        .serves("./shelf/app:latest", &index, true),
        row(
            "ko, `--oci-layout-path`",
            Layout::new().entry(&index, &[]).tree(),
        )
        .told("no name")
        .stored("./shelf/app:latest", &index),
        row("kaniko, `--oci-layout-path`", nameless)
            .told("no name")
            .stored("./shelf/app:latest", &image),
        row("apko, `apko build` into a folder", apko(&index))
            .told("no name")
            .note("`index.json` is the index of the image")
            .stored("./shelf/app:latest", &index),
        row("buildx, `--output type=oci,tar=false`", buildx)
            .is(LAYOUT, Some("containerd"))
            .told("`index.json`: `ghcr.io/acme/app:1`")
            .stored("ghcr.io/acme/app:1", &image),
        row("buildx, `--cache-to type=local`", cache())
            .is(LAYOUT, Some("buildkit-cache"))
            .told("`ref.name`: `latest`")
            .note("not served: a cache is no image"),
        umoci(),
        cosign(),
    ];
    rows.extend([olareg()]);
    rows
}

/// `index.json` is the index of the image, byte for byte.
fn apko(index: &Index) -> Tree {
    let children = index.blobs().into_iter().skip(1);
    let layout = children.fold(Layout::new(), Layout::blob);
    layout.tree().replace("index.json", index.manifest().bytes)
}

fn cache() -> Tree {
    let (config, layer) = (
        Blob::new(r#"{"layers":[],"records":[]}"#),
        Blob::new("cached"),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": config.digest, "size": config.bytes.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer.digest, "size": layer.bytes.len()}],
    });
    let manifest = Custom::new(OCI_MANIFEST, &manifest).holding([config, layer]);
    Layout::new()
        .named(&manifest, "latest")
        .tree()
        .folder("ingest")
}

/// Neither the manifests nor `index.json` say what they are.
fn umoci() -> Row {
    let image = without_media_type(&packed("umoci"));
    let tree = Layout::new().named(&image, "1").tree();
    let mut index: Value = serde_json::from_slice(tree.content("index.json")).expect("JSON");
    index
        .as_object_mut()
        .expect("an object")
        .remove("mediaType");
    row(
        "umoci, `umoci insert` and `umoci repack`",
        tree.replace("index.json", index.to_string()),
    )
    .told("`ref.name`: `1`")
    .stored("./shelf/app:1", &image)
}

/// An image and what is about it, told apart by `kind` only.
fn cosign() -> Row {
    let image = packed("cosign");
    let payload =
        |title: &str| Layer::raw(title).media_type("application/vnd.dsse.envelope.v1+json");
    let about = |title: &str| Image::new(title).layers([payload(title)]);
    let kind = |kind: &str| format!("dev.cosignproject.cosign/{kind}");
    let tree = Layout::new()
        .entry(&image, &[("kind", &kind("image"))])
        .entry(&about("sig"), &[("kind", &kind("sigs"))])
        .entry(&about("att"), &[("kind", &kind("atts"))])
        .tree();
    let tag = |ending: &str| format!("./shelf/app:{}.{ending}", image.digest().replace(':', "-"));
    row("cosign, `cosign save`", tree)
        .is(LAYOUT, Some("cosign"))
        .told("no name")
        .note("signatures and the like get the tags that cosign looks for")
        .stored("./shelf/app:latest", &image)
        .stored(&tag("sig"), &about("sig"))
        .stored(&tag("att"), &about("att"))
}

/// skopeo's `dir:`: no folders, files by digest.
fn directory(node: &impl Node) -> Tree {
    let blobs = node.blobs();
    let start = Tree::default()
        .file("version", "Directory Transport Version: 1.1\n")
        .file("manifest.json", blobs[0].bytes.as_slice())
        .file("signature-1", "signed");
    blobs[1..].iter().fold(start, |tree, blob| {
        let hex = encoded(&blob.digest);
        if super::is_document(&blob.bytes) {
            tree.file(&format!("{hex}.manifest.json"), blob.bytes.as_slice())
                .file(&format!("{hex}.signature-1"), "signed")
        } else {
            tree.file(hex, blob.bytes.as_slice())
        }
    })
}

fn directories() -> Vec<Row> {
    let image = schema_2("dir");
    let (_, _, index) = two_platforms();
    let by_digest = format!("app@{}", image.digest());
    let row = |tool, file: &str, tree| {
        Row::folder(tool, file, tree)
            .is("dir", Some("skopeo-dir"))
            .told("the name of the folder")
    };
    vec![
        row("skopeo, `dir:DIRECTORY`", "shelf/app", directory(&image))
            .stored("./shelf/app:latest", &image),
        row(
            "skopeo, `skopeo copy --all` to `dir:DIRECTORY`",
            "shelf/app",
            directory(&index),
        )
        .stored("./shelf/app:latest", &index),
        row(
            "skopeo, `skopeo sync --dest dir`",
            "app:1",
            directory(&image),
        )
        .stored("./app:1", &image),
        row(
            "skopeo, `skopeo sync --dest dir` by digest",
            &by_digest,
            directory(&image),
        )
        .stored("./app", &image),
        row(
            "skopeo, `skopeo sync --dest dir --scoped`",
            "registry.example.com:5000/team/app:1",
            directory(&image),
        )
        .stored("registry.example.com:5000/team/app:1", &image),
    ]
}

/// A layout for each repository, one in the folder of another.
fn stores() -> Vec<Row> {
    let (team, app) = (packed("team"), packed("app"));
    let tree = Layout::new()
        .named(&team, "1")
        .tree()
        .and(Layout::new().named(&app, "2").tree().below("app"))
        .folder("app/.uploads")
        .file("_trivy/db/metadata.json", "{}");
    vec![
        Row::folder("zot, its store", "team", tree)
            .is(LAYOUT, None)
            .told("`ref.name`: `1`; `2`")
            .note("the folder is the repository")
            .stored("./team:1", &team)
            .stored("./team/app:2", &app),
    ]
}

/// Answers to questions for referrers are entries, too.
fn olareg() -> Row {
    let image = packed("olareg");
    let sbom = Image::new("sbom")
        .artifact_type("application/spdx+json")
        .subject(&image);
    let answer = Index::new().with(&sbom);
    let tree = Layout::new()
        .named(&image, "1")
        .entry(&answer, &[("org.olareg.referrer.subject", &image.digest())])
        .tree();
    let mut index: Value = serde_json::from_slice(tree.content("index.json")).expect("JSON");
    index["annotations"] = json!({"org.olareg.referrer.convert": "true"});
    row(
        "olareg, its store",
        tree.replace("index.json", index.to_string()),
    )
    .told("`ref.name`: `1`")
    .note("the folder is the repository; answers about referrers are no tags")
    .stored("./shelf/app:1", &image)
    .stored("./shelf/app", &answer)
}

fn extracted() -> Vec<Row> {
    let row = |tool, naming, image: &Image, writer| {
        let archive = DockerArchive::new(naming).image(image, Some(&["app:1"]));
        Row::folder(tool, "shelf/app", archive.tree())
            .is("docker-archive", Some(writer))
            .told("`RepoTags`: `app:1`")
            .made("docker.io/library/app:1", image)
    };
    vec![
        row(
            "Docker 1.12 to 24, an unpacked archive",
            Naming::Docker20,
            &plain("docker"),
            "docker",
        ),
        row(
            "podman, an unpacked `docker-archive:`",
            Naming::Skopeo,
            &plain("podman"),
            "skopeo",
        ),
        row(
            "crane, an unpacked archive",
            Naming::Crane,
            &packed("crane"),
            "crane",
        ),
    ]
}
