//! Real clients that are told to ask the server for images of other registries. What arrives is compared byte for byte.

use std::fs;

use super::{EVERYWHERE, image};
use crate::daemons::{CONTAINERD, DOCKER};
use crate::fixture::{Blob, Image, Layout, Node as _, encoded};
use crate::machine::{INTERNET, Machine};

/// Registries that clients can be told to mirror.
const REGISTRIES: &[&str] = &["docker.io", "ghcr.io", "quay.io", "harbor.example.com:5000"];

/// Images that only one registry has.
const AT_DOCKER_HUB: &str = "docker.io/acme/hub";
const AT_QUAY: &str = "quay.io/acme/quay";
const OFFICIAL: &str = "docker.io/library/alpine";

const CTR_PULL: &str = "ctr images pull --hosts-dir /etc/containerd/certs.d";

/// A machine on which `http://registry.example.com:8080` serves the same path of many registries.
fn machine() -> Machine {
    let machine = Machine::new();
    let folder = machine.folder().join("mirror");
    fs::create_dir(&folder).expect("a folder");
    let named = EVERYWHERE.iter().filter(|name| !name.starts_with('.'));
    let layout = named
        .chain(&[AT_DOCKER_HUB, AT_QUAY, OFFICIAL])
        .fold(Layout::new(), |layout, name| {
            layout.named(&image(name), &format!("{name}:1"))
        });
    fs::write(folder.join("all.tar"), layout.tar()).expect("an archive");
    machine.start(
        "packageorigin --listen :8080 mirror",
        "mirror.log",
        "curl -fsS http://localhost:8080/readyz",
    );
    machine
}

/// What the command writes, also if that is no text.
fn bytes(machine: &Machine, command: &str) -> Vec<u8> {
    machine.sh(&format!("{command} >bytes"));
    fs::read(machine.folder().join("bytes")).expect("a file")
}

/// The command fails, and the server has answered 404 for this path.
fn check_is_refused(machine: &Machine, command: &str, path: &str) {
    let finished = machine.run(command);
    assert!(!finished.success, "{command}\n{}", finished.said());
    machine.wait_for_log("mirror.log", &format!(" {path}\" 404 "));
}

/// Has containerd ask the server for images of all registries, if it is called by [`CTR_PULL`].
fn containerd_mirrors(machine: &Machine) {
    machine.configure(
        "/etc/containerd/certs.d/_default/hosts.toml",
        "[host.'http://registry.example.com:8080']\ncapabilities = ['pull', 'resolve']\n",
    );
}

#[test]
fn containerd_gets_the_image_of_each_registry() {
    if !Machine::able(CONTAINERD) {
        return;
    }
    let machine = machine();
    machine.containerd();
    containerd_mirrors(&machine);
    let pulled = REGISTRIES.iter().map(|host| format!("{host}/acme/app"));
    for name in pulled.chain([OFFICIAL.to_owned()]) {
        let image = image(&name);
        machine.sh(&format!("{CTR_PULL} {name}:1"));
        machine.sh(&format!("{CTR_PULL} {name}@{}", image.digest()));
        for Blob {
            digest,
            bytes: wanted,
        } in image.blobs()
        {
            let got = bytes(&machine, &format!("ctr content get {digest}"));
            assert!(got == wanted, "{name}: {digest}");
        }
    }
    let other = image(AT_DOCKER_HUB).digest();
    for (refused, path) in [
        (
            "quay.io/acme/hub:1".to_owned(),
            "acme/hub/manifests/1?ns=quay.io".to_owned(),
        ),
        (
            format!("quay.io/acme/hub@{other}"),
            format!("acme/hub/manifests/{other}?ns=quay.io"),
        ),
        (
            "harbor.example.com:5001/acme/app:1".to_owned(),
            "acme/app/manifests/1?ns=harbor.example.com%3A5001".to_owned(),
        ),
        (
            "quay.io/acme/app:latest".to_owned(),
            "acme/app/manifests/latest?ns=quay.io".to_owned(),
        ),
    ] {
        check_is_refused(
            &machine,
            &format!("{CTR_PULL} {refused}"),
            &format!("/v2/{path}"),
        );
    }
}

