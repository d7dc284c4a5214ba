//! Folders that are unpacked Docker archives, or what skopeo calls a `dir:`.
//!
//! Such a folder has a `manifest.json`, as many other folders do, but one that is a list, or has a `version` beside it; and
//! something that is called by a digest. What the file tells of its folder is remembered from one walk to the next, so that it
//! is not opened as long as it stays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::Identity;

/// As much of a `manifest.json` is read to see what belongs to it.
const MAX_MANIFEST: u64 = 20 << 20;

/// What else than blobs lies in an unpacked archive.
const UNPACKED: [&str; 7] = [
    "manifest.json",
    "repositories",
    "version",
    "index.json",
    "oci-layout",
    "config.json",
    "blobs",
];

/// Whether a folder in which these are the `names` may be an unpacked archive, if its `manifest.json` tells so.
pub(super) fn may_be_unpacked(names: &[String]) -> bool {
    names.iter().any(|name| name == "manifest.json") && names.iter().any(|name| is_digest(name))
}

/// What a `manifest.json` tells of its folder.
#[derive(Debug)]
pub(super) struct Manifest {
    identity: Identity,
    /// Whether it would show if it were written to after it was read.
    is_old: bool,
    is_list: bool,
    /// The names in its folder that were looked for in it: its own text may be long.
    asked: BTreeSet<String>,
    /// Those of them that belong to the archive.
    parts: BTreeSet<String>,
}

impl Manifest {
    /// Reads the file at `path`, which had this `identity` before, in a folder in which these are the `names`.
    ///
    /// # Errors
    /// As the system tells them.
    pub(super) fn read(path: &Path, identity: Identity, names: &[String]) -> io::Result<Self> {
        let began = SystemTime::now();
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_MANIFEST)
            .read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let is_part = |name: &&String| {
            is_digest(name)
                || UNPACKED.contains(&name.as_str())
                || text.contains(&format!("\"{name}\""))
                || text.contains(&format!("\"{name}/"))
        };
        Ok(Self {
            identity,
            is_old: identity.would_show_change(began),
            is_list: bytes.trim_ascii_start().first() == Some(&b'['),
            asked: names.iter().cloned().collect(),
            parts: names.iter().filter(is_part).cloned().collect(),
        })
    }

    /// Whether its folder, in which these are the `names`, is an archive.
    pub(super) fn is_of_archive(&self, names: &[String]) -> bool {
        self.is_list || names.iter().any(|name| name == "version")
    }

    /// Whether the file or folder `name` belongs to the archive: people put archives beside whatever lies there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.parts.contains(name)
    }

    fn holds_for(&self, identity: &Identity, names: &[String]) -> bool {
        self.is_old
            && self.identity == *identity
            && names.iter().all(|name| self.asked.contains(name))
    }
}

/// What was read of each `manifest.json` beneath a root, by its folder.
#[derive(Debug, Default)]
pub struct Manifests(BTreeMap<PathBuf, Arc<Manifest>>);

impl Manifests {
    /// What is known of the file with this `identity` in the `folder`, in which these are the `names`.
    pub(super) fn known(
        &self,
        folder: &Path,
        identity: &Identity,
        names: &[String],
    ) -> Option<Arc<Manifest>> {
        let known = self.0.get(folder)?;
        known.holds_for(identity, names).then(|| Arc::clone(known))
    }

    pub(super) fn keep(&mut self, folder: &Path, manifest: &Arc<Manifest>) {
        self.0.insert(folder.to_owned(), Arc::clone(manifest));
    }
}

/// Whether a file's name is 64 or 128 hexadecimal digits, perhaps with an algorithm before and extensions behind.
fn is_digest(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let hex = stem.rsplit([':', '-']).next().unwrap_or(stem);
    matches!(hex.len(), 64 | 128) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
