//! A disk that fails while clients pull from it, and one that does not answer: nothing wrong is ever complete, other copies
//! are served, and others do not wait.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::{Disk, Errno, Fault, WHOLE};
use crate::fixture::{Blob, Image, Layer, Layout, Node as _};
use crate::packages::Packages;
use crate::pull::{End, Had, LARGE, Pull, bytes, pull};
use crate::server::{Response, Server, Setup};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
const WIDE: &str = "docker.io/acme/wide:1";
const OTHER: &str = "docker.io/acme/other:1";
/// What a disk that goes bad says, and what a server of files that goes away does.
const ERRORS: [Errno; 2] = [Errno::EIO, Errno::ESTALE];
/// What is told of a layer that the disk does not give ends so.
const UNREADABLE: &str = "; check the disk, or copy the archive again";

/// An image with a layer of this length.
fn image(length: usize) -> Image {
    Image::new("app").layers([Layer::raw(bytes(1, length))])
}

/// An image with more layers than are hashed at once, each so long that clients begin to get it before.
fn wide() -> Image {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let layers = (2..).map(|seed| Layer::raw(bytes(seed, 100_000)));
    Image::new("wide").layers(layers.take(cores + 1).collect::<Vec<_>>())
}

/// A server of a folder on a disk of its own, and of another folder. They are dropped in this order.
struct Scene {
    server: Server,
    disk: Disk,
    elsewhere: Packages,
    shown: Packages,
    layer: Blob,
}

impl Scene {
    /// On the disk is `app.tar` with an image that has a layer of this length, and a wide image; in the other folder is
    /// another one. `None` where no disk can be made.
    fn new(length: usize) -> Option<Self> {
        let archive = Layout::new().named(&image(length), APP).tar();
        let wide = Layout::new().named(&wide(), WIDE).tar();
        let shown = Packages::new()
            .with("app.tar", archive)
            .with("wide.tar", wide);
        let other = Layout::new().named(&Image::new("other"), OTHER).tar();
        let elsewhere = Packages::new().with("other.tar", other);
        let disk = Disk::of(shown.path())?;
        let server = Setup::new()
            .args(["--refresh", "20ms", "--packages"])
            .arg(disk.path())
            .arg("--packages")
            .arg(elsewhere.path())
            .start();
        let layer = image(length).layers[0].blob();
        Some(Self {
            server,
            disk,
            elsewhere,
            shown,
            layer,
        })
    }

    /// Puts a copy of the image into the other folder.
    fn copy(&self) {
        let image = image(self.layer.bytes.len());
        self.elsewhere
            .put("copy.tar", Layout::new().named(&image, APP).tar());
        self.server.wait_for_stderr("from 4 archives");
    }

    /// Reading the archive on the disk fails from its middle on, which lies in the layer.
    fn fail_midway(&self, errno: Errno) {
        let from = self.layer.bytes.len() as u64 / 2;
        self.disk.fail("app.tar", Fault::Reads { from, errno });
    }

    fn begin(&self) -> Pull {
        Pull::begin(&self.server, "acme/app", &self.layer)
    }

    fn get_layer(&self) -> Response {
        self.get("acme/app", &self.layer)
    }

    fn get(&self, repository: &str, blob: &Blob) -> Response {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        self.server.get(&path)
    }

    /// What a client has that pulls all of the image now.
    fn pulled(&self) -> Had {
        pull(&self.server, "acme/app", "1")
    }

    fn whole(&self) -> Had {
        Had::Whole(image(self.layer.bytes.len()).digest())
    }

    fn assert_others_are_served(&self) {
        let other = pull(&self.server, "acme/other", "1");
        assert_eq!(other, Had::Whole(Image::new("other").digest()));
    }

    /// One line says which archive has a layer that cannot be read.
    fn assert_told_once(&self) {
        let log = self.server.wait_for_stderr(UNREADABLE);
        let mut told = log.lines().filter(|line| line.contains(UNREADABLE));
        let line = told.next().expect("just seen");
        for part in ["app.tar: ", "cannot be read", &self.layer.digest] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(told.next(), None, "{log}");
    }
}

/// Checks what happens with each of [`ERRORS`], at the same time because most of it is waiting.
fn with_each_error(check: impl Fn(Errno) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for errno in ERRORS {
            scope.spawn(move || check(errno));
        }
    });
}

