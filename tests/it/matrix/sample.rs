//! What the clients of the tables are served.

use std::env::consts::ARCH;
use std::fs;

use serde_json::json;

use crate::conformance::examples;
use crate::fixture::{Blob, Custom, Descriptor, Image, Index, Layer, Layout, blob_path};
use crate::packages::{Packages, tar};

/// An image of Docker Hub. Its tag is [`TAG`].
pub(super) const APP: &str = "acme/app";
/// The same image under a name that is asked for by way of a mirror only.
pub(super) const MIRRORED: &str = "acme/mirrored";
/// A Helm chart.
pub(super) const CHART: &str = "acme/chart";
/// An artifact that is some files.
pub(super) const FILES: &str = "acme/files";
/// An image with a large layer.
pub(super) const LARGE: &str = "acme/large";
/// An image with a layer that is not what its digest says.
pub(super) const SPOILED: &str = "acme/spoiled";
/// The tag of all these.
pub(super) const TAG: &str = "1.0";
/// The image with a program in it, from the examples; its repository and its tag.
pub(super) const HELLO: (&str, &str) = ("hello", "1.0.0");
/// What the program writes.
pub(super) const GREETING: &str = "Hello from Package Origin!";

/// What the image runs on: the platform, and the name of its processor.
const PLATFORMS: [(&str, &str); 2] = [("linux/amd64", "amd64"), ("linux/arm64", "arm64")];

/// The platform of this machine.
pub(super) fn own() -> &'static str {
    let (platform, _) = PLATFORMS[usize::from(ARCH == "aarch64")];
    platform
}

/// The platform that this machine is not.
pub(super) fn foreign() -> (&'static str, &'static str) {
    PLATFORMS[usize::from(ARCH != "aarch64")]
}

/// The image for one platform: a compressed layer that all have, and a plain one of its own.
pub(super) fn image(platform: &str) -> Image {
    let base = vec![b'b'; 100_000];
    Image::new("app").platform(platform).layers([
        Layer::files(&[("base.txt", &base)]).gzip(),
        Layer::files(&[("platform.txt", platform.as_bytes())]),
    ])
}

/// The image for all its platforms.
pub(super) fn index() -> Index {
    PLATFORMS.iter().fold(Index::new(), |index, (platform, _)| {
        index.with(&image(platform))
    })
}

/// The image with a large layer, in which no two places close to each other look the same.
pub(super) fn large() -> Image {
    let bytes: Vec<u8> = (0..=250).cycle().take(6_000_000).collect();
    let layer = Layer::files(&[("large.bin", &bytes)]);
    Image::new("large").platform(own()).layers([layer])
}

/// The image as it was before a byte of its layer was changed.
pub(super) fn spoiled() -> Image {
    Image::new("spoiled").platform(own())
}

/// What refers to the image.
pub(super) fn referrers() -> [Image; 2] {
    ["application/spdx+json", "application/vnd.example.signature"].map(|kind| {
        Image::new(kind)
            .artifact_type(kind)
            .subject(&index())
            .layers([Layer::raw(kind).media_type(kind)])
    })
}

/// The files of the artifact.
pub(super) const ARTIFACT: [(&str, &[u8]); 2] = [
    ("settings.json", br#"{"color":"blue"}"#),
    ("data.bin", &[0, 159, 146, 150, 13, 10]),
];

/// The artifact, as oras pushes one.
fn files() -> Custom {
    let blobs = ARTIFACT.map(|(_, bytes)| Blob::new(bytes));
    let layers: Vec<_> = ARTIFACT
        .iter()
        .zip(&blobs)
        .map(|((name, _), blob)| {
            Descriptor::new("application/octet-stream", blob)
                .annotation("org.opencontainers.image.title", name)
        })
        .collect();
    let config = Blob::new("{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.files",
        "config": Descriptor::new("application/vnd.oci.empty.v1+json", &config),
        "layers": layers,
    });
    Custom::new(MANIFEST, &manifest).holding([config].into_iter().chain(blobs))
}

/// The chart, as helm pushes one: the bytes of its archive are nobody's business here.
pub(super) fn chart() -> Custom {
    let config = Blob::new(r#"{"name":"chart","version":"1.0","apiVersion":"v2"}"#);
    let content = Blob::new(
        Layer::files(&[("chart/Chart.yaml", b"name: chart\n")])
            .gzip()
            .blob()
            .bytes,
    );
    let content_type = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::new("application/vnd.cncf.helm.config.v1+json", &config),
        "layers": [Descriptor::new(content_type, &content)],
    });
    Custom::new(MANIFEST, &manifest).holding([config, content])
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The folder that is served.
pub(super) fn packages() -> Packages {
    let name = |repository: &str| format!("docker.io/{repository}:{TAG}");
    let app = Layout::new()
        .named(&large(), &name(LARGE))
        .named(&index(), &name(APP))
        .named(&index(), &name(MIRRORED));
    let app = referrers()
        .iter()
        .fold(app, |app, referrer| app.entry(referrer, &[]));
    let artifacts = Layout::new()
        .named(&chart(), &name(CHART))
        .named(&files(), &name(FILES));
    let spoiled = Layout::new()
        .named(&self::spoiled(), &name(SPOILED))
        .tree()
        .corrupt(&blob_path(&self::spoiled().layers[0].blob().digest));
    let hello = fs::read(examples().join("hello.tar")).expect("an example");
    Packages::new()
        .with("app.tar", app.tar())
        .with("artifacts.tar", artifacts.tar())
        .with("hello.tar", hello)
        .with("spoiled.tar", tar(&spoiled))
}
