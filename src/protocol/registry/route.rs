//! Which endpoint a request means.
//!
//! Repository names contain slashes, and words such as `blobs` or `tags` are legal parts of
//! them, so paths are read from their right end.

use std::borrow::Cow;
use std::fmt;

use http::{Uri, header, request};
use percent_encoding::percent_decode_str;

use super::error::Failure;
use super::page::Page;
use crate::digest::{Digest, DigestError};
use crate::oci::{Host, Name, Tag};

/// An endpoint, and the registry whose images are wanted.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    /// The host that a mirror's client names in the query; never dialed, only looked up.
    pub(super) ns: Option<Host>,
}

/// The endpoints of pull and content discovery.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// `GET /v2/`
    Ping,
    /// `GET /v2/_catalog`
    Catalog(Page),
    /// `GET /v2/<name>/tags/list`
    Tags { name: Name, page: Page },
    /// `GET /v2/<name>/manifests/<tag-or-digest>`
    Manifest { name: Name, reference: Reference },
    /// `GET /v2/<name>/blobs/<digest>`
    Blob { name: Name, reference: Reference },
    /// `GET /v2/<name>/referrers/<digest>`
    Referrers {
        name: Name,
        subject: Reference,
        artifact_type: Option<String>,
        page: Page,
    },
}

/// How content is asked for.
#[derive(Debug)]
pub(super) enum Reference {
    /// By a tag, where that is possible.
    Tag(Tag),
    /// By a digest.
    Digest(Digest),
    /// By a text that no tag can be, or a digest that cannot be verified here: there is no such content.
    Impossible(String),
}

impl Reference {
    /// The full name of that content of a repository.
    pub(super) fn of(&self, name: &Name) -> String {
        let is_digest = match self {
            Self::Tag(_) => false,
            Self::Digest(_) => true,
            // Only digests have a colon.
            Self::Impossible(text) => text.contains(':'),
        };
        let separator = if is_digest { '@' } else { ':' };
        format!("{name}{separator}{self}")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
            Self::Impossible(text) => f.write_str(text),
        }
    }
}

impl Route {
    /// Reads path, query and authority of a request.
    ///
    /// # Errors
    /// [`Failure`] for what is malformed, whatever the method.
    pub(super) fn parse(head: &request::Parts) -> Result<Self, Failure> {
        let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
        let query = Query::of(&head.uri);
        let endpoint = endpoint(&path, &query)?;
        Ok(Self {
            endpoint,
            ns: namespace(head, &query)?,
        })
    }
}

fn endpoint(path: &str, query: &Query<'_>) -> Result<Endpoint, Failure> {
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Endpoint::Ping),
        Some("/_catalog") => return Ok(Endpoint::Catalog(query.page()?)),
        Some(rest) => rest.strip_prefix('/').ok_or(Failure::NoEndpoint)?,
        None => return Err(Failure::NoEndpoint),
    };
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Ok(Endpoint::Tags {
            name: repository(name)?,
            page: query.page()?,
        });
    }
    let mut parts = rest.rsplitn(3, '/');
    let (Some(last), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Failure::NoEndpoint);
    };
    match kind {
        "manifests" => {
            let reference = if last.contains(':') {
                by_digest(last)?
            } else {
                by_tag(last)
            };
            Ok(Endpoint::Manifest {
                name: repository(name)?,
                reference,
            })
        }
        // Where pushes begin: no endpoint here, and no digest either.
        "blobs" if last == "uploads" => Err(Failure::NoEndpoint),
        "blobs" => Ok(Endpoint::Blob {
            reference: by_digest(last)?,
            name: repository(name)?,
        }),
        "referrers" => Ok(Endpoint::Referrers {
            subject: by_digest(last)?,
            name: repository(name)?,
            artifact_type: query.get("artifactType").map(Cow::into_owned),
            page: query.page()?,
        }),
        _ => Err(Failure::NoEndpoint),
    }
}

fn repository(name: &str) -> Result<Name, Failure> {
    name.parse()
        .map_err(|_| Failure::NameInvalid(name.to_owned()))
}

fn by_tag(text: &str) -> Reference {
    text.parse()
        .map_or_else(|_| Reference::Impossible(text.to_owned()), Reference::Tag)
}

fn by_digest(text: &str) -> Result<Reference, Failure> {
    match text.parse() {
        Ok(digest) => Ok(Reference::Digest(digest)),
        Err(DigestError::UnknownAlgorithm) => Ok(Reference::Impossible(text.to_owned())),
        Err(DigestError::Malformed) => Err(Failure::DigestInvalid(text.to_owned())),
    }
}

/// The namespace of a request; our own authority counts as none, because clients that were told of no mirror send it.
fn namespace(head: &request::Parts, query: &Query<'_>) -> Result<Option<Host>, Failure> {
    let Some(ns) = query.get("ns").filter(|ns| !ns.is_empty()) else {
        return Ok(None);
    };
    let host_header = head
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = head
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or(host_header);
    if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(&ns)) {
        return Ok(None);
    }
    ns.parse()
        .map(Some)
        .map_err(|_| Failure::NamespaceUnknown(ns.into_owned()))
}

/// The parameters of a query.
///
/// A `+` is a `+`: no value here has blanks, and tags and media types have `+` in them
/// that not every client encodes.
struct Query<'u>(&'u str);

impl<'u> Query<'u> {
    fn of(uri: &'u Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<Cow<'u, str>> {
        let value = self.0.split('&').find_map(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (key == name).then_some(value)
        });
        value.map(|value| percent_decode_str(value).decode_utf8_lossy())
    }

    /// # Errors
    /// [`Failure::PageInvalid`] if `n` is no number: listing everything instead would surprise.
    fn page(&self) -> Result<Page, Failure> {
        let count = match self.get("n").filter(|n| !n.is_empty()) {
            None => None,
            Some(n) if n.bytes().all(|digit| digit.is_ascii_digit()) => {
                Some(n.parse().unwrap_or(usize::MAX))
            }
            Some(n) => return Err(Failure::PageInvalid(n.into_owned())),
        };
        let last = self
            .get("last")
            .filter(|last| !last.is_empty())
            .map(Cow::into_owned);
        Ok(Page { count, last })
    }
}
