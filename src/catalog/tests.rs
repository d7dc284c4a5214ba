//! Snapshots of small folders that are made and changed by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::digest::Digest;
use crate::oci::{Host, Name, Tag};

mod changes;

const OPTIONS: Options = Options {
    auto_latest: true,
    strict_tags: false,
    strict: false,
};

/// Looks twice, so long apart that whatever changed before has come to rest.
fn refresh(catalog: &Catalog) {
    look(catalog);
    look(catalog);
}

/// Looks once, long after the look before.
fn look(catalog: &Catalog) -> Refreshed {
    // Of all tests together: it only has to grow.
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    let seconds = CLOCK.fetch_add(10, Ordering::Relaxed);
    catalog.refresh(Instant::now() + Duration::from_secs(seconds))
}

/// An OCI layout as a folder, with one artifact-like image for each name.
struct Layout<'p> {
    folder: &'p Path,
    entries: Vec<Value>,
}

impl<'p> Layout<'p> {
    fn at(folder: &'p Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        Self {
            folder,
            entries: Vec::new(),
        }
    }

    fn blob(&self, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes).to_string();
        fs::write(
            self.folder.join("blobs").join(digest.replace(':', "/")),
            bytes,
        )
        .unwrap();
        json!({"digest": digest, "size": bytes.len()})
    }

    /// An image named `name`, made at `created`; gives its digest.
    fn image(&mut self, name: Option<&str>, created: &str, more: &Value) -> Digest {
        let config = json!({"os": "linux", "architecture": "amd64", "created": created, "rootfs": {"diff_ids": []}});
        let mut config = self.blob(config.to_string().as_bytes());
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let mut manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
        manifest["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
        manifest
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap_or_default());
        let mut entry = self.blob(manifest.to_string().as_bytes());
        let digest = entry["digest"].as_str().unwrap().parse().unwrap();
        if let Some(name) = name {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        self.entries.push(entry);
        fs::write(
            self.folder.join("index.json"),
            json!({"manifests": self.entries}).to_string(),
        )
        .unwrap();
        digest
    }
}

fn catalog(folder: &Path, options: Options) -> Catalog {
    let catalog = Catalog::new(vec![Root::new(folder)], options, Box::new(|_| ()));
    catalog.refresh(Instant::now());
    catalog
}

fn snapshot(folder: &Path) -> Arc<Snapshot> {
    catalog(folder, OPTIONS).snapshot().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tags(snapshot: &Snapshot, repository: &str, ns: Option<&str>) -> Option<Vec<String>> {
    let ns: Option<Host> = ns.map(|ns| ns.parse().unwrap());
    let view = snapshot.repository(&name(repository), ns.as_ref())?;
    Some(view.tags().iter().map(Tag::to_string).collect())
}

#[test]
fn latest_is_the_highest_stable_version() {
    let check = |present: &[&str], expected: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let mut layout = Layout::at(folder.path());
        let digests: Vec<(&str, Digest)> = present
            .iter()
            .map(|tag| {
                (
                    *tag,
                    layout.image(
                        Some(&format!("a/b:{tag}")),
                        "1970-01-01T00:00:00Z",
                        &json!({"annotations": {"t": tag}}),
                    ),
                )
            })
            .collect();
        let snapshot = snapshot(folder.path());
        let view = snapshot.repository(&name("a/b"), None).unwrap();
        let latest = view.resolve(&Tag::latest());
        let tag = digests
            .iter()
            .find(|(_, digest)| Some(digest) == latest)
            .map(|(tag, _)| *tag);
        assert_eq!(tag, expected, "{present:?}");
        let is_automatic = expected.is_some_and(|tag| tag != "latest");
        assert_eq!(view.automatic().is_some(), is_automatic);
        let mirrored = tags(&snapshot, "a/b", Some("docker.io")).unwrap();
        assert_eq!(
            mirrored.contains(&"latest".to_owned()),
            present.contains(&"latest"),
            "a mirror invents nothing"
        );
    };
    check(
        &["1.0.0", "1.0.1", "1.1.0+oci", "2.0.0-preview.1"],
        Some("1.1.0+oci"),
    );
    check(&["1.9", "1.10", "edge"], Some("1.10"));
    check(&["2.0.0-alpha", "2.0.0-beta"], Some("2.0.0-beta"));
    check(&["latest", "3.0"], Some("latest"));
    check(&["edge"], None);
}

