//! `GET /v2/<name>/referrers/<digest>`: what says something about a manifest
//! ([listing referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::super::Reply;
use super::page::Page;
use super::respond;
use super::route::Reference;
use crate::catalog::{Referring, View};
use crate::oci::{Host, MediaType, Name};

/// A list is cut into pages of this many bytes: clients take documents of 4 megabytes.
const MAX_PAGE: usize = 3 << 20;

/// Names the filters that were applied.
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What is asked for.
pub(super) struct Query<'q> {
    pub(super) name: &'q Name,
    pub(super) subject: &'q Reference,
    pub(super) artifact_type: Option<&'q str>,
    pub(super) page: &'q Page,
    pub(super) ns: Option<&'q Host>,
}

/// The list as an image index; an unknown subject has an empty one.
pub(super) fn list(view: View<'_>, query: &Query<'_>) -> Reply {
    let all: Vec<Referring<'_>> = match query.subject {
        Reference::Digest(subject) => view
            .referrers(subject)
            .filter(|referring| query.wants(referring))
            .collect(),
        _ => Vec::new(),
    };
    let digests: Vec<String> = all
        .iter()
        .map(|referring| referring.digest.to_string())
        .collect();
    let (wanted, mut more) = query.page.of(&digests);
    let start = wanted
        .first()
        .and_then(|first| digests.iter().position(|digest| digest == first))
        .unwrap_or_default();
    let (mut manifests, mut size) = (Vec::new(), 0);
    for referring in &all[start..start + wanted.len()] {
        let descriptor = descriptor(referring);
        size += descriptor.to_string().len();
        if size > MAX_PAGE && !manifests.is_empty() {
            more = true;
            break;
        }
        manifests.push(descriptor);
    }
    let last = manifests.len().checked_sub(1).map(|last| &wanted[last]);
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX.as_str(), "manifests": manifests});
    let mut reply = respond::document(&index);
    respond::set_type(reply.headers_mut(), &MediaType::OCI_INDEX);
    if query.artifact_type.is_some() {
        reply
            .headers_mut()
            .insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (true, Some(last)) = (more, last) {
        let path = format!("/v2/{}/referrers/{}", query.name, query.subject);
        let filter = query
            .artifact_type
            .map(|artifact_type| ("artifactType", artifact_type));
        let ns = query.ns.map(|ns| ("ns", ns.as_str()));
        let parameters: Vec<_> = filter.into_iter().chain(ns).collect();
        respond::link_next(&mut reply, &path, query.page, last, &parameters);
    }
    reply
}

impl Query<'_> {
    fn wants(&self, referring: &Referring<'_>) -> bool {
        let artifact_type = referring
            .document
            .referrer
            .as_ref()
            .and_then(|referrer| referrer.artifact_type.as_deref());
        self.artifact_type.is_none() || self.artifact_type == artifact_type
    }
}

fn descriptor(referring: &Referring<'_>) -> Value {
    let mut descriptor = json!({
        "mediaType": referring.document.media_type.as_str(),
        "digest": referring.digest.to_string(),
        "size": referring.size,
    });
    if let Some(referrer) = &referring.document.referrer {
        if let Some(artifact_type) = &referrer.artifact_type {
            descriptor["artifactType"] = json!(artifact_type);
        }
        if !referrer.annotations.is_empty() {
            descriptor["annotations"] = json!(referrer.annotations);
        }
    }
    descriptor
}
