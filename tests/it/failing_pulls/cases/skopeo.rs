//! skopeo.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "skopeo copy --src-tls-verify=false docker://HOST:PORT/NAME:TAG dir:image";

pub(in super::super) const SKOPEO: Client = Client {
    name: "skopeo",
    forget: "rm -rf image",
    sums: "sha256sum image/*",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "skopeo copy docker://$REGISTRY/hello:1.0.0 dir:image", PULL),
        Case::new("server gave HTTP response to HTTPS client", "skopeo copy docker://$REGISTRY/hello:1.0.0 dir:image", " AT=$REGISTRY
 file packageorigin.conf >registries.conf
 skopeo --registries-conf registries.conf copy docker://$AT/$IMAGE dir:image"),
        Case::new("x509: certificate signed by unknown authority", "skopeo copy docker://$TLS/hello:1.0.0 dir:image", " AT=$TLS
skopeo copy --src-cert-dir . docker://HOST:PORT/NAME:TAG dir:image"),
        Case::new("first record does not look like a TLS handshake", "skopeo copy docker://$OTHER_SERVICE/hello:1.0.0 dir:image", PULL),
        Case::new("malformed HTTP response", "skopeo copy --src-tls-verify=false docker://$OTHER_SERVICE/hello:1.0.0 dir:image", PULL),
        Case::new("connection refused", "skopeo copy --src-tls-verify=false docker://$NOBODY/hello:1.0.0 dir:image", PULL),
        Case::new("no route to host", "alone skopeo copy --src-tls-verify=false docker://192.0.2.1:8080/hello:1.0.0 dir:image", PULL),
        Case::new("no such host", "skopeo copy --src-tls-verify=false docker://$NO_HOST/hello:1.0.0 dir:image", PULL),
        Case::new("name unknown", "skopeo copy --src-tls-verify=false docker://$REGISTRY/acme/hello:1.0.0 dir:image", PULL),
        Case::new("manifest unknown", "skopeo copy --src-tls-verify=false docker://$REGISTRY/hello:9 dir:image", PULL),
        Case::new("manifest unknown", "skopeo copy --src-tls-verify=false docker://$REGISTRY/hello@$ABSENT dir:image", PULL),
        Case::new("no image found in image index for architecture", "skopeo copy --override-arch s390x --src-tls-verify=false docker://$REGISTRY/hello:1.0.0 dir:image", "skopeo copy --override-arch amd64 --src-tls-verify=false docker://HOST:PORT/NAME:TAG dir:image"),
        Case::new("invalid status code from registry 404", "skopeo copy --src-tls-verify=false docker://$INCOMPLETE/hello:1.0.0 dir:image", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
skopeo copy --src-tls-verify=false docker://HOST:PORT/NAME:TAG dir:image"),
        Case::new("Digest did not match", "skopeo copy --src-tls-verify=false docker://$REGISTRY/damaged:1.0.0 dir:image", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
skopeo copy --src-tls-verify=false docker://HOST:PORT/NAME:TAG dir:image"),
        Case::new("manifest unknown", "skopeo copy --src-tls-verify=false docker://$REGISTRY/hello@$ABSENT dir:image", r#" skopeo() { shift 2; command skopeo copy --all --src-tls-verify=false "$@"; }
skopeo copy --all docker://ORIGIN/NAME:TAG oci-archive:FOLDER/NAME.tar:NAME:TAG
 unset -f skopeo
 DIGEST=sha256:2cb0c1b0b011c29881b1c76d76b20e05a1437d54db7bde67f9c81081c8dfdf6c
 served $AT/v2/hello/manifests/$DIGEST
 skopeo copy --src-tls-verify=false docker://$AT/hello@$DIGEST dir:image"#),
        Case::new("unauthorized", "skopeo copy --src-tls-verify=false docker://$ELSEWHERE/private:1 dir:image", PULL),
        Case::new("denied", "skopeo copy --src-tls-verify=false docker://$ELSEWHERE/denied:1 dir:image", PULL),
        Case::new("repository name must be lowercase", "skopeo copy --src-tls-verify=false docker://$REGISTRY/Hello:1.0.0 dir:image", PULL),
        Case::without_advice("invalid reference format", "skopeo copy --src-tls-verify=false docker://$REGISTRY/plus:1.0.0+oci dir:image"),
        Case::new("unexpected EOF", "skopeo copy --src-tls-verify=false docker://$CUTTING/hello:1.0.0 dir:image", PULL),
        Case::new("503 Service Unavailable", "exhaust $(($(free) + 1))
skopeo copy --src-tls-verify=false docker://$EXHAUSTED/hello:1.0.0 dir:image", " exhaust 1024
 AT=$EXHAUSTED
skopeo copy --src-tls-verify=false docker://HOST:PORT/NAME:TAG dir:image"),
        Case::without_advice("this registry is read-only", "skopeo copy --dest-tls-verify=false oci-archive:shelf/hello.tar docker://$REGISTRY/app:1"),
    ],
};
