//! Names that cannot be served, names that mean something else than they seem to, and no name at all.

use super::*;

#[test]
fn names_that_cannot_be_served() {
    let (image, _) = bad();
    for name in [
        "../../etc/passwd:1",
        "..:1",
        "acme/../good:1",
        "Acme/Bad:1",
        "acme/bad:-1",
        "acme//bad:1",
    ] {
        let says = format!("the image name `{name}` cannot be served");
        // It goes by the name of the file instead.
        let layout = Layout::new().entry(&image, &[(REF_NAME, name)]);
        let server = check("other.tar", &layout.tar(), &[&says], &["other"]);
        let manifest = server.get("/v2/other/manifests/latest");
        assert_eq!(manifest.body, image.manifest().bytes);
        let docker = DockerArchive::new(Naming::Docker20).image(&image, Some(&[name]));
        check("other.tar", &docker.tar(), &[&says], &["other"]);
    }
}

#[test]
fn one_bad_name_among_good_ones() {
    let image = Image::new("bad");
    let names = Some(&["acme/bad:1", "../acme/bad:2"][..]);
    let docker = DockerArchive::new(Naming::Docker20).image(&image, names);
    let server = check(
        "bad.tar",
        &docker.tar(),
        &["`../acme/bad:2` cannot be served"],
        &[BAD],
    );
    assert_eq!(
        server.get("/v2/acme/bad/tags/list").json()["tags"],
        json!(["1", "latest"])
    );
}

/// A name must not drive the terminal of whoever reads about it.
#[test]
fn control_characters_in_a_name() {
    let layout = Layout::new().entry(&bad().0, &[(REF_NAME, "a/\x1b[31m:1")]);
    let server = check(
        "other.tar",
        &layout.tar(),
        &["the image name `a/\\u{1b}[31m:1` cannot be served"],
        &["other"],
    );
    assert!(!server.stderr().contains('\x1b'), "{}", server.stderr());
}

/// Where neither the archive nor its file has a name that could be asked for, that has to be told.
#[test]
fn a_file_without_a_name_that_can_be_asked_for() {
    let (image, _) = bad();
    for annotations in [&[][..], &[(REF_NAME, "v1")]] {
        let shelf = Shelf::new().with("ü.tar", &Layout::new().entry(&image, annotations).tar());
        let (lines, _) = shelf.list();
        assert!(
            lines.iter().any(|line| line.contains("/ü.tar: ")),
            "{annotations:?}: {lines:?}"
        );
    }
}

/// What says something about an image may repeat its name (containerd from 2.2, Docker from 29.1, hauler, cosign), and is newer.
#[test]
fn a_signature_does_not_get_the_tag_of_its_image() {
    let (image, _) = bad();
    let signature = Image::new("signature")
        .created("2030-01-01T00:00:00Z")
        .subject(&image)
        .artifact_type("application/vnd.example.signature");
    for (key, value) in [
        ("io.containerd.manifest.subject", image.digest()),
        ("org.olareg.referrer.subject", image.digest()),
        ("kind", "dev.cosignproject.cosign/sigs".to_owned()),
        ("kind", "dev.hauler/atts".to_owned()),
    ] {
        for is_dated in [false, true] {
            let about = if is_dated {
                Image::new("b").created("2030-01-01T00:00:00Z")
            } else {
                signature.clone()
            };
            let layout = Layout::new()
                .entry(&image, &[(IMAGE_NAME, BAD_NAME)])
                .entry(&about, &[(IMAGE_NAME, BAD_NAME), (key, &value)]);
            let shelf = Shelf::new().with("bad.tar", &layout.tar());
            let manifest = shelf.serve().get("/v2/acme/bad/manifests/1");
            assert_eq!(
                manifest.text(),
                String::from_utf8_lossy(&image.manifest().bytes),
                "{key}"
            );
        }
    }
}

/// One annotation has the repository, the other the tag.
#[test]
fn a_tag_for_a_repository() {
    let (image, _) = bad();
    let at_digest = format!("docker.io/acme/bad@{}", image.digest());
    for name in ["docker.io/acme/bad", &at_digest] {
        let layout = Layout::new().entry(&image, &[(IMAGE_NAME, name), (REF_NAME, "1")]);
        let server = check("bad.tar", &layout.tar(), &[], &[BAD]);
        check_image(&server, BAD, &image);
    }
}

/// A digest is no repository with a tag of 64 letters.
#[test]
fn a_digest_for_a_name() {
    let (image, _) = bad();
    let layout = Layout::new().entry(&image, &[(REF_NAME, &image.digest())]);
    let shelf = Shelf::new().with("other.tar", &layout.tar());
    assert_eq!(catalog(&shelf.serve()), [GOOD, "other"]);
}

/// Docker and containerd read these names as paths.
#[test]
fn members_named_by_unusual_paths() {
    let (image, _) = bad();
    let tree = DockerArchive::new(Naming::Skopeo)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let members = members(&tar(&tree));
    let (_, manifest) = members
        .iter()
        .find(|(name, _)| name == "manifest.json")
        .expect("a manifest");
    let items: Value = serde_json::from_slice(manifest).expect("JSON");
    let (config, layer) = (items[0]["Config"].as_str(), items[0]["Layers"][0].as_str());
    let (config, layer) = (config.expect("a config"), layer.expect("a layer"));
    for prefix in ["./", ".//", "x/../"] {
        let items = json!([{
            "Config": format!("{prefix}{config}"),
            "RepoTags": ["acme/bad:1"],
            "Layers": [format!("{prefix}{layer}")],
        }]);
        let tree = tree.clone().replace("manifest.json", items.to_string());
        let server = check("bad.tar", &tar(&tree), &[], &[BAD]);
        assert_eq!(get_blob(&server, BAD, &layer_of(&image)).status, 200);
    }
}

/// The other entries of a list are as good as without it.
#[test]
fn one_bad_entry_among_good_ones() {
    let (image, tree) = bad();
    let name = json!({IMAGE_NAME: BAD_NAME});
    let good = json!({"mediaType": OCI_MANIFEST, "digest": image.digest(), "size": image.manifest().bytes.len(), "annotations": name});
    for wrong in [
        json!({"mediaType": OCI_MANIFEST}),
        json!({"mediaType": OCI_MANIFEST, "digest": image.digest(), "size": 1}),
        json!({"mediaType": OCI_MANIFEST, "digest": image.digest(), "size": -1}),
        json!({"mediaType": OCI_MANIFEST, "digest": "sha256:x", "size": 1}),
        json!({"mediaType": 5, "digest": image.digest(), "size": 1}),
        json!("text"),
    ] {
        for entries in [[&wrong, &good], [&good, &wrong]] {
            let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
            let shelf =
                Shelf::new().with("bad.tar", &tar(&tree.clone().replace("index.json", index)));
            let (lines, _) = shelf.list();
            // Once the image is known, what else is said about it does no harm.
            let is_told = lines.iter().any(|line| line.contains("/bad.tar: "));
            assert!(is_told || entries[0] == &good, "{wrong}: {lines:?}");
            let server = shelf.serve();
            assert_eq!(catalog(&server), [BAD, GOOD], "{wrong}");
            check_image(&server, BAD, &image);
        }
    }
}
