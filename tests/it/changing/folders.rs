//! The same for a layout that is a folder: each blob is a file of its own.

use super::*;
use crate::fixture::blob_path;

/// The file of the large layer in the folder of the archive.
fn layer_file(folder: &Path) -> PathBuf {
    folder.join(blob_path(&old().layers[0].blob().digest))
}

/// Writes another file, and gives it the name.
fn replace(path: &Path, bytes: &[u8]) {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, bytes).expect("a file");
    fs::rename(&unfinished, path).expect("a new name");
}

/// As many bytes as the large layer has, the last one another.
fn damaged() -> Vec<u8> {
    let mut bytes = old().layers[0].blob().bytes;
    *bytes.last_mut().expect("bytes") ^= 1;
    bytes
}

/// What was there and is damaged or missing now: the image is known, and cannot be had.
fn less() -> Had {
    Had::Less(old().digest())
}

#[test]
fn a_blob_is_replaced() {
    let same = || {
        let put = |folder: &Path| replace(&layer_file(folder), &old().layers[0].blob().bytes);
        Scene::of_folder().check(put, &[End::Whole], &whole(&old()));
    };
    let damage = |ends: &[End], write: fn(&Path, &[u8])| {
        let scene = Scene::of_folder();
        let write = |folder: &Path| write(&layer_file(folder), &damaged());
        scene.check(write, ends, &less());
        scene.check_told_once("app", "are not those of");
    };
    at_once(&[
        ("by the same", &same),
        ("by a damaged one", &|| damage(&[End::Whole], replace)),
        ("in place", &|| damage(&[End::Cut], overwrite)),
    ]);
}

#[test]
fn a_blob_is_deleted_and_put_back() {
    let scene = Scene::of_folder();
    let delete = |folder: &Path| fs::remove_file(layer_file(folder)).expect("deleted");
    scene.check(delete, &[End::Whole], &less());
    scene.check_told_once("app", "1 blob is missing");
    replace(&layer_file(&scene.path()), &old().layers[0].blob().bytes);
    eventually("it is served again", || scene.pulled() == whole(&old()));
}

/// As tools add an image to a layout: the blobs first, the index last.
#[test]
fn the_index_is_replaced() {
    let check = |put_index: fn(&Path, &[u8])| {
        let new = image(2, LARGE / 4);
        let change = |folder: &Path| {
            for blob in new.blobs() {
                fs::write(folder.join(blob_path(&blob.digest)), blob.bytes).expect("a file");
            }
            let index = layout(&new).content("index.json").to_vec();
            put_index(&folder.join("index.json"), &index);
        };
        Scene::of_folder().check(change, &[End::Whole], &whole(&new));
    };
    at_once(&[
        ("by another file", &|| check(replace)),
        ("in place", &|| check(overwrite)),
    ]);
}

#[test]
fn the_folder_goes_elsewhere() {
    let delete = || {
        let delete = |folder: &Path| fs::remove_dir_all(folder).expect("deleted");
        Scene::of_folder().check_gone(delete, &[End::Whole], &Had::Nothing);
    };
    let rename = || {
        let rename = |folder: &Path| {
            fs::rename(folder, folder.with_file_name("moved")).expect("a new name");
        };
        Scene::of_folder().check(rename, &[End::Whole], &whole(&old()));
    };
    at_once(&[("deleted", &delete), ("renamed", &rename)]);
}
