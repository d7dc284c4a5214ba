//! containerd, asked by ctr.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "ctr images pull --plain-http HOST:PORT/NAME:TAG";

pub(in super::super) const CTR: Client = Client {
    name: "ctr",
    forget: "ctr images ls -q | xargs -r ctr images rm --sync
ctr content ls -q | xargs -r ctr content rm",
    sums: "for digest in $(ctr content ls -q); do ctr content get $digest | sha256sum; done",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "ctr images pull $FAR/hello:1.0.0", PULL),
        Case::new("server gave HTTP response to HTTPS client", "ctr images pull $FAR/hello:1.0.0", r#" AT=$FAR
 mkdir -p certs.d/$AT
 file hosts.toml >certs.d/$AT/hosts.toml
 ctr() { shift 4; command ctr images pull --hosts-dir certs.d "$@"; }
ctr images pull --hosts-dir /etc/containerd/certs.d HOST:PORT/NAME:TAG"#),
        Case::new("x509: certificate signed by unknown authority", "ctr images pull $TLS/hello:1.0.0", " AT=$TLS
ctr images pull --tlscacert ca.crt HOST:PORT/NAME:TAG"),
        Case::new("first record does not look like a TLS handshake", "ctr images pull $FAR_SERVICE/hello:1.0.0", PULL),
        Case::new("malformed HTTP response", "ctr images pull --plain-http $OTHER_SERVICE/hello:1.0.0", PULL),
        Case::new("connection refused", "ctr images pull --plain-http $NOBODY/hello:1.0.0", PULL),
        Case::new("no such host", "ctr images pull --plain-http $NO_HOST/hello:1.0.0", PULL),
        Case::new("not found", "ctr images pull --plain-http $REGISTRY/acme/hello:1.0.0", PULL),
        Case::new("not found", "ctr images pull --plain-http $REGISTRY/hello:9", PULL),
        Case::new("not found", "ctr images pull --plain-http $REGISTRY/hello@$ABSENT", PULL),
        Case::new("no match for platform in manifest", "ctr images pull --plain-http --platform linux/s390x $REGISTRY/hello:1.0.0", "ctr images pull --plain-http --platform linux/amd64 HOST:PORT/NAME:TAG"),
        Case::new("from remote: not found", "ctr images pull --plain-http $INCOMPLETE/hello:1.0.0", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
ctr images pull --plain-http HOST:PORT/NAME:TAG"),
        Case::new("unexpected commit digest", "ctr images pull --plain-http $REGISTRY/damaged:1.0.0", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
ctr images pull --plain-http HOST:PORT/NAME:TAG"),
        Case::new("400 Bad Request", "ctr images pull --plain-http $TLS/hello:1.0.0", " AT=$TLS
ctr images pull --tlscacert ca.crt HOST:PORT/NAME:TAG"),
        Case::new("invalid port", "ctr images pull --plain-http hello:1.0.0", PULL),
        Case::new("object required", "ctr images pull --plain-http $REGISTRY/hello", " IMAGE=hello:latest
ctr images pull --plain-http HOST:PORT/NAME:TAG"),
        Case::new("401 Unauthorized", "ctr images pull --plain-http $ELSEWHERE/private:1", PULL),
        Case::new("403 Forbidden", "ctr images pull --plain-http $ELSEWHERE/denied:1", PULL),
    ],
};
