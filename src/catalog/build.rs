//! Makes a snapshot of archives: a pure function of their content and names, in which what did not change is taken
//! over from the snapshot before.
//!
//! Same files, same answers: ties are broken by what stands in the images and in file names, never by when a file was
//! written, and never by what was served before.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::blobs::BlobMap;
use super::names::{Names, Shadowed};
use super::repository::{self, Builder, ImageRef, Named, Repository};
use super::snapshot::Snapshot;
use super::{Archive, Options, Stock};
use crate::archive::{Fault, Image, Problem, Repository as Key, Role};
use crate::content::{Claim, Place, Verdict};

/// The snapshot of what is on `stock`, after `previous`.
pub(super) fn snapshot(previous: &Snapshot, stock: &Stock, options: Options) -> Snapshot {
    let archives = &stock.archives[..];
    let mut problems = stock.problems.clone();
    let change = Change::between(&previous.archives, archives);
    let blobs = previous
        .blobs
        .updated(|archive| change.keeps(archive), &change.added);
    let builder = Builder {
        blobs: &blobs,
        options,
    };
    let repositories = repositories(previous, archives, &change, &builder);
    let (names, shadowed) = Names::of(&repositories);
    let ambiguities = shadowed
        .iter()
        .filter_map(|shadowed| ambiguity(shadowed, &repositories));
    problems.extend(ambiguities);
    problems.extend(
        archives
            .iter()
            .flat_map(|archive| incomplete(archive, &blobs)),
    );
    problems.extend(archives.iter().flat_map(|archive| faulty(archive)));
    let of_archives = archives.iter().flat_map(|archive| &archive.problems);
    let of_repositories = repositories
        .iter()
        .flat_map(|repository| repository.problems.iter());
    problems.extend(of_archives.chain(of_repositories).cloned());
    problems.sort();
    problems.dedup();
    Snapshot {
        repositories,
        names,
        blobs,
        problems: problems.into(),
        archives: archives.into(),
        lost: stock.lost.clone().into(),
    }
}

/// Of one archive at most so many incomplete images are told.
const MAX_INCOMPLETE: usize = 100;

/// What is different between two lists of archives.
struct Change {
    kept: HashSet<*const Archive>,
    removed: Vec<Arc<Archive>>,
    added: Vec<Arc<Archive>>,
}

impl Change {
    fn between(before: &[Arc<Archive>], after: &[Arc<Archive>]) -> Self {
        let all = |archives: &[Arc<Archive>]| archives.iter().map(Arc::as_ptr).collect();
        let (known, now): (HashSet<_>, HashSet<_>) = (all(before), all(after));
        let without = |archives: &[Arc<Archive>], others: &HashSet<*const Archive>| {
            let mut rest = archives.to_vec();
            rest.retain(|archive| !others.contains(&Arc::as_ptr(archive)));
            rest
        };
        Self {
            removed: without(before, &now),
            added: without(after, &known),
            kept: known.intersection(&now).copied().collect(),
        }
    }

    fn keeps(&self, archive: &Arc<Archive>) -> bool {
        self.kept.contains(&Arc::as_ptr(archive))
    }

    /// The repositories that the archives which came or went put images into.
    fn concerns(&self) -> HashSet<&Key> {
        let changed = self.removed.iter().chain(&self.added);
        let images = changed.flat_map(|archive| archive.found.images.iter());
        images
            .flat_map(|image| image.names.iter().map(|name| &name.repository))
            .collect()
    }
}

