//! Docker.

use super::{Case, Client};

/// The pull of the page.
const PULL: &str = "docker pull HOST:PORT/NAME:TAG";

pub(in super::super) const DOCKER: Client = Client {
    name: "docker",
    forget: "docker images -aq | xargs -r docker image rm -f",
    sums: "docker images -q | xargs -r docker save | tar -xO --wildcards '*/layer.tar' | sha256sum",
    cases: &[
        Case::new("server gave HTTP response to HTTPS client", "docker pull $FAR/hello:1.0.0", r#" AT=$FAR
 file daemon.json | tr -d '\n{}' >more
 sed -i "s|^{|{ $(cat more),|" dockerd.json
 kill -s HUP "$(cat docker.pid)"
 until docker info | grep -q "^  $AT$"; do sleep 0.1; done
docker pull HOST:PORT/NAME:TAG"#),
        Case::new("x509: certificate signed by unknown authority", "docker pull $TLS/hello:1.0.0", r#" AT=$TLS
 file daemon.json | tr -d '\n{}' >more
 sed -i "s|^{|{ $(cat more),|" dockerd.json
 kill -s HUP "$(cat docker.pid)"
 until docker info | grep -q "^  $AT$"; do sleep 0.1; done
docker pull HOST:PORT/NAME:TAG"#),
        Case::new("first record does not look like a TLS handshake", "docker pull $FAR_SERVICE/hello:1.0.0", PULL),
        Case::new("malformed HTTP response", "docker pull $OTHER_SERVICE/hello:1.0.0", PULL),
        Case::new("connection refused", "docker pull $NOBODY/hello:1.0.0", PULL),
        Case::new("no such host", "docker pull $NO_HOST/hello:1.0.0", PULL),
        Case::new("name unknown", "docker pull $REGISTRY/acme/hello:1.0.0", PULL),
        Case::new("manifest unknown", "docker pull $REGISTRY/hello:9", PULL),
        Case::new("manifest unknown", "docker pull $REGISTRY/hello@$ABSENT", PULL),
        Case::new("no matching manifest for", "docker pull --platform linux/s390x $REGISTRY/hello:1.0.0", "docker pull --platform linux/amd64 HOST:PORT/NAME:TAG"),
        Case::new("unknown blob", "docker pull $INCOMPLETE/hello:1.0.0", " cp shelf/hello.tar holes/again.tar
 served $INCOMPLETE/v2/hello/blobs/sha256:01d0439e8f87735d2f7026e97482c41e83e26fe18b084cc84985518215acae3c
 AT=$INCOMPLETE
docker pull HOST:PORT/NAME:TAG"),
        Case::new("filesystem layer verification failed for digest", "docker pull $REGISTRY/damaged:1.0.0", " cp shelf/hello.tar shelf/damaged.tar; sleep 0.5
docker pull HOST:PORT/NAME:TAG"),
        Case::new("toomanyrequests", "docker pull $ELSEWHERE/limited:1", PULL),
        Case::new("unauthorized", "docker pull $ELSEWHERE/private:1", PULL),
        Case::new("denied", "docker pull $ELSEWHERE/denied:1", PULL),
        Case::new("repository name must be lowercase", "docker pull $REGISTRY/Hello:1.0.0", PULL),
        Case::new("invalid reference format", "docker pull http://$REGISTRY/hello:1.0.0", PULL),
        Case::new("invalid reference format", "docker pull $REGISTRY/plus:1.0.0+oci", r#" curl -sI http://$REGISTRY/v2/plus/manifests/1.0.0+oci >head
 DIGEST=$(tr -d "\r" <head | sed -n "s/^docker-content-digest: //p")
 IMAGE=plus
docker pull HOST:PORT/NAME@DIGEST"#),
        Case::new("stderr: unexpected EOF", "docker pull $REGISTRY/test/bx:4", " FILE=zstd IMAGE=app:1
skopeo copy --dest-decompress oci-archive:FOLDER/NAME.tar dir:unpacked
skopeo copy dir:unpacked oci-archive:FOLDER/NAME-gzip.tar:NAME:TAG
 rm shelf/zstd.tar
 served $REGISTRY/v2/app/manifests/1
docker pull HOST:PORT/NAME:TAG"),
        Case::new("503 Service Unavailable", "exhaust $(($(free) + 1))
docker pull $EXHAUSTED/hello:1.0.0", " exhaust 1024
 AT=$EXHAUSTED
docker pull HOST:PORT/NAME:TAG"),
        Case::new("this registry is read-only", "docker pull -q $REGISTRY/hello:1.0.0
docker tag $REGISTRY/hello:1.0.0 $REGISTRY/app:1
docker push $REGISTRY/app:1", " docker pull -q $REGISTRY/hello:1.0.0
 docker tag $REGISTRY/hello:1.0.0 app:1
docker save -o FOLDER/app.tar app:1
 docker image rm -f $(docker images -aq)
 served $REGISTRY/v2/app/manifests/1
 IMAGE=app:1
docker pull HOST:PORT/NAME:TAG"),
    ],
};
