//! Descriptors: references to content by type, digest and size.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::json;
use super::{MediaType, Platform};
use crate::digest::{Digest, DigestError};

/// At most so many annotations of one document or descriptor are read.
pub const MAX_ANNOTATIONS: usize = 10_000;

/// A [descriptor](https://github.com/opencontainers/image-spec/blob/main/descriptor.md) as it stands in a document.
///
/// The digest stays a text: one bad entry must not make a whole index unreadable.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Type of the content; some writers leave it out.
    #[serde(default, deserialize_with = "media_type")]
    pub media_type: Option<MediaType>,
    /// Digest of the content as written.
    pub digest: String,
    /// Length of the content in bytes.
    pub size: u64,
    /// Platform, where the content is an image for one.
    #[serde(default, deserialize_with = "json::optional_object")]
    pub platform: Option<Platform>,
    /// Annotations; `null` counts as none.
    #[serde(default, deserialize_with = "json::map::<_, _, MAX_ANNOTATIONS>")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be fetched from. Never followed here.
    #[serde(default, deserialize_with = "json::list::<_, _, 64>")]
    pub urls: Vec<String>,
    /// The content itself in base64, where it is
    /// [embedded](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#embedded-content).
    #[serde(default)]
    pub data: Option<String>,
}

impl Descriptor {
    /// A descriptor of content that none was written for.
    pub fn new(digest: &Digest, size: u64, media_type: Option<MediaType>) -> Self {
        Self {
            media_type,
            digest: digest.to_string(),
            size,
            platform: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
            data: None,
        }
    }

    /// The digest, if it is one that can be verified.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        self.digest.parse()
    }

    /// The annotation `key`, unless it is absent or empty.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Reads an optional media type; an empty one counts as absent.
pub(super) fn media_type<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<MediaType>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .filter(|text| !text.is_empty())
        .map(|text| MediaType::new(&text)))
}
