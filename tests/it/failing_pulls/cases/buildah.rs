//! buildah.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "buildah pull --tls-verify=false HOST:PORT/NAME:TAG";

pub(in super::super) const BUILDAH: Client = Client {
    name: "buildah",
    forget: "buildah rmi -af",
    sums: "rm -f saved.tar
buildah push -q $(buildah images -q | head -1) docker-archive:saved.tar
tar -xOf saved.tar --wildcards '*.tar' | sha256sum",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "buildah pull $REGISTRY/hello:1.0.0", PULL),
        Case::new("server gave HTTP response to HTTPS client", "buildah pull $REGISTRY/hello:1.0.0", " AT=$REGISTRY
 file packageorigin.conf >registries.conf
 export CONTAINERS_REGISTRIES_CONF=$PWD/registries.conf
 buildah pull $AT/$IMAGE"),
        Case::new("x509: certificate signed by unknown authority", "buildah pull $TLS/hello:1.0.0", " AT=$TLS
buildah pull --cert-dir . HOST:PORT/NAME:TAG"),
        Case::new("first record does not look like a TLS handshake", "buildah pull $OTHER_SERVICE/hello:1.0.0", PULL),
        Case::new("malformed HTTP response", "buildah pull --tls-verify=false $OTHER_SERVICE/hello:1.0.0", PULL),
        Case::new("connection refused", "buildah pull --tls-verify=false $NOBODY/hello:1.0.0", PULL),
        Case::new("no route to host", "alone buildah pull --tls-verify=false 192.0.2.1:8080/hello:1.0.0", PULL),
        Case::new("no such host", "buildah pull --tls-verify=false $NO_HOST/hello:1.0.0", PULL),
        Case::new("name unknown", "buildah pull --tls-verify=false $REGISTRY/acme/hello:1.0.0", PULL),
        Case::new("manifest unknown", "buildah pull --tls-verify=false $REGISTRY/hello:9", PULL),
        Case::new("manifest unknown", "buildah pull --tls-verify=false $REGISTRY/hello@$ABSENT", PULL),
        Case::new("no image found in image index for architecture", "buildah pull --tls-verify=false --arch s390x $REGISTRY/hello:1.0.0", "buildah pull --tls-verify=false --arch amd64 HOST:PORT/NAME:TAG"),
        Case::new("invalid status code from registry 404", "buildah pull --tls-verify=false $INCOMPLETE/hello:1.0.0", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
buildah pull --tls-verify=false HOST:PORT/NAME:TAG"),
        Case::new("Digest did not match", "buildah pull --tls-verify=false $REGISTRY/damaged:1.0.0", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
buildah pull --tls-verify=false HOST:PORT/NAME:TAG"),
        Case::new("short-name", "echo >none.conf
CONTAINERS_REGISTRIES_CONF=$PWD/none.conf buildah pull hello:1.0.0", PULL),
        Case::new("did not resolve to an alias and no unqualified-search registries are defined", "echo >none.conf
CONTAINERS_REGISTRIES_CONF=$PWD/none.conf buildah pull hello:1.0.0", PULL),
        Case::new("unauthorized", "buildah pull --tls-verify=false $ELSEWHERE/private:1", PULL),
        Case::new("denied", "buildah pull --tls-verify=false $ELSEWHERE/denied:1", PULL),
        Case::new("repository name must be lowercase", "buildah pull --tls-verify=false $REGISTRY/Hello:1.0.0", PULL),
        Case::without_advice("invalid reference format", "buildah pull --tls-verify=false $REGISTRY/plus:1.0.0+oci"),
        Case::new("unexpected EOF", "buildah pull --tls-verify=false $CUTTING/hello:1.0.0", PULL),
        Case::new("503 Service Unavailable", "exhaust $(($(free) + 1))
buildah pull --tls-verify=false $EXHAUSTED/hello:1.0.0", " exhaust 1024
 AT=$EXHAUSTED
buildah pull --tls-verify=false HOST:PORT/NAME:TAG"),
        Case::without_advice("this registry is read-only", "buildah pull -q --tls-verify=false $REGISTRY/hello:1.0.0
buildah push --tls-verify=false $REGISTRY/hello:1.0.0 $REGISTRY/app:1"),
    ],
};
