//! Media types, and what a document of each is.

use std::borrow::Cow;
use std::fmt;

/// A media type, such as `application/vnd.oci.image.manifest.v1+json`.
///
/// Well-known ones cost no memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Cow<'static, str>);

/// What a manifest-like document is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One image, or an artifact in the form of one.
    Image,
    /// A list of manifests, usually one for each platform.
    Index,
}

impl MediaType {
    /// [OCI image manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md).
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// [OCI image index](https://github.com/opencontainers/image-spec/blob/main/image-index.md).
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// OCI image configuration.
    pub const OCI_CONFIG: Self = Self::known("application/vnd.oci.image.config.v1+json");
    /// OCI layer, not compressed.
    pub const OCI_LAYER: Self = Self::known("application/vnd.oci.image.layer.v1.tar");
    /// OCI layer, compressed by gzip.
    pub const OCI_LAYER_GZIP: Self = Self::known("application/vnd.oci.image.layer.v1.tar+gzip");
    /// OCI layer, compressed by zstd.
    pub const OCI_LAYER_ZSTD: Self = Self::known("application/vnd.oci.image.layer.v1.tar+zstd");
    /// Docker image manifest, version 2 schema 2.
    pub const DOCKER_MANIFEST: Self =
        Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// Docker manifest list.
    pub const DOCKER_LIST: Self =
        Self::known("application/vnd.docker.distribution.manifest.list.v2+json");
    /// Docker image configuration.
    pub const DOCKER_CONFIG: Self = Self::known("application/vnd.docker.container.image.v1+json");
    /// Docker layer, not compressed.
    pub const DOCKER_LAYER: Self = Self::known("application/vnd.docker.image.rootfs.diff.tar");
    /// Docker layer, compressed by gzip.
    pub const DOCKER_LAYER_GZIP: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.gzip");

    const KNOWN: [Self; 11] = [
        Self::OCI_MANIFEST,
        Self::OCI_INDEX,
        Self::OCI_CONFIG,
        Self::OCI_LAYER,
        Self::OCI_LAYER_GZIP,
        Self::OCI_LAYER_ZSTD,
        Self::DOCKER_MANIFEST,
        Self::DOCKER_LIST,
        Self::DOCKER_CONFIG,
        Self::DOCKER_LAYER,
        Self::DOCKER_LAYER_GZIP,
    ];

    const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The media type that `text` spells.
    pub fn new(text: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|known| known.0 == text);
        known.unwrap_or_else(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
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
        self.0 == "application/vnd.buildkit.cacheconfig.v0"
    }

    /// Whether a layer of this type is usually left out of archives and fetched from elsewhere
    /// ([non-distributable layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)).
    pub fn is_foreign_layer(&self) -> bool {
        self.0
            .starts_with("application/vnd.docker.image.rootfs.foreign.")
            || self
                .0
                .starts_with("application/vnd.oci.image.layer.nondistributable.")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
