//! Clients of registries, each as the commands that a person would type.
//!
//! The commands find in their environment what they are about: `$IMAGE` is `$REGISTRY/$REPOSITORY` with a tag or a digest,
//! `$PLATFORM` is `linux/$ARCH`, and `$OUT` is an empty folder.

use crate::daemons::{CONTAINERD, DOCKER};

/// A client, and how it does what a client may do.
pub(crate) struct Client {
    /// What its users call it.
    pub(crate) name: &'static str,
    /// What it needs on the machine.
    pub(super) programs: &'static [&'static str],
    /// The daemon that does its work.
    pub(super) daemon: Daemon,
    /// Tells the version, which is the first number in the output.
    pub(super) version: &'static str,
    /// Makes it forget all images, so that nothing is left that need not be fetched.
    pub(super) forget: &'static str,
    /// Pulls `$IMAGE`.
    pub(super) pull: &'static str,
    /// Brings what it has stored of `$IMAGE` into `$OUT`, as files of the bytes that it was sent; layers may be
    /// decompressed.
    pub(super) keep: &'static str,
}

/// What has to run before a client can do anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    None,
    Containerd,
    Docker,
}

/// What containerd holds, each blob as a file that is called by its digest.
macro_rules! contents {
    () => {
        "for digest in $(ctr content ls -q); do ctr content get $digest >\"$OUT/$digest\"; done"
    };
}

/// Where podman and buildah have manifests and configs as they got them.
macro_rules! documents {
    () => {
        "cp podman/root/vfs-images/*/* \"$OUT\""
    };
}

const DOCKER_ENGINE: Client = Client {
    name: "docker",
    programs: DOCKER,
    daemon: Daemon::Docker,
    version: "dockerd --version",
    forget: "docker image ls -aq | sort -u | xargs -r docker image rm --force
        export CONTAINERD_NAMESPACE=moby
        ctr content ls -q | xargs -r ctr content rm",
    pull: "docker pull $IMAGE",
    // The graph driver has the layers, and containerd beneath it the manifests.
    keep: concat!(
        "docker image save $IMAGE | tar -x -C $OUT && export CONTAINERD_NAMESPACE=moby && ",
        contents!()
    ),
};

const CTR: Client = Client {
    name: "containerd",
    programs: CONTAINERD,
    daemon: Daemon::Containerd,
    version: "ctr --version",
    forget: "ctr images ls -q | xargs -r ctr images rm --sync",
    pull: "ctr images pull --plain-http $IMAGE",
    keep: contents!(),
};

const PODMAN: Client = Client {
    name: "podman",
    programs: &["podman"],
    daemon: Daemon::None,
    version: "podman --version",
    forget: "podman image rm --all --force",
    pull: "podman pull --tls-verify=false $IMAGE",
    keep: concat!(
        "podman save -q --format docker-dir -o $OUT/image $IMAGE && ",
        documents!()
    ),
};

const BUILDAH: Client = Client {
    name: "buildah",
    programs: &["buildah"],
    daemon: Daemon::None,
    version: "buildah --version",
    forget: "buildah rm --all && buildah rmi --all --force",
    pull: "buildah pull --tls-verify=false $IMAGE",
    keep: concat!(
        "buildah push -q --disable-compression $IMAGE dir:$OUT/image && ",
        documents!()
    ),
};

const SKOPEO: Client = Client {
    name: "skopeo",
    programs: &["skopeo"],
    daemon: Daemon::None,
    version: "skopeo --version",
    forget: "",
    pull: "skopeo copy --src-tls-verify=false docker://$IMAGE dir:$OUT",
    keep: "",
};

const CRANE: Client = Client {
    name: "crane",
    programs: &["crane"],
    daemon: Daemon::None,
    version: "crane version",
    forget: "",
    pull: "crane pull --format oci $IMAGE $OUT",
    keep: "",
};

const ORAS: Client = Client {
    name: "oras",
    programs: &["oras"],
    daemon: Daemon::None,
    version: "oras version",
    forget: "",
    pull: "oras cp --from-plain-http $IMAGE --to-oci-layout $OUT:pulled",
    keep: "",
};

const REGCTL: Client = Client {
    name: "regctl",
    programs: &["regctl"],
    daemon: Daemon::None,
    version: "regctl version",
    forget: "",
    pull: "regctl registry set --tls disabled $REGISTRY && regctl image copy $IMAGE ocidir://$OUT:pulled",
    keep: "",
};

/// The clients of the tables, in their order.
pub(crate) const CLIENTS: [Client; 8] = [
    DOCKER_ENGINE,
    CTR,
    PODMAN,
    BUILDAH,
    SKOPEO,
    CRANE,
    ORAS,
    REGCTL,
];
