//! Archives that are moved about all the time: each is there at every moment, so nobody is told that one is not.

use std::thread;
use std::time::Duration;

use super::*;
use crate::pull::{ever, meanwhile};

/// How many there are, in how many folders, and how often each is moved.
const COUNT: usize = 30;
const FOLDERS: usize = 10;
const ROUNDS: usize = 100;
/// So many other files are in each folder, so that looking takes a while.
const OTHERS: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);

#[test]
fn what_is_moved_is_always_there() {
    let packages = Packages::new();
    let place = |number: usize, round: usize| {
        let folder = (number + round * 7) % FOLDERS;
        packages.path().join(format!("{folder}/{number}.tar"))
    };
    for folder in 0..FOLDERS {
        let folder = packages.path().join(folder.to_string());
        fs::create_dir(&folder).expect("a folder");
        for number in 0..OTHERS {
            fs::write(folder.join(format!("{number}.txt")), "no archive").expect("a file");
        }
    }
    for number in 0..COUNT {
        let name = format!("app/{number}");
        fs::write(place(number, 0), archive(&name, "1")).expect("a file");
    }
    let server = packages.serve(&[]);
    let ask = || {
        (0..COUNT)
            .map(|number| {
                let name = format!("app/{number}");
                let had = pull(&server, &format!("acme/{name}"), "1");
                if had == Had::Whole(image(&name, "1").digest()) {
                    None
                } else {
                    Some((number, had))
                }
            })
            .find(Option::is_some)
            .flatten()
    };
    let seen = meanwhile(2, ask, || {
        for round in 0..ROUNDS {
            for number in 0..COUNT {
                fs::rename(place(number, round), place(number, round + 1)).expect("moved");
            }
            thread::sleep(PAUSE);
        }
    });
    let missed: Vec<_> = ever(&seen).into_iter().flatten().collect();
    assert!(
        missed.iter().all(|(_, had)| *had == Had::Later),
        "{missed:?}"
    );
    eventually("all of them are served", || ask().is_none());
}