/// Whoever is pulling is cut, and whoever asks next has the other copy.
#[test]
fn what_a_disk_does_not_give_comes_from_another_copy() {
    with_each_error(|errno| {
        let Some(scene) = Scene::new(LARGE) else {
            return;
        };
        scene.copy();
        // They have all begun when it fails.
        scene.disk.fail("app.tar", Fault::Silent);
        let begun = [
            scene.begin(),
            scene.begin(),
            Pull::begin_at(&scene.server, "acme/app", &scene.layer, 1_000_000),
        ];
        scene.fail_midway(errno);
        assert_eq!(begun.map(Pull::end), [End::Cut; 3], "{errno:?}");
        scene.assert_told_once();
        assert_eq!(scene.pulled(), scene.whole(), "{errno:?}");
        scene.assert_others_are_served();
        scene.assert_told_once();
    });
}

/// Without another copy it is there, and cannot be had now. Once the disk gives it, it is hashed, once.
#[test]
fn what_a_disk_gives_again_is_hashed_and_served() {
    with_each_error(|errno| {
        let Some(scene) = Scene::new(LARGE) else {
            return;
        };
        scene.fail_midway(errno);
        assert_eq!(scene.begin().end(), End::Cut, "{errno:?}");
        scene.assert_told_once();
        for _ in 0..3 {
            let had = scene.pulled();
            assert!(matches!(had, Had::Part(_) | Had::Later), "{had:?}");
        }
        scene.assert_others_are_served();
        scene.disk.recover();
        eventually("it is served", || scene.pulled() == scene.whole());
        let before = scene.disk.read("app.tar");
        assert_eq!(scene.get_layer().body, scene.layer.bytes);
        let read = scene.disk.read("app.tar") - before;
        assert_eq!(read, LARGE as u64, "it is known to be right");
    });
}

/// All of a short blob is held back, so nobody is cut.
#[test]
fn a_short_one_comes_from_another_copy_at_once() {
    with_each_error(|errno| {
        let Some(scene) = Scene::new(50_000) else {
            return;
        };
        scene.disk.fail("app.tar", Fault::Reads { from: 0, errno });
        let alone = scene.get_layer();
        assert_eq!(alone.status, 429, "{errno:?}: {}", alone.text());
        assert!(alone.header("retry-after").is_some());
        scene.assert_told_once();
        scene.copy();
        assert_eq!(scene.pulled(), scene.whole(), "{errno:?}");
        scene.disk.recover();
    });
}

/// The same where the file cannot even be opened. Nothing is not there.
#[test]
fn what_cannot_be_opened_comes_from_another_copy_at_once() {
    with_each_error(|errno| {
        let Some(scene) = Scene::new(200_000) else {
            return;
        };
        scene.disk.fail("app.tar", Fault::Opens(errno));
        let alone = scene.get_layer();
        assert_eq!(alone.status, 429, "{errno:?}: {}", alone.text());
        assert_eq!(scene.pulled(), Had::Later, "{errno:?}");
        scene.copy();
        assert_eq!(scene.pulled(), scene.whole(), "{errno:?}");
        scene.elsewhere.remove("copy.tar");
        scene.disk.recover();
        eventually("it is served", || scene.pulled() == scene.whole());
    });
}

/// An archive that cannot be read when it is found is a problem, and is served once it can.
#[test]
fn an_archive_that_could_not_be_cataloged_is_cataloged_later() {
    let Some(scene) = Scene::new(200_000) else {
        return;
    };
    let (from, errno) = (0, Errno::EIO);
    let faults = [Fault::Opens(errno), Fault::Reads { from, errno }];
    for (name, fault) in ["closed", "broken"].into_iter().zip(faults) {
        let file = format!("{name}.tar");
        scene.disk.fail(&file, fault);
        let late = Layout::new().named(&Image::new(name), &format!("acme/{name}:1"));
        scene.shown.put(&file, late.tar());
    }
    scene
        .server
        .wait_for_stderr("closed.tar: it cannot be read");
    let log = scene
        .server
        .wait_for_stderr("broken.tar: it cannot be read");
    assert_eq!(log.matches("it cannot be read").count(), 2, "{log}");
    assert_eq!(scene.pulled(), scene.whole());
    scene.disk.recover();
    for name in ["closed", "broken"] {
        let expected = Had::Whole(Image::new(name).digest());
        eventually("it is served", || {
            pull(&scene.server, &format!("acme/{name}"), "1") == expected
        });
    }
}

