//! Requests of every kind, as bytes: each gets the answer that the specifications ask for, and the server lives on.

mod lists;
mod malformed;
mod ranges;

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Blob, Descriptor, Image, Layer, Layout, Node, sha256};
use crate::server::{Response, Server};

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(10);
/// The tags of `acme/app`, in byte order, an automatic `latest` among them.
const TAGS: [&str; 7] = ["1.0", "1.1", "1.1.0+oci", "2.0-rc.1", "B", "a", "latest"];
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A server of a few images that differ by their hosts.
struct Shelf {
    server: Server,
    image: Image,
    _folder: TempDir,
}

impl std::ops::Deref for Shelf {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Shelf {
    fn new() -> Self {
        let layer: Vec<u8> = (0..25_000_u32).flat_map(u32::to_be_bytes).collect();
        let image = Image::new("app").layers([Layer::raw(layer)]);
        let tags = TAGS.iter().filter(|tag| **tag != "latest");
        let layout = tags.fold(Layout::new(), |layout, tag| {
            layout.named(&image, &format!("docker.io/acme/app:{tag}"))
        });
        let layout = layout
            .named(&Image::new("other"), "ghcr.io/acme/app:9")
            .named(&Image::new("port"), "example.com:5000/team/tool:1")
            .named(&Image::new("one"), "docker.io/library/one:1");
        let layout = (0..7).fold(layout, |layout, number| {
            layout.entry(&referrer(&image, number, "note"), &[])
        });
        Self::of(&layout, image)
    }

    fn of(layout: &Layout, image: Image) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("all.tar"), layout.tar()).expect("a file");
        Self {
            server: Server::serving(folder.path()),
            image,
            _folder: folder,
        }
    }

    /// The path of the large blob.
    fn layer(&self) -> String {
        format!("/v2/acme/app/blobs/{}", self.layer_blob().digest)
    }

    fn layer_blob(&self) -> Blob {
        self.image.blobs().pop().expect("a layer")
    }

    /// The server answers as ever.
    fn check_alive(&self) {
        let answer = self.get("/v2/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }

    /// What the bytes are answered with, one answer for each method, and nothing behind.
    fn exchange(&self, bytes: &[u8], methods: &[&str]) -> Vec<Response> {
        let began = Instant::now();
        let came = self.raw(bytes);
        assert!(
            began.elapsed() < SOON,
            "no end after {:?}",
            String::from_utf8_lossy(&came)
        );
        let mut rest = &came[..];
        let answers = methods.iter().map(|method| {
            Response::read(&mut rest, method)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&came)))
        });
        let answers: Vec<Response> = answers.collect();
        assert!(
            rest.is_empty(),
            "more came: {}",
            String::from_utf8_lossy(rest)
        );
        self.check_alive();
        answers
    }

    /// What one message on its own is answered with.
    fn send(&self, message: &str) -> Response {
        let method = message.split(' ').next().unwrap_or_default();
        self.exchange(message.as_bytes(), &[method]).remove(0)
    }
}

/// A manifest about `image`, of one of two types.
fn referrer(image: &Image, number: usize, text: &str) -> Image {
    let kind = if number.is_multiple_of(3) {
        "sbom"
    } else {
        "signature+json"
    };
    Image::new(&format!("referrer {number}"))
        .subject(image)
        .artifact_type(&format!("application/vnd.example.{kind}"))
        .annotation("number", &number.to_string())
        .annotation("text", text)
}

fn check_error(answer: &Response, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.json()["errors"][0]["code"],
        code,
        "{}",
        answer.text()
    );
    assert!(answer.json()["errors"][0]["message"].is_string());
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

