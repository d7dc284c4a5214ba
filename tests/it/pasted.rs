//! The lines that the server prints for pasting, run exactly as printed: docker, podman, containerd.

use std::fs;
use std::path::Path;

use crate::conformance::{Sample, examples};
use crate::daemons::{CONTAINERD, DOCKER, Home, able};
use crate::server::{Server, Setup};

/// What the program in `examples/hello.tar` writes.
const GREETING: &str = "Hello from Package Origin!";

/// The program as a person starts it, but on a free port.
fn serve(folder: &Path) -> Server {
    Setup::new()
        .args(["-packages".as_ref(), folder.as_os_str()])
        .without_listen()
        .env("PACKAGEORIGIN_LISTEN", "0")
        .start()
}

/// The line for `client` that the server has printed, exactly as it stands there.
fn line_for(server: &Server, client: &str) -> String {
    let start = format!("  {client} ");
    let text = server.wait_for_stderr(&format!("\n{start}"));
    let line = text.lines().find(|line| line.starts_with(&start));
    line.expect("just seen").to_owned()
}

/// The image that such a line names.
fn image_in(line: &str) -> &str {
    line.split(' ').next_back().expect("an image stands last")
}

#[test]
fn docker_pulls_what_is_printed() {
    if !able(DOCKER) {
        return;
    }
    let (home, server) = (Home::new(), serve(&examples()));
    let _docker = home.docker();

    let line = line_for(&server, "docker");
    let image = image_in(&line);
    home.sh(&line);
    let run = format!("docker run --rm --network none {image}");
    assert_eq!(home.sh(&run), GREETING);

    // By digest it is the same image, with the same digest.
    let head = server.head("/v2/hello/manifests/latest");
    let digest = head.header("docker-content-digest").expect("a digest");
    let by_digest = format!("{}/hello@{digest}", server.authority());
    home.sh(&format!("docker pull {by_digest}"));
    assert_eq!(home.docker_id(&by_digest), home.docker_id(image));
    assert_eq!(digests(&home, image), [by_digest]);
}

#[test]
fn docker_knows_the_sample_by_its_digest() {
    if !able(DOCKER) {
        return;
    }
    let (home, server) = (Home::new(), serve(&examples()));
    let _docker = home.docker();

    let sample = Sample::read();
    let repository = format!("{}/{}", server.authority(), sample.repository());
    let image = format!("{repository}:{}", sample.tag());
    home.sh(&format!("docker pull {image}"));
    let wanted = format!("{repository}@{}", sample.manifest());
    assert_eq!(digests(&home, &image), [wanted]);
}

/// The names with digests under which docker knows an image.
fn digests(home: &Home, image: &str) -> Vec<String> {
    let line = format!("docker image inspect --format '{{{{json .RepoDigests}}}}' {image}");
    serde_json::from_str(&home.sh(&line)).expect("a list in JSON")
}

/// The session in `README.md`, from an image that is here to the same image from the server.
#[test]
fn docker_gets_back_what_it_saved() {
    if !able(DOCKER) {
        return;
    }
    let (home, server) = (Home::new(), serve(&examples()));
    let _docker = home.docker();
    let line = line_for(&server, "docker");
    home.sh(&line);
    home.sh(&format!("docker tag {} app:1", image_in(&line)));
    let id = home.docker_id("app:1");

    let images = home.join("images");
    fs::create_dir(&images).expect("a folder");
    home.sh("docker save -o images/app.tar app:1");
    // What is still here would not be fetched.
    home.sh(&format!("docker image rm --force {id}"));
    let server = serve(&images);
    let image = format!("{}/app:1", server.authority());
    home.sh(&format!("docker pull {image}"));
    assert_eq!(home.docker_id(&image), id);

    let line = line_for(&server, "docker");
    home.sh(&line);
    assert_eq!(home.docker_id(image_in(&line)), id);
    let run = format!("docker run --rm --network none {image}");
    assert_eq!(home.sh(&run), GREETING);
}

#[test]
fn podman_pulls_what_is_printed() {
    if !able(&["podman"]) {
        return;
    }
    let (home, server) = (Home::new(), serve(&examples()));
    let line = line_for(&server, "podman");
    home.sh(&line);
    let run = format!("podman run --rm --pull never {}", image_in(&line));
    assert_eq!(home.sh(&run), GREETING);
}

#[test]
fn containerd_pulls_what_is_printed() {
    if !able(CONTAINERD) {
        return;
    }
    let (home, server) = (Home::new(), serve(&examples()));
    let _containerd = home.containerd();
    let line = line_for(&server, "ctr");
    let image = image_in(&line);
    home.sh(&line);
    assert_eq!(home.sh("ctr images ls -q"), image);
    // This version of ctr sometimes ends before it has copied what a program wrote that was over at
    // once: then the output is empty, and the run says nothing about the image.
    let said = (0..5)
        .map(|attempt| {
            home.sh(&format!(
                "ctr run --rm --net-host {image} {}-{attempt}",
                home.name()
            ))
        })
        .find(|said| !said.is_empty());
    assert_eq!(said.as_deref(), Some(GREETING));
}
