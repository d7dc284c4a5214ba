//! The official suites of the releases v1.0.1 and v1.1.1 themselves, where ready binaries of them are.
//!
//! They exist only as test packages of those tags, so each binary is named by a variable. What they send and accept is
//! replayed without them in `suites.rs`. Their results stand in `docs/conformance/older-suites.md`, test by test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::conformance::{Sample, examples};
use crate::fixture::{Image, Layout, Node as _};
use crate::generated::check_page;
use crate::needs::{optional, run};
use crate::packages::Packages;
use crate::server::Server;

/// How long one run may take.
const RUN: Duration = Duration::from_secs(60);
const PAGE: &str = "docs/conformance/older-suites.md";
/// What all names of tests begin with.
const ROOT: &str = "OCI Distribution Conformance Tests ";
/// The tests of v1.1.1 that look for referrers with content made at random for each run.
const RANDOM: &str = "listing references.*GET request to (existing|missing)";
/// A node of v1.1.1's reports that is no test.
const REPORTER: &str = "html custom reporter";

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Passed,
    Failed,
    Skipped,
}

/// What a suite says of its tests, in its order.
struct Report(Vec<(String, End)>);

impl Report {
    /// Runs the suite in a folder of its own against what `variables` name.
    fn of(suite: &Path, arguments: &[&str], variables: &BTreeMap<String, String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(suite);
        command
            .args(arguments)
            .current_dir(folder.path())
            .envs(variables);
        let finished = run(&mut command, RUN);
        let junit = fs::read_to_string(folder.path().join("junit.xml"));
        let junit = junit.unwrap_or_else(|error| panic!("{error}: {}", finished.said()));
        let report = Self(cases(&junit));
        let is_clean = report.count(End::Failed) == 0;
        assert_eq!(finished.success, is_clean, "{}", finished.said());
        report
    }

    fn count(&self, wanted: End) -> usize {
        self.0.iter().filter(|(_, end)| *end == wanted).count()
    }

    fn failed(&self) -> Vec<&str> {
        let failed = self.0.iter().filter(|(_, end)| *end == End::Failed);
        failed.map(|(name, _)| name.as_str()).collect()
    }

    /// The tests that ran, as a table, and how many did not.
    fn table(&self) -> String {
        let ran = self.0.iter().filter(|(_, end)| *end != End::Skipped);
        let rows =
            ran.map(|(name, end)| format!("| {name} | {} |\n", format!("{end:?}").to_lowercase()));
        format!(
            "| Test | Result |\n|---|---|\n{}\n{} passed, {} failed, {} skipped.\n",
            rows.collect::<String>(),
            self.count(End::Passed),
            self.count(End::Failed),
            self.count(End::Skipped),
        )
    }
}

/// The test cases of a report in the form of `JUnit`.
fn cases(junit: &str) -> Vec<(String, End)> {
    let cases = junit.split("<testcase ").skip(1);
    let read = |case: &str| {
        let (_, rest) = case.split_once("name=\"").expect("a case has a name");
        let (name, rest) = rest.split_once('"').expect("the end of the name");
        let body = rest.split("</testcase>").next().unwrap_or_default();
        let end = if body.contains("<skipped") {
            End::Skipped
        } else if body.contains("<failure") || body.contains("<error") {
            End::Failed
        } else {
            End::Passed
        };
        let name = name.strip_prefix(ROOT).unwrap_or(name);
        (name.to_owned(), end)
    };
    let cases = cases.map(read);
    cases.filter(|(name, _)| name != REPORTER).collect()
}

/// What the suites are told about the sample, served here.
fn variables(server: &Server) -> BTreeMap<String, String> {
    let mut variables = Sample::read().variables().clone();
    variables.insert("OCI_ROOT_URL".to_owned(), server.url());
    variables
}

/// Runs the suite that `variable` names on the sample, and compares its results with the page's.
fn check(variable: &str, arguments: &[&str], passed: usize) {
    let Some(suite) = optional(variable) else {
        return;
    };
    let server = Server::serving(&examples());
    let report = Report::of(&suite, arguments, &variables(&server));
    assert_eq!(report.failed(), [""; 0]);
    assert_eq!(report.count(End::Passed), passed);
    let sections = [(variable, report.table())];
    check_page(PAGE, &sections, "older_suites");
}

/// As it was released: it pushes once where it means to pull, to a digest that is none, and takes a 400 for that.
#[test]
fn version_1_0_passes() {
    check("PACKAGEORIGIN_SUITE_1_0", &["-ginkgo.noColor"], 16);
}

#[test]
fn version_1_0_with_two_lines_mended_passes() {
    check("PACKAGEORIGIN_SUITE_1_0_FIXED", &["-ginkgo.noColor"], 16);
}

#[test]
fn version_1_1_passes() {
    let skip = format!("--ginkgo.skip={RANDOM}");
    check("PACKAGEORIGIN_SUITE_1_1", &["--ginkgo.no-color", &skip], 19);
}

/// Two of the three tests that need content made at random can be met by referrers that are made for them; the third
/// wants one manifest where these want five.
#[test]
fn version_1_1_passes_all_but_one_with_odd_referrers() {
    let Some(suite) = optional("PACKAGEORIGIN_SUITE_1_1") else {
        return;
    };
    let image = Image::new("app");
    let referrers = (0..5).map(|number| odd_referrer(&image, number));
    let layout = Layout::new()
        .named(&image, "docker.io/acme/app:1")
        .named(&image, "docker.io/acme/app:2");
    let layout = referrers.fold(layout, |layout, referrer| layout.entry(&referrer, &[]));
    let packages = Packages::new().with("app.tar", layout.tar());
    let server = Server::serving(packages.path());
    let mut variables = variables(&server);
    for (name, value) in [
        ("OCI_NAMESPACE", "acme/app"),
        ("OCI_TAG_NAME", "1"),
        ("OCI_MANIFEST_DIGEST", &image.digest()),
        ("OCI_BLOB_DIGEST", &image.config().digest),
        ("OCI_TAG_LIST", "1,2"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let report = Report::of(&suite, &["--ginkgo.no-color"], &variables);
    assert_eq!(report.count(End::Passed), 21, "{:?}", report.failed());
    let [failed] = report.failed()[..] else {
        panic!("{:?}", report.failed());
    };
    let missing = "GET request to missing manifest should yield 200";
    assert!(failed.ends_with(missing), "{failed}");
}

/// What the suite takes for one of its own: its annotation has the value that the suite has for an unknown digest.
fn odd_referrer(image: &Image, number: usize) -> Image {
    let referrer = Image::new(&format!("referrer {number}"))
        .subject(image)
        .annotation("org.opencontainers.conformance.test", "");
    if number < 2 {
        referrer.artifact_type("application/vnd.nhl.peanut.butter.bagel")
    } else {
        referrer.artifact_type("application/vnd.example.other")
    }
}
