//! regctl.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "regctl registry set --tls disabled HOST:PORT
regctl image copy HOST:PORT/NAME:TAG ocidir://image";

pub(in super::super) const REGCTL: Client = Client {
    name: "regctl",
    forget: "rm -rf image .regctl",
    sums: "sha256sum image/blobs/sha256/*",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "regctl image copy $REGISTRY/hello:1.0.0 ocidir://image", PULL),
        Case::new("x509: certificate signed by unknown authority", "regctl image copy $TLS/hello:1.0.0 ocidir://image", r#" AT=$TLS
regctl registry set --cacert "$(cat ca.crt)" HOST:PORT
regctl image copy HOST:PORT/NAME:TAG ocidir://image"#),
        Case::new("first record does not look like a TLS handshake", "regctl image copy $OTHER_SERVICE/hello:1.0.0 ocidir://image", PULL),
        Case::new("malformed HTTP response", "regctl registry set --skip-check --tls disabled $OTHER_SERVICE
regctl image copy $OTHER_SERVICE/hello:1.0.0 ocidir://image", PULL),
        Case::new("connection refused", "regctl registry set --skip-check --tls disabled $NOBODY
regctl image copy $NOBODY/hello:1.0.0 ocidir://image", PULL),
        Case::new("no route to host", "alone regctl image copy 192.0.2.1:8080/hello:1.0.0 ocidir://image", PULL),
        Case::new("no such host", "regctl registry set --skip-check --tls disabled $NO_HOST
regctl image copy $NO_HOST/hello:1.0.0 ocidir://image", PULL),
        Case::new("NAME_UNKNOWN", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy $REGISTRY/acme/hello:1.0.0 ocidir://image", PULL),
        Case::new("MANIFEST_UNKNOWN", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy $REGISTRY/hello:9 ocidir://image", PULL),
        Case::new("MANIFEST_UNKNOWN", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy $REGISTRY/hello@$ABSENT ocidir://image", PULL),
        Case::new("platform not found", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy --platform linux/s390x $REGISTRY/hello:1.0.0 ocidir://image", " regctl registry set --tls disabled $AT
regctl image copy --platform linux/amd64 HOST:PORT/NAME:TAG ocidir://image"),
        Case::new("BLOB_UNKNOWN", "regctl registry set --skip-check --tls disabled $INCOMPLETE
regctl image copy $INCOMPLETE/hello:1.0.0 ocidir://image", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
regctl registry set --tls disabled HOST:PORT
regctl image copy HOST:PORT/NAME:TAG ocidir://image"),
        Case::new("digest mismatch", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy $REGISTRY/damaged:1.0.0 ocidir://image", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
regctl registry set --tls disabled HOST:PORT
regctl image copy HOST:PORT/NAME:TAG ocidir://image"),
        Case::new("empty challenge header", "regctl registry set --skip-check --tls disabled $ELSEWHERE
regctl image copy $ELSEWHERE/private:1 ocidir://image", PULL),
        Case::new("unauthorized [http 403]", "regctl registry set --skip-check --tls disabled $ELSEWHERE
regctl image copy $ELSEWHERE/denied:1 ocidir://image", PULL),
        Case::new("repo must be lowercase", "regctl image copy $REGISTRY/Hello:1.0.0 ocidir://image", PULL),
        Case::without_advice("invalid reference", "regctl image copy $REGISTRY/plus:1.0.0+oci ocidir://image"),
        Case::without_advice("this registry is read-only", "regctl registry set --skip-check --tls disabled $REGISTRY
regctl image copy $REGISTRY/hello:1.0.0 ocidir://image
regctl image copy ocidir://image $REGISTRY/app:1"),
    ],
};
