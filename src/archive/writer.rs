//! Which tool wrote an archive, as far as what it left behind tells. For people: nothing is decided by it.

use std::collections::BTreeSet;

use super::docker::Item;
use super::members::Members;
use super::names::{self, COSIGN_KIND, HAULER_KIND};
use crate::oci::{Descriptor, ImageConfig};

/// How an archive describes its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::EnumIter)]
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

/// Something in an archive that tells how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// An OCI layout.
    Layout,
    /// A Docker archive.
    Docker,
    /// A `dir:`.
    Dir,
    /// Manifests beside `index.json`, as members called by their digests.
    FlatBlobs,
    /// A cache of `BuildKit`.
    BuildCache,
    /// An entry with containerd's annotation of the name.
    ImageName,
    /// An entry of one of hauler's kinds.
    HaulerKind,
    /// An entry of one of cosign's kinds.
    CosignKind,
    /// Layers that are described by their digests instead of their diff IDs.
    SourcesByDigest,
}

/// So many images tell enough.
const MAX_ITEMS: usize = 100;

/// What of an archive tells its writer, collected while it is read.
#[derive(Debug, Default)]
pub struct Evidence {
    signs: BTreeSet<Sign>,
    items: usize,
    shapes: BTreeSet<Option<Writer>>,
}

impl Evidence {
    /// Notes a sign.
    pub fn see(&mut self, sign: Sign) {
        self.signs.insert(sign);
    }

    /// Whether a sign was seen.
    pub fn has(&self, sign: Sign) -> bool {
        self.signs.contains(&sign)
    }

    /// An entry of `index.json`.
    pub fn see_entry(&mut self, descriptor: &Descriptor) {
        let kind = names::kind(descriptor).unwrap_or_default();
        if names::has_image_name(descriptor) {
            self.see(Sign::ImageName);
        }
        if kind.starts_with(HAULER_KIND) {
            self.see(Sign::HaulerKind);
        }
        if kind.starts_with(COSIGN_KIND) {
            self.see(Sign::CosignKind);
        }
    }

    /// An item of `manifest.json`, with its configuration.
    pub fn see_item(&mut self, item: &Item, config: &ImageConfig) {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return;
        }
        let diff_ids = config.diff_ids().unwrap_or_default();
        if item.has_sources_by_digest(diff_ids) {
            self.see(Sign::SourcesByDigest);
        }
        self.shapes.insert(shape(item, diff_ids));
    }

    /// How the archive describes its images.
    pub fn format(&self) -> Option<Format> {
        match (self.has(Sign::Layout), self.has(Sign::Docker)) {
            (true, true) => Some(Format::Both),
            (true, false) => Some(Format::OciLayout),
            (false, true) => Some(Format::DockerArchive),
            (false, false) if self.has(Sign::FlatBlobs) => Some(Format::OciLayout),
            (false, false) => self.has(Sign::Dir).then_some(Format::Dir),
        }
    }

    /// The writer, if all that is there tells one.
    pub fn writer(&self, members: &Members) -> Option<Writer> {
        let is_hybrid = self.format() == Some(Format::Both);
        let is_zarf = members.contains("zarf.yaml") && members.names("images/").next().is_some();
        let has_names = self.has(Sign::ImageName);
        let signs = [
            (is_zarf, Writer::Zarf),
            (self.has(Sign::BuildCache), Writer::BuildKitCache),
            (
                self.has(Sign::FlatBlobs) && self.has(Sign::Docker),
                Writer::Apko,
            ),
            (self.has(Sign::HaulerKind), Writer::Hauler),
            (self.has(Sign::CosignKind) && has_names, Writer::Hauler),
            (self.has(Sign::CosignKind), Writer::Cosign),
            (
                is_hybrid && members.contains("repositories"),
                Writer::Docker25,
            ),
            (is_hybrid && self.has(Sign::SourcesByDigest), Writer::Regctl),
            (has_names, Writer::Containerd),
            (self.has(Sign::Dir), Writer::SkopeoDir),
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
    // Docker for Windows once wrote backslashes.
    let layers: Vec<String> = item
        .layers
        .iter()
        .map(|name| name.replace('\\', "/"))
        .collect();
    let all = |is_so: &dyn Fn(&str) -> bool| layers.iter().all(|name| is_so(name));
    let diff_ids: BTreeSet<&str> = diff_ids
        .iter()
        .filter_map(|diff_id| diff_id.strip_prefix("sha256:"))
        .collect();
    let is_diff_id = |hex: &str| diff_ids.contains(hex);
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
    } else if layers.iter().any(|name| of_diff_id(name)) {
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
