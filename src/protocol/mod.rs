//! From a request's head to a reply: synchronous, total, and without any I/O.
//!
//! [`parse`] turns a head into an [`Operation`]; [`answer`] turns that and a snapshot into a
//! [`Reply`], whose content is located but not opened. Nothing here knows of sockets, of
//! files, or of who runs it.

mod ops;
mod registry;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request};

use crate::catalog::Snapshot;
use crate::content::{Content, OpenError};

/// Why nothing can be told before the first snapshot.
const READING: &str = "the archives are being read";
/// In how many seconds to ask again after a fault that passes.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The head of an answer and its content, which is not opened yet.
pub type Reply = Response<Content>;

/// What a client asks for. Anything can be asked for: what makes no sense is refused when it is answered.
#[derive(Debug)]
pub struct Operation {
    is_head: bool,
    target: Target,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are requests to the registry"
)]
enum Target {
    Ops(ops::Probe),
    Registry(registry::Request),
}

impl Operation {
    /// Whether only the head of the answer is wanted.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether the answer depends on what is served, so that it has to wait for the first snapshot.
    pub fn needs_snapshot(&self) -> bool {
        match &self.target {
            Target::Ops(_) => false,
            Target::Registry(request) => request.needs_snapshot(),
        }
    }

    /// The name of what is asked for, as people write it, if it has one: a repository, an image or a blob.
    pub fn wanted(&self) -> Option<String> {
        match &self.target {
            Target::Ops(_) => None,
            Target::Registry(request) => request.wanted(),
        }
    }
}

/// Reads the head of a request.
pub fn parse(head: &request::Parts) -> Operation {
    let target = match ops::Probe::of(head) {
        Some(probe) => Target::Ops(probe),
        None => Target::Registry(registry::Request::parse(head)),
    };
    Operation {
        is_head: head.method == http::Method::HEAD,
        target,
    }
}

/// Answers `operation` from `snapshot`, or without one as long as nothing was read yet.
pub fn answer(snapshot: Option<&Snapshot>, operation: &Operation) -> Reply {
    match &operation.target {
        Target::Ops(probe) => probe.answer(snapshot),
        Target::Registry(request) => request.answer(snapshot, operation.is_head),
    }
}

/// Answers `operation` whose content could not be opened.
pub fn failed(operation: &Operation, error: OpenError) -> Reply {
    match &operation.target {
        Target::Registry(request) => request.failed(error),
        // Answered from memory, which cannot fail.
        Target::Ops(_) => unavailable(&error.to_string()),
    }
}

/// A reply in plain words.
fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = reply(status, Content::memory(format!("{text}\n")));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, plain);
    reply
}

/// A reply for a fault that passes.
fn unavailable(reason: &str) -> Reply {
    let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    reply.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    reply
}

/// A reply with what every reply has.
fn reply(status: StatusCode, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    let length = reply.body().len();
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    reply
}

/// Sets a header whose value is made of what was parsed and so cannot hold a control character.
fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
