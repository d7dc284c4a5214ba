//! Files and folders that are not what they seem: empty, closed, elsewhere, going round, or never ending.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::user::{User, close, set_mode};

pub(super) fn make_pipe(path: &Path) {
    let done = Command::new("mkfifo").arg(path).status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "mkfifo {}",
        path.display()
    );
}

#[test]
fn unreadable_files_and_folders() {
    let Some(user) = User::without_rights() else {
        return;
    };
    let folder = user.folder();
    let (image, tree) = bad();
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).expect("a file");
        folder.join(name)
    };
    put("good.tar", &tar(&tree));
    close(&put("closed.tar", &tar(&tree)));
    fs::create_dir(folder.join("cellar")).expect("a folder");
    put("cellar/hidden.tar", &tar(&tree));
    close(&folder.join("cellar"));
    tree.write_to(&folder.join("layout"));
    close(&folder.join("layout/index.json"));
    let server = user.setup().start();
    let log = server.wait_for_stderr("packages/layout");
    let mut told: Vec<&str> = log.lines().filter(|l| l.starts_with("error: ")).collect();
    told.sort_unstable();
    assert_eq!(told.len(), 3, "{told:#?}");
    for (line, name) in told.iter().zip(["cellar", "closed.tar", "layout"]) {
        assert!(line.contains(&format!("packages/{name}")), "{told:#?}");
        assert!(
            line.contains("it cannot be read: Permission denied"),
            "{line}"
        );
        assert!(
            line.ends_with("check that the server's user may read it"),
            "{line}"
        );
    }
    assert_eq!(catalog(&server), [BAD]);
    check_image(&server, BAD, &image);
    set_mode(&folder.join("cellar"), 0o755);
}

#[test]
fn an_empty_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::serving(folder.path());
    assert_eq!(catalog(&server), Vec::<String>::new());
    server.wait_for_stderr("No images yet. Save one into the folder, as with `docker save");
    check_error(&server.get("/v2/any/manifests/latest"), 404, "NAME_UNKNOWN");
    assert!(!server.stderr().contains("error: "), "{}", server.stderr());
    let list = run(command(binary()).arg("list").arg(folder.path()), LIMIT);
    assert!(list.success && list.stderr.is_empty(), "{}", list.said());
}

/// One folder over another, down to where nothing is.
#[test]
fn folders_in_folders() {
    let shelf = Shelf::new();
    let deep = shelf.path().join("d/".repeat(70));
    fs::create_dir_all(&deep).expect("folders");
    fs::write(shelf.path().join("d/d").join("bad.tar"), tar(&bad().1)).expect("a file");
    let server = shelf.serve();
    assert_eq!(catalog(&server), [BAD, GOOD]);
    shelf.check_good(&server);
}

#[test]
fn links_within_the_folder_are_followed() {
    let (image, tree) = bad();
    let shelf = Shelf::new();
    let store = shelf.path().join(".store");
    fs::create_dir(&store).expect("a folder");
    fs::write(store.join("x"), tar(&tree)).expect("a file");
    symlink(".store/x", shelf.path().join("relative.tar")).expect("a link");
    symlink(store.join("x"), shelf.path().join("absolute.tar")).expect("a link");
    let server = shelf.check("relative.tar", &[], &[BAD]);
    check_image(&server, BAD, &image);
}

#[test]
fn links_that_leave_the_folder() {
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().join("bad.tar");
    fs::write(&target, tar(&bad().1)).expect("a file");
    let says = "it is a link that leaves the folder, to ";
    let fix = "; name its target with another `--packages`, or put the file here";
    for (from, to) in [("link.tar", target.as_path()), ("folder", outside.path())] {
        let shelf = Shelf::new();
        symlink(to, shelf.path().join(from)).expect("a link");
        let real = to.canonicalize().expect("it is there");
        shelf.check(from, &[&format!("{says}{}{fix}", real.display())], &[]);
    }
    let shelf = Shelf::new();
    let up = Path::new("..")
        .join(outside.path().file_name().expect("a name"))
        .join("bad.tar");
    if shelf.path().join(&up).exists() {
        symlink(&up, shelf.path().join("up.tar")).expect("a link");
        shelf.check("up.tar", &[says], &[]);
    }
}

