//! What each tool brings along when it collects an image from a registry: the table of `docs/how-to/collecting-images.md`.
//!
//! The source is `ghcr.io/acme/app:1` on a machine with an internet of its own: an index of two platforms, the signature that
//! cosign would have put beside it, and an SBOM that refers to it. What a tool makes of it is served by another
//! server, and compared with the source byte for byte.

use std::fmt::Write as _;
use std::fs;

use crate::conformance::examples;
use crate::daemons::{DOCKER, Home, able};
use crate::fixture::{Blob, Image, Index, Layer, Layout, Node as _};
use crate::generated::check_page;
use crate::listing::{Listing, list};
use crate::machine::{INTERNET, Machine};
use crate::server::Server;

const PAGE: &str = "docs/how-to/collecting-images.md";

/// The tools that collect.
const TOOLS: &[&str] = &["skopeo", "podman", "crane", "oras", "regctl"];

/// How each of them is used, without the name of the tool's files: `IMAGE` is the image without its tag, `SIGNATURE` and `SBOM`
/// are a tag and a digest.
const WAYS: &[&str] = &[
    "skopeo copy --all --preserve-digests docker://IMAGE:1 oci-archive:app.tar:IMAGE:1",
    "skopeo copy --all --preserve-digests docker://IMAGE:1 oci-archive:app.tar:IMAGE:1
skopeo copy --preserve-digests docker://IMAGE:SIGNATURE oci-archive:signature.tar:IMAGE:SIGNATURE
skopeo copy --preserve-digests docker://IMAGE@SBOM oci-archive:sbom.tar:IMAGE:sbom",
    "skopeo sync --all --preserve-digests --scoped --src docker --dest dir IMAGE .",
    "skopeo copy --preserve-digests docker://IMAGE:1 oci-archive:app.tar:IMAGE:1",
    "skopeo copy docker://IMAGE:1 docker-archive:app.tar:IMAGE:1",
    "docker pull IMAGE:1
docker save -o app.tar IMAGE:1",
    "podman pull IMAGE:1
podman save -o app.tar IMAGE:1",
    "podman pull IMAGE:1
podman save --format oci-archive -o app.tar IMAGE:1",
    "crane pull IMAGE:1 app.tar",
    "crane pull --format oci --annotate-ref IMAGE:1 app",
    "ctr images pull IMAGE:1
ctr images export app.tar IMAGE:1",
    "ctr images pull --all-platforms IMAGE:1
ctr images export --all-platforms app.tar IMAGE:1",
    "oras cp --to-oci-layout IMAGE:1 app:1",
    "oras cp -r --to-oci-layout IMAGE:1 app:1",
    "oras backup --include-referrers --output app.tar IMAGE:1,SIGNATURE",
    "regctl image export IMAGE:1 app.tar",
    "regctl image copy --digest-tags --referrers IMAGE:1 ocidir://app:1",
];

/// The image that is collected.
const IMAGE: &str = "ghcr.io/acme/app";

/// What the source holds.
pub(crate) struct Source {
    platforms: [Image; 2],
    index: Index,
    signature: Image,
    sbom: Image,
}

impl Source {
    pub(crate) fn new() -> Self {
        let platforms = ["linux/amd64", "linux/arm64"].map(|platform| {
            let layer = Layer::files(&[("platform.txt", platform.as_bytes())]);
            let image = Image::new("app").platform(platform);
            image.layers([layer.gzip()])
        });
        let index = platforms.iter().fold(Index::new(), Index::with);
        let document = |text: &str, media_type: &str| [Layer::raw(text).media_type(media_type)];
        let signature = Image::new("signature").layers(document(
            r#"{"critical":{}}"#,
            "application/vnd.dev.cosign.simplesigning.v1+json",
        ));
        let sbom = Image::new("sbom").artifact_type("application/vnd.cyclonedx+json");
        let sbom = sbom.subject(&index).layers(document(
            r#"{"bomFormat":"CycloneDX"}"#,
            "application/vnd.cyclonedx+json",
        ));
        Self {
            platforms,
            index,
            signature,
            sbom,
        }
    }

    /// The tag under which cosign looks for a signature.
    fn signature_tag(&self) -> String {
        format!("{}.sig", self.index.digest().replace(':', "-"))
    }

    /// Puts it into the folder that the machine's internet serves.
    pub(crate) fn publish(&self, machine: &Machine) {
        let layout = Layout::new()
            .named(&self.index, &format!("{IMAGE}:1"))
            .named(
                &self.signature,
                &format!("{IMAGE}:{}", self.signature_tag()),
            )
            .entry(&self.sbom, &[]);
        let folder = machine.folder().join("internet");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("app.tar"), layout.tar()).expect("an archive");
        machine.internet("internet");
    }
}

#[test]
fn what_each_tool_brings_along() {
    if !Machine::able(&[DOCKER, INTERNET, TOOLS].concat()) {
        return;
    }
    let (machine, source) = (Machine::new(), Source::new());
    source.publish(&machine);
    machine.docker();
    let mut table =
        "| | Digest | Platforms | `sha256-….sig` | Referrers | Name |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (number, way) in WAYS.iter().enumerate() {
        let kept = collect(&machine, &source, way, number);
        writeln!(table, "| {} | {} |", shown(way), kept.join(" | "))
            .expect("a string takes everything");
    }
    check_page(PAGE, &[("tools", table)], "collecting");
}

