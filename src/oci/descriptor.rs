//! Descriptors: references to content by type, digest and size.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{MediaType, Platform};
use crate::digest::{Digest, DigestError};

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
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Annotations; `null` counts as none.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be fetched from. Never followed here.
    #[serde(default, deserialize_with = "or_default")]
    pub urls: Vec<String>,
    /// The content itself in base64, where it is
    /// [embedded](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#embedded-content).
    #[serde(default)]
    pub data: Option<String>,
}

impl Descriptor {
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

/// Reads a value for which Go's writers also write `null`.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
