//! The official conformance program of the OCI Distribution Specification, and the sample it is run
//! on, `examples/conformance.env`.
//!
//! The program is pinned in `conformance/go.mod`. Read-only, it has two faults that shape this file:
//! a run of all groups ends in a panic before its reports are written, and the groups that take no
//! preloaded content fail to write theirs if they are given any. So each group is a run of its own.
//! A configuration it does not understand ends with exit status 0: only what it wrote is evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::needs::{needs, run, skip, tool};
use crate::server::{Server, Setup, binary};

/// The tags of the original product's sample. `conformance.env` must name these.
const TAGS: [&str; 5] = ["1.0.0", "1.0.1", "1.1.0+oci", "2.0.0-preview.1", "latest"];
/// The versions of the specification that the program can be told to test.
const VERSIONS: [&str; 3] = ["1.0", "1.1", "dev"];
/// The program, as `conformance/go.mod` names it.
const PROGRAM: &str = "github.com/opencontainers/distribution-spec/conformance";
/// What the program writes, in its default directory.
const REPORTS: [&str; 3] = ["results.yaml", "junit.xml", "report.html"];
/// Where the committed reports are, below the repository.
const PUBLISHED: &str = "docs/conformance/main-2026-08-31";
/// The name of the test all others belong to.
const ROOT: &str = "OCI Conformance Test";

/// How long Go may take to fetch and build the program.
const BUILD: Duration = Duration::from_secs(300);
/// How long one run may take.
const RUN: Duration = Duration::from_secs(60);

/// The folder of examples in the repository.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The values of `examples/conformance.env`: what the old suites are told about the sample.
pub(crate) struct Sample(BTreeMap<String, String>);

impl Sample {
    /// Reads the file.
    pub(crate) fn read() -> Self {
        let file = examples().join("conformance.env");
        let text = fs::read_to_string(&file).expect("examples/conformance.env");
        Self(text.lines().filter_map(assignment).collect())
    }

    /// All of them, by name.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in examples/conformance.env"))
    }

    /// The repository, as in `/v2/<repository>/tags/list`.
    pub(crate) fn repository(&self) -> &str {
        self.get("OCI_NAMESPACE")
    }

    /// The tag that resolves to `manifest`.
    pub(crate) fn tag(&self) -> &str {
        self.get("OCI_TAG_NAME")
    }

    /// The digest of an image manifest.
    pub(crate) fn manifest(&self) -> &str {
        self.get("OCI_MANIFEST_DIGEST")
    }

    /// The digest of a blob.
    pub(crate) fn blob(&self) -> &str {
        self.get("OCI_BLOB_DIGEST")
    }

    /// All tags, in byte order.
    pub(crate) fn tags(&self) -> Vec<&str> {
        self.get("OCI_TAG_LIST").split(',').collect()
    }

    /// `/v2/<repository>/<rest>`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository())
    }
}

/// One line of a file made for the shell's `.`: `export NAME=value`, quotes and comment allowed.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next().unwrap_or(""),
    };
    Some((name.to_owned(), value.to_owned()))
}

/// Starts the server as the original product's recipe writes it: in a folder that holds the program,
/// with one dash, its port from the environment.
fn by_the_recipe(folder: &Path, port: u16) -> Server {
    // A link, not a copy: a program being written cannot be run, and another test may just now be
    // starting a child that has inherited the open file.
    std::os::unix::fs::symlink(binary(), folder.join("packageorigin")).expect("a link");
    Setup::new()
        .program("sh")
        .args([
            OsStr::new("-c"),
            OsStr::new("exec ./packageorigin -packages \"$0\""),
        ])
        .arg(examples())
        .env("PACKAGEORIGIN_LISTEN", port.to_string())
        .current_dir(folder)
        .without_listen()
        .start()
}

/// A port that is free for both families. It lies below those that the kernel gives to port 0, so
/// that no other test gets it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8_000).expect("less than 8,000") + 20_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        // Without IPv6 there is nobody to take the port there either.
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
        let taken = v6.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        if v4 && !taken {
            return port;
        }
    }
}

#[test]
fn the_recipe_of_the_original_works_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let server = by_the_recipe(folder.path(), port);
    assert_eq!(server.url(), format!("http://localhost:{port}"));
    assert_eq!(server.get("/v2/").status, 200);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port));
        assert!(v6.is_ok(), "`localhost` is both families: {v6:?}");
    }
    assert!(server.stop().success(), "SIGTERM is a clean end");
}

