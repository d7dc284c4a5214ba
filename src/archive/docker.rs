//! Reads a Docker archive: `manifest.json` as an array, configs and layers as members.
//!
//! Such an archive keeps no manifest, so one is made (see [`canonical`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::graph::{Graph, MAX_CONFIG};
use super::members::{Members, Stored};
use super::packing::Compression;
use super::problem::Fault;
use crate::digest::{Algorithm, Digest};
use crate::oci::canonical::{self, Packing};
use crate::oci::json::{self, Object};
use crate::oci::manifest::MAX_LAYERS;
use crate::oci::{ImageConfig, MediaType};

/// A `manifest.json` up to this size is read, as containerd does.
pub const MAX_MANIFEST: u64 = 20 << 20;

/// At most this many images of a `manifest.json` are read, and as many names of each.
pub const MAX_ITEMS: usize = 10_000;

/// One image of `manifest.json`, as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    /// The member that holds the configuration.
    pub config: String,
    /// Names, each `repository:tag`.
    #[serde(default, deserialize_with = "json::list::<_, _, MAX_ITEMS>")]
    pub repo_tags: Vec<String>,
    /// Members, bottom first.
    #[serde(default, deserialize_with = "json::list::<_, _, { MAX_LAYERS + 1 }>")]
    pub layers: Vec<String>,
    /// By diff ID, or by some writers by digest.
    #[serde(default, deserialize_with = "json::map::<_, _, MAX_LAYERS>")]
    layer_sources: BTreeMap<String, LayerSource>,
}

/// What a writer says about a layer beside its name. Never believed alone: it has four meanings.
#[derive(Debug, Deserialize)]
struct LayerSource {
    #[serde(default, rename = "mediaType")]
    media_type: Option<String>,
    #[serde(default)]
    digest: Option<String>,
}

impl Item {
    /// Whether it describes its layers by their digests, not by their diff IDs.
    pub fn has_sources_by_digest(&self, diff_ids: &[String]) -> bool {
        self.layer_sources
            .iter()
            .any(|(key, source)| source.digest.as_ref() == Some(key) && !diff_ids.contains(key))
    }

    /// Whether the archive says of the plain layer with `diff_id` that its bytes have another digest.
    fn contradicts(&self, diff_id: &Digest) -> bool {
        let source = self.layer_sources.get(&diff_id.to_string());
        source.is_some_and(|source| {
            let is_plain = source
                .media_type
                .as_deref()
                .is_some_and(|told| MediaType::new(told).is_plain_layer());
            let digest = source.digest.as_deref().and_then(|told| told.parse().ok());
            is_plain && digest.is_some_and(|digest: Digest| digest != *diff_id)
        })
    }
}

/// A configuration that was read and hashed.
#[derive(Debug)]
pub struct Config {
    /// Its digest, by which the other half of a hybrid archive knows the image.
    pub digest: Digest,
    /// What it says.
    pub parsed: ImageConfig,
    stored: Stored,
}

/// What a member `manifest.json` is: two formats call a file so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list of images: a Docker archive.
    Array,
    /// A manifest.
    Object,
}

/// What the member `name` is by its first bytes.
pub fn kind_of_manifest(members: &Members, name: &str) -> Option<Kind> {
    /// Long enough for any white space that a writer may put first.
    const FRONT: u64 = 64;
    let stored = members.locate(name).ok()?;
    let front = members.read_front(stored, FRONT).ok()?;
    match front.trim_ascii_start().first() {
        Some(b'[') => Some(Kind::Array),
        Some(b'{') => Some(Kind::Object),
        _ => None,
    }
}

