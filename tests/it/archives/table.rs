//! Which names the real archives have to be served under, derived by hand from the rules for names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// An archive, and the repositories that it makes.
///
/// A repository is its host (`.` where the name is made from the path) and its path, then `TAG=DIGEST` for each tag,
/// `latest>TAG` for an automatic one, and `@DIGEST` for what can be had only so. Digests are cut to 12 digits.
pub(super) type Row = (&'static str, &'static [&'static str]);

/// `docker save`.
pub(super) const DOCKER: &[Row] = &[
    (
        "docker20.10-save-emptylayers.tar",
        &["docker.io/test/dup 1.0=1251bc19a119 latest>1.0"],
    ),
    (
        "docker20.10-save-multi.tar",
        &[
            "docker.io/test/one 1.0=2c43d5d8ed8d latest>1.0",
            "docker.io/test/two 1.0=56533b8bc932 latest>1.0",
        ],
    ),
    (
        "docker20.10-save-pulled.tar",
        &["127.0.0.1:5000/v2s2/app 2=d9fa8e00172f latest>2"],
    ),
    (
        "docker20.10-save-single.tar",
        &["docker.io/test/one 1.0=2c43d5d8ed8d latest>1.0"],
    ),
    (
        "docker20.10-save-twotags.tar",
        &[
            "docker.io/test/one 1.0=2c43d5d8ed8d latest>1.0",
            "registry.example.com:5000/team/sub/one v1.0.0-rc.1=2c43d5d8ed8d latest>v1.0.0-rc.1",
        ],
    ),
    (
        "docker20.10-save-untagged.tar",
        &["./docker20.10-save-untagged latest=2c43d5d8ed8d"],
    ),
    (
        "docker28.5-save-emptylayers.tar",
        &["docker.io/test/dup 1.0=bf5b2b8c17a6 latest>1.0"],
    ),
    (
        "docker28.5-save-mixed-tagged-untagged.tar",
        &[
            "127.0.0.1:5000/v2s2/app 1=eee9f90bb266 latest>1",
            "docker.io/test/two 1.0=182f6f712343 latest>1.0",
            "./docker28.5-save-mixed-tagged-untagged @bf5b2b8c17a6",
        ],
    ),
    (
        "docker28.5-save-pulled.tar",
        &["127.0.0.1:5000/v2s2/app 2=d9fa8e00172f latest>2"],
    ),
    (
        "docker28.5-save-single.tar",
        &["docker.io/test/one 1.0=2c6439294fc0 latest>1.0"],
    ),
    (
        "docker28.5-save-twotags.tar",
        &[
            "docker.io/test/one 1.0=2c6439294fc0 latest>1.0",
            "registry.example.com:5000/team/sub/one v1.0.0-rc.1=2c6439294fc0 latest>v1.0.0-rc.1",
        ],
    ),
];

/// The exporter of containerd: Docker with its image store, `ctr`, buildx.
pub(super) const CONTAINERD: &[Row] = &[
    (
        "docker28.5-ctrdstore-save-multi-oci+docker.tar",
        &[
            "127.0.0.1:5000/v2s2/app 2=728953661e64 latest>2",
            "docker.io/test/app 1.0=5dc587c7ff25 latest>1.0",
        ],
    ),
    (
        "docker28.5-ctrdstore-save-multiarch-sparse.tar",
        &["127.0.0.1:5000/oci/multi 1=62e72ced71a4 latest>1"],
    ),
    (
        "docker28.5-ctrdstore-save-provenance.tar",
        &["docker.io/test/bx load=0b4fb8efa349"],
    ),
    (
        "docker28.5-ctrdstore-save-single.tar",
        &["docker.io/test/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    // Only the repository that it was pulled from is recorded.
    (
        "docker28.5-ctrdstore-save-untagged.tar",
        &["127.0.0.1/oci/app @5dc587c7ff25"],
    ),
    (
        "ctr1.6-export-all.tar",
        &["127.0.0.1:5000/oci/multi 1=62e72ced71a4 latest>1"],
    ),
    (
        "ctr1.6-export-arm64.tar",
        &["127.0.0.1:5000/oci/multi 1=62e72ced71a4 latest>1"],
    ),
    (
        "ctr1.6-export.tar",
        &["127.0.0.1:5000/oci/app 1=5dc587c7ff25 latest>1"],
    ),
    (
        "ctr2.1-export-all.tar",
        &["127.0.0.1:5000/oci/multi 1=62e72ced71a4 latest>1"],
    ),
    (
        "ctr2.1-export-dockerio.tar",
        &["docker.io/test/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    (
        "ctr2.1-export-two.tar",
        &[
            "127.0.0.1:5000/oci/app 1=5dc587c7ff25 latest>1",
            "127.0.0.1:5000/v2s2/app 2=728953661e64 latest>2",
        ],
    ),
    (
        "ctr2.1-export.tar",
        &["127.0.0.1:5000/oci/app 1=5dc587c7ff25 latest>1"],
    ),
    (
        "buildx0.29-docker.tar",
        &["docker.io/test/bx 3=e6599b3799ea latest>3"],
    ),
    (
        "buildx0.29-oci-plain.tar",
        &["docker.io/test/bx 2=48a2804c4201 latest=48a2804c4201"],
    ),
    (
        "buildx0.29-oci-uncompressed.tar",
        &["docker.io/test/bx 6=2de5c140d499 latest>6"],
    ),
    (
        "buildx0.29-oci-zstd.tar",
        &["docker.io/test/bx 4=c8364910d1ba latest>4"],
    ),
];

/// The library of skopeo, podman and buildah.
pub(super) const SKOPEO: &[Row] = &[
    (
        "buildah1.28-docker-archive.tar",
        &[
            "127.0.0.1:5000/oci/app 1=eee9f90bb266 latest>1",
            "docker.io/test/app 1.0=eee9f90bb266 latest>1.0",
        ],
    ),
    (
        "buildah1.28-manifest-all-oci-archive.tar",
        &["./buildah1.28-manifest-all-oci-archive multi=62e72ced71a4"],
    ),
    (
        "buildah1.28-oci-archive.tar",
        &["docker.io/test/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    (
        "podman4.3-docker-archive-m.tar",
        &[
            "127.0.0.1:5000/v2s2/app 2=d9fa8e00172f latest>2",
            "docker.io/test/app 1.0=eee9f90bb266 latest=eee9f90bb266",
            "localhost/app dev=eee9f90bb266",
        ],
    ),
    (
        "podman4.3-docker-archive-twotags.tar",
        &["docker.io/test/app 1.0=eee9f90bb266 latest=eee9f90bb266"],
    ),
    (
        "podman4.3-docker-archive-untagged.tar",
        &["./podman4.3-docker-archive-untagged latest=eee9f90bb266"],
    ),
    (
        "podman4.3-docker-archive.tar",
        &["docker.io/test/app 1.0=eee9f90bb266 latest>1.0"],
    ),
    (
        "podman4.3-oci-archive-untagged.tar",
        &["./podman4.3-oci-archive-untagged latest=5dc587c7ff25"],
    ),
    (
        "podman4.3-oci-archive.tar",
        &["docker.io/test/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    (
        "skopeo1.22-oci-archive-all.tar",
        &["./skopeo1.22-oci-archive-all multi=62e72ced71a4"],
    ),
    (
        "skopeo1.22-oci-archive.tar",
        &["./skopeo1.22-oci-archive v1.0=5dc587c7ff25 latest>v1.0"],
    ),
    (
        "skopeo1.9-docker-archive-untagged.tar",
        &["./skopeo1.9-docker-archive-untagged latest=eee9f90bb266"],
    ),
    (
        "skopeo1.9-docker-archive.tar",
        &["docker.io/test/app 1.0=eee9f90bb266 latest>1.0"],
    ),
    (
        "skopeo1.9-oci-archive-all-fromdocker.tar",
        &["./skopeo1.9-oci-archive-all-fromdocker multi=0dbc816a0917"],
    ),
    (
        "skopeo1.9-oci-archive-all.tar",
        &["./skopeo1.9-oci-archive-all multi=62e72ced71a4"],
    ),
    (
        "skopeo1.9-oci-archive-fullref.tar",
        &["registry.example.com:5000/team/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    (
        "skopeo1.9-oci-archive-noref.tar",
        &["./skopeo1.9-oci-archive-noref latest=5dc587c7ff25"],
    ),
    (
        "skopeo1.9-oci-archive.tar",
        &["./skopeo1.9-oci-archive v1.0=5dc587c7ff25 latest>v1.0"],
    ),
];

/// crane, oras, umoci, and layouts that are folders.
pub(super) const OTHERS: &[Row] = &[
    // The tag in the file is `i-was-a-digest`, which means that there is none.
    (
        "crane0.20-bydigest.tar",
        &["127.0.0.1:5000/oci/app @dcc53c71ee6f"],
    ),
    (
        "crane0.20-legacy.tar",
        &["127.0.0.1:5000/oci/app 1=eee9f90bb266 latest>1"],
    ),
    (
        "crane0.20-tarball.tar",
        &["127.0.0.1:5000/oci/app 1=dcc53c71ee6f latest>1"],
    ),
    (
        "oras1.3-backup.tar",
        &["./oras1.3-backup 1=5dc587c7ff25 latest>1"],
    ),
    (
        "umoci0.4-layout-bsdtar.tar",
        &[
            "./umoci0.4-layout-bsdtar empty=e13918d95ce1 v1=27ea78a87a0d latest=d2973cc01a25 v2=607dab7ecc91",
        ],
    ),
    (
        "umoci0.4-layout-gnutar-dot.tar",
        &[
            "./umoci0.4-layout-gnutar-dot empty=e13918d95ce1 v1=27ea78a87a0d latest=d2973cc01a25 v2=607dab7ecc91",
        ],
    ),
    (
        "umoci0.4-layout-gnutar-pax.tar",
        &[
            "./umoci0.4-layout-gnutar-pax empty=e13918d95ce1 v1=27ea78a87a0d latest=d2973cc01a25 v2=607dab7ecc91",
        ],
    ),
    (
        "dirs/crane0.20-oci",
        &[
            "127.0.0.1:5000/v2s2/app 2=728953661e64 latest>2",
            "./crane0.20-oci @5dc587c7ff25",
        ],
    ),
    // The platforms are listed at the top, too: they are no images of their own.
    (
        "dirs/oras1.3-layout",
        &["./oras1.3-layout v1=5dc587c7ff25 multi=62e72ced71a4 latest>v1"],
    ),
    (
        "dirs/podman4.3-oci-dir",
        &["docker.io/test/app 1.0=5dc587c7ff25 latest>1.0"],
    ),
    (
        "dirs/skopeo1.22-oci-layout",
        &["./skopeo1.22-oci-layout app1=a55f10abbe35 app2=e69b1a8f9d9f multi=62e72ced71a4"],
    ),
    (
        "dirs/umoci0.4-layout",
        &[
            "./umoci0.4-layout empty=e13918d95ce1 v1=27ea78a87a0d latest=d2973cc01a25 v2=607dab7ecc91",
        ],
    ),
];

/// What skopeo calls `dir:`: folders with the manifest in `manifest.json` and every blob under its bare digest.
pub(super) const FLAT: &[Row] = &[
    // The layers are plain tars, although the stored manifest says gzip: it is served as it is.
    (
        "dirs/podman4.3-docker-dir",
        &["./podman4.3-docker-dir latest=0106c79ccc5c"],
    ),
    (
        "dirs/podman4.3-docker-dir-compress",
        &["./podman4.3-docker-dir-compress latest=dcc53c71ee6f"],
    ),
    (
        "dirs/skopeo1.22-dir",
        &["./skopeo1.22-dir latest=dcc53c71ee6f"],
    ),
];

/// One repository as a table tells it, or as the product lists it.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The host with its port; none where the name is made from the path.
    pub(super) host: Option<String>,
    pub(super) path: String,
    /// The tags of the archive, with the beginnings of digests, or all of them.
    pub(super) tags: BTreeMap<String, String>,
    /// What `latest` means without the archive saying so.
    pub(super) latest: Option<String>,
    /// The beginnings of the digests of what has no tag.
    pub(super) untagged: Vec<String>,
}

/// Reads the rows of one archive.
pub(super) fn repositories(rows: &[&str]) -> Vec<Repository> {
    rows.iter().map(|row| Repository::parse(row)).collect()
}

impl Repository {
    fn parse(row: &str) -> Self {
        let mut words = row.split(' ');
        let (host, path) = words
            .next()
            .and_then(|name| name.split_once('/'))
            .expect("a host and a path");
        let mut repository = Self {
            host: (host != ".").then(|| host.to_owned()),
            path: path.to_owned(),
            tags: BTreeMap::new(),
            latest: None,
            untagged: Vec::new(),
        };
        for word in words {
            if let Some(digest) = word.strip_prefix('@') {
                repository.untagged.push(digest.to_owned());
            } else if let Some(tag) = word.strip_prefix("latest>") {
                repository.latest = Some(tag.to_owned());
            } else {
                let (tag, digest) = word.split_once('=').expect("a tag and its digest");
                repository.tags.insert(tag.to_owned(), digest.to_owned());
            }
        }
        repository
    }

    /// Reads one of `repositories` in what `list --json` writes.
    pub(super) fn listed(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let bare = |image: &Value| {
            let digest = image["digest"].as_str().expect("a digest");
            digest.trim_start_matches("sha256:").to_owned()
        };
        let mut repository = Self {
            host: text(&entry["host"]),
            path: text(&entry["path"]).expect("a path"),
            tags: BTreeMap::new(),
            latest: None,
            untagged: Vec::new(),
        };
        for image in entry["tags"].as_array().expect("tags") {
            match text(&image["automatic"]) {
                Some(target) => repository.latest = Some(target),
                None => {
                    let tag = text(&image["tag"]).expect("a tag");
                    repository.tags.insert(tag, bare(image));
                }
            }
        }
        let untagged = entry["untagged"].as_array().into_iter().flatten();
        repository.untagged.extend(untagged.map(bare));
        repository
    }

    /// `HOST/PATH:TAG` for each tag, `HOST/PATH@` for what has none; the host is `.` where there is none.
    pub(crate) fn references(&self) -> Vec<String> {
        let name = format!("{}/{}", self.host.as_deref().unwrap_or("."), self.path);
        let tagged = self.tags.keys().map(|tag| format!("{name}:{tag}"));
        let untagged = self.untagged.iter().map(|_| format!("{name}@"));
        tagged.chain(untagged).collect()
    }

    /// Where its images are, by their digests: only of one that is listed, where those are whole.
    pub(crate) fn manifests(&self) -> BTreeSet<String> {
        let digests = self.tags.values().chain(&self.untagged);
        digests
            .map(|digest| format!("/v2/{}/manifests/sha256:{digest}", self.path))
            .collect()
    }

    /// The tags, an automatic `latest` included.
    pub(super) fn all_tags(&self) -> BTreeMap<String, String> {
        let latest = self
            .latest
            .iter()
            .map(|tag| ("latest".to_owned(), self.tags[tag].clone()));
        self.tags.clone().into_iter().chain(latest).collect()
    }

    /// The name in lists: what people type for Docker Hub's own images has no `library/`.
    pub(super) fn shown(&self) -> &str {
        let own = self.path.strip_prefix("library/");
        own.filter(|_| self.host.as_deref() == Some("docker.io"))
            .unwrap_or(&self.path)
    }

    /// Every name by which it can be asked for without a namespace.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let host = self.host.as_ref().map(|host| {
            let host = host
                .rsplit_once(':')
                .map_or(host.as_str(), |(host, _)| host);
            format!("{host}/{}", self.path)
        });
        let plain = [self.path.clone(), self.shown().to_owned()];
        plain.into_iter().chain(host).collect()
    }
}
