//! The documents and blobs of one archive while it is read: what there is, and what reaches what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::blobs::{Blobs, check_size};
use super::found::Referrer;
use super::lost::Loss;
use super::members::Members;
use super::node::{self, ImageNode, Known, LayerNode, Node, NodeBody, Reference};
use super::problem::{Fault, Problems};
use super::{Learned, Role};
use crate::digest::Digest;
use crate::oci::manifest::{Body, MAX_ENTRIES, MAX_LAYERS, ManifestError};
use crate::oci::{Descriptor, ImageConfig, Manifest, MediaType};

/// Manifests and indexes up to this size are read; the specification asks for at least 4 megabytes.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Configurations up to this size are read.
pub const MAX_CONFIG: u64 = 8 << 20;
/// Indexes in indexes are followed this far.
const MAX_DEPTH: usize = 8;
/// At most this many manifests and indexes are read of one archive.
const MAX_DOCUMENTS: usize = 100_000;
/// At most so many bytes of them are read, all together and with the lists of images.
const MAX_BYTES: u64 = 64 << 20;
/// What configurations say of their layers, and what says something about another image, is kept while there are no more
/// diff IDs and annotations than these.
const MAX_DIFF_IDS: usize = 200_000;
const MAX_ANNOTATIONS: usize = 50_000;
/// All layouts of an archive may list so many images and names together.
const MAX_LISTED: usize = 20_000;
/// The blobs that are embedded in one manifest may be this long together.
const MAX_EMBEDDED: usize = 4 << 20;
/// The images of one archive may reach this many digests, each counted for each repository that an image is in: a
/// small archive can list a large index very often.
pub const MAX_REACH: usize = 1_000_000;

/// Everything that was found in one archive.
#[derive(Debug)]
pub struct Graph<'m> {
    /// What lies in it.
    pub blobs: Blobs<'m>,
    made: BTreeSet<Digest>,
    nodes: BTreeMap<Digest, Node>,
    /// Configurations that were read, by digest: many images may share one.
    configs: BTreeMap<Digest, Option<Arc<Known>>>,
    /// Documents that cannot be used; not to be read for each reference to them.
    refused: BTreeSet<Digest>,
    /// Images that are named, and of which nothing can be served.
    lost: Vec<Loss>,
    /// Length of all documents that were read, and of the lists of images.
    bytes_read: u64,
    /// How many images and names were listed, and how many diff IDs and annotations are kept.
    listed: usize,
    diff_ids: usize,
    annotations: usize,
}

impl<'m> Graph<'m> {
    /// A graph of the archive with these members, with nothing in it.
    pub fn new(members: &'m Members, learned: &'m Learned) -> Self {
        Self {
            blobs: Blobs::new(members, learned),
            made: BTreeSet::new(),
            nodes: BTreeMap::new(),
            configs: BTreeMap::new(),
            refused: BTreeSet::new(),
            lost: Vec::new(),
            bytes_read: 0,
            listed: 0,
            diff_ids: 0,
            annotations: 0,
        }
    }

    /// Counts `size` bytes of a list of images that is to be read, if it is no longer than `limit`: many folders of an
    /// archive can link to one list.
    ///
    /// # Errors
    /// [`Fault`] if it is too long, or all that were read are so together.
    pub fn charge(&mut self, size: u64, limit: u64) -> Result<(), Fault> {
        if size > limit {
            return Err(Fault::TooLarge { size, limit });
        }
        self.bytes_read = self.bytes_read.saturating_add(size);
        if self.bytes_read > MAX_BYTES {
            return Err(Fault::TooMany {
                what: "bytes of lists and manifests",
                limit: usize::try_from(MAX_BYTES).unwrap_or(usize::MAX),
            });
        }
        Ok(())
    }

    /// Notes that nothing can be served of an image, about which a problem was told.
    pub fn lose(&mut self, loss: Loss) {
        self.lost.push(loss);
    }

