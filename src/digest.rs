//! Content digests: the algorithm, the value, and an incremental hasher.
//!
//! A leaf of the house: nothing here knows what is being hashed, or why.
//! Grammar and registered algorithms follow the [image specification][spec].
//!
//! [spec]: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A hash function whose digests this program can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which every implementation must support.
    Sha256,
    /// SHA-512, registered and optional.
    Sha512,
}

impl Algorithm {
    /// Every algorithm known here, the usual one first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name that stands before the colon of a digest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name, if it is one that can be verified here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// A hasher that has seen no bytes yet.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Self::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }
}

/// Why a text is no digest that can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text breaks the grammar, or the rules of its registered algorithm.
    #[error("not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
    Malformed,
    /// The text fits the grammar, but its algorithm is unknown here.
    #[error("a digest of an algorithm that this program cannot verify")]
    UnknownAlgorithm,
}

/// A content digest, such as `sha256:44136f…ff8a`.
///
/// `Display` and [`FromStr`] round-trip. The order is the order of the value's
/// bytes within one algorithm, which is also the order of the texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Value);

/// SHA-512 is boxed so that the common case stays small: a catalog holds many digests.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes` by `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = algorithm.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest that `algorithm` and the hexadecimal `encoded` part name.
    ///
    /// # Errors
    /// [`DigestError::Malformed`] unless `encoded` is lower-case hexadecimal of the right length.
    pub fn from_hex(algorithm: Algorithm, encoded: &str) -> Result<Self, DigestError> {
        let value = match algorithm {
            Algorithm::Sha256 => Value::Sha256(decode(encoded)?),
            Algorithm::Sha512 => Value::Sha512(Box::new(decode(encoded)?)),
        };
        Ok(Self(value))
    }

    /// The hash function of this digest.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Whether `bytes` have this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        *self == Self::of(self.algorithm(), bytes)
    }

    /// The value's first eight bytes, most significant first: a sort key that
    /// orders digests of one algorithm as their texts are ordered.
    pub fn prefix(&self) -> u64 {
        match self.value().first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => unreachable!("a digest has at least 32 bytes"),
        }
    }

    /// The first twelve hexadecimal digits: enough for a person to tell images apart.
    pub fn short(&self) -> String {
        self.to_string()
            .split(':')
            .next_back()
            .unwrap_or_default()
            .chars()
            .take(12)
            .collect()
    }

    /// The digest by `algorithm` whose value is `value`.
    ///
    /// # Panics
    /// If the length is not the algorithm's.
    pub fn from_value(algorithm: Algorithm, value: &[u8]) -> Self {
        const LENGTH: &str = "a value is as long as its algorithm makes it";
        Self(match algorithm {
            Algorithm::Sha256 => Value::Sha256(value.try_into().expect(LENGTH)),
            Algorithm::Sha512 => Value::Sha512(Box::new(value.try_into().expect(LENGTH))),
        })
    }

    /// The bytes of the value: 32 or 64.
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Value::Sha256(value) => value,
            Value::Sha512(value) => value.as_slice(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 7 + 128];
        let name = self.algorithm().name();
        text[..6].copy_from_slice(name.as_bytes());
        text[6] = b':';
        let mut end = 7;
        for byte in self.value() {
            text[end] = DIGITS[usize::from(byte >> 4)];
            text[end + 1] = DIGITS[usize::from(byte & 0xf)];
            end += 2;
        }
        f.write_str(str::from_utf8(&text[..end]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Reads `algorithm:encoded`.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        match Algorithm::from_name(algorithm) {
            Some(algorithm) => Self::from_hex(algorithm, encoded),
            None if is_grammatical(algorithm, encoded) => Err(DigestError::UnknownAlgorithm),
            None => Err(DigestError::Malformed),
        }
    }
}

/// The grammar that digests of any algorithm follow.
fn is_grammatical(algorithm: &str, encoded: &str) -> bool {
    let component = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let encodable = |b: u8| b.is_ascii_alphanumeric() || b"=_-".contains(&b);
    algorithm.split(['+', '.', '_', '-']).all(component)
        && !encoded.is_empty()
        && encoded.bytes().all(encodable)
}

/// What each byte is as a hexadecimal digit, 0xff for what is none. Digests are read by the million. Upper-case digits are
/// refused: one content must have one spelling.
const DIGIT: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

fn decode<const N: usize>(hex: &str) -> Result<[u8; N], DigestError> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let mut value = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return Err(DigestError::Malformed);
    }
    let mut seen = 0;
    for (byte, [high, low]) in value.iter_mut().zip(pairs) {
        let (high, low) = (DIGIT[usize::from(*high)], DIGIT[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low & 0xf;
    }
    if seen == 0xff {
        return Err(DigestError::Malformed);
    }
    Ok(value)
}

/// Hashes bytes as they come.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// By SHA-256.
    Sha256(sha2::Sha256),
    /// By SHA-512.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        Digest(match self {
            Self::Sha256(state) => Value::Sha256(state.finalize().into()),
            Self::Sha512(state) => Value::Sha512(Box::new(state.finalize().into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

    #[test]
    fn hashes_and_round_trips() {
        let digest = Digest::sha256(b"hello world");
        assert_eq!(digest.to_string(), HELLO);
        assert_eq!(HELLO.parse(), Ok(digest.clone()));
        assert_eq!(digest.prefix(), 0xb94d_27b9_934d_3e08);
        assert_eq!(digest.short(), "b94d27b9934d");
        assert!(digest.matches(b"hello world"));
        assert!(!digest.matches(b"hello word"));
        let long = Digest::of(Algorithm::Sha512, b"");
        assert!(
            long.to_string()
                .starts_with("sha512:cf83e1357eefb8bdf1542850d66d8007")
        );
        assert_eq!(long.to_string().parse(), Ok(long));
    }

    #[test]
    fn tells_malformed_from_unknown() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Digest>(), Err(expected));
        check("sha256:totallywrong", DigestError::Malformed);
        check("sha256:", DigestError::Malformed);
        check("sha256", DigestError::Malformed);
        check(&HELLO.to_uppercase(), DigestError::Malformed);
        check(&HELLO.replace("b94d", "B94D"), DigestError::Malformed);
        check(&format!("{HELLO}0"), DigestError::Malformed);
        check("blake3:00ff", DigestError::UnknownAlgorithm);
        check("a+b:x=", DigestError::UnknownAlgorithm);
        check("a++b:x", DigestError::Malformed);
        check("Sha256:00", DigestError::Malformed);
        check("x:ü", DigestError::Malformed);
    }

    proptest::proptest! {
        #[test]
        fn text_order_is_value_order(a: [u8; 32], b: [u8; 32]) {
            let (a, b) = (Digest::sha256(&a), Digest::sha256(&b));
            proptest::prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            proptest::prop_assert_eq!(a.to_string().parse(), Ok(a));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text: String) {
            let _ = text.parse::<Digest>();
        }
    }
}
