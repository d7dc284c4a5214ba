//! The images and the archives that the folder gets, made once, and what a registry has to make of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::random::Random;
use crate::fixture::{
    Blob, DockerArchive, Image, Index, Layer, Layout, Naming, Node, Tree, blob_path,
};
use crate::packages::tar;

/// The number of a blob in the pool: of a manifest, a configuration or a layer.
pub(super) type Id = usize;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All that may ever be in the folder.
pub(super) struct Pool {
    pub(super) blobs: Vec<Blob>,
    /// Which of them are manifests or indexes.
    pub(super) manifests: BTreeSet<Id>,
    /// What has its place in the folder, with the versions that it may have.
    pub(super) plans: Vec<Plan>,
    images: Vec<Known>,
    /// The index that is made of two images for different platforms.
    made: HashMap<[usize; 2], Id>,
}

/// What an image is to the model.
struct Known {
    root: Id,
    /// `None` if it is an index.
    platform: Option<&'static str>,
    created: &'static str,
    /// Itself and all below.
    reach: BTreeSet<Id>,
}

/// What has its place in the folder.
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) versions: Vec<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tar.
    File,
    /// A layout that is a folder.
    Layout,
    /// A folder with several tars.
    Shelf,
    /// A link to one of several such folders.
    Link,
}

/// What is put at one place.
pub(super) struct Version {
    pub(super) stored: Stored,
    pub(super) offer: Arc<Offer>,
    /// What it is until layers have been hashed whose digests nothing tells.
    pub(super) pending: Option<Arc<Offer>>,
    /// Where its layers lie in the tar.
    pub(super) layers: Vec<(Id, Range<usize>)>,
}

pub(super) enum Stored {
    File(Vec<u8>),
    Layout(Tree),
    Shelf(Vec<(&'static str, Vec<u8>)>),
}

/// What one place gives to the registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    pub(super) entries: Vec<Entry>,
    pub(super) holds: BTreeSet<Id>,
    /// What it holds and cannot be read now.
    pub(super) locked: BTreeSet<Id>,
    /// What is there under a digest that the bytes do not have.
    pub(super) damaged: BTreeMap<Id, Arc<[u8]>>,
}

/// An image under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) repository: &'static str,
    pub(super) tag: &'static str,
    image: usize,
}

impl Offer {
    /// Whether it has something of this digest, be it right or not.
    pub(super) fn claims(&self, id: Id) -> bool {
        self.has(id) || self.damaged.contains_key(&id)
    }

    /// Whether it has the bytes of this digest, be they readable or not.
    pub(super) fn has(&self, id: Id) -> bool {
        self.holds.contains(&id) || self.locked.contains(&id)
    }
}

/// What a repository is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) tags: BTreeMap<String, Id>,
    /// What may be asked for.
    pub(super) reach: BTreeSet<Id>,
}

impl View {
    /// A repository without images is none.
    pub(super) fn is_there(&self) -> bool {
        !self.reach.is_empty()
    }
}

impl Pool {
    /// The repository that these offers make.
    pub(super) fn view(&self, repository: &str, offers: &[&Offer]) -> View {
        let entries = offers.iter().flat_map(|offer| &offer.entries);
        let mut view = View::default();
        let mut claims: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for entry in entries.filter(|entry| entry.repository == repository) {
            view.reach.extend(&self.images[entry.image].reach);
            claims.entry(entry.tag).or_default().push(entry.image);
        }
        for (tag, images) in claims {
            let root = self.target(&images);
            view.reach.insert(root);
            view.tags.insert(tag.to_owned(), root);
        }
        let numbers = view.tags.keys().filter_map(|tag| tag.parse::<u32>().ok());
        if let Some(latest) = numbers.max() {
            let root = view.tags[&latest.to_string()];
            view.tags.insert("latest".to_owned(), root);
        }
        view
    }

    /// What a tag means that several images claim: of each platform the one that was made last.
    fn target(&self, images: &[usize]) -> Id {
        let mut winners: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        for image in images {
            let Known {
                platform, created, ..
            } = &self.images[*image];
            let winner = winners.entry(*platform).or_insert(*image);
            if self.images[*winner].created < *created {
                *winner = *image;
            }
        }
        let winners: Vec<usize> = winners.into_values().collect();
        match winners[..] {
            [winner] => self.images[winner].root,
            [one, two] => self.made[&[one, two]],
            _ => panic!("the pool has images for two platforms at most"),
        }
    }

    /// Whether these bytes lie in no archive, because they are made.
    pub(super) fn is_made(&self, id: Id) -> bool {
        self.made.values().any(|made| *made == id)
    }

