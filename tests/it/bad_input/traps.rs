//! Documents that mean to hurt their reader, and blobs that claim digests which are not theirs.

use super::*;
use crate::fixture::Tar;

const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

/// Something is told about the archive, and the good one is served.
fn check_told(bytes: &[u8], says: &str) -> Served {
    let shelf = Shelf::new().with("bad.tar", bytes);
    let (lines, _) = shelf.list();
    let is_told = |line: &String| line.contains("/bad.tar: ") && line.contains(says);
    assert!(lines.iter().any(is_told), "`{says}`: {lines:#?}");
    let server = shelf.serve();
    shelf.check_good(&server);
    Served {
        server,
        _shelf: shelf,
    }
}

/// A Docker archive of the bad image, whose config has another content, and the member that it is.
fn docker_with_config(config: &str) -> Tree {
    let (image, _) = bad();
    let tree = DockerArchive::new(Naming::Crane)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let old = config_of(&image);
    let new = sha256(config.as_bytes());
    let manifest = String::from_utf8_lossy(tree.content("manifest.json")).replace(&old, &new);
    tree.remove(&old)
        .file(&new, config)
        .replace("manifest.json", manifest)
}

/// Whatever is in places that mean nothing to us is passed over, however deep; elsewhere it is a problem.
#[test]
fn documents_nested_10_000_deep() {
    let (image, tree) = bad();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let inside = |key: &str, json: &[u8]| {
            let more = format!(r#"{{"{key}":{nested},"#);
            String::from_utf8_lossy(json).replacen('{', &more, 1)
        };
        let manifest = |key: &str| {
            let blob = Blob::new(inside(key, &image.manifest().bytes));
            let entry = Descriptor::new(OCI_MANIFEST, &blob).annotation(IMAGE_NAME, BAD_NAME);
            Layout::new().described(entry).blob(blob).tree()
        };
        let index = |key: &str| {
            let index = inside(key, tree.content("index.json"));
            tree.clone().replace("index.json", index)
        };
        let config = |key: &str| docker_with_config(&inside(key, &image.config().bytes));
        for harmless in [manifest("x"), index("x"), config("x"), config("history")] {
            let shelf = Shelf::new().with("bad.tar", &tar(&harmless));
            shelf.list();
            shelf.check_good(&shelf.serve());
        }
        for told in [
            manifest("annotations"),
            index("manifests"),
            config("rootfs"),
        ] {
            check_told(&tar(&told), "");
        }
        let docker = Tree::default().file("manifest.json", format!("[{nested}]"));
        check_told(&tar(&docker), "it cannot be parsed");
    }
}

/// Some readers take the first, others the last.
#[test]
fn keys_that_are_there_twice() {
    let (image, _) = bad();
    let twice = |json: &[u8], key: &str| {
        let value: Value = serde_json::from_slice(json).expect("JSON");
        let json = String::from_utf8_lossy(json);
        let more = format!(r#""{key}":{},"#, value[key]);
        json.replacen('{', &format!("{{{more}"), 1)
    };
    for key in ["schemaVersion", "mediaType", "config", "layers"] {
        let blob = Blob::new(twice(&image.manifest().bytes, key));
        let entry = Descriptor::new(OCI_MANIFEST, &blob).annotation(IMAGE_NAME, BAD_NAME);
        let layout = Layout::new().described(entry).blob(blob);
        check_told(&layout.tar(), &format!("duplicate field `{key}`"));
    }
    let config = twice(&image.config().bytes, "rootfs");
    check_told(
        &tar(&docker_with_config(&config)),
        "duplicate field `rootfs`",
    );
    let docker = DockerArchive::new(Naming::Skopeo)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    for key in ["Config", "Layers", "RepoTags"] {
        let items: Value = serde_json::from_slice(docker.content("manifest.json")).expect("JSON");
        let item = twice(items[0].to_string().as_bytes(), key);
        let tree = docker.clone().replace("manifest.json", format!("[{item}]"));
        check_told(&tar(&tree), &format!("duplicate field `{key}`"));
    }
}

/// No document can hold its own digest: one that seems to lies.
#[test]
fn indexes_that_go_round() {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let index = |child: &str| {
        let entry = json!({"mediaType": OCI_INDEX, "digest": child, "size": 237});
        let bytes =
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
        assert_eq!(bytes.len(), 237);
        bytes
    };
    for next in ["1", "2"] {
        let entry = Descriptor {
            digest: digest("1"),
            ..Descriptor::new(OCI_INDEX, &Blob::new(index(&digest(next))))
        };
        let tree = Layout::new()
            .described(entry.annotation(IMAGE_NAME, BAD_NAME))
            .tree()
            .file(&blob_path(&digest("1")), index(&digest(next)))
            .file(&blob_path(&digest("2")), index(&digest("1")));
        check_told(&tar(&tree), &format!("expected the digest {}", digest("1")));
    }
}

#[test]
fn lists_of_more_than_anyone_needs() {
    let entry = |number: usize| json!({"mediaType": "application/x", "digest": sha256(&number.to_le_bytes()), "size": 1});
    let many: Vec<_> = (0..10_001).map(entry).collect();
    let says = "there are too many";
    let config = json!({"mediaType": EMPTY_CONFIG, "digest": sha256(b"{}"), "size": 2});
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": many});
    check_told(
        &document(OCI_MANIFEST, &manifest)
            .blob(Blob::new("{}"))
            .tar(),
        says,
    );
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": many});
    check_told(&document(OCI_INDEX, &index).tar(), says);
    let tree = Layout::new()
        .tree()
        .replace("index.json", index.to_string());
    check_told(&tar(&tree), says);
    let layers = vec!["layer"; 10_001];
    let items = json!([{"Config": "config.json", "RepoTags": ["acme/bad:1"], "Layers": layers}]);
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": vec![sha256(b""); 10_001]}});
    let tree = Tree::default()
        .file("config.json", config.to_string())
        .file("layer", "")
        .file("manifest.json", items.to_string());
    check_told(&tar(&tree), says);
}

/// A manifest with a layer of `size` zeros, which is only in the manifest itself.
fn embedded(size: usize, change: impl Fn(&mut Value)) -> (Blob, Layout) {
    assert!(size.is_multiple_of(3), "four letters are three bytes");
    let layer = Blob::new(vec![0; size]);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": EMPTY_CONFIG, "digest": sha256(b"{}"), "size": 2, "data": "e30="},
        "layers": [{
            "mediaType": "application/x",
            "digest": layer.digest,
            "size": size,
            "data": "A".repeat(size / 3 * 4),
        }],
    });
    change(&mut manifest["layers"][0]);
    (layer, document(OCI_MANIFEST, &manifest))
}

