//! Real clients, as Debian packages them, on the examples: skopeo and podman.
//!
//! What arrives is compared with what the archive holds, read here without the server's own code.

use std::collections::HashMap;
use std::env::consts::ARCH;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::conformance::{digest_of, examples};
use crate::needs::{Finished, needs, run};
use crate::server::Server;

/// The repository and tag of `examples/hello.tar`, an index of two platforms.
const HELLO: &str = "hello:1.0.0";
/// What its program writes.
const GREETING: &str = "Hello from Package Origin!";
/// How long one command of a client may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Files by their digest.
type Blobs = HashMap<String, Vec<u8>>;

/// All files of an archive.
fn archive(name: &str) -> Blobs {
    let mut archive = tar::Archive::new(File::open(examples().join(name)).expect("an archive"));
    let mut blobs = Blobs::new();
    for entry in archive.entries().expect("a tar") {
        let mut bytes = Vec::new();
        entry
            .expect("a member")
            .read_to_end(&mut bytes)
            .expect("its bytes");
        blobs.insert(digest_of(&bytes), bytes);
    }
    blobs
}

/// A folder with a short path: podman makes sockets in it, whose paths have a limit of 108 bytes.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("po")
        .rand_bytes(4)
        .tempdir_in("/tmp")
        .expect("a folder")
}

/// The platform's name of this machine's processor.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The name of an image for a client that is told the registry by its address.
pub(crate) fn image(server: &Server, name: &str) -> String {
    format!("{}/{name}", server.authority())
}

