//! Small files that ask for much: memory, depth, time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Instant;

use super::*;
use crate::fixture::{Header, Tar};

/// The length of what must not be read.
const HUGE: u64 = 100 << 20;
/// How much memory the server may have used at most; far less than `HUGE`.
const MEMORY: u64 = 64 << 20;
/// How long a hostile archive may keep all others from being served. Ten times what is usual for any of these.
const START: Duration = Duration::from_secs(10);

/// Writes a tar of these members, one of which is huge and takes no place on the disk.
fn write_huge(path: &Path, name: &str, members: &[(String, Vec<u8>)]) {
    let mut others = Tar::new();
    for (name, data) in members {
        others.file(name, data);
    }
    let mut file = File::create(path).expect("a file");
    file.write_all(&Header::new(name, b'0', HUGE).block())
        .expect("written");
    file.seek(SeekFrom::Start(512 + HUGE)).expect("a place");
    file.write_all(&others.finish()).expect("written");
}

/// The most memory that a process has ever used, where the system tells.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

fn check_memory(server: &Server) {
    if let Some(peak) = peak_memory(server.pid()) {
        assert!(peak < MEMORY, "{} MiB", peak >> 20);
    }
}

#[test]
fn documents_of_100_megabytes() {
    let says = format!("it is too large: {HUGE} bytes, at most");
    let huge = Descriptor {
        size: usize::try_from(HUGE).expect("it fits"),
        ..Descriptor::new(OCI_MANIFEST, &Blob::new("any"))
    };
    let layout = Layout::new()
        .described(huge.clone().annotation(IMAGE_NAME, BAD_NAME))
        .tar();
    let check_huge = |name: &str, members: &[(String, Vec<u8>)], serves: &[&str]| {
        let shelf = Shelf::new();
        write_huge(&shelf.path().join("bad.tar"), name, members);
        check_memory(&shelf.check("bad.tar", &[&says], serves));
    };
    check_huge(&blob_path(&huge.digest), &members(&layout), &[]);
    check_huge("index.json", &[("oci-layout".to_owned(), Vec::new())], &[]);
    let (image, _) = bad();
    let docker = DockerArchive::new(Naming::Skopeo)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let config = format!("{}.json", config_of(&image).trim_start_matches("sha256:"));
    check_huge(&config, &members(&tar(&docker.remove(&config))), &[]);
}

/// What is too large to be read is no reason not to read what comes behind.
#[test]
fn a_document_of_100_megabytes_among_others() {
    let (image, _) = bad();
    let huge = Descriptor {
        size: usize::try_from(HUGE).expect("it fits"),
        ..Descriptor::new(OCI_MANIFEST, &Blob::new("any"))
    };
    let layout = Layout::new()
        .described(huge.clone())
        .named(&image, BAD_NAME);
    let shelf = Shelf::new();
    let path = shelf.path().join("bad.tar");
    write_huge(&path, &blob_path(&huge.digest), &members(&layout.tar()));
    let says = format!("it is too large: {HUGE} bytes, at most");
    check_image(&shelf.check("bad.tar", &[&says], &[BAD]), BAD, &image);
}

/// As an array it is a Docker archive: the first byte that is no blank decides.
#[test]
fn a_docker_manifest_of_100_megabytes() {
    let shelf = Shelf::new();
    let path = shelf.path().join("bad.tar");
    write_huge(&path, "manifest.json", &[]);
    let mut file = File::options().write(true).open(&path).expect("a file");
    file.seek(SeekFrom::Start(512)).expect("a place");
    file.write_all(b"[").expect("written");
    check_memory(&shelf.check("bad.tar", &["manifest.json: it is too large: "], &[]));
}

/// A layer may be as long as it likes.
#[test]
fn a_layer_of_100_megabytes_is_fine() {
    let (image, _) = bad();
    let digest = format!("sha256:{}", "1".repeat(64));
    let mut manifest: Value = serde_json::from_slice(&image.manifest().bytes).expect("JSON");
    manifest["layers"][0]["size"] = json!(HUGE);
    manifest["layers"][0]["digest"] = json!(digest);
    let manifest = Blob::new(manifest.to_string());
    let descriptor = Descriptor::new(OCI_MANIFEST, &manifest).annotation(IMAGE_NAME, BAD_NAME);
    let layout = Layout::new()
        .described(descriptor)
        .blob(manifest)
        .blob(image.config());
    let shelf = Shelf::new();
    write_huge(
        &shelf.path().join("bad.tar"),
        &blob_path(&digest),
        &members(&layout.tar()),
    );
    let server = shelf.check("bad.tar", &[], &[BAD]);
    let head = server.head(&format!("/v2/{BAD}/blobs/{digest}"));
    assert_eq!(
        head.header("content-length"),
        Some(HUGE.to_string().as_str())
    );
    let last = format!("bytes={}-", HUGE - 3);
    let part = server.request(
        "GET",
        &format!("/v2/{BAD}/blobs/{digest}"),
        &[("Range", &last)],
    );
    assert_eq!((part.status, part.body), (206, vec![0; 3]));
    check_memory(&server);
}

