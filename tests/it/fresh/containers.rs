//! Archives by buildah, podman and skopeo, which share a library and differ in what they have it do.

use super::Told::{Digests, Ids};
use super::{Case, READERS, build_images, check_all, registry};
use crate::daemons::{Home, able};

const BUILDAH: &[Case] = &[
    // It adds the names that the image has in its own storage.
    Case {
        make: "buildah push -q localhost/test/one:1.0 docker-archive:$F:example.com/a/one:1",
        file: "app.tar",
        names: &["example.com/a/one:1", "localhost/test/one:1.0"],
        told: Ids("buildah images --no-trunc -q localhost/test/one:1.0"),
    },
    Case {
        make: "buildah push -q localhost/test/one:1.0 docker-archive:$F",
        file: "app.tar",
        names: &["localhost/test/one:1.0"],
        told: Ids("buildah images --no-trunc -q localhost/test/one:1.0"),
    },
    Case {
        make: "buildah push -q --digestfile told localhost/test/two:1.0 oci-archive:$F:localhost/a/two:1",
        file: "app.tar",
        names: &["localhost/a/two:1"],
        told: Digests("cat told"),
    },
    Case {
        make: "buildah push -q --digestfile told localhost/test/two:1.0 oci-archive:$F",
        file: "app.tar",
        names: &["./app:latest"],
        told: Digests("cat told"),
    },
    Case {
        make: "buildah push -q --compression-format zstd --digestfile told localhost/test/one:1.0 oci:$F:v1",
        file: "layout",
        names: &["./layout:v1"],
        told: Digests("cat told"),
    },
    Case {
        make: "buildah manifest push -q --all --digestfile told localhost/test/multi:1 oci-archive:$F:multi",
        file: "app.tar",
        names: &["./app:multi"],
        told: Digests("cat told"),
    },
];

#[test]
fn by_buildah() {
    if able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        build_images(&home);
        check_all(&home, "", BUILDAH);
    }
}

