//! What is served at one moment: immutable, complete, and looked up without a disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Archive;
use super::blobs::{BlobMap, Located};
use super::names::{self, Names};
use crate::archive::{Document, Image, Problem, Repository as Key};
use crate::content::Content;
use crate::digest::Digest;
use crate::oci::{Host, MediaType, Name, Tag, version};

/// Everything that is served.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) archives: Box<[Arc<Archive>]>,
    pub(super) repositories: Box<[Repository]>,
    pub(super) names: Names,
    pub(super) blobs: BlobMap,
    pub(super) problems: Box<[Problem]>,
}

/// An image, by the numbers of its archive and of itself in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageRef {
    pub(super) archive: usize,
    pub(super) image: usize,
}

/// A repository: the images that archives put there, and what their tags mean.
#[derive(Debug)]
pub struct Repository {
    /// The registry and the name there.
    pub key: Key,
    /// The name to show; `None` where other repositories have taken all its names.
    pub shown: Option<String>,
    /// The tags of the archives.
    pub(super) tags: BTreeMap<Tag, ImageRef>,
    /// The tag that `latest` means where no archive has one.
    pub(super) latest: Option<Tag>,
    /// Everything in it, tagged or not, sorted.
    pub(super) images: Vec<ImageRef>,
    /// Subject to the manifests about it, as numbers of archive and document, sorted by digest.
    pub(super) referrers: BTreeMap<Digest, Vec<(usize, usize)>>,
}

/// A repository as one request sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'s> {
    snapshot: &'s Snapshot,
    repository: &'s Repository,
    /// Whoever asks for a host's images by `ns` gets what that host has, and no tag of ours.
    is_mirror: bool,
}

/// A manifest or an index that can be sent.
#[derive(Debug)]
pub struct Manifest {
    /// The type under which it is served.
    pub media_type: MediaType,
    /// Its bytes.
    pub content: Content,
}

impl Snapshot {
    /// The repository that `name` means, at the host `ns` if one is given.
    pub fn repository(&self, name: &Name, ns: Option<&Host>) -> Option<View<'_>> {
        let number = match ns {
            None => self.names.get(name.as_str())?,
            Some(host) => {
                let key = Key {
                    host: Some(host.clone()),
                    path: names::path_at(host, name),
                };
                self.repositories
                    .binary_search_by(|repository| repository.key.cmp(&key))
                    .ok()?
            }
        };
        Some(View {
            snapshot: self,
            repository: &self.repositories[number],
            is_mirror: ns.is_some(),
        })
    }

    /// All repositories, sorted by host and path.
    pub fn repositories(&self) -> impl Iterator<Item = View<'_>> {
        self.repositories.iter().map(|repository| View {
            snapshot: self,
            repository,
            is_mirror: false,
        })
    }

    /// The names to ask for the repositories of this host, where `ns` names one, or of all; in byte order.
    pub fn names(&self, ns: Option<&Host>) -> Vec<&str> {
        let mut names: Vec<&str> = match ns {
            None => self
                .repositories
                .iter()
                .filter_map(|repository| repository.shown.as_deref())
                .collect(),
            Some(_) => {
                let of_host = self
                    .repositories
                    .iter()
                    .filter(|repository| repository.key.host.as_ref() == ns);
                of_host
                    .map(|repository| repository.key.path.as_str())
                    .collect()
            }
        };
        names.sort_unstable();
        names
    }

    /// All archives, sorted by root and path.
    pub fn archives(&self) -> &[Arc<Archive>] {
        &self.archives
    }

    /// What is wrong, sorted by file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn image(&self, image: ImageRef) -> &Image {
        &self.archives[image.archive].found.images[image.image]
    }
}

