//! Lists in pages: tags, repositories, referrers.

use super::*;

/// A list from page to page, as its links lead, with the length of each page.
fn follow(
    shelf: &Shelf,
    first: &str,
    entries: impl Fn(&Value) -> Vec<String>,
) -> (Vec<String>, Vec<usize>) {
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        assert!(lengths.len() < 100, "{first} has no end");
        let answer = shelf.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(
            answer.body.len() < 4 << 20,
            "{path}: {} bytes",
            answer.body.len()
        );
        let page = entries(&answer.json());
        lengths.push(page.len());
        all.extend(page);
        next = answer.header("link").map(target);
    }
    (all, lengths)
}

/// Where a link leads (RFC 8288).
fn target(link: &str) -> String {
    let (target, relation) = link.split_once(">; ").unwrap_or_else(|| panic!("{link}"));
    assert_eq!(relation, "rel=\"next\"");
    target.strip_prefix('<').expect("a link").to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    let values = value
        .as_array()
        .unwrap_or_else(|| panic!("{value} is no list"));
    values
        .iter()
        .map(|value| value.as_str().expect("a text").to_owned())
        .collect()
}

/// How a list of `count` entries is cut into pages of `n`.
fn lengths(count: usize, n: usize) -> Vec<usize> {
    (0..count)
        .step_by(n)
        .map(|start| n.min(count - start))
        .collect()
}

#[test]
fn tags() {
    let shelf = Shelf::new();
    let list = "/v2/acme/app/tags/list";
    let tags = |value: &Value| {
        assert_eq!(value["name"], "acme/app");
        strings(&value["tags"])
    };
    for n in 1..10 {
        let (all, pages) = follow(&shelf, &format!("{list}?n={n}"), tags);
        assert_eq!(
            (all, pages),
            (TAGS.map(str::to_owned).to_vec(), lengths(TAGS.len(), n)),
            "{n}"
        );
        // Through a host, whose link must not lose it, nor find a `latest` of ours.
        let (all, _) = follow(&shelf, &format!("{list}?n={n}&ns=docker.io"), tags);
        assert_eq!(all, TAGS[..6], "{n}");
    }
    let check = |query: &str, expected: &[&str], more: bool| {
        let answer = shelf.get(&format!("{list}?{query}"));
        assert_eq!(
            (answer.status, tags(&answer.json())),
            (200, expected.iter().map(|tag| (*tag).to_owned()).collect())
        );
        assert_eq!(answer.header("link").is_some(), more, "{query}");
    };
    check("", &TAGS, false);
    check("n=0", &[], false);
    check("n=0&last=a", &[], false);
    check("n=7", &TAGS, false);
    check("n=99999999999999999999999999", &TAGS, false);
    check("n=007", &TAGS, false);
    check("last=1.1", &TAGS[2..], false);
    check("last=1.1.0%2Boci", &TAGS[3..], false);
    check("last=1.1.0+oci", &TAGS[3..], false);
    // It need not be one of the tags.
    check("last=1.05", &TAGS[1..], false);
    check("last=zzz", &[], false);
    check("last=latest&n=5", &[], false);
    check("n=2&last=1.0", &TAGS[1..3], true);
    check("last=1.0&n=2&unknown=1", &TAGS[1..3], true);
    check("n=", &TAGS, false);
    check("last=", &TAGS, false);
}

#[test]
fn pages_that_are_none() {
    let shelf = Shelf::new();
    let digest = shelf.image.digest();
    for list in [
        "/v2/acme/app/tags/list",
        "/v2/_catalog",
        &format!("/v2/acme/app/referrers/{digest}"),
    ] {
        for n in ["x", "-1", "1.5", "%2B1", "1%20", "0x1", "%00", "1e3"] {
            let answer = shelf.get(&format!("{list}?n={n}"));
            check_error(&answer, 400, "UNSUPPORTED");
        }
    }
    shelf.check_alive();
}

#[test]
fn repositories() {
    let shelf = Shelf::new();
    let names = |value: &Value| strings(&value["repositories"]);
    let expected = ["acme/app", "ghcr.io/acme/app", "one", "team/tool"];
    for n in 1..6 {
        let (all, pages) = follow(&shelf, &format!("/v2/_catalog?n={n}"), names);
        assert_eq!(
            (all, pages),
            (expected.map(str::to_owned).to_vec(), lengths(4, n))
        );
    }
    let answer = shelf.get("/v2/_catalog?n=0");
    assert_eq!(
        (names(&answer.json()), answer.header("link")),
        (Vec::new(), None)
    );
    // By each of these names it can be asked for.
    for name in expected {
        assert_eq!(
            shelf.get(&format!("/v2/{name}/tags/list")).status,
            200,
            "{name}"
        );
    }
}

fn digests(value: &Value) -> Vec<String> {
    assert_eq!(
        (&value["schemaVersion"], &value["mediaType"]),
        (&json!(2), &json!(OCI_INDEX))
    );
    let entries = value["manifests"].as_array().expect("a list").iter();
    entries
        .map(|entry| entry["digest"].as_str().expect("a digest").to_owned())
        .collect()
}

