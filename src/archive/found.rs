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
    let digests = reached_by_all(graph, &mut named, problems);
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
        digests,
        sources: sources(graph),
    }
}

/// Every digest that an image reaches, sorted. Images beyond the cap are left out.
fn reached_by_all(
    graph: &Graph<'_>,
    named: &mut BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) -> Box<[Digest]> {
    let mut digests = BTreeSet::new();
    let mut total = 0;
    named.retain(|root, _| {
        let reach = graph.reach(root);
        total += reach.len();
        let is_within = total <= MAX_REACH;
        if is_within {
            digests.extend(reach.into_keys());
        }
        is_within
    });
    if total > MAX_REACH {
        problems.add(&Fault::TooMany {
            what: "references to blobs",
            limit: MAX_REACH,
        });
    }
    digests.into_iter().cloned().collect()
}

fn image(graph: &Graph<'_>, root: Digest, names: BTreeSet<ImageName>, digests: &[Digest]) -> Image {
    let reach = graph.reach(&root);
    let position = |digest: &Digest| {
        digests
            .binary_search(digest)
            .ok()
            .and_then(|at| u32::try_from(at).ok())
    };
    let mut platforms = Platforms {
        graph,
        seen: BTreeSet::new(),
        images: Vec::new(),
        created: None,
    };
    platforms.visit(&root, None);
    let Platforms {
        images, created, ..
    } = platforms;
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

/// Gathers the images for platforms that an image holds, each once, in the order of its indexes.
struct Platforms<'g, 'm> {
    graph: &'g Graph<'m>,
    seen: BTreeSet<&'g Digest>,
    images: Vec<PlatformImage>,
    /// When the newest of them was made.
    created: Option<Timestamp>,
}

impl<'g> Platforms<'g, '_> {
    /// Adds what `digest` holds; `told` is the platform that the index above gives to it.
    fn visit(&mut self, digest: &Digest, told: Option<&Platform>) {
        let graph: &'g Graph<'_> = self.graph;
        let Some((digest, node)) = graph
            .nodes_at(digest)
            .filter(|(digest, _)| self.seen.insert(digest))
        else {
            return;
        };
        match &node.body {
            NodeBody::Image(image) => {
                let known = image.known.as_deref();
                self.created = self.created.max(known.and_then(|known| known.created));
                let platform = told.or(known.map(|known| &known.platform));
                if let Some(platform) = platform.filter(|platform| platform.is_real()) {
                    let blobs = image
                        .config
                        .iter()
                        .chain(image.layers.iter().map(|layer| &layer.reach));
                    let size = blobs.map(|blob| blob.size).fold(0, u64::saturating_add);
                    self.images.push(PlatformImage {
                        platform: platform.clone(),
                        digest: digest.clone(),
                        size,
                    });
                }
            }
            NodeBody::Index(children) => {
                for child in children {
                    self.visit(&child.reach.digest, child.platform.as_ref());
                }
            }
        }
    }
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