#[test]
fn options_are_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    layout.image(Some("a/b:1.0"), "", &json!({}));
    layout.image(
        Some("a/b:1.1+x"),
        "",
        &json!({"annotations": {"other": "image"}}),
    );
    let with = |auto_latest, strict_tags| {
        let catalog = catalog(
            folder.path(),
            Options {
                auto_latest,
                strict_tags,
                strict: false,
            },
        );
        tags(&catalog.snapshot().unwrap(), "a/b", None).unwrap()
    };
    assert_eq!(with(true, false), ["1.0", "1.1+x", "latest"]);
    assert_eq!(with(false, false), ["1.0", "1.1+x"]);
    assert_eq!(with(false, true), ["1.0"]);
}

#[test]
fn one_tag_in_two_archives_goes_to_the_newest_image() {
    let check = |first: &str, second: &str, winner: usize| {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("app-9"), folder.path().join("app-10")];
        let digests = [
            Layout::at(&paths[0]).image(Some("a/b:1"), first, &json!({"annotations": {"n": "1"}})),
            Layout::at(&paths[1]).image(Some("a/b:1"), second, &json!({"annotations": {"n": "2"}})),
        ];
        let snapshot = snapshot(folder.path());
        let view = snapshot.repository(&name("a/b"), None).unwrap();
        assert_eq!(
            view.resolve(&"1".parse().unwrap()),
            Some(&digests[winner]),
            "{first} {second}"
        );
        let [problem] = snapshot.problems() else {
            panic!("{:?}", snapshot.problems())
        };
        assert_eq!(problem.file, paths[1 - winner]);
        assert!(
            problem.what.contains(&digests[winner].to_string())
                && problem.what.contains("which counts")
        );
        assert!(
            view.manifest(&digests[1 - winner]).is_some(),
            "the loser is served by digest"
        );
    };
    check("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 1);
    check("2025-01-01T00:00:00Z", "2024-01-01T00:00:00Z", 0);
    check("2025-01-01T00:00:00+02:00", "2025-01-01T00:00:00Z", 1);
    // Reproducible builds say 1970: then the file name decides, by its numbers.
    check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 1);
    check("", "1970-01-01T00:00:00Z", 1);
}

#[test]
fn the_same_image_in_two_archives_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["one", "two"] {
        Layout::at(&folder.path().join(path)).image(Some("a/b:1"), "", &json!({}));
    }
    assert_eq!(snapshot(folder.path()).problems(), []);
}

#[test]
fn a_repository_serves_only_what_it_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    let mine = layout.image(Some("a/mine:1"), "", &json!({}));
    let other = layout.image(Some("a/other:1"), "", &json!({"annotations": {"x": "y"}}));
    let stray = layout.blob(b"in no image")["digest"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let snapshot = snapshot(folder.path());
    let view = snapshot.repository(&name("a/mine"), None).unwrap();
    assert!(view.manifest(&mine).is_some() && view.blob(&mine).is_some());
    assert!(view.manifest(&other).is_none() && view.blob(&other).is_none());
    assert!(view.blob(&stray).is_none());
}

#[test]
fn a_namespace_sees_only_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    layout.image(Some("ghcr.io/acme/app:g"), "", &json!({}));
    layout.image(Some("acme/app:d"), "", &json!({"annotations": {"x": "d"}}));
    layout.image(Some("one:1"), "", &json!({"annotations": {"x": "1"}}));
    layout.image(Some("bare"), "", &json!({"annotations": {"x": "b"}}));
    let snapshot = snapshot(folder.path());
    let check = |repository: &str, ns: Option<&str>, expected: Option<&str>| {
        let tags = tags(&snapshot, repository, ns);
        assert_eq!(
            tags.and_then(|tags| tags.first().cloned()).as_deref(),
            expected,
            "{repository} {ns:?}"
        );
    };
    check("acme/app", None, Some("d"));
    check("ghcr.io/acme/app", None, Some("g"));
    check("acme/app", Some("ghcr.io"), Some("g"));
    check("acme/app", Some("index.docker.io"), Some("d"));
    check("one", Some("docker.io"), Some("1"));
    check("library/one", Some("docker.io"), Some("1"));
    check("acme/app", Some("quay.io"), None);
    check("ghcr.io/acme/app", Some("ghcr.io"), None);
    let made = folder
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .to_lowercase();
    let made = made.trim_start_matches('.').to_owned();
    check(&made, None, Some("bare"));
    check(&made, Some("docker.io"), None);
}

