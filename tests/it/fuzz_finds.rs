//! What fuzzing found: each find as a fixture of its own.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{
    Blob, Descriptor, DockerArchive, Header, IMAGE_NAME, Image, Index, Layout, Naming, Node as _,
    Packing, Tar, Tree, blob_path,
};
use crate::server::{Response, Server};

const NAME: &str = "docker.io/acme/app:1";
const INDEX: &str = "index.json";
const DOCKER: &str = "manifest.json";
/// How much memory the server may have used at most, whatever it is given.
const MEMORY: u64 = 64 << 20;
/// How long an archive may take until all is served, whatever is in it. What takes quadratic time takes longer without
/// optimization.
const START: Duration = Duration::from_secs(10);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A server of one archive, and its folder.
struct Served {
    server: Server,
    _folder: TempDir,
}

impl Served {
    fn new(tree: &Tree) -> Self {
        Self::of(&tree.tar(&Packing::SORTED))
    }

    fn of(archive: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("found.tar"), archive).expect("a file");
        Self {
            server: Server::serving(folder.path()),
            _folder: folder,
        }
    }

    fn manifest(&self, reference: &str) -> Response {
        self.server
            .get(&format!("/v2/acme/app/manifests/{reference}"))
    }

    /// The image is there under its tag.
    fn check_served(&self, image: &Image) {
        let answer = self.manifest("1");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body, image.manifest().bytes);
    }

    /// Nothing is there.
    fn check_refused(&self, what: &str) {
        let catalog = self.server.get("/v2/_catalog").json();
        assert_eq!(catalog["repositories"], json!([]), "{what}");
    }

    fn check_memory(&self, what: &str) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid()));
        // Only Linux tells.
        let Ok(status) = status else { return };
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let peak: u64 = peak.expect("a peak").parse().expect("a number");
        assert!(peak << 10 < MEMORY, "{what}: {} MiB", peak >> 10);
    }
}

fn layout(image: &Image) -> Tree {
    Layout::new().named(image, NAME).tree()
}

/// The layout of an image, with another `index.json`.
fn listed_as(image: &Image, index: impl Into<Vec<u8>>) -> Tree {
    layout(image).replace(INDEX, index)
}

fn entry(image: &Image) -> Value {
    let Descriptor {
        media_type,
        digest,
        size,
        ..
    } = image.descriptor();
    json!({"mediaType": media_type, "digest": digest, "size": size, "annotations": {IMAGE_NAME: NAME}})
}

/// Other readers take nothing but digits for a port.
#[test]
fn a_port_with_a_plus() {
    let image = Image::new("app");
    let name = "h.example:+80/acme/app:1";
    let served = Served::new(&Layout::new().named(&image, name).tree());
    served.server.wait_for_stderr("the host is not valid");
}

/// A list of its fields in their order is no object for any other reader.
#[test]
fn lists_in_the_place_of_objects() {
    let image = Image::new("app");
    let Descriptor {
        media_type,
        digest,
        size,
        ..
    } = image.descriptor();
    let fields = json!([media_type, digest, size, null, {IMAGE_NAME: NAME}]);
    let index = json!({"schemaVersion": 2, "manifests": [fields]}).to_string();
    Served::new(&listed_as(&image, index)).check_refused(INDEX);

    let docker = DockerArchive::new(Naming::Skopeo).image(&image, Some(&["acme/app:1"]));
    let members = docker.tree();
    let written = written_docker_manifest(&members);
    let item = &written[0];
    let items = json!([[item["Config"], item["RepoTags"], item["Layers"]]]).to_string();
    Served::new(&members.replace(DOCKER, items)).check_refused(DOCKER);

    let mut manifest: Value = serde_json::from_slice(&image.manifest().bytes).expect("JSON");
    let config = &manifest["config"];
    manifest["config"] = json!([config["mediaType"], config["digest"], config["size"]]);
    let manifest = Blob::new(manifest.to_string());
    let root = Descriptor::new(&media_type, &manifest).annotation(IMAGE_NAME, NAME);
    let tree = Layout::new()
        .described(root)
        .blob(manifest)
        .blob(image.config())
        .tree();
    Served::new(&tree).check_refused("config");
}

