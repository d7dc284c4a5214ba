//! Archives that lack something, or have it damaged, and others that have it whole: whatever a name reaches is served as
//! long as any archive holds it.

use crate::fixture::{Image, Index, Layer, Layout, Node, Tree, blob_path, encoded};
use crate::packages::{Packages, problems, tar};
use crate::server::Server;
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
const OTHER: &str = "ghcr.io/other/name:2";

fn amd64() -> Image {
    Image::new("amd64")
}

fn arm64() -> Image {
    Image::new("arm64").platform("linux/arm64")
}

fn both() -> Index {
    Index::new().with(&amd64()).with(&arm64())
}

/// A layout of `node` as [`APP`] in which all is missing that `part` reaches.
fn without(node: &impl Node, part: &impl Node) -> Tree {
    let layout = Layout::new().named(node, APP).tree();
    let parts = part.blobs().into_iter();
    parts.fold(layout, |tree, blob| tree.remove(&blob_path(&blob.digest)))
}

/// The index of two platforms, one of which was not saved.
fn sparse() -> Vec<u8> {
    tar(&without(&both(), &arm64()))
}

/// The image as a `dir:` of skopeo.
pub(crate) fn dir(image: &Image) -> Tree {
    let start = Tree::default()
        .file("version", "Directory Transport Version: 1.1\n")
        .file("manifest.json", image.manifest().bytes);
    let blobs = image.blobs().into_iter().skip(1);
    blobs.fold(start, |tree, blob| {
        tree.file(encoded(&blob.digest), blob.bytes)
    })
}

/// Whether all that `node` reaches can be had from `acme/app`, manifests as such; else nothing of it can.
fn is_served(server: &Server, node: &impl Node) -> bool {
    let blobs = node.blobs();
    let manifest = server.get(&format!("/v2/acme/app/manifests/{}", node.digest()));
    let is_there = manifest.status == 200 && manifest.body == blobs[0].bytes;
    for blob in &blobs[1..] {
        let answer = server.get(&format!("/v2/acme/app/blobs/{}", blob.digest));
        let found = answer.status == 200 && answer.body == blob.bytes;
        assert_eq!(
            found,
            is_there,
            "{} of {}: {}",
            blob.digest,
            node.digest(),
            answer.status
        );
        assert!(found || answer.status == 404);
    }
    is_there
}

/// Beside `incomplete.tar`, which has `node` as [`APP`], whatever `complete` puts there completes it, as long as it is
/// there.
fn check_completed(
    incomplete: &[u8],
    part: &impl Node,
    complete: impl Fn(&Packages),
    names: &[&str],
) {
    let packages = Packages::new().with("incomplete.tar", incomplete);
    let lacks = |packages: &Packages| {
        let problems = problems(&packages.list());
        problems
            .iter()
            .any(|problem| problem.ends_with("incomplete incomplete.tar"))
    };
    let server = packages.serve(&[]);
    assert!(lacks(&packages));
    assert!(!is_served(&server, part));
    for _ in 0..2 {
        complete(&packages);
        eventually("it is complete", || {
            let digest = part.digest();
            let manifest = server.head(&format!("/v2/acme/app/manifests/{digest}"));
            manifest.status == 200 && is_served(&server, part)
        });
        assert!(!lacks(&packages), "{:?}", packages.list().problems());
        for name in names {
            packages.remove(name);
        }
        eventually("it is not complete any more", || {
            let digest = part.digest();
            server
                .get(&format!("/v2/acme/app/manifests/{digest}"))
                .status
                == 404
        });
        assert!(!is_served(&server, part));
        assert!(lacks(&packages));
    }
}

#[test]
fn a_missing_platform_comes_from_an_image_of_another_name() {
    let other = Layout::new().named(&arm64(), OTHER).tar();
    check_completed(
        &sparse(),
        &arm64(),
        |packages| packages.put("b.tar", &other),
        &["b.tar"],
    );
}

