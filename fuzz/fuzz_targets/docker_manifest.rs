//! The items of a Docker archive's `manifest.json`.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use packageorigin::archive::Problems;
use packageorigin::archive::docker::{self, Config, Item, Kind, MAX_ITEMS};
use packageorigin::archive::members::Members;
use packageorigin_fuzz::{Scratch, blocks, json};
use serde_json::Value;

const NAME: &str = "manifest.json";

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(Scratch::new);
}

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with(|scratch| check(&members(scratch, bytes), bytes));
});

/// An archive with nothing but the `manifest.json` that is tested.
fn members(scratch: &Scratch, bytes: &[u8]) -> Members {
    let file = scratch.hold(&blocks::tar(&[(NAME, bytes)]));
    let mut problems = Problems::of(&scratch.location().path());
    let members = Members::of_tar(scratch.location(), file, &mut problems);
    assert!(problems.is_empty());
    members.expect("a tar of one file")
}

fn check(members: &Members, bytes: &[u8]) {
    let kind = docker::kind_of_manifest(members, NAME);
    let mut items = Vec::new();
    if docker::for_each_item(bytes, |item| items.push(item)).is_err() {
        return;
    }
    let white = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
    assert!(
        items.is_empty() || kind == Some(Kind::Array) || white.count() >= 64,
        "it has items and is no list of images"
    );
    // What another reader of JSON makes of the same bytes.
    let Some(values) = json::elements(bytes) else {
        return;
    };
    assert_eq!(items.len(), values.len().min(MAX_ITEMS + 1));
    for (item, value) in items.iter().zip(values) {
        if let Ok(item) = item {
            check_item(item, &value);
            // Nothing but this document is there, so whatever it names is missing or no configuration.
            for folder in ["", "a/b/"] {
                let stored = docker::locate(members, folder, &item.config);
                let _ = stored.and_then(|stored| Config::read(members, stored));
            }
        }
    }
}

fn check_item(item: &Item, value: &Value) {
    assert_eq!(value["Config"], item.config.as_str());
    let tags = value["RepoTags"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(tags, item.repo_tags);
    let layers = value["Layers"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(layers, item.layers);
    let _ = item.has_sources_by_digest(&item.layers);
}
