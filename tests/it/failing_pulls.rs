//! `docs/how-to/when-a-pull-fails.md`: real clients say its words, and what it advises makes them pull.

mod cases;
mod listener;
mod page;
mod scene;

use std::collections::BTreeSet;
use std::time::Duration;

use cases::{BUILDAH, CRANE, CTR, Case, Client, DOCKER, Line, ORAS, PODMAN, REGCTL, SKOPEO};
use page::Page;
use scene::Scene;

use crate::conformance::examples;
use crate::daemons::{self, CONTAINERD, Home, able};
use crate::needs::{Finished, needs, run};
use crate::server::Server;

/// How long the lines of one case may take: some clients try again and again.
const LIMIT: Duration = Duration::from_secs(90);
/// What the servers need that clients are pointed at.
const SERVERS: &[&str] = &["nginx", "openssl", "curl", "prlimit", "unshare", "ip"];

/// A digest that nothing here has.
const ABSENT: &str = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
/// What all lines that are run begin with.
const PRELUDE: &str = include_str!("failing_pulls/prelude.sh");

/// One client, in a folder of its own, and what it meets.
struct Session<'a> {
    home: &'a Home,
    scene: &'a Scene,
    page: &'a Page,
    client: &'a Client,
}

impl Session<'_> {
    /// Runs all cases of the client, and tells of all that are not as the page says.
    fn check(&self) {
        self.page.write_files(&self.home.join("page"));
        let mut followed = BTreeSet::new();
        let mut wrong = Vec::new();
        for case in self.client.cases() {
            wrong.extend(self.provoke(&case).err());
            let lines: Vec<String> = case.then.iter().map(typed).collect();
            let lines = lines.join("\n");
            // Most cases are over with the same pull: once is enough.
            if !lines.is_empty() && followed.insert(lines.clone()) {
                wrong.extend(self.follow(&lines).err());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }

    /// The client fails, and says the words.
    fn provoke(&self, case: &Case) -> Result<(), String> {
        let lines = case.fails.join("\n");
        let finished = self.forgetful(&lines);
        let said = finished.said();
        if !finished.success && said.contains(case.words) {
            return Ok(());
        }
        Err(format!("not `{}`:\n{lines}\n{said}", case.words))
    }

    /// What the page advises makes the client pull, and a layer arrives with the bytes that its digest names.
    fn follow(&self, lines: &str) -> Result<(), String> {
        let finished = self.forgetful(lines);
        if !finished.success {
            return Err(format!("fails:\n{lines}\n{}", finished.said()));
        }
        let sums = self.sh(self.client.sums).said();
        if self.scene.layers().iter().any(|layer| sums.contains(layer)) {
            return Ok(());
        }
        Err(format!("no layer has arrived:\n{lines}\n{sums}"))
    }

    /// Runs lines as if the client had never pulled anything.
    fn forgetful(&self, lines: &str) -> Finished {
        self.sh(self.client.forget);
        self.sh(lines)
    }

    fn sh(&self, lines: &str) -> Finished {
        let script = format!("{}{PRELUDE}\n{lines}", self.scene.variables());
        run(self.home.command("sh").args(["-c", &script]), LIMIT)
    }
}

/// A line as it is typed: values stand for the page's words.
fn typed(line: &Line) -> String {
    match line {
        Line::Own(line) => (*line).to_owned(),
        Line::Page(line) => line
            .replace("HOST:PORT", "$AT")
            .replace("NAME:TAG", "$IMAGE")
            .replace("NAME@DIGEST", "$IMAGE@$DIGEST")
            .replace("FOLDER/NAME", "FOLDER/$FILE")
            .replace("FOLDER", "shelf")
            .replace("ORIGIN", "$ORIGIN"),
    }
}

fn check(client: &Client, home: &Home) {
    let (page, scene) = (Page::read(), Scene::new(home));
    Session {
        home,
        scene: &scene,
        page: &page,
        client,
    }
    .check();
}

#[test]
fn docker() {
    if able(daemons::DOCKER) && needs(SERVERS) && needs(&["skopeo"]) {
        let home = Home::new();
        let _docker = home.docker();
        check(&DOCKER, &home);
    }
}

#[test]
fn ctr() {
    if able(CONTAINERD) && needs(SERVERS) {
        let home = Home::new();
        let _containerd = home.containerd();
        check(&CTR, &home);
    }
}

#[test]
fn podman() {
    if able(&["podman", "skopeo"]) && needs(SERVERS) {
        check(&PODMAN, &Home::new());
    }
}

#[test]
fn buildah() {
    if able(&["buildah"]) && needs(SERVERS) {
        check(&BUILDAH, &Home::new());
    }
}

#[test]
fn skopeo() {
    if able(&["skopeo"]) && needs(SERVERS) {
        check(&SKOPEO, &Home::new());
    }
}

#[test]
fn crane() {
    if able(&["crane"]) && needs(SERVERS) {
        check(&CRANE, &Home::new());
    }
}

#[test]
fn oras() {
    if able(&["oras"]) && needs(SERVERS) {
        check(&ORAS, &Home::new());
    }
}

#[test]
fn regctl() {
    if able(&["regctl"]) && needs(SERVERS) {
        check(&REGCTL, &Home::new());
    }
}

/// All words on the page are provoked by the clients that it names, and none that are provoked are kept back.
#[test]
fn the_page_has_the_words_of_all_cases_and_no_others() {
    let page = Page::read();
    let told: BTreeSet<(&str, &str)> = page.words().collect();
    let provoked: BTreeSet<(&str, &str)> = (cases::ALL.iter())
        .flat_map(|client| client.cases().map(|case| (case.words, client.name)))
        .collect();
    let unproved: Vec<_> = told.difference(&provoked).collect();
    let untold: Vec<_> = provoked.difference(&told).collect();
    assert!(
        unproved.is_empty() && untold.is_empty(),
        "without a case: {unproved:?}\nnot on the page: {untold:?}"
    );
}

/// Most clients pass on what the registry says of what it has not: the way to what it has.
#[test]
fn the_registry_says_what_to_do() {
    let server = Server::serving(&examples());
    for (path, told) in [
        (
            "/v2/hello/manifests/9",
            "`hello` has no tag `9` here; /v2/hello/tags/list has those that it has",
        ),
        (
            &format!("/v2/hello/manifests/{ABSENT}"),
            &format!(
                "`hello` has no image `{ABSENT}` here; after `docker save` an image may have another digest: \
                 ask for its tag"
            ),
        ),
    ] {
        let error = &server.get(path).json()["errors"][0];
        assert_eq!(error["code"], "MANIFEST_UNKNOWN");
        assert_eq!(error["message"], told);
    }
}

#[test]
fn the_advice_of_all_cases_is_the_pages() {
    let page = Page::read();
    for line in cases::ALL
        .iter()
        .flat_map(Client::cases)
        .flat_map(|case| case.then)
    {
        if let Line::Page(line) = line {
            assert!(page.has_line(line), "not on the page: {line}");
        }
    }
}
