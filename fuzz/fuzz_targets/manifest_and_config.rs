//! Manifests under any media type that a descriptor may tell, and image configurations.

#![no_main]

use libfuzzer_sys::fuzz_target;
use packageorigin::digest::Digest;
use packageorigin::oci::canonical::{self, Blob, Layer, Packing};
use packageorigin::oci::manifest::{Body, ManifestError};
use packageorigin::oci::media_type::Kind;
use packageorigin::oci::{Descriptor, ImageConfig, Manifest, MediaType};
use packageorigin_fuzz::json;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    // The first byte is the told type, or half of the input is.
    let (told, bytes) = match input.split_first() {
        Some((choice, rest)) => told(*choice, rest),
        None => (None, input),
    };
    if let Ok(manifest) = Manifest::parse(bytes, told.as_ref()) {
        check_manifest(&manifest, told.as_ref(), bytes);
        check_canonical(&manifest);
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        check_config(&config, bytes);
    }
});

fn told(choice: u8, rest: &[u8]) -> (Option<MediaType>, &[u8]) {
    let known = match choice {
        b'{' | b' ' => None,
        b'm' => Some(MediaType::OCI_MANIFEST),
        b'i' => Some(MediaType::OCI_INDEX),
        b'd' => Some(MediaType::DOCKER_MANIFEST),
        b'l' => Some(MediaType::DOCKER_LIST),
        b'c' => Some(MediaType::OCI_CONFIG),
        // Any other: the first line says which.
        _ => {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, rest) = rest.split_at(end.unwrap_or_default());
            return (Some(MediaType::new(&String::from_utf8_lossy(line))), rest);
        }
    };
    (known, rest)
}

fn check_manifest(manifest: &Manifest, told: Option<&MediaType>, bytes: &[u8]) {
    let kind = manifest
        .media_type
        .kind()
        .expect("it has a type that is served");
    let is_index = matches!(manifest.body, Body::Index { .. });
    assert_eq!(kind == Kind::Index, is_index);
    assert!(told.is_none_or(|told| *told == manifest.media_type));
    if let Some(document) = json::value(bytes) {
        check_document(manifest, &document);
    }
    check_other_types(manifest, bytes);
    let mut spaced = vec![b' '];
    spaced.extend(bytes);
    assert_same(manifest, Manifest::parse(&spaced, told));
}

/// It is not the other thing at the same time, and what was read stands in it.
fn check_document(manifest: &Manifest, document: &Value) {
    match &manifest.body {
        Body::Index { manifests } => {
            for key in ["config", "layers", "fsLayers"] {
                assert!(!json::has(document, key), "an index has {key}");
            }
            check_descriptors(manifests, &document["manifests"]);
        }
        Body::Image { config, layers } => {
            assert!(!json::has(document, "manifests"), "an image has manifests");
            check_descriptor(config, &document["config"]);
            check_descriptors(layers, &document["layers"]);
        }
    }
    if let Some(subject) = &manifest.subject {
        check_descriptor(subject, &document["subject"]);
    }
}

fn check_descriptors(read: &[Descriptor], values: &Value) {
    let values = values.as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(read.len(), values.len());
    for (descriptor, value) in read.iter().zip(values) {
        check_descriptor(descriptor, value);
    }
}

fn check_descriptor(descriptor: &Descriptor, value: &Value) {
    assert_eq!(value["digest"], descriptor.digest.as_str());
    assert_eq!(value["size"], descriptor.size);
}

/// The same bytes are never two things: under its own type it is the same, under any other it is nothing.
fn check_other_types(manifest: &Manifest, bytes: &[u8]) {
    assert_same(manifest, Manifest::parse(bytes, Some(&manifest.media_type)));
    let others = [
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
    ];
    for other in others {
        let is_index = matches!(manifest.body, Body::Index { .. });
        let would_be_index = other.kind() == Some(Kind::Index);
        if is_index == would_be_index {
            continue;
        }
        match Manifest::parse(bytes, Some(&other)) {
            // Without manifests, layers and config, a document may be anything.
            Ok(Manifest {
                body: Body::Index { manifests },
                ..
            }) => assert!(manifests.is_empty()),
            Ok(found) => panic!("as {other} it is {found:?}"),
            Err(_) => {}
        }
    }
}

fn assert_same(manifest: &Manifest, found: Result<Manifest, ManifestError>) {
    assert_eq!(
        format!("{:?}", found.expect("it was read before")),
        format!("{manifest:?}")
    );
}

/// The manifest that is made for an image like this one is read as that.
fn check_canonical(manifest: &Manifest) {
    let Body::Image { config, layers } = &manifest.body else {
        return;
    };
    let blob = |descriptor: &Descriptor| Blob {
        digest: Digest::sha256(descriptor.digest.as_bytes()),
        size: descriptor.size,
    };
    let packings = [Packing::Gzip, Packing::Plain, Packing::Zstd];
    let layers: Vec<Layer> = layers
        .iter()
        .map(|layer| Layer {
            blob: blob(layer),
            packing: packings[layer.urls.len() % packings.len()],
        })
        .collect();
    let config = blob(config);
    let (media_type, text) = canonical::manifest(&config, &layers);
    let made = Manifest::parse(text.as_bytes(), None).expect("it can be read");
    assert_eq!(made.media_type, media_type);
    let Body::Image {
        config: made_config,
        layers: made_layers,
    } = made.body
    else {
        panic!("it is an image");
    };
    let expected = std::iter::once(&config).chain(layers.iter().map(|layer| &layer.blob));
    for (found, expected) in std::iter::once(&*made_config)
        .chain(&made_layers)
        .zip(expected)
    {
        assert_eq!(found.digest, expected.digest.to_string());
        assert_eq!(found.size, expected.size);
    }
    assert_eq!(made_layers.len(), layers.len());
}

fn check_config(config: &ImageConfig, bytes: &[u8]) {
    let _ = (
        config.created(),
        config.platform.to_string(),
        config.platform.is_real(),
    );
    let Some(document) = json::value(bytes) else {
        return;
    };
    assert_eq!(word(&document["os"]), config.platform.os);
    assert_eq!(
        word(&document["architecture"]),
        config.platform.architecture
    );
    match config.diff_ids() {
        Some(read) => {
            let written = document["rootfs"]["diff_ids"].as_array();
            assert_eq!(read, written.map_or(&[][..], Vec::as_slice));
        }
        None => assert!(!json::has(&document, "rootfs")),
    }
}

/// A word of a platform. What is too long for one is none.
fn word(value: &Value) -> &str {
    let word = value.as_str().unwrap_or_default();
    if word.len() > 256 { "" } else { word }
}
