//! Image references: how the names that stand in archives become host, path, tag and digest.
//!
//! The rules are those of
//! [distribution/reference](https://github.com/distribution/reference/blob/main/normalize.go),
//! which every client shares.

use std::fmt;
use std::str::FromStr;

use super::{Host, Name, Tag};
use crate::digest::Digest;

/// A text that names no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The part before the first `/` looks like a host and is none.
    #[error("the host is not valid")]
    Host,
    /// The repository breaks the grammar.
    #[error(
        "the repository name is not valid: lower-case letters, digits and single separators only"
    )]
    Name,
    /// The part after the last `:` breaks the grammar.
    #[error("the tag is not valid")]
    Tag,
    /// The part after `@` is no digest that can be verified.
    #[error("the digest is not valid")]
    Digest,
}

/// A normalized image reference.
///
/// `Display` gives the full form, such as `docker.io/library/alpine:3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry; `docker.io` where the text named none.
    pub host: Host,
    /// The repository; with `library/` for Docker Hub's one-part names.
    pub path: Name,
    /// The tag, if the text had one.
    pub tag: Option<Tag>,
    /// The digest, if the text had one.
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // Clients take it for the ID of an image.
        if text.len() == 64
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(ReferenceError::Name);
        }
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (
                text,
                Some(digest.parse().map_err(|_| ReferenceError::Digest)?),
            ),
            None => (text, None),
        };
        let (host, rest) = split_host(text);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.parse().map_err(|_| ReferenceError::Tag)?)),
            None => (rest, None),
        };
        let host = match host {
            Some(host) => host.parse().map_err(|_| ReferenceError::Host)?,
            None => Host::docker_hub(),
        };
        let path = if host.is_docker_hub() && !path.contains('/') {
            format!("library/{path}").parse()
        } else {
            path.parse()
        };
        Ok(Self {
            host,
            path: path.map_err(|_| ReferenceError::Name)?,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first part is a host if it looks like one: with a dot, a port, a capital, or `localhost`.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest)) => {
            let is_host = first == Host::LOCALHOST
                || first.contains(['.', ':'])
                || first.contains(|c: char| c.is_ascii_uppercase());
            if is_host {
                (Some(first), rest)
            } else {
                (None, text)
            }
        }
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                text.parse::<Reference>().map(|r| r.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        };
        let digest = Digest::sha256(b"x");
        check("alpine", "docker.io/library/alpine");
        check("alpine:3", "docker.io/library/alpine:3");
        check("team/x:1", "docker.io/team/x:1");
        check("docker.io/alpine:3", "docker.io/library/alpine:3");
        check("index.docker.io/library/x:1", "docker.io/library/x:1");
        check("registry-1.docker.io/a/b", "docker.io/a/b");
        check("localhost/app:dev", "localhost/app:dev");
        check("LOCAL/app:dev", "local/app:dev");
        check("host:5000/x:1", "host:5000/x:1");
        check("[::1]:5000/x:1", "[::1]:5000/x:1");
        check("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1");
        check("x:1.1.0+oci", "docker.io/library/x:1.1.0+oci");
        check(
            &format!("x:1@{digest}"),
            &format!("docker.io/library/x:1@{digest}"),
        );
    }

    #[test]
    fn refuses() {
        let check =
            |text: &str, expected| assert_eq!(text.parse::<Reference>(), Err(expected), "{text}");
        check("", ReferenceError::Name);
        check("a/B", ReferenceError::Name);
        check("<none>:<none>", ReferenceError::Tag);
        check("<none>", ReferenceError::Name);
        check("ocidir://path:tag", ReferenceError::Host);
        check("a:b:c", ReferenceError::Name);
        check("a..b/c", ReferenceError::Host);
        check("x:.y", ReferenceError::Tag);
        check("x@sha256:1", ReferenceError::Digest);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn the_full_form_round_trips(text in "([a-z]{1,3}(\\.io|:[0-9]{2})/)?[a-z]{1,4}(/[a-z]{1,3})?(:[A-Za-z0-9]{1,4})?") {
            let reference: Reference = text.parse().unwrap();
            proptest::prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }
}
