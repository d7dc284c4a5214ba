//! Several servers with one cache, and servers that are killed.

use std::thread;

use super::*;

/// Length of a verdict's line.
const WHOLE: usize = 43;

fn pull_all(server: &Server, layers: &[String]) {
    for layer in layers {
        let answer = server.get(&blob(layer));
        assert_eq!((answer.status, answer.body.len()), (200, LENGTH), "{layer}");
    }
}

#[test]
fn two_servers_share_one_cache() {
    let shelf = Shelf::new(12);
    let layers = shelf.layers();
    let servers = [shelf.serve(&[]), shelf.serve(&[])];
    thread::scope(|scope| {
        for server in &servers {
            for part in layers.chunks(4) {
                scope.spawn(move || pull_all(server, part));
            }
        }
    });
    servers.into_iter().for_each(stop);
    assert_eq!(lines(&shelf.verdicts(), "v ").len(), layers.len());
    assert_eq!(shelf.hashed(&shelf.serve(&[])), 0);
}

/// What was whole when a server was killed is believed, and nothing else.
#[test]
fn killed_while_it_writes() {
    let shelf = Shelf::new(12);
    let layers = shelf.layers();
    for (round, part) in layers.chunks(3).enumerate() {
        let servers = [shelf.serve(&[]), shelf.serve(&[])];
        let before = fs::metadata(shelf.verdicts()).map_or(0, |file| file.len());
        for server in &servers {
            pull_all(server, part);
        }
        let is_written = || fs::metadata(shelf.verdicts()).map_or(0, |file| file.len()) > before;
        // Now and then before anything is written.
        if round % 3 > 0 {
            eventually("something is written", is_written);
        }
        for server in &servers {
            server.signal("KILL");
        }
    }
    // What was written last was torn.
    let written = fs::read(shelf.verdicts()).unwrap();
    fs::write(shelf.verdicts(), &written[..written.len() - 5]).unwrap();
    let whole = || {
        let lines = lines(&shelf.verdicts(), "v ").into_iter();
        lines.filter(|line| line.len() == WHOLE).count()
    };
    let known = whole();
    assert!(known > 0);
    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), layers.len() - known);
    stop(server);
    assert_eq!(whole(), layers.len());
    assert_eq!(shelf.hashed(&shelf.serve(&[])), 0);
}