    /// Every repository that there may be.
    pub(super) fn repositories(&self) -> BTreeSet<&'static str> {
        let entries = self.entries();
        entries.map(|entry| entry.repository).collect()
    }

    /// Every tag that a repository may have.
    pub(super) fn tags(&self, repository: &str) -> BTreeSet<&'static str> {
        let entries = self
            .entries()
            .filter(|entry| entry.repository == repository);
        let tags = entries.map(|entry| entry.tag);
        tags.chain(["latest"]).collect()
    }

    /// Everything that may be asked for in a repository.
    pub(super) fn reach(&self, repository: &str) -> BTreeSet<Id> {
        let entries = self
            .entries()
            .filter(|entry| entry.repository == repository);
        let images: BTreeSet<usize> = entries.map(|entry| entry.image).collect();
        let made = self.made.iter();
        let made = made.filter(|(parts, _)| parts.iter().all(|part| images.contains(part)));
        let reach = images.iter().flat_map(|image| &self.images[*image].reach);
        reach.chain(made.map(|(_, id)| id)).copied().collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let versions = self.plans.iter().flat_map(|plan| &plan.versions);
        versions.flat_map(|version| &version.offer.entries)
    }

    pub(super) fn id(&self, digest: &str) -> Option<Id> {
        self.blobs.iter().position(|blob| blob.digest == digest)
    }
}

/// Makes the pool.
struct Maker {
    pool: Pool,
    random: Random,
    /// For the indexes that are made of them.
    made_of: Vec<(usize, Image)>,
}

impl Maker {
    fn layer(&mut self, length: usize) -> Layer {
        Layer::raw(self.random.bytes(length))
    }

    fn blob(&mut self, blob: Blob) -> Id {
        let known = self.pool.id(&blob.digest);
        known.unwrap_or_else(|| {
            self.pool.blobs.push(blob);
            self.pool.blobs.len() - 1
        })
    }

    fn image(&mut self, image: &Image, platform: &'static str, created: &'static str) -> usize {
        let blobs = image.blobs().into_iter();
        let blobs: Vec<Id> = blobs.map(|blob| self.blob(blob)).collect();
        self.pool.manifests.insert(blobs[0]);
        self.know(Known {
            root: blobs[0],
            platform: Some(platform),
            created,
            reach: blobs.into_iter().collect(),
        })
    }

    fn index(&mut self, index: &Index, parts: &[usize]) -> usize {
        let root = self.blob(index.manifest());
        self.pool.manifests.insert(root);
        let reach = parts.iter().flat_map(|part| &self.pool.images[*part].reach);
        let reach = reach.copied().chain([root]).collect();
        self.know(Known {
            root,
            platform: None,
            created: "",
            reach,
        })
    }

    fn know(&mut self, known: Known) -> usize {
        self.pool.images.push(known);
        self.pool.images.len() - 1
    }

    /// An archive that holds all of these images.
    fn offer(&self, entries: &[(&'static str, &'static str, usize)]) -> Offer {
        let reach = entries
            .iter()
            .flat_map(|(_, _, image)| &self.pool.images[*image].reach);
        let holds = reach.copied().collect();
        let entries = entries.iter().map(|(repository, tag, image)| Entry {
            repository,
            tag,
            image: *image,
        });
        Offer {
            entries: entries.collect(),
            holds,
            ..Offer::default()
        }
    }

    fn file(&self, bytes: Vec<u8>, entries: &[(&'static str, &'static str, usize)]) -> Version {
        let offer = self.offer(entries);
        Version {
            layers: self.layers(&bytes, &offer),
            stored: Stored::File(bytes),
            offer: Arc::new(offer),
            pending: None,
        }
    }

    /// Where in a tar the layers of `offer` lie.
    fn layers(&self, bytes: &[u8], offer: &Offer) -> Vec<(Id, Range<usize>)> {
        let mut archive = ::tar::Archive::new(bytes);
        let entries = archive.entries().expect("a tar").map(|entry| {
            let entry = entry.expect("a member");
            let start = usize::try_from(entry.raw_file_position()).expect("small");
            start..start + usize::try_from(entry.size()).expect("small")
        });
        let member = |range: Range<usize>| {
            let holds = offer.holds.iter();
            let mut layers = holds.filter(|id| self.pool.blobs[**id].bytes.len() > 16 * KIB);
            let id = layers.find(|id| self.pool.blobs[**id].bytes == bytes[range.clone()])?;
            Some((*id, range))
        };
        entries.filter_map(member).collect()
    }

    fn plan(&mut self, name: &'static str, kind: Kind, versions: Vec<Version>) {
        self.pool.plans.push(Plan {
            name,
            kind,
            versions,
        });
    }
}

