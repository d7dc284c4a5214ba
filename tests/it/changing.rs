//! What may happen to an archive while clients pull from it. Each answer is complete and right, or cut, or an honest refusal;
//! and soon everybody has what lies in the folder now.

mod broken;
mod damage;
mod folders;
mod rights;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::fixture::{Image, Layer, Layout, Node as _, Tree};
use crate::packages::{Packages, tar};
use crate::pull::{End, Had, LARGE, Pull, at_once, bytes, ever, meanwhile, pull};
use crate::server::Server;
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
const OTHER: &str = "docker.io/acme/other:1";

/// An image with a layer of this length, and a small one. Two of the same length have archives of one length.
fn image(seed: u32, length: usize) -> Image {
    let layers = [bytes(u64::from(seed), length), bytes(u64::MAX, 100_000)];
    Image::new(&format!("{seed:08}")).layers(layers.map(Layer::raw))
}

/// The image that is there first.
fn old() -> Image {
    image(1, LARGE)
}

/// An archive of the image, as [`APP`].
fn archive(image: &Image) -> Vec<u8> {
    tar(&layout(image))
}

fn layout(image: &Image) -> Tree {
    Layout::new().named(image, APP).tree()
}

/// A server of one archive of [`old`], of which clients pull, and of another one, to which nothing happens.
struct Scene {
    server: Server,
    packages: Packages,
    /// The file or folder of the archive.
    name: &'static str,
}

impl Scene {
    /// The archive is a tar.
    fn of_tar() -> Self {
        let packages = Packages::new().with("app.tar", archive(&old()));
        Self::of(packages, "app.tar")
    }

    /// The archive is a layout as a folder.
    fn of_folder() -> Self {
        let packages = Packages::new();
        packages.put_folder("app", &layout(&old()));
        Self::of(packages, "app")
    }

    fn of(packages: Packages, name: &'static str) -> Self {
        let other = Layout::new().named(&Image::new("other"), OTHER).tar();
        packages.put("other.tar", other);
        let server = packages.serve(&[]);
        Self {
            server,
            packages,
            name,
        }
    }

    /// Where the archive lies.
    fn path(&self) -> PathBuf {
        self.packages.path().join(self.name)
    }

    /// What a client has that pulls now.
    fn pulled(&self) -> Had {
        pull(&self.server, "acme/app", "1")
    }

    /// While some pulls stand in the middle of the large layer, and others ask for everything all the time, `change`
    /// happens. Those that had begun end in one of these ways, and from some moment on all that ask have `after`.
    fn check(&self, change: impl FnOnce(&Path), ends: &[End], after: &Had) {
        let layer = old().layers[0].blob();
        let begun = [
            Pull::begin(&self.server, "acme/app", &layer),
            Pull::begin(&self.server, "acme/app", &layer).read(LARGE / 2),
            Pull::begin_at(&self.server, "acme/app", &layer, 100_000).read(1_000_000),
        ];
        let ask = || {
            let other = pull(&self.server, "acme/other", "1");
            assert_eq!(other, Had::Whole(Image::new("other").digest()));
            self.pulled()
        };
        let seen = meanwhile(2, ask, || {
            change(&self.path());
            self.server.wait_for_stderr("Changed: now ");
            eventually("the present folder is served", || self.pulled() == *after);
        });
        for pull in begun {
            let end = pull.end();
            assert!(ends.contains(&end), "{end:?}");
        }
        if ends == [End::Cut] {
            self.server.wait_for_stderr("cut short \"slow/1\"");
        }
        check_seen(&seen, after, ends);
        assert_eq!(self.pulled(), *after);
        if *after != Had::Less(old().digest()) {
            let log = self.server.stderr();
            let is_damaged = log.contains("are not those of");
            assert!(!is_damaged, "what changes is not damaged: {log}");
        }
    }

    /// The same where nothing of the old image is there any more, by whatever digest it is asked for.
    fn check_gone(&self, change: impl FnOnce(&Path), ends: &[End], after: &Had) {
        self.check(change, ends, after);
        let (digest, layer) = (old().digest(), old().layers[0].blob().digest);
        for path in [format!("manifests/{digest}"), format!("blobs/{layer}")] {
            let answer = self.server.get(&format!("/v2/acme/app/{path}"));
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        }
    }

    /// A line of the log with both texts came, and came once.
    fn check_told_once(&self, file: &str, what: &str) {
        let log = self.server.wait_for_stderr(what);
        let told = log
            .lines()
            .filter(|line| line.contains(file) && line.contains(what));
        assert_eq!(told.count(), 1, "{log}");
    }
}

/// The client had all of this image.
fn whole(image: &Image) -> Had {
    Had::Whole(image.digest())
}

