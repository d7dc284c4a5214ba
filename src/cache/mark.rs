//! How a file is recognized when it is seen again.

use std::os::unix::ffi::OsStrExt as _;

use super::record::Key;
use crate::content::{Identity, Location, Place, Source};
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

/// A file and what must be the same of it, hashed.
pub(super) struct Mark(Hasher);

impl Mark {
    /// The mark of a file that was cataloged; none if it is not there any more.
    pub(super) fn of_source(source: &Source) -> Option<Self> {
        let (location, identity) = (source.location(), source.identity());
        Self::by_identity(identity).or_else(|| {
            let mut mark = Self::by_path(location, identity)?;
            mark.0.update(fingerprint(source).value());
            Some(mark)
        })
    }

    /// The mark of the file with `layer`.
    pub(super) fn of_layer(layer: &Layer) -> Option<Self> {
        let Layer {
            location, identity, ..
        } = layer;
        Self::by_identity(identity).or_else(|| Self::by_path(location, identity))
    }

    fn by_identity(identity: &Identity) -> Option<Self> {
        let mut state = Algorithm::Sha256.hasher();
        state.update(BY_IDENTITY);
        state.update(&identity.to_bytes()?);
        Some(Self(state))
    }

    /// For file systems that give the same file another number each time they are mounted.
    fn by_path(location: &Location, identity: &Identity) -> Option<Self> {
        // What is served as `images` here is another folder elsewhere.
        let path = location.path().canonicalize().ok()?;
        let path = path.as_os_str().as_bytes();
        let mut state = Algorithm::Sha256.hasher();
        state.update(BY_PATH);
        for number in [identity.size(), path.len() as u64] {
            state.update(&number.to_be_bytes());
        }
        for (seconds, nanoseconds) in [identity.modified(), identity.changed()] {
            state.update(&seconds.to_be_bytes());
            state.update(&nanoseconds.to_be_bytes());
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
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::content::{Claim, File, FileSystem, Root};

    /// A file of `text`, all of which is claimed to be [`blob`].
    fn source(path: &Path, text: &str) -> Source {
        fs::write(path, text).unwrap();
        let location = Location::new(Root::new(path), Path::new(""));
        let identity = *File::open(&location).unwrap().identity();
        let (offset, length) = (0, text.len() as u64);
        let place = Place::Extent { offset, length };
        let digest = blob();
        Source::new(location, identity, vec![Claim { digest, place }])
    }

    fn blob() -> Digest {
        Digest::sha256(b"blob")
    }

    fn key(source: &Source) -> Key {
        let mark = Mark::of_source(source).expect("the file is there");
        mark.verdict(0, 4, &blob())
    }

    #[test]
    fn all_that_is_asked_for_counts() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(&folder.path().join("file"), "blob");
        let mark = Mark::of_source(&source).unwrap();
        let other = Digest::sha256(b"other");
        let layer = Layer {
            location: source.location().clone(),
            identity: *source.identity(),
            offset: 0,
            length: 4,
            diff_id: blob(),
        };
        let mut keys = vec![
            mark.verdict(0, 4, &blob()),
            mark.verdict(1, 4, &blob()),
            mark.verdict(0, 5, &blob()),
            mark.verdict(0, 4, &other),
            mark.verdict(0, 4, &Digest::of(Algorithm::Sha512, b"blob")),
            Mark::of_layer(&layer).unwrap().layer(&layer),
        ];
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "each is remembered for itself");
        assert_eq!(key(&source), mark.verdict(0, 4, &blob()));
    }

    #[test]
    fn where_numbers_hold_the_path_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let first = source(&path, "blob");
        let known = key(&first);
        let location = Location::new(Root::new("elsewhere"), Path::new(""));
        let moved = Source::new(location, *first.identity(), first.claims().collect());
        assert_eq!(key(&moved), known);
        fs::rename(&path, folder.path().join("kept")).unwrap();
        assert_ne!(key(&source(&path, "blob")), known, "it is another file");
    }

    /// The file of `source` as a file system shows it whose numbers do not last.
    fn numberless(source: &Source, claims: Vec<Claim>) -> Source {
        let metadata = fs::metadata(source.location().path()).unwrap();
        let identity = Identity::of(&metadata, FileSystem::UNKNOWN);
        Source::new(source.location().clone(), identity, claims)
    }

    /// A file with this time of modification, on such a file system.
    fn dated(path: &Path, text: &str, seconds: u64) -> Source {
        let source = source(path, text);
        let file = fs::File::options().write(true).open(path).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
        numberless(&source, source.claims().collect())
    }

    #[test]
    fn where_they_do_not_it_is_known_by_its_path_and_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let same = dated(&path, "blob", 1000);
        let known = key(&same);
        assert_eq!(key(&numberless(&same, same.claims().collect())), known);
        let mut claims: Vec<Claim> = same.claims().collect();
        claims[0].digest = Digest::sha256(b"other");
        assert_ne!(
            key(&numberless(&same, claims)),
            known,
            "other things were read"
        );
        assert_ne!(key(&dated(&path, "blob", 1002)), known, "it was written to");
        let put_back = dated(&path, "blob", 1000);
        assert_ne!(key(&put_back), known, "the kernel knows that it was");
        assert_ne!(key(&dated(&path, "longer", 1000)), known);
        assert_ne!(
            key(&dated(&folder.path().join("other"), "blob", 1000)),
            known
        );
        fs::remove_file(&path).unwrap();
        assert!(Mark::of_source(&same).is_none(), "it is gone");
    }
}
