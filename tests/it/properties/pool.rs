//! The archives of the properties: they overlap in names, layers and platforms, complete each other and contradict each
//! other. Each has two versions.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::fixture::{
    DockerArchive, Image, Index, Layer, Layout, Naming, Node, Packing, Tree, blob_path,
};
use crate::packages::Packages;

/// How many archives there are.
pub(super) const POOL: usize = 22;

/// Hosts to ask for.
pub(super) const HOSTS: [&str; 4] = ["docker.io", "ghcr.io", "example.com", "example.com:5000"];

/// Names to ask for.
pub(super) const NAMES: [&str; 14] = [
    "app",
    "library/app",
    "docker.io/library/app",
    "docker.io/app",
    "ghcr.io/library/app",
    "ghcr.io/app",
    "example.com/app",
    "localhost/app",
    "nested",
    "localhost/nested",
    "team/app",
    "nameless",
    "ghcr.io/team/app",
    "quay.io/app",
];

/// A packages folder of two roots, in which every archive has its place.
pub(super) struct Shelf {
    packages: Packages,
    /// Of the files that were put here; each is one step later than the one before.
    time: Cell<u64>,
}

impl Shelf {
    pub(super) fn new() -> Self {
        let packages = Packages::new();
        for root in ["one", "two"] {
            fs::create_dir(packages.path().join(root)).expect("a folder");
        }
        Self {
            packages,
            time: Cell::new(0),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.packages.path()
    }

    pub(super) fn roots(&self) -> [PathBuf; 2] {
        ["one", "two"].map(|root| self.path().join(root))
    }

    /// Puts an archive there, in place of another version of it.
    pub(super) fn put(&self, which: usize, is_second: bool) {
        self.remove(which);
        let (name, content) = archive(which, is_second);
        match content {
            Content::File(bytes) => self.packages.put(name, bytes),
            Content::Folder(tree) => self.packages.put_folder(name, &tree),
        }
        // A file system may give the next file the number of the last one, at the same time by its coarse clock.
        self.time.set(self.time.get() + 1);
        self.date(&self.path().join(name));
    }

    pub(super) fn remove(&self, which: usize) {
        let (name, _) = archive(which, false);
        if self.path().join(name).exists() {
            self.packages.remove(name);
        }
    }

    fn date(&self, path: &Path) {
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a folder") {
                self.date(&entry.expect("an entry").path());
            }
        } else {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.time.get());
            let file = File::options().write(true).open(path).expect("a file");
            file.set_modified(time).expect("another time");
        }
    }
}

enum Content {
    File(Vec<u8>),
    Folder(Tree),
}

fn image(title: &str, platform: &str, created: u32) -> Image {
    let created = format!("20{created:02}-01-01T00:00:00Z");
    let layers = ["common", title].map(|text| Layer::files(&[("text", text.as_bytes())]));
    let image = Image::new(title).platform(platform).layers(layers);
    image.created(&created)
}

fn amd64() -> Image {
    image("amd64", "linux/amd64", 20)
}

fn arm64() -> Image {
    image("arm64", "linux/arm64/v8", 20)
}

fn s390x() -> Image {
    image("s390x", "linux/s390x", 20)
}

fn inner() -> Index {
    Index::new().with(&amd64()).with(&s390x())
}

fn signature(subject: &impl Node) -> Image {
    let signature = Image::new("signature").artifact_type("application/x.signature");
    let signature = signature.layers([Layer::raw("signed")]);
    signature.subject(subject)
}

fn docker(naming: Naming, images: &[(&Image, &str)]) -> Content {
    let archive = DockerArchive::new(naming);
    let archive = images.iter().fold(archive, |archive, (image, name)| {
        archive.image(image, Some(&[name]))
    });
    Content::File(archive.tar())
}

fn layout(node: &impl Node, name: &str) -> Content {
    Content::File(Layout::new().named(node, name).tar())
}

/// A layout in which `part` and all that it reaches is missing.
fn without(layout: &Layout, part: &impl Node) -> Content {
    let parts = part.blobs().into_iter();
    let tree = parts.fold(layout.tree(), |tree, blob| {
        let path = blob_path(&blob.digest);
        // Layers may be shared with what stays.
        if tree.names().contains(&path.as_str()) {
            tree.remove(&path)
        } else {
            tree
        }
    });
    Content::File(tree.tar(&Packing::SORTED))
}

