//! The documents and blobs of one archive while it is read: what there is, and what reaches what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use super::members::{Members, Stored};
use super::names::ImageName;
use super::problem::{Fault, Problems};
use super::{Document, Found, Image, PlatformImage, Referrer};
use crate::content::{Claim, Place, Source};
use crate::digest::Digest;
use crate::oci::manifest::Body;
use crate::oci::{Descriptor, ImageConfig, Manifest, MediaType, Platform};

/// Manifests and indexes up to this size are read; the specification asks for at least 4 megabytes.
const MAX_MANIFEST: u64 = 4 << 20;
/// Configurations up to this size are read.
pub const MAX_CONFIG: u64 = 8 << 20;
/// Indexes in indexes are followed this far.
const MAX_DEPTH: usize = 8;
/// At most this many layers of an image are read.
pub const MAX_LAYERS: usize = 10_000;
/// At most this many entries of an index are read.
pub const MAX_ENTRIES: usize = 10_000;
/// At most this many manifests and indexes are read of one archive.
const MAX_DOCUMENTS: usize = 100_000;

/// A blob that a document refers to.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Its digest.
    pub digest: Digest,
    /// Its length, as the document tells it.
    pub size: u64,
}

/// A manifest or an index that was read and is what its digest says.
#[derive(Debug)]
pub struct Node {
    media_type: MediaType,
    size: u64,
    body: NodeBody,
    referrer: Option<Box<Referrer>>,
}

#[derive(Debug)]
enum NodeBody {
    Image(ImageNode),
    Index(Vec<Child>),
}

#[derive(Debug)]
struct ImageNode {
    config: Option<Reach>,
    /// What the configuration tells, if it is there and is an image's.
    known: Option<Known>,
    layers: Vec<LayerNode>,
}

#[derive(Debug)]
struct Known {
    platform: Platform,
    created: Option<Timestamp>,
    diff_ids: Vec<String>,
}

#[derive(Debug)]
struct LayerNode {
    reach: Reach,
    is_plain: bool,
    /// Its absence is ordinary: clients fetch it from elsewhere.
    is_foreign: bool,
}

#[derive(Debug)]
struct Child {
    reach: Reach,
    platform: Option<Platform>,
    /// Whether it is a manifest or an index by its type, not some other blob.
    is_document: bool,
}

/// Everything that was found in one archive.
#[derive(Debug)]
pub struct Graph<'m> {
    members: &'m Members,
    located: BTreeMap<Digest, Stored>,
    made: BTreeMap<Digest, Bytes>,
    nodes: BTreeMap<Digest, Node>,
}

