//! The files in `examples/`: made here, byte for byte.
//!
//! The tests fail when a file differs from what is made; `UPDATE=1 cargo test examples` rewrites it.

mod elf;

use crate::fixture::{IMAGE_NAME, Image, Index, Layer, Layout, Node as _, REF_NAME, Tar};
use crate::generated;

const CONFORMANCE: &str = "packageorigin/oci-distribution-conformance";
const HELLO: &str = "docker.io/library/hello:1.0.0";
const CREATED: &str = "2026-01-01T00:00:00Z";

/// The tags of the sample and when their images were made. `latest` is not among them: the server derives it.
const VERSIONS: [(&str, &str); 4] = [
    ("1.0.0", "2026-01-01T00:00:00Z"),
    ("1.0.1", "2026-02-01T00:00:00Z"),
    ("1.1.0+oci", "2026-03-01T00:00:00Z"),
    ("2.0.0-preview.1", "2026-04-01T00:00:00Z"),
];

#[test]
fn conformance_archive_is_what_is_made() {
    check("oci-distribution-conformance.tar", &conformance_archive());
}

#[test]
fn conformance_recipe_is_what_is_made() {
    check("conformance.env", conformance_recipe().as_bytes());
}

#[test]
fn hello_archive_is_what_is_made() {
    check("hello.tar", &hello_archive());
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn hello_runs() {
    let output = elf::run(&elf::amd64(elf::GREETING));
    assert_eq!(String::from_utf8_lossy(&output.stdout), elf::GREETING);
    assert!(output.status.success(), "{}", output.status);
}

fn conformance_archive() -> Vec<u8> {
    VERSIONS
        .iter()
        .fold(Layout::new(), |layout, (version, created)| {
            layout.named(
                &conformance_image(version, created),
                &format!("{CONFORMANCE}:{version}"),
            )
        })
        .tar()
}

fn conformance_image(version: &str, created: &str) -> Image {
    let text = format!("Package Origin, conformance sample, version {version}\n");
    Image::new(&format!("{CONFORMANCE} {version}"))
        .created(created)
        .layers([Layer::files(&[("version.txt", text.as_bytes())])])
}

/// The variables of the official suite for a read-only run.
fn conformance_recipe() -> String {
    let (version, created) = VERSIONS[0];
    let image = conformance_image(version, created);
    let tags: Vec<_> = VERSIONS.iter().map(|(version, _)| *version).collect();
    let lines = [
        ("OCI_ROOT_URL", "http://localhost:8080".to_owned()),
        ("OCI_NAMESPACE", CONFORMANCE.to_owned()),
        ("OCI_TEST_PULL", "1".to_owned()),
        ("OCI_TEST_CONTENT_DISCOVERY", "1".to_owned()),
        ("OCI_TAG_NAME", version.to_owned()),
        ("OCI_MANIFEST_DIGEST", image.digest()),
        ("OCI_BLOB_DIGEST", image.config().digest),
        ("OCI_TAG_LIST", format!("{},latest", tags.join(","))),
    ];
    let lines = lines.map(|(name, value)| format!("export {name}=\"{value}\"\n"));
    let comment = "# For the official conformance suite, while `packageorigin examples` runs.\n";
    [comment, &lines.concat()].concat()
}

fn hello_archive() -> Vec<u8> {
    let index = Index::new()
        .with(&hello_image("linux/amd64", &elf::amd64(elf::GREETING)))
        .with(&hello_image("linux/arm64", &elf::arm64(elf::GREETING)));
    Layout::new()
        .entry(&index, &[(IMAGE_NAME, HELLO), (REF_NAME, HELLO)])
        .tar()
}

fn hello_image(platform: &str, program: &[u8]) -> Image {
    let layer = Tar::new().executable("hello", program).finish();
    Image::new("hello 1.0.0")
        .platform(platform)
        .created(CREATED)
        .layers([Layer::raw(layer)])
        .entrypoint(&["/hello"])
}

fn check(name: &str, made: &[u8]) {
    generated::check(&format!("examples/{name}"), made, "examples");
}
