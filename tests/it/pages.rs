//! The pages of `docs/how-to/`, run line by line, each on a machine of its own (`machine.rs` says what is not as on a person's).
//!
//! Every block is a step, and a block that cannot be run is refused. Lines behind a `$` are typed as they stand there. They
//! have to succeed, or to fail behind the mark `<!-- fails -->`, and to write what is shown. Files are written where the
//! sentence before them says. Two things are done otherwise than by a person: the server, which runs until it is
//! stopped, is started beside what follows; and what is in the folder `images`, besides `hello.tar`, is put there first.

mod page;

use std::fs;
use std::path::Path;

use crate::collecting::Source;
use crate::daemons::{CONTAINERD, DOCKER};
use crate::machine::{INTERNET, Machine};
use page::{Step, agrees, steps};

/// Ends the server that runs, if there is one. Nobody collects its exit code, but one that has ended has no program.
const STOP: &str = r#"
    if [ -e "$HOME/server.pid" ]; then
        pid=$(cat "$HOME/server.pid")
        kill "$pid"
        while [ -e "/proc/$pid/exe" ]; do sleep 0.05; done
    fi
"#;

/// A page that another test runs, in parts.
const RUN_ELSEWHERE: &str = "when-a-pull-fails.md";

/// The pages that are run here.
const PAGES: &[&str] = &[
    "collecting-images.md",
    "containerd.md",
    "docker.md",
    "mirrors.md",
    "oras.md",
    "podman.md",
    "skopeo.md",
];

#[test]
fn docker() {
    if Machine::able(DOCKER) {
        let machine = Machine::new();
        machine.docker();
        follow(&machine, "docker.md");
    }
}

#[test]
fn podman() {
    if Machine::able(&["podman"]) {
        follow(&Machine::new(), "podman.md");
    }
}

#[test]
fn containerd() {
    if Machine::able(CONTAINERD) {
        let machine = Machine::new();
        machine.containerd();
        follow(&machine, "containerd.md");
    }
}

#[test]
fn skopeo() {
    if Machine::able(&["skopeo", "podman"]) {
        follow(&Machine::new(), "skopeo.md");
    }
}

#[test]
fn oras() {
    if Machine::able(&["oras", "tar"]) {
        follow(&Machine::new(), "oras.md");
    }
}

#[test]
fn mirrors() {
    if Machine::able(&[DOCKER, &["podman", "skopeo"]].concat()) {
        let machine = Machine::new();
        machine.docker();
        machine.sh("skopeo copy -q --all --preserve-digests \
             oci-archive:images/hello.tar oci-archive:images/tool.tar:quay.io/acme/tool:2");
        follow(&machine, "mirrors.md");
    }
}

#[test]
fn collecting() {
    if Machine::able(&[&["skopeo", "oras"], INTERNET].concat()) {
        let machine = Machine::new();
        Source::new().publish(&machine);
        fs::remove_file(machine.folder().join("images/hello.tar")).expect("a file to remove");
        follow(&machine, "collecting-images.md");
    }
}

/// Does what a page asks for, in its order.
fn follow(machine: &Machine, name: &str) {
    for step in steps(name) {
        match step {
            Step::Type { line, shown, fails } => {
                let said = if fails {
                    fail(machine, &line)
                } else {
                    type_in(machine, &line)
                };
                assert!(
                    shown.is_empty() || agrees(&shown, &said),
                    "{name}: $ {line}\n--- shown\n{shown}--- written\n{said}"
                );
            }
            Step::Write { path, text } => machine.configure(&path, &text),
        }
    }
}

fn type_in(machine: &Machine, line: &str) -> String {
    if line.starts_with("packageorigin ") && !line.starts_with("packageorigin list ") {
        return serve(machine, line);
    }
    machine.sh(line)
}

fn fail(machine: &Machine, line: &str) -> String {
    let finished = machine.run(line);
    assert!(!finished.success, "{line}\n{}", finished.said());
    finished.stdout
}

/// Starts the server that a page starts, in the place of the one that runs, and gives what it says first.
fn serve(machine: &Machine, line: &str) -> String {
    machine.sh(STOP);
    let server = format!("exec sh -c 'echo $$ >$HOME/server.pid; exec {line}'");
    // Not by a request: the line about it would stand among those that are compared.
    machine.start(&server, "server.log", "grep -q ^Serving $HOME/server.log");
    machine.sh("curl -fsS http://localhost:8080/readyz");
    machine.wait_for_log("server.log", "GET /readyz")
}

#[test]
fn every_page_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to");
    let mut pages: Vec<String> = fs::read_dir(folder)
        .expect("the how-to pages")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name != RUN_ELSEWHERE)
        .collect();
    pages.sort();
    assert_eq!(pages, PAGES);
}
