//! How a file is recognized when it is seen again.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};

use super::record::Key;
use crate::content::{FileSystem, Identity, Location, Place, Source};
use crate::digest::{Algorithm, Digest, Hasher};

/// Files whose numbers hold for good, by their identity.
const BY_IDENTITY: &[u8; 8] = b"origin-i";
/// Other files, by where they lie.
const BY_PATH: &[u8; 8] = b"origin-p";

const VERDICT: u8 = b'v';
const LAYER: u8 = b'l';

/// A layer whose digest nothing tells.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The file that holds it.
    pub location: Location,
    /// What that file must still be.
    pub identity: Identity,
    /// Where the layer begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The digest that the image says it has once it is decompressed.
    pub diff_id: Digest,
}

/// Makes marks, and asks each file system once what it can be relied on for. Not for long: another may be mounted.
#[derive(Debug, Default)]
pub(super) struct Marker {
    /// Whether the files of a device keep their numbers.
    devices: Mutex<BTreeMap<u64, bool>>,
}

/// A file and what must be the same of it, hashed.
pub(super) struct Mark(Hasher);

impl Marker {
    /// The mark of a file that was cataloged; none if it is not there any more.
    pub(super) fn of_source(&self, source: &Source) -> Option<Mark> {
        let (location, identity) = (source.location(), source.identity());
        if self.is_numbered(location, identity)? {
            return Some(Mark::by_identity(identity));
        }
        let mut mark = Mark::by_path(location, identity)?;
        mark.0.update(fingerprint(source).value());
        Some(mark)
    }

    /// The mark of the file with `layer`.
    pub(super) fn of_layer(&self, layer: &Layer) -> Option<Mark> {
        let Layer {
            location, identity, ..
        } = layer;
        if self.is_numbered(location, identity)? {
            return Some(Mark::by_identity(identity));
        }
        Mark::by_path(location, identity)
    }

    fn is_numbered(&self, location: &Location, identity: &Identity) -> Option<bool> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = devices.get(&identity.device()) {
            return Some(*known);
        }
        let is_numbered = FileSystem::at(&location.path()).ok()?.has_stable_inodes();
        devices.insert(identity.device(), is_numbered);
        Some(is_numbered)
    }
}

impl Mark {
    fn by_identity(identity: &Identity) -> Self {
        let mut state = Algorithm::Sha256.hasher();
        state.update(BY_IDENTITY);
        state.update(&identity.to_bytes());
        Self(state)
    }

    fn by_path(location: &Location, identity: &Identity) -> Option<Self> {
        // What is served as `images` here is another folder elsewhere.
        let path = location.path().canonicalize().ok()?;
        let path = path.as_os_str().as_bytes();
        let (seconds, nanoseconds) = identity.modified();
        let mut state = Algorithm::Sha256.hasher();
        state.update(BY_PATH);
        for number in [identity.size(), path.len() as u64] {
            state.update(&number.to_be_bytes());
        }
        for number in [seconds, nanoseconds] {
            state.update(&number.to_be_bytes());
        }
        state.update(path);
        Some(Self(state))
    }

    /// The key of the verdict that the bytes at `offset` have `digest`.
    pub(super) fn verdict(&self, offset: u64, length: u64, digest: &Digest) -> Key {
        self.key(VERDICT, offset, length, digest)
    }

    /// The key of the digest of `layer`.
    pub(super) fn layer(&self, layer: &Layer) -> Key {
        self.key(LAYER, layer.offset, layer.length, &layer.diff_id)
    }

    fn key(&self, kind: u8, offset: u64, length: u64, digest: &Digest) -> Key {
        let mut state = self.0.clone();
        state.update(&[kind]);
        state.update(&offset.to_be_bytes());
        state.update(&length.to_be_bytes());
        // Digests of other algorithms have other lengths.
        state.update(digest.value());
        let hash = state.finish();
        let first = hash.value().first_chunk().copied().unwrap_or_default();
        Key(u128::from_be_bytes(first))
    }
}

