//! What `docker save` writes.

use super::Told::Ids;
use super::{Case, READERS, check_all, write_context};
use crate::daemons::{DOCKER, Home, able};

const CASES: &[Case] = &[
    Case {
        make: "docker save -o $F test/one:1.0",
        file: "app.tar",
        names: &["docker.io/test/one:1.0"],
        told: Ids("docker image inspect --format {{.Id}} test/one:1.0"),
    },
    Case {
        make: "docker tag test/one:1.0 registry.example.com:5000/team/one:1.0-rc.1 &&
            docker save -o $F test/one:1.0 registry.example.com:5000/team/one:1.0-rc.1",
        file: "app.tar",
        names: &[
            "docker.io/test/one:1.0",
            "registry.example.com:5000/team/one:1.0-rc.1",
        ],
        told: Ids("docker image inspect --format {{.Id}} test/one:1.0"),
    },
    Case {
        make: "docker save -o $F test/one:1.0 test/two:1.0",
        file: "app.tar",
        names: &["docker.io/test/one:1.0", "docker.io/test/two:1.0"],
        told: Ids("docker image inspect --format {{.Id}} test/one:1.0 test/two:1.0"),
    },
    Case {
        make: "docker save -o $F $(docker image inspect --format {{.Id}} test/two:1.0)",
        file: "app.tar",
        names: &["./app:latest"],
        told: Ids("docker image inspect --format {{.Id}} test/two:1.0"),
    },
];

#[test]
fn by_docker() {
    if able(DOCKER) && able(&READERS) {
        let home = Home::new();
        let _docker = home.docker();
        write_context(&home);
        // BuildKit would need a plug-in of the client.
        for name in ["one", "two"] {
            home.sh(&format!(
                "DOCKER_BUILDKIT=0 docker build -q -t test/{name}:1.0 -f context/{name} context"
            ));
        }
        check_all(&home, "", CASES);
    }
}
