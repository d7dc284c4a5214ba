//! Platforms.

use std::fmt;

use serde::Deserialize;

/// The platform of an image, as a descriptor or a configuration tells it.
///
/// `Display` gives the form that clients take: `linux/arm64/v8`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Platform {
    /// Operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Processor architecture in Go's words, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture, such as `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// Whether this names a platform that something can run on. Attestations are
    /// `unknown/unknown`; artifacts have none.
    pub fn is_real(&self) -> bool {
        let told = |part: &str| !part.is_empty() && part != "unknown";
        told(&self.os) && told(&self.architecture)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}
