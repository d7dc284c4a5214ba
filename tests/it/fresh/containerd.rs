//! What `ctr images export` writes of images that came from a registry.

use super::Told::Digests;
use super::{Case, READERS, check_all, registry};
use crate::daemons::{CONTAINERD, Home, able};

const CASES: &[Case] = &[
    Case {
        make: "ctr images export $F $R/test/one:1.0",
        file: "app.tar",
        names: &["$R/test/one:1.0"],
        told: Digests("ctr images ls name==$R/test/one:1.0 | awk 'NR == 2 { print $3 }'"),
    },
    Case {
        make: "ctr images export --all-platforms $F $R/test/multi:1",
        file: "app.tar",
        names: &["$R/test/multi:1"],
        told: Digests("ctr images ls name==$R/test/multi:1 | awk 'NR == 2 { print $3 }'"),
    },
    // The index lists both platforms, and the manifest of one is missing.
    Case {
        make: "ctr images export --platform linux/amd64 $F $R/test/multi:1",
        file: "app.tar",
        names: &["$R/test/multi:1"],
        told: Digests("ctr images ls name==$R/test/multi:1 | awk 'NR == 2 { print $3 }'"),
    },
    Case {
        make: "ctr images export $F $R/test/one:1.0 $R/test/two:1.0",
        file: "app.tar",
        names: &["$R/test/one:1.0", "$R/test/two:1.0"],
        told: Digests("ctr images ls name~=1.0 | awk 'NR > 1 { print $3 }'"),
    },
];

#[test]
fn by_ctr() {
    if able(CONTAINERD) && able(&["buildah"]) && able(&READERS) {
        let home = Home::new();
        let _containerd = home.containerd();
        let registry = registry(&home);
        for image in ["one:1.0", "two:1.0", "multi:1"] {
            home.sh(&format!(
                "ctr images pull --plain-http --all-platforms {}/test/{image}",
                registry.authority()
            ));
        }
        check_all(&home, registry.authority(), CASES);
    }
}
