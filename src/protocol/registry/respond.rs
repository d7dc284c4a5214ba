//! Answers of the endpoints.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use serde_json::json;

use super::super::{Reply, reply, set};
use super::error::Failure;
use super::page::Page;
use super::route::Reference;
use crate::catalog::{Snapshot, View};
use crate::content::Content;
use crate::digest::Digest;
use crate::headers::range::{self, Selection};
use crate::headers::{conditional, link};
use crate::oci::{Host, MediaType, Name, Tag};

/// The digest of the content, of the whole also when a part is sent.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// What a digest names never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What a tag names changes when the folder does.
const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=10");

/// What a request makes its answer depend on.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    range: Option<String>,
    if_range: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    pub(super) fn of(head: &request::Parts) -> Self {
        let get = |name: HeaderName| head.headers.get(name).map(text);
        Self {
            // Two range headers are one too many to be understood.
            range: get(header::RANGE)
                .filter(|_| head.headers.get_all(header::RANGE).iter().count() == 1),
            if_range: get(header::IF_RANGE),
            if_match: list(&head.headers, &header::IF_MATCH),
            if_none_match: list(&head.headers, &header::IF_NONE_MATCH),
        }
    }
}

/// A list that may stand on several lines.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<String> = headers.get_all(name).iter().map(text).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// A foreign tag may have bytes that are no text: it is another than ours, and not none.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// `GET /v2/`: this is a registry.
pub(super) fn ping() -> Reply {
    document(&json!({}))
}

/// `GET /v2/_catalog`: every repository once, by the name to ask for it.
pub(super) fn catalog(snapshot: &Snapshot, page: &Page, ns: Option<&Host>) -> Reply {
    let names = snapshot.names(ns);
    let (names, more) = page.of(&names);
    let mut reply = document(&json!({"repositories": names}));
    if let (true, Some(last)) = (more, names.last()) {
        let ns: Vec<_> = ns.map(|ns| ("ns", ns.as_str())).into_iter().collect();
        link_next(&mut reply, "/v2/_catalog", page, last, &ns);
    }
    reply
}

/// `GET /v2/<name>/tags/list`, in byte order.
pub(super) fn tags(view: View<'_>, name: &Name, page: &Page, ns: Option<&Host>) -> Reply {
    let tags = view.tags();
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let (tags, more) = page.of(&tags);
    let mut reply = document(&json!({"name": name.as_str(), "tags": tags}));
    if let (true, Some(last)) = (more, tags.last()) {
        let ns: Vec<_> = ns.map(|ns| ("ns", ns.as_str())).into_iter().collect();
        link_next(
            &mut reply,
            &format!("/v2/{name}/tags/list"),
            page,
            last,
            &ns,
        );
    }
    reply
}

/// `GET /v2/<name>/manifests/<tag-or-digest>`
pub(super) fn manifest(
    view: View<'_>,
    reference: &Reference,
    conditions: &Conditions,
    is_head: bool,
) -> Result<Reply, Failure> {
    let unknown = || Failure::ManifestUnknown(reference.to_string());
    let (digest, caching) = match reference {
        Reference::Digest(digest) => (digest, IMMUTABLE),
        Reference::Tag(tag) => (view.resolve(tag).ok_or_else(unknown)?, SHORT),
        Reference::Impossible(_) => return Err(unknown()),
    };
    let manifest = view.manifest(digest).ok_or_else(unknown)?;
    content(
        manifest.content,
        &manifest.media_type,
        digest,
        caching,
        conditions,
        is_head,
    )
}

/// `GET /v2/<name>/blobs/<digest>`
pub(super) fn blob(
    view: View<'_>,
    reference: &Reference,
    conditions: &Conditions,
    is_head: bool,
) -> Result<Reply, Failure> {
    let unknown = || Failure::BlobUnknown(reference.to_string());
    let Reference::Digest(digest) = reference else {
        return Err(unknown());
    };
    let blob = view.blob(digest).ok_or_else(unknown)?;
    content(
        blob,
        &MediaType::new("application/octet-stream"),
        digest,
        IMMUTABLE,
        conditions,
        is_head,
    )
}

/// A JSON document made for this answer.
pub(super) fn document(json: &serde_json::Value) -> Reply {
    let mut reply = reply(StatusCode::OK, Content::memory(json.to_string()));
    let headers = reply.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, SHORT);
    reply
}