/// The settings of podman, skopeo and CRI-O: `place` makes a mirror's place of a registry.
fn registries_conf(machine: &Machine, place: impl Fn(&str) -> String) {
    let entries = REGISTRIES.iter().map(|host| {
        let place = place(host);
        format!(
            "[[registry]]\nlocation = '{host}'\n\
             [[registry.mirror]]\nlocation = '{place}'\ninsecure = true\n"
        )
    });
    let text: String = entries.collect();
    machine.configure("/etc/containers/registries.conf.d/mirrors.conf", &text);
}

/// Has them ask the server for images of [`REGISTRIES`]. A place has no port in its path.
fn podman_mirrors(machine: &Machine) {
    registries_conf(machine, |host| {
        let host = host.split(':').next().unwrap_or(host);
        format!("registry.example.com:8080/{host}")
    });
}

/// Copies an image by skopeo as it is, and gives its files with their names.
fn copy(machine: &Machine, reference: &str) -> Vec<(String, Vec<u8>)> {
    machine.sh(&format!(
        "rm -rf copy && skopeo copy --preserve-digests docker://{reference} dir:copy"
    ));
    let entries = fs::read_dir(machine.folder().join("copy")).expect("a folder");
    let files = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        (name, fs::read(entry.path()).expect("a file"))
    });
    let mut files: Vec<_> = files.filter(|(name, _)| name != "version").collect();
    files.sort();
    files
}

/// The files that skopeo has to make of an image.
fn files(image: &Image) -> Vec<(String, Vec<u8>)> {
    let manifest = ("manifest.json".to_owned(), image.manifest().bytes);
    let blobs = image.blobs().into_iter().skip(1);
    let blobs = blobs.map(|blob| (encoded(&blob.digest).to_owned(), blob.bytes));
    let mut files: Vec<_> = blobs.chain([manifest]).collect();
    files.sort();
    files
}

#[test]
fn skopeo_and_podman_get_the_image_of_each_registry() {
    if !Machine::able(&["skopeo", "podman"]) {
        return;
    }
    let machine = machine();
    podman_mirrors(&machine);
    let pulled = REGISTRIES.iter().map(|host| format!("{host}/acme/app"));
    for name in pulled.chain([OFFICIAL.to_owned()]) {
        let image = image(&name);
        assert!(
            copy(&machine, &format!("{name}:1")) == files(&image),
            "{name}"
        );
        let by_digest = format!("{name}@{}", image.digest());
        assert!(copy(&machine, &by_digest) == files(&image), "{name}");

        machine.sh(&format!("podman pull -q {name}:1"));
        check_podman_has(&machine, &name, &image);
    }
    for repository in ["quay.io/acme/hub", "docker.io/acme/quay"] {
        let path = format!("/v2/{repository}/manifests/1");
        check_is_refused(&machine, &format!("podman pull -q {repository}:1"), &path);
    }
}

/// Podman knows the image by its manifest and by its configuration.
fn check_podman_has(machine: &Machine, name: &str, image: &Image) {
    let format = "{{.Digest}} sha256:{{.Id}}";
    let inspect = format!("podman image inspect --format '{format}' {name}:1");
    let wanted = format!("{} {}", image.digest(), image.config().digest);
    assert_eq!(machine.sh(&inspect), wanted);
}

/// What the page on mirrors warns of: a mirror's place without the registry in it means Docker Hub first.
#[test]
fn without_the_registry_in_its_place_a_mirror_is_docker_hubs() {
    if !Machine::able(&["skopeo"]) {
        return;
    }
    let machine = machine();
    registries_conf(&machine, |_| "registry.example.com:8080".to_owned());
    let hub = files(&image("docker.io/acme/app"));
    for host in REGISTRIES {
        assert!(
            copy(&machine, &format!("{host}/acme/app:1")) == hub,
            "{host}"
        );
    }
}