/// All that was read of a file: its documents were hashed, and what else it is said to hold was told by what was read.
fn fingerprint(source: &Source) -> Digest {
    let mut state = Algorithm::Sha256.hasher();
    for claim in source.claims() {
        let (Place::Document { offset, length } | Place::Extent { offset, length }) = claim.place
        else {
            // Made of what the others tell.
            continue;
        };
        state.update(claim.digest.value());
        state.update(&offset.to_be_bytes());
        state.update(&length.to_be_bytes());
    }
    state.finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::content::{Claim, File, Root};

    fn source(folder: &Path, text: &str, digest: &Digest) -> Arc<Source> {
        std::fs::write(folder.join("file"), text).unwrap();
        let location = Location::new(Root::new(folder), Path::new("file"));
        let identity = *File::open(&location).unwrap().identity();
        let (offset, length) = (0, text.len() as u64);
        let place = Place::Extent { offset, length };
        let digest = digest.clone();
        Arc::new(Source::new(
            location,
            identity,
            vec![Claim { digest, place }],
        ))
    }

    fn marker(device: u64, is_numbered: bool) -> Marker {
        Marker {
            devices: Mutex::new([(device, is_numbered)].into()),
        }
    }

    fn key(marker: &Marker, source: &Source) -> Key {
        let mark = marker.of_source(source).expect("the file is there");
        mark.verdict(0, 4, &Digest::sha256(b"blob"))
    }

    #[test]
    fn all_that_is_asked_for_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Digest::sha256(b"blob"), Digest::sha256(b"other"));
        let source = source(folder.path(), "blob", &a);
        let mark = Marker::default().of_source(&source).unwrap();
        let mut keys = vec![
            mark.verdict(0, 4, &a),
            mark.verdict(1, 4, &a),
            mark.verdict(0, 5, &a),
            mark.verdict(0, 4, &b),
            mark.verdict(0, 4, &Digest::of(Algorithm::Sha512, b"blob")),
        ];
        let layer = Layer {
            location: source.location().clone(),
            identity: *source.identity(),
            offset: 0,
            length: 4,
            diff_id: a.clone(),
        };
        keys.push(Marker::default().of_layer(&layer).unwrap().layer(&layer));
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "each is remembered for itself");
        let again = Marker::default().of_source(&source).unwrap();
        assert_eq!(again.verdict(0, 4, &a), mark.verdict(0, 4, &a));
    }

    #[test]
    fn where_numbers_hold_the_path_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let first = source(folder.path(), "blob", &digest);
        let marker = marker(first.identity().device(), true);
        let known = key(&marker, &first);
        let place = first.claim(0).place;
        let renamed = |identity| {
            let location = Location::new(Root::new(folder.path()), Path::new("renamed"));
            let claims = vec![
                first.claim(0),
                Claim {
                    digest: Digest::sha256(b"more"),
                    place: place.clone(),
                },
            ];
            Source::new(location, identity, claims)
        };
        assert_eq!(key(&marker, &renamed(*first.identity())), known);
        // The same text in another file.
        std::fs::remove_file(folder.path().join("file")).unwrap();
        let second = source(folder.path(), "blob", &digest);
        assert_ne!(first.identity(), second.identity());
        assert_ne!(key(&marker, &second), known);
    }

    #[test]
    fn where_they_do_not_it_is_known_by_its_path_and_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let set_time = |seconds| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let path = folder.path().join("file");
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        let again = |source: &Source, claims: Vec<Claim>| {
            let identity = *File::open(source.location()).unwrap().identity();
            Source::new(source.location().clone(), identity, claims)
        };
        let first = source(folder.path(), "blob", &digest);
        let marker = marker(first.identity().device(), false);
        set_time(1_000);
        let first = again(&first, first.claims().collect());
        let known = key(&marker, &first);
        // Another file with the same times, as after the next mount.
        std::fs::remove_file(folder.path().join("file")).unwrap();
        let second = source(folder.path(), "blob", &digest);
        set_time(1_000);
        let second = again(&second, second.claims().collect());
        assert_ne!(first.identity(), second.identity());
        assert_eq!(key(&marker, &second), known);
        // What was read of it is something else.
        let mut claims: Vec<Claim> = second.claims().collect();
        claims[0].digest = Digest::sha256(b"other");
        assert_ne!(key(&marker, &again(&second, claims)), known);
        // It was written to.
        set_time(1_002);
        let touched = again(&second, second.claims().collect());
        assert_ne!(key(&marker, &touched), known);
        // It lies elsewhere.
        let other = tempfile::tempdir().unwrap();
        let elsewhere = source(other.path(), "blob", &digest);
        let path = other.path().join("file");
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000))
            .unwrap();
        let elsewhere = again(&elsewhere, elsewhere.claims().collect());
        assert_ne!(key(&marker, &elsewhere), known);
        // It is gone.
        std::fs::remove_file(folder.path().join("file")).unwrap();
        assert!(marker.of_source(&second).is_none());
    }
}