/// An image for linux/amd64.
fn image(title: &str, created: &str, layers: &[&Layer]) -> Image {
    let layers: Vec<Layer> = layers.iter().map(|layer| (*layer).clone()).collect();
    Image::new(title).created(created).layers(layers)
}

const AMD64: &str = "linux/amd64";
const ARM64: &str = "linux/arm64";
const T1: &str = "2021-01-01T00:00:00Z";
const T2: &str = "2022-01-01T00:00:00Z";
const T3: &str = "2023-01-01T00:00:00Z";
const T4: &str = "2024-01-01T00:00:00Z";

const APP: &str = "acme/app";

/// A full name, as layouts have it.
fn full(repository: &str, tag: &str) -> String {
    format!("docker.io/{repository}:{tag}")
}

fn docker(naming: Naming, images: &[(&Image, &str)]) -> Vec<u8> {
    let archive = DockerArchive::new(naming);
    let archive = images.iter().fold(archive, |archive, (image, name)| {
        archive.image(image, Some(&[name]))
    });
    archive.tar()
}

fn layout(node: &impl Node, names: &[(&str, &str)]) -> Layout {
    names
        .iter()
        .fold(Layout::new(), |layout, (repository, tag)| {
            layout.named(node, &full(repository, tag))
        })
}

impl Pool {
    pub(super) fn new() -> Self {
        let mut maker = Maker {
            pool: Self {
                blobs: Vec::new(),
                manifests: BTreeSet::new(),
                plans: Vec::new(),
                images: Vec::new(),
                made: HashMap::new(),
            },
            // The archives are the same in every run: what is done with them differs.
            random: Random::new(1),
            made_of: Vec::new(),
        };
        let base = maker.layer(3 * MIB);
        maker.app(&base);
        maker.multi_platform();
        maker.parts();
        maker.pending();
        maker.layout_folder(&base);
        maker.shelf("pair", Kind::Shelf, "acme/pair");
        maker.shelf("linked", Kind::Link, "acme/linked");
        maker.sparse(&base);
        maker.made();
        maker.pool
    }
}

impl Maker {
    /// Three places that contradict each other about the tags of one repository; two of them may hold the same image.
    fn app(&mut self, base: &Layer) {
        let (small, large) = (self.layer(20 * KIB), self.layer(2 * MIB));
        let images = [
            image("a1", T1, &[base, &self.layer(MIB), &small]),
            image("a2", T3, &[base, &large]),
            image("a3", T1, &[&self.layer(MIB)]),
        ];
        let names: [&[(&str, &str)]; 3] =
            [&[(APP, "1"), (APP, "stable")], &[(APP, "1")], &[(APP, "2")]];
        let known = [T1, T3, T1].into_iter().zip(&images);
        let known: Vec<usize> = known
            .map(|(created, image)| self.image(image, AMD64, created))
            .collect();
        for place in ["first", "second"] {
            let mut versions = Vec::new();
            for ((image, names), known) in images.iter().zip(names).zip(&known) {
                let entries = names.iter().map(|(name, tag)| (*name, *tag, *known));
                let entries: Vec<_> = entries.collect();
                versions.push(self.file(layout(image, names).tar(), &entries));
            }
            self.plan(place, Kind::File, versions);
        }
        let b1 = image("b1", T2, &[base, &self.layer(MIB + MIB / 2)]);
        let b2 = image("b2", T4, &[&self.layer(4 * MIB), &small]);
        let known = [self.image(&b1, AMD64, T2), self.image(&b2, AMD64, T4)];
        let versions = vec![
            self.file(
                docker(Naming::Docker20, &[(&b1, "acme/app:1")]),
                &[(APP, "1", known[0])],
            ),
            self.file(
                docker(Naming::Hybrid, &[(&b2, "acme/app:3")]),
                &[(APP, "3", known[1])],
            ),
        ];
        self.plan("docker", Kind::File, versions);
    }

    /// An index in one archive.
    fn multi_platform(&mut self) {
        let common = self.layer(MIB);
        let amd64 = image("multi", T1, &[&common, &self.layer(MIB)]);
        let arm64 = image("multi", T1, &[&common, &self.layer(MIB)]).platform(ARM64);
        let parts = [self.image(&amd64, AMD64, T1), self.image(&arm64, ARM64, T1)];
        let index = Index::new().with(&amd64).with(&arm64);
        let known = self.index(&index, &parts);
        let repository = "acme/multi";
        let versions = vec![
            self.file(
                layout(&index, &[(repository, "1")]).tar(),
                &[(repository, "1", known)],
            ),
            self.file(
                layout(&amd64, &[(repository, "1")]).tar(),
                &[(repository, "1", parts[0])],
            ),
        ];
        self.plan("multi", Kind::File, versions);
    }

