//! A new version that is broken takes the place of a good one.

use super::*;
use crate::fixture::{Packing, blob_path};

/// What is no archive, and what is said about it.
fn broken() -> [(Vec<u8>, &'static str); 3] {
    let new = archive(&image(2, LARGE / 4));
    [
        (new[..LARGE / 8].to_vec(), "the archive is incomplete"),
        (b"garbage".repeat(1000), "it is not a tar archive"),
        (Vec::new(), "the file is empty"),
    ]
}

/// Nothing of it is published, and it is told once; then a good version comes.
#[test]
fn a_broken_version_publishes_nothing() {
    for (broken, says) in broken() {
        let scene = Scene::of_tar();
        let replace = |_: &Path| scene.packages.put("app.tar", &broken);
        scene.check_gone(replace, &[End::Whole], &Had::Nothing);
        let catalog = scene.server.get("/v2/_catalog").json();
        assert_eq!(catalog["repositories"], serde_json::json!(["acme/other"]));
        let good = image(3, LARGE / 4);
        scene.packages.put("app.tar", archive(&good));
        eventually("it is served", || scene.pulled() == whole(&good));
        scene.check_told_once("app.tar", says);
    }
}

/// Whoever asks for what another archive holds as well does not notice anything.
#[test]
fn copies_elsewhere_go_on() {
    for (broken, says) in broken() {
        let scene = Scene::of_tar();
        scene.packages.put("copy.tar", archive(&old()));
        scene.server.wait_for_stderr("Changed: now 2 repositories");
        let layer = old().layers[0].blob();
        let begun = Pull::begin(&scene.server, "acme/app", &layer);
        let seen = meanwhile(
            2,
            || scene.pulled(),
            || {
                scene.packages.put("app.tar", &broken);
                scene.server.wait_for_stderr(says);
            },
        );
        assert_eq!(ever(&seen), [whole(&old())].into());
        assert_eq!(scene.pulled(), whole(&old()));
        assert_eq!(begun.end(), End::Whole);
        let good = image(3, LARGE / 4);
        scene.packages.remove("copy.tar");
        scene.packages.put("app.tar", archive(&good));
        eventually("it is served", || scene.pulled() == whole(&good));
        scene.check_told_once("app.tar", says);
    }
}

/// What comes before the place where a new version ends is whole, and is not served either.
#[test]
fn the_good_half_of_a_broken_version_is_not_published() {
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