#[test]
fn referrers_are_found_with_and_without_tags() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    let subject = layout.image(Some("a/b:1"), "", &json!({}));
    let about = json!({"subject": {"digest": subject.to_string(), "size": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json"}, "artifactType": "x/y"});
    let signature = layout.image(None, "", &about);
    let elsewhere = layout.image(
        Some("c/d:sig"),
        "",
        &json!({"subject": about["subject"], "annotations": {"k": "v"}}),
    );
    let snapshot = snapshot(folder.path());
    let referrers = |repository: &str| {
        let view = snapshot.repository(&name(repository), None).unwrap();
        view.referrers(&subject)
            .map(|document| document.digest.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(referrers("a/b"), [signature]);
    assert_eq!(referrers("c/d"), [elsewhere]);
}

#[test]
fn an_index_that_lists_its_child_very_often_costs_no_more_than_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    let image = layout.image(None, "", &json!({}));
    let mut child = layout.entries.remove(0);
    // Followed naively, this is a walk over a hundred to the power of seven images.
    for _ in 0..7 {
        child["mediaType"] = Value::Null;
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": vec![child; 100]});
        child = layout.blob(index.to_string().as_bytes());
    }
    child["annotations"] = json!({"org.opencontainers.image.ref.name": "a/b:1"});
    fs::write(
        folder.path().join("index.json"),
        json!({"manifests": [child]}).to_string(),
    )
    .unwrap();
    let snapshot = snapshot(folder.path());
    let view = snapshot.repository(&name("a/b"), None).unwrap();
    assert!(view.manifest(&image).is_some());
    assert_eq!(
        view.tagged(&"1".parse().unwrap()).unwrap().platforms.len(),
        1
    );
}

#[test]
fn a_sparse_archive_is_completed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let (full, sparse) = (folder.path().join("full"), folder.path().join("sparse"));
    let mut layout = Layout::at(&full);
    let digest = layout.image(Some("a/b:1"), "", &json!({}));
    let config = Digest::sha256(
        json!({"os": "linux", "architecture": "amd64", "created": "", "rootfs": {"diff_ids": []}})
            .to_string()
            .as_bytes(),
    );
    Layout::at(&sparse).image(Some("c/d:1"), "", &json!({}));
    fs::remove_file(sparse.join("blobs/sha256").join(&config.to_string()[7..])).unwrap();
    let snapshot_of_both = snapshot(folder.path());
    assert_eq!(snapshot_of_both.problems(), []);
    let view = snapshot_of_both.repository(&name("c/d"), None).unwrap();
    assert!(view.manifest(&digest).is_some() && view.blob(&config).is_some());
    fs::remove_dir_all(&full).unwrap();
    let alone = snapshot(folder.path());
    assert!(
        alone.problems()[0].what.contains("1 blob is missing"),
        "{:?}",
        alone.problems()
    );
    assert!(
        alone
            .repository(&name("c/d"), None)
            .unwrap()
            .blob(&config)
            .is_none()
    );
}

#[test]
fn a_refresh_reads_only_what_changed_and_publishes_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, changed) = (folder.path().join("kept"), folder.path().join("changed"));
    Layout::at(&kept).image(Some("a/kept:1"), "", &json!({}));
    Layout::at(&changed).image(Some("a/changed:1"), "", &json!({}));
    let catalog = catalog(folder.path(), OPTIONS);
    let before = catalog.snapshot().unwrap();
    refresh(&catalog);
    assert!(
        Arc::ptr_eq(&before, &catalog.snapshot().unwrap()),
        "nothing changed, nothing was published"
    );
    Layout::at(&changed).image(Some("a/changed:2"), "", &json!({"annotations": {"x": "y"}}));
    refresh(&catalog);
    let after = catalog.snapshot().unwrap();
    let archive = |snapshot: &Snapshot, path: &Path| {
        snapshot
            .archives()
            .iter()
            .find(|archive| archive.path() == path)
            .cloned()
            .unwrap()
    };
    assert!(Arc::ptr_eq(
        &archive(&before, &kept),
        &archive(&after, &kept)
    ));
    assert_eq!(tags(&after, "a/changed", None).unwrap(), ["2", "latest"]);
    assert_eq!(
        tags(&before, "a/changed", None).unwrap(),
        ["1", "latest"],
        "a snapshot never changes"
    );
    fs::remove_dir_all(&changed).unwrap();
    refresh(&catalog);
    assert_eq!(tags(&catalog.snapshot().unwrap(), "a/changed", None), None);
}

