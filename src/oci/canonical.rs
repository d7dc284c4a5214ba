//! The manifest made here for an image whose archive kept none, and the index made of images for several platforms.
//!
//! The forms are frozen: people pin digests, so any change is a breaking one. A manifest is a pure
//! function of the image's content and is byte for byte what Docker ≥ 25.0.6 stores in its
//! own archives (form O), or what crane and skopeo publish for gzip layers (form D).

use std::fmt::Write as _;

use serde_json::json;

use super::{MediaType, Platform};
use crate::digest::Digest;

/// How the bytes of a layer are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A tar as it is.
    Plain,
    /// A tar compressed by gzip.
    Gzip,
    /// A tar compressed by zstd.
    Zstd,
}

/// A blob that a canonical manifest refers to.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A layer of a canonical manifest.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The bytes as they are served.
    pub blob: Blob,
    /// How they are packed.
    pub packing: Packing,
}

/// The type and the bytes of the canonical manifest for `config` and `layers`, bottom first.
///
/// Form D (Docker schema 2) exactly when there are layers and all are gzip, else form O (OCI).
pub fn manifest(config: &Blob, layers: &[Layer]) -> (MediaType, String) {
    let all_gzip = !layers.is_empty() && layers.iter().all(|layer| layer.packing == Packing::Gzip);
    let form = if all_gzip { Form::Docker } else { Form::Oci };
    let mut json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":["#,
        form.manifest_type(),
        form.descriptor(&form.config_type(), config),
    );
    for (index, layer) in layers.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let descriptor = form.descriptor(&form.layer_type(layer.packing), &layer.blob);
        let _ = write!(json, "{separator}{descriptor}");
    }
    json.push_str("]}");
    (form.manifest_type(), json)
}

/// An image that a canonical index lists.
#[derive(Clone, Debug)]
pub struct Child {
    /// Type of its manifest.
    pub media_type: MediaType,
    /// Its manifest.
    pub blob: Blob,
    /// What it runs on, as its configuration tells it.
    pub platform: Platform,
}

/// The type and the bytes of the canonical index for `children`, whose order does not matter.
///
/// Docker's list exactly when all of them are Docker's manifests, else an OCI index.
pub fn index(mut children: Vec<Child>) -> (MediaType, String) {
    children.sort_by(|a, b| {
        let key = |child: &Child| {
            let Platform {
                os,
                architecture,
                variant,
                os_version,
                ..
            } = child.platform.clone();
            (
                os,
                architecture,
                variant,
                os_version,
                child.blob.digest.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let is_docker = |child: &Child| child.media_type == MediaType::DOCKER_MANIFEST;
    let form = if !children.is_empty() && children.iter().all(is_docker) {
        Form::Docker
    } else {
        Form::Oci
    };
    let entries: Vec<String> = children
        .iter()
        .map(|child| {
            let descriptor = form.descriptor(&child.media_type, &child.blob);
            format!(
                r#"{},"platform":{}}}"#,
                descriptor.trim_end_matches('}'),
                platform(&child.platform)
            )
        })
        .collect();
    let media_type = form.index_type();
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{}]}}"#,
        entries.join(",")
    );
    (media_type, json)
}