/// Gives the images that `manifest.json` lists to `take`, each for itself: a bad one must not hide the others, and all
/// of them together may take much memory. At most [`MAX_ITEMS`] are given; one more is counted, which tells that there are
/// more.
///
/// # Errors
/// [`Fault`] if it cannot be parsed.
pub fn for_each_item(
    bytes: &[u8],
    mut take: impl FnMut(Result<Item, serde_json::Error>),
) -> Result<usize, Fault> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Items<'b> {
        #[serde(borrow, deserialize_with = "json::list::<_, _, { MAX_ITEMS + 1 }>")]
        all: Vec<&'b serde_json::value::RawValue>,
    }
    // What is no UTF-8 harms the item that it is in.
    let text = String::from_utf8_lossy(bytes);
    let items: Items<'_> = serde_json::from_str(&text).map_err(Fault::Json)?;
    for item in items.all.iter().take(MAX_ITEMS) {
        let read: Result<Object<Item>, _> = serde_json::from_str(item.get());
        take(read.map(|Object(item)| item));
    }
    Ok(items.all.len())
}

impl Config {
    /// Reads the configuration at `stored`, the digest of whose bytes is found whatever they are.
    ///
    /// # Errors
    /// [`Fault`] if it cannot be read, and in the end if it is none.
    pub fn read(
        members: &Members,
        stored: Stored,
    ) -> Result<(Digest, Result<Self, serde_json::Error>), Fault> {
        let bytes = members.read(stored, MAX_CONFIG)?;
        let digest = Digest::sha256(&bytes);
        let config = ImageConfig::parse(&bytes).map(|parsed| Self {
            digest: digest.clone(),
            parsed,
            stored,
        });
        Ok((digest, config))
    }
}

/// Compares the digest of the configuration at `stored` with the name of the member that it is in.
///
/// # Errors
/// [`Fault::DigestMismatch`] if that is another digest.
pub fn check_name(name: &str, stored: Stored, found: &Digest) -> Result<(), Fault> {
    match digest_of_name(name) {
        Some(expected) if expected != *found => Err(Fault::DigestMismatch {
            expected,
            found: found.clone(),
            offset: Some(stored.offset),
        }),
        _ => Ok(()),
    }
}

/// An image to make a manifest for.
pub struct Image<'i> {
    /// What `manifest.json` says.
    pub item: &'i Item,
    /// Its configuration.
    pub config: &'i Config,
    /// The layers, by number, whose diff IDs are not believed to be their digests.
    pub doubted: &'i BTreeSet<usize>,
}

impl Image<'_> {
    /// Makes the canonical manifest, locating config and layers in `graph`.
    ///
    /// # Errors
    /// The member at fault, and what is wrong with it.
    pub fn make_manifest(
        &self,
        members: &Members,
        prefix: &str,
        graph: &mut Graph<'_>,
    ) -> Result<Digest, (String, Fault)> {
        let Self { item, config, .. } = self;
        let in_config = |fault| (item.config.clone(), fault);
        let diff_ids = diff_ids(item, &config.parsed).map_err(in_config)?;
        let mut layers = Vec::new();
        let mut pending = None;
        for (number, (name, diff_id)) in item.layers.iter().zip(diff_ids).enumerate() {
            let layer = Layer {
                item,
                name,
                diff_id,
                is_doubted: self.doubted.contains(&number),
            };
            match layer.read(members, prefix, graph) {
                Ok(layer) => layers.push(layer),
                // All that has to be hashed is found at once.
                Err(fault @ Fault::PendingLayer) => {
                    pending = pending.or(Some((name.clone(), fault)));
                }
                Err(fault) => return Err((name.clone(), fault)),
            }
        }
        if let Some(pending) = pending {
            return Err(pending);
        }
        for (layer, stored) in &layers {
            graph.blobs.locate(layer.blob.digest.clone(), *stored);
        }
        graph.blobs.locate(config.digest.clone(), config.stored);
        let blob = canonical::Blob {
            digest: config.digest.clone(),
            size: config.stored.size,
        };
        let layers: Vec<_> = layers.into_iter().map(|(layer, _)| layer).collect();
        let (media_type, json) = canonical::manifest(&blob, &layers);
        graph
            .make(&media_type, json, &config.parsed)
            .map_err(in_config)
    }
}

