//! oras.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "oras copy --from-plain-http HOST:PORT/NAME:TAG --to-oci-layout image:1";

pub(in super::super) const ORAS: Client = Client {
    name: "oras",
    forget: "rm -rf image",
    sums: "sha256sum image/blobs/sha256/*",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "oras copy $REGISTRY/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("x509: certificate signed by unknown authority", "oras copy $TLS/hello:1.0.0 --to-oci-layout image:1", " AT=$TLS
oras copy --from-ca-file ca.crt HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::new("first record does not look like a TLS handshake", "oras copy $OTHER_SERVICE/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("malformed HTTP response", "oras copy --from-plain-http $OTHER_SERVICE/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("connection refused", "oras copy --from-plain-http $NOBODY/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("no route to host", "alone oras copy --from-plain-http 192.0.2.1:8080/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("no such host", "oras copy --from-plain-http $NO_HOST/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("not found", "oras copy --from-plain-http $REGISTRY/acme/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("not found", "oras copy --from-plain-http $REGISTRY/hello:9 --to-oci-layout image:1", PULL),
        Case::new("not found", "oras copy --from-plain-http $REGISTRY/hello@$ABSENT --to-oci-layout image:1", PULL),
        Case::new("no matching manifest was found in the manifest list", "oras copy --from-plain-http --platform linux/s390x $REGISTRY/hello:1.0.0 --to-oci-layout image:1", "oras copy --from-plain-http --platform linux/amd64 HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::new("not found", "oras copy --from-plain-http $INCOMPLETE/hello:1.0.0 --to-oci-layout image:1", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
oras copy --from-plain-http HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::new("mismatched digest", "oras copy --from-plain-http $REGISTRY/damaged:1.0.0 --to-oci-layout image:1", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
oras copy --from-plain-http HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::new("400 Bad Request", "oras copy --from-plain-http $TLS/hello:1.0.0 --to-oci-layout image:1", " AT=$TLS
oras copy --from-ca-file ca.crt HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::new("missing registry or repository", "oras copy --from-plain-http hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("toomanyrequests", "oras copy --from-plain-http $ELSEWHERE/limited:1 --to-oci-layout image:1", PULL),
        Case::new("unauthorized", "oras copy --from-plain-http $ELSEWHERE/private:1 --to-oci-layout image:1", PULL),
        Case::new("denied", "oras copy --from-plain-http $ELSEWHERE/denied:1 --to-oci-layout image:1", PULL),
        Case::new("invalid repository", "oras copy --from-plain-http $REGISTRY/Hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::without_advice("invalid tag", "oras copy --from-plain-http $REGISTRY/plus:1.0.0+oci --to-oci-layout image:1"),
        Case::new("unexpected EOF", "oras copy --from-plain-http $CUTTING/hello:1.0.0 --to-oci-layout image:1", PULL),
        Case::new("503: Service Unavailable", "exhaust $(($(free) + 1))
oras copy --from-plain-http $EXHAUSTED/hello:1.0.0 --to-oci-layout image:1", " exhaust 1024
 AT=$EXHAUSTED
oras copy --from-plain-http HOST:PORT/NAME:TAG --to-oci-layout image:1"),
        Case::without_advice("this registry is read-only", "oras copy --from-plain-http $REGISTRY/hello:1.0.0 --to-oci-layout image:1
oras copy --from-oci-layout image:1 --to-plain-http $REGISTRY/app:1"),
    ],
};
