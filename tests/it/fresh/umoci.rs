//! Layouts by umoci, as folders and in the tars that people make of them.

use super::Told::Digests;
use super::{Case, READERS, check_all};
use crate::daemons::{Home, able};

/// All that umoci has put into the layout `made`, by the digests that skopeo tells.
const TOLD: &str = "for tag in $(umoci ls --layout made); do
        skopeo inspect --raw oci:made:$tag | sha256sum | sed 's/ .*//; s/^/sha256:/'
    done";

const CASES: &[Case] = &[
    Case {
        make: "cp -r made $F",
        file: "layout",
        names: &[
            "./layout:empty",
            "./layout:latest",
            "./layout:v1",
            "./layout:v2",
        ],
        told: Digests(TOLD),
    },
    Case {
        make: "tar -C made --format=pax -cf $F .",
        file: "layout.tar",
        names: &[
            "./layout:empty",
            "./layout:latest",
            "./layout:v1",
            "./layout:v2",
        ],
        told: Digests(TOLD),
    },
    Case {
        make: "tar -C made --format=gnu -cf $F oci-layout index.json blobs",
        file: "layout.tar",
        names: &[
            "./layout:empty",
            "./layout:latest",
            "./layout:v1",
            "./layout:v2",
        ],
        told: Digests(TOLD),
    },
    Case {
        make: "bsdtar -C made -cf $F .",
        file: "layout.tar",
        names: &[
            "./layout:empty",
            "./layout:latest",
            "./layout:v1",
            "./layout:v2",
        ],
        told: Digests(TOLD),
    },
];

#[test]
fn by_umoci() {
    if able(&["umoci", "tar", "bsdtar"]) && able(&READERS) {
        let home = Home::new();
        home.sh("mkdir files && echo one >files/one && echo two >files/two");
        home.sh("umoci init --layout made && umoci new --image made:empty");
        home.sh("umoci insert --image made:empty --tag v1 $PWD/files/one /one");
        home.sh("umoci insert --image made:v1 --tag v2 $PWD/files/two /two");
        home.sh("umoci tag --image made:v1 latest");
        check_all(&home, "", CASES);
    }
}