const PODMAN: &[Case] = &[
    Case {
        make: "podman save -q -o $F localhost/test/one:1.0",
        file: "app.tar",
        names: &["localhost/test/one:1.0"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0"),
    },
    Case {
        make: "podman tag localhost/test/one:1.0 docker.io/library/one:2 &&
            podman save -q -m -o $F localhost/test/one:1.0 docker.io/library/one:2 localhost/test/two:1.0",
        file: "app.tar",
        names: &[
            "docker.io/library/one:2",
            "localhost/test/one:1.0",
            "localhost/test/two:1.0",
        ],
        told: Ids(
            "podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0 localhost/test/two:1.0",
        ),
    },
    Case {
        make: "podman save -q -o $F $(podman image inspect --format {{.Id}} localhost/test/two:1.0)",
        file: "app.tar",
        names: &["./app:latest"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/two:1.0"),
    },
    Case {
        make: "podman save -q --format oci-archive -o $F localhost/test/one:1.0",
        file: "app.tar",
        names: &["localhost/test/one:1.0"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0"),
    },
    Case {
        make: "podman save -q --format oci-dir -o $F localhost/test/one:1.0",
        file: "layout",
        names: &["localhost/test/one:1.0"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0"),
    },
];

#[test]
fn by_podman() {
    if able(&["buildah", "podman"]) && able(&READERS) {
        let home = Home::new();
        build_images(&home);
        check_all(&home, "", PODMAN);
    }
}

/// Folders whose manifest is `manifest.json`, and blobs are files beside it.
const PODMAN_FLAT: &[Case] = &[
    Case {
        make: "podman save -q --format docker-dir -o $F localhost/test/one:1.0",
        file: "flat",
        names: &["./flat:latest"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0"),
    },
    Case {
        make: "podman save -q --format docker-dir --compress -o $F localhost/test/two:1.0",
        file: "flat",
        names: &["./flat:latest"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/two:1.0"),
    },
];

#[test]
fn flat_by_podman() {
    if able(&["buildah", "podman"]) && able(&READERS) {
        let home = Home::new();
        build_images(&home);
        check_all(&home, "", PODMAN_FLAT);
    }
}

/// Folders with what was in a tar.
const UNPACKED: &[Case] = &[
    Case {
        make: "podman save -q --format oci-archive -o packed.oci localhost/test/two:1.0 &&
            mkdir $F && tar -C $F -xf packed.oci",
        file: "unpacked",
        names: &["localhost/test/two:1.0"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/two:1.0"),
    },
    Case {
        make: "podman save -q -o packed.docker localhost/test/one:1.0 &&
            mkdir $F && tar -C $F -xf packed.docker",
        file: "unpacked",
        names: &["localhost/test/one:1.0"],
        told: Ids("podman image inspect --format sha256:{{.Id}} localhost/test/one:1.0"),
    },
];

#[test]
fn by_podman_and_unpacked() {
    if able(&["buildah", "podman", "tar"]) && able(&READERS) {
        let home = Home::new();
        build_images(&home);
        check_all(&home, "", UNPACKED);
    }
}

const SKOPEO: &[Case] = &[
    Case {
        make: "skopeo copy -q --src-tls-verify=false docker://$R/test/one:1.0 docker-archive:$F:example.org:5000/b/one:2",
        file: "app.tar",
        names: &["example.org:5000/b/one:2"],
        told: Ids(
            "skopeo inspect --config --raw --tls-verify=false docker://$R/test/one:1.0 | sha256sum | sed 's/ .*//; s/^/sha256:/'",
        ),
    },
    Case {
        make: "skopeo copy -q --src-tls-verify=false --additional-tag one:3 docker://$R/test/one:1.0 docker-archive:$F:one:2",
        file: "app.tar",
        names: &["docker.io/library/one:2", "docker.io/library/one:3"],
        told: Ids(
            "skopeo inspect --config --raw --tls-verify=false docker://$R/test/one:1.0 | sha256sum | sed 's/ .*//; s/^/sha256:/'",
        ),
    },
    Case {
        make: "skopeo copy -q --src-tls-verify=false --digestfile told docker://$R/test/two:1.0 oci-archive:$F:example.org/b/two:2",
        file: "app.tar",
        names: &["example.org/b/two:2"],
        told: Digests("cat told"),
    },
    Case {
        make: "skopeo copy -q --src-tls-verify=false --all --digestfile told docker://$R/test/multi:1 oci-archive:$F:v1",
        file: "app.tar",
        names: &["./app:v1"],
        told: Digests("cat told"),
    },
    Case {
        make: "skopeo copy -q --src-tls-verify=false --digestfile a docker://$R/test/one:1.0 oci:$F:one &&
            skopeo copy -q --src-tls-verify=false --all --digestfile b docker://$R/test/multi:1 oci:$F:multi",
        file: "layout",
        names: &["./layout:multi", "./layout:one"],
        told: Digests("cat a; echo; cat b"),
    },
];

#[test]
fn by_skopeo() {
    if able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        let registry = registry(&home);
        check_all(&home, registry.authority(), SKOPEO);
    }
}

const SKOPEO_FLAT: &[Case] = &[
    Case {
        make: "skopeo copy -q --src-tls-verify=false --digestfile told docker://$R/test/one:1.0 dir:$F",
        file: "flat",
        names: &["./flat:latest"],
        told: Digests("cat told"),
    },
    Case {
        make: "skopeo copy -q --src-tls-verify=false --all --digestfile told docker://$R/test/multi:1 dir:$F",
        file: "flat",
        names: &["./flat:latest"],
        told: Digests("cat told"),
    },
];

#[test]
fn flat_by_skopeo() {
    if able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        let registry = registry(&home);
        check_all(&home, registry.authority(), SKOPEO_FLAT);
    }
}

/// The name of a folder is a reference, the host included or not.
const SKOPEO_SYNC: &[Case] = &[
    Case {
        make: "skopeo sync --src-tls-verify=false --src docker --dest dir $R/test/one:1.0 $P",
        file: "one:1.0",
        names: &["./one:1.0"],
        told: Digests(
            "skopeo inspect --raw --tls-verify=false docker://$R/test/one:1.0 | sha256sum | sed 's/ .*//; s/^/sha256:/'",
        ),
    },
    Case {
        make: "skopeo sync --src-tls-verify=false --src docker --dest dir --scoped --all $R/test/multi:1 $P",
        file: "$R/test/multi:1",
        names: &["$R/test/multi:1"],
        told: Digests(
            "skopeo inspect --raw --tls-verify=false docker://$R/test/multi:1 | sha256sum | sed 's/ .*//; s/^/sha256:/'",
        ),
    },
];

#[test]
fn synchronized_by_skopeo() {
    if able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        let registry = registry(&home);
        check_all(&home, registry.authority(), SKOPEO_SYNC);
    }
}