/// Whatever would write.
#[test]
fn methods_that_write() {
    let shelf = Shelf::new();
    let digest = shelf.image.digest();
    let paths = [
        "/v2/".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v2/acme/app/tags/list".to_owned(),
        "/v2/acme/app/manifests/1.0".to_owned(),
        "/v2/acme/app/manifests/new".to_owned(),
        format!("/v2/acme/app/manifests/{digest}"),
        format!("/v2/acme/app/blobs/{digest}"),
        "/v2/acme/app/blobs/uploads/".to_owned(),
        "/v2/acme/new/blobs/uploads/?digest=sha256:1&mount=x".to_owned(),
        "/v2/acme/app/blobs/uploads/0123-4567".to_owned(),
        format!("/v2/acme/app/referrers/{digest}"),
        "/v2/ACME/manifests/1".to_owned(),
        "/healthz".to_owned(),
        "/".to_owned(),
        "/elsewhere".to_owned(),
    ];
    for path in &paths {
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get",
        ] {
            let answer = shelf.request(method, path, &[]);
            check_error(&answer, 405, "UNSUPPORTED");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    shelf.check_alive();
}

/// Told before the method: the tests of version 1.0.1 ask so.
#[test]
fn a_malformed_digest_is_told_to_every_method() {
    let shelf = Shelf::new();
    for digest in [
        "sha256:totallywrong",
        "sha256:",
        ":",
        "sha256:ABC",
        "a:b:c",
        "sha256:0",
        "+:x",
        "sha512:00",
    ] {
        for method in ["GET", "PUT", "DELETE", "POST"] {
            for kind in ["manifests", "blobs", "referrers"] {
                let answer = shelf.request(method, &format!("/v2/acme/app/{kind}/{digest}"), &[]);
                check_error(&answer, 400, "DIGEST_INVALID");
            }
        }
    }
}

/// A client may have sent much before it looks at the answer.
#[test]
fn a_large_body_is_refused_with_an_answer() {
    let shelf = Shelf::new();
    let body = vec![b'x'; 4 << 20];
    let digest = sha256(&body);
    for path in [
        format!("/v2/acme/app/blobs/uploads/1?digest={digest}"),
        "/v2/acme/app/manifests/new".to_owned(),
    ] {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let message = [head.as_bytes(), &body].concat();
        for attempt in 0..20 {
            let came = shelf.raw(&message);
            let answer = Response::read(&mut &came[..], "PUT")
                .unwrap_or_else(|error| panic!("{path}, attempt {attempt}: {error}"));
            check_error(&answer, 405, "UNSUPPORTED");
        }
    }
    shelf.check_alive();
}

#[test]
fn a_client_that_waits_to_be_asked_for_the_body() {
    let shelf = Shelf::new();
    let head = "PUT /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\
        Expect: 100-continue\r\nConnection: close\r\n\r\n";
    let came = shelf.raw(head.as_bytes());
    let text = String::from_utf8_lossy(&came);
    assert!(text.contains("HTTP/1.1 405 "), "{text}");
    shelf.check_alive();
}

#[test]
fn what_is_not_there() {
    let shelf = Shelf::new();
    let absent = sha256(b"hello world");
    let check = |path: &str, status: u16, code: &str| {
        check_error(&shelf.get(path), status, code);
        let head = shelf.head(path);
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
    };
    check("/", 404, "NAME_UNKNOWN");
    check("/v1/", 404, "NAME_UNKNOWN");
    check("/v2x", 404, "NAME_UNKNOWN");
    check("/v2/acme/app", 404, "NAME_UNKNOWN");
    check("/v2/acme/app/", 404, "NAME_UNKNOWN");
    check("/v2/nobody/tags/list", 404, "NAME_UNKNOWN");
    check("/v2/nobody/manifests/1", 404, "NAME_UNKNOWN");
    check(&format!("/v2/nobody/blobs/{absent}"), 404, "NAME_UNKNOWN");
    check(
        &format!("/v2/nobody/referrers/{absent}"),
        404,
        "NAME_UNKNOWN",
    );
    check("/v2/acme/app/manifests/none", 404, "MANIFEST_UNKNOWN");
    check(
        "/v2/acme/app/manifests/.INVALID_MANIFEST_NAME",
        404,
        "MANIFEST_UNKNOWN",
    );
    check(
        &format!("/v2/acme/app/manifests/{}", "x".repeat(129)),
        404,
        "MANIFEST_UNKNOWN",
    );
    check(
        &format!("/v2/acme/app/manifests/{absent}"),
        404,
        "MANIFEST_UNKNOWN",
    );
    check(&format!("/v2/acme/app/blobs/{absent}"), 404, "BLOB_UNKNOWN");
    check(
        &format!("/v2/acme/app/blobs/blake3:{}", "0".repeat(64)),
        404,
        "BLOB_UNKNOWN",
    );
    check("/v2/ACME/tags/list", 404, "NAME_INVALID");
    check("/v2/a//b/tags/list", 404, "NAME_INVALID");
    check("/v2//tags/list", 404, "NAME_INVALID");
    check("/v2/../tags/list", 404, "NAME_INVALID");
    check(
        &format!("/v2/{}/tags/list", "a".repeat(300)),
        404,
        "NAME_INVALID",
    );
    // What one repository has is not in another one.
    check(
        &format!("/v2/one/blobs/{}", shelf.layer_blob().digest),
        404,
        "BLOB_UNKNOWN",
    );
    check(
        &format!("/v2/one/manifests/{}", shelf.image.digest()),
        404,
        "MANIFEST_UNKNOWN",
    );
}

/// Everything that an answer with content says.
#[test]
fn the_heads_of_answers() {
    let shelf = Shelf::new();
    let digest = shelf.image.digest();
    let check = |path: &str, digest: &str, caching: &str| {
        let (get, head) = (shelf.get(path), shelf.head(path));
        assert_eq!((get.status, head.status, head.body.len()), (200, 200, 0));
        let length = get.body.len().to_string();
        for answer in [&get, &head] {
            assert_eq!(answer.header("docker-content-digest"), Some(digest));
            assert_eq!(
                answer.header("etag"),
                Some(format!("\"{digest}\"").as_str())
            );
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("content-encoding"), None);
            let told = answer.header("cache-control").expect("it is told");
            assert_eq!(
                told.contains("immutable"),
                caching == "immutable",
                "{path}: {told}"
            );
        }
        assert_eq!(get.header("content-type"), head.header("content-type"));
    };
    check("/v2/acme/app/manifests/1.0", &digest, "short");
    check(
        &format!("/v2/acme/app/manifests/{digest}"),
        &digest,
        "immutable",
    );
    check(&shelf.layer(), &shelf.layer_blob().digest, "immutable");
    // A client that takes anything packed gets it as it is, because only so it has its digest.
    let packed = shelf.request(
        "GET",
        "/v2/acme/app/manifests/1.0",
        &[("Accept-Encoding", "gzip, zstd")],
    );
    assert_eq!(
        (packed.header("content-encoding"), sha256(&packed.body)),
        (None, digest)
    );
}

