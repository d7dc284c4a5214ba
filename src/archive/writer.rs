//! Which tool wrote an archive, as far as what it left behind tells. For people: nothing is decided by it.

use std::collections::BTreeSet;

use super::docker::Item;
use super::members::Members;
use super::names::{self, COSIGN_KIND, HAULER_KIND};
use crate::oci::{Descriptor, ImageConfig};

/// How an archive describes its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `manifest.json` as an array, as `docker save` invented it.
    DockerArchive,
    /// `index.json` and blobs.
    OciLayout,
    /// Both at once.
    Both,
    /// The `dir:` of skopeo and podman.
    Dir,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::DockerArchive => "docker-archive",
            Self::OciLayout => "oci-layout",
            Self::Both => "docker-archive+oci-layout",
            Self::Dir => "dir",
        }
    }
}

/// A tool, or a family of tools whose archives look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// Docker before 25, crane's legacy format, `rules_docker`, nix' `buildImage`.
    Docker,
    /// Docker from 25 on, without the containerd store.
    Docker25,
    /// The exporter of containerd: Docker with its store, ctr, nerdctl, buildx.
    Containerd,
    /// skopeo, podman and buildah as `docker-archive:`.
    Skopeo,
    /// The same as `dir:`.
    SkopeoDir,
    /// crane, kaniko, ko.
    Crane,
    /// apko.
    Apko,
    /// jib in Docker's format.
    Jib,
    /// `rules_oci`.
    RulesOci,
    /// nix' `streamLayeredImage`.
    Nix,
    /// regctl.
    Regctl,
    /// hauler.
    Hauler,
    /// `cosign save`.
    Cosign,
    /// zarf.
    Zarf,
    /// The cache of `BuildKit`.
    BuildKitCache,
}

impl Writer {
    /// A name for programs.
    pub fn id(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Docker25 => "docker-25",
            Self::Containerd => "containerd",
            Self::Skopeo => "skopeo",
            Self::SkopeoDir => "skopeo-dir",
            Self::Crane => "crane",
            Self::Apko => "apko",
            Self::Jib => "jib",
            Self::RulesOci => "rules_oci",
            Self::Nix => "nix",
            Self::Regctl => "regctl",
            Self::Hauler => "hauler",
            Self::Cosign => "cosign",
            Self::Zarf => "zarf",
            Self::BuildKitCache => "buildkit-cache",
        }
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker before 25, or alike",
            Self::Docker25 => "docker 25 or newer",
            Self::Containerd => "containerd's exporter (docker, ctr, nerdctl, buildx)",
            Self::Skopeo | Self::SkopeoDir => "skopeo, podman or buildah",
            Self::Crane => "crane, kaniko or ko",
            Self::Apko => "apko",
            Self::Jib => "jib",
            Self::RulesOci => "rules_oci",
            Self::Nix => "nix",
            Self::Regctl => "regctl",
            Self::Hauler => "hauler",
            Self::Cosign => "cosign",
            Self::Zarf => "zarf",
            Self::BuildKitCache => "a build cache of BuildKit",
        }
    }
}

/// What of an archive tells its writer, collected while it is read.
#[derive(Debug, Default)]
pub struct Evidence {
    pub has_layout: bool,
    pub has_docker: bool,
    pub has_dir: bool,
    /// Manifests lie beside `index.json`, as members called by their digests.
    pub has_flat_blobs: bool,
    pub has_build_cache: bool,
    has_image_name: bool,
    has_hauler_kind: bool,
    has_cosign_kind: bool,
    has_sources_by_digest: bool,
    shapes: BTreeSet<Option<Writer>>,
}

impl Evidence {
    /// An entry of `index.json`.
    pub fn see_entry(&mut self, descriptor: &Descriptor) {
        let kind = names::kind(descriptor).unwrap_or_default();
        self.has_image_name |= names::has_image_name(descriptor);
        self.has_hauler_kind |= kind.starts_with(HAULER_KIND);
        self.has_cosign_kind |= kind.starts_with(COSIGN_KIND);
    }

    /// An item of `manifest.json`, with its configuration.
    pub fn see_item(&mut self, item: &Item, config: &ImageConfig) {
        let diff_ids = config.diff_ids().unwrap_or_default();
        self.has_sources_by_digest |= item.has_sources_by_digest(diff_ids);
        self.shapes.insert(shape(item, diff_ids));
    }

    /// How the archive describes its images.
    pub fn format(&self) -> Option<Format> {
        match (self.has_layout, self.has_docker, self.has_dir) {
            (true, true, _) => Some(Format::Both),
            (true, false, _) => Some(Format::OciLayout),
            (false, true, _) => Some(Format::DockerArchive),
            (false, false, true) => Some(Format::Dir),
            (false, false, false) => None,
        }
    }

    /// The writer, if all that is there tells one.
    pub fn writer(&self, members: &Members) -> Option<Writer> {
        let is_hybrid = self.has_layout && self.has_docker;
        let is_zarf = members.contains("zarf.yaml") && members.names("images/").next().is_some();
        let signs = [
            (is_zarf, Writer::Zarf),
            (self.has_build_cache, Writer::BuildKitCache),
            (self.has_flat_blobs && self.has_docker, Writer::Apko),
            (self.has_hauler_kind, Writer::Hauler),
            (self.has_cosign_kind && self.has_image_name, Writer::Hauler),
            (self.has_cosign_kind, Writer::Cosign),
            (
                is_hybrid && members.contains("repositories"),
                Writer::Docker25,
            ),
            (is_hybrid && self.has_sources_by_digest, Writer::Regctl),
            (self.has_image_name, Writer::Containerd),
            (self.has_dir, Writer::SkopeoDir),
        ];
        let sign = signs.iter().find(|(is_seen, _)| *is_seen);
        sign.map(|(_, writer)| *writer).or_else(|| {
            let mut shapes = self.shapes.iter();
            match (shapes.next(), shapes.next()) {
                (Some(shape), None) => *shape,
                _ => None,
            }
        })
    }
}

/// Whose way it is to call members so.
fn shape(item: &Item, diff_ids: &[String]) -> Option<Writer> {
    let layers = || item.layers.iter().map(String::as_str);
    let all = |is_so: &dyn Fn(&str) -> bool| layers().all(is_so);
    let is_diff_id = |hex: &str| {
        let mut diff_ids = diff_ids.iter();
        diff_ids.any(|diff_id| diff_id.strip_prefix("sha256:") == Some(hex))
    };
    let in_folder = |name: &str| name.strip_suffix("/layer.tar").is_some_and(is_hex);
    let of_diff_id = |name: &str| name.strip_suffix("/layer.tar").is_some_and(is_diff_id);
    if item.config == "config.json" {
        return Some(Writer::Jib);
    }
    if item.layers.is_empty() {
        return None;
    }
    if all(&|name| name.starts_with("blobs/sha256/") && name.ends_with(".tar.gz")) {
        Some(Writer::RulesOci)
    } else if layers().any(of_diff_id) {
        Some(Writer::Nix)
    } else if all(&in_folder) {
        Some(Writer::Docker)
    } else if all(&|name| name.strip_suffix(".tar").is_some_and(is_diff_id)) {
        Some(Writer::Skopeo)
    } else if item.config.starts_with("sha256:") {
        Some(Writer::Crane)
    } else {
        None
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
