//! The claims of one file, packed: a catalog of a million blobs holds a million of these.

use std::cmp::Ordering;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::source::{Claim, Kept, Place, Verdict};
use crate::digest::{Algorithm, Digest};

/// Claims in the order of their digests: first those by SHA-256, then the others.
#[derive(Debug)]
pub(super) struct Claims {
    packed: Box<[Packed]>,
    /// The digests by SHA-512, which do not fit, in the order of their claims.
    wide: Box<[[u8; 64]]>,
    /// What is kept of documents, by the numbers of their claims: most files are never asked for one.
    kept: OnceLock<KeptDocuments>,
    /// What was found out about the bytes, by the numbers of the claims; most files are never asked for.
    verdicts: OnceLock<Box<[AtomicU8]>>,
    /// What lies in memory.
    memory: Box<[Bytes]>,
}

type KeptDocuments = Box<[(u32, OnceLock<Kept>)]>;

/// One claim. Where the bytes lie in memory, `offset` is their number there.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// A digest by SHA-256, or the first half of another one.
    digest: [u8; 32],
    offset: u64,
    /// With the kind in the two highest bits: files are shorter than that.
    length: u64,
}

const CLAIMED: u8 = 0;
const VERIFIED: u8 = 1;
const UNREADABLE: u8 = 2;
const QUARANTINED: u8 = 3;

fn known(verdict: &AtomicU8) -> Verdict {
    match verdict.load(Relaxed) {
        VERIFIED => Verdict::Verified,
        UNREADABLE => Verdict::Unreadable,
        QUARANTINED => Verdict::Quarantined,
        _ => Verdict::Claimed,
    }
}

const KIND: u64 = 3 << 62;
const EXTENT: u64 = 0;
const DOCUMENT: u64 = 1 << 62;
const MEMORY: u64 = 2 << 62;