#[test]
fn a_file_in_two_roots_is_read_once_for_each() {
    let folder = tempfile::tempdir().unwrap();
    Layout::at(&folder.path().join("inner/app")).image(Some("a/b:1"), "", &json!({}));
    let roots = [folder.path().to_owned(), folder.path().join("inner")];
    let roots = roots.into_iter().map(Root::new).collect();
    let catalog = Catalog::new(roots, OPTIONS, Box::new(|_| ()));
    refresh(&catalog);
    let before = catalog.snapshot().unwrap();
    assert_eq!(before.archives().len(), 2);
    refresh(&catalog);
    assert!(Arc::ptr_eq(&before, &catalog.snapshot().unwrap()));
}

#[test]
fn a_refresh_asked_for_before_the_last_one_began_is_spared() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    let catalog = catalog(folder.path(), OPTIONS);
    Layout::at(folder.path()).image(Some("a/b:1"), "", &json!({}));
    catalog.refresh(asked);
    assert_eq!(tags(&catalog.snapshot().unwrap(), "a/b", None), None);
    refresh(&catalog);
    assert!(tags(&catalog.snapshot().unwrap(), "a/b", None).is_some());
}

#[test]
fn new_problems_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tar"), "no tar").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let listener: Listener = Box::new(move |Event::Published { new_problems, .. }: &Event<'_>| {
        heard.lock().unwrap().push(
            new_problems
                .iter()
                .map(|problem| problem.file.clone())
                .collect::<Vec<_>>(),
        );
    });
    let catalog = Catalog::new(vec![Root::new(folder.path())], OPTIONS, listener);
    refresh(&catalog);
    fs::write(folder.path().join("b.tar"), "no tar either").unwrap();
    refresh(&catalog);
    let expected = [
        vec![folder.path().join("a.tar")],
        vec![folder.path().join("b.tar")],
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn a_scan_passes_over_what_is_not_meant() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        ".hidden.tar",
        "x.tar.part",
        "x.tar.crdownload",
        "x.tar~",
        "@eaDir/x.tar",
        "lost+found/x.tar",
        ".git/x.tar",
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no tar").unwrap();
    }
    assert_eq!(snapshot(folder.path()).problems(), []);
    fs::write(folder.path().join("x.tar"), "no tar").unwrap();
    fs::write(folder.path().join("x.txt"), "no tar").unwrap();
    let severities: Vec<Severity> = snapshot(folder.path())
        .problems()
        .iter()
        .map(|problem| problem.severity)
        .collect();
    assert_eq!(severities, [Severity::Warning, Severity::Note]);
}

#[test]
fn what_merely_lies_under_a_digest_does_not_replace_what_an_image_holds() {
    for stray in [&b"bad"[..], b"BYTES IN NO IMAGE"] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let mut layout = Layout::at(&second);
        let layer = layout.blob(b"bytes in an image");
        layout.image(Some("a/b:1"), "", &json!({"layers": [layer]}));
        Layout::at(&first).image(Some("c/d:1"), "", &json!({}));
        let digest = layer["digest"].as_str().unwrap();
        fs::write(first.join("blobs").join(digest.replace(':', "/")), stray).unwrap();
        let snapshot = snapshot(folder.path());
        let view = snapshot.repository(&name("a/b"), None).unwrap();
        let content = view.blob(&digest.parse().unwrap()).unwrap();
        assert_eq!(content.len(), 17);
        let mut bytes = [0; 17];
        match &mut content.open().unwrap().parts[0] {
            crate::content::Part::Extent(extent) => extent.read(&mut bytes).unwrap(),
            crate::content::Part::Memory(_) => panic!("a layer lies in a file"),
        };
        assert_eq!(&bytes, b"bytes in an image");
    }
}

