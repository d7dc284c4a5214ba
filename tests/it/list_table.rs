//! The list for people: paths as short as they can be, and for each archive what was taken and what was not.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::{Image, Layer, Layout};
use crate::listing::list_in;

/// Writes an archive of one image with this name.
fn put(folder: &Path, file: &str, name: &str) {
    let layer = Layer::files(&[("name", name.as_bytes())]);
    let image = Image::new(name).layers([layer]);
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, Layout::new().named(&image, name).tar()).expect("a file");
}

/// Two archives, one of them in a folder, something that calls itself one, and something that does not.
fn shelf() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "team/app.tar", "ghcr.io/acme/app:1");
    put(folder.path(), "plus.tar", "ghcr.io/acme/plus:1+1");
    fs::write(folder.path().join("text.tar"), "Dear reader").expect("a file");
    fs::write(folder.path().join("notes.txt"), "Dear reader").expect("a file");
    folder
}

/// The lines of the table that begins with this word, without the header, and with single spaces.
fn rows(text: &str, header: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with(header));
    let rows = lines.skip(1).take_while(|line| !line.is_empty());
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn archives_and_what_was_taken_of_them() {
    let shelf = shelf();
    let list = list_in(shelf.path(), ["."]).stdout;
    let expected = [
        "plus.tar oci-layout - 1 1 warning (loose-tag)",
        "team/app.tar oci-layout - 1",
        "text.tar - - 0 1 warning (not-an-archive)",
    ];
    assert_eq!(rows(&list, "ARCHIVE"), expected, "{list}");
    assert!(
        list.ends_with("\nPassed over 1 file that is no image archive (`--json` names them)\n"),
        "{list}"
    );
}

/// What is left out of an archive because the user wants it so does not make it a file that is passed over.
#[test]
fn what_was_left_out_is_told_with_its_archive() {
    let shelf = shelf();
    let list = list_in(shelf.path(), ["--strict-tags", "."]).stdout;
    let plus = &rows(&list, "ARCHIVE")[0];
    assert_eq!(plus, "plus.tar oci-layout - 1 1 note (left-out-tag)");
    assert!(list.contains("Passed over 1 file that"), "{list}");
}

#[test]
fn paths_are_those_in_the_folder() {
    let shelf = shelf();
    let folder = shelf.path().to_str().expect("a path");
    let paths = |arguments: &[&str]| -> Vec<String> {
        let list = list_in(shelf.path(), arguments).stdout;
        let rows = rows(&list, "ARCHIVE").into_iter();
        rows.filter_map(|row| Some(row.split_once(" oci-layout ")?.0.to_owned()))
            .collect()
    };
    let inside = ["plus.tar", "team/app.tar"];
    assert_eq!(paths(&["."]), inside);
    assert_eq!(paths(&[folder]), inside);
    assert_eq!(paths(&[&format!("{folder}/")]), inside);
    assert_eq!(paths(&["team"]), ["app.tar"]);
    assert_eq!(paths(&["team/app.tar"]), ["team/app.tar"]);
    assert_eq!(
        paths(&["plus.tar", "team"]),
        ["plus.tar", "team/app.tar"],
        "with several folders all of the path"
    );
}

#[test]
fn nothing_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(list_in(folder.path(), ["."]).stdout, "No images\n");
}
