//! What the cache knows of an archive, and what it is told.

use std::time::SystemTime;

use super::Archive;
use crate::archive::{Found, Unhashed};
use crate::cache::{Cache, Hints, Layer};
use crate::digest::Digest;

/// `archive` with all that is known of it: read again if digests are known that it does not tell itself.
pub(super) fn recall(mut archive: Archive, hints: Option<&Hints<'_>>) -> Archive {
    let Some(hints) = hints else {
        return archive;
    };
    let pending = archive.found.pending.iter();
    let known = |layer: &Unhashed| Some((layer.clone(), hints.digest(&named(layer))?.clone()));
    let known: Vec<(Unhashed, Digest)> = pending.filter_map(known).collect();
    if !known.is_empty() {
        archive = with(&archive, &known);
    }
    for source in &archive.found.sources {
        hints.recall(source);
    }
    archive
}

/// `archive` as it is read with the digests of these of its layers, which have been hashed to learn them.
pub(super) fn with(archive: &Archive, layers: &[(Unhashed, Digest)]) -> Archive {
    let mut learned = archive.learned.clone();
    for (layer, digest) in layers {
        learned.insert(layer, digest.clone());
    }
    let archive = archive.read_again(learned);
    for (layer, digest) in layers {
        believe(&archive.found, layer, digest);
    }
    archive
}

/// What was hashed once need not be hashed again.
fn believe(found: &Found, layer: &Unhashed, digest: &Digest) {
    if let Some(position) = found.position(digest) {
        let copies = found.copies(position);
        copies
            .filter(|copy| layer.is(copy))
            .for_each(|copy| copy.believe());
    }
}

/// Tells `cache` the digest of `layer`, which began to be hashed at `began`.
pub(super) fn remember(cache: &Cache, layer: &Unhashed, digest: &Digest, began: SystemTime) {
    cache.learned(named(layer), digest.clone(), began);
}

/// What the cache calls a layer.
fn named(layer: &Unhashed) -> Layer {
    let (location, identity, offset) = layer.place();
    Layer {
        location: location.clone(),
        identity: *identity,
        offset,
        length: layer.size(),
        diff_id: layer.diff_id().clone(),
    }
}