#[test]
fn the_sample_is_served_as_its_variables_say() {
    let sample = Sample::read();
    assert_eq!(
        sample.tags(),
        TAGS,
        "the five tags of the original's sample"
    );
    assert!(sample.tags().contains(&sample.tag()));
    let server = Server::serving(&examples());

    let list = server.get(&sample.path("tags/list"));
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["name"], sample.repository());
    assert_eq!(list.json()["tags"], serde_json::json!(sample.tags()));

    let by_tag = server.get(&sample.path(&format!("manifests/{}", sample.tag())));
    let by_digest = server.get(&sample.path(&format!("manifests/{}", sample.manifest())));
    for manifest in [&by_tag, &by_digest] {
        assert_eq!(manifest.status, 200);
        assert_eq!(
            manifest.header("docker-content-digest"),
            Some(sample.manifest())
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        assert_eq!(manifest.header("content-type"), Some(kind));
        assert_eq!(digest_of(&manifest.body), sample.manifest());
    }

    let blob = server.get(&sample.path(&format!("blobs/{}", sample.blob())));
    assert_eq!(blob.status, 200);
    assert_eq!(digest_of(&blob.body), sample.blob());
    let manifest = by_tag.json();
    assert!(
        blobs(&manifest).contains(&sample.blob().to_owned()),
        "{manifest}"
    );

    for tag in sample.tags() {
        let head = server.head(&sample.path(&format!("manifests/{tag}")));
        assert_eq!(head.status, 200, "the tag {tag}");
    }
}

/// `sha256:` and the hash of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

/// The digests of an image manifest's config and layers.
fn blobs(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let all = std::iter::once(&manifest["config"]).chain(layers);
    all.filter_map(|descriptor| descriptor["digest"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The content of one repository, found by asking for it: what the program is told to expect.
struct Content {
    tags: Vec<String>,
    manifests: BTreeSet<String>,
    blobs: BTreeSet<String>,
}

impl Content {
    fn of(server: &Server, sample: &Sample) -> Self {
        let mut content = Self {
            tags: TAGS.map(str::to_owned).to_vec(),
            manifests: BTreeSet::from([sample.manifest().to_owned()]),
            blobs: BTreeSet::from([sample.blob().to_owned()]),
        };
        for tag in TAGS {
            content.follow(server, sample, tag);
        }
        content
    }

    /// Adds what `reference` names and, of an index, all it lists.
    fn follow(&mut self, server: &Server, sample: &Sample, reference: &str) {
        let answer = server.get(&sample.path(&format!("manifests/{reference}")));
        assert_eq!(answer.status, 200, "{reference}");
        let manifest = answer.json();
        self.manifests.insert(digest_of(&answer.body));
        self.blobs.extend(blobs(&manifest));
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            self.follow(server, sample, child["digest"].as_str().expect("a digest"));
        }
    }

    /// The variables that tell the program: lists with one blank between two entries.
    fn variables(&self) -> [(&'static str, String); 4] {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        [
            ("OCI_RO_DATA_TAGS", self.tags.join(" ")),
            ("OCI_RO_DATA_MANIFESTS", join(&self.manifests)),
            ("OCI_RO_DATA_BLOBS", join(&self.blobs)),
            ("OCI_RO_DATA_REFERRERS", join(&self.manifests)),
        ]
    }
}

/// The official program, built once; `None` where it cannot be had, which is then said.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if !needs(&["go"]) {
        return None;
    }
    match BUILT.get_or_init(build) {
        Ok(program) => Some(program),
        Err(missing) => {
            skip(missing);
            None
        }
    }
}

/// Builds it, or says what is missing: without a network, the modules may be.
fn build() -> Result<PathBuf, String> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let go = tool("go").expect("just found");
    let fetched = run(
        Command::new(&go)
            .args(["mod", "download"])
            .current_dir(&module),
        BUILD,
    );
    if !fetched.success {
        let why = fetched.stderr.lines().last().unwrap_or("no reason given");
        return Err(format!("the Go modules of conformance/go.sum ({why})"));
    }
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oci-conformance");
    let stamp = format!("-X main.Version={}", revision(&module));
    let mut command = Command::new(&go);
    command
        .args(["build", "-mod=readonly", "-ldflags", &stamp, "-o"])
        .arg(&output)
        .arg(PROGRAM);
    let built = run(command.current_dir(&module), BUILD);
    assert!(built.success, "go build: {}", built.said());
    Ok(output)
}

