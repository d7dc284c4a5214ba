//! One name in several archives: one image, an index made of several, or a conflict with a winner.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::clients::{self, client, podman, succeed};
use crate::fixture::{
    Blob, Descriptor, DockerArchive, Family, Image, Index, Layer, Layout, Naming, Node, Platform,
    sha256,
};
use crate::listing::list;
use crate::needs::needs;
use crate::packages::{Packages, problems};
use crate::server::{Response, Server, binary, command};
use crate::serving::eventually;

const APP: &str = "docker.io/library/app:1";
const OLD: &str = "2023-01-01T00:00:00Z";
const NEW: &str = "2025-01-01T00:00:00Z";

fn amd64() -> Image {
    Image::new("amd64").layers([layer("common"), layer("amd64")])
}

fn arm64() -> Image {
    let image = Image::new("arm64").platform("linux/arm64/v8");
    image.layers([layer("common"), layer("arm64")])
}

fn layer(text: &str) -> Layer {
    Layer::files(&[("text", text.as_bytes())])
}

fn docker(image: &Image, name: &str) -> Vec<u8> {
    DockerArchive::new(Naming::Docker20)
        .image(image, Some(&[name]))
        .tar()
}

fn layout(node: &impl Node, name: &str) -> Vec<u8> {
    Layout::new().named(node, name).tar()
}

/// The index that has to be made of these images, which are in its order.
fn index_of(images: &[&Image]) -> Index {
    let is_docker = |image: &&&Image| image.descriptor().media_type.contains("docker");
    let family = match images.iter().filter(is_docker).count() {
        0 => Family::Oci,
        count if count == images.len() => Family::Docker,
        _ => panic!("it is told in words what is made of both kinds"),
    };
    let index = Index::new().family(family);
    images.iter().fold(index, |index, image| index.with(*image))
}

/// Asks for the manifest `reference` of `app`.
fn manifest(server: &Server, reference: &str) -> Response {
    server.get(&format!("/v2/app/manifests/{reference}"))
}

/// What `app:1` is.
fn tagged(server: &Server) -> String {
    let answer = server.head("/v2/app/manifests/1");
    let digest = answer.header("docker-content-digest");
    digest.unwrap_or_default().to_owned()
}

/// Everything that the manifest reaches can be had from `app`.
fn check_pulled(server: &Server, node: &impl Node) {
    let manifest = manifest(server, &node.digest());
    assert_eq!(manifest.status, 200, "{}", node.digest());
    for blob in node.blobs() {
        let answer = server.get(&format!("/v2/app/blobs/{}", blob.digest));
        assert!(
            answer.body == blob.bytes,
            "{}: {}",
            blob.digest,
            answer.text()
        );
    }
}

/// What is told about the problem of this kind.
fn told<'v>(listing: &'v Value, kind: &str) -> &'v str {
    let mut problems = list(&listing["problems"]).iter();
    let problem = problems.find(|problem| problem["kind"] == kind);
    problem.expect("the problem")["what"]
        .as_str()
        .expect("a text")
}

#[test]
fn one_image_in_archives_of_five_formats_is_one() {
    let image = amd64();
    let packages = Packages::new();
    for (number, naming) in [
        Naming::Docker20,
        Naming::Skopeo,
        Naming::Hybrid,
        Naming::Regctl,
    ]
    .into_iter()
    .enumerate()
    {
        let archive = DockerArchive::new(naming).image(&image, Some(&[APP]));
        packages.put(&format!("{number}.tar"), archive.tar());
    }
    packages.put("4.tar", layout(&image, APP));
    packages.put_folder("5", &Layout::new().named(&image, APP).tree());
    check_one(&packages, &image, 6);
}

