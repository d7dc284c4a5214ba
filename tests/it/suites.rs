//! What the official suites v1.0.1 and v1.1.1, the main branch's last Ginkgo suite and the program
//! after it send and accept in pull and content discovery, replayed without them.
//!
//! The old suites run only from a checkout of their tags, and the new program tests much of this only
//! after pushing. Where they accept a missing header, this file does not: main of the specification
//! makes `Docker-Content-Digest` a MUST.

use serde_json::Value;

use crate::conformance::{Sample, digest_of, examples};
use crate::server::{Response, Server};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The hash of `hello world`: what the old suites ask for as missing.
const ABSENT: &str = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
/// The old suites' name of a manifest that cannot exist. A 400 fails there.
const IMPOSSIBLE: &str = "manifests/.INVALID_MANIFEST_NAME";
/// The type that v1.1.1 filters referrers by, as it encodes it.
const FILTER: &str = "application%2Fvnd.nhl.peanut.butter.bagel";
/// The codes that the old suites know in the body of a 400.
const CODES: [&str; 15] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "MANIFEST_UNVERIFIED",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "TAG_INVALID",
    "UNAUTHORIZED",
    "UNSUPPORTED",
];

type Headers = &'static [(&'static str, &'static str)];

/// What the old suites send with every request.
const AGENT: (&str, &str) = ("User-Agent", "distribution-spec-conformance-tests");
const PLAIN: Headers = &[AGENT];
const ACCEPT: Headers = &[AGENT, ("Accept", IMAGE)];
const PUSH: Headers = &[AGENT, ("Accept", IMAGE), ("Content-Type", IMAGE)];
const CONTENT_TYPE: Headers = &[AGENT, ("Content-Type", IMAGE)];
/// The new program's client sends two lines.
const ACCEPT_BOTH: Headers = &[("Accept", INDEX), ("Accept", IMAGE)];

/// What an answer must be.
#[derive(Clone, Copy)]
enum Accepted<'a> {
    /// This one.
    Status(u16),
    /// 404 with an error body, where the method allows one.
    Missing,
    /// 200, and the digest header says this; GET also has its bytes.
    Content(&'a str),
    /// 404, or 400 with a code that the suites know.
    Refusal,
    /// 200 and this many tags.
    Tags(usize),
    /// 200 and an index that lists nothing; a filter, if said to be applied, is `artifactType`.
    NoReferrers,
}

/// One request of a suite, and what it accepts.
struct Step<'a> {
    test: &'static str,
    method: &'static str,
    path: String,
    headers: Headers,
    body: &'static [u8],
    accepted: Accepted<'a>,
}

fn step<'a>(
    test: &'static str,
    method: &'static str,
    path: String,
    headers: Headers,
    accepted: Accepted<'a>,
) -> Step<'a> {
    Step {
        test,
        method,
        path,
        headers,
        body: b"",
        accepted,
    }
}

fn replay(server: &Server, steps: &[Step]) {
    for step in steps {
        let what = format!("{}: {} {}", step.test, step.method, step.path);
        let answer = server
            .try_request(step.method, &step.path, step.headers, step.body)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        check(&what, step, &answer);
    }
}

fn check(what: &str, step: &Step, answer: &Response) {
    let status = answer.status;
    match step.accepted {
        Accepted::Status(wanted) => assert_eq!(status, wanted, "{what}"),
        Accepted::Missing => {
            assert_eq!(status, 404, "{what}");
            if step.method != "HEAD" {
                assert!(
                    CODES.contains(&code(what, answer).as_str()),
                    "{what}: {}",
                    answer.text()
                );
            }
        }
        Accepted::Content(digest) => check_content(what, step.method, answer, digest),
        Accepted::Refusal => match status {
            404 => {}
            400 => assert!(CODES.contains(&code(what, answer).as_str()), "{what}"),
            _ => panic!("{what}: {status}"),
        },
        Accepted::Tags(count) => {
            assert_eq!(status, 200, "{what}");
            assert_eq!(tags(answer).len(), count, "{what}");
        }
        Accepted::NoReferrers => check_no_referrers(what, answer),
    }
}