/// The commit in the version that `go.mod` pins: the reports name it.
fn revision(module: &Path) -> String {
    let text = fs::read_to_string(module.join("go.mod")).expect("conformance/go.mod");
    let line = text
        .lines()
        .find(|line| line.contains(&format!("{PROGRAM} v")))
        .expect("a pin");
    let version = line
        .split_whitespace()
        .find(|word| word.starts_with('v'))
        .expect("a version");
    version.rsplit('-').next().expect("a commit").to_owned()
}

/// One run of the program: its own folder, and what it wrote.
struct Run {
    folder: tempfile::TempDir,
    output: String,
}

impl Run {
    /// Runs one group of tests, and checks that the program itself worked.
    fn of(program: &Path, port: u16, version: &str, group: &str, more: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        for (name, _) in
            env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OCI_"))
        {
            command.env_remove(name);
        }
        command
            .current_dir(folder.path())
            .env("OCI_REGISTRY", format!("localhost:{port}"))
            .env("OCI_TLS", "disabled")
            .env("OCI_VERSION", version)
            .env("OCI_FILTER_TEST", format!("{ROOT}/{group}"))
            .env("OCI_API_PUSH", "false")
            .env("OCI_API_BLOBS_DELETE", "false")
            .env("OCI_API_MANIFESTS_DELETE", "false")
            .env("OCI_API_TAGS_DELETE", "false")
            // The program keeps no answer to a manifest whose bytes it did not push, and then misses
            // the header in the answer it did not keep. `suites.rs` checks the header.
            .env("OCI_API_MANIFESTS_DIGEST_HEADER", "false")
            .envs(more.iter().map(|(name, value)| (name, value)));
        let finished = run(&mut command, RUN);
        let what = format!("{group}, version {version}:\n{}", finished.said());
        assert!(finished.success, "{what}");
        assert_eq!(finished.stderr, "", "{what}");
        Self {
            folder,
            output: finished.stdout,
        }
    }

    /// The number beside `name` in the table at the end, as in `Pass....:  16`.
    fn count(&self, name: &str) -> usize {
        let row = self.output.lines().find_map(|line| {
            let (key, value) = line.rsplit_once(':')?;
            (key.trim().trim_end_matches('.') == name).then_some(value.trim())
        });
        row.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no count of {name} in:\n{}", self.output))
    }

    /// How many tests named `name` ended with `state`.
    fn ended(&self, name: &str, state: &str) -> usize {
        let wanted = format!("{ROOT}/{name}: {state}");
        self.output
            .lines()
            .filter(|line| line.trim() == wanted)
            .count()
    }

    /// Each of these tests ended with `state` that many times.
    fn check(&self, state: &str, tests: &[(&str, usize)]) {
        for (test, count) in tests {
            assert_eq!(
                self.ended(test, state),
                *count,
                "{test}: {state}, in:\n{}",
                self.output
            );
        }
    }

    /// Nothing failed and something passed. Gives how many.
    fn judge(&self) -> usize {
        let failed = self.count("FAIL") + self.count("Error");
        assert_eq!(failed, 0, "{}", self.output);
        let passed = self.count("Pass");
        assert!(passed > 0, "nothing was tested:\n{}", self.output);
        passed
    }

