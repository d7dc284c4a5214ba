//! Which repository a client means: the names of a closed world, decided once for each snapshot.
//!
//! A name asked for without a host resolves to **one** repository, for all its tags and
//! digests. First the names with their host in front count (`ghcr.io/acme/app`), then bare
//! ones: Docker Hub's, because mirrors of it are asked that way, then `localhost`'s, then
//! those of other hosts in byte order, then those made from file paths.

use std::collections::HashMap;

use crate::archive::Repository as Key;
use crate::oci::{Host, Name};

/// The repositories by every name that clients may use.
#[derive(Debug, Default)]
pub struct Names {
    /// Names asked for without a namespace.
    plain: HashMap<Box<str>, usize>,
}

/// A repository that cannot be asked for by its bare name.
#[derive(Debug)]
pub struct Shadowed {
    /// The bare name.
    pub bare: String,
    /// The repository that does not get it.
    pub repository: usize,
    /// The one that does.
    pub by: usize,
}

impl Names {
    /// Decides who gets which name. `keys` are sorted, and their order numbers the repositories.
    pub fn of(keys: &[&Key]) -> (Self, Vec<Shadowed>) {
        let mut plain: HashMap<Box<str>, usize> = HashMap::new();
        for exact in [true, false] {
            for (number, key) in keys.iter().enumerate() {
                let Some(host) = &key.host else { continue };
                // A host that is spelled out goes before one that only lost its port.
                if (host.without_port() == host.as_str()) == exact {
                    for path in paths(key) {
                        plain.entry(with_host(host, path).into()).or_insert(number);
                    }
                }
            }
        }
        let mut by_rank: Vec<usize> = (0..keys.len()).collect();
        by_rank.sort_by_key(|number| rank(keys[*number]));
        let mut shadowed = Vec::new();
        for number in by_rank {
            for bare in paths(keys[number]) {
                let winner = *plain.entry(bare.into()).or_insert(number);
                if winner != number {
                    shadowed.push(Shadowed {
                        bare: bare.to_owned(),
                        repository: number,
                        by: winner,
                    });
                }
            }
        }
        (Self { plain }, shadowed)
    }

    /// The repository that `name` means where no namespace is given.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.plain.get(name).copied()
    }

    /// The shortest name by which repository `number`, known as `key`, can be asked for.
    pub fn shown(&self, number: usize, key: &Key) -> Option<String> {
        let bare = paths(key).map(str::to_owned);
        let full = key
            .host
            .iter()
            .flat_map(|host| paths(key).map(|path| with_host(host, path)));
        // A host can be something that is no part of a name, such as an address in brackets.
        bare.chain(full)
            .find(|name| self.get(name) == Some(number) && name.parse::<Name>().is_ok())
    }
}

/// The path of a repository at a host that is named in a request's `ns`; Docker Hub adds `library/` itself.
pub fn path_at(host: &Host, name: &Name) -> Name {
    if host.is_docker_hub()
        && !name.as_str().contains('/')
        && let Ok(official) = format!("{OFFICIAL}{name}").parse()
    {
        return official;
    }
    name.clone()
}

/// Where Docker Hub keeps the images that are asked for by one word.
const OFFICIAL: &str = "library/";

/// The spellings of a repository's path, the one that people use first.
fn paths(key: &Key) -> impl Iterator<Item = &str> {
    let path = key.path.as_str();
    let is_hub = key.host.as_ref().is_some_and(Host::is_docker_hub);
    let familiar = path
        .strip_prefix(OFFICIAL)
        .filter(|rest| is_hub && !rest.contains('/'));
    familiar.into_iter().chain([path])
}

/// A colon cannot stand in a repository name, so the port is left out.
fn with_host(host: &Host, path: &str) -> String {
    format!("{}/{path}", host.without_port())
}