/// The `manifest.json` of a Docker archive.
fn written_docker_manifest(members: &Tree) -> Value {
    let bytes = members.tar(&Packing::SORTED);
    let mut archive = ::tar::Archive::new(bytes.as_slice());
    let mut entries = archive
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("a member"));
    let entry = entries
        .find(|entry| entry.path().is_ok_and(|path| path.as_os_str() == DOCKER))
        .expect("a manifest.json");
    serde_json::from_reader(entry).expect("JSON")
}

/// One entry is bad; it does not hide the other.
#[test]
fn an_entry_that_is_not_utf_8() {
    let image = Image::new("app");
    let index = json!({"schemaVersion": 2, "manifests": [{"x": "BAD"}, entry(&image)]});
    let text = index.to_string();
    let (front, back) = text.split_once("BAD").expect("it is there");
    let bytes = [front.as_bytes(), b"\xff", back.as_bytes()].concat();
    Served::new(&listed_as(&image, bytes)).check_served(&image);
}

/// The manifest that is made for a Docker archive, and other bytes that claim to be it.
#[test]
fn bytes_that_claim_to_be_what_is_made() {
    let image = Image::new("app");
    let docker = DockerArchive::new(Naming::Skopeo).image(&image, Some(&["acme/app:1"]));
    let made = Served::new(&docker.tree()).manifest("1");
    let digest = made
        .header("docker-content-digest")
        .expect("a digest")
        .to_owned();
    let tree = docker
        .tree()
        .file(&blob_path(&digest), b"other".as_slice())
        .file(INDEX, r#"{"schemaVersion":2,"manifests":[]}"#)
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let served = Served::new(&tree);
    assert_eq!(served.manifest("1").body, made.body);
    assert_eq!(served.manifest(&digest).body, made.body);
    let blob = served.server.get(&format!("/v2/acme/app/blobs/{digest}"));
    assert_eq!((blob.status, blob.body), (200, made.body));
}

/// An index that is wrong about an image's length harms only itself.
#[test]
fn an_index_that_lies_about_an_image() {
    let image = Image::new("app");
    let mut wrong = image.descriptor();
    wrong.size += 1;
    let index = Index::new().with_described(wrong, &image);
    let layout = Layout::new()
        .named(&image, NAME)
        .named(&index, "docker.io/acme/index:1");
    Served::new(&layout.tree()).check_served(&image);
}

/// `piece` so often that it is `length` bytes, between `front` and `back`.
fn repeated(front: &str, piece: &str, back: &str, length: usize) -> Vec<u8> {
    [front, &piece.repeat(length / piece.len()), back]
        .concat()
        .into_bytes()
}

/// Lists of what is no image may be as long as the document.
#[test]
fn long_lists_of_nothing() {
    let length = 19 << 20;
    let empty = || Tree::default().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    for piece in ["0,", r#"{"digest":"","size":0},"#] {
        let index = repeated(r#"{"manifests":["#, piece, "0]}", length);
        Served::new(&empty().file(INDEX, index)).check_memory(INDEX);
    }
    for piece in ["0,", r#"{"Config":"","Layers":[]},"#] {
        let items = repeated("[", piece, "0]", length);
        Served::new(&empty().file(DOCKER, items)).check_memory(DOCKER);
    }
}

/// A configuration with lists as long as it may be.
#[test]
fn long_lists_in_a_configuration() {
    let length = 7 << 20;
    let ends = [
        (
            "history",
            r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"history":["#,
            "0,",
            "0]}",
        ),
        (
            "rootfs",
            r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["#,
            r#""","#,
            r#"""]}}"#,
        ),
    ];
    for (what, front, piece, back) in ends {
        let config = Blob::new(repeated(front, piece, back, length));
        Served::new(&image_with(&config, &json!({}))).check_memory(what);
    }
}

/// A manifest with as many layers or annotations as fit.
#[test]
fn long_lists_in_manifests() {
    let config = empty_config();
    let layers = json!(vec![json!({"digest": "", "size": 0}); (3 << 20) / 24]);
    Served::new(&image_with(&config, &json!({"layers": layers}))).check_memory("layers");
    let annotations: serde_json::Map<_, _> = (0..(3 << 20) / 14)
        .map(|number| (number.to_string(), json!("")))
        .collect();
    let manifest =
        json!({"annotations": annotations, "subject": {"digest": config.digest, "size": 1}});
    Served::new(&image_with(&config, &manifest)).check_memory("annotations");
}

/// A layout of one image with this configuration; its manifest has `fields` besides.
fn image_with(config: &Blob, fields: &Value) -> Tree {
    let manifest = manifest_with(config, fields);
    let root = Descriptor::new(MANIFEST, &manifest).annotation(IMAGE_NAME, NAME);
    Layout::new()
        .described(root)
        .blob(manifest)
        .blob(config.clone())
        .tree()
}

/// A manifest with this configuration, no layers, and `fields` besides or instead.
fn manifest_with(config: &Blob, fields: &Value) -> Blob {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.bytes.len()},
        "layers": [],
    });
    for (key, value) in fields.as_object().expect("fields") {
        manifest[key] = value.clone();
    }
    Blob::new(manifest.to_string())
}

/// The configuration of an image without layers.
fn empty_config() -> Blob {
    Blob::new(r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#)
}

/// A text with as many short annotations as are read of one document.
fn annotations() -> String {
    let all: Vec<String> = (0..9_900)
        .map(|number| format!(r#""{number}":"""#))
        .collect();
    format!("{{{}}}", all.join(","))
}

/// No list is too long, and there are many of them.
#[test]
fn many_lists_in_one_document() {
    let empty = || Tree::default().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let layers = r#""a","#.repeat(9_900);
    let item = format!(r#"{{"Config":"","Layers":[{layers}"a"]}},"#);
    let items = repeated("[", &item, "0]", 18 << 20);
    Served::new(&empty().file(DOCKER, items)).check_memory(DOCKER);
    let entry = format!(
        r#"{{"digest":"","size":0,"annotations":{}}},"#,
        annotations()
    );
    let index = repeated(r#"{"manifests":["#, &entry, "0]}", 16 << 20);
    Served::new(&empty().file(INDEX, index)).check_memory(INDEX);
}

/// No document has too much of anything, and there are many of them.
#[test]
fn many_lists_in_many_documents() {
    let config = empty_config();
    let annotations: Value = serde_json::from_str(&annotations()).expect("JSON");
    let subject = json!({"digest": config.digest, "size": 1});
    let layout = (0..150).fold(Layout::new().blob(config.clone()), |layout, number| {
        let fields = json!({"n": number, "annotations": annotations, "subject": subject});
        let manifest = manifest_with(&config, &fields);
        let root = Descriptor::new(MANIFEST, &manifest);
        layout.described(root).blob(manifest)
    });
    Served::new(&layout.tree()).check_memory("annotations");

    let layout = (0..500).fold(Layout::new(), |layout, number| {
        let front = format!(
            r#"{{"os":"linux","architecture":"amd64","n":{number},"rootfs":{{"diff_ids":["#
        );
        let config = Blob::new(repeated(&front, r#""","#, r#"""]}}"#, 9_900 * 3));
        let manifest = manifest_with(&config, &json!({}));
        let root = Descriptor::new(MANIFEST, &manifest);
        layout.described(root).blob(manifest).blob(config)
    });
    Served::new(&layout.tree()).check_memory("diff IDs");
}

fn check_time(what: &str, tree: &Tree) -> Served {
    let began = Instant::now();
    let served = Served::new(tree);
    assert!(began.elapsed() < START, "{what}: {:?}", began.elapsed());
    served
}

/// Thousands of images share one configuration, and no stored manifest fits.
#[test]
fn a_configuration_that_all_images_share() {
    let config = empty_config();
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{}", "1".repeat(64)), "size": 5});
    let count = 4_000;
    let layout = (0..count).fold(Layout::new().blob(config.clone()), |layout, number| {
        let manifest = manifest_with(&config, &json!({"n": number, "layers": [layer]}));
        let root = Descriptor::new(MANIFEST, &manifest);
        layout.described(root).blob(manifest)
    });
    let items: Vec<Value> = (0..count)
        .map(|number| json!({"Config": blob_path(&config.digest), "RepoTags": [format!("acme/app:{number}")], "Layers": []}))
        .collect();
    check_time(
        "images",
        &layout.tree().file(DOCKER, Value::Array(items).to_string()),
    );
}

/// An image that `index.json` names very often, and `manifest.json` otherwise and even more often.
#[test]
fn an_image_of_many_names() {
    let config = empty_config();
    let manifest = manifest_with(&config, &json!({}));
    let root = Descriptor::new(MANIFEST, &manifest);
    let layout = Layout::new().blob(config.clone()).blob(manifest);
    let layout = (0..2_000).fold(layout, |layout, number| {
        layout.described(
            root.clone()
                .annotation(IMAGE_NAME, &format!("acme/other:{number}")),
        )
    });
    let items: Vec<Value> = (0..120)
        .map(|item| {
            let tags: Vec<String> = (0..1_000)
                .map(|tag| format!("acme/app:{item}-{tag}"))
                .collect();
            json!({"Config": blob_path(&config.digest), "RepoTags": tags, "Layers": []})
        })
        .collect();
    let served = check_time(
        "names",
        &layout.tree().file(DOCKER, Value::Array(items).to_string()),
    );
    served.check_memory("names");
}

/// Each says something about the one before it, so that only the first one's place is known at once.
#[test]
fn what_is_about_what_is_about_an_image() {
    let config = empty_config();
    let mut subject = Value::Null;
    let mut layout = Layout::new().blob(config.clone());
    for number in 0..6_000 {
        let manifest = manifest_with(&config, &json!({"n": number, "subject": subject}));
        let root = Descriptor::new(MANIFEST, &manifest);
        subject =
            json!({"mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.bytes.len()});
        let root = if number == 0 {
            root.annotation(IMAGE_NAME, NAME)
        } else {
            root
        };
        layout = layout.described(root).blob(manifest);
    }
    check_time("subjects", &layout.tree());
}

/// A document that is read for each of its names.
#[test]
fn a_document_of_many_names() {
    let config = empty_config();
    let manifest = manifest_with(&config, &json!({}));
    let root = Descriptor::new(MANIFEST, &manifest).annotation(IMAGE_NAME, NAME);
    let layout = (0..9_000).fold(Layout::new(), |layout, _| layout.described(root.clone()));
    let layout = layout.blob(manifest).blob(config.clone()).tree();
    let tree = (0..100).fold(layout, |tree, number| {
        tree.symlink(&format!("{number}/{INDEX}"), &format!("../{INDEX}"))
            .symlink(&format!("{number}/oci-layout"), "../oci-layout")
    });
    Served::new(&tree).check_memory(INDEX);

    let item = json!({"Config": "config", "RepoTags": ["acme/app:1"], "Layers": []});
    let items = Value::Array(vec![item; 9_000]).to_string();
    let docker = Tree::default()
        .file("config", config.bytes.clone())
        .file(DOCKER, items);
    let tree = (0..100).fold(docker, |tree, number| {
        tree.symlink(&format!("{number}/{DOCKER}"), &format!("../{DOCKER}"))
            .symlink(&format!("{number}/config"), "../config")
    });
    Served::new(&tree).check_memory(DOCKER);
}

/// A large configuration that is hashed for each of its names.
#[test]
fn a_configuration_of_many_names() {
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "x": "x".repeat(7 << 20)});
    let count = 3_000;
    let docker = Tree::default().file("config", config.to_string());
    let tree = (0..count).fold(docker, |tree, number| {
        tree.symlink(&format!("{number}"), "config")
    });
    let items: Vec<Value> = (0..count)
        .map(|number| json!({"Config": number.to_string(), "RepoTags": ["acme/app:1"], "Layers": []}))
        .collect();
    check_time(
        "one configuration",
        &tree.file(DOCKER, Value::Array(items).to_string()),
    );
}

/// Targets of links count like names.
#[test]
fn links_with_long_targets() {
    let target = "x".repeat(1_000_000);
    let mut tar = Tar::new();
    for number in 0..100 {
        let link = Header::new(&number.to_string(), b'2', 0);
        tar.pax(&[("linkpath", &target)]).member(&link, &[]);
    }
    Served::of(&tar.finish()).check_memory("links");
}
