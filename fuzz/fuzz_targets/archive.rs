//! The whole reader, on archives drawn from bytes and on bytes that are a tar already, in little memory.

#![no_main]

use std::alloc::System;
use std::cell::LazyCell;

use cap::Cap;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use packageorigin::archive::{self, Candidate, Found, Image, Learned, Problems, Stamp};
use packageorigin::content::Place;
use packageorigin_fuzz::{Scratch, archive as drawn, blocks};

/// The process is ended by the allocation that would pass it.
const MEMORY: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY);

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(Scratch::new);
}

fuzz_target!(|input: &[u8]| {
    let bytes = drawn::of(input);
    SCRATCH.with(|scratch| {
        let stamp = Stamp::File(*scratch.hold(&bytes).identity());
        let location = scratch.location().clone();
        let candidate = Candidate { location, stamp };
        let mut learned = Learned::default();
        let found = read(&candidate, &learned, &bytes);
        if found.pending.is_empty() {
            return;
        }
        for unhashed in &found.pending {
            learned.insert(unhashed, unhashed.hash().expect("it lies in the file"));
        }
        let found = read(&candidate, &learned, &bytes);
        assert!(found.pending.is_empty(), "what was hashed is pending");
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if drawn::is_tar(&data[..size]) {
        blocks::mutate(data, size, max_size, seed)
    } else {
        fuzzer_mutate(data, size, max_size)
    }
});

fn read(candidate: &Candidate, learned: &Learned, bytes: &[u8]) -> Found {
    let (found, problems) = archive::read(candidate, learned);
    check_sources(&found, bytes);
    check_positions(&found);
    check_documents(&found, bytes);
    for image in &found.images {
        check_image(image, &found);
    }
    check_problems(problems);
    found
}

/// Every claim lies within the file, and no two overlap but where they are the same.
fn check_sources(found: &Found, bytes: &[u8]) {
    let mut extents = Vec::new();
    for claim in found.sources.iter().flat_map(|source| source.claims()) {
        let stored = stored(&claim.place, bytes);
        assert_eq!(claim.len(), stored.len() as u64);
        match &claim.place {
            Place::Memory(_) => assert!(claim.digest.matches(stored), "what was made is wrong"),
            Place::Document { offset, length } | Place::Extent { offset, length } => {
                extents.push((*offset, *length));
            }
        }
    }
    check_disjoint(extents);
}

fn stored<'b>(place: &'b Place, bytes: &'b [u8]) -> &'b [u8] {
    match place {
        Place::Memory(made) => made,
        Place::Document { offset, length } | Place::Extent { offset, length } => {
            part(bytes, *offset, *length)
        }
    }
}

fn part(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let end = offset.checked_add(length).expect("a claim ends somewhere");
    let place = |at| usize::try_from(at).expect("memory has room for the file");
    bytes
        .get(place(offset)..place(end))
        .expect("a claim lies within the file")
}

fn check_disjoint(mut extents: Vec<(u64, u64)>) {
    extents.sort_unstable();
    extents.dedup();
    for (first, second) in extents.iter().zip(extents.iter().skip(1)) {
        assert!(first.0 + first.1 <= second.0, "two claims overlap");
    }
}

/// What is held or lacking is found by its digest, and nothing is both.
fn check_positions(found: &Found) {
    for place in 0..positions(found) {
        let digest = found.digest(place);
        let first = found.position(&digest).expect("it has a position");
        assert!(first <= place);
        assert_eq!(found.digest(first), digest);
        assert_eq!(
            found.lacking_at(first).is_some(),
            found.lacking_at(place).is_some()
        );
        assert_eq!(
            found.copies(place).next().is_none(),
            found.lacking_at(place).is_some()
        );
    }
}

fn positions(found: &Found) -> u32 {
    u32::try_from(found.positions()).expect("a small archive")
}

/// Documents are in order, the first copy of each was hashed, and they refer to what has a position.
fn check_documents(found: &Found, bytes: &[u8]) {
    assert!(found.documents.is_sorted_by(|a, b| a.position < b.position));
    for document in &found.documents {
        let digest = found.digest(document.position);
        assert_eq!(found.position(&digest), Some(document.position));
        let copy = found.copies(document.position).next();
        let copy = copy.expect("a document is held");
        assert!(
            digest.matches(stored(&copy.claim().place, bytes)),
            "a document is not {digest}"
        );
        assert!(document.media_type.kind().is_some());
        let references = found.references(document);
        assert!(references.is_sorted_by(|a, b| a < b));
        assert!(references.iter().all(|place| *place < positions(found)));
    }
    let referring = found.referring();
    assert!(
        referring
            .into_iter()
            .all(|(_, document)| document.referrer.is_some())
    );
}

fn check_image(image: &Image, found: &Found) {
    assert!(
        found.document(&image.root).is_some(),
        "an image is no document"
    );
    assert!(!image.names.is_empty(), "an image has no name");
    let reached = found.reach([&image.root]);
    let root = found
        .position(&image.root)
        .expect("an image has a position");
    assert!(reached.contains(&root), "an image does not reach itself");
    for platform in &image.platforms {
        assert!(found.document(&platform.digest).is_some());
        let place = found
            .position(&platform.digest)
            .expect("a platform has a position");
        assert!(
            reached.contains(&place),
            "an image does not reach its platform"
        );
    }
}

/// Each is one line, however the archive is written.
fn check_problems(problems: Problems) {
    for problem in problems.into_vec() {
        let line = problem.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