/// Has Docker ask the server for images of Docker Hub, once it starts.
fn docker_mirrors(machine: &Machine) {
    machine.configure(
        "/etc/docker/daemon.json",
        r#"{"registry-mirrors": ["http://registry.example.com:8080"]}"#,
    );
}

#[test]
fn docker_gets_the_image_of_docker_hub() {
    if !Machine::able(DOCKER) {
        return;
    }
    let machine = machine();
    docker_mirrors(&machine);
    machine.docker();
    for (name, wanted) in [
        ("acme/app", "docker.io/acme/app"),
        ("docker.io/acme/hub", AT_DOCKER_HUB),
        ("alpine", OFFICIAL),
        // Docker does not say which registry it means, and Docker Hub has nothing of that name here.
        ("acme/quay", AT_QUAY),
    ] {
        machine.sh(&format!("docker pull {name}:1"));
        check_docker_has(&machine, name, wanted);
        machine.sh(&format!("docker pull {name}@{}", image(wanted).digest()));
    }
    // Of another registry's image no mirror is asked: the only request for this path was for Docker Hub's.
    assert!(!machine.run("docker pull quay.io/acme/app:1").success);
    machine.sh("curl -s http://localhost:8080/v2/last/tags/list");
    let log = machine.wait_for_log("mirror.log", "/v2/last/tags/list");
    assert_eq!(
        log.matches("HEAD /v2/acme/app/manifests/1\"").count(),
        1,
        "{log}"
    );
}

/// What a client cannot get here it has to get from the registry, so "not here" must be said in a way that each understands.
#[test]
fn what_a_mirror_lacks_comes_from_the_registry() {
    if !Machine::able(&[DOCKER, INTERNET, &["podman"]].concat()) {
        return;
    }
    let machine = machine();
    let folder = machine.folder().join("internet");
    fs::create_dir(&folder).expect("a folder");
    let names = ["docker.io/acme/far", "quay.io/acme/far"];
    let layout = names.iter().fold(Layout::new(), |layout, name| {
        layout.named(&image(name), &format!("{name}:1"))
    });
    fs::write(folder.join("all.tar"), layout.tar()).expect("an archive");
    machine.internet("internet");
    containerd_mirrors(&machine);
    podman_mirrors(&machine);
    docker_mirrors(&machine);
    machine.docker();
    for name in names {
        let image = image(name);
        machine.sh(&format!("{CTR_PULL} {name}:1"));
        let list = format!("ctr images ls name=={name}:1");
        assert!(machine.sh(&list).contains(&image.digest()), "{name}");
        machine.sh(&format!("podman pull -q {name}:1"));
        check_podman_has(&machine, name, &image);
    }
    machine.sh("docker pull acme/far:1");
    check_docker_has(&machine, "acme/far", "docker.io/acme/far");
    for path in [
        "acme/far/manifests/1?ns=docker.io",
        "acme/far/manifests/1?ns=quay.io",
        "docker.io/acme/far/manifests/1",
        "quay.io/acme/far/manifests/1",
        "acme/far/manifests/1",
    ] {
        machine.wait_for_log("mirror.log", &format!(" /v2/{path}\" 404 "));
    }
}

/// Docker knows the image by its configuration, and a container of it has the file that holds the name `wanted`.
fn check_docker_has(machine: &Machine, name: &str, wanted: &str) {
    let inspect = format!("docker image inspect --format '{{{{.Id}}}}' {name}:1");
    assert_eq!(machine.sh(&inspect), image(wanted).config().digest);
    let file = format!("docker cp $(docker create {name}:1 none):/name.txt - | tar -xO");
    assert_eq!(machine.sh(&file), wanted);
}
