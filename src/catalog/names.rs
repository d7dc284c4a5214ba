//! Which repository a client means: the names of a closed world, decided once for each snapshot.
//!
//! A name asked for without a host resolves to **one** repository, for all its tags and
//! digests. First the names with their host in front count (`ghcr.io/acme/app`), then bare
//! ones: Docker Hub's, because mirrors of it are asked that way, then `localhost`'s, then
//! those of other hosts in byte order, then those made from file paths.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::Repository;
use crate::archive::Repository as Key;
use crate::oci::{Host, Name};

/// Who is asked for by which name. No name is written down: they are all parts of the repositories' keys.
#[derive(Debug, Default)]
pub struct Names {
    /// The numbers of the repositories, sorted by path; of one path those first that its bare form means first.
    by_path: Box<[u32]>,
    /// For each repository the shortest name by which it can be asked for.
    shown: Box<[Option<Form>]>,
}

/// How a repository's name is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Without `library/`, as people know the official images of Docker Hub.
    Familiar,
    /// The path.
    Bare,
    /// The familiar form or the path, with the host in front.
    WithHost,
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
    /// Decides who gets which name. `repositories` are sorted by key, and their order numbers them.
    pub fn of(repositories: &[Arc<Repository>]) -> (Self, Vec<Shadowed>) {
        let mut by_path: Vec<u32> = (0..).zip(repositories).map(|(number, _)| number).collect();
        // Paths of one host are in order already, so this is a merge of a few sorted runs.
        by_path.sort_by(|a, b| {
            let key = |number: &u32| &repositories[*number as usize].key;
            (key(a).path.cmp(&key(b).path)).then_with(|| (rank(key(a)), a).cmp(&(rank(key(b)), b)))
        });
        let mut names = Self {
            by_path: by_path.into(),
            shown: vec![None; repositories.len()].into(),
        };
        let shadowed = names.share_out(repositories);
        (names, shadowed)
    }

    /// Finds the name to show for each repository, and whoever does not get its bare names.
    fn share_out(&mut self, repositories: &[Arc<Repository>]) -> Vec<Shadowed> {
        let hosts: HashSet<&str> = repositories
            .iter()
            .filter_map(|repository| Some(repository.key.host.as_ref()?.without_port()))
            .collect();
        // Only the official images of Docker Hub and names with a host in front take a bare name from the first of its path.
        let is_contested = |path: &str| match path.split_once('/') {
            Some((first, _)) => hosts.contains(first),
            None => hosts.contains(Host::DOCKER_HUB),
        };
        let mut shadowed = Vec::new();
        let mut first_of_path: Option<u32> = None;
        for number in self.by_path.iter().copied() {
            let key = &repositories[number as usize].key;
            let first = first_of_path
                .filter(|first| repositories[*first as usize].key.path == key.path)
                .unwrap_or(number);
            first_of_path = Some(first);
            for (form, bare) in forms(key) {
                let winner = if form == Form::Bare && !is_contested(bare) {
                    Some(first as usize)
                } else {
                    self.get(repositories, bare)
                };
                let shown = &mut self.shown[number as usize];
                match winner {
                    Some(winner) if winner != number as usize => shadowed.push(Shadowed {
                        bare: bare.to_owned(),
                        repository: number as usize,
                        by: winner,
                    }),
                    _ => *shown = shown.or(Some(form)),
                }
            }
        }
        for number in shadowed.iter().map(|shadowed| shadowed.repository) {
            if self.shown[number].is_none() && self.is_reached_with_host(repositories, number) {
                self.shown[number] = Some(Form::WithHost);
            }
        }
        shadowed
    }

    /// A host can be something that is no part of a name, such as an address in brackets.
    fn is_reached_with_host(&self, repositories: &[Arc<Repository>], number: usize) -> bool {
        let name = with_host(&repositories[number].key);
        name.parse::<Name>().is_ok() && self.get(repositories, &name) == Some(number)
    }

    /// The repository that `name` means where no namespace is given.
    pub fn get(&self, repositories: &[Arc<Repository>], name: &str) -> Option<usize> {
        let with_host = name
            .split_once('/')
            .and_then(|(host, path)| self.at_host(repositories, host, path));
        with_host.or_else(|| self.bare(repositories, name))
    }

    /// A host that is spelled out goes before one that only lost its port.
    fn at_host(&self, repositories: &[Arc<Repository>], host: &str, path: &str) -> Option<usize> {
        let official = official(path).filter(|_| host == Host::DOCKER_HUB);
        let path = official.as_deref().unwrap_or(path);
        let at_host = |number: &usize| {
            let host_of = repositories[*number].key.host.as_ref();
            host_of.is_some_and(|known| known.without_port() == host)
        };
        let is_exact = |number: &usize| {
            let host_of = repositories[*number].key.host.as_ref();
            host_of.is_some_and(|known| known.as_str() == host)
        };
        let all: Vec<usize> = self.with_path(repositories, path).filter(at_host).collect();
        let exact = all.iter().copied().find(|number| is_exact(number));
        exact.or(all.first().copied())
    }

    fn bare(&self, repositories: &[Arc<Repository>], path: &str) -> Option<usize> {
        let hub = official(path).and_then(|path| {
            let mut with_path = self.with_path(repositories, &path);
            with_path.find(|number| is_at_hub(&repositories[*number].key))
        });
        hub.or_else(|| self.with_path(repositories, path).next())
    }

    /// The repositories of this path at any host, those first that its bare form means first.
    fn with_path<'n>(
        &'n self,
        repositories: &'n [Arc<Repository>],
        path: &'n str,
    ) -> impl Iterator<Item = usize> + 'n {
        let path_of = move |number: &u32| repositories[*number as usize].key.path.as_str();
        let start = self
            .by_path
            .partition_point(|number| path_of(number) < path);
        self.by_path[start..]
            .iter()
            .take_while(move |number| path_of(number) == path)
            .map(|number| *number as usize)
    }

    /// The shortest name by which repository `number` can be asked for, which has `key`.
    pub fn shown<'k>(&self, number: usize, key: &'k Key) -> Option<Cow<'k, str>> {
        let form = self.shown[number]?;
        Some(match forms(key).find(|(known, _)| *known == form) {
            Some((_, name)) => Cow::Borrowed(name),
            None => Cow::Owned(with_host(key)),
        })
    }
}