#[test]
fn referrers() {
    let shelf = Shelf::new();
    let list = format!("/v2/acme/app/referrers/{}", shelf.image.digest());
    let all: Vec<Image> = (0..7)
        .map(|number| referrer(&shelf.image, number, "note"))
        .collect();
    let mut expected: Vec<String> = all.iter().map(Node::digest).collect();
    expected.sort();
    for n in 1..9 {
        let (mut found, pages) = follow(&shelf, &format!("{list}?n={n}"), digests);
        found.sort();
        assert_eq!((found, pages), (expected.clone(), lengths(7, n)));
    }
    let answer = shelf.get(&list);
    assert_eq!(answer.header("content-type"), Some(OCI_INDEX));
    assert_eq!(answer.header("oci-filters-applied"), None);
    for image in &all {
        let Blob { digest, bytes } = image.manifest();
        let entries = answer.json()["manifests"]
            .as_array()
            .cloned()
            .expect("a list");
        let entry = entries
            .iter()
            .find(|entry| entry["digest"] == digest.as_str())
            .expect("an entry");
        let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(entry["size"], bytes.len());
        for key in ["mediaType", "artifactType", "annotations"] {
            assert_eq!(entry[key], manifest[key], "{key}");
        }
        let stored = shelf.get(&format!("/v2/acme/app/manifests/{digest}"));
        assert_eq!((stored.status, stored.body), (200, bytes));
    }
    let answer = shelf.get(&format!("{list}?n=0"));
    assert_eq!(
        (digests(&answer.json()).len(), answer.header("link")),
        (0, None)
    );
}

#[test]
fn referrers_of_one_type() {
    let shelf = Shelf::new();
    let list = format!("/v2/acme/app/referrers/{}", shelf.image.digest());
    let check = |artifact_type: &str, count: usize| {
        let answer = shelf.get(&format!("{list}?artifactType={artifact_type}"));
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
        assert_eq!(answer.header("content-type"), Some(OCI_INDEX));
        assert_eq!(digests(&answer.json()).len(), count, "{artifact_type}");
        // Each page is filtered, and so are those that its link leads to.
        let (all, pages) = follow(
            &shelf,
            &format!("{list}?n=2&artifactType={artifact_type}"),
            digests,
        );
        assert_eq!(all.len(), count);
        assert!(count == 0 || pages == lengths(count, 2), "{pages:?}");
    };
    check("application/vnd.example.sbom", 3);
    check("application%2Fvnd.example.sbom", 3);
    check("application/vnd.example.signature+json", 4);
    check("application/vnd.example.signature%2Bjson", 4);
    check("application/vnd.example.SBOM", 0);
    check("x%00", 0);
}

#[test]
fn referrers_of_nothing() {
    let shelf = Shelf::new();
    let absent = sha256(b"absent");
    for path in [
        format!("/v2/acme/app/referrers/{absent}"),
        format!("/v2/one/referrers/{}", shelf.image.digest()),
        format!("/v2/acme/app/referrers/sha512:{}", "0".repeat(128)),
    ] {
        let answer = shelf.get(&path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(OCI_INDEX)),
            "{path}"
        );
        assert!(digests(&answer.json()).is_empty());
    }
}

/// Clients take documents of four megabytes: a longer list comes in pages that nobody asked for.
#[test]
fn more_referrers_than_fit_a_page() {
    let image = Image::new("app");
    let text = "x".repeat(100_000);
    let all = (0..50).map(|number| referrer(&image, number, &text));
    let layout = Layout::new().named(&image, "docker.io/acme/app:1");
    let layout = all.fold(layout, |layout, referrer| layout.entry(&referrer, &[]));
    let shelf = Shelf::of(&layout, image);
    let list = format!("/v2/acme/app/referrers/{}", shelf.image.digest());
    let check = |query: &str, count: usize| {
        let (mut all, pages) = follow(&shelf, &format!("{list}{query}"), digests);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{query}");
        assert!(pages.len() > 1, "{query}: {pages:?}");
    };
    check("", 50);
    check("?n=45", 50);
    check("?artifactType=application/vnd.example.signature%2Bjson", 33);
}

/// A type that is not the manifest's own is its config's, and an index without one has none.
#[test]
fn the_type_of_a_referrer() {
    let image = Image::new("app");
    let subject = json!({"mediaType": image.descriptor().media_type, "digest": image.digest(), "size": image.manifest().bytes.len()});
    let empty = Blob::new("{}");
    let plain = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.example.config", "digest": empty.digest, "size": 2},
        "layers": [],
        "subject": subject,
    });
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject});
    let layout = [
        (&plain, "application/vnd.oci.image.manifest.v1+json"),
        (&index, OCI_INDEX),
    ]
    .iter()
    .fold(
        Layout::new()
            .named(&image, "docker.io/acme/app:1")
            .blob(empty),
        |layout, (json, media_type)| {
            let blob = Blob::new(json.to_string());
            layout
                .described(Descriptor::new(media_type, &blob))
                .blob(blob)
        },
    );
    let shelf = Shelf::of(&layout, image);
    let list = format!("/v2/acme/app/referrers/{}", shelf.image.digest());
    let entries = shelf.get(&list).json()["manifests"].clone();
    let types: Vec<(&str, Option<&str>)> = entries
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            (
                entry["mediaType"].as_str().expect("a type"),
                entry["artifactType"].as_str(),
            )
        })
        .collect();
    assert_eq!(types.len(), 2);
    assert!(types.contains(&(OCI_INDEX, None)), "{types:?}");
    let of_config = Some("application/vnd.example.config");
    assert!(
        types.contains(&("application/vnd.oci.image.manifest.v1+json", of_config)),
        "{types:?}"
    );
}