/// Tells where the page after the one that ends with `last` is.
pub(super) fn link_next(
    reply: &mut Reply,
    path: &str,
    page: &Page,
    last: &str,
    more: &[(&str, &str)],
) {
    let count = page.count.map(|count| count.to_string());
    let mut parameters: Vec<(&str, &str)> =
        count.iter().map(|count| ("n", count.as_str())).collect();
    parameters.push(("last", last));
    parameters.extend_from_slice(more);
    set(
        reply.headers_mut(),
        header::LINK,
        &link::next(path, &parameters),
    );
}

/// Content that has a digest: all of it, the parts asked for, or none where the client has it.
///
/// Conditions are looked at in the order of
/// [RFC 9110, section 13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2).
fn content(
    content: Content,
    media_type: &MediaType,
    digest: &Digest,
    caching: HeaderValue,
    conditions: &Conditions,
    is_head: bool,
) -> Result<Reply, Failure> {
    let tag = digest.to_string();
    if conditions
        .if_match
        .as_ref()
        .is_some_and(|list| !conditional::any_matches(list, &tag, false))
    {
        return Err(Failure::PreconditionFailed);
    }
    let mut reply = if conditions
        .if_none_match
        .as_ref()
        .is_some_and(|list| conditional::any_matches(list, &tag, true))
    {
        not_modified()
    } else {
        let stands = conditions
            .if_range
            .as_ref()
            .is_none_or(|if_range| conditional::range_stands(if_range, &tag));
        // HEAD has no body that a range could be of.
        let range = conditions.range.as_deref().filter(|_| stands && !is_head);
        selected(content, media_type, digest, range)?
    };
    let headers = reply.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, caching);
    set(headers, header::ETAG, &format!("\"{tag}\""));
    set(headers, CONTENT_DIGEST, &tag);
    Ok(reply)
}

fn not_modified() -> Reply {
    let mut reply = reply(StatusCode::NOT_MODIFIED, Content::empty());
    // It would be taken for the length of the content.
    reply.headers_mut().remove(header::CONTENT_LENGTH);
    reply
}

fn selected(
    content: Content,
    media_type: &MediaType,
    digest: &Digest,
    range: Option<&str>,
) -> Result<Reply, Failure> {
    let length = content.len();
    let selection = range.map_or(Selection::Whole, |range| range::select(range, length));
    let mut content_type = media_type.to_string();
    let reply = match selection {
        Selection::Whole => reply(StatusCode::OK, content),
        Selection::Unsatisfiable => return Err(Failure::RangeNotSatisfiable(length)),
        Selection::Parts(parts) => match parts.as_slice() {
            [part] => {
                let mut reply = reply(StatusCode::PARTIAL_CONTENT, content.slice(part.clone()));
                set(
                    reply.headers_mut(),
                    header::CONTENT_RANGE,
                    &content_range(part, length),
                );
                reply
            }
            parts => {
                let boundary = format!("packageorigin-{}", digest.short());
                let body = multipart(&content, media_type, parts, &boundary);
                content_type = format!("multipart/byteranges; boundary={boundary}");
                reply(StatusCode::PARTIAL_CONTENT, body)
            }
        },
    };
    Ok(with_type(reply, &content_type))
}

fn with_type(mut reply: Reply, content_type: &str) -> Reply {
    set(reply.headers_mut(), header::CONTENT_TYPE, content_type);
    reply
}

fn content_range(part: &std::ops::Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// Several parts ([RFC 9110, section 14.6](https://www.rfc-editor.org/rfc/rfc9110#section-14.6)).
fn multipart(
    content: &Content,
    media_type: &MediaType,
    parts: &[std::ops::Range<u64>],
    boundary: &str,
) -> Content {
    let mut body = Content::empty();
    let mut line_end = "";
    for part in parts {
        let range = content_range(part, content.len());
        let head = format!(
            "{line_end}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"
        );
        body = body
            .chain(Content::memory(head))
            .chain(content.slice(part.clone()));
        line_end = "\r\n";
    }
    body.chain(Content::memory(format!("\r\n--{boundary}--\r\n")))
}

/// Replaces the type of a document that is not plain JSON.
pub(super) fn set_type(headers: &mut HeaderMap, media_type: &MediaType) {
    set(headers, header::CONTENT_TYPE, media_type.as_str());
}
