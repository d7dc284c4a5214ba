//! Manifests and indexes: the graph that they describe. Their bytes are served, never rewritten.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::descriptor::{self, MAX_ANNOTATIONS};
use super::json::{self, Object};
use super::media_type::Kind;
use super::{Descriptor, MediaType};

/// Why a document cannot be taken as a manifest or an index.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, a field of the wrong shape, or a field twice.
    #[error("it cannot be parsed: {0}")]
    Json(#[from] serde_json::Error),
    /// An array, which is no document.
    #[error("it cannot be parsed: it is an array")]
    Array,
    /// It has the fields of an image and of an index, which clients read differently (CVE-2021-41190).
    #[error("it is an image and an index at once")]
    Ambiguous,
    /// Its own media type contradicts the one under which it is known.
    #[error("it calls itself `{own}` but is referred to as `{told}`")]
    Contradiction {
        /// The type that the document states.
        own: MediaType,
        /// The type that the descriptor states.
        told: MediaType,
    },
    /// A type or a schema version that is not served.
    #[error("its type `{0}` is not supported")]
    Unsupported(String),
}

/// A manifest or an index: what it is and what it refers to.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The type under which it is served.
    pub media_type: MediaType,
    /// What it refers to.
    pub body: Body,
    /// The manifest that this one says something about
    /// ([`subject`](https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions)).
    pub subject: Option<Descriptor>,
    /// Its own `artifactType`.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest or an index refers to.
#[derive(Clone, Debug)]
pub enum Body {
    /// An image or an artifact.
    Image {
        /// The configuration.
        config: Box<Descriptor>,
        /// The layers, bottom first.
        layers: Vec<Descriptor>,
    },
    /// An index.
    Index {
        /// The manifests, in their order.
        manifests: Vec<Descriptor>,
    },
}

/// At most this many layers of an image are read.
pub const MAX_LAYERS: usize = 10_000;
/// At most this many entries of an index are read.
pub const MAX_ENTRIES: usize = 10_000;

/// Every field that tells images and indexes apart, as optional. Of lists one entry more than may be is read, which tells
/// that there are too many.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "descriptor::media_type")]
    media_type: Option<MediaType>,
    #[serde(default, deserialize_with = "json::optional_object")]
    config: Option<Descriptor>,
    #[serde(
        default,
        deserialize_with = "json::optional_list::<_, _, { MAX_LAYERS + 1 }>"
    )]
    layers: Option<Vec<Object<Descriptor>>>,
    #[serde(
        default,
        deserialize_with = "json::optional_list::<_, _, { MAX_ENTRIES + 1 }>"
    )]
    manifests: Option<Vec<Object<Descriptor>>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "json::optional_object")]
    subject: Option<Descriptor>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::map::<_, _, MAX_ANNOTATIONS>")]
    annotations: BTreeMap<String, String>,
}

impl ManifestError {
    /// A document of `media_type` cannot be taken.
    pub fn unsupported(media_type: &MediaType) -> Self {
        let is_schema_1 = media_type
            .as_str()
            .starts_with("application/vnd.docker.distribution.manifest.v1+");
        Self::Unsupported(if is_schema_1 {
            SCHEMA_1.to_owned()
        } else {
            media_type.to_string()
        })
    }
}

/// Gives the entries of an `index.json` to `take`, each for itself: a bad one must not hide the others, and all of them
/// together may take much memory. At most [`MAX_ENTRIES`] are given; one more is counted, which tells that there are more.
///
/// The file lists what a layout holds and is not served, so nothing but its entries counts.
pub fn for_each_entry(
    bytes: &[u8],
    mut take: impl FnMut(Result<Descriptor, serde_json::Error>),
) -> Result<usize, ManifestError> {
    #[derive(Deserialize)]
    struct Index<'b> {
        #[serde(
            default,
            borrow,
            deserialize_with = "json::list::<_, _, { MAX_ENTRIES + 1 }>"
        )]
        manifests: Vec<&'b serde_json::value::RawValue>,
    }
    // What is no UTF-8 harms the entry that it is in.
    let text = String::from_utf8_lossy(bytes);
    refuse_array(text.as_bytes())?;
    let index: Index<'_> = serde_json::from_str(&text)?;
    for entry in index.manifests.iter().take(MAX_ENTRIES) {
        let read: Result<Object<Descriptor>, _> = serde_json::from_str(entry.get());
        take(read.map(|Object(descriptor)| descriptor));
    }
    Ok(index.manifests.len())
}

/// Derived readers also take an array, as the fields in their order.
fn refuse_array(bytes: &[u8]) -> Result<(), ManifestError> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => Err(ManifestError::Array),
        _ => Ok(()),
    }
}

/// What current clients refuse as well.
const SCHEMA_1: &str = "Docker image manifest, schema 1";