/// A platform as JSON: what is not told is left out.
fn platform(platform: &Platform) -> String {
    let texts = [
        ("architecture", json!(platform.architecture)),
        ("os", json!(platform.os)),
        ("os.version", json!(platform.os_version)),
        ("os.features", json!(platform.os_features)),
        ("variant", json!(platform.variant)),
    ];
    let fields: Vec<String> = texts
        .iter()
        .filter(|(_, value)| *value != json!("") && *value != json!([]))
        .map(|(key, value)| format!(r#""{key}":{value}"#))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[derive(Clone, Copy)]
enum Form {
    Oci,
    Docker,
}

impl Form {
    fn manifest_type(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::Docker => MediaType::DOCKER_MANIFEST,
        }
    }

    fn index_type(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_INDEX,
            Self::Docker => MediaType::DOCKER_LIST,
        }
    }

    fn config_type(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_CONFIG,
            Self::Docker => MediaType::DOCKER_CONFIG,
        }
    }

    fn layer_type(self, packing: Packing) -> MediaType {
        match (self, packing) {
            (Self::Docker, _) => MediaType::DOCKER_LAYER_GZIP,
            (Self::Oci, Packing::Plain) => MediaType::OCI_LAYER,
            (Self::Oci, Packing::Gzip) => MediaType::OCI_LAYER_GZIP,
            (Self::Oci, Packing::Zstd) => MediaType::OCI_LAYER_ZSTD,
        }
    }

    /// The key orders differ because the writers that are matched differ.
    fn descriptor(self, media_type: &MediaType, Blob { digest, size }: &Blob) -> String {
        match self {
            Self::Oci => {
                format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
            }
            Self::Docker => {
                format!(r#"{{"mediaType":"{media_type}","size":{size},"digest":"{digest}"}}"#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(hex: &str, size: u64) -> Blob {
        Blob {
            digest: format!("sha256:{hex}").parse().unwrap(),
            size,
        }
    }

    fn layer(hex: &str, size: u64, packing: Packing) -> Layer {
        Layer {
            blob: blob(hex, size),
            packing,
        }
    }

    fn check(config: &Blob, layers: &[Layer], media_type: &MediaType, length: usize, digest: &str) {
        let (got, json) = manifest(config, layers);
        assert_eq!(&got, media_type);
        assert_eq!(json.len(), length);
        assert_eq!(
            Digest::sha256(json.as_bytes()).to_string(),
            format!("sha256:{digest}")
        );
    }

    const A: &str = "b69a4f784478a3a32ef31f97a4538afc429bc5df32123f476cc71c2caaed4db7";
    const B: &str = "a6ce50536e3efbc1c68bb7d49db0e924fff4332b92bf041b4fdad39f1edab312";
    const CONFIG: &str = "05fc8751900eebec65468a08153b6b2014be99999e0f473dcf423cfe760ede09";

    #[test]
    fn plain_layers_take_the_form_that_docker_stores() {
        let layers = [
            layer(A, 20480, Packing::Plain),
            layer(B, 40960, Packing::Plain),
            layer(A, 20480, Packing::Plain),
        ];
        let digest = "67b2680eb9523da5828ed50903b7f5e5160deb811daf37d0c6a2af47ac206a04";
        check(
            &blob(CONFIG, 639),
            &layers,
            &MediaType::OCI_MANIFEST,
            700,
            digest,
        );
    }

    #[test]
    fn gzip_layers_take_the_form_that_crane_pushes() {
        let a = "b6388e9d2cf3c5868cc96bde87f0dc2f7c8c3486d0ecbdcb6f9ae8e94f5d3eba";
        let b = "ad93738ddbce85551e05b5ba1819c4c6786fa599733c107fd7299fa7be70637d";
        let layers = [
            layer(a, 141, Packing::Gzip),
            layer(b, 161, Packing::Gzip),
            layer(a, 141, Packing::Gzip),
        ];
        let digest = "6527596b60d5580b63f54171b28748adb7558c298572f976da26fce77e3043ac";
        check(
            &blob(CONFIG, 639),
            &layers,
            &MediaType::DOCKER_MANIFEST,
            743,
            digest,
        );
    }

    #[test]
    fn another_platform_of_the_same_image() {
        let config = "75cfa6491518ad0799faa81d23fbea27b6356783a5404608574f3b541e00b912";
        let first = "15a4761d4bb10d651082de71b2266db0726a68803235fea19e917530eedf15e0";
        let layers = [
            layer(first, 20480, Packing::Plain),
            layer(B, 40960, Packing::Plain),
            layer(first, 20480, Packing::Plain),
        ];
        let digest = "72f6ec4b156a9415b2017d11a3579ada23d1c6304914665e71a0784f5e5c6051";
        check(
            &blob(config, 654),
            &layers,
            &MediaType::OCI_MANIFEST,
            700,
            digest,
        );
    }

    #[test]
    fn mixed_and_missing_layers_take_the_oci_form() {
        let mixed = [layer(A, 1, Packing::Gzip), layer(B, 1, Packing::Zstd)];
        let (media_type, json) = manifest(&blob(CONFIG, 1), &mixed);
        assert_eq!(media_type, MediaType::OCI_MANIFEST);
        assert!(json.contains("tar+gzip") && json.contains("tar+zstd"));
        let (media_type, json) = manifest(&blob(CONFIG, 1), &[]);
        assert_eq!(media_type, MediaType::OCI_MANIFEST);
        assert!(json.ends_with(r#""layers":[]}"#));
    }

    fn child(media_type: MediaType, hex: &str, size: u64, platform: &str) -> Child {
        Child {
            media_type,
            blob: blob(hex, size),
            platform: serde_json::from_str(platform).unwrap(),
        }
    }

    #[test]
    fn an_index_of_two_images() {
        let amd64 = "67b2680eb9523da5828ed50903b7f5e5160deb811daf37d0c6a2af47ac206a04";
        let arm64 = "72f6ec4b156a9415b2017d11a3579ada23d1c6304914665e71a0784f5e5c6051";
        let children = vec![
            child(
                MediaType::OCI_MANIFEST,
                arm64,
                700,
                r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#,
            ),
            child(
                MediaType::OCI_MANIFEST,
                amd64,
                700,
                r#"{"os":"linux","architecture":"amd64"}"#,
            ),
        ];
        let (media_type, json) = index(children);
        assert_eq!(media_type, MediaType::OCI_INDEX);
        assert_eq!(json.len(), 506, "{json}");
        let digest = Digest::sha256(json.as_bytes()).to_string();
        assert_eq!(
            digest,
            "sha256:2e63f43ee24b0d978c62a82f47a8e8a48a356b0aef2fad10740754d6574a257a"
        );
    }

    #[test]
    fn docker_manifests_make_a_docker_list() {
        let windows = r#"{"os":"windows","architecture":"amd64","os.version":"10.0","os.features":["win32k"]}"#;
        let (media_type, json) = index(vec![child(MediaType::DOCKER_MANIFEST, A, 1, windows)]);
        assert_eq!(media_type, MediaType::DOCKER_LIST);
        let expected = format!(
            r#"{{"mediaType":"{}","size":1,"digest":"sha256:{A}","platform":{{"architecture":"amd64","os":"windows","os.version":"10.0","os.features":["win32k"]}}}}"#,
            MediaType::DOCKER_MANIFEST
        );
        assert!(json.contains(&expected), "{json}");
    }
}
