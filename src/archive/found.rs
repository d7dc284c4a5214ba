//! Turns what was read of one archive into what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::graph::{Graph, MAX_REACH, Node, NodeBody};
use super::members::Stored;
use super::names::ImageName;
use super::problem::{Fault, Problems};
use super::{Absent, Document, Found, Image, PlatformImage};
use crate::content::{Claim, Place, Source};
use crate::digest::Digest;
use crate::oci::Platform;

/// What is kept of an archive with the images `named`: their roots and names.
pub fn finish(
    graph: &Graph<'_>,
    mut named: BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) -> Found {
    let (digests, sizes): (Vec<Digest>, Vec<u64>) = reached_by_all(graph, &mut named, problems)
        .into_iter()
        .map(|(digest, size)| (digest.clone(), size))
        .unzip();
    let images = named
        .into_iter()
        .map(|(root, names)| image(graph, root, names, &digests))
        .collect();
    let document = |(digest, node): (&Digest, &Node)| Document {
        digest: digest.clone(),
        media_type: node.media_type.clone(),
        size: node.size,
        referrer: node.referrer.clone(),
    };
    Found {
        images,
        documents: graph.nodes().map(document).collect(),
        digests: digests.into(),
        sizes: sizes.into(),
        sources: sources(graph),
    }
}

/// Every digest that an image reaches, with its length. Images beyond the cap are left out.
///
/// Where documents tell different lengths, that of what lies in the archive counts.
fn reached_by_all<'g>(
    graph: &'g Graph<'_>,
    named: &mut BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) -> BTreeMap<&'g Digest, u64> {
    let mut digests = BTreeMap::new();
    let mut total = 0;
    named.retain(|root, _| {
        if total > MAX_REACH {
            return false;
        }
        let reach = graph.reach(root);
        total += reach.len();
        for (digest, told) in reach {
            digests
                .entry(digest)
                .or_insert_with(|| graph.stored_size(digest).unwrap_or(told));
        }
        total <= MAX_REACH
    });
    if total > MAX_REACH {
        problems.add(&Fault::TooMany {
            what: "references to blobs",
            limit: MAX_REACH,
        });
    }
    digests
}

fn image(graph: &Graph<'_>, root: Digest, names: BTreeSet<ImageName>, digests: &[Digest]) -> Image {
    let reach = graph.reach(&root);
    let position = |digest: &Digest| {
        digests
            .binary_search(digest)
            .ok()
            .and_then(|at| u32::try_from(at).ok())
    };
    let (images, created) = platforms(graph, &root);
    Image {
        names: names.into_iter().collect(),
        created,
        platforms: images.into(),
        size: reach
            .values()
            .fold(0, |sum, size| sum.saturating_add(*size)),
        is_made: graph.made().contains_key(&root),
        reach: reach.keys().filter_map(|digest| position(digest)).collect(),
        absent: absent(graph, &reach),
        root,
    }
}

/// What of `reach` the archive does not hold, by what it is; foreign layers are meant to be elsewhere.
fn absent(graph: &Graph<'_>, reach: &BTreeMap<&Digest, u64>) -> Absent {
    let (mut manifests, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for node in reach.keys().filter_map(|digest| graph.node(digest)) {
        match &node.body {
            NodeBody::Index(children) => {
                let documents = children.iter().filter(|child| child.is_document);
                manifests.extend(documents.map(|child| &child.reach.digest));
            }
            NodeBody::Image(image) => {
                let layers = image.layers.iter().filter(|layer| layer.is_foreign);
                foreign.extend(layers.map(|layer| &layer.reach.digest));
            }
        }
    }
    let is_here = |digest: &Digest| graph.is_located(digest) || graph.made().contains_key(digest);
    let mut absent = Absent::default();
    for digest in reach.keys().copied().filter(|digest| !is_here(digest)) {
        if manifests.contains(digest) {
            absent.manifests.push(digest.clone());
        } else if !foreign.contains(digest) {
            absent.blobs.push(digest.clone());
        }
    }
    absent
}

/// The images for platforms that `root` holds, each once, in the order of its indexes, and when the newest was made.
///
/// Not recursive: an archive can chain indexes as deep as it likes by listing the innermost first.
fn platforms(graph: &Graph<'_>, root: &Digest) -> (Vec<PlatformImage>, Option<Timestamp>) {
    let (mut images, mut created) = (Vec::new(), None);
    let mut seen = BTreeSet::new();
    let mut pending: Vec<(&Digest, Option<&Platform>)> = vec![(root, None)];
    while let Some((digest, told)) = pending.pop() {
        let Some(node) = graph.node(digest).filter(|_| seen.insert(digest)) else {
            continue;
        };
        match &node.body {
            NodeBody::Index(children) => {
                let children = children
                    .iter()
                    .map(|child| (&child.reach.digest, child.platform.as_ref()));
                pending.extend(children.rev());
            }
            NodeBody::Image(image) => {
                let known = image.known.as_deref();
                created = created.max(known.and_then(|known| known.created));
                let platform = told.or(known.map(|known| &known.platform));
                if let Some(platform) = platform.filter(|platform| platform.is_real()) {
                    let blobs = image
                        .config
                        .iter()
                        .chain(image.layers.iter().map(|layer| &layer.reach));
                    let size = blobs.map(|blob| blob.size).fold(0, u64::saturating_add);
                    images.push(PlatformImage {
                        platform: platform.clone(),
                        digest: digest.clone(),
                        size,
                    });
                }
            }
        }
    }
    (images, created)
}

/// One source for each file that holds something.
fn sources(graph: &Graph<'_>) -> Box<[Arc<Source>]> {
    let mut claims: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
    for (
        digest,
        Stored {
            file,
            offset,
            size: length,
        },
    ) in graph.located()
    {
        let place = if graph.is_document(digest) {
            Place::Document {
                offset,
                length,
                kept: OnceLock::new(),
            }
        } else {
            Place::Extent { offset, length }
        };
        claims.entry(file).or_default().push(Claim {
            digest: digest.clone(),
            place,
        });
    }
    for (digest, bytes) in graph.made() {
        let place = Place::Memory(bytes.clone());
        claims.entry(0).or_default().push(Claim {
            digest: digest.clone(),
            place,
        });
    }
    let source = |(file, claims): (usize, Vec<Claim>)| {
        let (location, identity) = &graph.members().files()[file];
        Arc::new(Source::new(location.clone(), *identity, claims))
    };
    claims.into_iter().map(source).collect()
}
