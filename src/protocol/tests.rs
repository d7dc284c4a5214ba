//! Requests and their replies, from the examples' snapshot: no sockets.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http::Request;
use serde_json::Value;

use super::*;
use crate::catalog::{Catalog, Options};
use crate::content::{Part, Root};

/// The examples that the repository holds, cataloged once.
static EXAMPLES: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let root = Root::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    let options = Options {
        auto_latest: true,
        strict_tags: false,
        strict: false,
    };
    let catalog = Catalog::new(vec![root], options, Box::new(|_| ()));
    catalog.refresh(Instant::now());
    catalog.snapshot().unwrap()
});

const HELLO: &str = "/v2/hello";
const RECIPE: &str = "/v2/packageorigin/oci-distribution-conformance";
const ABSENT: &str = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn operation(method: &str, path: &str, headers: &[(&str, &str)]) -> Operation {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "localhost:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    parse(&request.body(()).unwrap().into_parts().0)
}

/// A reply with its bytes.
struct Got {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The code of the first error.
    fn code(&self) -> String {
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let reply = answer(Some(&EXAMPLES), &operation(method, path, headers));
    let (head, content) = reply.into_parts();
    let mut bytes = Vec::new();
    for part in content.open().unwrap().parts {
        match part {
            Part::Memory(part) => bytes.extend_from_slice(&part),
            Part::Extent(mut extent) => {
                let start = bytes.len();
                bytes.resize(start + usize::try_from(extent.remaining()).unwrap(), 0);
                extent.read(&mut bytes[start..]).unwrap();
            }
        }
    }
    let length = head
        .headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().unwrap().parse());
    assert!(
        length.is_none_or(|length| length == Ok(bytes.len())),
        "{path}"
    );
    Got {
        status: head.status.as_u16(),
        headers: head.headers,
        bytes,
    }
}

fn get(path: &str) -> Got {
    ask("GET", path, &[])
}

fn digest_of(path: &str) -> String {
    get(path).header("docker-content-digest").to_owned()
}

/// Checks that `method` on `path` fails, as the specification says failures look.
fn fails(method: &str, path: &str, status: u16, code: &str) {
    let got = ask(method, path, &[]);
    assert_eq!(
        (got.status, got.code().as_str()),
        (status, code),
        "{method} {path}"
    );
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(
        got.header("allow"),
        if status == 405 { "GET, HEAD" } else { "" }
    );
}

#[test]
fn whatever_would_write_is_refused() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in [
            "/v2/",
            "/healthz",
            "/v2/hello/manifests/latest",
            "/v2/hello/blobs/uploads/",
            "/anything",
        ] {
            fails(method, path, 405, "UNSUPPORTED");
        }
        fails(
            method,
            &format!("{HELLO}/blobs/uploads/?mount={ABSENT}"),
            405,
            "UNSUPPORTED",
        );
        fails(
            method,
            &format!("{HELLO}/blobs/{ABSENT}"),
            405,
            "UNSUPPORTED",
        );
        fails(
            method,
            &format!("{HELLO}/manifests/sha256:totallywrong"),
            400,
            "DIGEST_INVALID",
        );
    }
}

#[test]
fn what_is_malformed_is_told_apart_from_what_is_missing() {
    let check = |path: &str, status, code| fails("GET", &format!("/v2/{path}"), status, code);
    check("hello/manifests/sha256:totallywrong", 400, "DIGEST_INVALID");
    check(
        &format!("hello/manifests/{}", ABSENT.to_uppercase()),
        400,
        "DIGEST_INVALID",
    );
    check("hello/blobs/latest", 400, "DIGEST_INVALID");
    check("hello/referrers/latest", 400, "DIGEST_INVALID");
    for reference in [".INVALID_MANIFEST_NAME", "nope", "", ABSENT, "blake3:00"] {
        check(
            &format!("hello/manifests/{reference}"),
            404,
            "MANIFEST_UNKNOWN",
        );
    }
    for digest in [ABSENT, "blake3:00"] {
        check(&format!("hello/blobs/{digest}"), 404, "BLOB_UNKNOWN");
        check(&format!("nope/blobs/{digest}"), 404, "NAME_UNKNOWN");
        check(&format!("nope/referrers/{digest}"), 404, "NAME_UNKNOWN");
    }
    check("nope/manifests/latest", 404, "NAME_UNKNOWN");
    check("nope/tags/list", 404, "NAME_UNKNOWN");
    for name in [
        "UPPER", "a//b", "..", "hello/..", "a___b", "%00", "%ff", "_catalog", "a%20b",
    ] {
        check(&format!("{name}/tags/list"), 404, "NAME_INVALID");
    }
    for n in ["x", "-1", "1.5", "%31%20"] {
        check(&format!("hello/tags/list?n={n}"), 400, "UNSUPPORTED");
    }
}

