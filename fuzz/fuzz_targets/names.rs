//! Names of all kinds: what is read from a text gives the same text, and from that the same name.

#![no_main]

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use packageorigin::archive::names::{self, ImageName, Written};
use packageorigin::archive::problem::Printable;
use packageorigin::digest::{Algorithm, Digest};
use packageorigin::oci::version::{compare_file_names, newest_first};
use packageorigin::oci::{Host, MediaType, Name, Platform, Reference, Tag, Version};
use packageorigin_fuzz::names::{check_host, check_name, check_reference, check_tag};

fuzz_target!(|bytes: &[u8]| {
    check_path(Path::new(OsStr::from_bytes(bytes)));
    let text = String::from_utf8_lossy(bytes);
    check_parts(&text);
    check_digest(&text);
    check_full(&text);
    check_printable(&text);
    let lines: Vec<&str> = text.lines().take(3).collect();
    if let [first, second, third] = lines[..] {
        check_order(newest_first, first, second, third);
        check_order(compare_file_names, first, second, third);
    }
});

fn check_parts(text: &str) {
    if let Ok(reference) = text.parse::<Reference>() {
        check_reference(&reference);
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        check_name(&name);
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        check_tag(&tag);
        if let Some(subject) = names::fallback_subject(&tag) {
            assert_eq!(subject.to_string(), text.replacen('-', ":", 1));
        }
    }
    if let Ok(host) = text.parse::<Host>() {
        check_host(&host);
    }
    assert_eq!(MediaType::new(text).as_str(), text);
    if let Some(version) = Version::parse(text) {
        assert_eq!(version, version.clone());
    }
    let platform = Platform {
        os: text.to_owned(),
        ..Platform::default()
    };
    assert!(!platform.is_real());
}

fn check_digest(text: &str) {
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, text.as_bytes());
        assert!(digest.matches(text.as_bytes()));
        assert_eq!(digest.to_string().parse().as_ref(), Ok(&digest));
        check_tags_about(&digest);
        if let Ok(digest) = Digest::from_hex(algorithm, text) {
            assert_eq!(digest.to_string(), format!("{}:{text}", algorithm.name()));
        }
    }
}

/// What an archive writes as a full name is one that clients can ask for.
fn check_full(text: &str) {
    let named = text
        .split_once('@')
        .and_then(|(_, digest)| digest.parse().ok());
    let digest = named.unwrap_or_else(|| Digest::sha256(text.as_bytes()));
    if let Ok(Written::Full(ImageName { repository, tag })) = names::full(text, &digest) {
        let host = repository.host.expect("a full name has a host");
        check_reference(&Reference {
            host,
            path: repository.path,
            tag,
            digest: None,
        });
    }
}

/// A name that is made from a path is a name, and is the name of that name's path.
fn check_path(path: &Path) {
    if let Some(synced) = names::from_synced_path(path) {
        let ImageName { repository, tag } = synced.name;
        assert_eq!(synced.is_pinned, tag.is_none());
        check_host(&repository.host.expect("a synced path begins with a host"));
        check_name(&repository.path);
    }
    let Some(made) = names::from_path(path) else {
        return;
    };
    let ImageName { repository, tag } = made.name;
    assert_eq!(repository.host, None);
    check_name(&repository.path);
    if let Some(tag) = tag {
        check_tag(&tag);
    }
    let text = repository.path.as_str();
    if !names::is_archive_name(text) {
        let again = names::from_path(Path::new(text)).map(|again| again.name.repository);
        assert_eq!(again.as_ref(), Some(&repository), "{}", path.display());
    }
}

/// A tag that names a digest gives that digest, and only then.
fn check_tags_about(digest: &Digest) {
    let tag = names::tag_about(digest, "sig").map(|tag| tag.as_str().replace(".sig", ""));
    let plain = tag.and_then(|tag| tag.parse().ok());
    let is_short = digest.algorithm() == Algorithm::Sha256;
    assert_eq!(
        plain.is_some(),
        is_short,
        "a tag has room for a short digest only"
    );
    assert_eq!(
        plain.and_then(|tag| names::fallback_subject(&tag)),
        is_short.then(|| digest.clone())
    );
}

/// Whatever an archive says can be shown on one line and moves no cursor.
fn check_printable(text: &str) {
    let shown = Printable(text).to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
}

fn check_order(compare: fn(&str, &str) -> Ordering, first: &str, second: &str, third: &str) {
    assert_eq!(compare(first, second), compare(second, first).reverse());
    assert_eq!(compare(first, second).is_eq(), first == second);
    if compare(first, second).is_le() && compare(second, third).is_le() {
        assert!(
            compare(first, third).is_le(),
            "{first:?} {second:?} {third:?}"
        );
    }
}
