//! What the clients ask for: images of both families, a referrer, and the words that stand for them in a recording.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::fixture::{Blob, Family, Image, Index, Layer, Layout, Node};
use crate::server::Server;

const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// Configurations and layers are the same in both families, and are sent as bytes of any kind.
const BYTES: &str = "application/octet-stream";

/// Made once: what does not compress takes its time.
static LAYERS: LazyLock<[Layer; 2]> = LazyLock::new(|| {
    // podman asks for the rest of a broken transfer only if more than a megabyte has come.
    let data = noise(1_500_000);
    ARCHITECTURES.map(|architecture| Layer::files(&[(architecture, &data)]).fast_gzip())
});

/// One thing that can be asked for.
struct Item {
    media_type: String,
    blob: Blob,
}

/// A running server, and what it has by the words of the recordings.
pub(super) struct Shelf {
    pub(super) server: Server,
    items: BTreeMap<String, Item>,
    _folder: TempDir,
}

impl Shelf {
    /// `acme/app:1.0` is an OCI index with a referrer, `acme/old:1` a manifest list of docker's.
    pub(super) fn new() -> Self {
        let (app, old) = (index(Family::Oci), index(Family::Docker));
        let note = note(&app);
        let archive = Layout::new()
            .named(&app, "docker.io/acme/app:1.0")
            .entry(&note, &[])
            .named(&old, "docker.io/acme/old:1")
            .tar();
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("all.tar"), archive).expect("a file");
        Self {
            server: Server::serving(folder.path()),
            items: items(&app, &old, &note),
            _folder: folder,
        }
    }

    /// The bytes that a word stands for.
    ///
    /// # Panics
    ///
    /// If it stands for none.
    pub(super) fn bytes(&self, word: &str) -> &[u8] {
        let item = self.items.get(word);
        &item
            .unwrap_or_else(|| panic!("nothing is called `{word}`"))
            .blob
            .bytes
    }

    /// The text with a value for each word in braces: `{host}`, `{app}` for the digest, and with `.hex`, `.type`,
    /// `.length` and `.last` for its digits, the media type, the length, and the position of the last byte.
    pub(super) fn fill(&self, text: &str) -> String {
        let filled = text.replace("{host}", self.server.authority());
        self.items.iter().fold(filled, |text, (word, item)| {
            if !text.contains(word) {
                return text;
            }
            let Item { media_type, blob } = item;
            let length = blob.bytes.len();
            text.replace(&format!("{{{word}}}"), &blob.digest)
                .replace(&format!("{{{word}.hex}}"), &blob.digest["sha256:".len()..])
                .replace(&format!("{{{word}.type}}"), media_type)
                .replace(&format!("{{{word}.length}}"), &length.to_string())
                .replace(&format!("{{{word}.last}}"), &(length - 1).to_string())
        })
    }
}

fn items(app: &Index, old: &Index, note: &Image) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    let mut add = |word: &str, media_type: &str, blob: Blob| {
        let media_type = media_type.to_owned();
        items.insert(word.to_owned(), Item { media_type, blob });
    };
    add("app", &app.descriptor().media_type, app.manifest());
    add("old", &old.descriptor().media_type, old.manifest());
    add("note", &note.descriptor().media_type, note.manifest());
    add("absent", BYTES, Blob::new("what nobody has"));
    for (architecture, layer) in ARCHITECTURES.iter().zip(LAYERS.iter()) {
        for (name, family) in [("app", Family::Oci), ("old", Family::Docker)] {
            let image = image(family, architecture, layer);
            let media_type = image.descriptor().media_type;
            let word = format!("{name}.{architecture}");
            add(&word, &media_type, image.manifest());
            add(&format!("{word}.config"), BYTES, image.config());
            add(&format!("{word}.layer"), BYTES, layer.blob());
        }
    }
    items
}

fn index(family: Family) -> Index {
    let index = Index::new().family(family);
    let images = ARCHITECTURES.iter().zip(LAYERS.iter());
    images.fold(index, |index, (architecture, layer)| {
        index.with(&image(family, architecture, layer))
    })
}

fn image(family: Family, architecture: &str, layer: &Layer) -> Image {
    Image::new("app")
        .family(family)
        .platform(&format!("linux/{architecture}"))
        .layers([layer.clone()])
}

fn note(subject: &Index) -> Image {
    Image::new("note")
        .subject(subject)
        .artifact_type("application/vnd.example.note")
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
