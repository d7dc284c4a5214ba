//! Clients of registries, each as the commands that a person would type.
//!
//! The commands find in their environment what they are about: `$IMAGE` is `$REGISTRY/$REPOSITORY` with a tag or a digest,
//! `$PLATFORM` is `linux/$ARCH`, `$OUT` is an empty folder, `$MIRROR` the registry that stands in for Docker Hub, and
//! `$NAME` is a name that nobody else uses.

use std::path::Path;

use crate::daemons::{CONTAINERD, DOCKER};

/// A client, and how it does what a client may do.
pub(crate) struct Client {
    /// What its users call it.
    pub(crate) name: &'static str,
    /// What it needs on the machine.
    pub(super) programs: &'static [&'static str],
    /// The daemon that does its work.
    pub(super) daemon: Daemon,
    /// Tells the version: the first word that is a number, be it with a `v` before it.
    pub(super) version: &'static str,
    /// Makes it forget all images, so that nothing is left that need not be fetched.
    pub(super) forget: &'static str,
    /// Brings what it has stored of `$IMAGE` into `$OUT`, as files of the bytes that it was sent; layers may be
    /// decompressed.
    pub(super) keep: &'static str,
    /// Pulls `$IMAGE`.
    pub(super) pull: &'static str,
    /// What else it can do.
    pub(super) more: More,
}

/// The commands that not every client has.
pub(super) struct More {
    /// Pulls `$IMAGE` for `$PLATFORM`.
    pub(super) platform: Option<&'static str>,
    /// Brings all platforms of `$IMAGE` into `$OUT`, or to where `keep` finds them.
    pub(super) platforms: Option<&'static str>,
    /// Writes the tags of `$REGISTRY/$REPOSITORY`, each as a word of its own.
    pub(super) tags: Option<&'static str>,
    /// Writes the repositories of `$REGISTRY`, each as a word of its own.
    pub(super) catalog: Option<&'static str>,
    /// Writes the digests of what refers to `$IMAGE`.
    pub(super) referrers: Option<&'static str>,
    /// Brings the files of the artifact `$IMAGE` into `$OUT`.
    pub(super) files: Option<&'static str>,
    /// Pulls `$IMAGE` of Docker Hub by way of the mirror.
    pub(super) mirrored: Option<&'static str>,
    /// Runs a container of `$IMAGE`, which has been pulled.
    pub(super) run: Option<&'static str>,
}

/// What has to run before a client can do anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    None,
    Containerd,
    /// With the graph driver, or with the images in containerd.
    Docker {
        containerd_store: bool,
    },
}

impl Client {
    /// Whether it is part of the system in `root`.
    pub(super) fn lies_in(&self, root: &Path) -> bool {
        let has = |program: &&str| {
            let folders = ["usr/bin", "usr/sbin"];
            folders
                .iter()
                .any(|folder| root.join(folder).join(program).exists())
        };
        self.programs.iter().all(has)
    }

    /// The commands by what they do, as the page shows them.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let more = &self.more;
        [
            ("pull", Some(self.pull)),
            ("one platform", more.platform),
            ("all platforms", more.platforms),
            ("tags", more.tags),
            ("catalog or search", more.catalog),
            ("referrers", more.referrers),
            ("files of an artifact", more.files),
            ("as mirror", more.mirrored),
            ("run", more.run),
        ]
        .into_iter()
        .filter_map(|(what, command)| Some((what, command?)))
    }
}

/// What containerd holds, each blob as a file that is called by its digest. What is left of a pull that failed may
/// vanish meanwhile.
macro_rules! contents {
    () => {
        "for digest in $(ctr content ls -q); do
            ctr content get $digest >$OUT/$digest || rm $OUT/$digest
        done"
    };
}

/// Also what docker has in containerd's content store. The lease is there to be deleted: that waits until what was removed
/// is gone, and what is still there cannot be written anew.
macro_rules! forget_docker {
    () => {
        "docker image ls -aq | sort -u | xargs -r docker image rm --force &&
        export CONTAINERD_NAMESPACE=moby &&
        ctr content ls -q | xargs -r ctr content rm &&
        ctr leases delete --sync $(ctr leases create)"
    };
}

/// Where podman and buildah have manifests and configs as they got them.
macro_rules! documents {
    () => {
        "cp podman/root/vfs-images/*/* $OUT"
    };
}