#[test]
fn one_image_with_gzip_layers_is_one_where_its_manifest_is_the_canonical_one() {
    let layers = [layer("common").gzip(), layer("gzip").gzip()];
    let image = Image::new("gzip").layers(layers).canonical();
    let packages = Packages::new()
        .with("stored.tar", layout(&image, APP))
        .with("crane.tar", {
            let archive = DockerArchive::new(Naming::Crane);
            archive.image(&image, Some(&[APP])).tar()
        })
        .with("jib.tar", {
            let archive = DockerArchive::new(Naming::Jib);
            archive.image(&image, Some(&[APP])).tar()
        });
    check_one(&packages, &image, 3);
}

/// The image is all that there is, and each of so many archives has it.
fn check_one(packages: &Packages, image: &Image, archives: usize) {
    let listing = packages.list();
    let images = listing.images();
    let [line] = images.as_slice() else {
        panic!("{images:#?}")
    };
    assert_eq!(
        line.trim_end_matches('*'),
        format!("{APP} {}", image.digest())
    );
    assert_eq!(problems(&listing), Vec::<String>::new());
    let holders = list(&listing.0["repositories"][0]["tags"][0]["archives"]);
    assert_eq!(holders.len(), archives);
}

/// The index that the documented form gives for two manifests that are known everywhere by their digests.
#[test]
fn the_expected_index_is_the_documented_one() {
    let any = Image::new("any");
    let child = |digest: &str, platform: &str| Descriptor {
        digest: format!("sha256:{digest}"),
        size: 700,
        platform: Some(Platform::new(platform)),
        ..any.descriptor()
    };
    let amd64 = child(
        "67b2680eb9523da5828ed50903b7f5e5160deb811daf37d0c6a2af47ac206a04",
        "linux/amd64",
    );
    let arm64 = child(
        "72f6ec4b156a9415b2017d11a3579ada23d1c6304914665e71a0784f5e5c6051",
        "linux/arm64/v8",
    );
    let index = Index::new()
        .with_described(amd64, &any)
        .with_described(arm64, &any);
    assert_eq!(index.manifest().bytes.len(), 506);
    assert_eq!(
        index.digest(),
        "sha256:2e63f43ee24b0d978c62a82f47a8e8a48a356b0aef2fad10740754d6574a257a"
    );
}

#[test]
fn two_platforms_of_two_archives_are_one_index() {
    let packages = Packages::new()
        .with("a.tar", docker(&arm64(), "app:1"))
        .with("b.tar", docker(&amd64(), "app:1"));
    check_index(&packages, &[&amd64(), &arm64()]);
}

/// As hauler writes every image that it has for several platforms.
#[test]
fn two_platforms_of_one_docker_archive_are_one_index() {
    let archive = DockerArchive::new(Naming::Docker20)
        .image(&amd64(), Some(&["app:1"]))
        .image(&arm64(), Some(&["app:1"]));
    let packages = Packages::new().with("both.tar", archive.tar());
    check_index(&packages, &[&amd64(), &arm64()]);
}

#[test]
fn two_platforms_of_one_layout_are_one_index() {
    let layout = Layout::new().named(&amd64(), APP).named(&arm64(), APP);
    let packages = Packages::new().with("both.tar", layout.tar());
    check_index(&packages, &[&amd64(), &arm64()]);
}

/// `app:1` is the index of these images, without any problem, and answers as any other does.
fn check_index(packages: &Packages, images: &[&Image]) {
    let index = index_of(images);
    let listing = packages.list();
    assert_eq!(
        listing.images()[..1],
        [format!("{APP} {}*", index.digest())]
    );
    assert_eq!(problems(&listing), Vec::<String>::new());
    let server = packages.serve(&[]);
    let (bytes, digest) = (index.manifest().bytes, index.digest());
    let media_type = index.descriptor().media_type;
    for path in [
        "/v2/app/manifests/1".to_owned(),
        format!("/v2/app/manifests/{digest}"),
        "/v2/library/app/manifests/1?ns=docker.io".to_owned(),
        format!("/v2/app/manifests/{digest}?ns=docker.io"),
    ] {
        check_document(&server, &path, &bytes);
        let head = server.head(&path);
        assert_eq!(
            head.header("content-type"),
            Some(media_type.as_str()),
            "{path}"
        );
        assert_eq!(
            head.header("docker-content-digest"),
            Some(digest.as_str()),
            "{path}"
        );
    }
    check_document(&server, &format!("/v2/app/blobs/{digest}"), &bytes);
    for image in images {
        check_pulled(&server, *image);
    }
    let tags = server.get("/v2/app/tags/list").json();
    assert_eq!(tags["tags"], json!(["1", "latest"]));
    for path in ["manifests", "blobs"] {
        let elsewhere = server.get(&format!("/v2/app/{path}/{digest}?ns=ghcr.io"));
        assert_eq!(elsewhere.status, 404, "{path}");
    }
}

