//! Every client, in everything that a client does: `docs/reference/clients.md`.

mod client;
mod sample;
mod session;

use std::env::consts::ARCH;

use session::{Reference, Session};

use crate::fixture::Node as _;

/// The platform of this machine, as images call it.
fn platform() -> &'static str {
    match ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => panic!("the samples have no image for {other}"),
    }
}

fn check(name: &str) {
    let Some(session) = Session::of(name) else {
        return;
    };
    let packages = sample::packages();
    let server = packages.serve(&[]);
    let registry = server.authority();
    let image = sample::image(platform());
    for reference in [
        Reference::tag(registry, sample::REPOSITORY, sample::TAG),
        Reference::digest(registry, sample::REPOSITORY, &sample::index().digest()),
    ] {
        let pulled = session.pull(&reference);
        assert!(pulled.success, "{}", pulled.said);
        assert_eq!(pulled.lacks(&image), [""; 0], "{}", pulled.said);
    }
    assert!(session.version().contains('.'));
}

#[test]
fn docker() {
    check("docker");
}

#[test]
fn containerd() {
    check("containerd");
}

#[test]
fn podman() {
    check("podman");
}

#[test]
fn buildah() {
    check("buildah");
}

#[test]
fn skopeo() {
    check("skopeo");
}

#[test]
fn crane() {
    check("crane");
}

#[test]
fn oras() {
    check("oras");
}

#[test]
fn regctl() {
    check("regctl");
}