const DOCKER_ENGINE: Client = Client {
    name: "docker",
    programs: DOCKER,
    daemon: Daemon::Docker {
        containerd_store: false,
    },
    version: "dockerd --version",
    forget: forget_docker!(),
    // The graph driver has the layers, and containerd beneath it the manifests.
    keep: concat!(
        "docker image save $IMAGE | tar -x -C $OUT && export CONTAINERD_NAMESPACE=moby && ",
        contents!()
    ),
    pull: "docker pull $IMAGE",
    more: More {
        platform: Some("docker pull --platform $PLATFORM $IMAGE"),
        platforms: None,
        tags: Some(
            "docker pull -q --all-tags $REGISTRY/$REPOSITORY >/dev/null &&
docker image ls --format '{{.Tag}}' $REGISTRY/$REPOSITORY",
        ),
        catalog: Some("docker search $REGISTRY/"),
        referrers: None,
        files: None,
        mirrored: Some("docker pull $IMAGE"),
        run: Some("docker run --rm --network none $IMAGE"),
    },
};

/// Docker with its images in containerd, where they are as they were sent. Only newer versions have it.
pub(super) const DOCKER_CONTAINERD: Client = Client {
    name: "docker, containerd store",
    daemon: Daemon::Docker {
        containerd_store: true,
    },
    keep: concat!("export CONTAINERD_NAMESPACE=moby && ", contents!()),
    ..DOCKER_ENGINE
};

const CTR: Client = Client {
    name: "containerd",
    programs: CONTAINERD,
    daemon: Daemon::Containerd,
    version: "ctr --version",
    forget: "ctr images ls -q | xargs -r ctr images rm --sync",
    keep: contents!(),
    pull: "ctr images pull --plain-http $IMAGE",
    more: More {
        platform: Some("ctr images pull --plain-http --platform $PLATFORM $IMAGE"),
        platforms: Some("ctr images pull --plain-http --all-platforms $IMAGE"),
        tags: None,
        catalog: None,
        referrers: None,
        files: None,
        mirrored: Some("ctr images pull --hosts-dir hosts $IMAGE"),
        run: Some("ctr run --rm --net-host $IMAGE $NAME"),
    },
};

const PODMAN: Client = Client {
    name: "podman",
    programs: &["podman"],
    daemon: Daemon::None,
    version: "podman --version",
    forget: "podman image rm --all --force",
    keep: concat!(
        "podman save -q --format docker-dir -o $OUT/image $IMAGE && ",
        documents!()
    ),
    pull: "podman pull --tls-verify=false $IMAGE",
    more: More {
        platform: Some("podman pull --tls-verify=false --platform $PLATFORM $IMAGE"),
        platforms: Some(
            "podman manifest create all &&
podman manifest add --tls-verify=false --all all docker://$IMAGE &&
podman manifest push --tls-verify=false --all all dir:$OUT",
        ),
        tags: Some(
            "podman search --tls-verify=false --list-tags $REGISTRY/$REPOSITORY | awk 'NR > 1 { print $2 }'",
        ),
        catalog: Some("podman search --tls-verify=false --format '{{.Name}}' $REGISTRY/"),
        referrers: None,
        files: Some(
            "podman artifact pull --tls-verify=false $IMAGE && podman artifact extract $IMAGE $OUT",
        ),
        mirrored: Some("podman pull $IMAGE"),
        run: Some("podman run --rm --pull never --network host $IMAGE"),
    },
};

const BUILDAH: Client = Client {
    name: "buildah",
    programs: &["buildah"],
    daemon: Daemon::None,
    version: "buildah --version",
    forget: "buildah rm --all && buildah rmi --all --force",
    keep: concat!(
        "buildah push -q --disable-compression $IMAGE dir:$OUT/image && ",
        documents!()
    ),
    pull: "buildah pull --tls-verify=false $IMAGE",
    more: More {
        platform: Some("buildah pull --tls-verify=false --platform $PLATFORM $IMAGE"),
        platforms: Some(
            "buildah manifest create all &&
buildah manifest add --tls-verify=false --all all docker://$IMAGE &&
buildah manifest push --tls-verify=false --all all dir:$OUT",
        ),
        tags: None,
        catalog: None,
        referrers: None,
        files: None,
        mirrored: Some("buildah pull $IMAGE"),
        run: Some("buildah run --isolation chroot $(buildah from --pull-never $IMAGE) -- /hello"),
    },
};

