//! crane.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "crane pull --insecure HOST:PORT/NAME:TAG image.tar";

pub(in super::super) const CRANE: Client = Client {
    name: "crane",
    forget: "rm -f image.tar",
    sums: "tar -xOf image.tar --wildcards '*.tar.gz' | sha256sum",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "crane pull $FAR/hello:1.0.0 image.tar", " AT=$FAR
crane pull --insecure HOST:PORT/NAME:TAG image.tar"),
        Case::new("x509: certificate signed by unknown authority", "crane pull $TLS/hello:1.0.0 image.tar", " AT=$TLS
SSL_CERT_FILE=ca.crt crane pull HOST:PORT/NAME:TAG image.tar"),
        Case::new("first record does not look like a TLS handshake", "crane pull $OTHER_SERVICE/hello:1.0.0 image.tar", PULL),
        Case::new("malformed HTTP response", "crane pull --insecure $OTHER_SERVICE/hello:1.0.0 image.tar", PULL),
        Case::new("connection refused", "crane pull --insecure $NOBODY/hello:1.0.0 image.tar", PULL),
        Case::new("no route to host", "alone crane pull --insecure 192.0.2.1:8080/hello:1.0.0 image.tar", PULL),
        Case::new("no such host", "crane pull --insecure $NO_HOST/hello:1.0.0 image.tar", PULL),
        Case::new("NAME_UNKNOWN", "crane pull --insecure $REGISTRY/acme/hello:1.0.0 image.tar", PULL),
        Case::new("MANIFEST_UNKNOWN", "crane pull --insecure $REGISTRY/hello:9 image.tar", PULL),
        Case::new("MANIFEST_UNKNOWN", "crane pull --insecure $REGISTRY/hello@$ABSENT image.tar", PULL),
        Case::new("no child with platform", "crane pull --insecure --platform linux/s390x $REGISTRY/hello:1.0.0 image.tar", "crane pull --insecure --platform linux/amd64 HOST:PORT/NAME:TAG image.tar"),
        Case::new("BLOB_UNKNOWN", "crane pull --insecure $INCOMPLETE/hello:1.0.0 image.tar", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
crane pull --insecure HOST:PORT/NAME:TAG image.tar"),
        Case::new("error verifying sha256 checksum", "crane pull --insecure $REGISTRY/damaged:1.0.0 image.tar", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
crane pull --insecure HOST:PORT/NAME:TAG image.tar"),
        Case::new("TOOMANYREQUESTS", "crane pull --insecure $ELSEWHERE/limited:1 image.tar", PULL),
        Case::new("UNAUTHORIZED", "crane pull --insecure $ELSEWHERE/private:1 image.tar", PULL),
        Case::new("DENIED", "crane pull --insecure $ELSEWHERE/denied:1 image.tar", PULL),
        Case::new("could not parse reference", "crane pull --insecure $REGISTRY/Hello:1.0.0 image.tar", PULL),
        Case::without_advice("could not parse reference", "crane pull --insecure $REGISTRY/plus:1.0.0+oci image.tar"),
        Case::new("unexpected EOF", "crane pull --insecure $CUTTING/hello:1.0.0 image.tar", PULL),
        Case::new("503 Service Unavailable", "exhaust $(($(free) + 1))
crane pull --insecure $EXHAUSTED/hello:1.0.0 image.tar", " exhaust 1024
 AT=$EXHAUSTED
crane pull --insecure HOST:PORT/NAME:TAG image.tar"),
        Case::without_advice("this registry is read-only", "crane pull --insecure $REGISTRY/hello:1.0.0 image.tar
crane push image.tar $REGISTRY/app:1"),
    ],
};
