//! The entries of an `index.json`, what they say about names, and indexes as documents.

#![no_main]

use libfuzzer_sys::fuzz_target;
use packageorigin::archive::names::{self, About, ImageName, Written};
use packageorigin::digest::Digest;
use packageorigin::oci::manifest::{self, Body, MAX_ENTRIES};
use packageorigin::oci::{Descriptor, Manifest, MediaType, Reference};
use packageorigin_fuzz::json;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let mut read = Vec::new();
    let entries = manifest::for_each_entry(bytes, |entry| read.push(entry))
        .is_ok()
        .then_some(read);
    if let Some(entries) = &entries {
        check_entries(entries, bytes);
        for entry in entries.iter().flatten() {
            check_names(entry);
        }
    }
    for told in [
        None,
        Some(&MediaType::OCI_INDEX),
        Some(&MediaType::DOCKER_LIST),
    ] {
        let Ok(Manifest {
            body: Body::Index { manifests },
            ..
        }) = Manifest::parse(bytes, told)
        else {
            continue;
        };
        let entries = entries.as_ref().expect("an index has entries");
        let of_index = manifests.iter().map(place);
        let of_entries = entries
            .iter()
            .map(|entry| place(entry.as_ref().expect("an entry")));
        assert!(of_index.eq(of_entries), "an index and its entries differ");
    }
});

fn place(descriptor: &Descriptor) -> (&str, u64, Option<&MediaType>) {
    (
        &descriptor.digest,
        descriptor.size,
        descriptor.media_type.as_ref(),
    )
}

/// What was read stands in the document.
fn check_entries(entries: &[Result<Descriptor, serde_json::Error>], bytes: &[u8]) {
    let Some(document) = json::value(bytes) else {
        return;
    };
    let values = document["manifests"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    assert_eq!(entries.len(), values.len().min(MAX_ENTRIES + 1));
    for (entry, value) in entries.iter().zip(values) {
        if let Ok(entry) = entry {
            check_entry(entry, value);
        }
    }
}

fn check_entry(entry: &Descriptor, value: &Value) {
    assert_eq!(value["digest"], entry.digest.as_str());
    assert_eq!(value["size"], entry.size);
    let told = value["mediaType"].as_str().filter(|told| !told.is_empty());
    assert_eq!(entry.media_type.as_ref().map(MediaType::as_str), told);
    for (key, text) in &entry.annotations {
        assert_eq!(value["annotations"][key], text.as_str());
    }
    if let Ok(digest) = entry.digest() {
        assert_eq!(digest.to_string(), entry.digest);
    }
}

/// Whatever annotations say becomes names that clients can ask for, or nothing.
fn check_names(entry: &Descriptor) {
    let digest = entry.digest().unwrap_or_else(|_| Digest::sha256(b""));
    match names::annotated(entry, &digest) {
        Ok(Written::Full(ImageName { repository, tag })) => {
            let host = repository.host.expect("a full name has a host");
            let reference = Reference {
                host,
                path: repository.path,
                tag,
                digest: None,
            };
            packageorigin_fuzz::names::check_reference(&reference);
        }
        Ok(Written::Tag(tag)) => assert_eq!(tag.as_str().parse().as_ref(), Ok(&tag)),
        Ok(Written::Nothing) | Err(_) => {}
    }
    let _ = (
        names::kind(entry),
        names::has_image_name(entry),
        About::of(entry),
    );
    if let Some(repository) = names::source_repository(entry) {
        packageorigin_fuzz::names::check_host(&repository.host.expect("it was pulled from a host"));
        packageorigin_fuzz::names::check_name(&repository.path);
    }
}
