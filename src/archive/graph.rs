//! The documents and blobs of one archive while it is read: what there is, and what reaches what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::Referrer;
use super::members::{Members, Stored};
use super::problem::{Fault, Problems};
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
/// At most so many bytes of them, all together.
const MAX_BYTES: u64 = 64 << 20;
/// The manifests made for one archive may be this long together: they are kept in memory.
const MAX_MADE: usize = 16 << 20;
/// The images of one archive may reach this many digests, each counted for each image: a small
/// archive can list a large index very often.
pub const MAX_REACH: usize = 1_000_000;

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
    pub media_type: MediaType,
    pub size: u64,
    pub body: NodeBody,
    pub referrer: Option<Box<Referrer>>,
}

#[derive(Debug)]
pub enum NodeBody {
    Image(ImageNode),
    Index(Vec<Child>),
}

#[derive(Debug)]
pub struct ImageNode {
    pub config: Option<Reach>,
    /// What the configuration tells, if it is there and is an image's. Images may share it.
    pub known: Option<Arc<Known>>,
    pub layers: Vec<LayerNode>,
}

#[derive(Debug)]
pub struct Known {
    pub platform: Platform,
    pub created: Option<Timestamp>,
    diff_ids: Vec<String>,
}

#[derive(Debug)]
pub struct LayerNode {
    pub reach: Reach,
    is_plain: bool,
    /// Its absence is ordinary: clients fetch it from elsewhere.
    pub is_foreign: bool,
}

#[derive(Debug)]
pub struct Child {
    pub reach: Reach,
    pub platform: Option<Platform>,
    /// Whether it is a manifest or an index by its type, not some other blob.
    pub is_document: bool,
}

/// Everything that was found in one archive.
#[derive(Debug)]
pub struct Graph<'m> {
    members: &'m Members,
    located: BTreeMap<Digest, Stored>,
    made: BTreeMap<Digest, Bytes>,
    nodes: BTreeMap<Digest, Node>,
    /// Configurations that were read, by digest: many images may share one.
    configs: BTreeMap<Digest, Option<Arc<Known>>>,
    /// Documents that cannot be used; not to be read for each reference to them.
    refused: BTreeSet<Digest>,
    /// Length of all documents that were read.
    bytes_read: u64,
    /// Length of all manifests that were made.
    bytes_made: usize,
}

impl<'m> Graph<'m> {
    /// A graph of the archive with these members, with nothing in it.
    pub fn new(members: &'m Members) -> Self {
        Self {
            members,
            located: BTreeMap::new(),
            made: BTreeMap::new(),
            nodes: BTreeMap::new(),
            configs: BTreeMap::new(),
            refused: BTreeSet::new(),
            bytes_read: 0,
            bytes_made: 0,
        }
    }

    /// Notes that the bytes at `stored` are claimed to have `digest`. The first claim counts.
    pub fn locate(&mut self, digest: Digest, stored: Stored) {
        self.located.entry(digest).or_insert(stored);
    }

