//! What is noticed of a folder that changes, when, and what is left alone.

mod growing;
mod many;
mod moving;
mod swaps;
mod unchanged;
mod unfinished;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{Image, Layer, Layout, Node as _, blob_path};
use crate::needs::skip;
use crate::packages::Packages;
use crate::pull::{End, Had, LARGE, Pull, bytes, pull};
use crate::server::{Server, Setup};
use crate::serving::eventually;

/// Whether the kernel tells what happens in the folders that tests make. If not, one line says that the test is skipped.
fn changes_are_told() -> bool {
    /// ext2 to ext4, tmpfs, overlayfs, XFS, Btrfs.
    const LOCAL: [u32; 5] = [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x9123_683e];
    let kind = rustix::fs::statfs(std::env::temp_dir()).expect("a file system");
    let kind = u32::try_from(kind.f_type & 0xffff_ffff).expect("32 bits");
    LOCAL.contains(&kind) || skip("a temporary folder whose file system tells changes")
}

/// The image `acme/NAME:VERSION`.
fn image(name: &str, version: &str) -> Image {
    Image::new(&format!("{name}, {version}"))
}

/// An archive of it.
fn archive(name: &str, version: &str) -> Vec<u8> {
    layout(name, version).tar()
}

fn layout(name: &str, version: &str) -> Layout {
    let reference = format!("docker.io/acme/{name}:{version}");
    Layout::new().named(&image(name, version), &reference)
}

/// Whether the server knows of `acme/NAME:VERSION`. It needs no file to tell, so nobody is made to look by this question.
fn knows(server: &Server, name: &str, version: &str) -> bool {
    let answer = server.get(&format!("/v2/acme/{name}/tags/list"));
    answer.status == 200 && answer.text().contains(&format!("\"{version}\""))
}

/// Waits until `acme/NAME:VERSION` is known, and has all of it. That is long before anyone looks without a reason.
fn comes(server: &Server, name: &str, version: &str) {
    let what = format!("{name}:{version} is there");
    eventually(&what, || knows(server, name, version));
    let had = pull(server, &format!("acme/{name}"), version);
    assert_eq!(had, Had::Whole(image(name, version).digest()));
}

/// Waits until nothing is known of `acme/NAME:VERSION`.
fn goes(server: &Server, name: &str, version: &str) {
    let what = format!("{name}:{version} is gone");
    eventually(&what, || !knows(server, name, version));
}

/// How many times something else was published than before.
fn publications(server: &Server) -> usize {
    server.stderr().matches("Changed: now ").count()
}

/// A folder that nobody serves, on the same file system.
fn elsewhere() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Each change is made alone, so that nothing else tells of it.
#[test]
fn whatever_happens_wherever_it_is_noticed_soon() {
    if !changes_are_told() {
        return;
    }
    let packages = Packages::new();
    packages.put_folder("layout", &layout("layout", "one").tree());
    let (root, elsewhere) = (packages.path().to_owned(), elsewhere());
    let server = Server::serving(&root);
    comes(&server, "layout", "one");

    fs::write(root.join("a.tar"), archive("a", "written")).expect("a file");
    comes(&server, "a", "written");
    let outside = elsewhere.path().join("b.tar");
    fs::write(&outside, archive("b", "moved-in")).expect("a file");
    fs::create_dir_all(root.join("made/later/deep/down")).expect("folders");
    fs::rename(&outside, root.join("made/later/deep/down/b.tar")).expect("moved");
    comes(&server, "b", "moved-in");
    // The deepest folder alone is told of this.
    fs::write(
        root.join("made/later/deep/down/b.tar"),
        archive("b", "overwritten"),
    )
    .expect("a file");
    comes(&server, "b", "overwritten");
    fs::rename(root.join("made/later"), root.join("made/now")).expect("a new name");
    fs::remove_file(root.join("made/now/deep/down/b.tar")).expect("deleted");
    goes(&server, "b", "overwritten");

    let blob = blob_path(&image("layout", "one").layers[0].blob().digest);
    let blob = root.join("layout").join(blob);
    let bytes = fs::read(&blob).expect("a blob");
    fs::remove_file(&blob).expect("deleted");
    server.wait_for_stderr("1 blob is missing");
    fs::write(&blob, bytes).expect("a file");
    let before = publications(&server);
    eventually("the blob is there", || publications(&server) > before);
    comes(&server, "layout", "one");
    let next = layout("layout", "two").tree();
    next.write_to(&root.join("layout"));
    comes(&server, "layout", "two");
    fs::remove_dir_all(root.join("layout")).expect("deleted");
    goes(&server, "layout", "two");
    comes(&server, "a", "written");
}