/// What the page says of `--preserve-digests`.
#[test]
fn skopeo_compresses_what_is_not_unless_it_must_preserve_digests() {
    if !able(&["skopeo"]) {
        return;
    }
    let (home, server) = (Home::new(), Server::serving(&examples()));
    let head = server.head("/v2/hello/manifests/1.0.0");
    let wanted = head.header("docker-content-digest").expect("a digest");
    for (options, is_kept) in [("--all --preserve-digests", true), ("--all", false)] {
        let source = format!("docker://{}/hello:1.0.0", server.authority());
        home.sh(&format!(
            "mkdir -p copies && rm -f copies/* &&
             skopeo copy -q {options} --src-tls-verify=false {source} oci-archive:copies/hello.tar:hello:1.0.0"
        ));
        let images = Listing::of(&home.join("copies")).images();
        let kept = images == [format!("docker.io/library/hello:1.0.0 {wanted}")];
        assert_eq!(kept, is_kept, "{options}: {images:?}");
    }
}

/// The lines of a way as a person sees them in the table.
fn shown(way: &str) -> String {
    let lines: Vec<String> = way.lines().map(|line| format!("`{line}`")).collect();
    lines.join("<br>")
}

/// Collects the image that way, serves what it gives, and tells what is left: the cells of the table's row.
fn collect(machine: &Machine, source: &Source, way: &str, number: usize) -> [String; 5] {
    let lines = way
        .replace("IMAGE", IMAGE)
        .replace("SIGNATURE", &source.signature_tag())
        .replace("SBOM", &source.sbom.digest())
        .replace('\n', " && ");
    machine.sh(&format!("mkdir {number} && cd {number} && {lines}"));
    let folder = machine.folder().join(number.to_string());
    let name = name_in(&Listing::of(&folder));
    let second = Server::serving(&folder);
    let served = Served {
        server: &second,
        source,
        repository: &name.path,
    };
    [
        served.digest(&name.tag),
        served.platforms(&name.tag),
        yes(served.has_signature()),
        yes(served.has_sbom()),
        name.shown,
    ]
}

fn yes(kept: bool) -> String {
    if kept { "kept" } else { "**lost**" }.to_owned()
}

/// What the image is called where it was brought.
struct Name {
    path: String,
    tag: String,
    shown: String,
}

/// The name of the one repository, and its first tag, which is the image's.
fn name_in(listing: &Listing) -> Name {
    let [repository] = list(&listing.0["repositories"]) else {
        panic!("more than one repository: {listing:?}");
    };
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let path = text(&repository["path"]).expect("a path");
    let tag = text(&list(&repository["tags"])[0]["tag"]).expect("a tag");
    let shown = match text(&repository["host"]) {
        Some(host) => format!("`{host}/{path}:{tag}`"),
        None => format!("`{path}:{tag}`, from the path"),
    };
    Name { path, tag, shown }
}

/// What was collected, in a server.
struct Served<'a> {
    server: &'a Server,
    source: &'a Source,
    repository: &'a str,
}

impl Served<'_> {
    fn path(&self, kind: &str, reference: &str) -> String {
        format!("/v2/{}/{kind}/{reference}", self.repository)
    }

    /// The digest of what a reference stands for.
    fn resolve(&self, reference: &str) -> Option<String> {
        let head = self.server.head(&self.path("manifests", reference));
        head.header("docker-content-digest").map(str::to_owned)
    }

    fn digest(&self, tag: &str) -> String {
        let (digest, wanted) = (self.resolve(tag), self.source.index.digest());
        // Whoever pins the image's digest finds it here, or does not.
        let is_pinned = self.resolve(&wanted).is_some();
        assert_eq!(is_pinned, digest.as_ref() == Some(&wanted));
        let original = |blob: &Blob| Some(&blob.digest) == digest.as_ref();
        if is_pinned {
            "kept"
        } else if self.source.index.blobs().iter().any(original) {
            "**lost**; that of the platform is kept"
        } else {
            "**lost**"
        }
        .to_owned()
    }

    /// How many platforms can be pulled.
    fn platforms(&self, tag: &str) -> String {
        let manifest = self.server.get(&self.path("manifests", tag)).json();
        let is_index = manifest["manifests"].is_array();
        let mut images = self.source.platforms.iter();
        let all = is_index && images.all(|image| self.has(image));
        if all { "kept" } else { "**one**" }.to_owned()
    }

    fn has_signature(&self) -> bool {
        let digest = self.source.signature.digest();
        let found = self.resolve(&self.source.signature_tag());
        assert!(found.as_ref().is_none_or(|found| *found == digest));
        found.is_some() && self.has(&self.source.signature)
    }

    fn has_sbom(&self) -> bool {
        let path = self.path("referrers", &self.source.index.digest());
        let referrers = self.server.get(&path).json();
        let digest = self.source.sbom.digest();
        let mut listed = list(&referrers["manifests"]).iter();
        listed.any(|entry| entry["digest"] == digest) && self.has(&self.source.sbom)
    }

    /// Whether an image of the source is here. If its manifest is, then all of it is, with the same bytes.
    fn has(&self, image: &Image) -> bool {
        if self.resolve(&image.digest()).is_none() {
            return false;
        }
        for (number, blob) in image.blobs().iter().enumerate() {
            let kind = if number == 0 { "manifests" } else { "blobs" };
            let answer = self.server.get(&self.path(kind, &blob.digest));
            assert!(
                answer.body == blob.bytes,
                "{}: {}",
                blob.digest,
                answer.status
            );
        }
        true
    }
}