impl Manifest {
    /// Reads a manifest or an index that a descriptor calls `told`.
    ///
    /// Without any media type the fields decide, as
    /// [image-spec](https://github.com/opencontainers/image-spec/blob/main/manifest.md) leaves it optional.
    pub fn parse(bytes: &[u8], told: Option<&MediaType>) -> Result<Self, ManifestError> {
        refuse_array(bytes)?;
        let document: Document = serde_json::from_slice(bytes)?;
        let looks_like_index = document.manifests.is_some();
        let looks_like_image =
            document.config.is_some() || document.layers.is_some() || document.fs_layers.is_some();
        if looks_like_index && looks_like_image {
            return Err(ManifestError::Ambiguous);
        }
        let media_type = document.media_type(told)?;
        let body = match media_type.kind() {
            Some(Kind::Index) if !looks_like_image => Body::Index {
                manifests: all(document.manifests),
            },
            Some(Kind::Image) if !looks_like_index => match document.config {
                Some(config) => Body::Image {
                    config: Box::new(config),
                    layers: all(document.layers),
                },
                None => {
                    return Err(ManifestError::Unsupported(
                        "image manifest without a config".to_owned(),
                    ));
                }
            },
            Some(_) => return Err(ManifestError::Ambiguous),
            None => return Err(ManifestError::unsupported(&media_type)),
        };
        Ok(Self {
            media_type,
            body,
            subject: document.subject,
            artifact_type: document.artifact_type.filter(|text| !text.is_empty()),
            annotations: document.annotations,
        })
    }

    /// All that it refers to: a configuration and layers, or manifests.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match &self.body {
            Body::Image { config, layers } => (Some(&**config), layers),
            Body::Index { manifests } => (None, manifests),
        };
        config.into_iter().chain(rest)
    }

    /// The `artifactType` under which
    /// [referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)
    /// are listed: its own, else an image's config type.
    pub fn artifact_type(&self) -> Option<&str> {
        let from_config = match &self.body {
            Body::Image { config, .. } => config.media_type.as_ref().map(MediaType::as_str),
            Body::Index { .. } => None,
        };
        self.artifact_type.as_deref().or(from_config)
    }
}

fn all(entries: Option<Vec<Object<Descriptor>>>) -> Vec<Descriptor> {
    let entries = entries.unwrap_or_default().into_iter();
    entries.map(|Object(descriptor)| descriptor).collect()
}

impl Document {
    fn media_type(&self, told: Option<&MediaType>) -> Result<MediaType, ManifestError> {
        if self.fs_layers.is_some() || self.schema_version.is_some_and(|version| version != 2) {
            return Err(ManifestError::Unsupported(SCHEMA_1.to_owned()));
        }
        match (&self.media_type, told) {
            (Some(own), Some(told)) if own != told => Err(ManifestError::Contradiction {
                own: own.clone(),
                told: told.clone(),
            }),
            (Some(own), _) => Ok(own.clone()),
            (None, Some(told)) => Ok(told.clone()),
            (None, None) => Ok(self.guess()),
        }
    }

    fn guess(&self) -> MediaType {
        let config_type = self
            .config
            .as_ref()
            .and_then(|config| config.media_type.as_ref());
        if self.manifests.is_some() {
            MediaType::OCI_INDEX
        } else if config_type == Some(&MediaType::DOCKER_CONFIG) {
            MediaType::DOCKER_MANIFEST
        } else {
            MediaType::OCI_MANIFEST
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#""config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"d","size":1}"#;

    fn check(json: &str, told: Option<&MediaType>, expected: &str) {
        let got = match Manifest::parse(json.as_bytes(), told) {
            Ok(manifest) => manifest.media_type.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expected), "{json}: {got}");
    }

    #[test]
    fn media_type_is_stated_told_or_guessed() {
        check(r#"{"manifests":[]}"#, None, "oci.image.index.v1");
        check(
            r#"{"manifests":null,"schemaVersion":2}"#,
            Some(&MediaType::OCI_INDEX),
            "oci.image.index.v1",
        );
        check(
            &format!("{{{CONFIG}}}"),
            None,
            "docker.distribution.manifest.v2",
        );
        check(
            &format!("{{{CONFIG},\"layers\":[]}}"),
            Some(&MediaType::OCI_MANIFEST),
            "oci.image.manifest.v1",
        );
        check(
            r#"{"config":{"digest":"d","size":1},"layers":null}"#,
            None,
            "oci.image.manifest.v1",
        );
    }

    #[test]
    fn refuses_what_clients_would_read_differently() {
        check(&format!("{{{CONFIG},\"manifests\":[]}}"), None, "at once");
        check(
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#,
            None,
            "at once",
        );
        let own = r#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        check(own, Some(&MediaType::OCI_MANIFEST), "but is referred to as");
        check(
            r#"{"manifests":[],"manifests":[]}"#,
            None,
            "duplicate field",
        );
        check(
            r#"{"config":{"digest":"d","size":-1}}"#,
            None,
            "cannot be parsed",
        );
        check(
            r#"{"config":{"digest":"d","size":1.5}}"#,
            None,
            "cannot be parsed",
        );
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema 1");
        check(
            r#"{"mediaType":"application/json","layers":[]}"#,
            None,
            "not supported",
        );
        check(&"[".repeat(100_000), None, "cannot be parsed");
        check("", None, "cannot be parsed");
        check("[]", None, "cannot be parsed");
        check(" [2,null]", None, "cannot be parsed");
    }

    #[test]
    fn artifact_type_falls_back_to_the_config() {
        let parse = |json: &str| Manifest::parse(json.as_bytes(), None).unwrap();
        assert_eq!(
            parse(&format!("{{{CONFIG}}}")).artifact_type(),
            Some(MediaType::DOCKER_CONFIG.as_str())
        );
        assert_eq!(
            parse(&format!("{{{CONFIG},\"artifactType\":\"a/b\"}}")).artifact_type(),
            Some("a/b")
        );
        assert_eq!(parse(r#"{"manifests":[]}"#).artifact_type(), None);
    }
}
