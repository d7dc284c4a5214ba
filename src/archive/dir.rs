//! Reads the `dir:` of skopeo and podman: one image, its files called by their digests
//! ([containers-transports](https://github.com/containers/image/blob/main/docs/containers-transports.5.md#dirpath)).

use super::graph::Graph;
use super::layout::Entry;
use super::members::Members;
use super::names::Written;
use super::problem::{Fault, Problems};
use crate::digest::{Algorithm, Digest};
use crate::oci::Descriptor;

/// The manifest or index of the image.
const MANIFEST: &str = "manifest.json";
/// Manifests that an index lists are called by their digest and this.
const CHILD: &str = ".manifest.json";

/// Whether the folder `prefix` of the archive is one, where its `manifest.json` is an object.
pub fn is_dir(members: &Members, prefix: &str) -> bool {
    members.contains(&format!("{prefix}version"))
}

/// Reads the image in the folder `prefix`.
pub fn read(
    members: &Members,
    prefix: &str,
    graph: &mut Graph<'_>,
    problems: &mut Problems,
) -> Option<Entry> {
    for name in members.names(prefix) {
        if let Some(digest) = digest_of_name(&name[prefix.len()..]) {
            graph.blobs.locate_member(digest, name, problems);
        }
    }
    let name = format!("{prefix}{MANIFEST}");
    match locate_root(members, &name, graph) {
        Ok(descriptor) => {
            graph.visit(&descriptor, &name, problems);
            let root = descriptor.digest().ok()?;
            graph
                .is_document(&root)
                .then(|| Entry::new(root, Written::Nothing))
        }
        Err(fault) => {
            problems.add_in(&name, &fault);
            None
        }
    }
}

/// The manifest is the one file whose name does not tell its digest.
fn locate_root(members: &Members, name: &str, graph: &mut Graph<'_>) -> Result<Descriptor, Fault> {
    let stored = members.locate(name)?;
    graph.charge(stored.size, super::graph::MAX_MANIFEST)?;
    let bytes = members.read(stored, super::graph::MAX_MANIFEST)?;
    let digest = Digest::sha256(&bytes);
    let descriptor = Descriptor::new(&digest, stored.size, None);
    graph.blobs.locate(digest, stored);
    Ok(descriptor)
}

/// The digest that a file's name is: bare for SHA-256, else with the algorithm in front.
fn digest_of_name(name: &str) -> Option<Digest> {
    let name = name.strip_suffix(CHILD).unwrap_or(name);
    match name.split_once('-') {
        Some((algorithm, hex)) => Digest::from_hex(Algorithm::from_name(algorithm)?, hex).ok(),
        None => Digest::from_hex(Algorithm::Sha256, name).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_digests() {
        let (short, long) = ("a".repeat(64), "b".repeat(128));
        let check = |name: String, expected: Option<String>| {
            let got = digest_of_name(&name).map(|digest| digest.to_string());
            assert_eq!(got, expected, "{name}");
        };
        check(short.clone(), Some(format!("sha256:{short}")));
        check(
            format!("{short}.manifest.json"),
            Some(format!("sha256:{short}")),
        );
        check(format!("sha512-{long}"), Some(format!("sha512:{long}")));
        check(
            format!("sha512-{long}.manifest.json"),
            Some(format!("sha512:{long}")),
        );
        for other in ["version", "manifest.json", "signature-1", "md5-00"] {
            check(other.to_owned(), None);
        }
        check(format!("{short}.signature-1"), None);
    }
}