#[test]
fn what_is_no_endpoint_is_not_found() {
    let inside = [
        "hello",
        "hello/tags",
        "tags/list",
        "manifests/x",
        "hello/manifests",
        "hello/blobs/uploads/x",
    ];
    let paths = inside.iter().map(|path| format!("/v2/{path}"));
    for path in paths.chain(["/", "/v1/_ping", "/v3/", "/v2x", "/favicon.ico"].map(str::to_owned)) {
        fails("GET", &path, 404, "NAME_UNKNOWN");
    }
}

#[test]
fn names_may_hold_the_words_of_endpoints() {
    let check = |path: &str, code: &str| assert_eq!(get(path).code(), code, "{path}");
    check("/v2/a/manifests/manifests/x", "NAME_UNKNOWN");
    check("/v2/tags/list/tags/list", "NAME_UNKNOWN");
    check(&format!("/v2/a/blobs/b/blobs/{ABSENT}"), "NAME_UNKNOWN");
    check("/v2/blobs/uploads/manifests/x", "NAME_UNKNOWN");
}

#[test]
fn tags_in_byte_order_and_by_page() {
    let check = |query: &str, expected: &[&str], next: &str| {
        let got = get(&format!("{RECIPE}/tags/list{query}"));
        assert_eq!(got.json()["tags"], serde_json::json!(expected), "{query}");
        assert_eq!(got.json()["name"], RECIPE.trim_start_matches("/v2/"));
        let next = if next.is_empty() {
            String::new()
        } else {
            format!("<{RECIPE}/tags/list?{next}>; rel=\"next\"")
        };
        assert_eq!(got.header("link"), next, "{query}");
    };
    let all = ["1.0.0", "1.0.1", "1.1.0+oci", "2.0.0-preview.1", "latest"];
    check("", &all, "");
    check("?n=2", &all[..2], "n=2&last=1.0.1");
    check("?n=2&last=1.0.1", &all[2..4], "n=2&last=2.0.0-preview.1");
    check("?n=2&last=2.0.0-preview.1", &all[4..], "");
    check("?n=3", &all[..3], "n=3&last=1.1.0%2Boci");
    check("?last=1.1.0%2Boci", &all[3..], "");
    check("?last=1.1.0+oci", &all[3..], "");
    check("?n=5", &all, "");
    check("?n=0", &[], "");
    check("?n=", &all, "");
    check("?n=99999999999999999999999999", &all, "");
    check(
        "?n=1&ns=docker.io",
        &all[..1],
        "n=1&last=1.0.0&ns=docker.io",
    );
    check("?ns=docker.io", &all[..4], "");
}

#[test]
fn the_catalog_lists_every_repository_once() {
    let all = serde_json::json!(["hello", "packageorigin/oci-distribution-conformance"]);
    assert_eq!(get("/v2/_catalog").json()["repositories"], all);
    let hub = serde_json::json!([
        "library/hello",
        "packageorigin/oci-distribution-conformance"
    ]);
    assert_eq!(get("/v2/_catalog?ns=docker.io").json()["repositories"], hub);
    assert_eq!(
        get("/v2/_catalog?ns=ghcr.io").json()["repositories"],
        serde_json::json!([])
    );
    let next = get("/v2/_catalog?ns=docker.io&n=1")
        .header("link")
        .to_owned();
    assert_eq!(
        next,
        "</v2/_catalog?n=1&last=library/hello&ns=docker.io>; rel=\"next\""
    );
    let first = get("/v2/_catalog?n=1");
    assert_eq!(first.json()["repositories"], serde_json::json!(["hello"]));
    assert_eq!(
        first.header("link"),
        "</v2/_catalog?n=1&last=hello>; rel=\"next\""
    );
}