fn check_content(what: &str, method: &str, answer: &Response, digest: &str) {
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(
        answer.header("docker-content-digest"),
        Some(digest),
        "{what}"
    );
    let length: usize = answer
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .expect(what);
    if method == "GET" {
        assert_eq!(answer.body.len(), length, "{what}");
        assert_eq!(digest_of(&answer.body), digest, "{what}");
    } else {
        assert!(length > 0, "{what}");
    }
}

fn check_no_referrers(what: &str, answer: &Response) {
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(answer.header("content-type"), Some(INDEX), "{what}");
    let index = answer.json();
    assert_eq!(index["schemaVersion"], 2, "{what}");
    assert_eq!(index["mediaType"], INDEX, "{what}");
    assert_eq!(index["manifests"], Value::Array(Vec::new()), "{what}");
    if let Some(filters) = answer.header("oci-filters-applied") {
        assert_eq!(filters, "artifactType", "{what}");
    }
}

/// The code of the first error in an error body.
fn code(what: &str, answer: &Response) -> String {
    let code = answer.json()["errors"][0]["code"]
        .as_str()
        .map(str::to_owned);
    code.unwrap_or_else(|| panic!("{what}: no error in {}", answer.text()))
}

fn tags(answer: &Response) -> Vec<String> {
    let list = answer.json();
    let tags = list["tags"]
        .as_array()
        .unwrap_or_else(|| panic!("no tags in {list}"));
    tags.iter()
        .map(|tag| tag.as_str().expect("a tag is text").to_owned())
        .collect()
}

/// The tests of pull that v1.0.1 and v1.1.1 share.
fn pull(sample: &Sample) -> Vec<Step<'_>> {
    let absent = sample.path(&format!("blobs/{ABSENT}"));
    let blob = sample.path(&format!("blobs/{}", sample.blob()));
    let impossible = sample.path(IMPOSSIBLE);
    let manifest = sample.path(&format!("manifests/{}", sample.manifest()));
    let tag = sample.path(&format!("manifests/{}", sample.tag()));
    let is_blob = Accepted::Content(sample.blob());
    let is_manifest = Accepted::Content(sample.manifest());
    vec![
        step("P1", "HEAD", absent.clone(), PLAIN, Accepted::Missing),
        step("P2", "HEAD", blob.clone(), PLAIN, is_blob),
        step("P3", "GET", absent, PLAIN, Accepted::Missing),
        step("P4", "GET", blob, PLAIN, is_blob),
        step("P5", "HEAD", impossible.clone(), PLAIN, Accepted::Missing),
        step("P6", "HEAD", manifest.clone(), ACCEPT, is_manifest),
        step("P8", "GET", impossible, PLAIN, Accepted::Missing),
        step("P9", "GET", manifest, ACCEPT, is_manifest),
        step("P10", "GET", tag, ACCEPT, is_manifest),
    ]
}

#[test]
fn pull_of_v1_0_1() {
    let sample = Sample::read();
    let tag = sample.path(&format!("manifests/{}", sample.tag()));
    let mut steps = pull(&sample);
    // Its title promises HEAD; issue 331 of the specification.
    steps.push(step(
        "P7",
        "GET",
        tag,
        ACCEPT,
        Accepted::Content(sample.manifest()),
    ));
    // It pushes within pull, issue 332: refused for its digest, before its method is looked at.
    steps.push(Step {
        test: "P11",
        method: "PUT",
        path: sample.path("manifests/sha256:totallywrong"),
        headers: PUSH,
        body: b"blablabla",
        accepted: Accepted::Refusal,
    });
    replay(&Server::serving(&examples()), &steps);
}