#[test]
fn the_client_has_it_already() {
    let shelf = Shelf::new();
    let digest = shelf.image.digest();
    let other = format!("\"{}\"", sha256(b"other"));
    let own = format!("\"{digest}\"");
    for path in [
        "/v2/acme/app/manifests/1.0".to_owned(),
        format!("/v2/acme/app/manifests/{digest}"),
    ] {
        let check = |name: &str, value: &str, status: u16| {
            for method in ["GET", "HEAD"] {
                let answer = shelf.request(method, &path, &[(name, value), ("Range", "bytes=0-1")]);
                let expected = if status == 206 && method == "HEAD" {
                    200
                } else {
                    status
                };
                assert_eq!(answer.status, expected, "{method} {name}: {value}");
                if status == 304 {
                    assert!(answer.body.is_empty());
                    assert_eq!(answer.header("etag"), Some(own.as_str()));
                    assert_eq!(
                        answer.header("docker-content-digest"),
                        Some(digest.as_str())
                    );
                    assert_eq!(answer.header("content-length"), None);
                }
            }
        };
        check("If-None-Match", &own, 304);
        check("If-None-Match", &format!("W/{own}"), 304);
        check("If-None-Match", &format!("{other} , {own}"), 304);
        check("If-None-Match", "*", 304);
        check("If-None-Match", &other, 206);
        check("If-None-Match", &digest, 206);
        check("If-None-Match", "", 206);
        check("If-Match", &own, 206);
        check("If-Match", "*", 206);
        check("If-Match", &other, 412);
        check("If-Match", &format!("W/{own}"), 412);
    }
    shelf.check_alive();
}

