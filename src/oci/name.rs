//! Repository names and registry hosts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Many clients cannot use a host and name that are longer than this together; no name is.
const MAX_LENGTH: usize = 255;

/// A text that is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a repository name: lower-case letters, digits and separators `.`, `_`, `-` between them, parts joined by `/`"
)]
pub struct NameError;

/// A repository name without a host, such as `library/alpine`.
///
/// Follows the [grammar of v1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests),
/// which allows `a__b` and `a--b` where v1.0 did not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = text.len() <= MAX_LENGTH && text.split('/').all(is_component);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = part.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| is_word(**b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|b| !is_word(**b)).count();
        match &rest[..separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|b| *b == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

/// The host of a registry, with its port if it has one, in lower case.
///
/// Docker Hub's other spellings (`index.docker.io`, `registry-1.docker.io`) become `docker.io`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

/// A text that is no registry host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a registry host")]
pub struct HostError;

impl Host {
    /// Docker Hub, which is meant where a reference names no host.
    pub const DOCKER_HUB: &str = "docker.io";
    /// Where podman puts images that were only ever built.
    pub const LOCALHOST: &str = "localhost";

    /// Docker Hub.
    pub fn docker_hub() -> Self {
        Self(Self::DOCKER_HUB.into())
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.as_str() == Self::DOCKER_HUB
    }

    /// The host without its port: the form that can stand in a repository name.
    pub fn without_port(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.0,
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let host = text.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(HostError);
        }
        Ok(match host.as_str() {
            "index.docker.io" | "registry-1.docker.io" => Self::docker_hub(),
            _ => Self(host.into()),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name[:port]` or `[v6][:port]`, without judging what can be dialed: hosts are only compared here.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (
                "v6",
                rest.strip_prefix(':').or((rest.is_empty()).then_some("0")),
            )
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, Some("0")),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= MAX_LENGTH && name.split('.').all(label) && port.is_some_and(is_port)
}

/// A number may have a sign for Rust, and for no reader of references.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "library/alpine", "a.b/c_d/e__f/g--h---i", "0/1", "x1"] {
            assert_eq!(
                good.parse::<Name>().map(|n| n.to_string()),
                Ok(good.to_owned())
            );
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a/B", "a___b", "a..b", "a._b", "-a", "a-", "_a",
            "a:b", "a b", "ü", "..", "a/../b", "a+b", "_catalog", &long,
        ] {
            assert_eq!(bad.parse::<Name>(), Err(NameError), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                text.parse::<Host>().map(|h| h.to_string()),
                Ok(expected.to_owned())
            );
        };
        check("GHCR.io", "ghcr.io");
        check("index.docker.io", "docker.io");
        check("registry-1.docker.io", "docker.io");
        check("localhost:5000", "localhost:5000");
        check("[::1]:5000", "[::1]:5000");
        check("[::1]", "[::1]");
        for bad in [
            "", "a b", "a:b", "a:99999", "[x]", "[::1", "[::1]x", "-a.b", "a..b", "a/b", "a:+80",
        ] {
            assert_eq!(bad.parse::<Host>(), Err(HostError), "{bad}");
        }
        assert_eq!(
            "h.example:5000".parse::<Host>().unwrap().without_port(),
            "h.example"
        );
        assert_eq!("[::1]:80".parse::<Host>().unwrap().without_port(), "[::1]");
    }

    proptest::proptest! {
        #[test]
        fn component_agrees_with_the_grammar(text in "[a-c0._-]{0,12}") {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
            let separators: Vec<&str> = text
                .split(|c: char| c.is_ascii_alphanumeric())
                .filter(|s| !s.is_empty())
                .collect();
            let valid = words.count() == separators.len() + 1
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.ends_with(|c: char| c.is_ascii_alphanumeric())
                && separators.iter().all(|s| [".", "_", "__"].contains(s) || s.bytes().all(|b| b == b'-'));
            proptest::prop_assert_eq!(is_component(&text), valid);
        }
    }
}