const SKOPEO: Client = Client {
    name: "skopeo",
    programs: &["skopeo"],
    daemon: Daemon::None,
    version: "skopeo --version",
    forget: "",
    keep: "",
    pull: "skopeo copy --src-tls-verify=false docker://$IMAGE dir:$OUT",
    more: More {
        platform: Some(
            "skopeo --override-os linux --override-arch $ARCH copy --src-tls-verify=false docker://$IMAGE dir:$OUT",
        ),
        platforms: Some(
            "skopeo copy --all --preserve-digests --src-tls-verify=false docker://$IMAGE dir:$OUT",
        ),
        tags: Some(
            "skopeo list-tags --tls-verify=false docker://$REGISTRY/$REPOSITORY | sed '1,/\"Tags\"/d' | tr -d '\",]}'",
        ),
        catalog: None,
        referrers: None,
        files: None,
        mirrored: Some("skopeo --registries-conf registries.conf copy docker://$IMAGE dir:$OUT"),
        run: None,
    },
};

const CRANE: Client = Client {
    name: "crane",
    programs: &["crane"],
    daemon: Daemon::None,
    // The one of Debian does not know its own.
    version: "crane version | grep [0-9] || dpkg-query -W crane",
    forget: "",
    keep: "",
    pull: "crane pull --format oci $IMAGE $OUT",
    more: More {
        platform: Some("crane pull --format oci --platform $PLATFORM $IMAGE $OUT"),
        platforms: Some("crane pull --format oci $IMAGE $OUT"),
        tags: Some("crane ls $REGISTRY/$REPOSITORY"),
        catalog: Some("crane catalog $REGISTRY"),
        referrers: None,
        files: None,
        mirrored: None,
        run: None,
    },
};

const ORAS: Client = Client {
    name: "oras",
    programs: &["oras"],
    daemon: Daemon::None,
    version: "oras version",
    forget: "",
    keep: "",
    pull: "oras cp --from-plain-http $IMAGE --to-oci-layout $OUT:pulled",
    more: More {
        platform: Some(
            "oras cp --from-plain-http --platform $PLATFORM $IMAGE --to-oci-layout $OUT:pulled",
        ),
        platforms: Some("oras cp --from-plain-http $IMAGE --to-oci-layout $OUT:pulled"),
        tags: Some("oras repo tags --plain-http $REGISTRY/$REPOSITORY"),
        catalog: Some("oras repo ls --plain-http $REGISTRY"),
        referrers: Some("oras discover --plain-http $IMAGE"),
        files: Some("oras pull --plain-http -o $OUT $IMAGE"),
        mirrored: None,
        run: None,
    },
};

const REGCTL: Client = Client {
    name: "regctl",
    programs: &["regctl"],
    daemon: Daemon::None,
    version: "regctl version",
    forget: "",
    keep: "",
    pull: "regctl --host reg=$REGISTRY,tls=disabled image copy $IMAGE ocidir://$OUT:pulled",
    more: More {
        platform: Some(
            "regctl --host reg=$REGISTRY,tls=disabled image copy --platform $PLATFORM $IMAGE ocidir://$OUT:pulled",
        ),
        platforms: Some(
            "regctl --host reg=$REGISTRY,tls=disabled image copy $IMAGE ocidir://$OUT:pulled",
        ),
        tags: Some("regctl --host reg=$REGISTRY,tls=disabled tag ls $REGISTRY/$REPOSITORY"),
        catalog: Some("regctl --host reg=$REGISTRY,tls=disabled repo ls $REGISTRY"),
        referrers: Some("regctl --host reg=$REGISTRY,tls=disabled artifact list $IMAGE"),
        files: Some("regctl --host reg=$REGISTRY,tls=disabled artifact get --output $OUT $IMAGE"),
        mirrored: Some(
            "regctl registry set --skip-check --tls disabled $MIRROR &&
regctl registry set --skip-check --mirror $MIRROR docker.io &&
regctl image copy $IMAGE ocidir://$OUT:pulled",
        ),
        run: None,
    },
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