/// GET, HEAD, ranges and conditions all agree about these bytes.
fn check_document(server: &Server, path: &str, bytes: &[u8]) {
    let whole = server.get(path);
    assert_eq!((whole.status, &whole.body[..]), (200, bytes), "{path}");
    let head = server.head(path);
    let length = bytes.len().to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(length.as_str()))
    );
    let part = server.request("GET", path, &[("Range", "bytes=5-14")]);
    assert_eq!(
        (part.status, &part.body[..]),
        (206, &bytes[5..15]),
        "{path}"
    );
    let beyond = format!("bytes={length}-");
    assert_eq!(
        server.request("GET", path, &[("Range", &beyond)]).status,
        416,
        "{path}"
    );
    let etag = whole.header("etag").expect("an ETag");
    let known = server.request("GET", path, &[("If-None-Match", etag)]);
    assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
}

#[test]
fn an_index_lasts_as_long_as_its_archives() {
    let (amd64, arm64) = (amd64(), arm64());
    let index = index_of(&[&amd64, &arm64]).digest();
    let packages = Packages::new()
        .with("amd64.tar", docker(&amd64, "app:1"))
        .with("arm64.tar", docker(&arm64, "app:1"));
    let server = packages.serve(&[]);
    assert_eq!(tagged(&server), index);
    packages.remove("arm64.tar");
    eventually("the one image is left", || {
        tagged(&server) == amd64.digest()
    });
    assert_eq!(manifest(&server, &index).status, 404);
    assert_eq!(manifest(&server, &arm64.digest()).status, 404);
    packages.put("arm64.tar", docker(&arm64, "app:1"));
    eventually("the index is back", || tagged(&server) == index);
    let s390x = Image::new("s390x").platform("linux/s390x");
    packages.put("s390x.tar", docker(&s390x, "app:1"));
    let grown = index_of(&[&amd64, &arm64, &s390x]).digest();
    eventually("it has one more", || tagged(&server) == grown);
    assert_eq!(manifest(&server, &amd64.digest()).status, 200);
}

#[test]
fn an_index_is_sorted_by_platform() {
    let images = [
        "freebsd/amd64",
        "linux/386",
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64",
        "linux/s390x",
    ]
    .map(|platform| Image::new(platform).platform(platform));
    let packages = Packages::new();
    for (number, image) in images.iter().rev().enumerate() {
        packages.put(&format!("{number}.tar"), docker(image, "app:1"));
    }
    let all: Vec<&Image> = images.iter().collect();
    check_index(&packages, &all);
}

