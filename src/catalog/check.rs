//! Whether all of an image is there and right.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use crate::archive::{Image, Role};
use crate::content::{self, Copy, Verdict};
use crate::digest::Digest;
use crate::oci::manifest::Body;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Manifest, MediaType, Platform};

pub use crate::archive::{Flaw, Part};

/// The annotation of an entry of an index that says something about another one, as `BuildKit` writes it
/// ([attestation storage](https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md)).
const REFERENCE: &str = "vnd.docker.reference.digest";
/// A manifest is told to be for no more platforms than these.
const MAX_PLATFORMS: usize = 100;

/// What was found out about an image.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The platforms that it is for, as its indexes and configurations tell them.
    pub platforms: BTreeSet<Platform>,
    /// The configuration that would tell what it is for cannot be read.
    pub is_of_unknown_platform: bool,
    /// All that is needed of it.
    pub needs: BTreeSet<Digest>,
    /// What of that is not as it should be, sorted.
    pub flaws: Vec<Flawed>,
}

/// A part of an image that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flawed {
    /// What is wrong.
    pub flaw: Flaw,
    /// What it is.
    pub part: Part,
    /// The digest that it should have, where that is known.
    pub digest: Option<Digest>,
    /// The platforms that need it, as they are told; none where that is not known.
    pub platforms: Vec<Platform>,
}

impl View<'_> {
    /// Follows all that `image` refers to, but for what only other platforms need than those that are `wanted`, if any are.
    /// Bytes count as right as long as nobody has hashed them.
    ///
    /// Blocks on files: manifests and indexes are read.
    pub fn inspect(&self, image: &Image, wanted: &[Platform]) -> Inspection {
        let mut walk = Walk {
            view: self,
            known: self.platforms_of(image),
            seen: BTreeMap::new(),
            flawed: BTreeMap::new(),
            inspection: Inspection::default(),
        };
        let documents = walk.documents(&image.root);
        for (digest, document) in &documents {
            let platforms = walk.platforms(digest, document, &documents);
            if platforms.is_empty() || platforms.iter().any(|told| is_wanted(told, wanted)) {
                walk.check(digest, document, &platforms);
            }
        }
        walk.end()
    }

    /// The platforms that the manifests of an image are for, as far as any archive that holds it tells.
    fn platforms_of(&self, image: &Image) -> BTreeMap<Digest, Platform> {
        let same = self.images().map(|(_, other)| other);
        let same = same.filter(|other| other.root == image.root);
        let all = same.chain([image]).flat_map(|image| &image.platforms);
        all.map(|image| (image.digest.clone(), (*image.platform).clone()))
            .collect()
    }

    /// What is wrong with the manifest or index `digest`, which cannot be read.
    fn flaw_of_document(&self, digest: &Digest) -> Flaw {
        let copies = self.copies(digest).map(|(copies, _)| copies);
        let copies = copies.unwrap_or_default();
        let was_read = copies.iter().any(Copy::is_document);
        if was_read || self.is_damaged(digest) {
            Flaw::Damaged
        } else if copies.is_empty() {
            Flaw::Sparse
        } else {
            Flaw::Unusable
        }
    }

    /// What is wrong with the configuration or layer `digest`.
    fn flaw_of_blob(&self, digest: &Digest, role: Role) -> Option<Flaw> {
        let copies = self.copies(digest).map(|(copies, _)| copies);
        let copies = copies.unwrap_or_default();
        let is_sound = |copy: &Copy| matches!(copy.verdict(), Verdict::Claimed | Verdict::Verified);
        match role {
            _ if copies.iter().any(is_sound) => None,
            _ if !copies.is_empty() || self.is_damaged(digest) => Some(Flaw::Damaged),
            // It is had from elsewhere.
            Role::Foreign => None,
            Role::Blob | Role::Manifest => Some(Flaw::Missing),
        }
    }

    /// The manifest or index `digest`, if it can be read.
    fn read(&self, digest: &Digest) -> Option<Manifest> {
        let manifest = self.manifest(digest)?;
        let mut bytes = Vec::new();
        for part in manifest.content.open().ok()?.parts {
            match part {
                content::Part::Memory(part) => bytes.extend(part),
                content::Part::Extent(_) => return None,
            }
        }
        Manifest::parse(&bytes, Some(&manifest.media_type)).ok()
    }
}

/// Whether `told` is one of `wanted`, or none is. The version of the system is no part of what is wanted.
pub fn is_wanted(told: &Platform, wanted: &[Platform]) -> bool {
    let told = told.normalized();
    let is_same = |wanted: &Platform| {
        let wanted = wanted.normalized();
        (wanted.os, wanted.architecture, wanted.variant)
            == (
                told.os.clone(),
                told.architecture.clone(),
                told.variant.clone(),
            )
    };
    wanted.is_empty() || wanted.iter().any(is_same)
}

/// A manifest or an index of an image, as others refer to it.
#[derive(Debug)]
struct Listed {
    part: Part,
    /// What it says; `None` if it cannot be read.
    body: Option<Body>,
    /// What it is said to be for.
    platforms: BTreeSet<Platform>,
    /// What it says something about.
    about: Option<Digest>,
}

type Documents = BTreeMap<Digest, Listed>;

/// The way through one image.
struct Walk<'w> {
    view: &'w View<'w>,
    /// What manifests are for by their configurations.
    known: BTreeMap<Digest, Platform>,
    /// What was found out about blobs: many manifests may share one.
    seen: BTreeMap<Digest, Option<Flaw>>,
    /// What is wrong, and which platforms it harms.
    flawed: BTreeMap<(Flaw, Part, Digest), BTreeSet<Platform>>,
    inspection: Inspection,
}

