//! Reads a Docker archive: `manifest.json` as an array, configs and layers as members.
//!
//! Such an archive keeps no manifest, so one is made (see [`canonical`]).

use serde::Deserialize;

use super::graph::{Graph, MAX_CONFIG, MAX_LAYERS};
use super::members::{Members, Stored};
use super::packing::{Compression, MAGIC_LENGTH};
use super::problem::Fault;
use crate::digest::{Algorithm, Digest};
use crate::oci::ImageConfig;
use crate::oci::canonical::{self, Packing};
use crate::oci::descriptor::or_default;

/// A `manifest.json` up to this size is read, as containerd does.
const MAX_MANIFEST: u64 = 20 << 20;

/// One image of `manifest.json`, as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    /// The member that holds the configuration.
    pub config: String,
    /// Names, each `repository:tag`.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    layers: Vec<String>,
}

/// A configuration that was read and hashed.
#[derive(Debug)]
pub struct Config {
    /// Its digest, by which the other half of a hybrid archive knows the image.
    pub digest: Digest,
    parsed: ImageConfig,
    stored: Stored,
}

/// Whether the member `manifest.json` is an array: as an object it is something else.
pub fn is_manifest(members: &Members, name: &str) -> bool {
    /// Long enough for any white space that a writer may put first.
    const FRONT: u64 = 64;
    let front = members
        .locate(name)
        .and_then(|stored| members.read_front(stored, FRONT));
    front.is_ok_and(|front| front.trim_ascii_start().first() == Some(&b'['))
}

/// The images that `manifest.json` lists, each for itself: a bad one must not hide the others.
///
/// # Errors
/// [`Fault`] if it cannot be read or parsed.
pub fn items(members: &Members, name: &str) -> Result<Vec<Result<Item, serde_json::Error>>, Fault> {
    let bytes = members.read(members.locate(name)?, MAX_MANIFEST)?;
    let items: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(&bytes).map_err(Fault::Json)?;
    Ok(items
        .iter()
        .map(|item| serde_json::from_str(item.get()))
        .collect())
}

impl Config {
    /// Reads the configuration in the member `name` of the folder `prefix`.
    ///
    /// # Errors
    /// [`Fault`] if it is not there, or not what its name says.
    pub fn read(members: &Members, prefix: &str, name: &str) -> Result<Self, Fault> {
        let stored = locate(members, prefix, name)?;
        let bytes = members.read(stored, MAX_CONFIG)?;
        let digest = Digest::sha256(&bytes);
        match digest_of_name(name) {
            Some(expected) if expected != digest => {
                return Err(Fault::DigestMismatch {
                    expected,
                    found: digest,
                });
            }
            _ => {}
        }
        let parsed = ImageConfig::parse(&bytes).map_err(Fault::Json)?;
        Ok(Self {
            digest,
            parsed,
            stored,
        })
    }
}

/// Makes the canonical manifest of `item`, locating config and layers in `graph`.
///
/// # Errors
/// The member at fault, and what is wrong with it.
pub fn make_manifest(
    members: &Members,
    prefix: &str,
    item: &Item,
    config: &Config,
    graph: &mut Graph<'_>,
) -> Result<Digest, (String, Fault)> {
    let layers = layers(members, prefix, item, &config.parsed)?;
    for (layer, stored) in &layers {
        graph.locate(layer.blob.digest.clone(), *stored);
    }
    graph.locate(config.digest.clone(), config.stored);
    let blob = canonical::Blob {
        digest: config.digest.clone(),
        size: config.stored.size,
    };
    let layers: Vec<_> = layers.into_iter().map(|(layer, _)| layer).collect();
    let (media_type, json) = canonical::manifest(&blob, &layers);
    graph
        .make(&media_type, json, &config.parsed)
        .map_err(|fault| (item.config.clone(), fault))
}

/// The layers of `item`, bottom first.
fn layers(
    members: &Members,
    prefix: &str,
    item: &Item,
    config: &ImageConfig,
) -> Result<Vec<(canonical::Layer, Stored)>, (String, Fault)> {
    let diff_ids = config.diff_ids().unwrap_or_default();
    if item.layers.len() > MAX_LAYERS {
        return Err((
            item.config.clone(),
            Fault::TooMany {
                what: "layers",
                limit: MAX_LAYERS,
            },
        ));
    }
    if diff_ids.len() != item.layers.len() {
        let fault = Fault::LayerCount {
            layers: item.layers.len(),
            diff_ids: diff_ids.len(),
        };
        return Err((item.config.clone(), fault));
    }
    let layers = item.layers.iter().zip(diff_ids);
    layers
        .map(|(name, diff_id)| {
            layer(members, prefix, name, diff_id).map_err(|fault| (name.clone(), fault))
        })
        .collect()
}

/// Where a layer lies and what its digest is, without reading more than its first bytes.
fn layer(
    members: &Members,
    prefix: &str,
    name: &str,
    diff_id: &str,
) -> Result<(canonical::Layer, Stored), Fault> {
    let stored = locate(members, prefix, name)?;
    let bad_digest = |error| Fault::BadDigest {
        digest: diff_id.to_owned(),
        error,
    };
    let diff_id: Digest = diff_id.parse().map_err(bad_digest)?;
    let compressed = match Compression::detect(&members.read_front(stored, MAGIC_LENGTH)?) {
        None => None,
        Some(Compression::Gzip) => Some(Packing::Gzip),
        Some(Compression::Zstd) => Some(Packing::Zstd),
        Some(other) => return Err(Fault::LayerPacking(other.name())),
    };
    let (packing, digest) = match compressed {
        // The diff ID is the digest of the uncompressed layer; a name that says another one leaves it open.
        None if digest_of_name(name).is_some_and(|named| named != diff_id) => {
            return Err(Fault::PendingLayer);
        }
        None => (Packing::Plain, diff_id),
        Some(packing) => match digest_of_name(name) {
            // A name that is the diff ID says nothing about the compressed bytes.
            Some(digest) if digest != diff_id => (packing, digest),
            _ => return Err(Fault::PendingLayer),
        },
    };
    let blob = canonical::Blob {
        digest,
        size: stored.size,
    };
    Ok((canonical::Layer { blob, packing }, stored))
}

/// Where the member that `manifest.json` names lies. Docker for Windows once wrote backslashes.
fn locate(members: &Members, prefix: &str, name: &str) -> Result<Stored, Fault> {
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
