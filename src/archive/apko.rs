//! Reads what apko writes into one file: a Docker archive as crane's, the manifests as members called `sha256:<hex>`, and
//! an `index.json` that is no list of what is there but the image index itself.

use super::graph::Graph;
use super::layout::Entry;
use super::members::Members;
use super::names::{ImageName, Written};
use super::node::NodeBody;
use super::problem::Problems;
use crate::digest::{Algorithm, Digest};

/// How members are called that are manifests and configurations.
const BLOB: &str = "sha256:";

/// Whether the folder `prefix` of the archive, in which there is an `index.json`, holds manifests beside it.
pub fn has_flat_blobs(members: &Members, prefix: &str) -> bool {
    members.names(&format!("{prefix}{BLOB}")).next().is_some()
}

/// Notes where the manifests, the configurations and the layers lie.
pub fn locate_blobs(
    members: &Members,
    prefix: &str,
    graph: &mut Graph<'_>,
    problems: &mut Problems,
) {
    for name in members.names(prefix) {
        let file = &name[prefix.len()..];
        let hex = file
            .strip_prefix(BLOB)
            .or_else(|| file.strip_suffix(".tar.gz"));
        if let Some(hex) = hex
            && let Ok(digest) = Digest::from_hex(Algorithm::Sha256, hex)
        {
            graph.blobs.locate_member(digest, name, problems);
        }
    }
}

/// The names of the index `root`: those of its images, without the architecture that apko adds to their tags.
pub fn index_names(entries: &[Entry], root: &Digest, graph: &Graph<'_>) -> Vec<Entry> {
    let Some(NodeBody::Index(children)) = graph.node(root).map(|node| &node.body) else {
        return Vec::new();
    };
    let named = entries.iter().filter_map(|entry| match &entry.written {
        Written::Full(name) => Some((&entry.root, name)),
        Written::Tag(_) | Written::Nothing => None,
    });
    let of_children = named.filter(|(image, _)| {
        let mut children = children.iter();
        children.any(|child| child.reference.digest == **image)
    });
    of_children
        .filter_map(|(image, name)| without_architecture(name, image, graph))
        .map(|name| Entry::new(root.clone(), Written::Full(name)))
        .collect()
}

fn without_architecture(name: &ImageName, image: &Digest, graph: &Graph<'_>) -> Option<ImageName> {
    let NodeBody::Image(image) = &graph.node(image)?.body else {
        return None;
    };
    let architecture = image
        .known
        .as_ref()?
        .platform
        .architecture
        .replace('/', "_");
    let tag = name.tag.as_ref()?.as_str();
    let tag = tag.strip_suffix(&architecture)?.strip_suffix('-')?;
    Some(ImageName {
        repository: name.repository.clone(),
        tag: Some(tag.parse().ok()?),
    })
}
