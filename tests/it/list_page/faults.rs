//! One of each fault, for people to see what is said of it; two where it may be more or less bad.

use std::io;
use std::path::PathBuf;

use packageorigin::archive::{Fault, Rivals};
use packageorigin::digest::{Algorithm, Digest, DigestError};
use packageorigin::oci::manifest::ManifestError;
use packageorigin::oci::reference::ReferenceError;
use serde_json::Value;

/// What `ENOENT` is.
const NO_SUCH_FILE: i32 = 2;
/// What `EIO` is.
const BROKEN: i32 = 5;
/// What `EACCES` is.
const PERMISSION_DENIED: i32 = 13;

pub(super) fn samples() -> Vec<Fault> {
    [files(), archives(), documents(), names()]
        .into_iter()
        .flatten()
        .collect()
}

/// The text without the digits of the digests in it.
pub(super) fn short(text: &str) -> String {
    text.replace(&"0".repeat(64), "…")
}

fn digest() -> Digest {
    Digest::from_hex(Algorithm::Sha256, &"0".repeat(64)).expect("a digest")
}

fn files() -> Vec<Fault> {
    vec![
        Fault::Unreadable(io::Error::from_raw_os_error(PERMISSION_DENIED)),
        Fault::Unreadable(io::Error::from_raw_os_error(BROKEN)),
        Fault::Lost(Some(io::Error::from_raw_os_error(NO_SUCH_FILE)), 3),
        Fault::Lost(Some(io::Error::from_raw_os_error(BROKEN)), 3),
        Fault::Lost(None, 1),
        Fault::Lost(None, 3),
        Fault::LeavesRoot(PathBuf::from("../elsewhere/app.tar")),
        Fault::DanglingLink,
        Fault::Loop,
        Fault::EmptyFile,
        Fault::NotAnArchive,
        Fault::Ignored,
        Fault::Compressed("gzip"),
        Fault::Internal,
        Fault::Changing,
    ]
}

fn archives() -> Vec<Fault> {
    vec![
        Fault::NoLayout,
        Fault::NoImages,
        Fault::OldDocker,
        Fault::BuildCache,
        Fault::Truncated {
            expected: 10_240,
            found: 4096,
        },
        Fault::BadHeader {
            offset: 512,
            what: "the checksum is wrong",
        },
        Fault::EscapingMember,
        Fault::Duplicate,
        Fault::PickedDuplicate,
        Fault::SparseMember,
        Fault::MissingMember("layer.tar".to_owned()),
        Fault::TooMany {
            what: "members",
            limit: 1_000_000,
        },
    ]
}

fn documents() -> Vec<Fault> {
    let unsupported = "application/vnd.docker.distribution.manifest.v1+json";
    vec![
        Fault::TooLarge {
            size: 100_000_000,
            limit: 4_194_304,
        },
        Fault::TooDeep(8),
        Fault::Json(serde_json::from_str::<Value>("{").expect_err("no JSON")),
        Fault::Manifest(ManifestError::Ambiguous),
        Fault::Manifest(ManifestError::Unsupported(unsupported.to_owned())),
        Fault::BadDigest {
            digest: "md5:…".to_owned(),
            error: DigestError::UnknownAlgorithm,
        },
        Fault::DigestMismatch {
            expected: digest(),
            found: digest(),
            offset: Some(1536),
        },
        Fault::Corrupt {
            digest: digest(),
            offset: 1536,
        },
        Fault::UnreadableBlob {
            digest: digest(),
            offset: 1536,
        },
        Fault::SizeMismatch {
            expected: 10_240,
            found: 4096,
        },
        Fault::BadData,
        Fault::LayerCount {
            layers: 2,
            diff_ids: 3,
        },
        Fault::LayerPacking("xz"),
        Fault::PendingLayer,
        Fault::RejectedManifest(digest()),
        Fault::Incomplete {
            image: "ghcr.io/acme/app:1".to_owned(),
            manifests: 2,
            blobs: 0,
        },
        Fault::Incomplete {
            image: "ghcr.io/acme/app:1".to_owned(),
            manifests: 0,
            blobs: 1,
        },
    ]
}

fn names() -> Vec<Fault> {
    let rivals = || {
        Box::new(Rivals {
            name: "ghcr.io/acme/app:1".to_owned(),
            loser: digest(),
            winner: digest(),
            elsewhere: PathBuf::from("newer.tar"),
        })
    };
    vec![
        Fault::BadName {
            name: "acme/App:1".to_owned(),
            error: ReferenceError::Name,
        },
        Fault::Nameless(digest()),
        Fault::NameMismatch {
            name: "app@sha256:…".to_owned(),
            found: digest(),
        },
        Fault::LooseTag("1+1".to_owned()),
        Fault::LeftOutTag("1+1".to_owned()),
        Fault::Conflict(rivals()),
        Fault::Refused(rivals()),
        Fault::ShadowedPlatform(rivals()),
        Fault::Ambiguous {
            bare: "acme/app".to_owned(),
            shadowed: "quay.io/acme/app".to_owned(),
            chosen: "ghcr.io/acme/app".to_owned(),
        },
    ]
}
