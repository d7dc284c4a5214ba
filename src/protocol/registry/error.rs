//! What a request fails with, as clients see it
//! ([error codes](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes)).

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::super::{RETRY_AFTER, Reply, reply};
use crate::content::Content;

/// Why a request has no other answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No endpoint has this path.
    NoEndpoint,
    /// The repository's name breaks the grammar.
    NameInvalid(String),
    /// There is no such repository.
    NameUnknown(String),
    /// No host can be called so.
    NamespaceUnknown(String),
    /// The repository has no such tag.
    TagUnknown { name: String, tag: String },
    /// The repository has no such manifest.
    ManifestUnknown { name: String, digest: String },
    /// The repository has no such blob.
    BlobUnknown(String),
    /// The bytes that the repository has for the blob are not those that its digest names.
    BlobDamaged(String),
    /// The text is no digest.
    DigestInvalid(String),
    /// The page asked for is no number.
    PageInvalid(String),
    /// Whatever would write.
    Unsupported,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// Why it cannot be answered now, but may be soon.
    NotNow(String),
    /// The range asked for lies outside of the content, which has so many bytes.
    RangeNotSatisfiable(u64),
}

impl Failure {
    /// Status and [registered code](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes).
    fn codes(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoEndpoint | Self::NameUnknown(_) | Self::NamespaceUnknown(_) => {
                (StatusCode::NOT_FOUND, "NAME_UNKNOWN")
            }
            Self::NameInvalid(_) => (StatusCode::NOT_FOUND, "NAME_INVALID"),
            Self::TagUnknown { .. } | Self::ManifestUnknown { .. } => {
                (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN")
            }
            Self::BlobUnknown(_) | Self::BlobDamaged(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::DigestInvalid(_) => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Self::PageInvalid(_) => (StatusCode::BAD_REQUEST, "UNSUPPORTED"),
            Self::Unsupported => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "UNSUPPORTED"),
            // And not 503: most clients ask again after 429, few after 503 (`docs/reference/clients.md`).
            Self::NotNow(_) => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::RangeNotSatisfiable(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID"),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoEndpoint => "no such endpoint; this is a container registry, its repositories are listed at /v2/_catalog".to_owned(),
            Self::NameInvalid(name) => format!("`{name}` is no repository name"),
            Self::NameUnknown(name) => format!("there is no repository `{name}` here"),
            Self::NamespaceUnknown(ns) => format!("there is nothing of `{ns}` here"),
            Self::TagUnknown { name, tag } => format!("`{name}` has no tag `{tag}` here; /v2/{name}/tags/list has those that it has"),
            // Whoever pins a digest has it from a registry, and is not told by any client why it is not here.
            Self::ManifestUnknown { name, digest } => format!("`{name}` has no image `{digest}` here; after `docker save` an image may have another digest: ask for its tag"),
            Self::BlobUnknown(digest) => format!("there is no blob `{digest}` in this repository"),
            Self::BlobDamaged(digest) => format!("the archive with the blob `{digest}` is damaged; the server's log names it"),
            Self::DigestInvalid(text) => format!("`{text}` is no digest"),
            Self::PageInvalid(n) => format!("`n` must be a number, not `{n}`"),
            Self::Unsupported => "this registry is read-only".to_owned(),
            Self::PreconditionFailed => "the content is not what the request expects".to_owned(),
            Self::NotNow(reason) => format!("{reason}; try again"),
            Self::RangeNotSatisfiable(length) => format!("the content has only {length} bytes"),
        }
    }

    /// The answer that tells this.
    pub(super) fn reply(&self) -> Reply {
        let (status, code) = self.codes();
        let body = json!({"errors": [{"code": code, "message": self.message()}]});
        let mut reply = reply(status, Content::memory(body.to_string()));
        let headers = reply.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        match self {
            Self::Unsupported => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::NotNow(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::RangeNotSatisfiable(length) => {
                crate::protocol::set(headers, header::CONTENT_RANGE, &format!("bytes */{length}"));
            }
            _ => {}
        }
        reply
    }
}