/// A mirror's client names the host that it means.
#[test]
fn namespaces() {
    let shelf = Shelf::new();
    let tags = |name: &str, ns: &str| {
        let answer = shelf.get(&format!("/v2/{name}/tags/list?ns={ns}"));
        if answer.status == 404 {
            check_error(&answer, 404, "NAME_UNKNOWN");
            return None;
        }
        assert_eq!(answer.status, 200, "{ns}: {}", answer.text());
        Some(answer.json()["tags"].clone())
    };
    let hub = json!(["1.0", "1.1", "1.1.0+oci", "2.0-rc.1", "B", "a"]);
    for ns in [
        "docker.io",
        "DOCKER.IO",
        "index.docker.io",
        "registry-1.docker.io",
    ] {
        assert_eq!(tags("acme/app", ns), Some(hub.clone()), "{ns}");
        assert_eq!(tags("library/one", ns), Some(json!(["1"])), "{ns}");
        assert_eq!(tags("one", ns), Some(json!(["1"])), "{ns}");
    }
    assert_eq!(tags("acme/app", "ghcr.io"), Some(json!(["9"])));
    assert_eq!(tags("team/tool", "example.com:5000"), Some(json!(["1"])));
    for (name, ns) in [
        ("team/tool", "example.com"),
        ("team/tool", "example.com:5001"),
        ("acme/app", "quay.io"),
        ("one", "ghcr.io"),
        ("ghcr.io/acme/app", "ghcr.io"),
        ("acme/app", "http://docker.io"),
        ("acme/app", "docker.io/acme"),
        ("acme/app", "%20"),
        ("acme/app", "..%2f.."),
        ("acme/app", "%00"),
        ("acme/app", "a%0d%0aX-Evil:%201"),
    ] {
        assert_eq!(tags(name, ns), None, "{name} {ns}");
    }
    // None, and our own address, are no namespace.
    let authority = shelf.authority().to_owned();
    for ns in ["", &authority] {
        assert_eq!(tags("acme/app", ns), Some(json!(TAGS)), "{ns}");
    }
}

#[test]
fn the_namespace_is_told() {
    let shelf = Shelf::new();
    let digest = shelf.image.digest();
    for path in [
        "/v2/acme/app/manifests/1.0".to_owned(),
        format!("/v2/acme/app/manifests/{digest}"),
        shelf.layer(),
        "/v2/acme/app/tags/list".to_owned(),
        format!("/v2/acme/app/referrers/{digest}"),
    ] {
        let answer = shelf.get(&format!("{path}?ns=docker.io"));
        assert_eq!(
            (answer.status, answer.header("oci-namespace")),
            (200, Some("docker.io")),
            "{path}"
        );
        assert_eq!(shelf.get(&path).header("oci-namespace"), None);
    }
    for path in ["/v2/acme/app/manifests/1.0", &shelf.layer()] {
        assert_eq!(
            shelf.get(&format!("{path}?ns=ghcr.io")).status,
            404,
            "{path}"
        );
    }
    // A tag that nobody gave is not at the host.
    check_error(
        &shelf.get("/v2/acme/app/manifests/latest?ns=docker.io"),
        404,
        "MANIFEST_UNKNOWN",
    );
    assert_eq!(shelf.get("/v2/acme/app/manifests/latest").status, 200);
}