impl<'s> View<'s> {
    /// The repository.
    pub fn repository(&self) -> &'s Repository {
        self.repository
    }

    /// The digest that `tag` means.
    pub fn resolve(&self, tag: &Tag) -> Option<&'s Digest> {
        self.tagged(tag).map(|image| &image.root)
    }

    /// The image that `tag` means.
    pub fn tagged(&self, tag: &Tag) -> Option<&'s Image> {
        self.find(tag).map(|image| self.snapshot.image(image))
    }

    /// The archive that holds what `tag` means.
    pub fn archive_of(&self, tag: &Tag) -> Option<&'s Archive> {
        self.find(tag)
            .map(|image| &*self.snapshot.archives[image.archive])
    }

    fn find(&self, tag: &Tag) -> Option<ImageRef> {
        let tag = match self.automatic() {
            Some(target) if tag.as_str() == "latest" => target,
            _ => tag,
        };
        self.repository.tags.get(tag).copied()
    }

    /// The tag that `latest` means here without any archive saying so.
    pub fn automatic(&self) -> Option<&'s Tag> {
        self.repository.latest.as_ref().filter(|_| !self.is_mirror)
    }

    /// All tags in byte order, an automatic `latest` among them.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags: Vec<Tag> = self.repository.tags.keys().cloned().collect();
        if self.automatic().is_some() {
            tags.push(Tag::latest());
            tags.sort();
        }
        tags
    }

    /// All tags as people want to see them: the newest version first.
    pub fn tags_by_version(&self) -> Vec<Tag> {
        let mut tags = self.tags();
        tags.sort_by(|a, b| version::newest_first(a.as_str(), b.as_str()));
        tags
    }

    /// All images, tagged or not, each with its archive.
    pub fn images(&self) -> impl Iterator<Item = (&'s Archive, &'s Image)> {
        let snapshot = self.snapshot;
        let with_archive =
            move |image: &ImageRef| (&*snapshot.archives[image.archive], snapshot.image(*image));
        self.repository.images.iter().map(with_archive)
    }

    /// The length of `digest`, if an image of this repository reaches it: what does not is not served here.
    fn size_of(&self, digest: &Digest) -> Option<u64> {
        let mut last: Option<(usize, Option<u32>)> = None;
        self.repository.images.iter().find_map(|at| {
            let found = &self.snapshot.archives[at.archive].found;
            // The images of one archive stand together, and share its table of digests.
            let position = match last {
                Some((archive, position)) if archive == at.archive => position,
                _ => found.position(digest),
            };
            last = Some((at.archive, position));
            let position = position.filter(|position| found.images[at.image].reaches(*position))?;
            Some(found.sizes[position as usize])
        })
    }

    /// The copies of `digest` that are `size` bytes long, the most trusted ones first: those of archives
    /// that put images here, those of archives whose images hold it, and then what merely lies somewhere
    /// under its name.
    fn copies(&self, digest: &Digest, size: u64) -> Vec<Located> {
        let is_ours = |archive: usize| {
            self.repository
                .images
                .iter()
                .any(|image| image.archive == archive)
        };
        let trust = |located: &Located| {
            let holds = self.snapshot.archives[located.archive]
                .found
                .position(digest)
                .is_some();
            match (is_ours(located.archive), holds) {
                (true, true) => 0,
                (_, true) => 1,
                (_, false) => 2,
            }
        };
        let mut copies: Vec<Located> = self
            .snapshot
            .blobs
            .copies(digest)
            .filter(|located| located.copy.claim().len() == size)
            .collect();
        if copies.len() > 1 {
            copies.sort_by_cached_key(trust);
        }
        copies
    }

    /// The manifest or index `digest`.
    pub fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let size = self.size_of(digest)?;
        let mut media_type = None;
        let mut copies = self.copies(digest, size);
        // Another archive may hold what this one lacks; where it was not read as a document it was not hashed.
        copies.retain(|located| {
            let document = self.snapshot.archives[located.archive]
                .found
                .document(digest);
            let known = document.map(|document| &document.media_type);
            media_type = media_type.take().or(known.cloned());
            known.is_some()
        });
        Some(Manifest {
            media_type: media_type?,
            content: content(copies, size),
        })
    }

    /// The bytes of the blob `digest`.
    pub fn blob(&self, digest: &Digest) -> Option<Content> {
        let size = self.size_of(digest)?;
        let copies = self.copies(digest, size);
        (!copies.is_empty()).then(|| content(copies, size))
    }

    /// The manifests here whose subject is `digest`, sorted by their own.
    pub fn referrers(&self, digest: &Digest) -> impl Iterator<Item = &'s Document> {
        let snapshot = self.snapshot;
        let about = self.repository.referrers.get(digest).into_iter().flatten();
        about
            .map(move |(archive, document)| &snapshot.archives[*archive].found.documents[*document])
    }
}

fn content(copies: Vec<Located>, size: u64) -> Content {
    Content::blob(
        copies.into_iter().map(|located| located.copy).collect(),
        size,
    )
}