fn rank(key: &Key) -> u8 {
    match &key.host {
        Some(host) if host.is_docker_hub() => 0,
        Some(host) if host.as_str() == Host::LOCALHOST => 1,
        Some(_) => 2,
        None => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repositories written as `host/path`, or `/path` for those without a host.
    fn keys(texts: &[&str]) -> Vec<Key> {
        let key = |text: &&str| {
            let (host, path) = text.split_once('/').unwrap();
            Key {
                host: host.parse().ok(),
                path: path.parse().unwrap(),
            }
        };
        let mut keys: Vec<Key> = texts.iter().map(key).collect();
        keys.sort();
        keys
    }

    fn check(texts: &[&str], name: &str, expected: Option<&str>) {
        let keys = keys(texts);
        let (names, _) = Names::of(&keys.iter().collect::<Vec<_>>());
        let got = names.get(name).map(|number| {
            let Key { host, path } = &keys[number];
            format!(
                "{}/{path}",
                host.as_ref().map(Host::as_str).unwrap_or_default()
            )
        });
        assert_eq!(got.as_deref(), expected, "{texts:?} {name}");
    }

    #[test]
    fn a_bare_name_means_one_repository() {
        let all = [
            "docker.io/acme/app",
            "localhost/acme/app",
            "ghcr.io/acme/app",
            "quay.io/acme/app",
            "/acme/app",
        ];
        for first in 0..all.len() {
            check(&all[first..], "acme/app", Some(all[first]));
        }
        check(&all, "quay.io/acme/app", Some("quay.io/acme/app"));
        check(&all, "docker.io/acme/app", Some("docker.io/acme/app"));
        check(&all, "other.io/acme/app", None);
    }

    #[test]
    fn docker_hub_has_short_names() {
        let hub = ["docker.io/library/app"];
        for name in [
            "app",
            "library/app",
            "docker.io/app",
            "docker.io/library/app",
        ] {
            check(&hub, name, Some(hub[0]));
        }
        check(&["localhost/library/app"], "app", None);
        check(
            &["docker.io/library/app", "localhost/app"],
            "app",
            Some("docker.io/library/app"),
        );
        check(
            &["docker.io/library/app", "localhost/app"],
            "localhost/app",
            Some("localhost/app"),
        );
    }

    #[test]
    fn a_port_is_left_out() {
        check(&["h.io:5000/app"], "h.io/app", Some("h.io:5000/app"));
        check(&["h.io:5000/app", "h.io/app"], "h.io/app", Some("h.io/app"));
        check(
            &["h.io:5000/app", "h.io:6000/app"],
            "app",
            Some("h.io:5000/app"),
        );
    }

    #[test]
    fn a_name_with_its_host_goes_before_a_bare_one() {
        check(
            &["docker.io/ghcr.io/app", "ghcr.io/app"],
            "ghcr.io/app",
            Some("ghcr.io/app"),
        );
    }

    #[test]
    fn each_is_shown_by_the_shortest_name_that_reaches_it() {
        let keys = keys(&[
            "docker.io/library/app",
            "localhost/app",
            "ghcr.io/a/b",
            "/app",
            "h:1/x",
            "h:2/x",
        ]);
        let (names, shadowed) = Names::of(&keys.iter().collect::<Vec<_>>());
        let shown = |text: &str| {
            let number = keys.iter().position(|key| {
                let host = key.host.as_ref().map(Host::as_str).unwrap_or_default();
                format!("{host}/{}", key.path) == text
            });
            names.shown(number.unwrap(), &keys[number.unwrap()])
        };
        assert_eq!(shown("docker.io/library/app").as_deref(), Some("app"));
        assert_eq!(shown("localhost/app").as_deref(), Some("localhost/app"));
        assert_eq!(shown("ghcr.io/a/b").as_deref(), Some("a/b"));
        assert_eq!(shown("h:1/x").as_deref(), Some("x"));
        assert_eq!(shown("/app"), None);
        assert_eq!(shown("h:2/x"), None);
        assert_eq!(shadowed.len(), 3);
    }

    #[test]
    fn the_hub_completes_one_part_paths() {
        let path = |host: &str, name: &str| {
            path_at(&host.parse().unwrap(), &name.parse().unwrap()).to_string()
        };
        assert_eq!(path("docker.io", "app"), "library/app");
        assert_eq!(path("docker.io", "a/app"), "a/app");
        assert_eq!(path("ghcr.io", "app"), "app");
    }
}