/// The blobs of a layout are files like all others.
#[test]
fn links_in_a_layout_that_leave_the_folder() {
    let outside = tempfile::tempdir().expect("a folder");
    let (image, tree) = bad();
    for digest in [layer_of(&image), config_of(&image), image.digest()] {
        let shelf = Shelf::new();
        let layout = shelf.path().join("layout");
        tree.write_to(&layout);
        let blob = layout.join(blob_path(&digest));
        let target = outside.path().join("blob");
        fs::rename(&blob, &target).expect("moved");
        symlink(&target, &blob).expect("a link");
        let (lines, _) = shelf.list();
        let told = lines
            .iter()
            .any(|line| line.contains("/layout") && line.contains("leaves the folder"));
        assert!(told, "{digest}: {lines:#?}");
        let server = shelf.serve();
        shelf.check_good(&server);
        assert_eq!(get_blob(&server, BAD, &digest).status, 404, "{digest}");
    }
}

#[test]
fn links_that_go_round() {
    let shelf = Shelf::new();
    symlink(".", shelf.path().join("loop")).expect("a link");
    shelf.check(
        "loop",
        &["it is a link to a folder that contains it; remove the link"],
        &[],
    );
    let shelf = Shelf::new();
    fs::create_dir_all(shelf.path().join("a/b")).expect("folders");
    symlink("../..", shelf.path().join("a/b/up")).expect("a link");
    shelf.check(
        "a/b/up",
        &["it is a link to a folder that contains it; remove the link"],
        &[],
    );
    for (name, target, says) in [
        ("self.tar", "self.tar", "it cannot be read: "),
        (
            "nowhere.tar",
            "missing.tar",
            "it is a link that leads nowhere",
        ),
    ] {
        let shelf = Shelf::new();
        symlink(target, shelf.path().join(name)).expect("a link");
        shelf.check(name, &[says], &[]);
    }
}

/// Whoever opens a pipe waits for a writer.
#[test]
fn pipes_are_passed_over() {
    let shelf = Shelf::new();
    make_pipe(&shelf.path().join("pipe.tar"));
    shelf.check("pipe.tar", &[], &[]);
    let (image, tree) = bad();
    let layer = layer_of(&image);
    let shelf = Shelf::new();
    let layout = shelf.path().join("layout");
    tree.remove(&blob_path(&layer)).write_to(&layout);
    make_pipe(&layout.join(blob_path(&layer)));
    let server = shelf.check("layout", &["1 blob is missing"], &[BAD]);
    check_error(&get_blob(&server, BAD, &layer), 404, "BLOB_UNKNOWN");
    let shelf = Shelf::new();
    let layout = shelf.path().join("layout");
    fs::create_dir_all(layout.join("blobs")).expect("folders");
    make_pipe(&layout.join("index.json"));
    shelf.check("layout", &[], &[]);
}

/// A folder that holds a layout, with the same faults as a tar.
#[test]
fn layouts_with_faults() {
    let (image, tree) = bad();
    let check_layout = |tree: &Tree, says: &[&str], serves: &[&str]| {
        let shelf = Shelf::new();
        tree.write_to(&shelf.path().join("layout"));
        shelf.check("layout", says, serves)
    };
    let layer = blob_path(&layer_of(&image));
    check_layout(&tree.clone().remove(&layer), &["1 blob is missing"], &[BAD]);
    let manifest = blob_path(&image.digest());
    check_layout(
        &tree.clone().corrupt(&manifest),
        &["expected the digest"],
        &[],
    );
    check_layout(
        &tree.clone().replace("index.json", "{"),
        &["index.json: the manifest is not usable"],
        &[],
    );
    check_layout(
        &tree.clone().remove(&manifest),
        &["is not in the archive"],
        &[],
    );
    let huge = Layout::new()
        .tree()
        .replace("index.json", " ".repeat(21 << 20));
    check_layout(&huge, &["index.json: it is too large"], &[]);
    let server = check_layout(
        &tree.file("blobs/sha256/notes", "x").file("blobs/x", "x"),
        &[],
        &[BAD],
    );
    check_image(&server, BAD, &image);
}
