//! The [OCI Distribution API](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)
//! for pull and content discovery.

mod error;
mod page;
mod referrers;
mod respond;
mod route;

use http::{HeaderName, HeaderValue, Method, request};

use super::Reply;
use crate::catalog::{Snapshot, View};
use crate::content::OpenError;
use crate::oci::Name;
use error::Failure;
use route::{Endpoint, Route};

/// A header that Docker's clients look for; the command line of 20.10 insists on it.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The namespace that was asked for
/// ([registry proxying](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying)).
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// A request to the registry.
#[derive(Debug)]
pub(super) struct Request {
    route: Result<Route, Failure>,
    conditions: respond::Conditions,
}

impl Request {
    pub(super) fn parse(head: &request::Parts) -> Self {
        let is_read = head.method == Method::GET || head.method == Method::HEAD;
        let route = match Route::parse(head) {
            // Told whatever the method: v1.0 of the official tests sends a PUT to a malformed digest.
            Err(failure @ Failure::DigestInvalid(_)) => Err(failure),
            _ if !is_read => Err(Failure::Unsupported),
            route => route,
        };
        Self {
            route,
            conditions: respond::Conditions::of(head),
        }
    }

    pub(super) fn needs_snapshot(&self) -> bool {
        matches!(&self.route, Ok(Route { endpoint, .. }) if !matches!(endpoint, Endpoint::Ping))
    }

    /// The name of what is asked for, with the host that a mirror's client asks for.
    pub(super) fn wanted(&self) -> Option<String> {
        let Route { endpoint, ns } = self.route.as_ref().ok()?;
        let name = match endpoint {
            Endpoint::Ping | Endpoint::Catalog(_) => return None,
            Endpoint::Tags { name, .. } => name.to_string(),
            Endpoint::Manifest { name, reference } | Endpoint::Blob { name, reference } => {
                reference.of(name)
            }
            Endpoint::Referrers { name, subject, .. } => subject.of(name),
        };
        Some(match ns {
            Some(ns) => format!("{ns}/{name}"),
            None => name,
        })
    }

    pub(super) fn answer(&self, snapshot: Option<&Snapshot>, is_head: bool) -> Reply {
        self.complete(match &self.route {
            Ok(route) => self
                .respond(route, snapshot, is_head)
                .unwrap_or_else(|failure| failure.reply()),
            Err(failure) => failure.reply(),
        })
    }

    /// The answer when the content could not be opened.
    pub(super) fn failed(&self, error: OpenError) -> Reply {
        self.complete(match error {
            OpenError::Gone | OpenError::Damaged => self.lost(error).reply(),
            error => Failure::NotNow(error.to_string()).reply(),
        })
    }

    /// What no archive holds any more, or none whole.
    fn lost(&self, error: OpenError) -> Failure {
        match self.route.as_ref().map(|route| &route.endpoint) {
            Ok(Endpoint::Blob { reference, .. }) if error == OpenError::Damaged => {
                Failure::BlobDamaged(reference.to_string())
            }
            Ok(Endpoint::Blob { reference, .. }) => Failure::BlobUnknown(reference.to_string()),
            Ok(Endpoint::Manifest { name, reference }) => reference.unknown_in(name),
            // Everything else is answered from memory.
            _ => Failure::NoEndpoint,
        }
    }

    /// Adds what every answer of the registry has.
    fn complete(&self, mut reply: Reply) -> Reply {
        let headers = reply.headers_mut();
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if let Ok(Route { ns: Some(ns), .. }) = &self.route {
            super::set(headers, NAMESPACE, ns.as_str());
        }
        reply
    }

    fn respond(
        &self,
        route: &Route,
        snapshot: Option<&Snapshot>,
        is_head: bool,
    ) -> Result<Reply, Failure> {
        let Route { endpoint, ns } = route;
        let snapshot = match (endpoint, snapshot) {
            (Endpoint::Ping, _) => return Ok(respond::ping()),
            (_, Some(snapshot)) => snapshot,
            (_, None) => return Err(Failure::NotNow(super::READING.to_owned())),
        };
        let find = |name: &Name| -> Result<View<'_>, Failure> {
            snapshot
                .repository(name, ns.as_ref())
                .ok_or_else(|| Failure::NameUnknown(name.to_string()))
        };
        match endpoint {
            Endpoint::Ping => Ok(respond::ping()),
            Endpoint::Catalog(page) => Ok(respond::catalog(snapshot, page, ns.as_ref())),
            Endpoint::Tags { name, page } => {
                Ok(respond::tags(find(name)?, name, page, ns.as_ref()))
            }
            Endpoint::Manifest { name, reference } => {
                respond::manifest(find(name)?, name, reference, &self.conditions, is_head)
            }
            Endpoint::Blob { name, reference } => {
                respond::blob(find(name)?, reference, &self.conditions, is_head)
            }
            Endpoint::Referrers {
                name,
                subject,
                artifact_type,
                page,
            } => {
                let artifact_type = artifact_type.as_deref();
                let query = referrers::Query {
                    name,
                    subject,
                    artifact_type,
                    page,
                    ns: ns.as_ref(),
                };
                Ok(referrers::list(find(name)?, &query))
            }
        }
    }
}