/// A link is where it leads: what happens there is noticed too.
#[test]
fn what_links_lead_to_is_watched() {
    if !changes_are_told() {
        return;
    }
    let packages = Packages::new();
    let root = packages.path();
    fs::create_dir_all(root.join(".store/folder")).expect("folders");
    fs::write(root.join(".store/a"), archive("a", "one")).expect("a file");
    fs::write(root.join(".store/folder/b.tar"), archive("b", "one")).expect("a file");
    symlink(".store/a", root.join("a.tar")).expect("a link");
    symlink(".store/folder", root.join("folder")).expect("a link");
    let server = Server::serving(root);
    let (store, next) = (root.join(".store"), elsewhere());
    // Written elsewhere, so that nothing but what a link leads to tells of it.
    let replace = |name: &str, bytes: Vec<u8>| {
        let file = next.path().join("file");
        fs::write(&file, bytes).expect("a file");
        fs::rename(file, store.join(name)).expect("moved");
    };
    replace("folder/b.tar", archive("b", "two"));
    comes(&server, "b", "two");
    comes(&server, "a", "one");
    replace("a", archive("a", "two"));
    comes(&server, "a", "two");
}

/// It is the root, not a folder around it, so that nothing beside it is served.
#[test]
fn a_single_file_is_watched() {
    if !changes_are_told() {
        return;
    }
    let packages = Packages::new().with("a.tar", archive("a", "one"));
    let path = packages.path().join("a.tar");
    let server = Server::serving(&path);
    comes(&server, "a", "one");
    packages.put("beside.tar", archive("beside", "one"));
    packages.put("a.tar", archive("a", "two"));
    comes(&server, "a", "two");
    fs::write(&path, archive("a", "three")).expect("a file");
    comes(&server, "a", "three");
    goes(&server, "beside", "one");
}

#[test]
fn all_roots_are_watched() {
    if !changes_are_told() {
        return;
    }
    let roots = [Packages::new(), Packages::new()];
    let paths = roots.each_ref().map(|root| root.path().to_owned());
    let [one, two] = &roots;
    one.put("a.tar", archive("a", "one"));
    two.put("b.tar", archive("b", "one"));
    let server = Setup::new().arg("--packages").args(paths).start();
    one.put("a.tar", archive("a", "two"));
    comes(&server, "a", "two");
    two.put("b.tar", archive("b", "two"));
    comes(&server, "b", "two");
    two.remove("b.tar");
    goes(&server, "b", "two");
    comes(&server, "a", "two");
}

/// Nobody looks, though another server shows that there is something to be seen.
#[test]
fn with_refresh_0_only_who_asks_is_told() {
    let packages = Packages::new().with("a.tar", archive("a", "one"));
    packages.put("b.tar", archive("b", "one"));
    let server = packages.serve(&[]);
    let blind = Server::start(["--refresh", "0", packages.path().to_str().expect("ASCII")]);
    packages.put("a.tar", archive("a", "two"));
    packages.put("c.tar", archive("c", "one"));
    comes(&server, "a", "two");
    comes(&server, "c", "one");
    assert_eq!(publications(&blind), 0);
    comes(&blind, "b", "one");
    assert!(knows(&blind, "a", "one") && !knows(&blind, "c", "one"));
    assert_eq!(publications(&blind), 0);

    // A request for what lies in a file that has changed has it looked at.
    let layer = image("a", "one").layers[0].blob().digest;
    eventually("the change is seen", || {
        let status = blind.get(&format!("/v2/acme/a/blobs/{layer}")).status;
        assert!([404, 429].contains(&status), "{status}");
        status == 404
    });
    comes(&blind, "a", "two");
    comes(&blind, "c", "one");
}

/// What is asked for is looked for where it was, and then everywhere.
#[test]
fn with_refresh_0_a_request_finds_what_was_moved() {
    let packages = Packages::new().with("a.tar", archive("a", "one"));
    let path = packages.path().to_str().expect("ASCII");
    let server = Server::start(["--refresh", "0", path]);
    let config = image("a", "one").config().digest;
    let ask = || server.get(&format!("/v2/acme/a/blobs/{config}"));
    let moved = packages.path().join("folder/b.tar");
    fs::create_dir(packages.path().join("folder")).expect("a folder");
    fs::rename(packages.path().join("a.tar"), &moved).expect("moved");
    assert_eq!(ask().status, 200);
    packages.put("c.tar", archive("c", "one"));
    fs::remove_file(&moved).expect("deleted");
    eventually("it is found to be gone", || ask().status == 404);
    assert!(!knows(&server, "a", "one"));
}

/// The signal that ends other programs has this one look, whatever it was told about looking.
#[test]
fn sighup_looks_at_once() {
    let packages = Packages::new();
    let large = Image::new("large").layers([Layer::raw(bytes(1, LARGE))]);
    let archive_of_large = Layout::new().named(&large, "docker.io/acme/large:1");
    packages.put("large.tar", archive_of_large.tar());
    let path = packages.path().to_str().expect("ASCII");
    let server = Server::start(["--refresh", "0", path]);
    let begun = Pull::begin(&server, "acme/large", &large.layers[0].blob());
    packages.put("a.tar", archive("a", "one"));
    server.signal("HUP");
    // It takes a second look to know that it is whole: nobody has to ask for that.
    comes(&server, "a", "one");
    packages.remove("a.tar");
    for _ in 0..20 {
        server.signal("HUP");
    }
    goes(&server, "a", "one");
    assert_eq!(begun.end(), End::Whole);
    assert_eq!(publications(&server), 2);
    assert!(server.stop().success());
}
