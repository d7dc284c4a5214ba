//! The contract with each client, without the client: its requests replayed as the bytes that it sent, each answer held
//! against what it relies on. A change that would break a client fails here within seconds.
//!
//! The files in `contract/` were recorded in November 2026 by a proxy between the client and this server, with the images
//! of `shelf.rs`; what was only transcribed says so. Each tells version and origin first. Left out is what a client
//! repeats, the order in which parallel connections took turns (here requests follow each other, on one connection as
//! long as the client keeps it), and the name of the kernel in docker's user agent. A blank line ends an exchange; lines
//! begin with a mark:
//!
//! | Mark | What follows |
//! |---|---|
//! | `##` | what the client is asked to do |
//! | `~` | the first bytes of a connection on which it tries TLS, in hexadecimal |
//! | `>` | a line of the request that counts: the answer depends on it |
//! | `.` | a line that is sent as well, and must not matter |
//! | `+` | the word for the request's body |
//! | `<` | the status, or a header that the client relies on, with exactly this value |
//! | `=` | the content: JSON, or the word for exact bytes, and with `N..` those from there on |
//! | `!` | the code of the error in JSON, whose message clients print |
//!
//! Of every answer it is also checked that it is framed by its length, neither packed nor a redirect, and that the
//! connection stays or ends as the client wants it. A test replays each file twice: whole, and with only the lines
//! that count.

mod recording;
mod replay;
mod shelf;

use recording::scenarios;
use replay::{Lines, replay};
use shelf::Shelf;

/// Replays a recording.
fn check(recording: &str) {
    let shelf = Shelf::new();
    let scenarios = scenarios(recording);
    assert!(!scenarios.is_empty());
    for scenario in &scenarios {
        assert!(!scenario.exchanges.is_empty(), "{}", scenario.title);
        replay(&shelf, scenario, Lines::All);
        replay(&shelf, scenario, Lines::ThatCount);
    }
}

#[test]
fn docker_20_10() {
    check(include_str!("contract/docker-20.10.http"));
}

#[test]
fn docker_26() {
    check(include_str!("contract/docker-26.http"));
}

#[test]
fn docker_26_with_containerd() {
    check(include_str!("contract/docker-26-containerd.http"));
}

#[test]
fn docker_28() {
    check(include_str!("contract/docker-28.http"));
}

#[test]
fn docker_28_with_containerd() {
    check(include_str!("contract/docker-28-containerd.http"));
}

#[test]
fn ctr_1_6() {
    check(include_str!("contract/ctr-1.6.http"));
}

#[test]
fn ctr_2_1() {
    check(include_str!("contract/ctr-2.1.http"));
}

#[test]
fn podman_4_3_and_buildah_1_28() {
    check(include_str!("contract/podman-4.3.http"));
}

#[test]
fn podman_5_8() {
    check(include_str!("contract/podman-5.8.http"));
}

#[test]
fn skopeo_1_9() {
    check(include_str!("contract/skopeo-1.9.http"));
}

#[test]
fn skopeo_1_22() {
    check(include_str!("contract/skopeo-1.22.http"));
}

#[test]
fn crane_0_20() {
    check(include_str!("contract/crane-0.20.http"));
}

#[test]
fn oras_1_3() {
    check(include_str!("contract/oras-1.3.http"));
}

#[test]
fn regctl_0_11() {
    check(include_str!("contract/regctl-0.11.http"));
}