/// All repositories, sorted; those that the change does not concern are the ones of `previous`.
fn repositories(
    previous: &Snapshot,
    archives: &[Arc<Archive>],
    change: &Change,
    builder: &Builder<'_>,
) -> Box<[Arc<Repository>]> {
    let mut concerned = change.concerns();
    // Whatever lacks manifests may be completed by any archive, or not any more.
    let sparse = previous
        .repositories
        .iter()
        .filter(|repository| repository.is_sparse);
    concerned.extend(sparse.map(|repository| &repository.key));
    let mut named: BTreeMap<&Key, Vec<Named<'_>>> = BTreeMap::new();
    for archive in archives {
        for (number, image) in (0..).zip(&archive.found.images) {
            for name in &image.names {
                if let Some(key) = concerned.get(&name.repository) {
                    let image = ImageRef {
                        archive: Arc::clone(archive),
                        number,
                    };
                    named
                        .entry(key)
                        .or_default()
                        .push((image, name.tag.as_ref()));
                }
            }
        }
    }
    let rebuilt = named
        .into_iter()
        .map(|(key, named)| Arc::new(builder.repository(key, &named)));
    let kept = previous
        .repositories
        .iter()
        .filter(|repository| !concerned.contains(&repository.key))
        .cloned();
    let mut repositories: Vec<Arc<Repository>> = kept.chain(rebuilt).collect();
    // Two sorted runs.
    repositories.sort_by(|a, b| a.key.cmp(&b.key));
    repositories.into()
}

fn ambiguity(shadowed: &Shadowed, repositories: &[Arc<Repository>]) -> Option<Problem> {
    let loser = &repositories[shadowed.repository];
    let fault = Fault::Ambiguous {
        bare: shadowed.bare.clone(),
        shadowed: repository::full_name(&loser.key),
        chosen: repository::full_name(&repositories[shadowed.by].key),
    };
    let first = loser.images.first()?;
    Some(Problem::new(first.archive.path(), &fault))
}

/// Of one archive at most so many faulty blobs are told.
const MAX_FAULTY: usize = 1000;

/// What lies in `archive` and is not what its digest names, or cannot be read.
fn faulty(archive: &Archive) -> Vec<Problem> {
    let sources = archive.found.sources.iter();
    let faults = sources.flat_map(|source| {
        let path = source.location().path();
        source.faulty().filter_map(move |(claim, verdict)| {
            let fault = fault(claim, verdict)?;
            Some(Problem::new(path.clone(), &fault))
        })
    });
    let mut problems: Vec<Problem> = faults.take(MAX_FAULTY + 1).collect();
    if problems.len() > MAX_FAULTY {
        let (what, limit) = ("faulty blobs", MAX_FAULTY);
        problems[MAX_FAULTY] = Problem::new(archive.path(), &Fault::TooMany { what, limit });
    }
    problems
}

fn fault(claim: Claim, verdict: Verdict) -> Option<Fault> {
    let Claim { digest, place } = claim;
    // All else is hashed before it is sent.
    let Place::Extent { offset, .. } = place else {
        return None;
    };
    match verdict {
        Verdict::Quarantined => Some(Fault::Corrupt { digest, offset }),
        Verdict::Unreadable => Some(Fault::UnreadableBlob { digest, offset }),
        Verdict::Claimed | Verdict::Verified => None,
    }
}

/// What images of `archive` reach and no archive at all holds.
fn incomplete(archive: &Archive, blobs: &BlobMap) -> Vec<Problem> {
    let found = &archive.found;
    if found.lacking.is_empty() {
        return Vec::new();
    }
    let problem = |image: &Image| {
        let (mut missing_manifests, mut missing_blobs) = (0, 0);
        for position in found.reach([&image.root]) {
            match found.lacking_at(position) {
                Some(lacking) if !blobs.contains(&lacking.digest, lacking.size) => {
                    match lacking.role {
                        Role::Manifest => missing_manifests += 1,
                        Role::Blob => missing_blobs += 1,
                        Role::Foreign => {}
                    }
                }
                _ => {}
            }
        }
        let tagged = image
            .names
            .iter()
            .find_map(|name| Some((name, name.tag.as_ref()?)));
        let fault = Fault::Incomplete {
            image: match tagged {
                Some((name, tag)) => format!("{}:{tag}", repository::full_name(&name.repository)),
                None => image.root.to_string(),
            },
            manifests: missing_manifests,
            blobs: missing_blobs,
        };
        (missing_manifests + missing_blobs > 0).then(|| Problem::new(archive.path(), &fault))
    };
    let problems = found.images.iter().filter_map(problem);
    problems.take(MAX_INCOMPLETE).collect()
}