/// An index, and how deep what is under it is nested.
fn nested(depth: usize, width: usize, innermost: &Image) -> (Descriptor, BTreeMap<String, Blob>) {
    let mut blobs = BTreeMap::new();
    let mut keep = |blob: Blob| blobs.insert(blob.digest.clone(), blob);
    innermost
        .blobs()
        .into_iter()
        .for_each(|blob| drop(keep(blob)));
    let mut child = innermost.descriptor();
    for _ in 0..depth {
        let children = vec![
            json!({"mediaType": child.media_type, "digest": child.digest, "size": child.size});
            width
        ];
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        let blob = Blob::new(index.to_string());
        child = Descriptor::new(OCI_INDEX, &blob);
        keep(blob);
    }
    (child, blobs)
}

fn layout_of((root, blobs): (Descriptor, BTreeMap<String, Blob>)) -> Layout {
    let layout = Layout::new().described(root.annotation(IMAGE_NAME, BAD_NAME));
    blobs.into_values().fold(layout, Layout::blob)
}

#[test]
fn indexes_nested_50_deep() {
    let (image, _) = bad();
    let (root, blobs) = nested(50, 1, &image);
    let top = blobs[&root.digest].bytes.clone();
    let bytes = layout_of((root, blobs)).tar();
    let says = "indexes are nested more than 8 deep; this is no image that clients could pull";
    let server = check("bad.tar", &bytes, &[says], &[BAD]);
    assert_eq!(server.get("/v2/acme/bad/manifests/1").body, top);
    let deepest = server.get(&format!("/v2/acme/bad/manifests/{}", image.digest()));
    check_error(&deepest, 404, "MANIFEST_UNKNOWN");
}

#[test]
fn indexes_nested_a_little_are_fine() {
    let (image, _) = bad();
    let server = check(
        "bad.tar",
        &layout_of(nested(3, 1, &image)).tar(),
        &[],
        &[BAD],
    );
    let deepest = server.get(&format!("/v2/acme/bad/manifests/{}", image.digest()));
    assert_eq!(deepest.body, image.manifest().bytes);
}

/// The time until all is served.
fn check_time(what: &str, bytes: &[u8]) {
    let shelf = Shelf::new().with("bad.tar", bytes);
    let began = Instant::now();
    let server = shelf.serve();
    assert!(began.elapsed() < START, "{what}: {:?}", began.elapsed());
    shelf.check_good(&server);
    check_memory(&server);
}

/// Each index holds the next one a hundred times: looked at one by one they were 10^14.
#[test]
fn indexes_that_multiply() {
    // No platform at the end, so that none is the same as another.
    let artifact = Image::new("bad").artifact_type("application/x");
    check_time(
        "a hundred times seven",
        &layout_of(nested(7, 100, &artifact)).tar(),
    );
}

/// The same bad document ten thousand times over is one bad document.
#[test]
fn a_bad_document_that_is_listed_often() {
    let blob = Blob::new(vec![b'x'; 4 << 20]);
    let entry = Descriptor::new(OCI_MANIFEST, &blob);
    let layout = (0..9_000).fold(Layout::new(), |layout, number| {
        layout.described(entry.clone().annotation(REF_NAME, &format!("t{number}")))
    });
    check_time("one bad document", &layout.blob(blob).tar());
}

/// A large config that many images share is read once.
#[test]
fn a_large_config_that_is_shared_often() {
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "x": "x".repeat(7 << 20)});
    let config = Blob::new(config.to_string());
    let manifest = |number: usize| {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.digest,
                "size": config.bytes.len(),
            },
            "layers": [],
            "annotations": {"number": number.to_string()},
        });
        Blob::new(manifest.to_string())
    };
    let layout = (0..3_000)
        .map(manifest)
        .fold(Layout::new(), |layout, blob| {
            layout
                .described(Descriptor::new(OCI_MANIFEST, &blob))
                .blob(blob)
        });
    check_time("one config", &layout.blob(config.clone()).tar());
}

/// What `oras backup` writes of a repository with many untagged images.
#[test]
fn images_without_names_by_the_thousand() {
    let manifest = |number: usize| {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2},
            "layers": [],
            "annotations": {"number": number.to_string()},
        });
        Blob::new(manifest.to_string())
    };
    let layout = (0..5_000)
        .map(manifest)
        .fold(Layout::new(), |layout, blob| {
            layout
                .described(Descriptor::new(OCI_MANIFEST, &blob))
                .blob(blob)
        });
    check_time("5,000 images", &layout.blob(Blob::new("{}")).tar());
}

/// Only their headers are looked at.
#[test]
fn a_hundred_thousand_members() {
    let (image, tree) = bad();
    let mut tar = Tar::new();
    for (name, data) in members(&super::tar(&tree)) {
        tar.file(&name, &data);
    }
    for number in 0..100_000 {
        tar.file(&format!("blobs/sha256/{number}"), b"");
    }
    let bytes = tar.finish();
    check_time("100,000 members", &bytes);
    check_image(&check("bad.tar", &bytes, &[], &[BAD]), BAD, &image);
}
