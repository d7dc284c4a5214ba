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
fn a_blob_replaced_by_the_same() {
    let put = |folder: &Path| replace(&layer_file(folder), &old().layers[0].blob().bytes);
    Scene::of_folder().check(put, &[End::Whole], &whole(&old()));
}

#[test]
fn a_blob_replaced_by_a_damaged_one() {
    let scene = Scene::of_folder();
    let put = |folder: &Path| replace(&layer_file(folder), &damaged());
    scene.check(put, &[End::Whole], &less());
    scene.check_told_once("app", "are not those of");
}

#[test]
fn a_blob_damaged_in_place() {
    let scene = Scene::of_folder();
    let write = |folder: &Path| overwrite(&layer_file(folder), &damaged());
    scene.check(write, &[End::Cut], &less());
    scene.check_told_once("app", "are not those of");
}

#[test]
fn a_blob_deleted() {
    let scene = Scene::of_folder();
    let delete = |folder: &Path| fs::remove_file(layer_file(folder)).expect("deleted");
    scene.check(delete, &[End::Whole], &less());
    scene.check_told_once("app", "1 blob is missing");
    replace(&layer_file(&scene.path()), &old().layers[0].blob().bytes);
    eventually("it is served again", || scene.pulled() == whole(&old()));
}

/// As tools add an image to a layout: the blobs first, the index last.
fn add(new: &Image, folder: &Path, put_index: impl Fn(&Path, &[u8])) {
    for blob in new.blobs() {
        fs::write(folder.join(blob_path(&blob.digest)), blob.bytes).expect("a file");
    }
    let index = layout(new).content("index.json").to_vec();
    put_index(&folder.join("index.json"), &index);
}

#[test]
fn the_index_replaced() {
    let new = image(2, LARGE / 4);
    let change = |folder: &Path| add(&new, folder, replace);
    Scene::of_folder().check(change, &[End::Whole], &whole(&new));
}

#[test]
fn the_index_overwritten() {
    let new = image(2, LARGE / 4);
    let change = |folder: &Path| add(&new, folder, overwrite);
    Scene::of_folder().check(change, &[End::Whole], &whole(&new));
}

#[test]
fn deleted() {
    let delete = |folder: &Path| fs::remove_dir_all(folder).expect("deleted");
    Scene::of_folder().check_gone(delete, &[End::Whole], &Had::Nothing);
}

#[test]
fn renamed() {
    let rename = |folder: &Path| {
        fs::rename(folder, folder.with_file_name("moved")).expect("a new name");
    };
    Scene::of_folder().check(rename, &[End::Whole], &whole(&old()));
}
