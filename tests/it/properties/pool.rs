//! The archives of the properties: they overlap in names, layers and platforms, complete each other and contradict each
//! other. Each has two versions.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::fixture::{
    Custom, DockerArchive, Image, Index, Layer, Layout, Naming, Node, Packing, Tree, blob_path,
};
use crate::packages::Packages;

/// How many archives there are.
pub(super) const POOL: usize = 23;

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
        let (name, version) = ARCHIVES[which];
        match version(is_second) {
            Content::File(bytes) => self.packages.put(name, bytes),
            Content::Folder(tree) => self.packages.put_folder(name, &tree),
        }
        // A file system may give the next file the number of the last one, at the same time by its coarse clock.
        self.time.set(self.time.get() + 1);
        self.date(&self.path().join(name));
    }

    pub(super) fn remove(&self, which: usize) {
        let (name, _) = ARCHIVES[which];
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

/// An image of this platform under the name that the archive has else for another one.
fn newer(platform: &str) -> Image {
    image("newer", platform, 25)
}

fn amd64_or_newer(is_second: bool) -> Image {
    if is_second {
        newer("linux/amd64")
    } else {
        amd64()
    }
}

/// Of the second version the platform is one that other archives have.
fn arm64_or_newer(is_second: bool) -> Image {
    if is_second {
        newer("linux/amd64")
    } else {
        arm64()
    }
}

/// Says that a layer of others has one byte, and has one instead of it.
fn liar() -> Content {
    let image = arm64();
    let layer = image.layers[1].blob();
    let mut lie: Value = serde_json::from_slice(&image.manifest().bytes).expect("JSON");
    lie["layers"][1]["size"] = json!(1);
    let kept = image.blobs().into_iter().skip(1);
    let kept = kept.filter(|blob| blob.digest != layer.digest);
    let lie = Custom::new(&image.descriptor().media_type, &lie).holding(kept);
    let tree = Layout::new()
        .named(&lie, "docker.io/library/app:liar")
        .tree();
    let tree = tree.file(&blob_path(&layer.digest), "x");
    Content::File(tree.tar(&Packing::SORTED))
}

/// Where an archive lies, and each of its two versions: the first ones make sense together, the second ones are other images
/// of the same names.
type Archive = (&'static str, fn(bool) -> Content);

const ARCHIVES: [Archive; POOL] = [
    ("one/amd64.tar", |second| {
        docker(Naming::Docker20, &[(&amd64_or_newer(second), "app:1")])
    }),
    ("one/arm64.tar", |second| {
        docker(
            Naming::Skopeo,
            &[(&arm64_or_newer(second), "docker.io/library/app:1")],
        )
    }),
    ("two/amd64.tar", |second| {
        docker(Naming::Hybrid, &[(&amd64_or_newer(second), "app:1")])
    }),
    ("two/index.tar", |second| {
        let index = Index::new().with(&amd64_or_newer(second)).with(&arm64());
        layout(&index, "docker.io/library/app:1")
    }),
    ("one/rival.tar", |second| {
        let platform = if second { "linux/s390x" } else { "linux/amd64" };
        layout(&image("rival", platform, 21), "app:1")
    }),
    ("one/sparse.tar", |_| {
        without(
            &Layout::new().named(&inner(), "example.com/app:2"),
            &s390x(),
        )
    }),
    ("two/half.tar", |_| {
        without(
            &Layout::new().named(&inner(), "example.com/app:2"),
            &amd64(),
        )
    }),
    ("two/s390x.tar", |second| {
        let image = if second {
            newer("linux/s390x")
        } else {
            s390x()
        };
        layout(&image, "example.com:5000/app:s390x")
    }),
    ("one/nested.tar", |second| {
        let outer = Index::new().with(&inner()).with(&arm64());
        let layout = Layout::new().named(&outer, "localhost/nested:1");
        if second {
            Content::File(layout.tar())
        } else {
            without(&layout, &inner())
        }
    }),
    ("one/signed.tar", |second| {
        let image = amd64_or_newer(second);
        let layout = Layout::new().named(&image, "ghcr.io/library/app:1");
        Content::File(layout.entry(&signature(&image), &[]).tar())
    }),
    ("two/signature.tar", |_| {
        layout(&signature(&amd64()), "app:sig")
    }),
    ("one/team/app", |second| {
        let layout = Layout::new()
            .named(&amd64_or_newer(second), "1")
            .named(&arm64(), "2");
        Content::Folder(layout.tree())
    }),
    ("two/team/app.tar", |second| {
        layout(&arm64_or_newer(second), "1")
    }),
    ("one/nameless.tar", |second| {
        Content::File(Layout::new().entry(&amd64_or_newer(second), &[]).tar())
    }),
    ("two/nameless.tar", |second| {
        Content::File(Layout::new().entry(&arm64_or_newer(second), &[]).tar())
    }),
    ("one/damaged.tar", |second| {
        let tree = Layout::new().named(&amd64(), "quay.io/app:1.0").tree();
        let path = blob_path(&amd64().layers[1].blob().digest);
        let tree = if second {
            tree.replace(&path, "short")
        } else {
            tree.remove(&path)
        };
        Content::File(tree.tar(&Packing::SORTED))
    }),
    ("one/ghcr.io/library/app", |second| {
        Content::Folder(Layout::new().named(&amd64_or_newer(second), "bare").tree())
    }),
    ("two/bad.tar", |second| {
        Content::File(if second { Vec::new() } else { b"no tar".into() })
    }),
    ("two/fallback.tar", |_| {
        let tag = amd64().digest().replace(':', "-");
        let list = Index::new().with(&signature(&amd64()));
        layout(&list, &format!("ghcr.io/library/app:{tag}"))
    }),
    ("two/pending.tar", |second| {
        let gzip = Layer::files(&[("text", b"gzip")]).gzip();
        let image = arm64_or_newer(second).layers([gzip]);
        docker(
            Naming::Legacy,
            &[(&image, "app:gzip"), (&amd64(), "app:1.1+x")],
        )
    }),
    ("one/many.tar", |second| {
        let names = ["team/app:1", "team/app:1", "ghcr.io/team/app:3"];
        let images = [amd64_or_newer(second), arm64(), s390x()];
        let items: Vec<_> = images.iter().zip(names).collect();
        docker(Naming::Docker20, &items)
    }),
    ("two/artifact.tar", |_| {
        layout(&signature(&inner()), "docker.io/library/app:1")
    }),
    ("one/liar.tar", |_| liar()),
];
