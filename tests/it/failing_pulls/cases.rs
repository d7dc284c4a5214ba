//! What each client is made to fail at, and what it does then.

mod buildah;
mod crane;
mod ctr;
mod docker;
mod oras;
mod podman;
mod regctl;
mod skopeo;

pub(super) use buildah::BUILDAH;
pub(super) use crane::CRANE;
pub(super) use ctr::CTR;
pub(super) use docker::DOCKER;
pub(super) use oras::ORAS;
pub(super) use podman::PODMAN;
pub(super) use regctl::REGCTL;
pub(super) use skopeo::SKOPEO;

/// All clients.
pub(super) const ALL: &[Client] = &[DOCKER, CTR, PODMAN, BUILDAH, SKOPEO, CRANE, ORAS, REGCTL];

/// What all lines may rely on: values for the words of the page, and a few commands.
pub(super) const PRELUDE: &str = r#"
AT=$REGISTRY
IMAGE=hello:1.0.0
FILE=app
ORIGIN=$REGISTRY
ABSENT=sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9
# A file of the page.
file() { sed "s/HOST:PORT/$AT/g" "page/$1"; }
# Waits until the registry serves what has been put into its folder, and no longer what has been taken out.
served() { until curl -sf --noproxy '*' "http://$1" >/dev/null; do sleep 0.1; done; }
# What follows, on a machine whose only neighbor cannot be reached.
alone() {
    unshare --net sh -c 'ip link set lo up; ip route add unreachable 192.0.2.1; exec "$@"' sh "$@"
}
# Leaves the registry at $EXHAUSTED one descriptor for a connection, and none for a file.
exhaust() { prlimit --pid "$EXHAUSTED_PID" --nofile="$1:"; }
# The first descriptor that it does not use.
free() {
    number=0
    while [ -e "/proc/$EXHAUSTED_PID/fd/$number" ]; do number=$((number + 1)); done
    echo $number
}
"#;

/// A client.
pub(super) struct Client {
    /// As the page calls it.
    pub(super) name: &'static str,
    /// Lines that make it forget all images.
    pub(super) forget: &'static str,
    /// Lines that write the SHA-256 of each layer that it has.
    pub(super) sums: &'static str,
    pub(super) cases: &'static [Case],
}

/// One pull that fails.
pub(super) struct Case {
    /// What the client says then, as it stands on the page.
    pub(super) words: &'static str,
    /// Lines that fail so.
    pub(super) fails: &'static str,
    /// What the page says to do, after which the client can pull. Lines that begin with a blank are the test's own.
    /// `None` where all advice is to go and look.
    pub(super) advice: Option<&'static str>,
}

impl Case {
    const fn new(words: &'static str, fails: &'static str, advice: &'static str) -> Self {
        Self {
            words,
            fails,
            advice: Some(advice),
        }
    }

    const fn without_advice(words: &'static str, fails: &'static str) -> Self {
        Self {
            words,
            fails,
            advice: None,
        }
    }
}