/// What a descriptor has in itself is a blob like others, if it is the right one.
#[test]
fn data_in_descriptors() {
    let (layer, layout) = embedded(300, |_| {});
    let server = check("bad.tar", &layout.tar(), &[], &[BAD]);
    for blob in [&layer, &Blob::new("{}")] {
        let answer = get_blob(&server, BAD, &blob.digest);
        assert!(answer.body == blob.bytes, "{}", answer.text());
    }
    let range = server.request(
        "GET",
        &format!("/v2/{BAD}/blobs/{}", layer.digest),
        &[("Range", "bytes=298-")],
    );
    assert_eq!((range.status, range.body), (206, vec![0; 2]));
    let wrong = [
        ("size", json!(301)),
        ("digest", json!(sha256(b"other"))),
        ("data", json!("?")),
        ("data", json!("")),
    ];
    for (what, value) in wrong {
        let (_, layout) = embedded(300, |layer| layer[what] = value.clone());
        let server = check_told(&layout.tar(), "1 blob is missing");
        let manifest = server.get("/v2/acme/bad/manifests/1");
        assert_eq!(manifest.status, 200, "{what}");
        let digest = manifest.json()["layers"][0]["digest"].clone();
        let answer = get_blob(&server, BAD, digest.as_str().expect("a digest"));
        check_error(&answer, 404, "BLOB_UNKNOWN");
    }
    // The blob that is there counts.
    let (layer, layout) = embedded(300, |layer| layer["data"] = json!("?"));
    let layout = layout.blob(layer.clone());
    let server = check_served(&layout.tar());
    assert!(get_blob(&server, BAD, &layer.digest).body == layer.bytes);
}

/// The archive is served, whatever is said about it.
fn check_served(bytes: &[u8]) -> Served {
    let shelf = Shelf::new().with("bad.tar", bytes);
    let server = shelf.serve();
    assert_eq!(catalog(&server), [BAD, GOOD]);
    shelf.check_good(&server);
    Served {
        server,
        _shelf: shelf,
    }
}

#[test]
fn data_of_more_than_4_megabytes() {
    let (_, layout) = embedded(3 << 20, |_| {});
    check_told(&layout.tar(), "it is too large");
    let (layer, layout) = embedded((3 << 20) - 3_000, |_| {});
    let server = check_served(&layout.tar());
    assert!(get_blob(&server, BAD, &layer.digest).body == layer.bytes);
}

/// Other bytes of the same length under the digests of an image.
fn impostors(image: &Image) -> Tree {
    let start = Layout::new()
        .named(&Image::new("other"), "docker.io/acme/other:1")
        .tree();
    image.blobs().iter().fold(start, |tree, blob| {
        let path = blob_path(&blob.digest);
        tree.file(&path, blob.bytes.as_slice()).corrupt(&path)
    })
}

/// Two layouts in one archive: what lies in one says nothing about the other.
#[test]
fn blobs_of_another_layout_in_the_archive() {
    let (image, tree) = bad();
    for (first, second) in [("a", "b"), ("b", "a")] {
        let both = tree
            .clone()
            .below(first)
            .and(impostors(&image).below(second));
        let shelf = Shelf::new().with("bad.tar", &tar(&both));
        let server = shelf.serve();
        assert_eq!(catalog(&server), [BAD, GOOD, "acme/other"]);
        check_image(&server, BAD, &image);
        check_image(&server, "acme/other", &Image::new("other"));
    }
}