#[test]
fn pull_of_v1_1_1() {
    let sample = Sample::read();
    let tag = sample.path(&format!("manifests/{}", sample.tag()));
    let wrong = sample.path("manifests/sha256:totallywrong");
    let mut steps = pull(&sample);
    steps.push(step(
        "P7",
        "HEAD",
        tag,
        ACCEPT,
        Accepted::Content(sample.manifest()),
    ));
    steps.push(step("P11", "GET", wrong, CONTENT_TYPE, Accepted::Refusal));
    replay(&Server::serving(&examples()), &steps);
}

/// v1.0.1 asks for half as many tags as its variable lists, v1.1.1 half as many as the server has.
#[test]
fn discovery_of_both() {
    let sample = Sample::read();
    let server = Server::serving(&examples());
    let list = sample.path("tags/list");
    let all = tags(&server.request("GET", &list, PLAIN));
    assert!(all.len() >= 2, "v1.1.1 ends in a panic with less");
    for half in [sample.tags().len() / 2, all.len() / 2] {
        replay(
            &server,
            &[
                step("D1", "GET", list.clone(), PLAIN, Accepted::Status(200)),
                step(
                    "D2",
                    "GET",
                    format!("{list}?n={half}"),
                    PLAIN,
                    Accepted::Tags(half),
                ),
            ],
        );
        let page = tags(&server.request("GET", &format!("{list}?n={half}"), PLAIN));
        check_second_page(&server, &list, &page);
    }
}

/// D3: the page after `first`. The main branch examines it: at most as many, none of them the last.
fn check_second_page(server: &Server, list: &str, first: &[String]) {
    let (half, end) = (first.len(), first.last().expect("a page has a tag"));
    // Go's client writes a `+` in a query as `%2B`.
    let path = format!("{list}?last={}&n={half}", end.replace('+', "%2B"));
    let answer = server.request("GET", &path, PLAIN);
    assert_eq!(answer.status, 200, "D3: {path}");
    let second = tags(&answer);
    assert!(second.len() <= half, "D3: {second:?}");
    assert!(!second.contains(end), "D3: {second:?}");
}

/// The main branch's D1 takes the order of bytes or one without regard to case; its program divides
/// the list by bytes.
#[test]
fn tags_are_in_byte_order_on_every_page() {
    let sample = Sample::read();
    let server = Server::serving(&examples());
    let list = sample.path("tags/list");
    let all = tags(&server.get(&list));
    assert!(all.is_sorted(), "{all:?}");
    for (position, tag) in all.iter().enumerate() {
        let rest = tags(&server.get(&format!("{list}?last={}", tag.replace('+', "%2B"))));
        assert_eq!(rest, all[position + 1..], "after {tag}");
    }
}

#[test]
fn no_tags_are_an_answer_without_a_link() {
    let sample = Sample::read();
    let answer = Server::serving(&examples()).get(&sample.path("tags/list?n=0"));
    assert_eq!(answer.status, 200);
    assert_eq!(tags(&answer), Vec::<String>::new());
    assert_eq!(answer.header("link"), None);
}

/// R2 to R4 of v1.1.1 expect five referrers and one of the same URL, so nobody passes them without
/// pushing; what is left of them is the form of the answer.
#[test]
fn referrers_of_v1_1_1() {
    let sample = Sample::read();
    let absent = sample.path(&format!("referrers/{ABSENT}"));
    let subject = sample.path(&format!("referrers/{}", sample.manifest()));
    let filtered = format!("{subject}?artifactType={FILTER}");
    let steps = [
        step("R1", "GET", absent, PLAIN, Accepted::NoReferrers),
        step("R2, R4", "GET", subject, PLAIN, Accepted::NoReferrers),
        step("R3", "GET", filtered, PLAIN, Accepted::NoReferrers),
    ];
    let server = Server::serving(&examples());
    replay(&server, &steps);
    let filtered = server.request("GET", &steps[2].path, PLAIN);
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    let wrong = server.request("GET", &sample.path("referrers/sha256:totallywrong"), PLAIN);
    assert_eq!(
        (wrong.status, code("R", &wrong).as_str()),
        (400, "DIGEST_INVALID")
    );
}

