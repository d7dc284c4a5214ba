//! A new version that is broken takes the place of a good one.

use super::*;
use crate::fixture::{Packing, blob_path};

/// Checks something with each sort of what is no archive, and with what is said about it.
fn each(check: &(dyn Fn(&[u8], &str) + Sync)) {
    let new = archive(&image(2, LARGE / 4));
    at_once(&[
        ("truncated", &|| {
            check(&new[..LARGE / 8], "the archive is incomplete");
        }),
        ("garbage", &|| {
            check(&b"garbage".repeat(1000), "it is not a tar archive");
        }),
        ("empty", &|| check(b"", "the file is empty")),
    ]);
}

/// Nothing of it is published, and it is told once; then a good version comes.
#[test]
fn it_publishes_nothing() {
    each(&|broken, says| {
        let scene = Scene::of_tar();
        let replace = |_: &Path| scene.packages.put("app.tar", broken);
        scene.check_gone(replace, &[End::Whole], &Had::Nothing);
        let catalog = scene.server.get("/v2/_catalog").json();
        assert_eq!(catalog["repositories"], serde_json::json!(["acme/other"]));
        let good = image(3, LARGE / 4);
        scene.packages.put("app.tar", archive(&good));
        eventually("it is served", || scene.pulled() == whole(&good));
        scene.check_told_once("app.tar", says);
    });
}

/// Whoever asks for what another archive holds as well does not notice anything.
#[test]
fn copies_elsewhere_go_on() {
    each(&|broken, says| {
        let packages = Packages::new().with("app.tar", archive(&old()));
        packages.put("copy.tar", archive(&old()));
        let scene = Scene::of(packages, "app.tar");
        let layer = old().layers[0].blob();
        let begun = Pull::begin(&scene.server, "acme/app", &layer);
        let ask = || scene.pulled();
        let seen = meanwhile(2, ask, || {
            scene.packages.put("app.tar", broken);
            scene.server.wait_for_stderr(says);
        });
        assert_eq!(ever(&seen), [whole(&old())].into());
        assert_eq!(scene.pulled(), whole(&old()));
        assert_eq!(begun.end(), End::Whole);
        let good = image(3, LARGE / 4);
        scene.packages.remove("copy.tar");
        scene.packages.put("app.tar", archive(&good));
        eventually("it is served", || scene.pulled() == whole(&good));
        scene.check_told_once("app.tar", says);
    });
}

/// What comes before the place where a new version ends is whole, and is not served either.
#[test]
fn its_good_half_is_not_published() {
    let scene = Scene::of_tar();
    let (first, second) = (image(2, 100_000), image(3, 100_000));
    let two = Layout::new()
        .named(&first, APP)
        .named(&second, "docker.io/acme/second:1")
        .tree();
    let parts = first
        .blobs()
        .into_iter()
        .map(|blob| blob_path(&blob.digest));
    let parts: Vec<String> = ["index.json".to_owned(), "oci-layout".to_owned()]
        .into_iter()
        .chain(parts)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let two = two.first(&parts).tar(&Packing::default());
    let half = &two[..two.len() - 50_000];
    let replace = |_: &Path| scene.packages.put("app.tar", half);
    scene.check_gone(replace, &[End::Whole], &Had::Nothing);
    scene.check_told_once("app.tar", "the archive is incomplete");
}