#[test]
fn blobs_of_another_archive() {
    let (image, tree) = bad();
    for name in ["a.tar", "z.tar"] {
        let shelf = Shelf::new()
            .with("bad.tar", &tar(&tree))
            .with(name, &tar(&impostors(&image)));
        let server = shelf.check(name, &[], &[BAD, "acme/other"]);
        check_image(&server, BAD, &image);
    }
}

/// Members of apko's archives that are called by digests are believed no more than others.
#[test]
fn a_manifest_beside_the_layers_is_not_what_its_name_says() {
    // No manifest that is made of it has the digest of the stored one.
    let image = |title: &str| Image::new(title).layers([Layer::files(&[("a", b"a")]).gzip()]);
    let (amd64, arm64) = (image("bad"), image("arm").platform("linux/arm64"));
    let index = Index::new().with(&amd64).with(&arm64);
    let apko = DockerArchive::new(Naming::Crane)
        .image(&amd64, Some(&["acme/bad:1-amd64"]))
        .image(&arm64, Some(&["acme/bad:1-arm64"]))
        .tree()
        .file(&amd64.digest(), amd64.manifest().bytes)
        .file(&arm64.digest(), arm64.manifest().bytes)
        .file("index.json", index.manifest().bytes)
        .corrupt(&arm64.digest());
    let says = format!("expected the digest {}", arm64.digest());
    let server = check_told(&apko.tar(&Packing::default()), &says);
    let answer = server.get(&format!("/v2/{BAD}/manifests/{}", arm64.digest()));
    assert_eq!(answer.status, 404, "{}", answer.text());
}

/// A name of a blob that is no file.
#[test]
fn devices_are_no_blobs() {
    let (image, tree) = bad();
    let layer = blob_path(&layer_of(&image));
    for flag in *b"346" {
        let mut out = Tar::new();
        for (name, data) in members(&tar(&tree)) {
            if name == layer {
                out.member(&crate::fixture::Header::new(&name, flag, 0), b"");
            } else {
                out.file(&name, &data);
            }
        }
        let server = check("bad.tar", &out.finish(), &["1 blob is missing"], &[BAD]);
        check_error(
            &get_blob(&server, BAD, &layer_of(&image)),
            404,
            "BLOB_UNKNOWN",
        );
    }
}

/// A folder of files as skopeo leaves it.
fn directory(image: &Image) -> Tree {
    let start = Tree::default()
        .file("version", "Directory Transport Version: 1.1\n")
        .file("manifest.json", image.manifest().bytes);
    image.blobs()[1..].iter().fold(start, |tree, blob| {
        tree.file(
            blob.digest.trim_start_matches("sha256:"),
            blob.bytes.as_slice(),
        )
    })
}

#[test]
fn directories_with_faults() {
    let (image, _) = bad();
    let [config, layer] =
        [config_of(&image), layer_of(&image)].map(|digest| digest[7..].to_owned());
    let check_directory = |tree: &Tree, says: &str| {
        let shelf = Shelf::new();
        tree.write_to(&shelf.path().join("bad:1"));
        let (lines, _) = shelf.list();
        assert!(
            lines.iter().any(|line| line.contains(says)),
            "`{says}`: {lines:#?}"
        );
        let server = shelf.serve();
        shelf.check_good(&server);
        let answer = get_blob(&server, "bad", &layer_of(&image));
        assert!(answer.status == 404 || answer.body == image.blobs()[2].bytes);
    };
    let tree = directory(&image);
    check_directory(&tree.clone().remove(&layer), "1 blob is missing");
    check_directory(&tree.clone().replace(&layer, "short"), "1 blob is missing");
    check_directory(&tree.clone().corrupt(&config), "expected the digest");
    check_directory(
        &tree.clone().replace("manifest.json", "{"),
        "it cannot be parsed",
    );
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("layer");
    fs::write(&target, &image.blobs()[2].bytes).expect("a file");
    let link = target.to_str().expect("UTF-8");
    check_directory(
        &tree.remove(&layer).symlink(&layer, link),
        "leaves the folder",
    );
}

/// The links of an unpacked archive lead where those of the archive would, and no further.
#[test]
fn links_out_of_an_unpacked_archive() {
    let image = Image::new("bad");
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().join("layer.tar");
    fs::write(&target, &image.blobs()[2].bytes).expect("a file");
    let tree = DockerArchive::new(Naming::Docker20)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let names = tree.names();
    let layer = names.iter().find(|name| name.ends_with("/layer.tar"));
    let layer = (*layer.expect("a layer")).to_owned();
    let tree = tree.remove(&layer);
    for link in [target.to_str().expect("UTF-8"), "/etc/passwd", "nowhere"] {
        let shelf = Shelf::new();
        tree.clone()
            .symlink(&layer, link)
            .write_to(&shelf.path().join("bad"));
        let (lines, _) = shelf.list();
        assert!(
            lines.iter().any(|line| line.contains("/bad")),
            "{link}: {lines:#?}"
        );
        let server = shelf.serve();
        shelf.check_good(&server);
        assert_ne!(
            get_blob(&server, BAD, &layer_of(&image)).status,
            200,
            "{link}"
        );
    }
}
