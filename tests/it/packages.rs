//! A folder of archives that a test fills and changes, also while it is served.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{Blob, Packing, Tree, encoded};
use crate::listing::{Listing, list};
use crate::server::Server;

/// A packages folder.
pub(crate) struct Packages(TempDir);

impl Packages {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Puts a file there.
    pub(crate) fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.put(name, bytes);
        self
    }

    /// Puts a file there, all at once.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let (path, unfinished) = self.places(name);
        fs::write(&unfinished, bytes).expect("a file");
        fs::rename(&unfinished, path).expect("a new name");
    }

    /// Puts a folder there, all at once.
    pub(crate) fn put_folder(&self, name: &str, tree: &Tree) {
        let (path, unfinished) = self.places(name);
        tree.write_to(&unfinished);
        fs::rename(&unfinished, path).expect("a new name");
    }

    /// Takes a file or a folder away.
    pub(crate) fn remove(&self, name: &str) {
        let path = self.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("a folder to remove");
        } else {
            fs::remove_file(path).expect("a file to remove");
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What `list --json` says.
    pub(crate) fn list(&self) -> Listing {
        Listing::of(self.path())
    }

    /// A server that soon sees what changes here.
    pub(crate) fn serve(&self, options: &[&str]) -> Server {
        let path = self.path().to_str().expect("an ASCII path");
        Server::start([&["--refresh", "20ms", "--packages", path], options].concat())
    }

    /// Where something goes, and where it is until it is complete.
    fn places(&self, name: &str) -> (PathBuf, PathBuf) {
        let path = self.path().join(name);
        let folder = path.parent().expect("a name has a folder");
        fs::create_dir_all(folder).expect("a folder");
        (path, self.path().join(".unfinished"))
    }
}

/// The tar that most tools would write.
pub(crate) fn tar(tree: &Tree) -> Vec<u8> {
    tree.tar(&Packing::SORTED)
}

/// Writes so many small archives `NUMBER.tar`, each with an image `acme/app/NUMBER:1`; gives the configuration and the layer
/// of each.
pub(crate) fn many(folder: &Path, count: usize) -> Vec<[Blob; 2]> {
    let put = |number| {
        let (tar, blobs) = small(number);
        fs::write(folder.join(format!("{number}.tar")), tar).expect("a file");
        blobs
    };
    (0..count).map(put).collect()
}

/// One of them. It is made of as little as possible, because there may be thousands.
fn small(number: usize) -> (Vec<u8>, [Blob; 2]) {
    let layer = Blob::new(format!("layer {number}"));
    let config = Blob::new(format!(
        r#"{{"architecture": "amd64", "os": "linux", "rootfs": {{"type": "layers", "diff_ids": ["{}"]}}}}"#,
        layer.digest
    ));
    let [config_name, layer_name] = [(&config, "json"), (&layer, "tar")]
        .map(|(blob, extension)| format!("{}.{extension}", encoded(&blob.digest)));
    let manifest = format!(
        r#"[{{"Config": "{config_name}", "RepoTags": ["acme/app/{number}:1"], "Layers": ["{layer_name}"]}}]"#
    );
    let tree = Tree::default()
        .file(&config_name, config.bytes.as_slice())
        .file(&layer_name, layer.bytes.as_slice())
        .file("manifest.json", manifest);
    (tree.tar(&Packing::default()), [config, layer])
}

/// The problems that are more than a note: `SEVERITY KIND FILE`.
pub(crate) fn problems(listing: &Listing) -> Vec<String> {
    let problems = list(&listing.0["problems"]).iter();
    let problems = problems.filter(|problem| problem["severity"] != "note");
    problems
        .map(|problem| {
            let text = |key: &str| problem[key].as_str().expect("a text");
            let file = Path::new(text("file")).file_name().expect("a name");
            let (severity, kind) = (text("severity"), text("kind"));
            format!("{severity} {kind} {}", file.to_string_lossy())
        })
        .collect()
}