#[test]
fn dockers_manifests_are_in_dockers_list() {
    let gzip = |platform: &str| {
        let image = Image::new(platform).platform(platform);
        image.layers([layer(platform).gzip()]).canonical()
    };
    let images = [gzip("linux/amd64"), gzip("linux/arm64/v8")];
    let packages = Packages::new();
    for (number, image) in images.iter().enumerate() {
        let archive = DockerArchive::new(Naming::Crane).image(image, Some(&["app:1"]));
        packages.put(&format!("{number}.tar"), archive.tar());
    }
    check_index(&packages, &[&images[0], &images[1]]);

    // Beside a manifest of OCI's it is OCI's index, and its keys are in the order of that.
    let oci = Image::new("s390x").platform("linux/s390x");
    packages.put("oci.tar", docker(&oci, "app:1"));
    let child = |image: &Image, platform: &str| {
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = image.descriptor();
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size},"platform":{{{platform}}}}}"#
        )
    };
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{},{}]}}"#,
        child(&images[0], r#""architecture":"amd64","os":"linux""#),
        child(
            &images[1],
            r#""architecture":"arm64","os":"linux","variant":"v8""#
        ),
        child(&oci, r#""architecture":"s390x","os":"linux""#),
    );
    let server = packages.serve(&[]);
    assert_eq!(manifest(&server, "1").text(), expected);
}

#[test]
fn a_made_index_can_be_the_latest() {
    let (amd64, arm64) = (amd64(), arm64());
    let index = index_of(&[&amd64, &arm64]);
    let packages = Packages::new()
        .with("1.tar", docker(&amd64, "app:1.9"))
        .with("2.tar", docker(&amd64, "app:1.10"))
        .with("3.tar", docker(&arm64, "app:1.10"));
    let server = packages.serve(&[]);
    assert!(manifest(&server, "latest").body == index.manifest().bytes);
    let tags = server.get("/v2/app/tags/list").json();
    assert_eq!(tags["tags"], json!(["1.10", "1.9", "latest"]));
    // A mirror invents no tag.
    let mirrored = server.get("/v2/app/manifests/latest?ns=docker.io");
    assert_eq!(mirrored.status, 404);
}

/// Puts two images in the files there, and the first one wins.
fn check_conflict([winner, loser]: [(&str, Image); 2]) {
    let packages = Packages::new()
        .with(winner.0, layout(&winner.1, APP))
        .with(loser.0, layout(&loser.1, APP));
    let listing = packages.list();
    let (won, lost) = (winner.1.digest(), loser.1.digest());
    assert_eq!(
        listing.images(),
        [
            format!("docker.io/library/app {lost}"),
            format!("{APP} {won}")
        ]
    );
    assert_eq!(
        problems(&listing),
        [format!("warning conflict {}", loser.0)]
    );
    let what = told(&listing.0, "conflict");
    for part in [&won, &lost, winner.0] {
        assert!(what.contains(part), "{what}");
    }
    let server = packages.serve(&[]);
    assert_eq!(tagged(&server), won);
    check_pulled(&server, &winner.1);
    check_pulled(&server, &loser.1);
}

#[test]
fn of_one_platform_the_documented_order_decides() {
    let image = |title: &str, created: &str| Image::new(title).created(created);
    check_conflict([
        ("app-1.tar", image("a", NEW)),
        ("app-2.tar", image("b", OLD)),
    ]);
    check_conflict([
        ("app-10.tar", image("a", OLD)),
        ("app-9.tar", image("b", OLD)),
    ]);
    // Two roots may have files of one name.
    let mut images = ["a", "b"].map(|title| image(title, OLD));
    images.sort_by_key(|image| std::cmp::Reverse(image.digest()));
    let [greater, less] = images;
    let packages = Packages::new()
        .with("one/app.tar", layout(&less, APP))
        .with("two/app.tar", layout(&greater, APP));
    assert_eq!(tagged(&packages.serve(&[])), greater.digest());
}

/// Of one platform two builds, and one of another.
fn with_conflict() -> (Packages, [Image; 3]) {
    let images = [
        amd64().created(OLD),
        Image::new("newer").created(NEW),
        arm64(),
    ];
    let packages = Packages::new();
    for (number, image) in images.iter().enumerate() {
        packages.put(&format!("{number}.tar"), docker(image, "app:1"));
    }
    (packages, images)
}