impl Claims {
    pub(super) fn new(mut claims: Vec<Claim>) -> Self {
        // Stable: of two claims on one digest the one that was given first stays the first.
        claims.sort_by(|a, b| a.digest.cmp(&b.digest));
        let (mut packed, mut wide) = (Vec::with_capacity(claims.len()), Vec::new());
        let mut memory = Vec::new();
        for Claim { digest, place } in claims {
            let (offset, length, kind) = match place {
                Place::Extent { offset, length } => (offset, length, EXTENT),
                Place::Document { offset, length } => (offset, length, DOCUMENT),
                Place::Memory(bytes) => {
                    let length = bytes.len() as u64;
                    memory.push(bytes);
                    (memory.len() as u64 - 1, length, MEMORY)
                }
            };
            if let Ok(value) = digest.value().try_into() {
                wide.push(value);
            }
            let mut first = [0; 32];
            first.copy_from_slice(&digest.value()[..32]);
            packed.push(Packed {
                digest: first,
                offset,
                length: length & !KIND | kind,
            });
        }
        Self {
            packed: packed.into(),
            wide: wide.into(),
            kept: OnceLock::new(),
            verdicts: OnceLock::new(),
            memory: memory.into(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    fn by_sha256(&self) -> usize {
        self.packed.len() - self.wide.len()
    }

    /// The digest of a claim, as its algorithm and its value.
    fn value(&self, claim: usize) -> (Algorithm, &[u8]) {
        match claim.checked_sub(self.by_sha256()) {
            None => (Algorithm::Sha256, &self.packed[claim].digest),
            Some(wide) => (Algorithm::Sha512, &self.wide[wide]),
        }
    }

    fn compare(&self, claim: usize, digest: &Digest) -> Ordering {
        let (algorithm, value) = self.value(claim);
        (algorithm, value).cmp(&(digest.algorithm(), digest.value()))
    }

    pub(super) fn is_of(&self, claim: usize, digest: &Digest) -> bool {
        self.compare(claim, digest) == Ordering::Equal
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<usize> {
        let (mut start, mut end) = (0, self.len());
        while start < end {
            let middle = start + (end - start) / 2;
            if self.compare(middle, digest) == Ordering::Less {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        (start < self.len() && self.is_of(start, digest)).then_some(start)
    }

    pub(super) fn get(&self, claim: usize) -> Claim {
        let (algorithm, value) = self.value(claim);
        let Packed { offset, length, .. } = self.packed[claim];
        let (kind, length) = (length & KIND, length & !KIND);
        let place = match kind {
            EXTENT => Place::Extent { offset, length },
            DOCUMENT => Place::Document { offset, length },
            _ => Place::Memory(self.in_memory(offset)),
        };
        Claim {
            digest: Digest::from_value(algorithm, value),
            place,
        }
    }

    fn in_memory(&self, number: u64) -> Bytes {
        let number = usize::try_from(number).ok();
        let bytes = number.and_then(|number| self.memory.get(number));
        bytes.cloned().unwrap_or_default()
    }

    /// Whether `claim` is on bytes that are sent from where they lie.
    pub(super) fn is_extent(&self, claim: usize) -> bool {
        self.packed[claim].length & KIND == EXTENT
    }

    pub(super) fn length(&self, claim: usize) -> u64 {
        self.packed[claim].length & !KIND
    }

    /// What was found out about the bytes that `claim` is on.
    pub(super) fn verdict(&self, claim: usize) -> Verdict {
        let verdicts = self.verdicts.get();
        verdicts.map_or(Verdict::Claimed, |verdicts| known(&verdicts[claim]))
    }

    /// Notes what was found out. That bytes are wrong stands; that they could not be read does not, and a disk that gave the
    /// right ones once may fail later. Whether this is new.
    pub(super) fn settle(&self, claim: usize, verdict: Verdict) -> bool {
        let open = || self.packed.iter().map(|_| AtomicU8::new(CLAIMED)).collect();
        let place = &self.verdicts.get_or_init(open)[claim];
        let new = match verdict {
            Verdict::Claimed => CLAIMED,
            Verdict::Verified => VERIFIED,
            Verdict::Unreadable => UNREADABLE,
            Verdict::Quarantined => QUARANTINED,
        };
        let update = place.fetch_update(Relaxed, Relaxed, |before| {
            let may_change = before != QUARANTINED && (before != VERIFIED || new == UNREADABLE);
            (may_change && before != new).then_some(new)
        });
        update.is_ok()
    }

    /// The claims whose bytes turned out to be wrong or unreadable.
    pub(super) fn faulty(&self) -> impl Iterator<Item = (usize, Verdict)> {
        let verdicts = self.verdicts.get().map(|verdicts| &verdicts[..]);
        let verdicts = verdicts.unwrap_or_default().iter().map(known).enumerate();
        verdicts
            .filter(|(_, verdict)| matches!(verdict, Verdict::Unreadable | Verdict::Quarantined))
    }

    /// What is kept of the document that `claim` is on, if anything is.
    pub(super) fn kept(&self, claim: usize) -> Option<&Kept> {
        let kept = self.kept.get()?;
        kept[at(kept, claim)?].1.get()
    }

    /// Keeps `bytes` of the document that `claim` is on.
    pub(super) fn keep(&self, claim: usize, bytes: Kept) {
        let kept = self.kept.get_or_init(|| {
            let claims = (0..).zip(&self.packed);
            let documents = claims.filter(|(_, packed)| packed.length & KIND == DOCUMENT);
            documents
                .map(|(claim, _)| (claim, OnceLock::new()))
                .collect()
        });
        if let Some(at) = at(kept, claim) {
            // Whoever comes second drops the same bytes.
            let _ = kept[at].1.set(bytes);
        }
    }
}

/// The place of `claim` among those on documents.
fn at(kept: &[(u32, OnceLock<Kept>)], claim: usize) -> Option<usize> {
    let claim = u32::try_from(claim).ok()?;
    kept.binary_search_by_key(&claim, |(known, _)| *known).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_claim_is_small() {
        assert_eq!(size_of::<Packed>(), 48);
    }

    fn claim() -> impl Strategy<Value = Claim> {
        let digest = (any::<bool>(), 0..20_u8).prop_map(|(is_wide, seed)| {
            let algorithm = if is_wide {
                Algorithm::Sha512
            } else {
                Algorithm::Sha256
            };
            Digest::of(algorithm, &[seed])
        });
        let place = prop_oneof![
            (any::<u64>(), 0..u64::MAX >> 2)
                .prop_map(|(offset, length)| Place::Extent { offset, length }),
            (any::<u64>(), 0..u64::MAX >> 2)
                .prop_map(|(offset, length)| Place::Document { offset, length }),
            ".{0,9}".prop_map(|text: String| Place::Memory(text.into())),
        ];
        (digest, place).prop_map(|(digest, place)| Claim { digest, place })
    }

    proptest! {
        #[test]
        fn claims_come_back_sorted(claims in proptest::collection::vec(claim(), 0..40)) {
            let packed = Claims::new(claims.clone());
            let mut expected = claims;
            expected.sort_by(|a, b| a.digest.cmp(&b.digest));
            let got: Vec<Claim> = (0..packed.len()).map(|number| packed.get(number)).collect();
            prop_assert_eq!(&got, &expected);
            for (number, claim) in expected.iter().enumerate() {
                prop_assert_eq!(packed.length(number), claim.len());
                prop_assert!(packed.is_of(number, &claim.digest));
                let first = expected.iter().position(|known| known.digest == claim.digest);
                prop_assert_eq!(packed.find(&claim.digest), first);
                prop_assert!(packed.kept(number).is_none());
                packed.keep(number, Kept::within_budget("kept".into()).unwrap());
                let is_document = matches!(claim.place, Place::Document { .. });
                prop_assert_eq!(packed.kept(number).is_some(), is_document);
            }
            prop_assert_eq!(packed.find(&Digest::sha256(b"other")), None);
        }
    }
}
