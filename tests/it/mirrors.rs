//! The server as a mirror of several registries at once: first as requests, then with the clients that ask so.
//!
//! In one folder lie images that differ in nothing but the registry that they came from. Each has a layer of its own, so that
//! whatever arrives tells which one it was.

mod clients;

use serde_json::json;

use crate::fixture::{Image, Layer, Layout, Node as _};
use crate::packages::Packages;
use crate::server::{Response, Server};

/// The same path at several registries, at none (the name of the last is made from its file's path).
const EVERYWHERE: &[&str] = &[
    "docker.io/acme/app",
    "ghcr.io/acme/app",
    "harbor.example.com:5000/acme/app",
    "localhost/acme/app",
    "quay.io/acme/app",
    "./acme/app",
];
const NOT_AT_DOCKER_HUB: &[&str] = &["./acme/app", "ghcr.io/acme/app", "quay.io/acme/app"];
const OFFICIAL: &[&str] = &[
    "docker.io/library/alpine",
    "quay.io/library/alpine",
    "quay.io/alpine",
];
const PORTS: &[&str] = &["r.io/acme/app", "r.io:5000/acme/app", "r.io:6000/acme/app"];
const PATH_ONLY: &[&str] = &["./quay.io/acme/app"];
const HOST_IN_A_PATH: &[&str] = &["docker.io/quay.io/app", "quay.io/app"];

/// What lies in the folder, the repository and the namespace that are asked for, and which of the images has to answer.
const ASKED: &[(&[&str], &str, &str, Option<&str>)] = &[
    (EVERYWHERE, "acme/app", "", Some("docker.io/acme/app")),
    (
        EVERYWHERE,
        "acme/app",
        "docker.io",
        Some("docker.io/acme/app"),
    ),
    (
        EVERYWHERE,
        "acme/app",
        "index.docker.io",
        Some("docker.io/acme/app"),
    ),
    (
        EVERYWHERE,
        "acme/app",
        "registry-1.docker.io",
        Some("docker.io/acme/app"),
    ),
    (EVERYWHERE, "acme/app", "quay.io", Some("quay.io/acme/app")),
    (EVERYWHERE, "acme/app", "QUAY.IO", Some("quay.io/acme/app")),
    (EVERYWHERE, "acme/app", "ghcr.io", Some("ghcr.io/acme/app")),
    (
        EVERYWHERE,
        "acme/app",
        "localhost",
        Some("localhost/acme/app"),
    ),
    (
        EVERYWHERE,
        "acme/app",
        "harbor.example.com:5000",
        Some("harbor.example.com:5000/acme/app"),
    ),
    (
        EVERYWHERE,
        "acme/app",
        "harbor.example.com%3A5000",
        Some("harbor.example.com:5000/acme/app"),
    ),
    (EVERYWHERE, "acme/app", "harbor.example.com", None),
    (EVERYWHERE, "acme/app", "harbor.example.com:443", None),
    (EVERYWHERE, "acme/app", "registry.k8s.io", None),
    (EVERYWHERE, "acme/app", "io", None),
    (EVERYWHERE, "acme/app", ".", None),
    (
        EVERYWHERE,
        "docker.io/acme/app",
        "",
        Some("docker.io/acme/app"),
    ),
    (EVERYWHERE, "quay.io/acme/app", "", Some("quay.io/acme/app")),
    (EVERYWHERE, "ghcr.io/acme/app", "", Some("ghcr.io/acme/app")),
    (
        EVERYWHERE,
        "localhost/acme/app",
        "",
        Some("localhost/acme/app"),
    ),
    (
        EVERYWHERE,
        "harbor.example.com/acme/app",
        "",
        Some("harbor.example.com:5000/acme/app"),
    ),
    (EVERYWHERE, "registry.k8s.io/acme/app", "", None),
    (EVERYWHERE, "quay.io/acme/app", "quay.io", None),
    (EVERYWHERE, "quay.io/acme/app", "docker.io", None),
    (EVERYWHERE, "app", "docker.io", None),
    (EVERYWHERE, "library/app", "docker.io", None),
    (NOT_AT_DOCKER_HUB, "acme/app", "", Some("ghcr.io/acme/app")),
    (NOT_AT_DOCKER_HUB, "acme/app", "docker.io", None),
    (NOT_AT_DOCKER_HUB, "acme/app", "localhost", None),
    (NOT_AT_DOCKER_HUB, "docker.io/acme/app", "", None),
    (
        NOT_AT_DOCKER_HUB,
        "acme/app",
        "quay.io",
        Some("quay.io/acme/app"),
    ),
    (OFFICIAL, "alpine", "", Some("docker.io/library/alpine")),
    (
        OFFICIAL,
        "library/alpine",
        "",
        Some("docker.io/library/alpine"),
    ),
    (
        OFFICIAL,
        "docker.io/alpine",
        "",
        Some("docker.io/library/alpine"),
    ),
    (
        OFFICIAL,
        "docker.io/library/alpine",
        "",
        Some("docker.io/library/alpine"),
    ),
    (OFFICIAL, "quay.io/alpine", "", Some("quay.io/alpine")),
    (
        OFFICIAL,
        "quay.io/library/alpine",
        "",
        Some("quay.io/library/alpine"),
    ),
    (
        OFFICIAL,
        "alpine",
        "docker.io",
        Some("docker.io/library/alpine"),
    ),
    (
        OFFICIAL,
        "library/alpine",
        "docker.io",
        Some("docker.io/library/alpine"),
    ),
    (
        OFFICIAL,
        "library/alpine",
        "registry-1.docker.io",
        Some("docker.io/library/alpine"),
    ),
    (OFFICIAL, "alpine", "quay.io", Some("quay.io/alpine")),
    (
        OFFICIAL,
        "library/alpine",
        "quay.io",
        Some("quay.io/library/alpine"),
    ),
    (OFFICIAL, "alpine", "ghcr.io", None),
    (PORTS, "acme/app", "r.io", Some("r.io/acme/app")),
    (PORTS, "acme/app", "r.io:5000", Some("r.io:5000/acme/app")),
    (PORTS, "acme/app", "r.io:6000", Some("r.io:6000/acme/app")),
    (PORTS, "acme/app", "r.io:443", None),
    (PORTS, "r.io/acme/app", "", Some("r.io/acme/app")),
    (PORTS, "acme/app", "", Some("r.io/acme/app")),
    (
        PATH_ONLY,
        "quay.io/acme/app",
        "",
        Some("./quay.io/acme/app"),
    ),
    (PATH_ONLY, "acme/app", "quay.io", None),
    (PATH_ONLY, "quay.io/acme/app", "docker.io", None),
    (PATH_ONLY, "acme/app", "", None),
    (HOST_IN_A_PATH, "quay.io/app", "", Some("quay.io/app")),
    (HOST_IN_A_PATH, "app", "quay.io", Some("quay.io/app")),
    (
        HOST_IN_A_PATH,
        "quay.io/app",
        "docker.io",
        Some("docker.io/quay.io/app"),
    ),
];

