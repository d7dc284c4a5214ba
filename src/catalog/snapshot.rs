//! What is served at one moment: immutable, complete, and looked up without a disk.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Archive;
use super::blobs::{BlobMap, Located};
use super::names::{self, Names};
use super::repository::{Coalesced, Holding, Repository, Target};
use crate::archive::{Document, Image, Problem, Repository as Key};
use crate::content::{Content, Copy};
use crate::digest::Digest;
use crate::oci::{Host, MediaType, Name, Tag, version};

/// A blob that lies in more places than these is had from these.
const MAX_COPIES: usize = 16;

/// Everything that is served.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) archives: Box<[Arc<Archive>]>,
    /// Sorted by key.
    pub(super) repositories: Box<[Arc<Repository>]>,
    pub(super) names: Names,
    pub(super) blobs: BlobMap,
    pub(super) problems: Box<[Problem]>,
    pub(super) lost: Box<[PathBuf]>,
}

/// A repository as one request sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'s> {
    snapshot: &'s Snapshot,
    /// Of the repository.
    number: usize,
    /// Whoever asks for a host's images by `ns` gets what that host has, and no tag of ours.
    is_mirror: bool,
}

/// A manifest or an index that says something about another one.
#[derive(Clone, Debug)]
pub struct Referring<'s> {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it is, and what it says.
    pub document: &'s Document,
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
            None => self.names.get(&self.repositories, name.as_str())?,
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
            number,
            is_mirror: ns.is_some(),
        })
    }

    /// The roots that have gone, as unmounted disks do: of them the snapshot has what they held.
    pub fn lost(&self) -> &[PathBuf] {
        &self.lost
    }

    /// All repositories, sorted by host and path.
    pub fn repositories(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.repositories.len()).map(|number| View {
            snapshot: self,
            number,
            is_mirror: false,
        })
    }

    /// The names to ask for the repositories of this host, where `ns` names one, or of all; in byte order.
    pub fn names(&self, ns: Option<&Host>) -> Vec<Cow<'_, str>> {
        let mut names: Vec<Cow<'_, str>> = match ns {
            None => self
                .repositories()
                .filter_map(|view| view.shown())
                .collect(),
            Some(_) => {
                let of_host = self
                    .repositories
                    .iter()
                    .filter(|repository| repository.key.host.as_ref() == ns);
                of_host
                    .map(|repository| Cow::Borrowed(repository.key.path.as_str()))
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

    /// How many layers have to be hashed before their images are served.
    pub fn pending(&self) -> usize {
        let archives = self.archives.iter();
        archives.map(|archive| archive.found.pending.len()).sum()
    }

    /// What is wrong, sorted by file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong with one file.
    pub fn problems_of(&self, file: &Path) -> impl Iterator<Item = &Problem> {
        let start = self
            .problems
            .partition_point(|problem| problem.file.as_path() < file);
        self.problems[start..]
            .iter()
            .take_while(move |problem| problem.file == file)
    }
}