#[test]
fn indexes_chained_from_the_inside_are_no_deeper_than_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::at(folder.path());
    layout.image(None, "", &json!({}));
    let mut chain = vec![layout.entries.remove(0)];
    for _ in 0..3_000 {
        let child = chain.last().unwrap();
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [child]});
        let entry = layout.blob(index.to_string().as_bytes());
        chain.push(entry);
    }
    let last = chain.last_mut().unwrap();
    last["annotations"] = json!({"org.opencontainers.image.ref.name": "a/b:1"});
    fs::write(
        folder.path().join("index.json"),
        json!({"manifests": chain}).to_string(),
    )
    .unwrap();
    let snapshot = snapshot(folder.path());
    assert_eq!(tags(&snapshot, "a/b", None).unwrap(), ["1", "latest"]);
}

#[test]
fn folders_that_link_to_each_other_are_walked_once() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("f{number}")).collect();
    for folder_name in &names {
        let path = folder.path().join(folder_name);
        Layout::at(&path.join("layout")).image(Some(&format!("a/{folder_name}:1")), "", &json!({}));
        for other in names.iter().filter(|other| *other != folder_name) {
            std::os::unix::fs::symlink(format!("../{other}"), path.join(other)).unwrap();
        }
    }
    let snapshot = snapshot(folder.path());
    assert_eq!(snapshot.repositories().count(), 20);
    assert_eq!(
        (snapshot.archives().len(), snapshot.problems()),
        (20, &[][..])
    );
}

#[test]
fn a_nameless_image_keeps_latest_beside_what_is_about_it() {
    // The digests differ from round to round, so that their order does too.
    for round in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let shelf = folder.path().join("app");
        let mut layout = Layout::at(&shelf);
        let about = |digest: &Digest| json!({"subject": {"digest": digest.to_string(), "size": 1}, "annotations": {"round": round.to_string()}});
        let image = layout.image(
            None,
            "",
            &json!({"annotations": {"round": round.to_string()}}),
        );
        let list = layout.image(None, "", &about(&image));
        let signature = layout.image(None, "", &about(&list));
        let snapshot = snapshot(folder.path());
        let view = snapshot.repository(&name("app"), None).unwrap();
        assert_eq!(view.resolve(&Tag::latest()), Some(&image));
        let referrers = |digest: &Digest| {
            view.referrers(digest)
                .map(|document| document.digest.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (referrers(&image), referrers(&list)),
            (vec![list.clone()], vec![signature.clone()])
        );
    }
}

/// Where manifests disagree about the length of a layer, the archive that comes first by its path is believed, not the one
/// that was there first.
#[test]
fn which_copy_counts_does_not_depend_on_what_was_served_before() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = b"bytes in an image";
    let digest = Digest::sha256(bytes).to_string();
    let image = |path: &str, tag: &str, layers: &Value| {
        let path = folder.path().join(path);
        Layout::at(&path).image(Some(&format!("a/b:{tag}")), "", &json!({"layers": layers}));
        path
    };
    let layer = |size: usize| json!([{"digest": digest, "size": size}]);
    let put = |path: PathBuf, bytes: &[u8]| {
        fs::write(path.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    };
    put(image("liar", "liar", &layer(1)), b"x");
    image("other", "other", &json!([]));
    let catalog = catalog(folder.path(), OPTIONS);
    put(image("honest", "honest", &layer(bytes.len())), bytes);
    refresh(&catalog);
    for snapshot in [catalog.snapshot().unwrap(), snapshot(folder.path())] {
        let view = snapshot.repository(&name("a/b"), None).unwrap();
        let content = view.blob(&digest.parse().unwrap()).unwrap();
        assert_eq!(content.len(), bytes.len() as u64);
    }
}