#[test]
fn manifests_by_tag_and_digest() {
    let by_tag = get(&format!("{HELLO}/manifests/1.0.0"));
    let digest = by_tag.header("docker-content-digest").to_owned();
    let by_digest = get(&format!("{HELLO}/manifests/{digest}"));
    assert_eq!((by_tag.status, by_digest.status), (200, 200));
    assert_eq!(by_tag.bytes, by_digest.bytes);
    assert!(
        digest
            .parse::<crate::digest::Digest>()
            .unwrap()
            .matches(&by_tag.bytes)
    );
    for got in [&by_tag, &by_digest] {
        assert_eq!(
            got.header("content-type"),
            "application/vnd.oci.image.index.v1+json"
        );
        assert_eq!(got.header("etag"), format!("\"{digest}\""));
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("accept-ranges"), "bytes");
        assert_eq!(
            got.header("docker-distribution-api-version"),
            "registry/2.0"
        );
    }
    assert!(by_digest.header("cache-control").contains("immutable"));
    assert!(!by_tag.header("cache-control").contains("immutable"));
    let child = by_tag.json()["manifests"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let child = get(&format!("{HELLO}/manifests/{child}"));
    assert_eq!(
        child.header("content-type"),
        "application/vnd.oci.image.manifest.v1+json"
    );
    // A blob is no manifest, whatever it is asked for as.
    let config = child.json()["config"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(&format!("{HELLO}/manifests/{config}")).code(),
        "MANIFEST_UNKNOWN"
    );
    let blob = get(&format!("{HELLO}/blobs/{config}"));
    assert_eq!(
        (blob.status, blob.header("content-type")),
        (200, "application/octet-stream")
    );
    assert_eq!(blob.header("docker-content-digest"), config);
    // An encoded colon is a colon.
    assert_eq!(
        get(&format!("{HELLO}/blobs/{}", config.replace(':', "%3A"))).status,
        200
    );
}

#[test]
fn head_tells_what_get_would_send() {
    let tag = format!("{HELLO}/manifests/1.0.0");
    let (head, full) = (ask("HEAD", &tag, &[("range", "bytes=0-1")]), get(&tag));
    assert_eq!(head.status, 200, "HEAD has no ranges");
    assert_eq!(head.headers, full.headers);
    assert!(operation("HEAD", &tag, &[]).is_head());
}

#[test]
fn a_namespace_is_looked_up_and_named_in_the_answer() {
    let check = |ns: &str, status, named: &str| {
        let got = get(&format!("{HELLO}/manifests/1.0.0?ns={ns}"));
        assert_eq!(
            (got.status, got.header("oci-namespace")),
            (status, named),
            "{ns}"
        );
    };
    check("docker.io", 200, "docker.io");
    check("index.docker.io", 200, "docker.io");
    check("ghcr.io", 404, "ghcr.io");
    check("localhost:8080", 200, "");
    check("LOCALHOST:8080", 200, "");
    check("localhost:8081", 404, "localhost:8081");
    check("", 200, "");
    check("http://x/", 404, "");
    assert_eq!(
        get(&format!("{HELLO}/manifests/latest?ns=docker.io")).status,
        404,
        "no automatic tag for a mirror"
    );
}

#[test]
fn conditions() {
    let path = format!("{HELLO}/manifests/1.0.0");
    let digest = digest_of(&path);
    let tag = format!("\"{digest}\"");
    let check = |headers: &[(&str, &str)], status| {
        let got = ask("GET", &path, headers);
        assert_eq!(got.status, status, "{headers:?}");
        got
    };
    let unmodified = check(&[("if-none-match", &tag)], 304);
    assert_eq!(unmodified.header("etag"), tag);
    assert_eq!(
        (unmodified.bytes.len(), unmodified.header("content-length")),
        (0, "")
    );
    assert_eq!(unmodified.header("content-type"), "");
    check(&[("if-none-match", &format!("\"x\", W/{tag}"))], 304);
    check(&[("if-none-match", "*")], 304);
    check(&[("if-none-match", "\"x\""), ("if-none-match", &tag)], 304);
    check(&[("if-match", "\"x\""), ("if-match", &tag)], 200);
    check(&[("if-none-match", "\"x\"")], 200);
    check(&[("if-none-match", &tag), ("range", "bytes=0-1")], 304);
    check(&[("if-match", &tag)], 200);
    check(&[("if-match", "\"x\"")], 412);
    check(&[("if-range", &tag), ("range", "bytes=0-1")], 206);
    check(&[("if-range", "\"x\""), ("range", "bytes=0-1")], 200);
    check(
        &[
            ("if-range", "Tue, 15 Nov 1994 12:45:26 GMT"),
            ("range", "bytes=0-1"),
        ],
        200,
    );
    check(&[("range", "bytes=0-1"), ("range", "bytes=0-2")], 200);
}

