//! Image configurations: the part that a registry needs to know.

use jiff::Timestamp;
use serde::Deserialize;

use super::Platform;
use super::descriptor::or_default;

/// What an [image configuration](https://github.com/opencontainers/image-spec/blob/main/config.md) tells.
#[derive(Clone, Debug, Deserialize)]
pub struct ImageConfig {
    /// The platform that the image runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// When the image was made, as written; often missing or 1970.
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    rootfs: Option<RootFs>,
}

#[derive(Clone, Debug, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    diff_ids: Vec<String>,
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If the bytes are no JSON object of the expected shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// When the image was made, if that can be read.
    pub fn created(&self) -> Option<Timestamp> {
        self.created.as_deref()?.parse().ok()
    }

    /// The digests of the uncompressed layers, bottom first, as written;
    /// `None` where the document has no `rootfs` and so configures no image.
    pub fn diff_ids(&self) -> Option<&[String]> {
        self.rootfs
            .as_ref()
            .map(|rootfs| rootfs.diff_ids.as_slice())
    }
}