impl<'m> Graph<'m> {
    /// A graph of the archive with these members, with nothing in it.
    pub fn new(members: &'m Members) -> Self {
        Self {
            members,
            located: BTreeMap::new(),
            made: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Notes that the bytes at `stored` are claimed to have `digest`. The first claim counts.
    pub fn locate(&mut self, digest: Digest, stored: Stored) {
        self.located.entry(digest).or_insert(stored);
    }

    /// Adds the canonical manifest made for an image whose config was read and whose layers are located.
    pub fn make(&mut self, media_type: &MediaType, json: String, config: &ImageConfig) -> Digest {
        let bytes = Bytes::from(json);
        let digest = Digest::sha256(&bytes);
        // It was written a moment ago in the form that is read here.
        if let Ok(manifest) = Manifest::parse(&bytes, Some(media_type)) {
            let known = Some(Known::of(config));
            let node = Node::of(&manifest, bytes.len() as u64, |_| known);
            self.nodes.insert(digest.clone(), node);
            self.made.insert(digest.clone(), bytes);
        }
        digest
    }

    /// Reads what `descriptor`, found in `parent`, refers to, and what that refers to in turn.
    pub fn visit(&mut self, descriptor: &Descriptor, parent: &str, problems: &mut Problems) {
        self.visit_at(descriptor, parent, 0, problems);
    }

    fn visit_at(
        &mut self,
        descriptor: &Descriptor,
        parent: &str,
        depth: usize,
        problems: &mut Problems,
    ) {
        let digest = match descriptor.digest() {
            Ok(digest) => digest,
            Err(error) => {
                let digest = descriptor.digest.clone();
                return problems.add_in(parent, &Fault::BadDigest { digest, error });
            }
        };
        let is_other = descriptor
            .media_type
            .as_ref()
            .is_some_and(|told| told.kind().is_none());
        if is_other || self.nodes.contains_key(&digest) {
            return;
        }
        let Some(stored) = self.located.get(&digest).copied() else {
            return;
        };
        if depth > MAX_DEPTH {
            return problems.add_in(parent, &Fault::TooDeep(MAX_DEPTH));
        }
        if self.nodes.len() >= MAX_DOCUMENTS {
            let limit = MAX_DOCUMENTS;
            return problems.add_in(
                parent,
                &Fault::TooMany {
                    what: "manifests",
                    limit,
                },
            );
        }
        let name = digest.to_string();
        let manifest = match self.read_manifest(descriptor, &digest, stored) {
            Ok(manifest) => manifest,
            Err(fault) => return problems.add_in(&name, &fault),
        };
        self.check_entries(&manifest, &name, problems);
        let node = Node::of(&manifest, stored.size, |config| {
            self.read_config(config, problems)
        });
        self.nodes.insert(digest, node);
        if let Body::Index { manifests } = &manifest.body {
            for child in manifests.iter().take(MAX_ENTRIES) {
                self.visit_at(child, &name, depth + 1, problems);
            }
        }
    }

    fn read_manifest(
        &mut self,
        descriptor: &Descriptor,
        digest: &Digest,
        stored: Stored,
    ) -> Result<Manifest, Fault> {
        if stored.size != descriptor.size {
            self.located.remove(digest);
            return Err(Fault::SizeMismatch {
                expected: descriptor.size,
                found: stored.size,
            });
        }
        let bytes = self.members.read(stored, MAX_MANIFEST)?;
        self.check_digest(digest, &bytes)?;
        Manifest::parse(&bytes, descriptor.media_type.as_ref()).map_err(Fault::Manifest)
    }

    /// Bytes that are not what their name says are no copy of the blob, for nobody.
    fn check_digest(&mut self, expected: &Digest, bytes: &[u8]) -> Result<(), Fault> {
        let found = Digest::of(expected.algorithm(), bytes);
        if found == *expected {
            return Ok(());
        }
        self.located.remove(expected);
        Err(Fault::DigestMismatch {
            expected: expected.clone(),
            found,
        })
    }

    /// What the entries of a manifest say is compared with what lies there.
    fn check_entries(&mut self, manifest: &Manifest, name: &str, problems: &mut Problems) {
        let (entries, limit): (Vec<&Descriptor>, _) = match &manifest.body {
            Body::Image { config, layers } => {
                (std::iter::once(config).chain(layers).collect(), MAX_LAYERS)
            }
            Body::Index { manifests } => (manifests.iter().collect(), MAX_ENTRIES),
        };
        if entries.len() > limit + 1 {
            problems.add_in(
                name,
                &Fault::TooMany {
                    what: "entries",
                    limit,
                },
            );
        }
        if let Body::Index { .. } = manifest.body {
            return;
        }
        for entry in entries.into_iter().take(limit + 1) {
            match entry.digest() {
                Ok(digest) => self.check_size(&digest, entry.size, problems),
                Err(error) => {
                    let digest = entry.digest.clone();
                    problems.add_in(name, &Fault::BadDigest { digest, error });
                }
            }
        }
    }

    fn check_size(&mut self, digest: &Digest, expected: u64, problems: &mut Problems) {
        let found = self.located.get(digest).map(|stored| stored.size);
        if let Some(found) = found.filter(|found| *found != expected) {
            self.located.remove(digest);
            problems.add_in(
                &digest.to_string(),
                &Fault::SizeMismatch { expected, found },
            );
        }
    }

    fn read_config(&mut self, descriptor: &Descriptor, problems: &mut Problems) -> Option<Known> {
        let digest = descriptor.digest().ok()?;
        let stored = *self.located.get(&digest)?;
        let bytes = match self.members.read(stored, MAX_CONFIG) {
            Ok(bytes) => bytes,
            // An artifact's config can be anything, also large: then it is a blob like a layer.
            Err(Fault::TooLarge { .. }) => return None,
            Err(fault) => {
                problems.add_in(&digest.to_string(), &fault);
                return None;
            }
        };
        if let Err(fault) = self.check_digest(&digest, &bytes) {
            problems.add_in(&digest.to_string(), &fault);
            return None;
        }
        let is_image = descriptor
            .media_type
            .as_ref()
            .is_some_and(MediaType::is_image_config);
        let config = is_image.then(|| ImageConfig::parse(&bytes));
        match config? {
            Ok(config) => Some(Known::of(&config)),
            Err(error) => {
                problems.add_in(&digest.to_string(), &Fault::Json(error));
                None
            }
        }
    }

    /// The stored images whose configuration is `config`.
    pub fn images_with_config(&self, config: &Digest) -> Vec<Digest> {
        let has_config = |node: &Node| match &node.body {
            NodeBody::Image(image) => image
                .config
                .as_ref()
                .is_some_and(|reach| reach.digest == *config),
            NodeBody::Index(_) => false,
        };
        let matching = self.nodes.iter().filter(|(_, node)| has_config(node));
        matching.map(|(digest, _)| digest.clone()).collect()
    }

    /// Whether the stored manifest `digest` fits its image: Docker 25.0 wrote some that do not.
    ///
    /// The config and every layer are there, there are as many layers as diff IDs, and
    /// the digest of each layer that is a plain tar is its diff ID.
    pub fn fits(&self, digest: &Digest) -> bool {
        let Some(NodeBody::Image(image)) = self.nodes.get(digest).map(|node| &node.body) else {
            return false;
        };
        let Some(known) = &image.known else {
            return false;
        };
        let layer_fits = |(layer, diff_id): (&LayerNode, &String)| {
            let is_there = layer.is_foreign || self.located.contains_key(&layer.reach.digest);
            is_there && (!layer.is_plain || layer.reach.digest.to_string() == *diff_id)
        };
        known.diff_ids.len() == image.layers.len()
            && image.layers.iter().zip(&known.diff_ids).all(layer_fits)
    }

    /// Every digest that `root` reaches, itself included, with its length.
    pub fn reach(&self, root: &Digest) -> BTreeMap<Digest, u64> {
        let mut reached = BTreeMap::new();
        let size = self.nodes.get(root).map_or(0, |node| node.size);
        let mut pending = vec![Reach {
            digest: root.clone(),
            size,
        }];
        while let Some(Reach { digest, size }) = pending.pop() {
            if reached.insert(digest.clone(), size).is_none() {
                pending.extend(
                    self.nodes
                        .get(&digest)
                        .into_iter()
                        .flat_map(Node::references),
                );
            }
        }
        reached
    }

    /// Whether `digest` is a manifest or an index that was read.
    pub fn is_document(&self, digest: &Digest) -> bool {
        self.nodes.contains_key(digest)
    }

    /// Whether the archive holds bytes that claim to be `digest`.
    pub fn is_located(&self, digest: &Digest) -> bool {
        self.located.contains_key(digest)
    }

    /// The digest of the manifest that `digest` says something about.
    pub fn subject(&self, digest: &Digest) -> Option<&Digest> {
        let referrer = self.nodes.get(digest)?.referrer.as_ref()?;
        Some(&referrer.subject)
    }

    /// Everything that was found, with the images `named`: their roots and names.
    pub fn finish(self, named: BTreeMap<Digest, BTreeSet<ImageName>>) -> Found {
        let reaches: Vec<_> = named.keys().map(|root| self.reach(root)).collect();
        let digests: BTreeSet<&Digest> = reaches.iter().flat_map(BTreeMap::keys).collect();
        let digests: Box<[Digest]> = digests.into_iter().cloned().collect();
        let images = named
            .into_iter()
            .zip(&reaches)
            .map(|((root, names), reach)| self.image(root, names, reach, &digests))
            .collect();
        let documents = self.nodes.iter().map(|(digest, node)| Document {
            digest: digest.clone(),
            media_type: node.media_type.clone(),
            size: node.size,
            referrer: node.referrer.clone(),
        });
        Found {
            images,
            documents: documents.collect(),
            digests,
            sources: self.sources(),
        }
    }

    fn image(
        &self,
        root: Digest,
        names: BTreeSet<ImageName>,
        reach: &BTreeMap<Digest, u64>,
        digests: &[Digest],
    ) -> Image {
        let index_of = |digest: &Digest| {
            digests
                .binary_search(digest)
                .ok()
                .and_then(|at| u32::try_from(at).ok())
        };
        let mut absent = super::Absent::default();
        for digest in reach.keys().filter(|digest| !self.is_here(digest)) {
            self.note_absent(digest, reach, &mut absent);
        }
        let mut platforms = Vec::new();
        self.platforms(&root, None, &mut platforms);
        Image {
            names: names.into_iter().collect(),
            created: platforms.iter().filter_map(|(_, created)| *created).max(),
            platforms: platforms
                .into_iter()
                .filter_map(|(platform, _)| platform)
                .collect(),
            size: reach
                .values()
                .fold(0, |sum, size| sum.saturating_add(*size)),
            is_made: self.made.contains_key(&root),
            reach: reach.keys().filter_map(index_of).collect(),
            absent,
            root,
        }
    }

    fn is_here(&self, digest: &Digest) -> bool {
        self.located.contains_key(digest) || self.made.contains_key(digest)
    }

    /// Sorts an absent digest by what it is; foreign layers are meant to be absent.
    fn note_absent(
        &self,
        digest: &Digest,
        reach: &BTreeMap<Digest, u64>,
        absent: &mut super::Absent,
    ) {
        let nodes = || reach.keys().filter_map(|digest| self.nodes.get(digest));
        let is_manifest = nodes().any(|node| match &node.body {
            NodeBody::Index(children) => children
                .iter()
                .any(|child| child.is_document && child.reach.digest == *digest),
            NodeBody::Image(_) => false,
        });
        let is_foreign = nodes().any(|node| match &node.body {
            NodeBody::Image(image) => image
                .layers
                .iter()
                .any(|layer| layer.is_foreign && layer.reach.digest == *digest),
            NodeBody::Index(_) => false,
        });
        if is_manifest {
            absent.manifests.push(digest.clone());
        } else if !is_foreign {
            absent.blobs.push(digest.clone());
        }
    }

    /// The images that `digest` holds for platforms, and when each was made.
    fn platforms(
        &self,
        digest: &Digest,
        told: Option<&Platform>,
        platforms: &mut Vec<(Option<PlatformImage>, Option<Timestamp>)>,
    ) {
        match self.nodes.get(digest).map(|node| &node.body) {
            Some(NodeBody::Image(image)) => {
                let known = image.known.as_ref();
                let platform = told
                    .or(known.map(|known| &known.platform))
                    .filter(|platform| platform.is_real());
                let size = image
                    .config
                    .iter()
                    .chain(image.layers.iter().map(|layer| &layer.reach))
                    .map(|reach| reach.size);
                let image = platform.map(|platform| PlatformImage {
                    platform: platform.clone(),
                    digest: digest.clone(),
                    size: size.fold(0, u64::saturating_add),
                });
                platforms.push((image, known.and_then(|known| known.created)));
            }
            Some(NodeBody::Index(children)) => {
                for child in children {
                    let is_new = |(known, _): &(Option<PlatformImage>, _)| {
                        known
                            .as_ref()
                            .is_none_or(|known| known.digest != child.reach.digest)
                    };
                    if platforms.iter().all(is_new) {
                        self.platforms(&child.reach.digest, child.platform.as_ref(), platforms);
                    }
                }
            }
            None => {}
        }
    }

    /// One source for each file that holds something.
    fn sources(&self) -> Box<[Arc<Source>]> {
        let mut claims: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
        for (
            digest,
            Stored {
                file,
                offset,
                size: length,
            },
        ) in &self.located
        {
            let (digest, offset, length) = (digest.clone(), *offset, *length);
            let place = if self.nodes.contains_key(&digest) {
                Place::Document {
                    offset,
                    length,
                    kept: OnceLock::new(),
                }
            } else {
                Place::Extent { offset, length }
            };
            claims
                .entry(*file)
                .or_default()
                .push(Claim { digest, place });
        }
        for (digest, bytes) in &self.made {
            let claim = Claim {
                digest: digest.clone(),
                place: Place::Memory(bytes.clone()),
            };
            claims.entry(0).or_default().push(claim);
        }
        let source = |(file, claims): (usize, Vec<Claim>)| {
            let (location, identity) = &self.members.files()[file];
            Arc::new(Source::new(location.clone(), *identity, claims))
        };
        claims.into_iter().map(source).collect()
    }
}

impl Known {
    fn of(config: &ImageConfig) -> Self {
        Self {
            platform: config.platform.clone(),
            created: config.created(),
            diff_ids: config.diff_ids().unwrap_or_default().to_vec(),
        }
    }
}

impl Node {
    fn of(
        manifest: &Manifest,
        size: u64,
        read_config: impl FnOnce(&Descriptor) -> Option<Known>,
    ) -> Self {
        let body = match &manifest.body {
            Body::Image { config, layers } => NodeBody::Image(ImageNode {
                config: reach_of(config),
                known: read_config(config),
                layers: layers
                    .iter()
                    .take(MAX_LAYERS)
                    .filter_map(LayerNode::of)
                    .collect(),
            }),
            Body::Index { manifests } => NodeBody::Index(
                manifests
                    .iter()
                    .take(MAX_ENTRIES)
                    .filter_map(Child::of)
                    .collect(),
            ),
        };
        let subject = manifest
            .subject
            .as_ref()
            .and_then(|subject| subject.digest().ok());
        let referrer = subject.map(|subject| {
            Box::new(Referrer {
                subject,
                artifact_type: manifest.artifact_type().map(str::to_owned),
                annotations: manifest.annotations.clone(),
            })
        });
        Self {
            media_type: manifest.media_type.clone(),
            size,
            body,
            referrer,
        }
    }

    fn references(&self) -> Vec<Reach> {
        match &self.body {
            NodeBody::Image(image) => image
                .config
                .iter()
                .chain(image.layers.iter().map(|layer| &layer.reach))
                .cloned()
                .collect(),
            NodeBody::Index(children) => children.iter().map(|child| child.reach.clone()).collect(),
        }
    }
}

impl LayerNode {
    fn of(descriptor: &Descriptor) -> Option<Self> {
        let media_type = descriptor.media_type.as_ref();
        Some(Self {
            reach: reach_of(descriptor)?,
            is_plain: media_type.is_some_and(MediaType::is_plain_layer),
            is_foreign: !descriptor.urls.is_empty()
                || media_type.is_some_and(MediaType::is_foreign_layer),
        })
    }
}

impl Child {
    fn of(descriptor: &Descriptor) -> Option<Self> {
        Some(Self {
            reach: reach_of(descriptor)?,
            platform: descriptor.platform.clone(),
            is_document: descriptor
                .media_type
                .as_ref()
                .is_none_or(|told| told.kind().is_some()),
        })
    }
}

fn reach_of(descriptor: &Descriptor) -> Option<Reach> {
    Some(Reach {
        digest: descriptor.digest().ok()?,
        size: descriptor.size,
    })
}