/// The path of a repository at a host that is named in a request's `ns`; Docker Hub adds `library/` itself.
pub fn path_at(host: &Host, name: &Name) -> Name {
    let official = official(name.as_str()).filter(|_| host.is_docker_hub());
    official
        .and_then(|path| path.parse().ok())
        .unwrap_or_else(|| name.clone())
}

/// Where Docker Hub keeps the images that are asked for by one word.
const OFFICIAL: &str = "library/";

fn official(path: &str) -> Option<String> {
    (!path.contains('/')).then(|| format!("{OFFICIAL}{path}"))
}

fn is_at_hub(key: &Key) -> bool {
    key.host.as_ref().is_some_and(Host::is_docker_hub)
}

/// The spellings of a repository's path, the one that people use first.
fn forms(key: &Key) -> impl Iterator<Item = (Form, &str)> {
    let path = key.path.as_str();
    let familiar = path
        .strip_prefix(OFFICIAL)
        .filter(|rest| is_at_hub(key) && !rest.contains('/'));
    let familiar = familiar.map(|familiar| (Form::Familiar, familiar));
    familiar.into_iter().chain([(Form::Bare, path)])
}

/// The shortest name with the host in front. A colon cannot stand in a repository name, so the port is left out.
fn with_host(key: &Key) -> String {
    let path = forms(key).next().map_or("", |(_, path)| path);
    match &key.host {
        Some(host) => format!("{}/{path}", host.without_port()),
        None => path.to_owned(),
    }
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
    use std::collections::BTreeMap;

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

    fn repositories(keys: &[Key]) -> Vec<Arc<Repository>> {
        let repository = |key: &Key| Arc::new(Repository::empty(key));
        keys.iter().map(repository).collect()
    }

    fn check(texts: &[&str], name: &str, expected: Option<&str>) {
        let keys = keys(texts);
        let repositories = repositories(&keys);
        let (names, _) = Names::of(&repositories);
        let got = names.get(&repositories, name).map(|number| {
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
        let (names, shadowed) = Names::of(&repositories(&keys));
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

    /// Who is meant by each name, found the obvious way: a map of all names with a host in front, and one of all bare ones.
    struct Model {
        with_host: BTreeMap<String, usize>,
        bare: BTreeMap<String, usize>,
    }

    impl Model {
        /// Whoever comes first keeps a name.
        fn of(keys: &[Key]) -> Self {
            let mut model = Self {
                with_host: BTreeMap::new(),
                bare: BTreeMap::new(),
            };
            let hosts = || {
                (0..)
                    .zip(keys)
                    .filter_map(|(n, key)| Some((n, key.host.as_ref()?, key)))
            };
            let exact = hosts().map(|(number, host, key)| (number, host.as_str(), key));
            let portless = hosts().map(|(number, host, key)| (number, host.without_port(), key));
            for (number, host, key) in exact.chain(portless) {
                for path in Self::spellings(key) {
                    let name = format!("{host}/{path}");
                    model.with_host.entry(name).or_insert(number);
                }
            }
            let rank = |key: &Key| match key.host.as_ref().map(Host::as_str) {
                Some("docker.io") => 0,
                Some("localhost") => 1,
                Some(_) => 2,
                None => 3,
            };
            let mut ranked: Vec<(usize, &Key)> = keys.iter().enumerate().collect();
            ranked.sort_by_key(|(number, key)| (rank(key), *number));
            for (number, key) in ranked {
                for path in Self::spellings(key) {
                    model.bare.entry(path.to_owned()).or_insert(number);
                }
            }
            model
        }

        fn spellings(key: &Key) -> Vec<&str> {
            let path = key.path.as_str();
            let is_hub = key
                .host
                .as_ref()
                .is_some_and(|host| host.as_str() == "docker.io");
            match path.strip_prefix("library/") {
                Some(word) if is_hub && !word.contains('/') => vec![word, path],
                _ => vec![path],
            }
        }

        fn get(&self, name: &str) -> Option<usize> {
            self.with_host
                .get(name)
                .or_else(|| self.bare.get(name))
                .copied()
        }

        /// The shortest of its names that means it.
        fn shown(&self, keys: &[Key], number: usize) -> Option<String> {
            let key = &keys[number];
            let bare = Self::spellings(key).into_iter().map(str::to_owned);
            let with_host = key
                .host
                .as_ref()
                .map(|host| format!("{}/{}", host.without_port(), Self::spellings(key)[0]));
            bare.chain(with_host)
                .filter(|name| name.parse::<Name>().is_ok())
                .find(|name| self.get(name) == Some(number))
        }
    }

    const HOSTS: [&str; 9] = [
        "",
        "docker.io",
        "localhost",
        "localhost:5000",
        "a.io",
        "a.io:1",
        "a.io:2",
        "b",
        "[::1]:5000",
    ];
    const PATHS: [&str; 10] = [
        "x",
        "library/x",
        "library/x/y",
        "a.io/x",
        "docker.io/x",
        "docker.io/library/x",
        "localhost/x",
        "a.io/library/x",
        "b/x",
        "y",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

        #[test]
        fn names_mean_what_the_obvious_maps_say(
            chosen in proptest::collection::btree_set((0..HOSTS.len(), 0..PATHS.len()), 0..12),
        ) {
            // Docker Hub has no repository of one word: `library/` is added when the name is read.
            let is_possible = |host: &str, path: &str| host != Host::DOCKER_HUB || path.contains('/');
            let texts: Vec<String> = chosen
                .iter()
                .map(|(host, path)| (HOSTS[*host], PATHS[*path]))
                .filter(|(host, path)| is_possible(host, path))
                .map(|(host, path)| format!("{host}/{path}"))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let keys = keys(&texts);
            let repositories = repositories(&keys);
            let (names, shadowed) = Names::of(&repositories);
            let model = Model::of(&keys);
            let asked = HOSTS.iter().flat_map(|host| PATHS.map(|path| format!("{host}/{path}")));
            let asked = asked.chain(PATHS.map(str::to_owned));
            let asked = asked.map(|name| name.trim_start_matches('/').to_owned());
            for name in asked.filter(|name| name.parse::<Name>().is_ok()) {
                proptest::prop_assert_eq!(names.get(&repositories, &name), model.get(&name), "{}", name);
            }
            for (number, key) in keys.iter().enumerate() {
                let shown = names.shown(number, key).map(Cow::into_owned);
                proptest::prop_assert_eq!(shown, model.shown(&keys, number), "{:?}", key);
                // Whoever does not get a bare name is told, with whoever does.
                for bare in Model::spellings(key) {
                    let told = shadowed.iter().find(|told| told.repository == number && told.bare == bare);
                    let taken = model.get(bare).filter(|by| *by != number);
                    proptest::prop_assert_eq!(told.map(|told| told.by), taken, "{}", bare);
                }
            }
        }
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