/// Everybody had the old image until there was what is there now, and never the old one again.
fn check_seen(seen: &[Vec<Had>], after: &Had, ends: &[End]) {
    let (old, before) = (old().digest(), whole(&old()));
    let is_less = *after == Had::Less(old.clone());
    for had in ever(seen) {
        let is_allowed = match &had {
            Had::Later => true,
            // What is there now may be damaged.
            Had::Part(digest) => *digest == old && (ends.contains(&End::Cut) || is_less),
            Had::Less(digest) => *digest == old && *after != before,
            Had::Whole(_) | Had::Nothing => had == before || had == *after,
        };
        assert!(is_allowed, "{had:?} in {seen:#?}");
    }
    for client in seen.iter().filter(|_| *after != before) {
        if let Some(at) = client.iter().position(|had| had == after) {
            assert!(!client[at..].contains(&before), "{client:#?}");
        }
    }
}

/// Writes over the file from its beginning, without making it anew.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).expect("a file");
    file.write_all(bytes).expect("written");
    file.set_len(bytes.len() as u64).expect("a length");
}

#[test]
fn replaced() {
    let scene = Scene::of_tar();
    let new = image(2, LARGE);
    let replace = |_: &Path| scene.packages.put("app.tar", archive(&new));
    scene.check_gone(replace, &[End::Whole], &whole(&new));
}

#[test]
fn overwritten_in_place() {
    let (same, less, more) = (LARGE, LARGE / 4, LARGE + 1_000_000);
    assert_eq!(archive(&image(2, same)).len(), archive(&old()).len());
    let check = |length, write: fn(&Path, &[u8])| {
        let new = image(2, length);
        let write = |path: &Path| write(path, &archive(&new));
        Scene::of_tar().check_gone(write, &[End::Cut], &whole(&new));
    };
    // As `cp` does it: first there is nothing.
    let anew = |path: &Path, bytes: &[u8]| fs::write(path, bytes).expect("written");
    at_once(&[
        ("as many bytes", &|| check(same, overwrite)),
        ("fewer bytes", &|| check(less, overwrite)),
        ("more bytes", &|| check(more, anew)),
    ]);
}

#[test]
fn truncated() {
    let check = |length, says| {
        let scene = Scene::of_tar();
        let truncate = |path: &Path| {
            let file = fs::File::options().write(true).open(path).expect("a file");
            file.set_len(length).expect("a length");
        };
        scene.check_gone(truncate, &[End::Cut], &Had::Nothing);
        scene.check_told_once("app.tar", says);
    };
    at_once(&[
        ("in a layer", &|| {
            check(LARGE as u64 / 2, "the archive is incomplete");
        }),
        ("to nothing", &|| check(0, "the file is empty")),
    ]);
}

/// What is there is what was there, whatever was done with the file: nobody is told otherwise, and what cannot be told
/// from another file is cut at worst.
#[test]
fn the_same_again() {
    let check = |ends: &[End], change: &dyn Fn(&Path)| {
        Scene::of_tar().check(change, ends, &whole(&old()));
    };
    // What follows the end of a tar is no part of it.
    let append = |path: &Path| {
        let mut file = fs::File::options().append(true).open(path).expect("a file");
        file.write_all(b"and more").expect("written");
    };
    let touch = |path: &Path| {
        let file = fs::File::options().write(true).open(path).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH).expect("a time");
    };
    let rename = |path: &Path| {
        let folder = path.with_file_name("deep").join("er");
        fs::create_dir_all(&folder).expect("a folder");
        fs::rename(path, folder.join("z.tar")).expect("a new name");
    };
    at_once(&[
        ("appended to", &|| check(&[End::Whole, End::Cut], &append)),
        ("touched", &|| check(&[End::Whole, End::Cut], &touch)),
        ("renamed", &|| check(&[End::Whole], &rename)),
    ]);
}

#[test]
fn deleted_and_put_back() {
    let scene = Scene::of_tar();
    let delete = |path: &Path| fs::remove_file(path).expect("deleted");
    scene.check_gone(delete, &[End::Whole], &Had::Nothing);
    let served = || eventually("it is served again", || scene.pulled() == whole(&old()));
    scene.packages.put("app.tar", archive(&old()));
    served();
    // Nobody has the time to notice that it was gone.
    let layer = old().layers[0].blob();
    let begun = Pull::begin(&scene.server, "acme/app", &layer);
    let publications = || scene.server.stderr().matches("Changed: now ").count();
    let before = publications();
    delete(&scene.path());
    scene.packages.put("app.tar", archive(&old()));
    eventually("it is noticed all the same", || publications() > before);
    served();
    assert_eq!(begun.end(), End::Whole);
}