impl Walk<'_> {
    /// All manifests and indexes that `root` leads to, itself included.
    ///
    /// Not recursive: an archive can chain indexes as deep as it likes.
    fn documents(&self, root: &Digest) -> Documents {
        let is_index = self.view.media_type(root).and_then(MediaType::kind) == Some(Kind::Index);
        let part = if is_index {
            Part::Index
        } else {
            Part::Manifest
        };
        let mut documents = Documents::from([(root.clone(), self.listed(root, part))]);
        let mut pending = vec![root.clone()];
        while let Some(index) = pending.pop() {
            let body = documents.get(&index).and_then(|known| known.body.clone());
            let Some(Body::Index { manifests }) = body else {
                continue;
            };
            for entry in manifests.iter().filter(|entry| is_document(entry)) {
                let Ok(digest) = entry.digest() else {
                    continue;
                };
                let known = documents.entry(digest.clone()).or_insert_with(|| {
                    pending.push(digest.clone());
                    self.listed(&digest, Part::document(entry))
                });
                known.see(entry);
            }
        }
        documents
    }

    fn listed(&self, digest: &Digest, part: Part) -> Listed {
        Listed {
            part,
            body: self.view.read(digest).map(|manifest| manifest.body),
            platforms: BTreeSet::new(),
            about: None,
        }
    }

    /// The platforms that need a document; none if it is for none, or that is not known.
    fn platforms(
        &mut self,
        digest: &Digest,
        document: &Listed,
        documents: &Documents,
    ) -> BTreeSet<Platform> {
        let known = self.known.get(digest).cloned();
        let own = match known.filter(|_| document.platforms.is_empty()) {
            Some(known) => BTreeSet::from([known]),
            None => document.platforms.clone(),
        };
        self.inspection.platforms.extend(own.iter().cloned());
        let subject = document
            .about
            .as_ref()
            .and_then(|about| documents.get(about));
        match subject.filter(|_| own.is_empty()) {
            Some(subject) => subject.platforms.clone(),
            None => own,
        }
    }

    /// Looks at a document and at what it refers to but for other documents.
    fn check(&mut self, digest: &Digest, document: &Listed, platforms: &BTreeSet<Platform>) {
        self.inspection.needs.insert(digest.clone());
        match &document.body {
            None => {
                let flaw = self.view.flaw_of_document(digest);
                self.note(flaw, document.part, digest, platforms);
            }
            Some(Body::Index { manifests }) => {
                for other in manifests.iter().filter(|entry| !is_document(entry)) {
                    self.blob(other, Part::Layer, platforms);
                }
            }
            Some(Body::Image { config, layers }) => {
                let is_flawed = self.blob(config, Part::Config, platforms);
                let is_image = config.media_type.as_ref();
                let is_image = is_image.is_some_and(MediaType::is_image_config);
                self.inspection.is_of_unknown_platform |=
                    is_flawed && is_image && platforms.is_empty();
                for layer in layers {
                    self.blob(layer, Part::Layer, platforms);
                }
            }
        }
    }

    /// Looks at a configuration or a layer; whether something is wrong with it.
    fn blob(
        &mut self,
        descriptor: &Descriptor,
        part: Part,
        platforms: &BTreeSet<Platform>,
    ) -> bool {
        let Ok(digest) = descriptor.digest() else {
            return false;
        };
        let is_foreign = !descriptor.urls.is_empty()
            || descriptor
                .media_type
                .as_ref()
                .is_some_and(MediaType::is_foreign_layer);
        let role = if is_foreign {
            Role::Foreign
        } else {
            Role::Blob
        };
        let view = self.view;
        let flaw = *self
            .seen
            .entry(digest.clone())
            .or_insert_with(|| view.flaw_of_blob(&digest, role));
        if let Some(flaw) = flaw {
            self.note(flaw, part, &digest, platforms);
        }
        self.inspection.needs.insert(digest);
        flaw.is_some()
    }

    fn note(&mut self, flaw: Flaw, part: Part, digest: &Digest, platforms: &BTreeSet<Platform>) {
        let key = (flaw, part, digest.clone());
        let harmed = self.flawed.entry(key).or_default();
        harmed.extend(platforms.iter().cloned());
    }

    fn end(self) -> Inspection {
        let flawed = self.flawed.into_iter();
        let flaws = flawed.map(|((flaw, part, digest), platforms)| Flawed {
            flaw,
            part,
            digest: Some(digest),
            platforms: platforms.into_iter().collect(),
        });
        Inspection {
            flaws: flaws.collect(),
            ..self.inspection
        }
    }
}

impl Listed {
    /// Takes what an entry of an index says of it.
    fn see(&mut self, entry: &Descriptor) {
        let told = entry.platform.as_ref().filter(|told| told.is_real());
        if let Some(told) = told.filter(|_| self.platforms.len() < MAX_PLATFORMS) {
            self.platforms.insert(told.clone());
        }
        let about = entry.annotation(REFERENCE);
        self.about = about
            .and_then(|digest| digest.parse().ok())
            .or(self.about.take());
    }
}

/// Whether an entry of an index is a manifest or an index; anything may be listed.
fn is_document(entry: &Descriptor) -> bool {
    let media_type = entry.media_type.as_ref();
    media_type.is_none_or(|told| told.kind().is_some())
}