    /// Two places whose images are for different platforms, so that an index is made of them.
    fn parts(&mut self) {
        let (repository, name) = ("acme/parts", "acme/parts:1");
        for (place, naming, platform) in [
            ("amd64", Naming::Skopeo, AMD64),
            ("arm64", Naming::Hybrid, ARM64),
        ] {
            let mut versions = Vec::new();
            for created in [T1, T2] {
                let title = format!("{place} {created}");
                let image = image(&title, created, &[&self.layer(MIB)]).platform(platform);
                let known = self.image(&image, platform, created);
                versions.push(self.file(
                    docker(naming, &[(&image, name)]),
                    &[(repository, "1", known)],
                ));
                self.made_of.push((known, image));
            }
            self.plan(place, Kind::File, versions);
        }
    }

    /// A Docker archive whose gzip-ed layers have to be hashed before it is known what they are.
    fn pending(&mut self) {
        let repository = "acme/pending";
        let mut versions = Vec::new();
        for (created, length) in [(T1, 2 * MIB), (T2, MIB)] {
            let gzip = image(
                &format!("gzip {created}"),
                created,
                &[&self.layer(length).gzip()],
            )
            .canonical();
            let plain = image(
                &format!("plain {created}"),
                created,
                &[&self.layer(MIB / 2)],
            );
            let known = [
                self.image(&gzip, AMD64, created),
                self.image(&plain, AMD64, created),
            ];
            let images = [(&gzip, "acme/pending:1"), (&plain, "acme/pending:2")];
            let entries = [(repository, "1", known[0]), (repository, "2", known[1])];
            let mut version = self.file(docker(Naming::Legacy, &images), &entries);
            version.pending = Some(Arc::new(self.offer(&entries[1..])));
            versions.push(version);
        }
        self.plan("pending", Kind::File, versions);
    }

    fn layout_folder(&mut self, base: &Layer) {
        let repository = "acme/folder";
        let images = [
            image("f1", T1, &[base, &self.layer(MIB)]),
            image("f2", T2, &[&self.layer(2 * MIB), &self.layer(30 * KIB)]),
        ];
        let versions = images.iter().map(|image| {
            let known = self.image(image, AMD64, T1);
            Version {
                stored: Stored::Layout(layout(image, &[(repository, "1")]).tree()),
                offer: Arc::new(self.offer(&[(repository, "1", known)])),
                pending: None,
                layers: Vec::new(),
            }
        });
        let versions = versions.collect();
        self.plan("layout", Kind::Layout, versions);
    }

    /// Folders of two archives that have tags in one repository: half of one and half of the other is seen in a list of tags.
    fn shelf(&mut self, name: &'static str, kind: Kind, repository: &'static str) {
        let mut versions = Vec::new();
        for tags in [["left-1", "right-1"], ["left-2", "right-2"]] {
            let (mut files, mut entries) = (Vec::new(), Vec::new());
            for (file, tag) in ["left.tar", "right.tar"].into_iter().zip(tags) {
                let image = image(&format!("{name} {tag}"), T1, &[&self.layer(MIB / 2)]);
                entries.push((repository, tag, self.image(&image, AMD64, T1)));
                files.push((file, layout(&image, &[(repository, tag)]).tar()));
            }
            versions.push(Version {
                stored: Stored::Shelf(files),
                offer: Arc::new(self.offer(&entries)),
                pending: None,
                layers: Vec::new(),
            });
        }
        self.plan(name, kind, versions);
    }

    /// An archive that lacks a layer which others have.
    fn sparse(&mut self, base: &Layer) {
        let repository = "acme/sparse";
        let image = image("sparse", T1, &[base, &self.layer(MIB / 2)]);
        let known = self.image(&image, AMD64, T1);
        let tree = layout(&image, &[(repository, "1")]).tree();
        let tree = tree.remove(&blob_path(&base.blob().digest));
        let mut version = self.file(tar(&tree), &[(repository, "1", known)]);
        let mut offer = (*version.offer).clone();
        let base = self
            .pool
            .id(&base.blob().digest)
            .expect("it is in the pool");
        offer.holds.remove(&base);
        version.offer = Arc::new(offer);
        self.plan("sparse", Kind::File, vec![version]);
    }

    /// Every index that may be made.
    fn made(&mut self) {
        let images = std::mem::take(&mut self.made_of);
        let (amd64, arm64) = images.split_at(images.len() / 2);
        for (one, first) in amd64 {
            for (two, second) in arm64 {
                let index = Index::new().with(first).with(second);
                let id = self.blob(index.manifest());
                self.pool.manifests.insert(id);
                self.pool.made.insert([*one, *two], id);
            }
        }
    }
}