/// The image of that name: its layer holds the name.
fn image(name: &str) -> Image {
    let layer = Layer::files(&[("name.txt", name.as_bytes())]);
    Image::new(name).layers([layer.gzip()])
}

/// A folder with the image of each name, in an archive of its own, under the tag `1`.
fn packages(names: &[&str]) -> Packages {
    let packages = Packages::new();
    for (number, name) in names.iter().enumerate() {
        match name.strip_prefix("./") {
            Some(path) => packages.put(
                &format!("{path}.tar"),
                Layout::new().named(&image(name), "1").tar(),
            ),
            None => packages.put(
                &format!("{number}.tar"),
                Layout::new()
                    .named(&image(name), &format!("{name}:1"))
                    .tar(),
            ),
        }
    }
    packages
}

/// One repository, asked for in one way.
struct Question<'a> {
    server: &'a Server,
    repository: &'a str,
    ns: &'a str,
}

impl Question<'_> {
    fn get(&self, rest: &str) -> Response {
        let (repository, ns) = (self.repository, self.ns);
        let query = if ns.is_empty() {
            String::new()
        } else {
            format!("?ns={ns}")
        };
        self.server.get(&format!("/v2/{repository}/{rest}{query}"))
    }

    /// The image of this name answers, entirely, by its tag and by its digests, and says whose it is.
    fn check_is(&self, name: &str) {
        let image = image(name);
        let manifest = self.get("manifests/1");
        assert!(
            manifest.body == image.manifest().bytes,
            "{}",
            manifest.text()
        );
        assert_eq!(
            self.get(&format!("manifests/{}", image.digest())).body,
            manifest.body
        );
        for blob in &image.blobs()[1..] {
            let answer = self.get(&format!("blobs/{}", blob.digest));
            assert!(answer.body == blob.bytes, "{}", answer.text());
        }
        let host = name.split('/').next().filter(|_| self.is_mirror());
        assert_eq!(manifest.header("oci-namespace"), host);
        let latest = self.get("manifests/latest").status;
        let (tags, wanted) = if self.is_mirror() {
            (json!(["1"]), 404)
        } else {
            (json!(["1", "latest"]), 200)
        };
        assert_eq!(self.get("tags/list").json()["tags"], tags);
        assert_eq!(latest, wanted, "`latest` was given by nobody");
    }

    /// Nothing of the image of this name answers, not by digest either.
    fn check_is_not(&self, name: &str) {
        let image = image(name);
        let layer = image.layers[0].blob().digest;
        for rest in [
            format!("manifests/{}", image.digest()),
            format!("blobs/{layer}"),
            format!("blobs/{}", image.config().digest),
        ] {
            assert_eq!(self.get(&rest).status, 404, "{rest} of {name}");
        }
    }

    /// No image at all answers.
    fn check_is_nothing(&self) {
        for rest in ["manifests/1", "manifests/latest", "tags/list"] {
            assert_eq!(self.get(rest).status, 404, "{rest}");
        }
    }

    /// Whether another registry than the server is meant.
    fn is_mirror(&self) -> bool {
        !self.ns.is_empty() && self.ns != self.server.authority()
    }
}

#[test]
fn the_image_that_is_meant_answers() {
    for names in [
        EVERYWHERE,
        NOT_AT_DOCKER_HUB,
        OFFICIAL,
        PORTS,
        PATH_ONLY,
        HOST_IN_A_PATH,
    ] {
        let packages = packages(names);
        let server = packages.serve(&[]);
        for (_, repository, ns, wanted) in ASKED.iter().filter(|row| row.0 == names) {
            // The server's own address is no other registry.
            let own = Some(server.authority()).filter(|_| ns.is_empty());
            for ns in [Some(*ns), own].into_iter().flatten() {
                check(&server, names, repository, ns, *wanted);
            }
        }
    }
}

fn check(server: &Server, names: &[&str], repository: &str, ns: &str, wanted: Option<&str>) {
    let question = Question {
        server,
        repository,
        ns,
    };
    for name in names.iter().filter(|name| Some(**name) != wanted) {
        question.check_is_not(name);
    }
    match wanted {
        Some(name) => question.check_is(name),
        None => question.check_is_nothing(),
    }
}