    /// What was lost since this was asked for last.
    pub fn take_lost(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.lost)
    }

    /// Leaves out the annotations of a referrer where too many are kept already.
    fn cap_annotations(&mut self, referrer: &mut Referrer, name: &str, problems: &mut Problems) {
        self.annotations += referrer.annotations.len();
        if self.annotations > MAX_ANNOTATIONS {
            referrer.annotations.clear();
            let (what, limit) = ("annotations", MAX_ANNOTATIONS);
            problems.add_in(name, &Fault::TooMany { what, limit });
        }
    }

    /// Counts an image or a name that is listed.
    ///
    /// # Errors
    /// [`Fault`] if there are too many.
    pub fn list(&mut self) -> Result<(), Fault> {
        self.listed += 1;
        if self.listed > MAX_LISTED {
            return Err(Fault::TooMany {
                what: "images and names",
                limit: MAX_LISTED,
            });
        }
        Ok(())
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
        let bytes = Bytes::from(json);
        let digest = Digest::sha256(&bytes);
        let manifest = Manifest::parse(&bytes, Some(media_type)).map_err(Fault::Manifest)?;
        let node = Node::of(
            &manifest,
            bytes.len() as u64,
            Some(Arc::new(Known::of(config))),
        );
        self.blobs.remember(&digest, bytes)?;
        self.nodes.insert(digest.clone(), node);
        self.made.insert(digest.clone());
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
        if is_other
            || self.nodes.contains_key(&digest)
            || self.refused.contains(&digest)
            || !self.blobs.is_here(&digest)
        {
            return;
        }
        if depth > MAX_DEPTH {
            return problems.add_in(parent, &Fault::TooDeep(MAX_DEPTH));
        }
        if self.nodes.len() >= MAX_DOCUMENTS {
            let (what, limit) = ("manifests", MAX_DOCUMENTS);
            return problems.add_in(parent, &Fault::TooMany { what, limit });
        }
        if let Err(fault) = self.charge(0, 0) {
            return problems.add_in(parent, &fault);
        }
        let name = digest.to_string();
        let (manifest, size) = match self.read_manifest(descriptor, &digest) {
            Ok(read) => read,
            Err(fault) => {
                // What another reference says about its size or its type may be right.
                let is_of_reference = matches!(
                    fault,
                    Fault::SizeMismatch { .. }
                        | Fault::Manifest(ManifestError::Contradiction { .. })
                );
                if !is_of_reference {
                    self.refused.insert(digest);
                }
                return problems.add_in(&name, &fault);
            }
        };
        self.take_embedded(&manifest, &name, problems);
        self.check_entries(&manifest, &name, problems);
        let known = match &manifest.body {
            Body::Image { config, .. } => self.read_config(config, problems),
            Body::Index { .. } => None,
        };
        let mut node = Node::of(&manifest, size, known);
        if let Some(referrer) = &mut node.referrer {
            self.cap_annotations(referrer, &name, problems);
        }
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
    ) -> Result<(Manifest, u64), Fault> {
        let bytes = self
            .blobs
            .read(digest, Some(descriptor.size), MAX_MANIFEST)?;
        let size = bytes.len() as u64;
        self.bytes_read += size;
        let manifest =
            Manifest::parse(&bytes, descriptor.media_type.as_ref()).map_err(Fault::Manifest)?;
        Ok((manifest, size))
    }

    /// Takes what a manifest embeds and no member holds: the
    /// [`data`](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#embedded-content) of its descriptors.
    fn take_embedded(&mut self, manifest: &Manifest, name: &str, problems: &mut Problems) {
        let mut total = 0;
        for descriptor in manifest.descriptors() {
            let Some(data) = &descriptor.data else {
                continue;
            };
            let Some(digest) = descriptor
                .digest()
                .ok()
                .filter(|digest| !self.blobs.is_here(digest))
            else {
                continue;
            };
            total += data.len();
            let taken = if total > MAX_EMBEDDED {
                Err(Fault::TooMany {
                    what: "bytes of embedded data",
                    limit: MAX_EMBEDDED,
                })
            } else {
                embedded(data, descriptor, &digest)
                    .and_then(|bytes| self.blobs.remember(&digest, bytes))
            };
            if let Err(fault) = taken {
                problems.add_in(name, &fault);
            }
        }
    }

    /// What the entries of a manifest say is compared with what lies there.
    fn check_entries(&mut self, manifest: &Manifest, name: &str, problems: &mut Problems) {
        let (count, what, limit) = match &manifest.body {
            Body::Image { layers, .. } => (layers.len(), "layers", MAX_LAYERS),
            Body::Index { manifests } => (manifests.len(), "entries", MAX_ENTRIES),
        };
        if count > limit {
            problems.add_in(name, &Fault::TooMany { what, limit });
        }
        if let Body::Index { .. } = manifest.body {
            return;
        }
        for entry in manifest.descriptors() {
            match entry.digest() {
                Ok(digest) => self.check_stored(&digest, entry.size, problems),
                Err(error) => {
                    let digest = entry.digest.clone();
                    problems.add_in(name, &Fault::BadDigest { digest, error });
                }
            }
        }
    }

    fn check_stored(&mut self, digest: &Digest, expected: u64, problems: &mut Problems) {
        self.blobs.use_own(digest);
        self.blobs.prefer(digest, expected);
        if let Some(found) = self.blobs.stored_size(digest)
            && let Err(fault) = check_size(Some(expected), found)
        {
            problems.add_in(&digest.to_string(), &fault);
        }
    }

    /// Forgets what lies there in another length than every document says: it is damaged, and
    /// another archive may hold the whole. A document that is wrong about a length harms only itself, and whatever was
    /// hashed is whole.
    pub fn forget_damaged(&mut self) {
        let mut told: BTreeMap<&Digest, bool> = BTreeMap::new();
        for Reference { digest, size, .. } in self.nodes.values().flat_map(Node::references) {
            if let Some(stored) = self.blobs.stored_size(digest) {
                *told.entry(digest).or_default() |= stored == *size;
            }
        }
        for (digest, _) in told.into_iter().filter(|(_, is_right)| !is_right) {
            self.blobs.forget_unverified(digest);
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
        let known = known.map(|mut known| {
            self.diff_ids += known.diff_ids.len();
            if self.diff_ids > MAX_DIFF_IDS {
                known.diff_ids = Vec::new();
                let (what, limit) = ("diff IDs", MAX_DIFF_IDS);
                problems.add_in(&digest.to_string(), &Fault::TooMany { what, limit });
            }
            Arc::new(known)
        });
        self.configs.insert(digest, known.clone());
        known
    }

    fn parse_config(
        &mut self,
        descriptor: &Descriptor,
        digest: &Digest,
    ) -> Result<Option<Known>, Fault> {
        if !self.blobs.is_here(digest) {
            return Ok(None);
        }
        let bytes = match self.blobs.read(digest, None, MAX_CONFIG) {
            // An artifact's config can be anything, also large: then it is a blob like a layer.
            Err(Fault::TooLarge { .. }) => return Ok(None),
            bytes => bytes?,
        };
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

    /// Lists the entry `digest` of `index.json` among what says something about `subject`, or where it is itself such a list
    /// what that holds.
    pub fn refer_entry(&mut self, digest: &Digest, subject: &Digest) {
        match self.children(digest) {
            Some(listed) => listed.iter().for_each(|child| self.refer(child, subject)),
            None => self.refer(digest, subject),
        }
    }

    /// What the index `digest` lists; `None` if it is no index, or one that says itself what it is about.
    pub fn children(&self, digest: &Digest) -> Option<Vec<Digest>> {
        let node = self.nodes.get(digest)?;
        let NodeBody::Index(children) = &node.body else {
            return None;
        };
        let digests = children.iter().map(|child| child.reference.digest.clone());
        node.referrer.is_none().then(|| digests.collect())
    }

    /// Lists the manifest `digest`, which was read, among what says something about `subject`, unless it says itself
    /// what it is about.
    pub fn refer(&mut self, digest: &Digest, subject: &Digest) {
        let Some(node) = self.nodes.get(digest) else {
            return;
        };
        if node.referrer.is_some() || digest == subject || self.annotations > MAX_ANNOTATIONS {
            return;
        }
        let media_type = node.media_type.clone();
        let manifest = self
            .blobs
            .read(digest, None, MAX_MANIFEST)
            .ok()
            .and_then(|bytes| Manifest::parse(&bytes, Some(&media_type)).ok());
        if let (Some(manifest), Some(node)) = (manifest, self.nodes.get_mut(digest)) {
            node.referrer = Some(Box::new(node::referrer(&manifest, subject.clone())));
            self.annotations += manifest.annotations.len();
        }
    }

    /// The layers, by number, of the stored manifest `digest` whose bytes seem to lie under another name: a plain tar that
    /// is not here, and is not called by its diff ID. Docker names a layer so that it could not make again as it was.
    pub fn misplaced_layers(&self, digest: &Digest) -> BTreeSet<usize> {
        let Some(NodeBody::Image(image)) = self.nodes.get(digest).map(|node| &node.body) else {
            return BTreeSet::new();
        };
        let diff_ids = image.known.iter().flat_map(|known| &known.diff_ids);
        let layers = image.layers.iter().zip(diff_ids).enumerate();
        let misplaced = layers.filter(|(_, (layer, diff_id))| {
            let digest = &layer.reference.digest;
            layer.is_plain && !self.blobs.is_here(digest) && digest.to_string() != **diff_id
        });
        misplaced.map(|(number, _)| number).collect()
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
    /// the digest of each layer that is a plain tar is its diff ID, unless its bytes were hashed. A foreign layer may be
    /// elsewhere, unless its data is here as a plain tar: Docker on Windows stores it so.
    pub fn fits(&self, digest: &Digest) -> bool {
        let Some(NodeBody::Image(image)) = self.nodes.get(digest).map(|node| &node.body) else {
            return false;
        };
        let Some(known) = &image.known else {
            return false;
        };
        let layer_fits = |(layer, diff_id): (&LayerNode, &String)| {
            let Reference { digest, size, role } = &layer.reference;
            let is_there = self.blobs.stored_size(digest) == Some(*size);
            let is_diff_id = digest.to_string() == *diff_id;
            let is_left_out = || {
                let data: Option<Digest> = diff_id.parse().ok();
                *role == Role::Foreign && !data.is_some_and(|data| self.blobs.is_here(&data))
            };
            (is_there || is_left_out())
                && (!layer.is_plain || is_diff_id || self.blobs.is_learned(digest))
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
            for Reference { digest, size, .. } in node.references() {
                if reached.insert(digest, *size).is_none()
                    && let NodeBody::Index(_) = node.body
                {
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

    /// Whether the manifest `digest` was made here.
    pub fn is_made(&self, digest: &Digest) -> bool {
        self.made.contains(digest)
    }

    /// Whether `digest` is a manifest or an index that was read.
    pub fn is_document(&self, digest: &Digest) -> bool {
        self.nodes.contains_key(digest)
    }

    /// The digest of the manifest that `digest` says something about.
    pub fn subject(&self, digest: &Digest) -> Option<&Digest> {
        let referrer = self.nodes.get(digest)?.referrer.as_ref()?;
        Some(&referrer.subject)
    }
}

/// The bytes that are written into a descriptor.
fn embedded(data: &str, descriptor: &Descriptor, digest: &Digest) -> Result<Bytes, Fault> {
    let bytes = BASE64_STANDARD.decode(data).map_err(|_| Fault::BadData)?;
    check_size(Some(descriptor.size), bytes.len() as u64)?;
    let found = Digest::of(digest.algorithm(), &bytes);
    if found == *digest {
        return Ok(bytes.into());
    }
    Err(Fault::DigestMismatch {
        expected: digest.clone(),
        found,
        offset: None,
    })
}