/// A client's command that reads no settings of the person who runs the tests.
pub(crate) fn client(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", home);
    for name in [
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "REGISTRY_AUTH_FILE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it, and it must succeed.
pub(crate) fn succeed(command: &mut Command) -> Finished {
    let finished = run(command, LIMIT);
    assert!(finished.success, "{command:?}:\n{}", finished.said());
    finished
}

/// The digest of what a tag resolves to.
fn digest(server: &Server, reference: &str) -> String {
    let head = server.head(&format!("/v2/hello/manifests/{reference}"));
    head.header("docker-content-digest")
        .expect("a digest")
        .to_owned()
}

/// The digest of the manifest for one platform, from the index.
fn platform(server: &Server, architecture: &str) -> String {
    let index = server.get("/v2/hello/manifests/1.0.0").json();
    let mut manifests = index["manifests"].as_array().expect("an index").iter();
    let found = manifests.find(|entry| entry["platform"]["architecture"] == architecture);
    found.expect("the platform")["digest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}

fn skopeo_json(home: &Path, arguments: &[&str]) -> Value {
    let mut command = client("skopeo", home);
    let finished = succeed(command.args(arguments));
    serde_json::from_str(&finished.stdout).expect("skopeo gives JSON")
}

#[test]
fn skopeo_inspects_and_lists_tags() {
    if !needs(&["skopeo"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let source = format!("docker://{}", image(&server, HELLO));
    let seen = skopeo_json(home.path(), &["inspect", "--tls-verify=false", &source]);
    assert_eq!(seen["Digest"], digest(&server, "1.0.0"), "{seen}");
    assert_eq!(seen["Os"], "linux", "{seen}");

    // Not the other example: from 1.14.4 on skopeo refuses a whole list with `1.1.0+oci` in it.
    let repository = format!("docker://{}", image(&server, "hello"));
    let list = skopeo_json(
        home.path(),
        &["list-tags", "--tls-verify=false", &repository],
    );
    let told = server.get("/v2/hello/tags/list").json();
    assert_eq!(list["Tags"], told["tags"], "{list}");
    assert_eq!(
        list["Tags"],
        serde_json::json!(["1.0.0", "latest"]),
        "{list}"
    );
}

/// `skopeo copy` into `target`, with nothing recompressed on the way.
fn skopeo_copy(server: &Server, home: &Path, options: &[&str], target: &str) {
    let mut command = client("skopeo", home);
    command
        .args(options)
        .args(["copy", "--preserve-digests", "--src-tls-verify=false"]);
    if options.is_empty() {
        command.arg("--all");
    }
    succeed(
        command
            .arg(format!("docker://{}", image(server, HELLO)))
            .arg(target),
    );
}

#[test]
fn skopeo_copies_one_platform() {
    if !needs(&["skopeo"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let held = archive("hello.tar");
    for architecture in ["amd64", "arm64"] {
        let target = home.path().join(architecture);
        let options = ["--override-os", "linux", "--override-arch", architecture];
        skopeo_copy(
            &server,
            home.path(),
            &options,
            &format!("dir:{}", target.display()),
        );

        let arrived = arrived(&target, &["version"]);
        let manifest = fs::read(target.join("manifest.json")).expect("a manifest");
        assert_eq!(digest_of(&manifest), platform(&server, architecture));
        // The manifest, its config and its layer.
        assert_eq!(arrived.len(), 3, "{:?}", arrived.keys());
        assert_held(&arrived, &held);
    }
}

#[test]
fn skopeo_copies_all_platforms() {
    if !needs(&["skopeo"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let held = archive("hello.tar");

    let target = home.path().join("dir");
    skopeo_copy(
        &server,
        home.path(),
        &[],
        &format!("dir:{}", target.display()),
    );
    let flat = arrived(&target, &["version"]);
    let index = fs::read(target.join("manifest.json")).expect("an index");
    assert_eq!(digest_of(&index), digest(&server, "1.0.0"));
    assert_held(&flat, &held);

    let target = home.path().join("oci");
    skopeo_copy(
        &server,
        home.path(),
        &[],
        &format!("oci:{}:1.0.0", target.display()),
    );
    let layout = arrived(&target.join("blobs/sha256"), &[]);
    assert_held(&layout, &held);
    // An index, and for each platform a manifest, a config and a layer.
    assert_eq!((flat.len(), layout.len()), (7, 7));
}

/// The files of a folder by digest, without those named in `except`.
fn arrived(folder: &Path, except: &[&str]) -> Blobs {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| except.iter().all(|name| entry.file_name() != *name));
    let read = |path: PathBuf| fs::read(path).expect("a file");
    files
        .map(|entry| read(entry.path()))
        .map(|bytes| (digest_of(&bytes), bytes))
        .collect()
}

/// Everything that arrived is in the archive, byte for byte.
fn assert_held(arrived: &Blobs, held: &Blobs) {
    assert!(!arrived.is_empty());
    for (digest, bytes) in arrived {
        assert!(
            held.get(digest) == Some(bytes),
            "{digest} is not in the archive"
        );
    }
}

/// podman with a storage of its own that needs no daemon and no kernel module.
pub(crate) fn podman(home: &Path) -> Command {
    let mut command = client("podman", home);
    command
        .arg("--root")
        .arg(home.join("r"))
        .arg("--runroot")
        .arg(home.join("x"));
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    command.args(["--events-backend", "file", "--runtime", "runc"]);
    command
}

#[test]
fn podman_pulls_and_runs() {
    if !needs(&["podman", "runc"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let (home, image) = (home.path(), image(&server, HELLO));
    succeed(podman(home).args(["pull", "-q", "--tls-verify=false", &image]));

    // podman names an image after its config.
    let manifest = format!("/v2/hello/manifests/{}", platform(&server, architecture()));
    let config = server.get(&manifest).json()["config"]["digest"]
        .as_str()
        .map(str::to_owned);
    let inspect = ["image", "inspect", "--format", "sha256:{{.Id}}", &image];
    assert_eq!(
        Some(succeed(podman(home).args(inspect)).stdout.trim().to_owned()),
        config
    );

    // Without the two limits podman asks for more than a container of CI may have.
    let limits = [
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
    ];
    let container = ["run", "--rm", "--pull", "never", "--network", "host"];
    let finished = succeed(podman(home).args(container).args(limits).arg(&image));
    assert_eq!(finished.stdout.trim(), GREETING, "{}", finished.stderr);
}

#[test]
fn podman_pulls_by_digest_and_again() {
    if !needs(&["podman", "runc"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let by_digest = image(&server, &format!("hello@{}", digest(&server, "1.0.0")));
    let by_latest = image(&server, "hello");
    let pull = |image: &str| {
        let mut command = podman(home.path());
        succeed(command.args(["pull", "-q", "--tls-verify=false", image])).stdout
    };
    let first = pull(&by_digest);
    assert_eq!(first, pull(&by_latest), "`latest` is the same image");
    assert_eq!(first, pull(&by_digest), "a second pull finds it");
}

#[test]
fn what_is_missing_is_said_as_such() {
    if !needs(&["skopeo"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    for (name, wanted) in [
        ("hello:no-such-tag", "manifest unknown"),
        ("nobody/here:1", "name unknown"),
    ] {
        let source = format!("docker://{}", image(&server, name));
        let mut command = client("skopeo", home.path());
        let finished = run(
            command.args(["inspect", "--tls-verify=false", &source]),
            LIMIT,
        );
        assert!(!finished.success, "{name}");
        assert!(
            finished.stderr.contains(wanted),
            "{name}: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_push_is_refused_with_a_reason() {
    if !needs(&["skopeo"]) {
        return;
    }
    let (server, home) = (Server::serving(&examples()), folder());
    let source = format!("oci-archive:{}", examples().join("hello.tar").display());
    let target = format!("docker://{}", image(&server, "hello:mine"));
    let mut command = client("skopeo", home.path());
    let finished = run(
        command.args(["copy", "--dest-tls-verify=false", &source, &target]),
        LIMIT,
    );
    assert!(!finished.success);
    assert!(
        finished.stderr.contains("unsupported"),
        "{}",
        finished.stderr
    );
}

/// docker, podman, skopeo and crane try TLS on the plain port first; docker with containerd's image
/// store falls back to plain HTTP only if the answer is HTTP.
#[test]
fn a_tls_hello_is_answered_in_http() {
    let server = Server::serving(&examples());
    // A record of 244 bytes with a ClientHello of 240, TLS 1.2.
    let mut hello = vec![0x16, 3, 1, 0, 0xf4, 1, 0, 0, 0xf0, 3, 3];
    hello.resize(5 + 0xf4, 0);
    let answer = server.raw(&hello);
    assert!(
        answer.starts_with(b"HTTP/1.1 400 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