    /// Adds the canonical manifest made for an image whose config was read and whose layers are located.
    ///
    /// # Errors
    /// [`Fault`] if all that were made are too long together.
    pub fn make(
        &mut self,
        media_type: &MediaType,
        json: String,
        config: &ImageConfig,
    ) -> Result<Digest, Fault> {
        self.bytes_made += json.len();
        if self.bytes_made > MAX_MADE {
            return Err(Fault::TooMany {
                what: "bytes of manifests to make",
                limit: MAX_MADE,
            });
        }
        let bytes = Bytes::from(json);
        let digest = Digest::sha256(&bytes);
        let manifest = Manifest::parse(&bytes, Some(media_type)).map_err(Fault::Manifest)?;
        let known = Some(Arc::new(Known::of(config)));
        let node = Node::of(&manifest, bytes.len() as u64, |_| known);
        self.nodes.insert(digest.clone(), node);
        self.made.insert(digest.clone(), bytes);
        Ok(digest)
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
        if is_other || self.nodes.contains_key(&digest) || self.refused.contains(&digest) {
            return;
        }
        let Some(stored) = self.located.get(&digest).copied() else {
            return;
        };
        if depth > MAX_DEPTH {
            return problems.add_in(parent, &Fault::TooDeep(MAX_DEPTH));
        }
        if stored.size == descriptor.size && stored.size <= MAX_MANIFEST {
            self.bytes_read += stored.size;
        }
        if self.nodes.len() >= MAX_DOCUMENTS || self.bytes_read > MAX_BYTES {
            let (what, limit) = ("manifests", MAX_DOCUMENTS);
            return problems.add_in(parent, &Fault::TooMany { what, limit });
        }
        let name = digest.to_string();
        let manifest = match self.read_manifest(descriptor, &digest, stored) {
            Ok(manifest) => manifest,
            Err(fault) => {
                // What another reference says about its size may be right.
                if !matches!(fault, Fault::SizeMismatch { .. }) {
                    self.refused.insert(digest);
                }
                return problems.add_in(&name, &fault);
            }
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
    fn check_entries(&self, manifest: &Manifest, name: &str, problems: &mut Problems) {
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

    fn check_size(&self, digest: &Digest, expected: u64, problems: &mut Problems) {
        let found = self.located.get(digest).map(|stored| stored.size);
        if let Some(found) = found.filter(|found| *found != expected) {
            problems.add_in(
                &digest.to_string(),
                &Fault::SizeMismatch { expected, found },
            );
        }
    }

    /// Forgets what lies there in another length than every document says: it is damaged, and
    /// another archive may hold the whole. A document that is wrong about a length harms only itself.
    pub fn forget_damaged(&mut self) {
        let mut told: BTreeMap<&Digest, bool> = BTreeMap::new();
        for Reach { digest, size } in self.nodes.values().flat_map(Node::references) {
            if let Some(stored) = self.located.get(digest) {
                *told.entry(digest).or_default() |= stored.size == *size;
            }
        }
        let damaged: Vec<Digest> = told
            .into_iter()
            .filter(|(_, is_right)| !is_right)
            .map(|(digest, _)| digest.clone())
            .collect();
        for digest in damaged {
            self.located.remove(&digest);
        }
    }

    fn read_config(
        &mut self,
        descriptor: &Descriptor,
        problems: &mut Problems,
    ) -> Option<Arc<Known>> {
        let digest = descriptor.digest().ok()?;
        if let Some(known) = self.configs.get(&digest) {
            return known.clone();
        }
        let known = self
            .parse_config(descriptor, &digest)
            .unwrap_or_else(|fault| {
                problems.add_in(&digest.to_string(), &fault);
                None
            });
        let known = known.map(Arc::new);
        self.configs.insert(digest, known.clone());
        known
    }

    fn parse_config(
        &mut self,
        descriptor: &Descriptor,
        digest: &Digest,
    ) -> Result<Option<Known>, Fault> {
        let Some(stored) = self.located.get(digest).copied() else {
            return Ok(None);
        };
        let bytes = match self.members.read(stored, MAX_CONFIG) {
            // An artifact's config can be anything, also large: then it is a blob like a layer.
            Err(Fault::TooLarge { .. }) => return Ok(None),
            bytes => bytes?,
        };
        self.check_digest(digest, &bytes)?;
        if !descriptor
            .media_type
            .as_ref()
            .is_some_and(MediaType::is_image_config)
        {
            return Ok(None);
        }
        ImageConfig::parse(&bytes)
            .map(|config| Some(Known::of(&config)))
            .map_err(Fault::Json)
    }

    /// The stored images by their configurations.
    pub fn images_by_config(&self) -> BTreeMap<Digest, Vec<Digest>> {
        let mut images: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (digest, node) in &self.nodes {
            if let NodeBody::Image(ImageNode {
                config: Some(config),
                ..
            }) = &node.body
            {
                images
                    .entry(config.digest.clone())
                    .or_default()
                    .push(digest.clone());
            }
        }
        images
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
            let stored = self.located.get(&layer.reach.digest);
            let is_there =
                layer.is_foreign || stored.is_some_and(|stored| stored.size == layer.reach.size);
            is_there && (!layer.is_plain || layer.reach.digest.to_string() == *diff_id)
        };
        known.diff_ids.len() == image.layers.len()
            && image.layers.iter().zip(&known.diff_ids).all(layer_fits)
    }

    /// Every digest that `root` reaches, itself included, with its length.
    pub fn reach(&self, root: &Digest) -> BTreeMap<&Digest, u64> {
        let mut reached = BTreeMap::new();
        let Some((root, node)) = self.nodes.get_key_value(root) else {
            return reached;
        };
        reached.insert(root, node.size);
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            for Reach { digest, size } in node.references() {
                if reached.insert(digest, *size).is_none() {
                    pending.extend(self.nodes.get(digest));
                }
            }
        }
        reached
    }

    /// The manifests and indexes that `roots` reach, each with those of the roots that reach it.
    ///
    /// Not all of them where that would be too many: a small archive can list a large index very often.
    pub fn holders<'d>(
        &self,
        roots: impl Iterator<Item = &'d Digest>,
    ) -> BTreeMap<&Digest, Vec<&'d Digest>> {
        let mut holders: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        let mut total = 0;
        for root in roots {
            let reach = self.reach(root);
            total += reach.len();
            if total > MAX_REACH {
                break;
            }
            for digest in reach.into_keys().filter(|digest| self.is_document(digest)) {
                holders.entry(digest).or_default().push(root);
            }
        }
        holders
    }

    /// The manifest or index `digest`, if it was read.
    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// All manifests and indexes.
    pub fn nodes(&self) -> impl Iterator<Item = (&Digest, &Node)> {
        self.nodes.iter()
    }

    /// Every digest that the archive claims to hold, with the place.
    pub fn located(&self) -> impl Iterator<Item = (&Digest, Stored)> {
        self.located
            .iter()
            .map(|(digest, stored)| (digest, *stored))
    }

    /// The manifests that were made here.
    pub fn made(&self) -> &BTreeMap<Digest, Bytes> {
        &self.made
    }

    /// The members that it is about.
    pub fn members(&self) -> &'m Members {
        self.members
    }

    /// Whether `digest` is a manifest or an index that was read.
    pub fn is_document(&self, digest: &Digest) -> bool {
        self.nodes.contains_key(digest)
    }

    /// The length of what the archive holds as `digest`.
    pub fn stored_size(&self, digest: &Digest) -> Option<u64> {
        self.located.get(digest).map(|stored| stored.size)
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
        read_config: impl FnOnce(&Descriptor) -> Option<Arc<Known>>,
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

    fn references(&self) -> Box<dyn Iterator<Item = &Reach> + '_> {
        match &self.body {
            NodeBody::Image(image) => Box::new(
                image
                    .config
                    .iter()
                    .chain(image.layers.iter().map(|layer| &layer.reach)),
            ),
            NodeBody::Index(children) => Box::new(children.iter().map(|child| &child.reach)),
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
