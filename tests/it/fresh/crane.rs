//! What crane pulls from the server into its three formats, served again.

use super::Told::{Digests, Ids};
use super::{Case, READERS, check_all, registry};
use crate::daemons::{Home, able};
use crate::server::Server;

const CASES: &[Case] = &[
    Case {
        make: "crane pull $R/test/one:1.0 $F",
        file: "app.tar",
        names: &["$R/test/one:1.0"],
        told: Digests("crane digest --tarball $F"),
    },
    Case {
        make: "crane pull $R/test/one:1.0 $R/test/two:1.0 $F",
        file: "app.tar",
        names: &["$R/test/one:1.0", "$R/test/two:1.0"],
        told: Ids("for name in one two; do
                crane config $R/test/$name:1.0 | sha256sum | sed 's/ .*//; s/^/sha256:/'
            done"),
    },
    // Without a tag there is nothing but a digest to ask by, and it is another one than was pulled.
    Case {
        make: "crane pull $R/test/two@$(crane digest $R/test/two:1.0) $F",
        file: "app.tar",
        names: &["$R/test/two@"],
        told: Digests("crane digest --tarball $F"),
    },
    Case {
        make: "crane pull --format legacy $R/test/two:1.0 $F",
        file: "app.tar",
        names: &["$R/test/two:1.0"],
        told: Ids("crane config $R/test/two:1.0 | sha256sum | sed 's/ .*//; s/^/sha256:/'"),
    },
    Case {
        make: "crane pull --format oci $R/test/multi:1 $F",
        file: "layout",
        names: &["./layout:latest"],
        told: Digests("crane digest $R/test/multi:1"),
    },
    Case {
        make: "crane pull --format oci --annotate-ref $R/test/one:1.0 $F",
        file: "layout",
        names: &["$R/test/one:1.0"],
        told: Digests("crane digest $R/test/one:1.0"),
    },
];

#[test]
fn by_crane() {
    if able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        let registry = registry(&home);
        check_all(&home, registry.authority(), CASES);
    }
}

/// Where a manifest has to be made, it is made the same again: an image that is pulled, served and pulled keeps its digest.
#[test]
fn by_crane_again_with_the_same_digest() {
    if !(able(&["buildah"]) && able(&READERS)) {
        return;
    }
    let home = Home::new();
    let first = registry(&home);
    for format in ["tarball", "legacy", "oci"] {
        let again = |from: &Server, name: &str| {
            let folder = format!("{format}-{name}");
            let image = format!("{}/test/one:1.0", from.authority());
            // Without `--annotate-ref` a layout would not say the name.
            home.sh(&format!(
                "mkdir {folder} && crane pull --annotate-ref --format {format} {image} {folder}/app.tar"
            ));
            Server::serving(&home.join(&folder))
        };
        let digest = |server: &Server| {
            let head = server.head("/v2/test/one/manifests/1.0");
            let digest = head.header("docker-content-digest");
            digest.expect("a digest").to_owned()
        };
        let second = again(&first, "second");
        let third = again(&second, "third");
        assert_eq!(digest(&second), digest(&third), "{format}");
    }
}
