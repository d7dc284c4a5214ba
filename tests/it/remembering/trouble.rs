//! Disks that do not take it: one line says so, and all else goes on.

use super::*;
use crate::daemons::able;

/// All is served, and it is said once that nothing is remembered, and why.
fn check(shelf: &Shelf, mut server: Server, why: &str) {
    let told = format!(
        "warning: cannot write to `{}` ({why}): verdicts are not remembered; name another folder with `--cache`, or use `--no-cache`\n",
        shelf.verdicts().display()
    );
    let [first, second] = &shelf.layers()[..] else {
        panic!("two layers");
    };
    for layer in [first, second] {
        let answer = server.get(&blob(layer));
        assert_eq!((answer.status, answer.body.len()), (200, LENGTH));
        server.wait_for_stderr(&told);
    }
    // What is left would be written now.
    server.signal("TERM");
    let status = server.wait(Duration::from_secs(15));
    assert!(status.is_some_and(|status| status.success()));
    let said = server.stderr();
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
}

#[test]
fn a_file_in_the_way() {
    let shelf = Shelf::new(2);
    fs::remove_dir(shelf.cache.path()).unwrap();
    fs::write(shelf.cache.path(), "a file").unwrap();
    check(&shelf, shelf.serve(&[]), "not a directory");
    assert_eq!(fs::read(shelf.cache.path()).unwrap(), b"a file");
    fs::remove_file(shelf.cache.path()).unwrap();
}

/// A server that sees a file system of 4 KiB where its cache is to be, after `prepare` was done to that; nobody else does,
/// and it is gone with the server.
fn serve_with_disk(shelf: &Shelf, prepare: &str) -> Server {
    let script =
        format!("mount -t tmpfs -o size=4k none \"$0\" && cd \"$0\" && {prepare} && exec \"$@\"");
    Setup::new()
        .program("unshare")
        .env("PACKAGEORIGIN_NO_CACHE", "")
        .args(["--mount", "sh", "-c", &script])
        .args([
            shelf.cache.path(),
            &binary(),
            Path::new("--packages"),
            shelf.packages.path(),
        ])
        .args([Path::new("--cache"), shelf.cache.path()])
        .start()
}

#[test]
fn a_full_disk() {
    if !able(&["unshare", "mount", "head"]) {
        return;
    }
    let shelf = Shelf::new(2);
    let server = serve_with_disk(&shelf, "head -c 4096 /dev/zero >fill");
    check(&shelf, server, "No space left on device (os error 28)");
}

#[test]
fn a_disk_that_is_read_only() {
    if !able(&["unshare", "mount"]) {
        return;
    }
    let shelf = Shelf::new(2);
    let server = serve_with_disk(&shelf, "cd / && mount -o remount,ro \"$0\"");
    check(&shelf, server, "Read-only file system (os error 30)");
}
