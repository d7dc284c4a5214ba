//! The settings of clients that take a registry as the mirror of Docker Hub.

use std::fs;

use serde_json::{Value, json};

use super::sample;
use crate::daemons::Home;

/// podman, buildah and skopeo.
const REGISTRIES: &str = r#"
    [[registry]]
    prefix = "docker.io"
    location = "docker.io"
    [[registry.mirror]]
    location = "$MIRROR"
    insecure = true
"#;

/// containerd, in the folder of the host that is asked for.
const HOSTS: &str = r#"
    server = "http://$MIRROR"
    [host."http://$MIRROR"]
    capabilities = ["pull", "resolve"]
"#;

const UNPACK: &str = r#"
    [[plugins."io.containerd.transfer.v1.local".unpack_config]]
    platform = "$PLATFORM"
    snapshotter = "native"
"#;

/// Makes the clients in `home` take `mirror`, which is `HOST:PORT`, for Docker Hub.
pub(super) fn mirror(home: &Home, mirror: &str) {
    let hosts = home.join("hosts/docker.io");
    fs::create_dir_all(&hosts).expect("a folder");
    fs::write(hosts.join("hosts.toml"), HOSTS.replace("$MIRROR", mirror)).expect("settings");
    let registries = REGISTRIES.replace("$MIRROR", mirror);
    fs::write(home.join("registries.conf"), registries).expect("settings");
    change_docker(
        home,
        &json!({"registry-mirrors": [format!("http://{mirror}")]}),
    );
}

/// Makes containerd unpack into the snapshotter that `ctr` is told to use: from version 2 on the daemon unpacks, and it knows
/// its default only. Older versions have no such plugin, and pass over its settings.
pub(super) fn unpack(home: &Home) {
    let file = home.join("containerd.toml");
    let text = fs::read_to_string(&file).expect("settings");
    fs::write(file, text + &UNPACK.replace("$PLATFORM", sample::own())).expect("settings");
}

/// Makes docker keep its images in containerd.
pub(super) fn containerd_store(home: &Home) {
    change_docker(
        home,
        &json!({"features": {"containerd-snapshotter": true}, "storage-driver": "native"}),
    );
}

fn change_docker(home: &Home, change: &Value) {
    let file = home.join("dockerd.json");
    let text = fs::read_to_string(&file).expect("settings");
    let mut settings: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in change.as_object().expect("settings") {
        settings[key] = value.clone();
    }
    fs::write(file, settings.to_string()).expect("settings");
}
