//! What clients want and do not get: said once for each name, and once more at the end.

use std::time::Duration;

use crate::conformance::examples;
use crate::server::Server;

const DIGEST: &str = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn ask(server: &Server, method: &str, path: &str) -> u16 {
    let agent = ("User-Agent", "containerd/1.6.20");
    server.request(method, path, &[agent]).status
}

#[test]
fn a_missing_name_is_said_once() {
    let server = Server::serving(&examples());
    let by_digest = format!("/v2/hello/manifests/{DIGEST}");
    let blob = format!("/v2/hello/blobs/{DIGEST}");
    for (path, name) in [
        ("/v2/hello/manifests/9.9", "hello:9.9"),
        // Docker asks with HEAD, and after a 404 with GET.
        ("/v2/hello/manifests/9.9", "hello:9.9"),
        ("/v2/nobody/here/tags/list", "nobody/here"),
        ("/v2/hello/manifests/a%1b[31m", "hello:a\\u{1b}[31m"),
        (&by_digest, &format!("hello@{DIGEST}")),
        // containerd looks for a blob where there is no manifest of that digest.
        (&blob, &format!("hello@{DIGEST}")),
        (
            "/v2/library/alpine/manifests/3?ns=docker.io",
            "docker.io/library/alpine:3",
        ),
    ] {
        assert_eq!(ask(&server, "HEAD", path), 404, "{path}");
        let line = format!("\nNot here: {name}, asked for by 127.0.0.1 (containerd/1.6.20)\n");
        let log = server.wait_for_stderr(&line);
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
}

/// Where nothing was named, or there is an answer, nothing is missed.
#[test]
fn nothing_else_is_said() {
    let server = Server::serving(&examples());
    for (path, status) in [
        ("/v2/hello/manifests/1.0.0", 200),
        ("/v2/hello/blobs/sha256:short", 400),
        ("/favicon.ico", 404),
        ("/v2/Upper/manifests/1", 404),
    ] {
        assert_eq!(ask(&server, "GET", path), status, "{path}");
    }
    assert_eq!(ask(&server, "PUT", "/v2/hello/manifests/9.9"), 405);
    // Lines come in their order: this one is the last.
    assert_eq!(ask(&server, "GET", "/v2/hello/manifests/last"), 404);
    let log = server.wait_for_stderr("Not here: ");
    assert!(log.contains("Not here: hello:last"), "{log}");
    assert_eq!(log.matches("Not here").count(), 1, "{log}");
}

#[test]
fn at_the_end_they_are_counted() {
    let mut server = Server::serving(&examples());
    for number in 0..25 {
        ask(&server, "GET", &format!("/v2/hello/manifests/{number}"));
    }
    for _ in 0..3 {
        ask(&server, "GET", "/v2/hello/manifests/often");
    }
    server.wait_for_stderr("Not here: hello:often");
    server.signal("TERM");
    server.wait(Duration::from_secs(10)).expect("it ends");
    let log = server.wait_for_stderr("Was not here: 6 more names");
    let told = "\nWas not here: hello:often, asked for by 127.0.0.1 (containerd/1.6.20), 3 times, last at 20";
    assert!(log.contains(told), "{log}");
    assert!(log.contains("\nWas not here: hello:24,"), "{log}");
    assert!(!log.contains("\nWas not here: hello:0,"), "{log}");
}