/// The diff IDs of the layers of `item`, of which there have to be as many.
fn diff_ids<'c>(item: &Item, config: &'c ImageConfig) -> Result<&'c [String], Fault> {
    let diff_ids = config.diff_ids().unwrap_or_default();
    if item.layers.len() > MAX_LAYERS {
        return Err(Fault::TooMany {
            what: "layers",
            limit: MAX_LAYERS,
        });
    }
    if diff_ids.len() != item.layers.len() {
        return Err(Fault::LayerCount {
            layers: item.layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    Ok(diff_ids)
}

/// A layer that `manifest.json` lists.
struct Layer<'i> {
    item: &'i Item,
    /// Of the member.
    name: &'i str,
    /// As the configuration has it.
    diff_id: &'i str,
    /// Something else in the archive says that its digest is another one.
    is_doubted: bool,
}

impl Layer<'_> {
    /// Where it lies and what its digest is, without reading more than its first bytes.
    fn read(
        &self,
        members: &Members,
        prefix: &str,
        graph: &mut Graph<'_>,
    ) -> Result<(canonical::Layer, Stored), Fault> {
        let stored = locate(members, prefix, self.name)?;
        let packing = match graph.blobs.compression(stored)? {
            None => Packing::Plain,
            Some(Compression::Gzip) => Packing::Gzip,
            Some(Compression::Zstd) => Packing::Zstd,
            Some(other) => return Err(Fault::LayerPacking(other.name())),
        };
        let diff_id = self.parsed_diff_id()?;
        let digest = match self.claimed(packing, &diff_id) {
            Some(digest) => digest,
            None => graph
                .blobs
                .learn(stored, diff_id)
                .ok_or(Fault::PendingLayer)?,
        };
        let size = stored.size;
        let blob = canonical::Blob { digest, size };
        Ok((canonical::Layer { blob, packing }, stored))
    }

    fn parsed_diff_id(&self) -> Result<Digest, Fault> {
        let bad_digest = |error| Fault::BadDigest {
            digest: self.diff_id.to_owned(),
            error,
        };
        self.diff_id.parse().map_err(bad_digest)
    }

    /// The digest that the archive claims for it; `None` where it claims none, or two.
    fn claimed(&self, packing: Packing, diff_id: &Digest) -> Option<Digest> {
        let named = digest_of_name(self.name);
        match packing {
            Packing::Plain => {
                let is_contradicted = self.is_doubted
                    || named.is_some_and(|named| named != *diff_id)
                    || self.item.contradicts(diff_id);
                (!is_contradicted).then(|| diff_id.clone())
            }
            // A name that is the diff ID says nothing about the compressed bytes.
            Packing::Gzip | Packing::Zstd => named.filter(|named| named != diff_id),
        }
    }
}

/// Where the member that `manifest.json` names lies. Docker for Windows once wrote backslashes.
pub fn locate(members: &Members, prefix: &str, name: &str) -> Result<Stored, Fault> {
    members.locate_in(prefix, &name.replace('\\', "/"))
}

/// The SHA-256 digest that the last part of a member's name claims, if it does.
///
/// Never the folder: `<v1 id>/layer.tar` has an id there that is no digest.
fn digest_of_name(name: &str) -> Option<Digest> {
    let base = name.rsplit(['/', '\\']).next()?;
    let base = base.strip_prefix("sha256:").unwrap_or(base);
    let extensions = [".tar.gz", ".tar.zst", ".tgz", ".tar", ".json"];
    let hex = extensions
        .iter()
        .find_map(|extension| base.strip_suffix(extension))
        .unwrap_or(base);
    Digest::from_hex(Algorithm::Sha256, hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_names() {
        let hex = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let digest = Digest::from_hex(Algorithm::Sha256, hex).ok();
        for name in [
            "X",
            "X.json",
            "X.tar",
            "X.tar.gz",
            "sha256:X",
            "blobs/sha256/X",
            "a\\X.tgz",
            "a/X.tar.zst",
        ] {
            assert_eq!(digest_of_name(&name.replace('X', hex)), digest, "{name}");
        }
        for name in ["config.json", "X/layer.tar", "layer.tar", "X.txt", ""] {
            assert_eq!(digest_of_name(&name.replace('X', hex)), None, "{name}");
        }
    }
}