/// Where an archive lies and what is in it. The first versions make sense together; the second ones are other images of the
/// same names.
fn archive(which: usize, is_second: bool) -> (&'static str, Content) {
    let newer = |platform: &str| image("newer", platform, 25);
    let pick = |first: Image, platform: &str| if is_second { newer(platform) } else { first };
    let amd = pick(amd64(), "linux/amd64");
    match which {
        0 => (
            "one/amd64.tar",
            docker(Naming::Docker20, &[(&amd, "app:1")]),
        ),
        1 => (
            "one/arm64.tar",
            docker(
                Naming::Skopeo,
                &[(&pick(arm64(), "linux/arm64"), "docker.io/library/app:1")],
            ),
        ),
        2 => ("two/amd64.tar", docker(Naming::Hybrid, &[(&amd, "app:1")])),
        3 => (
            "two/index.tar",
            layout(
                &Index::new().with(&amd).with(&arm64()),
                "docker.io/library/app:2",
            ),
        ),
        4 => (
            "one/rival.tar",
            layout(
                &pick(image("rival", "linux/amd64", 21), "linux/s390x"),
                "app:1",
            ),
        ),
        5 => (
            "one/sparse.tar",
            without(
                &Layout::new().named(&inner(), "example.com/app:2"),
                &s390x(),
            ),
        ),
        6 => (
            "two/half.tar",
            without(
                &Layout::new().named(&inner(), "example.com/app:2"),
                &amd64(),
            ),
        ),
        7 => (
            "two/s390x.tar",
            layout(&pick(s390x(), "linux/s390x"), "example.com:5000/app:s390x"),
        ),
        8 => {
            let outer = Index::new().with(&inner()).with(&arm64());
            let layout = Layout::new().named(&outer, "localhost/nested:1");
            (
                "one/nested.tar",
                if is_second {
                    Content::File(layout.tar())
                } else {
                    without(&layout, &inner())
                },
            )
        }
        9 => (
            "one/signed.tar",
            Content::File(
                Layout::new()
                    .named(&amd, "ghcr.io/library/app:1")
                    .entry(&signature(&amd), &[])
                    .tar(),
            ),
        ),
        10 => ("two/signature.tar", layout(&signature(&amd64()), "app:sig")),
        11 => (
            "one/team/app",
            Content::Folder(Layout::new().named(&amd, "1").named(&arm64(), "2").tree()),
        ),
        12 => (
            "two/team/app.tar",
            layout(&pick(arm64(), "linux/amd64"), "1"),
        ),
        13 => (
            "one/nameless.tar",
            Content::File(Layout::new().entry(&amd, &[]).tar()),
        ),
        14 => (
            "two/nameless.tar",
            Content::File(
                Layout::new()
                    .entry(&pick(arm64(), "linux/arm64"), &[])
                    .tar(),
            ),
        ),
        15 => {
            let layout = Layout::new().named(&amd64(), "quay.io/app:1.0");
            let layer = Layer::files(&[("text", b"amd64")]).blob();
            let tree = layout.tree();
            let path = blob_path(&layer.digest);
            let tree = if is_second {
                tree.corrupt(&path)
            } else {
                tree.remove(&path)
            };
            ("one/damaged.tar", Content::File(tree.tar(&Packing::SORTED)))
        }
        16 => (
            "one/ghcr.io/library/app",
            Content::Folder(Layout::new().named(&amd, "bare").tree()),
        ),
        17 => (
            "two/bad.tar",
            Content::File(if is_second {
                Vec::new()
            } else {
                b"no tar".into()
            }),
        ),
        18 => {
            let tag = format!("ghcr.io/library/app:{}", amd64().digest().replace(':', "-"));
            let list = Index::new().with(&signature(&amd64()));
            ("two/fallback.tar", layout(&list, &tag))
        }
        19 => {
            let gzip = Layer::files(&[("text", b"gzip")]).gzip();
            let image = pick(arm64(), "linux/amd64").layers([gzip]);
            (
                "two/pending.tar",
                docker(
                    Naming::Legacy,
                    &[(&image, "app:gzip"), (&amd64(), "app:1.1+x")],
                ),
            )
        }
        20 => (
            "one/many.tar",
            docker(
                Naming::Docker20,
                &[
                    (&amd, "team/app:1"),
                    (&arm64(), "team/app:1"),
                    (&s390x(), "ghcr.io/team/app:3"),
                ],
            ),
        ),
        _ => (
            "two/artifact.tar",
            layout(&signature(&inner()), "docker.io/library/app:1"),
        ),
    }
}
