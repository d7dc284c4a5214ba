//! A bit flips in what is served, and nothing but the time of change tells.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::conformance::digest_of;
use crate::fixture::{Blob, Index};

/// Flips a bit of the file and sets the time of modification back.
fn flip(path: &Path, place: usize) {
    let file = fs::File::options().read(true).write(true).open(path);
    let file = file.expect("a file");
    let modified = file.metadata().and_then(|data| data.modified());
    let mut byte = [0];
    file.read_exact_at(&mut byte, place as u64).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], place as u64)
        .expect("written");
    file.set_modified(modified.expect("a time"))
        .expect("a time");
}

/// Where a blob lies in the file.
fn place(path: &Path, blob: &Blob) -> usize {
    let bytes = fs::read(path).expect("a file");
    let mut windows = bytes.windows(blob.bytes.len());
    let at = windows.position(|window| window == blob.bytes);
    at.expect("the blob is in it")
}

fn both() -> Index {
    Index::new()
        .with(&Image::new("amd64"))
        .with(&Image::new("arm64").platform("linux/arm64"))
}

/// The index, the manifest and the configuration of an image of it.
fn documents() -> [(&'static str, Blob); 3] {
    let image = Image::new("arm64").platform("linux/arm64");
    [
        ("manifests", both().manifest()),
        ("manifests", image.manifest()),
        ("blobs", image.config()),
    ]
}

fn both_archive() -> Vec<u8> {
    Layout::new().named(&both(), APP).tar()
}

/// What a request for the document gives: whatever is complete is right.
fn status(server: &Server, kind: &str, document: &Blob) -> u16 {
    let answer = server.get(&format!("/v2/acme/app/{kind}/{}", document.digest));
    assert!(answer.status != 200 || digest_of(&answer.body) == document.digest);
    answer.status
}

#[test]
fn a_document_flips_while_it_is_served() {
    for (kind, document) in documents() {
        let packages = Packages::new().with("app.tar", both_archive());
        let path = packages.path().join("app.tar");
        let at = place(&path, &document) + document.bytes.len() / 2;
        let server = packages.serve(&[]);
        assert_eq!(status(&server, kind, &document), 200);
        let seen = meanwhile(
            1,
            || status(&server, kind, &document),
            || {
                flip(&path, at);
                eventually("it is not there", || {
                    status(&server, kind, &document) == 404
                });
            },
        );
        assert!(
            ever(&seen)
                .iter()
                .all(|seen| [200, 404, 429].contains(seen)),
            "{seen:?}"
        );
        let log = server.wait_for_stderr("expected the digest sha256:");
        assert!(log.contains("app.tar: "), "{log}");
        flip(&path, at);
        eventually("it is there again", || {
            status(&server, kind, &document) == 200
        });
    }
}

#[test]
fn a_document_flips_and_the_other_copy_is_served_all_the_time() {
    for (kind, document) in documents() {
        let packages = Packages::new().with("app.tar", both_archive());
        packages.put("copy.tar", both_archive());
        let server = packages.serve(&[]);
        let path = packages.path().join("app.tar");
        let at = place(&path, &document);
        let seen = meanwhile(
            1,
            || status(&server, kind, &document),
            || {
                flip(&path, at);
                server.wait_for_stderr("expected the digest sha256:");
            },
        );
        assert_eq!(ever(&seen).into_iter().collect::<Vec<_>>(), [200]);
        assert_eq!(status(&server, kind, &document), 200);
    }
}

#[test]
fn a_document_is_damaged_from_the_start() {
    for (kind, document) in documents() {
        let packages = Packages::new().with("app.tar", both_archive());
        let path = packages.path().join("app.tar");
        flip(&path, place(&path, &document));
        let server = packages.serve(&[]);
        server.wait_for_stderr("expected the digest sha256:");
        assert_eq!(status(&server, kind, &document), 404);
        packages.put("copy.tar", both_archive());
        eventually("the copy is served", || {
            status(&server, kind, &document) == 200
        });
    }
}
/// The layer was right when it was hashed, and is not any more when its end is sent.
#[test]
fn a_layer_flips_while_it_is_pulled() {
    let scene = Scene::of_tar();
    let layer = old().layers[0].blob();
    let at = place(&scene.path(), &layer) + LARGE - 100_000;
    assert_eq!(scene.pulled(), whole(&old()));
    let begun = Pull::begin(&scene.server, "acme/app", &layer);
    flip(&scene.path(), at);
    assert_eq!(begun.end(), End::Cut);
    let less = Had::Less(old().digest());
    eventually("it is not there", || scene.pulled() == less);
    scene.check_told_once("app.tar", "are not those of");
}
