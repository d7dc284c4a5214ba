//! Manifests and indexes while an archive is read: what each refers to, and what its configuration told.

use std::sync::Arc;

use jiff::Timestamp;

use super::found::{Referrer, Role};
use crate::digest::Digest;
use crate::oci::manifest::{Body, MAX_ENTRIES, MAX_LAYERS};
use crate::oci::{Descriptor, ImageConfig, Manifest, MediaType, Platform};

/// A reference of a document to a blob.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The digest of the blob.
    pub digest: Digest,
    /// Its length, as the document tells it.
    pub size: u64,
    /// What it is to the document.
    pub role: Role,
}

/// A manifest or an index that was read and is what its digest says.
#[derive(Debug)]
pub struct Node {
    pub media_type: MediaType,
    pub size: u64,
    pub body: NodeBody,
    pub referrer: Option<Box<Referrer>>,
    /// It is a cache of `BuildKit`, which nobody can run.
    pub is_build_cache: bool,
}

#[derive(Debug)]
pub enum NodeBody {
    Image(ImageNode),
    Index(Vec<Child>),
}

#[derive(Debug)]
pub struct ImageNode {
    pub config: Option<Reference>,
    /// What the configuration tells, if it is there and is an image's. Images may share it.
    pub known: Option<Arc<Known>>,
    pub layers: Vec<LayerNode>,
}

/// What an image's configuration tells.
#[derive(Debug)]
pub struct Known {
    pub platform: Platform,
    pub created: Option<Timestamp>,
    pub diff_ids: Vec<String>,
}

#[derive(Debug)]
pub struct LayerNode {
    pub reference: Reference,
    /// It is a plain tar by its type, so that its digest has to be its diff ID.
    pub is_plain: bool,
}

#[derive(Debug)]
pub struct Child {
    pub reference: Reference,
    pub platform: Option<Platform>,
}

impl Known {
    /// What `config` tells.
    pub fn of(config: &ImageConfig) -> Self {
        Self {
            platform: config.platform.clone(),
            created: config.created(),
            diff_ids: config.diff_ids().unwrap_or_default().to_vec(),
        }
    }
}

impl Node {
    /// The node for a manifest of `size` bytes whose configuration told what is `known`.
    pub fn of(manifest: &Manifest, size: u64, known: Option<Arc<Known>>) -> Self {
        let body = match &manifest.body {
            Body::Image { config, layers } => NodeBody::Image(ImageNode {
                config: Reference::of(config, Role::Blob),
                known,
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
        Self {
            media_type: manifest.media_type.clone(),
            size,
            body,
            referrer: subject.map(|subject| Box::new(referrer(manifest, subject))),
            is_build_cache: is_build_cache(manifest),
        }
    }

    /// Everything that it refers to.
    pub fn references(&self) -> Box<dyn Iterator<Item = &Reference> + '_> {
        match &self.body {
            NodeBody::Image(image) => Box::new(
                image
                    .config
                    .iter()
                    .chain(image.layers.iter().map(|layer| &layer.reference)),
            ),
            NodeBody::Index(children) => Box::new(children.iter().map(|child| &child.reference)),
        }
    }
}

/// How `manifest` is listed among what says something about `subject`.
pub fn referrer(manifest: &Manifest, subject: Digest) -> Referrer {
    Referrer {
        subject,
        artifact_type: manifest.artifact_type().map(str::to_owned),
        annotations: manifest.annotations.clone(),
    }
}

/// Whether it is what `--cache-to type=local` writes: an image whose configuration is the cache's, or in former
/// times an index that lists one.
fn is_build_cache(manifest: &Manifest) -> bool {
    let is_cache = |descriptor: &Descriptor| {
        descriptor
            .media_type
            .as_ref()
            .is_some_and(MediaType::is_build_cache)
    };
    match &manifest.body {
        Body::Image { config, .. } => is_cache(config),
        Body::Index { manifests } => manifests.iter().any(is_cache),
    }
}

impl LayerNode {
    fn of(descriptor: &Descriptor) -> Option<Self> {
        let media_type = descriptor.media_type.as_ref();
        let is_foreign =
            !descriptor.urls.is_empty() || media_type.is_some_and(MediaType::is_foreign_layer);
        let role = if is_foreign {
            Role::Foreign
        } else {
            Role::Blob
        };
        Some(Self {
            reference: Reference::of(descriptor, role)?,
            is_plain: media_type.is_some_and(MediaType::is_plain_layer),
        })
    }
}

impl Child {
    fn of(descriptor: &Descriptor) -> Option<Self> {
        let is_document = descriptor
            .media_type
            .as_ref()
            .is_none_or(|told| told.kind().is_some());
        let role = if is_document {
            Role::Manifest
        } else {
            Role::Blob
        };
        Some(Self {
            reference: Reference::of(descriptor, role)?,
            platform: descriptor.platform.clone(),
        })
    }
}

impl Reference {
    fn of(descriptor: &Descriptor, role: Role) -> Option<Self> {
        Some(Self {
            digest: descriptor.digest().ok()?,
            size: descriptor.size,
            role,
        })
    }
}