    fn report(&self, name: &str) -> String {
        let file = self.folder.path().join("results").join(name);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

#[test]
fn the_official_program_finds_no_fault() {
    let Some(program) = program() else { return };
    let sample = Sample::read();
    let folder = tempfile::tempdir().expect("a folder");
    let server = by_the_recipe(folder.path(), free_port());
    let content = Content::of(&server, &sample);
    let variables = [&content.variables()[..], &repositories(&sample)].concat();
    for version in VERSIONS {
        let run = Run::of(program, server.port(), version, "read-only", &variables);
        check_reports(&run, version, &content);
        if env::var_os("UPDATE").is_some_and(|value| value == "1") {
            publish(&run, version);
        }
    }
}

fn repositories(sample: &Sample) -> [(&'static str, String); 2] {
    ["OCI_REPO1", "OCI_REPO2"].map(|name| (name, sample.repository().to_owned()))
}

/// Each thing named was asked for, in each way, and nothing was found wrong, as all reports say.
fn check_reports(run: &Run, version: &str, content: &Content) {
    let tags = content.tags.len();
    let manifests = content.manifests.len();
    let blobs = content.blobs.len();
    // One test asks for the referrers of all; version 1.0 has none.
    let referrers = usize::from(version != "1.0");
    let tests = [
        ("read-only/tag-list", 1),
        ("read-only/head/manifest-head-by-tag", tags),
        ("read-only/head/manifest-head-by-digest", manifests),
        ("read-only/head/blob-head", blobs),
        ("read-only/pull/manifest-by-tag", tags),
        ("read-only/pull/manifest-by-digest", manifests),
        ("read-only/pull/blob-get", blobs),
        ("read-only/referrers", referrers),
    ];
    run.check("Pass", &tests);
    let passed = run.judge();
    assert_eq!(
        passed,
        tests.iter().map(|(_, count)| count).sum::<usize>(),
        "{}",
        run.output
    );
    check_files(run, passed);
}

fn check_files(run: &Run, passed: usize) {
    let junit = run.report("junit.xml");
    assert!(junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
    for bad in ["status=\"failure\"", "status=\"error\""] {
        assert!(!junit.contains(bad), "{junit}");
    }
    assert_eq!(
        junit.matches("status=\"passed\"").count(),
        passed,
        "{junit}"
    );
    let yaml = run.report("results.yaml");
    assert!(
        !yaml.contains(": FAIL") && !yaml.contains(": Error"),
        "{yaml}"
    );
    for api in [
        "Tag listing",
        "Blob get",
        "Blob head",
        "Manifest get by tag",
    ] {
        assert!(yaml.contains(&format!("  {api}: Pass")), "{api}: {yaml}");
    }
    assert!(!run.report("report.html").is_empty());
}

/// Puts the reports where the documentation shows them.
fn publish(run: &Run, version: &str) {
    let target = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(PUBLISHED)
        .join(version);
    fs::create_dir_all(&target).expect("a folder");
    for name in REPORTS {
        let text = run.report(name);
        for private in [
            env!("CARGO_MANIFEST_DIR"),
            &run.folder.path().to_string_lossy(),
        ] {
            assert!(!text.contains(private), "{name} names the folder {private}");
        }
        fs::write(target.join(name), text).expect("a report");
    }
}

#[test]
fn the_official_program_finds_no_fault_in_what_is_missing() {
    let Some(program) = program() else { return };
    let sample = Sample::read();
    let folder = tempfile::tempdir().expect("a folder");
    let server = by_the_recipe(folder.path(), free_port());
    for version in VERSIONS {
        let referrers = usize::from(version != "1.0");
        for (group, tests) in [
            ("ping", &[("ping", 1)][..]),
            (
                "empty",
                &[("empty/tag list", 1), ("empty/referrers", referrers)],
            ),
            (
                "missing-manifest",
                &[
                    ("missing-manifest/by-digest", 1),
                    ("missing-manifest/by-tag", 1),
                ],
            ),
            (
                "invalid-digest-format",
                &[("invalid-digest-format/manifest-get", 1)],
            ),
        ] {
            let run = Run::of(
                program,
                server.port(),
                version,
                group,
                &repositories(&sample),
            );
            run.judge();
            run.check("Pass", tests);
        }
    }
}

/// A refusal to delete counts as `Skip`; a 404 or a 202 for what is still there would be a fault.
#[test]
fn the_official_program_may_try_to_delete() {
    let Some(program) = program() else { return };
    let sample = Sample::read();
    let folder = tempfile::tempdir().expect("a folder");
    let server = by_the_recipe(folder.path(), free_port());
    let content = Content::of(&server, &sample);
    let mut variables = [&content.variables()[..], &repositories(&sample)].concat();
    for name in [
        "OCI_API_BLOBS_DELETE",
        "OCI_API_MANIFESTS_DELETE",
        "OCI_API_TAGS_DELETE",
    ] {
        variables.push((name, "true".to_owned()));
    }
    let run = Run::of(program, server.port(), "dev", "read-only", &variables);
    run.judge();
    run.check(
        "Skip",
        &[
            ("read-only/delete/manifest-delete", content.manifests.len()),
            ("read-only/delete/blob-delete", content.blobs.len()),
        ],
    );
}
