//! The end: when all is quiet, a fresh process finds in the folder what the server serves.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::fixture::sha256;
use crate::listing::{Listing, list};
use crate::server::{Response, Server};

/// Compares all names, and pulls everything behind them.
///
/// # Panics
///
/// At the first difference.
pub(super) fn check(server: &Server, packages: &Path) {
    let listing = Listing::of(packages).0;
    let repositories = list(&listing["repositories"]);
    let catalog = get(server, "/v2/_catalog").json();
    let names = repositories.iter();
    let names = names.map(|repository| text(&repository["name"]));
    assert_eq!(texts(&catalog["repositories"]), names.collect());
    for repository in repositories {
        let name = text(&repository["name"]);
        let tags = list(&repository["tags"]);
        let answer = get(server, &format!("/v2/{name}/tags/list")).json();
        let known = tags.iter().map(|tag| text(&tag["tag"]));
        assert_eq!(texts(&answer["tags"]), known.collect(), "{name}");
        for tag in tags {
            let path = format!("/v2/{name}/manifests/{}", text(&tag["tag"]));
            let answer = get(server, &path);
            assert_eq!(sha256(&answer.body), text(&tag["digest"]), "{path}");
        }
        let mut pulled = BTreeSet::new();
        for image in tags.iter().chain(list(&repository["untagged"])) {
            pull(server, &name, &text(&image["digest"]), &mut pulled);
        }
    }
}

/// Pulls a manifest, and all that it refers to.
fn pull(server: &Server, name: &str, digest: &str, pulled: &mut BTreeSet<String>) {
    if !pulled.insert(digest.to_owned()) {
        return;
    }
    let path = format!("/v2/{name}/manifests/{digest}");
    let manifest = get(server, &path);
    assert_eq!(sha256(&manifest.body), digest);
    let manifest = manifest.json();
    for child in list(&manifest["manifests"]) {
        pull(server, name, &text(&child["digest"]), pulled);
    }
    let config = Some(&manifest["config"]).filter(|config| config.is_object());
    for blob in list(&manifest["layers"]).iter().chain(config) {
        let digest = text(&blob["digest"]);
        let answer = get(server, &format!("/v2/{name}/blobs/{digest}"));
        assert_eq!(sha256(&answer.body), digest);
    }
}

fn get(server: &Server, path: &str) -> Response {
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

fn texts(value: &Value) -> BTreeSet<String> {
    list(value).iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
