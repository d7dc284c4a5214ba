//! Asking for the rest of a layer when the folder is not what it was at the beginning: the right bytes come, or none.

use crate::fixture::{Blob, Dialect, Image, Layer, Layout, Packing};
use crate::packages::Packages;
use crate::server::{Response, Server};

/// What a client had when its connection was cut.
const HAD: usize = 70_000;
const ARCHIVE: &str = "app.tar";

fn layout() -> (Layout, Blob) {
    let layer = Layer::raw(b"0123456789".repeat(20_000));
    let blob = layer.blob();
    let image = Image::new("first").layers([layer]);
    (Layout::new().named(&image, "app:1"), blob)
}

/// A server that looks at the folder only when a request finds that it has changed.
fn serve(packages: &Packages) -> Server {
    let path = packages.path().to_str().expect("an ASCII path");
    Server::start(["--refresh", "1h", "--packages", path])
}

/// What comes of asking for the rest after `change`.
fn rest_after(change: impl FnOnce(&Packages)) -> (Response, Blob) {
    let (layout, layer) = layout();
    let packages = Packages::new().with(ARCHIVE, layout.tar());
    let server = serve(&packages);
    let path = format!("/v2/app/blobs/{}", layer.digest);
    let whole = server.get(&path);
    assert!(whole.status == 200 && whole.body == layer.bytes);
    change(&packages);
    let range = format!("bytes={HAD}-");
    let rest = server.request("GET", &path, &[("Range", &range)]);
    (rest, layer)
}

fn check_rest((answer, layer): &(Response, Blob)) {
    let length = layer.bytes.len();
    assert_eq!(answer.status, 206, "{}", answer.text());
    assert!(answer.body == layer.bytes[HAD..]);
    let range = format!("bytes {HAD}-{}/{length}", length - 1);
    assert_eq!(answer.header("content-range"), Some(&*range));
}

/// A client that resumes takes whatever is sent for the rest, so nothing may be sent that could pass for it.
fn check_gone((answer, _): &(Response, Blob), code: &str) {
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.json()["errors"][0]["code"], code);
    assert_eq!(answer.header("content-range"), None);
}

#[test]
fn the_same_image_elsewhere() {
    check_rest(&rest_after(|_| {}));
    check_rest(&rest_after(|packages| {
        packages.remove(ARCHIVE);
        packages.put("another.tar", layout().0.tar());
    }));
    // The layer has another place in it.
    let packing = Packing {
        prefix: "./",
        dialect: Dialect::Pax,
        ..Packing::default()
    };
    check_rest(&rest_after(|packages| {
        packages.put(ARCHIVE, layout().0.tree().tar(&packing));
    }));
}

#[test]
fn another_image_in_its_place() {
    let other = Layout::new().named(&Image::new("second"), "app:1").tar();
    let gone = rest_after(|packages| packages.put(ARCHIVE, other));
    check_gone(&gone, "BLOB_UNKNOWN");
}

#[test]
fn nothing_in_its_place() {
    let gone = rest_after(|packages| packages.remove(ARCHIVE));
    check_gone(&gone, "NAME_UNKNOWN");
}

#[test]
fn an_archive_that_was_cut_short() {
    let half = layout().0.tar();
    let gone = rest_after(|packages| packages.put(ARCHIVE, &half[..half.len() / 2]));
    check_gone(&gone, "NAME_UNKNOWN");
}
