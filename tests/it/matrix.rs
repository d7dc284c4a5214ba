//! Every client, in everything that a client does: the tables of `docs/reference/clients.md`.
//!
//! Each test makes the row of one client. `UPDATE=1 cargo test matrix` rewrites the rows of those that are on the
//! machine.

mod cell;
mod check;
mod client;
mod faults;
mod sample;
mod session;
mod settings;
mod table;

use std::env;
use std::path::Path;

use check::{COLUMNS, Scene};
use client::{CLIENTS, Client, DOCKER_CONTAINERD};
use session::Session;
use table::{Row, Table};

use crate::daemons::{Home, able};
use crate::generated;
use crate::needs::{optional, skip};

/// The page.
const PAGE: &str = "docs/reference/clients.md";
/// The marks of the table of the clients on this machine.
const HERE: &str = "clients";
/// The marks of the table of those in other systems.
const ELSEWHERE: &str = "newer clients";
/// Names folders, each the root of a Debian system with newer clients.
const TREES: &str = "PACKAGEORIGIN_CLIENTS_TREES";

/// Does all of it with one client, and compares its row.
fn check(name: &str) {
    let packages = sample::packages();
    let server = packages.serve(&[]);
    let Some(session) = Session::with_mirror(name, server.authority()) else {
        return;
    };
    let (version, update) = (session.version(), env::var_os("UPDATE").is_some());
    let known = Table::read(&generated::section(PAGE, HERE));
    let known = known.version(name).unwrap_or_default();
    if !update && known != version {
        skip(&format!("{name} {known} and not {version}"));
        return;
    }
    let row = row(&Scene {
        session: &session,
        server: &server,
    });
    session.end();
    generated::check_section(
        PAGE,
        HERE,
        |section| Table::read(section).without(name).with(&row).text(),
        &format!("matrix::{name}"),
    );
}

fn row(scene: &Scene) -> Row {
    Row {
        name: scene.session.client.name,
        version: scene.session.version(),
        cells: COLUMNS.map(|(_, check)| check(scene)).into(),
    }
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

/// A row of a client that is not here may have been made before there was another column.
#[test]
fn every_row_has_all_columns() {
    for section in [HERE, ELSEWHERE] {
        let table = Table::read(&generated::section(PAGE, section));
        assert!(table.is_whole(), "{section}");
    }
}

/// The clients of other systems, which see this machine's network and nothing else of it.
#[test]
fn newer_clients() {
    let Some(trees) = optional(TREES) else {
        return;
    };
    if !able(&["unshare", "nsenter"]) {
        return;
    }
    for root in env::split_paths(&trees) {
        let clients = CLIENTS.iter().chain([&DOCKER_CONTAINERD]);
        for client in clients.filter(|client| client.lies_in(&root)) {
            check_within(&root, client);
        }
    }
}

fn check_within(root: &Path, client: &'static Client) {
    let packages = sample::packages();
    let server = packages.serve(&[]);
    let session = Session::start(client, Home::within(root), server.authority());
    let row = row(&Scene {
        session: &session,
        server: &server,
    });
    session.end();
    generated::check_section(
        PAGE,
        ELSEWHERE,
        |section| Table::read(section).with(&row).text(),
        "matrix::newer_clients",
    );
}

/// The commands that the rows were made with, as the page shows them.
#[test]
fn page_shows_the_commands() {
    let commands: Vec<_> = CLIENTS.iter().map(commands).collect();
    generated::check_section(
        PAGE,
        "commands",
        |_| commands.join("\n\n"),
        "matrix::page_shows_the_commands",
    );
}

fn commands(client: &Client) -> String {
    let lines = client
        .commands()
        .map(|(what, command)| format!("# {what}\n{command}\n"));
    format!(
        "### {}\n\n```sh\n{}```",
        client.name,
        lines.collect::<String>()
    )
}