/// Pulls that wait for a disk wait alone, and end as soon as it answers.
#[test]
fn a_disk_that_does_not_answer_holds_up_nobody_else() {
    for silent in [&["app.tar", "wide.tar"][..], &[WHOLE]] {
        let Some(scene) = Scene::new(LARGE) else {
            return;
        };
        let begun = [scene.begin(), scene.begin().read(LARGE / 4)];
        for name in silent {
            scene.disk.fail(name, Fault::Silent);
        }
        let opened = || scene.disk.opened("app.tar") + scene.disk.opened("wide.tar");
        let before = opened();
        let mut asked = vec![("acme/app", scene.layer.clone()); 20];
        let wide = wide().layers;
        asked.extend(wide.iter().map(|layer| ("acme/wide", layer.blob())));
        thread::scope(|scope| {
            let asked = asked.iter();
            let waiting: Vec<_> = asked
                .map(|(name, blob)| (scope.spawn(|| scene.get(name, blob)), &blob.bytes))
                .collect();
            if silent != [WHOLE] {
                eventually("all wait for bytes", || opened() >= before + waiting.len());
            }
            for _ in 0..5 {
                scene.assert_others_are_served();
                assert_eq!(scene.server.get("/v2/acme/other/blobs/x").status, 400);
                assert_eq!(scene.server.get("/v2/acme/none/manifests/1").status, 404);
                assert_eq!(scene.server.get("/v2/_catalog").status, 200);
                assert_eq!(scene.server.get("/v2/acme/app/tags/list").status, 200);
            }
            assert!(waiting.iter().all(|(client, _)| !client.is_finished()));
            scene.disk.recover();
            assert_eq!(begun.map(Pull::end), [End::Whole; 2]);
            for (client, expected) in waiting {
                let answer = client.join().expect("an answer");
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(answer.body == *expected, "wrong bytes");
            }
        });
    }
}

/// However many wait for a disk, others need not. Who waits has its turn when the disk answers, and who has left has none.
#[test]
fn a_crowd_that_waits_for_a_disk_holds_up_nobody_else() {
    let Some(scene) = Scene::new(LARGE) else {
        return;
    };
    scene.disk.fail("app.tar", Fault::Silent);
    let request = format!(
        "GET /v2/acme/app/blobs/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        scene.layer.digest
    );
    let ask = |_| {
        let mut stream = scene.server.connect().expect("the server accepts");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    };
    let mut crowd: Vec<TcpStream> = (0..600).map(ask).collect();
    eventually("they wait", || scene.disk.opened("app.tar") > 50);
    for _ in 0..5 {
        scene.assert_others_are_served();
    }
    let log = scene.server.stderr();
    assert!(!log.contains("cut short"), "the disk has given up by now");
    let mut last = crowd.pop().expect("the last one");
    drop(crowd);
    scene.disk.recover();
    let mut answer = Vec::new();
    last.read_to_end(&mut answer).expect("an answer");
    assert!(answer.ends_with(&scene.layer.bytes), "wrong bytes");
}

/// What changes in one folder is seen, also while another one cannot be looked at, which is told. However often it is looked
/// for, it is waited for once.
#[test]
fn changes_elsewhere_are_seen_while_a_disk_does_not_answer() {
    let Some(scene) = Scene::new(200_000) else {
        return;
    };
    scene.disk.fail(WHOLE, Fault::Silent);
    let root = scene.disk.path().to_str().expect("ASCII");
    let other = Image::new("changed");
    let archive = Layout::new().named(&other, OTHER).tar();
    scene.elsewhere.put("other.tar", archive);
    let complaint = format!("error: {root}: it cannot be looked at: it does not answer; ");
    scene.server.wait_for_stderr(&complaint);
    let expected = Had::Whole(other.digest());
    eventually("what is there now is served", || {
        pull(&scene.server, "acme/other", "1") == expected
    });
    let ready = scene.server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(root), "{}", ready.text());
    let tags = scene.server.get("/v2/acme/app/tags/list");
    assert_eq!(tags.status, 200, "what is known of it is told");
    // One over each root at most.
    let walks = scene.server.threads("walk");
    assert!(walks <= 2, "{walks} walks are under way");
    scene.disk.recover();
    scene.server.wait_for_stderr(&format!("{root}: it is back"));
    assert_eq!(scene.server.get("/readyz").status, 200);
    assert_eq!(scene.pulled(), scene.whole());
    let log = scene.server.stderr();
    assert_eq!(log.matches(&complaint).count(), 1, "{log}");
}

