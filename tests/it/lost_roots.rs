//! A folder that goes while it is served, as an unmounted disk does, and comes back: what it held is listed meanwhile and
//! said to come later, and nobody is told that it is not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::daemons::able;
use crate::disk::{Disk, Errno, Fault, WHOLE};
use crate::fixture::{Image, Layer, Layout, Node as _};
use crate::needs::run;
use crate::packages::Packages;
use crate::pull::{End, Had, LARGE, Pull, bytes, ever, meanwhile, pull};
use crate::server::{Response, Server, Setup, binary};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
const OTHER: &str = "docker.io/acme/other:1";
/// What mounting in a namespace of the server's own takes.
const TOOLS: &[&str] = &["unshare", "nsenter", "mount"];
/// How long mounting may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What a server does before it starts: the folder `$1` is mounted in memory, gets what lies in the folder `$2`, and is
/// mounted once more as the folder `$3`, from where it can be taken without being lost.
const MOUNT: &str = r#"
set -e
mount -t tmpfs packages "$1"
cp -p "$2"/* "$1"
mount --bind "$1" "$3"
shift 3
exec "$@"
"#;

fn image() -> Image {
    Image::new("app").layers([Layer::raw(bytes(1, LARGE))])
}

/// A folder with an archive.
fn packages() -> Packages {
    Packages::new().with("app.tar", Layout::new().named(&image(), APP).tar())
}

/// A server of a folder that goes, and of one that stays.
struct Scene {
    server: Server,
    root: PathBuf,
    _elsewhere: Packages,
}

impl Scene {
    /// Has a server be started, as `setup` says, that serves `root`.
    fn new(setup: Setup, root: &Path) -> Self {
        let other = Layout::new().named(&Image::new("other"), OTHER).tar();
        let elsewhere = Packages::new().with("other.tar", other);
        let server = setup
            .args(["--refresh", "50ms", "--packages"])
            .arg(root)
            .arg("--packages")
            .arg(elsewhere.path())
            .start();
        Self {
            server,
            root: root.to_owned(),
            _elsewhere: elsewhere,
        }
    }

    fn begin(&self) -> Pull {
        let layer = image().layers[0].blob();
        Pull::begin(&self.server, "acme/app", &layer).read(LARGE / 4)
    }

    fn pulled(&self) -> Had {
        pull(&self.server, "acme/app", "1")
    }

    /// Some clients pull all the time. The root goes, comes back, and all that it held is served again.
    fn check(&self, take: impl FnOnce(), give_back: impl FnOnce()) {
        let whole = Had::Whole(image().digest());
        assert_eq!(self.pulled(), whole);
        let ask = || {
            let other = pull(&self.server, "acme/other", "1");
            assert_eq!(other, Had::Whole(Image::new("other").digest()));
            self.pulled()
        };
        let seen = meanwhile(2, ask, || {
            take();
            self.check_lost();
            give_back();
            self.check_back();
        });
        let cut = Had::Part(image().digest());
        for had in ever(&seen) {
            assert!([&whole, &cut, &Had::Later].contains(&&had), "{had:?}");
        }
        assert_eq!(self.pulled(), whole);
    }

    fn check_lost(&self) {
        eventually("it is noticed", || self.server.get("/readyz").status == 503);
        let ready = self.server.get("/readyz").text();
        assert!(
            ready.contains(self.root.to_str().expect("ASCII")),
            "{ready}"
        );
        assert_eq!(self.server.get("/healthz").status, 200);
        self.server.wait_for_stderr(&self.complaint());
        // What is known is told as before.
        let tags = self.server.get("/v2/acme/app/tags/list");
        assert_eq!(tags.json()["tags"], serde_json::json!(["1", "latest"]));
        let catalog = self.server.get("/v2/_catalog").json();
        let names = serde_json::json!(["acme/app", "acme/other"]);
        assert_eq!(catalog["repositories"], names);
        let manifest = self.server.get("/v2/acme/app/manifests/1");
        assert_eq!(manifest.status, 200, "it is known by heart");
        let layer = image().layers[0].blob().digest;
        let blob = format!("/v2/acme/app/blobs/{layer}");
        check_later(&self.server.get(&blob));
        assert_eq!(self.server.head(&blob).status, 429);
        check_later(&self.server.request("GET", &blob, &[("Range", "bytes=5-9")]));
    }

    fn check_back(&self) {
        eventually("it is noticed", || self.server.get("/readyz").status == 200);
        let whole = Had::Whole(image().digest());
        eventually("it is served", || self.pulled() == whole);
        let back = format!("{}: it is back", self.root.display());
        self.server.wait_for_stderr(&back);
    }

    /// How the line begins that tells people.
    fn complaint(&self) -> String {
        format!("error: {}: ", self.root.display())
    }

    /// The root was lost so many times, which was told, and nothing else was wrong.
    fn check_log(&self, times: usize) {
        let log = self.server.stderr();
        let told: Vec<_> = log
            .lines()
            .filter(|line| line.starts_with("error: ") || line.starts_with("warning: "))
            .collect();
        assert_eq!(told.len(), times, "{told:?}");
        let complaint = self.complaint();
        assert!(told.iter().all(|line| line.starts_with(&complaint)));
    }

    /// Runs a program where the server's mounts are; whether it succeeds.
    fn inside(&self, program: &[&str]) -> bool {
        let mut command = Command::new("nsenter");
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.server.pid());
        run(command.arg(namespace).args(program), LIMIT).success
    }
}

/// Whoever asks is to ask again.
fn check_later(answer: &Response) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.json()["errors"][0]["code"], "TOOMANYREQUESTS");
}

#[test]
fn a_folder_may_be_renamed_and_get_its_name_back() {
    let folder = packages();
    let (root, away) = (folder.path().join("root"), folder.path().join("away"));
    fs::create_dir(&root).expect("a folder");
    fs::rename(folder.path().join("app.tar"), root.join("app.tar")).expect("a new name");
    let scene = Scene::new(Setup::new(), &root);
    for times in 1..=2 {
        let begun = scene.begin();
        let rename = |from: &Path, to: &Path| fs::rename(from, to).expect("a new name");
        scene.check(|| rename(&root, &away), || rename(&away, &root));
        assert_eq!(begun.end(), End::Whole);
        scene.check_log(times);
    }
}

/// A disk is taken only when nobody uses it: a server that is not asked for anything does not.
#[test]
fn a_disk_may_be_unmounted_and_mounted_again() {
    if !able(TOOLS) {
        return;
    }
    let (packages, store, place) = (packages(), Packages::new(), Packages::new());
    let setup = Setup::new()
        .program("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            MOUNT,
            "sh",
        ])
        .args([store.path(), packages.path(), place.path()])
        .arg(binary());
    let scene = Scene::new(setup, place.path());
    let root = scene.root.to_str().expect("ASCII");
    let from = store.path().to_str().expect("ASCII");
    let begun = scene.begin();
    assert!(!scene.inside(&["umount", root]), "somebody is reading");
    assert_eq!(begun.end(), End::Whole);
    scene.check(
        // Those that pull all the time hold it for moments.
        || eventually("it is ejected", || scene.inside(&["umount", root])),
        || assert!(scene.inside(&["mount", "--bind", from, root])),
    );
    scene.check_log(1);
    // Pulled out.
    let begun = scene.begin();
    scene.check(
        || assert!(scene.inside(&["umount", "-l", root])),
        || assert!(scene.inside(&["mount", "--bind", from, root])),
    );
    assert_eq!(
        begun.end(),
        End::Whole,
        "it is there, though not by its name"
    );
    scene.check_log(2);
}

/// When nobody pulls, nothing of a disk is in use, however often it is looked at.
#[test]
fn a_disk_may_be_ejected_while_the_server_is_idle() {
    let packages = packages();
    let Some(mut disk) = Disk::of(packages.path()) else {
        return;
    };
    let place = disk.path().to_owned();
    let scene = Scene::new(Setup::new(), &place);
    for times in 1..=2 {
        assert_eq!(scene.pulled(), Had::Whole(image().digest()));
        disk.unmount();
        scene.check_lost();
        disk.mount();
        // The numbers of its files are others now.
        scene.check_back();
        scene.check_log(times);
    }
}

/// Pulled out while it is used, or its server has gone.
#[test]
fn a_disk_may_fail_as_a_whole() {
    for errno in [Errno::EIO, Errno::ESTALE, Errno::ENODEV] {
        let packages = packages();
        let Some(disk) = Disk::of(packages.path()) else {
            return;
        };
        let scene = Scene::new(Setup::new(), disk.path());
        let begun = scene.begin();
        let fail = || {
            disk.fail(WHOLE, Fault::Opens(errno));
            assert_eq!(begun.end(), End::Cut);
        };
        scene.check(fail, || disk.recover());
        // A look that had begun may have told of a file as well.
        let told = scene.server.stderr().matches(&scene.complaint()).count();
        assert_eq!(told, 1);
    }
}
