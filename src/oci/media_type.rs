//! Media types, and what a document of each is.

use std::fmt;
use std::sync::Arc;

/// A media type, such as `application/vnd.oci.image.manifest.v1+json`.
///
/// Well-known ones cost no memory, and none takes more than two words where it stands: a catalog has one for each manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType(Spelling);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Spelling {
    /// A place in [`WELL_KNOWN`].
    Known(u8),
    Other(Arc<str>),
}

/// What a manifest-like document is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One image, or an artifact in the form of one.
    Image,
    /// A list of manifests, usually one for each platform.
    Index,
}

/// In the order of the constants of [`MediaType`].
const WELL_KNOWN: [&str; 11] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

impl MediaType {
    /// [OCI image manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md).
    pub const OCI_MANIFEST: Self = Self::known(0);
    /// [OCI image index](https://github.com/opencontainers/image-spec/blob/main/image-index.md).
    pub const OCI_INDEX: Self = Self::known(1);
    /// OCI image configuration.
    pub const OCI_CONFIG: Self = Self::known(2);
    /// OCI layer, not compressed.
    pub const OCI_LAYER: Self = Self::known(3);
    /// OCI layer, compressed by gzip.
    pub const OCI_LAYER_GZIP: Self = Self::known(4);
    /// OCI layer, compressed by zstd.
    pub const OCI_LAYER_ZSTD: Self = Self::known(5);
    /// Docker image manifest, version 2 schema 2.
    pub const DOCKER_MANIFEST: Self = Self::known(6);
    /// Docker manifest list.
    pub const DOCKER_LIST: Self = Self::known(7);
    /// Docker image configuration.
    pub const DOCKER_CONFIG: Self = Self::known(8);
    /// Docker layer, not compressed.
    pub const DOCKER_LAYER: Self = Self::known(9);
    /// Docker layer, compressed by gzip.
    pub const DOCKER_LAYER_GZIP: Self = Self::known(10);

    const fn known(place: u8) -> Self {
        Self(Spelling::Known(place))
    }

    /// The media type that `text` spells.
    pub fn new(text: &str) -> Self {
        let known = WELL_KNOWN
            .iter()
            .zip(0..)
            .find(|(known, _)| **known == text);
        known.map_or_else(
            || Self(Spelling::Other(text.into())),
            |(_, place)| Self::known(place),
        )
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Spelling::Known(place) => WELL_KNOWN[usize::from(*place)],
            Spelling::Other(text) => text,
        }
    }

    /// What a document of this type is; `None` for anything but a manifest or an index.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            t if *t == Self::OCI_MANIFEST || *t == Self::DOCKER_MANIFEST => Some(Kind::Image),
            t if *t == Self::OCI_INDEX || *t == Self::DOCKER_LIST => Some(Kind::Index),
            _ => None,
        }
    }

    /// Whether a document of this type configures a container image, and so tells a platform.
    pub fn is_image_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// Whether a layer of this type is a plain tar, so that its digest is its diff ID.
    pub fn is_plain_layer(&self) -> bool {
        *self == Self::OCI_LAYER || *self == Self::DOCKER_LAYER
    }

    /// Whether a document of this type describes a build cache of `BuildKit`
    /// ([local cache](https://github.com/moby/buildkit#local-directory-1)).
    pub fn is_build_cache(&self) -> bool {
        self.as_str() == "application/vnd.buildkit.cacheconfig.v0"
    }

    /// Whether a layer of this type is usually left out of archives and fetched from elsewhere
    /// ([non-distributable layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)).
    pub fn is_foreign_layer(&self) -> bool {
        let text = self.as_str();
        text.starts_with("application/vnd.docker.image.rootfs.foreign.")
            || text.starts_with("application/vnd.oci.image.layer.nondistributable.")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_type() {
        for text in WELL_KNOWN {
            let known = MediaType::new(text);
            assert!(matches!(known.0, Spelling::Known(_)), "{text}");
            assert_eq!(known.as_str(), text);
        }
        let other = MediaType::new("application/vnd.example+json");
        assert_eq!(other.as_str(), "application/vnd.example+json");
        assert_eq!(other, MediaType::new("application/vnd.example+json"));
        assert_eq!(
            MediaType::OCI_INDEX.as_str(),
            "application/vnd.oci.image.index.v1+json"
        );
        assert_eq!(
            MediaType::DOCKER_LAYER_GZIP.as_str(),
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
        );
        assert_eq!(size_of::<MediaType>(), 16);
    }
}
