//! Turns what was read of one archive into what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::found::{Document, Found, Image, Lacking, PlatformImage, Role};
use super::graph::{Graph, MAX_REACH};
use super::members::Stored;
use super::names::{ImageName, Repository};
use super::node::{NodeBody, Reference};
use super::pending::Unhashed;
use super::problem::{Fault, Problems};
use crate::content::{Claim, Place, Source};
use crate::digest::Digest;
use crate::oci::Platform;

/// What is kept of an archive with the images `named`: their roots and names.
pub fn keep(
    graph: &Graph<'_>,
    mut named: BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) -> Found {
    cap_reach(graph, &mut named, problems);
    let sources = sources(graph);
    let mut found = Found {
        places: (sources.len() != 1).then(|| places(&sources)),
        lacking: lacking(graph),
        pending: pending(graph),
        damaged: graph.blobs.damaged().iter().cloned().collect(),
        sources,
        ..Found::default()
    };
    let (documents, references) = documents(graph, &found);
    (found.documents, found.references) = (documents.into(), references.into());
    found.referring = (0..)
        .zip(&found.documents)
        .filter(|(_, document)| document.referrer.is_some())
        .map(|(number, _)| number)
        .collect();
    let mut repositories = BTreeSet::new();
    found.images = named
        .into_iter()
        .map(|(root, names)| (root, shared(names, &mut repositories)))
        .map(|(root, names)| image(graph, &found, root, names))
        .collect();
    found
}

/// Leaves out images beyond the cap.
fn cap_reach(
    graph: &Graph<'_>,
    named: &mut BTreeMap<Digest, BTreeSet<ImageName>>,
    problems: &mut Problems,
) {
    // Most archives are far below it, whatever reaches what.
    let references: usize = graph
        .nodes()
        .map(|(_, node)| node.references().count())
        .sum();
    let given: usize = named.values().map(BTreeSet::len).sum();
    if (references + graph.nodes().count()).saturating_mul(given) <= MAX_REACH {
        return;
    }
    let mut total = 0;
    named.retain(|root, names| {
        if total > MAX_REACH {
            return false;
        }
        let repositories: BTreeSet<&Repository> =
            names.iter().map(|name| &name.repository).collect();
        total += graph.reach(root).len() * repositories.len();
        total <= MAX_REACH
    });
    if total > MAX_REACH {
        problems.add(&Fault::TooMany {
            what: "references to blobs",
            limit: MAX_REACH,
        });
    }
}

/// One source for each file that holds something.
fn sources(graph: &Graph<'_>) -> Box<[Arc<Source>]> {
    let mut claims: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
    let in_memory = graph.blobs.memory();
    // Whatever a member claims, what is in memory was hashed.
    let located = graph
        .blobs
        .located()
        .filter(|(digest, _)| !in_memory.contains_key(*digest));
    for (digest, stored) in located {
        let Stored { offset, size, .. } = stored;
        let place = if graph.is_document(digest) {
            Place::Document {
                offset,
                length: size,
            }
        } else {
            Place::Extent {
                offset,
                length: size,
            }
        };
        let digest = digest.clone();
        claims
            .entry(stored.file)
            .or_default()
            .push(Claim { digest, place });
    }
    // What no member holds is as good as its archive: it counts as part of the first file.
    let in_memory = in_memory.iter().map(|(digest, bytes)| Claim {
        digest: digest.clone(),
        place: Place::Memory(bytes.clone()),
    });
    for claim in in_memory {
        claims.entry(0).or_default().push(claim);
    }
    let source = |(file, claims): (usize, Vec<Claim>)| {
        let (location, identity) = &graph.blobs.members().files()[file];
        Arc::new(Source::new(location.clone(), *identity, claims))
    };
    claims.into_iter().map(source).collect()
}

fn pending(graph: &Graph<'_>) -> Box<[Unhashed]> {
    let unhashed = |(stored, diff_id): (Stored, &Digest)| {
        let (location, identity) = &graph.blobs.members().files()[stored.file];
        Unhashed::new(stored, location.clone(), *identity, diff_id.clone())
    };
    graph.blobs.pending().map(unhashed).collect()
}

/// Source and claim of everything in `sources`, sorted by digest.
fn places(sources: &[Arc<Source>]) -> Box<[(u32, u32)]> {
    let claims = (0..).zip(sources).flat_map(|(source, file)| {
        let claims = (0..).zip(file.claims());
        claims.map(move |(number, claim)| (claim.digest, (source, number)))
    });
    let mut places: Vec<(Digest, (u32, u32))> = claims.collect();
    places.sort();
    places.into_iter().map(|(_, place)| place).collect()
}

/// What documents refer to and the archive does not hold. Where they disagree about what it is, it is missed.
fn lacking(graph: &Graph<'_>) -> Box<[Lacking]> {
    let mut lacking: BTreeMap<&Digest, (u64, Role)> = BTreeMap::new();
    let references = graph.nodes().flat_map(|(_, node)| node.references());
    for Reference { digest, size, role } in references {
        if !graph.blobs.is_here(digest) {
            let (_, known) = lacking.entry(digest).or_insert((*size, *role));
            if *known == Role::Foreign || *role == Role::Manifest {
                *known = *role;
            }
        }
    }
    lacking
        .into_iter()
        .map(|(digest, (size, role))| Lacking {
            digest: digest.clone(),
            size,
            role,
        })
        .collect()
}

/// The documents, and what they refer to.
fn documents(graph: &Graph<'_>, found: &Found) -> (Vec<Document>, Vec<u32>) {
    let (mut documents, mut references) = (Vec::new(), Vec::new());
    for (digest, node) in graph.nodes() {
        let Some(position) = found.position(digest) else {
            continue;
        };
        let mut referred: Vec<u32> = node
            .references()
            .filter_map(|reference| found.position(&reference.digest))
            .collect();
        referred.sort_unstable();
        referred.dedup();
        documents.push(Document {
            position,
            media_type: node.media_type.clone(),
            references: count(&references),
            referrer: node.referrer.clone(),
        });
        references.append(&mut referred);
    }
    (documents, references)
}

/// There are caps far below on what is referred to.
fn count(references: &[u32]) -> u32 {
    u32::try_from(references.len()).unwrap_or(u32::MAX)
}

/// The same names, with those of one repository in the same memory.
fn shared(names: BTreeSet<ImageName>, repositories: &mut BTreeSet<Repository>) -> Box<[ImageName]> {
    let share = |name: ImageName| {
        if let Some(repository) = repositories.get(&name.repository).cloned() {
            return ImageName { repository, ..name };
        }
        repositories.insert(name.repository.clone());
        name
    };
    names.into_iter().map(share).collect()
}

fn image(graph: &Graph<'_>, found: &Found, root: Digest, names: Box<[ImageName]>) -> Image {
    let (platforms, created) = platforms(graph, &root);
    let sizes = found.reach([&root]).into_iter().map(|at| found.size(at));
    Image {
        names,
        created,
        platforms: platforms.into(),
        size: sizes.fold(0, u64::saturating_add),
        is_made: graph.is_made(&root),
        root,
    }
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
                    .map(|child| (&child.reference.digest, child.platform.as_ref()));
                pending.extend(children.rev());
            }
            NodeBody::Image(image) => {
                let known = image.known.as_deref();
                created = created.max(known.and_then(|known| known.created));
                let platform = told.or(known.map(|known| &known.platform));
                if let Some(platform) = platform.filter(|platform| platform.is_real()) {
                    images.push(PlatformImage {
                        platform: platform.shared(),
                        digest: digest.clone(),
                    });
                }
            }
        }
    }
    (images, created)
}
