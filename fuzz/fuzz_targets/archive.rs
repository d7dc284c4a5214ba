//! The whole reader, on archives drawn from bytes and on bytes that are a tar already, in little memory.

#![no_main]

use std::alloc::System;
use std::cell::LazyCell;
use std::collections::BTreeMap;

use cap::Cap;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use packageorigin::archive::{self, Candidate, Found, Image, Problems, Stamp};
use packageorigin::content::Place;
use packageorigin::digest::Digest;
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
        let (found, problems) = read(scratch, &bytes);
        let held = check_sources(&found, &bytes);
        check_documents(&found, &held);
        for image in &found.images {
            check_image(image, &found, &held);
        }
        check_problems(problems);
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if drawn::is_tar(&data[..size]) {
        blocks::mutate(data, size, max_size, seed)
    } else {
        fuzzer_mutate(data, size, max_size)
    }
});

fn read(scratch: &Scratch, bytes: &[u8]) -> (Found, Problems) {
    let stamp = Stamp::File(*scratch.hold(bytes).identity());
    let location = scratch.location().clone();
    archive::read(&Candidate { location, stamp })
}

/// What the archive holds as each digest: the length, and whether it is known to be that.
type Held = BTreeMap<Digest, (u64, bool)>;

/// Every claim lies within the file, no two overlap but where they are the same, and what is known is right.
fn check_sources(found: &Found, bytes: &[u8]) -> Held {
    let claims = || found.sources.iter().flat_map(|source| source.claims());
    let mut held = Held::new();
    for claim in claims() {
        if let Place::Memory(made) = &claim.place {
            assert!(
                claim.digest.matches(made),
                "what was made is not {}",
                claim.digest
            );
            held.insert(claim.digest.clone(), (claim.len(), true));
        }
    }
    let mut extents = Vec::new();
    for claim in claims() {
        let (Place::Document { offset, length, .. } | Place::Extent { offset, length }) =
            claim.place
        else {
            continue;
        };
        let stored = part(bytes, offset, length);
        extents.push((offset, length));
        // Known: bytes that claim to be what was made here pass for a document, whatever they are.
        if held.contains_key(&claim.digest) {
            continue;
        }
        let is_document = matches!(claim.place, Place::Document { .. });
        assert!(
            !is_document || claim.digest.matches(stored),
            "a document is not {}",
            claim.digest
        );
        held.insert(claim.digest.clone(), (length, is_document));
    }
    check_disjoint(extents);
    held
}

fn part(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let end = offset.checked_add(length).expect("a claim ends somewhere");
    let range = usize::try_from(offset).unwrap()..usize::try_from(end).unwrap();
    bytes.get(range).expect("a claim lies within the file")
}

fn check_disjoint(mut extents: Vec<(u64, u64)>) {
    extents.sort_unstable();
    extents.dedup();
    for pair in extents.windows(2) {
        let [(offset, length), (next, _)] = pair else {
            continue;
        };
        assert!(offset + length <= *next, "two claims overlap");
    }
}

/// Documents are in order, and each is held in the length that it is said to have.
fn check_documents(found: &Found, held: &Held) {
    assert!(found.documents.is_sorted_by(|a, b| a.digest < b.digest));
    for document in &found.documents {
        // Known: a document is forgotten if all others that refer to it tell another length.
        let Some((length, is_known)) = held.get(&document.digest) else {
            continue;
        };
        assert!(is_known, "a document was not hashed");
        assert_eq!(*length, document.size);
        assert!(document.media_type.kind().is_some());
    }
}

fn check_image(image: &Image, found: &Found, held: &Held) {
    assert!(
        found.document(&image.root).is_some(),
        "an image is no document"
    );
    assert!(!image.names.is_empty(), "an image has no name");
    assert!(image.reach.is_sorted_by(|a, b| a < b));
    assert!(
        image
            .reach
            .iter()
            .all(|place| (*place as usize) < found.digests.len())
    );
    assert!(
        image.reaches(
            found
                .position(&image.root)
                .expect("an image reaches itself")
        )
    );
    for platform in &image.platforms {
        assert!(found.document(&platform.digest).is_some());
    }
    for absent in image.absent.manifests.iter().chain(&image.absent.blobs) {
        assert!(!held.contains_key(absent), "{absent} is here");
        assert!(image.reaches(found.position(absent).expect("it is reached")));
    }
}

/// Each is one line, however the archive is written.
fn check_problems(problems: Problems) {
    for problem in problems.into_vec() {
        let line = problem.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