#[test]
fn a_conflict_for_one_platform_does_not_concern_the_others() {
    let (packages, [loser, winner, arm64]) = with_conflict();
    let index = index_of(&[&winner, &arm64]);
    assert_eq!(problems(&packages.list()), ["warning conflict 0.tar"]);
    let server = packages.serve(&[]);
    assert_eq!(tagged(&server), index.digest());
    for image in [&loser, &winner, &arm64] {
        check_pulled(&server, image);
    }
}

#[test]
fn who_wants_no_conflict_gets_no_tag() {
    let (packages, images) = with_conflict();
    packages.put("fine.tar", docker(&amd64(), "app:fine"));
    packages.put("fine-too.tar", docker(&arm64(), "app:fine"));
    packages.put(
        "index.tar",
        layout(&index_of(&[&amd64()]), "docker.io/library/app:shadow"),
    );
    packages.put("single.tar", docker(&Image::new("shadowed"), "app:shadow"));
    let Output { stdout, status, .. } = command(binary())
        .args(["list", "--json", "--strict"])
        .arg(packages.path())
        .output()
        .expect("an answer");
    assert!(status.success());
    let listing: Value = serde_json::from_slice(&stdout).expect("JSON");
    let kinds: BTreeMap<&str, &str> = list(&listing["problems"])
        .iter()
        .map(|problem| {
            (
                problem["kind"].as_str().unwrap(),
                problem["severity"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        BTreeMap::from([("refused", "error"), ("shadowed-platform", "warning")])
    );
    let what = told(&listing, "refused");
    for image in &images[..2] {
        assert!(what.contains(&image.digest()), "{what}");
    }

    let server = packages.serve(&["--strict"]);
    let answer = manifest(&server, "1");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["errors"][0]["code"], "MANIFEST_UNKNOWN");
    let tags = server.get("/v2/app/tags/list").json();
    assert_eq!(tags["tags"], json!(["fine", "shadow"]));
    for image in &images {
        check_pulled(&server, image);
    }
    let fine = index_of(&[&amd64(), &arm64()]);
    assert!(manifest(&server, "fine").body == fine.manifest().bytes);
    assert_eq!(
        manifest(&server, "shadow").header("docker-content-digest"),
        Some(index_of(&[&amd64()]).digest().as_str())
    );
}

/// What the tag is, and what is told, where an archive `index.tar` has this index and `single.tar` the image.
fn check_beside_index(index: &Index, single: &Image, is_index: bool, told: &[&str]) {
    let packages = Packages::new()
        .with("index.tar", layout(index, APP))
        .with("single.tar", layout(single, APP));
    assert_eq!(problems(&packages.list()), told);
    let server = packages.serve(&[]);
    let expected = if is_index {
        index.digest()
    } else {
        single.digest()
    };
    assert_eq!(tagged(&server), expected, "{told:?}");
    check_pulled(&server, index);
    check_pulled(&server, single);
}

#[test]
fn an_index_goes_before_images_for_its_platforms() {
    let index = Index::new()
        .with(&amd64())
        .with(&arm64())
        .annotation("its", "own");
    check_beside_index(&index, &arm64(), true, &[]);
    let newer = Image::new("newer").created(NEW);
    check_beside_index(
        &index,
        &newer,
        true,
        &["warning shadowed-platform single.tar"],
    );
    // Docker leaves the variant out, and means the same.
    let newer = newer.platform("linux/arm64");
    check_beside_index(
        &index,
        &newer,
        true,
        &["warning shadowed-platform single.tar"],
    );
    let foreign = |created: &str| Image::new("z").platform("linux/s390x").created(created);
    check_beside_index(
        &index,
        &foreign(OLD),
        true,
        &["warning conflict single.tar"],
    );
    check_beside_index(
        &index,
        &foreign(NEW),
        false,
        &["warning conflict index.tar"],
    );
}

#[test]
fn two_indexes_stay_two() {
    let old = Index::new()
        .with(&amd64().created(OLD))
        .with(&arm64().created(OLD));
    let new = Index::new().with(&Image::new("new").created(NEW).platform("linux/s390x"));
    let packages = Packages::new()
        .with("z.tar", layout(&old, APP))
        .with("a.tar", layout(&new, APP));
    assert_eq!(problems(&packages.list()), ["warning conflict z.tar"]);
    let server = packages.serve(&[]);
    assert_eq!(tagged(&server), new.digest());
    check_pulled(&server, &old);
}

#[test]
fn what_is_no_image_for_a_platform_is_never_put_together() {
    let image = amd64();
    let artifact = Image::new("sbom")
        .artifact_type("text/spdx")
        .layers([Layer::raw("sbom")]);
    let attestation = Image::new("attestation")
        .platform("unknown/unknown")
        .created(OLD);
    for (title, other) in [("artifact", artifact), ("attestation", attestation)] {
        let packages = Packages::new()
            .with("image.tar", layout(&image, APP))
            .with("other.tar", layout(&other, APP));
        assert_eq!(
            problems(&packages.list()),
            ["warning conflict other.tar"],
            "{title}"
        );
        let server = packages.serve(&[]);
        assert_eq!(tagged(&server), image.digest(), "{title}");
        check_pulled(&server, &other);
    }
}

/// hauler repeats the image's name at its signature.
#[test]
fn a_signature_takes_no_part_in_it() {
    let (amd64, arm64) = (amd64(), arm64());
    let signature = Image::new("signature").layers([Layer::raw("signed")]);
    let name = ("io.containerd.image.name", APP);
    let signed = Layout::new()
        .entry(&amd64, &[name, ("kind", "dev.hauler/image")])
        .entry(&signature, &[name, ("kind", "dev.hauler/sigs")]);
    let packages = Packages::new()
        .with("signed.tar", signed.tar())
        .with("arm64.tar", docker(&arm64, "app:1"));
    assert_eq!(problems(&packages.list()), Vec::<String>::new());
    let server = packages.serve(&[]);
    assert_eq!(tagged(&server), index_of(&[&amd64, &arm64]).digest());
    let tag = format!("{}.sig", amd64.digest().replace(':', "-"));
    assert!(manifest(&server, &tag).body == signature.manifest().bytes);
}

#[test]
fn clients_pull_a_made_index() {
    let (amd64, arm64) = (amd64(), arm64());
    let index = index_of(&[&amd64, &arm64]);
    let packages = Packages::new()
        .with("amd64.tar", docker(&amd64, "app:1"))
        .with("arm64.tar", docker(&arm64, "app:1"));
    let (server, home) = (packages.serve(&[]), clients::folder());
    let home = home.path();
    let image = clients::image(&server, "app:1");
    if needs(&["skopeo"]) {
        let target = home.join("all");
        let mut copy = client("skopeo", home);
        copy.args([
            "copy",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
        ]);
        succeed(
            copy.arg(format!("docker://{image}"))
                .arg(format!("dir:{}", target.display())),
        );
        let arrived = fs::read(target.join("manifest.json")).expect("an index");
        assert_eq!(sha256(&arrived), index.digest());
        for Blob { digest, bytes } in [amd64.blobs(), arm64.blobs()].concat() {
            let name = digest.trim_start_matches("sha256:").to_owned();
            let files = [name.clone(), format!("{name}.manifest.json")];
            let arrived = files
                .iter()
                .find_map(|name| fs::read(target.join(name)).ok());
            assert!(arrived.as_ref() == Some(&bytes), "{digest}");
        }
    }
    if needs(&["podman"]) {
        for (platform, expected) in [("linux/amd64", &amd64), ("linux/arm64", &arm64)] {
            let arguments = [
                "pull",
                "-q",
                "--tls-verify=false",
                "--platform",
                platform,
                &image,
            ];
            let pulled = succeed(podman(home).args(arguments));
            let id = expected.config().digest;
            assert_eq!(format!("sha256:{}", pulled.stdout.trim()), id, "{platform}");
        }
    }
}
