//! Image configurations: the part that a registry needs to know.

use jiff::Timestamp;
use serde::Deserialize;

use super::Platform;
use super::json::{self, Object};
use super::manifest::MAX_LAYERS;

/// What an [image configuration](https://github.com/opencontainers/image-spec/blob/main/config.md) tells.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// The platform that the image runs on.
    pub platform: Platform,
    /// When the image was made, as written; often missing or 1970.
    created: Option<String>,
    rootfs: Option<RootFs>,
}

/// The fields beside those of the platform.
#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    created: Option<String>,
    #[serde(default, deserialize_with = "json::optional_object")]
    rootfs: Option<RootFs>,
}

#[derive(Clone, Debug, Deserialize)]
struct RootFs {
    /// One more than there may be tells that there are too many.
    #[serde(default, deserialize_with = "json::list::<_, _, { MAX_LAYERS + 1 }>")]
    diff_ids: Vec<String>,
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If the bytes are no JSON object of the expected shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // Twice, because to split the fields in one pass would mean to keep all others meanwhile.
        let Object(platform) = serde_json::from_slice(bytes)?;
        let Object(Rest { created, rootfs }) = serde_json::from_slice(bytes)?;
        Ok(Self {
            platform,
            created,
            rootfs,
        })
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