/// The same where only a new archive on it cannot be read.
#[test]
fn changes_elsewhere_are_seen_while_a_new_archive_cannot_be_read() {
    let Some(scene) = Scene::new(200_000) else {
        return;
    };
    let (late, other) = (Image::new("late"), Image::new("changed"));
    scene.disk.fail("late.tar", Fault::Silent);
    let archive = Layout::new().named(&late, "acme/late:1").tar();
    scene.shown.put("late.tar", archive);
    eventually("it is read", || scene.disk.opened("late.tar") > 0);
    scene
        .elsewhere
        .put("other.tar", Layout::new().named(&other, OTHER).tar());
    let root = scene.disk.path().to_str().expect("ASCII");
    let complaint = format!("warning: {root}: what is new in it takes long to be read");
    scene.server.wait_for_stderr(&complaint);
    let served = |name, image: &Image| {
        let expected = Had::Whole(image.digest());
        eventually("it is served", || {
            pull(&scene.server, name, "1") == expected
        });
    };
    served("acme/other", &other);
    assert_eq!(scene.server.get("/readyz").status, 200);
    assert_eq!(scene.pulled(), scene.whole());
    scene.disk.recover();
    served("acme/late", &late);
    let log = scene.server.stderr();
    assert_eq!(log.matches(&complaint).count(), 1, "{log}");
}

/// The same where each read takes a while.
#[test]
fn a_slow_disk_holds_up_nobody_else() {
    let Some(scene) = Scene::new(LARGE) else {
        return;
    };
    scene
        .disk
        .fail("app.tar", Fault::Slow(Duration::from_millis(100)));
    thread::scope(|scope| {
        let slow: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.get_layer())).collect();
        scene.assert_others_are_served();
        assert!(slow.iter().all(|client| !client.is_finished()));
        for client in slow {
            let answer = client.join().expect("an answer");
            assert!(answer.body == scene.layer.bytes, "wrong bytes");
        }
    });
}

/// Also when all of it has been read before, and was right.
#[test]
fn what_a_disk_gave_once_comes_from_another_copy_when_it_fails() {
    with_each_error(|errno| {
        let Some(scene) = Scene::new(LARGE) else {
            return;
        };
        scene.copy();
        assert_eq!(scene.pulled(), scene.whole());
        let begun = [scene.begin(), scene.begin().read(LARGE / 4)];
        scene.fail_midway(errno);
        assert_eq!(begun.map(Pull::end), [End::Cut; 2], "{errno:?}");
        eventually("the other copy is served", || {
            scene.pulled() == scene.whole()
        });
        scene.assert_told_once();
    });
}

/// A server of one disk with an archive, which looks as often as it is told. They are dropped from the last to the first.
fn lone(refresh: &str) -> Option<(Packages, Disk, Server)> {
    let app = Layout::new().named(&image(200_000), APP).tar();
    let packages = Packages::new().with("app.tar", app);
    let disk = Disk::of(packages.path())?;
    let options = ["--refresh", refresh, "--packages"];
    let server = Setup::new().args(options).arg(disk.path()).start();
    Some((packages, disk, server))
}

/// Puts an archive of `acme/NAME:1` into the folder.
fn put(packages: &Packages, name: &str) {
    let reference = format!("docker.io/acme/{name}:1");
    let archive = Layout::new().named(&Image::new(name), &reference).tar();
    packages.put(&format!("{name}.tar"), archive);
}

/// Waits longer than anything here takes, which is long.
fn long_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(90), "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn status(server: &Server, name: &str) -> u16 {
    server.get(&format!("/v2/acme/{name}/manifests/1")).status
}

/// A file that takes long to fail each time does not freeze the folder that it lies in.
#[test]
fn changes_beside_a_file_that_fails_slowly_are_seen() {
    let Some((packages, disk, server)) = lone("1s") else {
        return;
    };
    disk.fail("late.tar", Fault::Silent);
    put(&packages, "late");
    server.wait_for_stderr("takes long to be read");
    put(&packages, "new");
    packages.remove("app.tar");
    long_until("what is new is served", || status(&server, "new") == 200);
    assert_eq!(status(&server, "app"), 404);
}

/// Where nothing is looked for, what was left unfinished is looked at again all the same.
#[test]
fn what_was_left_unfinished_is_taken_up_without_being_asked() {
    let Some((packages, disk, server)) = lone("0") else {
        return;
    };
    disk.fail("late.tar", Fault::Silent);
    put(&packages, "late");
    server.signal("HUP");
    server.wait_for_stderr("takes long to be read");
    disk.recover();
    long_until("it is served", || status(&server, "late") == 200);
}

/// What an old walk sees at last is not what is there now.
#[test]
fn who_asks_is_told_what_is_there_and_not_what_was() {
    let Some((packages, disk, server)) = lone("0") else {
        return;
    };
    disk.fail(WHOLE, Fault::Silent);
    server.signal("HUP");
    server.wait_for_stderr("it does not answer");
    disk.recover();
    put(&packages, "new");
    server.signal("HUP");
    long_until("it is served", || status(&server, "new") == 200);
}