/// The new program, read-only: what it asks of content that is there and of content that is not.
#[test]
fn pull_of_the_new_program() {
    let sample = Sample::read();
    let server = Server::serving(&examples());
    let mut steps = vec![
        step("ping", "GET", "/v2/".to_owned(), &[], Accepted::Status(200)),
        step(
            "by-digest",
            "GET",
            sample.path(&format!("manifests/{ABSENT}")),
            ACCEPT_BOTH,
            Accepted::Missing,
        ),
        step(
            "by-tag",
            "GET",
            sample.path("manifests/missing-abcdefghijklmnopqrst"),
            ACCEPT_BOTH,
            Accepted::Missing,
        ),
        step(
            "invalid",
            "GET",
            sample.path("manifests/sha256:baddigeststring"),
            ACCEPT_BOTH,
            Accepted::Refusal,
        ),
    ];
    // Each tag resolves to one manifest, by either method, whatever it is asked by.
    let heads = sample.tags().into_iter().map(|tag| {
        let path = sample.path(&format!("manifests/{tag}"));
        let head = server.request("HEAD", &path, ACCEPT_BOTH);
        (
            path,
            head.header("docker-content-digest")
                .expect("a digest")
                .to_owned(),
        )
    });
    let heads: Vec<_> = heads.collect();
    for (path, digest) in &heads {
        let by_digest = sample.path(&format!("manifests/{digest}"));
        for (method, path) in [
            ("HEAD", path),
            ("GET", path),
            ("HEAD", &by_digest),
            ("GET", &by_digest),
        ] {
            steps.push(step(
                "tag",
                method,
                path.clone(),
                ACCEPT_BOTH,
                Accepted::Content(digest),
            ));
        }
    }
    replay(&server, &steps);
}

/// Deletion: refused, by 405 alone, as a blob's refusal by 400 fails in the new program.
#[test]
fn deletion_is_refused() {
    let sample = Sample::read();
    let server = Server::serving(&examples());
    for path in [
        sample.path(&format!("manifests/{}", sample.manifest())),
        sample.path(&format!("manifests/{}", sample.tag())),
        sample.path(&format!("blobs/{}", sample.blob())),
    ] {
        let answer = server.request("DELETE", &path, PLAIN);
        assert_eq!(
            (answer.status, code(&path, &answer).as_str()),
            (405, "UNSUPPORTED"),
            "{path}"
        );
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{path}");
        assert_eq!(server.head(&path).status, 200, "{path}");
    }
}

/// The ranges that the new program asks of a blob of 2048 bytes that it has pushed, on a layer of
/// the sample: start, end and the bytes of a satisfiable range, or `None` for 416.
#[test]
fn ranges_of_the_new_program() {
    let sample = Sample::read();
    let server = Server::serving(&examples());
    let manifest = server
        .get(&sample.path(&format!("manifests/{}", sample.manifest())))
        .json();
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer");
    let path = sample.path(&format!("blobs/{layer}"));
    let whole = server.get(&path).body;
    let size = whole.len();
    assert!(size > 2000, "a layer as big as the program's blob");
    for (range, part) in [
        ("500-1499", Some(500..1500)),
        ("500-", Some(500..size)),
        ("-500", Some(size - 500..size)),
        ("2000-5000000", Some(2000..size)),
        ("5000000-10000000", None),
    ] {
        let answer = server.request("GET", &path, &[("Range", &format!("bytes={range}"))]);
        let told = answer.header("content-range");
        if let Some(part) = part {
            assert_eq!(answer.status, 206, "{range}");
            assert!(answer.body == whole[part.clone()], "{range}: other bytes");
            let wanted = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(told, Some(wanted.as_str()), "{range}");
        } else {
            assert_eq!(answer.status, 416, "{range}");
            assert_eq!(told, Some(format!("bytes */{size}").as_str()), "{range}");
        }
    }
    // No range at all by RFC 9110: 416 passes there, and so does the whole.
    let reversed = server.request("GET", &path, &[("Range", "bytes=500-0")]);
    assert!(matches!(reversed.status, 200 | 416), "{}", reversed.status);
}
