//! Tags.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A text that is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag: at most 128 letters, digits, `_`, `.`, `-`, and neither `.` nor `-` first")]
pub struct TagError;

/// A tag as archives spell it, ordered by its bytes.
///
/// Follows the [grammar of v1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests)
/// with one addition: a `+` may stand inside, as in `1.1.0+oci`, because v1.0 of the
/// specification had no grammar and archives with such tags exist. [`Tag::is_strict`] tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag that clients ask for when nobody names one.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag follows the grammar of v1.1 to the letter.
    pub fn is_strict(&self) -> bool {
        !self.0.contains('+')
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let starts = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let continues = |b: u8| b.is_ascii_alphanumeric() || b"_.-+".contains(&b);
        let valid = text.len() <= 128
            && text.as_bytes().first().is_some_and(starts)
            && text.bytes().all(continues);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(TagError)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for good in ["1", "latest", "_x", "v1.0-rc.1", "1.1.0+oci", "A"] {
            assert_eq!(
                good.parse::<Tag>().map(|t| t.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            ".x",
            "-x",
            "+x",
            "a:b",
            "a/b",
            "a b",
            "ü",
            &"a".repeat(129),
        ] {
            assert_eq!(bad.parse::<Tag>(), Err(TagError), "{bad}");
        }
        assert!(!"1.1.0+oci".parse::<Tag>().unwrap().is_strict());
    }
}
