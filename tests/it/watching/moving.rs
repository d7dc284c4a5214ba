//! Archives that are moved from one folder to another while somebody looks: each is there at every moment, so nobody may be told
//! that one is not.

use std::thread;
use std::time::Duration;

use super::*;
use crate::packages::many;
use crate::pull::{ever, meanwhile};

/// How many there are.
const COUNT: usize = 200;
/// So many other files are in each folder, so that looking takes a while.
const OTHERS: usize = 1000;
/// Between moving two of them.
const PAUSE: Duration = Duration::from_micros(500);

#[test]
fn what_is_moved_is_always_there() {
    let packages = Packages::new();
    let folders = ["a", "b", "c"].map(|name| packages.path().join(name));
    for folder in &folders {
        fs::create_dir(folder).expect("a folder");
        for number in 0..OTHERS {
            fs::write(folder.join(format!("{number}.txt")), "no archive").expect("a file");
        }
    }
    let [a, b, c] = &folders;
    let shelf = many(a, COUNT);
    let server = packages.serve(&[]);
    let listed = || {
        let catalog = server.get("/v2/_catalog").json();
        catalog["repositories"].as_array().map_or(0, Vec::len)
    };
    let pulled = |number: usize| {
        let path = format!("/v2/acme/app/{number}/blobs/{}", shelf[number][1].digest);
        let answer = server.get(&path);
        let is_right = answer.status != 200 || answer.body == shelf[number][1].bytes;
        assert!(is_right, "{path}: wrong bytes");
        answer.status
    };
    let ask = || (listed(), [0, COUNT / 2, COUNT - 1].map(pulled));
    // One of any two folders is looked at before the other.
    for [from, to] in [[a, b], [b, a], [a, c], [c, b]] {
        let seen = meanwhile(2, ask, || {
            for number in 0..COUNT {
                let name = format!("{number}.tar");
                fs::rename(from.join(&name), to.join(&name)).expect("moved");
                thread::sleep(PAUSE);
            }
        });
        let seen = ever(&seen);
        let is_there = |status: &u16| [200, 429].contains(status);
        let is_right = seen
            .iter()
            .all(|(listed, pulled)| *listed == COUNT && pulled.iter().all(is_there));
        assert!(is_right, "{seen:?}");
    }
    eventually("all of them are served", || ask() == (COUNT, [200; 3]));
    let log = server.stderr();
    assert!(!log.contains("error: "), "{log}");
}
