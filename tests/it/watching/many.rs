//! A thousand changes that are made together are one.

use super::*;
use crate::packages::many;

const COUNT: usize = 1000;

#[test]
fn a_thousand_files_come_and_go_at_once() {
    if !changes_are_told() {
        return;
    }
    let (packages, store) = (Packages::new(), elsewhere());
    packages.put("other.tar", archive("other", "1"));
    let shelf = many(store.path(), COUNT);
    let server = Server::serving(packages.path());
    let place =
        |number: usize, folder: &str| packages.path().join(folder).join(format!("{number}.tar"));
    let count =
        |count: usize| server.wait_for_stderr(&format!("Changed: now {count} repositories"));

    fs::create_dir(packages.path().join("one")).expect("a folder");
    for number in 0..COUNT {
        fs::copy(
            store.path().join(format!("{number}.tar")),
            place(number, "one"),
        )
        .expect("copied");
    }
    count(COUNT + 1);
    assert_eq!(publications(&server), 1, "{}", server.stderr());
    let check = || {
        for (number, blobs) in shelf.iter().enumerate().step_by(100) {
            let path = format!("/v2/acme/app/{number}/blobs/{}", blobs[1].digest);
            assert!(server.get(&path).body == blobs[1].bytes, "{path}");
        }
    };
    check();

    fs::create_dir(packages.path().join("two")).expect("a folder");
    for number in 0..COUNT {
        fs::rename(place(number, "one"), place(number, "two")).expect("a new name");
    }
    eventually("they are found where they are", || {
        publications(&server) > 1
    });
    assert_eq!(publications(&server), 2, "{}", server.stderr());
    check();

    for number in 0..COUNT {
        fs::remove_file(place(number, "two")).expect("deleted");
    }
    server.wait_for_stderr("Changed: now 1 repository");
    assert_eq!(publications(&server), 3, "{}", server.stderr());
}