#[test]
fn a_missing_platform_comes_from_an_index_of_another_name() {
    let other = Index::new().with(&arm64()).annotation("another", "index");
    let other = Layout::new().named(&other, OTHER).tar();
    check_completed(
        &sparse(),
        &arm64(),
        |packages| packages.put("b.tar", &other),
        &["b.tar"],
    );
}

#[test]
fn a_missing_platform_comes_from_a_folder() {
    let folder = dir(&arm64());
    check_completed(
        &sparse(),
        &arm64(),
        |packages| packages.put_folder("b", &folder),
        &["b"],
    );
}

/// The other half of the same index, as each of two machines saved it.
#[test]
fn two_halves_are_a_whole() {
    for (missing, present) in [(amd64(), arm64()), (arm64(), amd64())] {
        let mine = tar(&without(&both(), &missing));
        let theirs = tar(&without(&both(), &present));
        check_completed(
            &mine,
            &missing,
            |packages| packages.put("half.tar", &theirs),
            &["half.tar"],
        );
    }
}

/// The manifest lies in one archive, its layer in another one, in which nothing knows that manifest.
#[test]
fn what_completes_may_be_completed() {
    let image = arm64();
    let layer = &image.layers[0];
    let lacks_layer = Layout::new()
        .named(&image, OTHER)
        .tree()
        .remove(&blob_path(&layer.blob().digest));
    let holder = Image::new("holder").layers([Layer::raw("below"), layer.clone()]);
    let holder = Layout::new().named(&holder, "quay.io/holder:1").tar();
    let complete = |packages: &Packages| {
        // The layer first: the manifest alone would be served without it.
        packages.put("c.tar", &holder);
        packages.put("b.tar", tar(&lacks_layer));
    };
    check_completed(&sparse(), &image, complete, &["b.tar", "c.tar"]);
}

/// An index in an index, each in an archive of its own.
#[test]
fn a_chain_of_indexes_is_followed() {
    let image = arm64();
    let inner = Index::new().with(&image);
    let outer = Index::new().with(&amd64()).with(&inner);
    let incomplete = tar(&without(&outer, &inner));
    let middle = {
        let layout = Layout::new().named(&inner, OTHER).tree();
        let parts = image.blobs().into_iter();
        parts.fold(layout, |tree, blob| tree.remove(&blob_path(&blob.digest)))
    };
    let last = Layout::new().named(&image, "quay.io/last:1").tar();
    let complete = |packages: &Packages| {
        packages.put("last.tar", &last);
        packages.put("middle.tar", tar(&middle));
    };
    check_completed(&incomplete, &image, complete, &["middle.tar", "last.tar"]);
}

/// The archive has this defect in place of something that another one has whole: nothing is wrong for whoever pulls.
fn check_damaged(title: &str, damaged: &[u8], told: &[&str]) {
    let (image, whole) = (amd64(), Layout::new().named(&amd64(), OTHER).tar());
    // Whichever comes first.
    for name in ["a.tar", "z.tar"] {
        let packages = Packages::new()
            .with("incomplete.tar", damaged)
            .with(name, &whole);
        assert_eq!(problems(&packages.list()), told, "{title}");
        assert!(is_served(&packages.serve(&[]), &image), "{title}");
    }
}

#[test]
fn a_damaged_copy_is_passed_over() {
    let image = amd64();
    let tree = Layout::new().named(&Index::new().with(&image), APP).tree();
    let [manifest, config, layer] =
        [0, 1, 2].map(|number| blob_path(&image.blobs()[number].digest));
    check_damaged(
        "manifest",
        &tar(&tree.clone().corrupt(&manifest)),
        &["error digest-mismatch incomplete.tar"],
    );
    check_damaged(
        "config",
        &tar(&tree.clone().corrupt(&config)),
        &["error digest-mismatch incomplete.tar"],
    );
    check_damaged(
        "a layer that is too short",
        &tar(&tree.clone().replace(&layer, "short")),
        &["error size-mismatch incomplete.tar"],
    );
    let longer = [tree.content(&layer), b"longer"].concat();
    check_damaged(
        "a layer that is too long",
        &tar(&tree.clone().replace(&layer, longer)),
        &["error size-mismatch incomplete.tar"],
    );
}
