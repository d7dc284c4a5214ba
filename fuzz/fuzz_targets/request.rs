//! Heads of requests: whatever `http` takes is read, and answered from the examples or from nothing.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header, request};
use libfuzzer_sys::fuzz_target;
use packageorigin::catalog::{Catalog, Options, Snapshot};
use packageorigin::content::{Content, Root};
use packageorigin::protocol::{self, Reply};
use serde_json::Value;

/// The examples that the repository holds.
static EXAMPLES: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let options = Options {
        auto_latest: true,
        strict_tags: false,
        strict: false,
    };
    let catalog = Catalog::new(vec![Root::new(root)], options, Box::new(|_| ()));
    catalog.refresh(Instant::now());
    catalog.snapshot().expect("a snapshot")
});

fuzz_target!(|bytes: &[u8]| {
    let Some(head) = head(bytes) else {
        return;
    };
    let operation = protocol::parse(&head);
    assert_eq!(operation.is_head(), head.method == Method::HEAD);
    check(&head, protocol::answer(Some(&EXAMPLES), &operation));
    let early = protocol::answer(None, &operation);
    if operation.needs_snapshot() {
        assert_eq!(early.status(), StatusCode::TOO_MANY_REQUESTS);
    } else if early.status() != StatusCode::SERVICE_UNAVAILABLE {
        check(&head, early);
    }
});

/// A head in lines, as far as `http` has the words for it.
fn head(bytes: &[u8]) -> Option<request::Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let target = Uri::try_from(first.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// What holds for every answer.
fn check(head: &request::Parts, reply: Reply) {
    let (answer, content) = reply.into_parts();
    let told = |name: HeaderName| {
        answer
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let length = content.len().to_string();
    assert!(told(header::CONTENT_ENCODING).is_none() && told(header::LOCATION).is_none());
    match answer.status {
        StatusCode::NOT_MODIFIED => {
            assert!(content.is_empty() && told(header::CONTENT_LENGTH).is_none());
            return;
        }
        _ => assert_eq!(told(header::CONTENT_LENGTH), Some(length.as_str())),
    }
    let is_read = [Method::GET, Method::HEAD].contains(&head.method);
    match answer.status {
        StatusCode::OK => assert!(is_read),
        StatusCode::PARTIAL_CONTENT => {
            assert_eq!(head.method, Method::GET);
            let kind = told(header::CONTENT_TYPE).expect("a type");
            let is_multipart = kind.starts_with("multipart/byteranges; boundary=");
            assert_eq!(told(header::CONTENT_RANGE).is_none(), is_multipart);
        }
        status => {
            assert!(status.is_client_error(), "{status}");
            let is_refused = status == StatusCode::METHOD_NOT_ALLOWED;
            assert!(is_read || is_refused || status == StatusCode::BAD_REQUEST);
            assert_eq!(told(header::ALLOW), is_refused.then_some("GET, HEAD"));
            let is_outside = status == StatusCode::RANGE_NOT_SATISFIABLE;
            assert_eq!(told(header::CONTENT_RANGE).is_some(), is_outside);
            check_error(&content);
        }
    }
}

/// An error says in JSON what it is.
fn check_error(content: &Content) {
    let opened = content.open().expect("it is in memory");
    let [packageorigin::content::Part::Memory(text)] = opened.parts.as_slice() else {
        panic!("an error is one text");
    };
    let document: Value = serde_json::from_slice(text).expect("JSON");
    for field in ["code", "message"] {
        let said = document["errors"][0][field].as_str();
        assert!(said.is_some_and(|said| !said.is_empty()), "{document}");
    }
}