impl<'s> View<'s> {
    /// The repository.
    pub fn repository(&self) -> &'s Repository {
        &self.snapshot.repositories[self.number]
    }

    /// The name to show; `None` where other repositories have taken all its names.
    pub fn shown(&self) -> Option<Cow<'s, str>> {
        let key = &self.repository().key;
        self.snapshot.names.shown(self.number, key)
    }

    /// The digest that `tag` means.
    pub fn resolve(&self, tag: &Tag) -> Option<&'s Digest> {
        self.tagged(tag).map(|image| &image.root)
    }

    /// The image that `tag` means.
    pub fn tagged(&self, tag: &Tag) -> Option<&'s Image> {
        Some(match self.find(tag)? {
            Target::Image(image) => image.image(),
            Target::Made(number) => &self.repository().made[*number].image,
        })
    }

    /// The archives that hold what `tag` means; of an index that was made those that hold what it lists.
    pub fn archives_of(&self, tag: &Tag) -> Vec<&'s Archive> {
        match self.find(tag) {
            None => Vec::new(),
            Some(Target::Image(image)) => self.holders(&image.image().root),
            Some(Target::Made(number)) => {
                let parts = self.repository().made[*number].parts.iter();
                let mut archives: Vec<&Archive> = parts
                    .flat_map(|part| self.holders(&part.image().root))
                    .collect();
                archives.sort_by(|a, b| a.order(b));
                archives.dedup_by(|a, b| std::ptr::eq(*a, *b));
                archives
            }
        }
    }

    /// The archives that put the image `root` here.
    pub fn holders(&self, root: &Digest) -> Vec<&'s Archive> {
        let images = self.repository().images.iter();
        images
            .filter(|image| image.image().root == *root)
            .map(|image| &*image.archive)
            .collect()
    }

    fn find(&self, tag: &Tag) -> Option<&'s Target> {
        let tag = match self.automatic() {
            Some(target) if tag.as_str() == "latest" => target,
            _ => tag,
        };
        let tags = &self.repository().tags;
        let at = tags.binary_search_by(|(known, _)| known.cmp(tag)).ok()?;
        Some(&tags[at].1)
    }

    /// The tag that `latest` means here without any archive saying so.
    pub fn automatic(&self) -> Option<&'s Tag> {
        // Whoever asks for a host's images by `ns` gets what that host has.
        (self.repository().latest.as_ref()).filter(|_| !self.is_mirror)
    }

    /// All tags in byte order, an automatic `latest` among them.
    pub fn tags(&self) -> Vec<Tag> {
        let tags = self.repository().tags.iter();
        let mut tags: Vec<Tag> = tags.map(|(tag, _)| tag.clone()).collect();
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
        let images = self.repository().images.iter();
        images.map(|image| (&*image.archive, image.image()))
    }

    /// The type under which the manifest or index `digest` is served here.
    pub fn media_type(&self, digest: &Digest) -> Option<&'s MediaType> {
        if let Some(made) = self.made(digest) {
            return Some(&made.media_type);
        }
        let mut holdings = self.repository().holdings.iter();
        holdings
            .find_map(|holding| holding.archive.found.document(digest))
            .map(|document| &document.media_type)
    }

    /// Length in bytes of what the manifest `digest` refers to, as it tells it: a configuration and layers.
    pub fn size(&self, digest: &Digest) -> u64 {
        let sizes = self.givers(digest).into_iter().find_map(|(holding, _)| {
            let found = &holding.archive.found;
            let document = found.document(digest)?;
            let references = found.references(document).iter();
            Some(references.map(|position| found.size(*position)))
        });
        sizes.into_iter().flatten().fold(0, u64::saturating_add)
    }

    /// Whether what some archive has under this digest turned out to be something else when that was cataloged.
    pub(super) fn is_damaged(&self, digest: &Digest) -> bool {
        let mut archives = self.snapshot.archives.iter();
        archives.any(|archive| archive.found.damaged.binary_search(digest).is_ok())
    }

    pub(super) fn made(&self, digest: &Digest) -> Option<&'s Coalesced> {
        let mut made = self.repository().made.iter();
        made.find(|made| made.image.root == *digest)
    }

    /// Whoever gives `digest` to the repository, with its position there: what no image here reaches is not served.
    ///
    /// A layer may lie in thousands of archives, and a repository may have its images in thousands: whichever are fewer
    /// are asked.
    fn givers(&self, digest: &Digest) -> Vec<(&'s Holding, u32)> {
        let holdings = &self.repository().holdings;
        let reaching = |holding: &'s Holding| {
            let position = holding.archive.found.position(digest)?;
            holding.reaches(position).then_some((holding, position))
        };
        let blobs = &self.snapshot.blobs;
        if holdings.len() <= blobs.count(digest) {
            return holdings
                .iter()
                .filter_map(reaching)
                .take(MAX_COPIES)
                .collect();
        }
        let holders = blobs.copies(digest).map(|located| located.archive);
        let held = holders.flat_map(|archive| self.holdings_of(archive));
        let givers: Vec<_> = held.filter_map(reaching).take(MAX_COPIES).collect();
        if !givers.is_empty() {
            return givers;
        }
        let lacking = holdings
            .iter()
            .filter(|holding| !holding.archive.found.lacking.is_empty());
        lacking.filter_map(reaching).take(1).collect()
    }

    /// What `archive` gives to the repository.
    fn holdings_of(&self, archive: &Arc<Archive>) -> impl Iterator<Item = &'s Holding> + use<'s> {
        let holdings = &self.repository().holdings;
        let start =
            holdings.partition_point(|holding| holding.archive.order(archive) == Ordering::Less);
        let archive = Arc::as_ptr(archive);
        holdings[start..]
            .iter()
            .take_while(move |holding| Arc::as_ptr(&holding.archive) == archive)
    }

    /// The copies of `digest` that are as long as the images of this repository say, the most trusted ones first: those
    /// of archives that put images here, those of archives that complete these, those of archives whose images hold it,
    /// and then what merely lies somewhere under its name. `None` if no image here reaches it.
    pub(super) fn copies(&self, digest: &Digest) -> Option<(Vec<Copy>, u64)> {
        let mut givers = self.givers(digest);
        givers.sort_by_key(|(holding, position)| {
            let lacks = holding.archive.found.lacking_at(*position).is_some();
            (lacks, !holding.is_own)
        });
        let (first, position) = givers.first()?;
        let size = first.archive.found.size(*position);
        let given = givers
            .iter()
            .flat_map(|(holding, position)| holding.archive.found.copies(*position))
            .filter(|copy| copy.len() == size)
            .take(MAX_COPIES);
        let others = self.snapshot.blobs.copies(digest);
        let mut others: Vec<Located<'_>> = others
            .filter(|located| located.copy.len() == size)
            .filter(|located| {
                let mut givers = givers.iter();
                !givers.any(|(holding, _)| Arc::ptr_eq(&holding.archive, located.archive))
            })
            .take(MAX_COPIES)
            .collect();
        others.sort_by(|a, b| a.archive.order(b.archive));
        others.sort_by_cached_key(|located| !located.archive.found.refers_to(digest));
        let copies = given.chain(others.into_iter().map(|located| located.copy));
        Some((copies.collect(), size))
    }

    /// The manifest or index `digest`.
    pub fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        if let Some(made) = self.made(digest) {
            return Some(Manifest {
                media_type: made.media_type.clone(),
                content: Content::memory(made.bytes.clone()),
            });
        }
        let (copies, size) = self.copies(digest)?;
        let media_type = self.media_type(digest).or_else(|| {
            let mut located = self.snapshot.blobs.copies(digest);
            let document = located.find_map(|located| located.archive.found.document(digest));
            document.map(|document| &document.media_type)
        });
        // What was read as a document was hashed, and is again whenever it is read.
        let documents = copies.into_iter().filter(Copy::is_document);
        Some(Manifest {
            media_type: media_type?.clone(),
            content: Content::blob(documents.collect(), size),
        })
    }

    /// The bytes of the blob `digest`.
    pub fn blob(&self, digest: &Digest) -> Option<Content> {
        if let Some(made) = self.made(digest) {
            return Some(Content::memory(made.bytes.clone()));
        }
        let (copies, size) = self.copies(digest)?;
        (!copies.is_empty()).then(|| Content::blob(copies, size))
    }

    /// The manifests here whose subject is `digest`, sorted by their own.
    pub fn referrers(&self, digest: &Digest) -> impl Iterator<Item = Referring<'s>> {
        let about = self.repository().referrers.get(digest);
        about.into_iter().flatten().map(|about| Referring {
            digest: about.digest(),
            size: about.size(),
            document: about.document(),
        })
    }
}