#[test]
fn ranges() {
    let path = format!("{HELLO}/manifests/1.0.0");
    let whole = get(&path).bytes;
    let length = whole.len();
    let check = |range: &str, start: usize, end: usize| {
        let got = ask("GET", &path, &[("range", range)]);
        assert_eq!(
            (got.status, got.bytes.as_slice()),
            (206, &whole[start..end]),
            "{range}"
        );
        assert_eq!(
            got.header("content-range"),
            format!("bytes {start}-{}/{length}", end - 1)
        );
        assert_eq!(
            got.header("docker-content-digest"),
            digest_of(&path),
            "the digest is that of the whole"
        );
    };
    check("bytes=0-0", 0, 1);
    check("bytes=10-", 10, length);
    check("bytes=-10", length - 10, length);
    check("bytes=5-99999", 5, length);
    check("bytes=0-4,5-9", 0, 10);
    let beyond = ask("GET", &path, &[("range", "bytes=99999-")]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, format!("bytes */{length}").as_str())
    );
    assert_eq!(ask("GET", &path, &[("range", "lines=1-2")]).bytes, whole);
    let parts = ask("GET", &path, &[("range", "bytes=0-1,10-11")]);
    let boundary = parts
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let expected = format!(
        "--{boundary}\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\nContent-Range: bytes 0-1/{length}\r\n\r\n{}\r\n\
         --{boundary}\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\nContent-Range: bytes 10-11/{length}\r\n\r\n{}\r\n\
         --{boundary}--\r\n",
        str::from_utf8(&whole[..2]).unwrap(),
        str::from_utf8(&whole[10..12]).unwrap(),
    );
    assert_eq!(str::from_utf8(&parts.bytes).unwrap(), expected);
}

#[test]
fn referrers_of_what_nothing_is_about() {
    for digest in [ABSENT, "blake3:00"] {
        let got = get(&format!("{HELLO}/referrers/{digest}"));
        assert_eq!(
            (got.status, got.header("content-type")),
            (200, "application/vnd.oci.image.index.v1+json")
        );
        let empty = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
        assert_eq!(got.json(), empty);
        assert_eq!(got.header("oci-filters-applied"), "");
    }
    let filtered = get(&format!("{HELLO}/referrers/{ABSENT}?artifactType=a/b"));
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
}

#[test]
fn before_the_first_snapshot_nothing_is_answered_wrong() {
    let check = |path: &str, status: u16, needs: bool| {
        let operation = operation("GET", path, &[]);
        let reply = answer(None, &operation);
        assert_eq!(
            (reply.status().as_u16(), operation.needs_snapshot()),
            (status, needs),
            "{path}"
        );
        assert_eq!(
            reply.headers().contains_key("retry-after"),
            [429, 503].contains(&status)
        );
    };
    check("/healthz", 200, false);
    check("/readyz", 503, false);
    check("/v2/", 200, false);
    check("/v2/_catalog", 429, true);
    check("/v2/hello/tags/list", 429, true);
    check("/v2/hello/manifests/latest", 429, true);
    check("/v2/hello/manifests/sha256:x", 400, false);
    check("/nothing", 404, false);
    assert_eq!(get("/readyz").status, 200);
}

#[test]
fn content_that_cannot_be_opened_is_told_by_what_it_was() {
    let check = |path: &str, error, status: u16| {
        assert_eq!(
            failed(&operation("GET", path, &[]), error)
                .status()
                .as_u16(),
            status,
            "{path} {error:?}"
        );
    };
    let (manifest, blob) = (
        format!("{HELLO}/manifests/latest"),
        format!("{HELLO}/blobs/{ABSENT}"),
    );
    let told = failed(&operation("GET", &blob, &[]), OpenError::Changed);
    assert_eq!(told.headers()["retry-after"], "1");
    let body = told.into_body().open().unwrap();
    let [Part::Memory(body)] = body.parts.as_slice() else {
        panic!("{body:?}");
    };
    assert_eq!(
        body,
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"the archive has changed; try again"}]}"#
    );
    for path in [&manifest, &blob] {
        check(path, OpenError::Gone, 404);
        check(path, OpenError::Damaged, 404);
        check(path, OpenError::Changed, 429);
        check(path, OpenError::Unreadable, 429);
        check(path, OpenError::OutOfDescriptors, 429);
    }
}

proptest::proptest! {
    #[test]
    fn any_path_is_answered(path in "(/v2)?(/[a-z%:._?=&-]{0,12}){0,5}", method in "GET|HEAD|PUT|[A-Z]{1,8}") {
        if let Ok(request) = Request::builder().method(method.as_str()).uri(&path).body(()) {
            let operation = parse(&request.into_parts().0);
            let status = answer(Some(&EXAMPLES), &operation).status().as_u16();
            proptest::prop_assert!([200, 400, 404, 405].contains(&status), "{} {}: {}", method, path, status);
        }
    }
}
