//! Bad input: each piece of it lies beside a good archive, is told by file and remedy, and costs nothing else.

mod bombs;
mod files;
mod names;
mod start;
mod tars;
mod traps;
mod truncated;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{
    Blob, Descriptor, DockerArchive, IMAGE_NAME, Image, Index, Layer, Layout, Naming, Node,
    Packing, REF_NAME, Tree, blob_path, gzip, sha256,
};
use crate::needs::{Finished, run};
use crate::server::{Response, Server, binary, command};

/// How long a command that ends by itself may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The repository of the good archive.
const GOOD: &str = "acme/good";
const BAD_NAME: &str = "docker.io/acme/bad:1";
/// The repository of whatever is wrong.
const BAD: &str = "acme/bad";

/// A folder with a good archive in it.
struct Shelf {
    folder: TempDir,
    good: Image,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let good = Image::new("good");
        let layout = Layout::new().named(&good, &format!("docker.io/{GOOD}:1"));
        fs::write(folder.path().join("good.tar"), layout.tar()).expect("a file");
        Self { folder, good }
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.path().join(name), bytes).expect("a file");
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn serve(&self) -> Server {
        Server::serving(self.path())
    }

    /// The lines on stderr, and the JSON of `list`.
    fn list(&self) -> (Vec<String>, Value) {
        let list = |arguments: &[&str]| {
            let mut command = command(binary());
            run(command.args(arguments).arg(self.path()), LIMIT)
        };
        let people = list(&["list"]);
        let lines = people.stderr.lines().map(str::to_owned).collect();
        assert!(people.success, "problems are no failure: {lines:?}");
        let Finished {
            success, stdout, ..
        } = list(&["list", "--json"]);
        assert!(success, "{stdout}");
        (lines, serde_json::from_str(&stdout).expect("JSON"))
    }

    /// The good archive is served whole.
    fn check_good(&self, server: &Server) {
        check_image(server, GOOD, &self.good);
    }

    /// Of the file `name` exactly these lines are told, by `list` and by the server, and these
    /// repositories are there besides the good one.
    fn check(self, name: &str, says: &[&str], repositories: &[&str]) -> Served {
        let (lines, _) = self.list();
        check_lines(&lines, name, says);
        let server = self.serve();
        for line in &lines {
            server.wait_for_stderr(line);
        }
        let mut expected = [repositories, &[GOOD]].concat();
        expected.sort_unstable();
        assert_eq!(catalog(&server), expected, "{name}");
        self.check_good(&server);
        Served {
            server,
            _shelf: self,
        }
    }
}

/// A server, and what it serves until it is dropped.
struct Served {
    server: Server,
    _shelf: Shelf,
}

impl std::ops::Deref for Served {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// One line for each text, which holds it and names the file, and none besides.
fn check_lines(lines: &[String], name: &str, says: &[&str]) {
    let told = |text: &&&str| {
        let about = |line: &&String| line.contains(&format!("/{name}: ")) && line.contains(**text);
        lines.iter().filter(about).count() == 1
    };
    let missed: Vec<_> = says.iter().filter(|text| !told(text)).collect();
    assert!(
        missed.is_empty(),
        "{name}: not told once: {missed:?}\n{lines:#?}"
    );
    assert_eq!(lines.len(), says.len(), "{name}: {lines:#?}");
    // A problem tells what to do about it.
    assert!(lines.iter().all(|line| line.contains("; ")), "{lines:#?}");
}

/// Puts the bytes beside a good archive under the name.
fn check(name: &str, bytes: &[u8], says: &[&str], repositories: &[&str]) -> Served {
    Shelf::new()
        .with(name, bytes)
        .check(name, says, repositories)
}

fn catalog(server: &Server) -> Vec<String> {
    let answer = server.get("/v2/_catalog").json();
    let names = answer["repositories"].as_array().expect("a list");
    let names = names
        .iter()
        .map(|name| name.as_str().expect("a name").to_owned());
    names.collect()
}

/// The image is served as `repository:1`, with all its blobs.
fn check_image(server: &Server, repository: &str, image: &Image) {
    let manifest = server.get(&format!("/v2/{repository}/manifests/1"));
    assert_eq!(manifest.status, 200, "{}", manifest.text());
    assert_eq!(
        manifest.text(),
        String::from_utf8_lossy(&image.manifest().bytes)
    );
    for blob in &image.blobs()[1..] {
        let answer = get_blob(server, repository, &blob.digest);
        let (digest, text) = (&blob.digest, answer.text());
        assert!(answer.body == blob.bytes, "{digest}: {text}");
    }
}

fn get_blob(server: &Server, repository: &str, digest: &str) -> Response {
    server.get(&format!("/v2/{repository}/blobs/{digest}"))
}

fn check_error(answer: &Response, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["errors"][0]["code"], code);
}

/// The image with which something is wrong, and a layout that holds it.
fn bad() -> (Image, Tree) {
    let image = Image::new("bad");
    let tree = Layout::new().named(&image, BAD_NAME).tree();
    (image, tree)
}

fn tar(tree: &Tree) -> Vec<u8> {
    tree.tar(&Packing::SORTED)
}

fn config_of(image: &Image) -> String {
    image.config().digest
}

fn layer_of(image: &Image) -> String {
    image.blobs().pop().expect("a layer").digest
}

/// The members of a tar, by another reader than the product's.
fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ::tar::Archive::new(bytes);
    let entries = archive.entries().expect("a tar").map(|entry| {
        let mut entry = entry.expect("a member");
        let name = entry
            .path()
            .expect("a name")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).expect("its bytes");
        (name, data)
    });
    entries.filter(|(name, _)| !name.ends_with('/')).collect()
}

/// A layout of one document of any content, named as `docker.io/acme/bad:1`.
fn document(media_type: &str, json: &Value) -> Layout {
    let blob = Blob::new(json.to_string());
    let descriptor = Descriptor::new(media_type, &blob).annotation(IMAGE_NAME, BAD_NAME);
    Layout::new().described(descriptor).blob(blob)
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn no_archive() {
    check(
        "letter.tar",
        b"Dear reader",
        &["it is not a tar archive; remove it, or save the image again, as with `docker save"],
        &[],
    );
    check(
        "empty.tar",
        b"",
        &["the file is empty; remove it, or save the image again"],
        &[],
    );
    let export = crate::fixture::Tar::new().file("etc/hosts", b"").finish();
    check(
        "export.tar",
        &export,
        &["the archive holds no images: neither `index.json` nor `manifest.json`"],
        &[],
    );
}

/// Nothing is wrong with these but that nothing is in them.
#[test]
fn archives_of_nothing() {
    let says = "the archive holds no images";
    check("bad.tar", &[0; 10_240], &[says], &[]);
    check("bad.tar", &Layout::new().tar(), &[says], &[]);
    let docker = DockerArchive::new(Naming::Docker20);
    check("bad.tar", &docker.tar(), &[says], &[]);
}

/// What is not called an archive and is none is not worth a line.
#[test]
fn other_files_are_passed_over() {
    for (name, bytes) in [
        ("notes.txt", &b"Dear reader"[..]),
        ("notes.txt.gz", &gzip(b"Dear reader")),
        ("nothing", b""),
        ("x.tar.part", b"half"),
        (".hidden.tar", b"hidden"),
    ] {
        check(name, bytes, &[], &[]);
    }
    let shelf = Shelf::new().with("notes.txt", b"Dear reader");
    let table = run(command(binary()).arg("list").arg(shelf.path()), LIMIT).stdout;
    assert!(table.contains("Passed over 1 file"), "{table}");
}

#[test]
fn compressed() {
    let archive = gzip(&tar(&bad().1));
    let says = "the archive is compressed with gzip; decompress it, as with `gzip -d`";
    check("bad.tar.gz", &archive, &[says], &[]);
    check("bad.tar", &archive, &[says], &[]);
    let check_magic = |name: &str, magic: &[u8]| {
        check(
            "bad.tar",
            &[magic, &[0; 600]].concat(),
            &[&format!("compressed with {name}; ")],
            &[],
        );
    };
    check_magic("zstd", b"\x28\xb5\x2f\xfd");
    check_magic("xz", b"\xfd7zXZ\0");
    check_magic("bzip2", b"BZh9");
    check_magic("lz4", b"\x04\x22\x4d\x18");
}

#[test]
fn a_layer_is_missing() {
    let (image, tree) = bad();
    let layer = layer_of(&image);
    let server = check(
        "bad.tar",
        &tar(&tree.remove(&blob_path(&layer))),
        &[
            "docker.io/acme/bad:1: 1 blob is missing; add an archive that holds what is missing, or save the image again",
        ],
        &[BAD],
    );
    let manifest = server.get("/v2/acme/bad/manifests/1");
    assert_eq!(
        (manifest.status, manifest.body),
        (200, image.manifest().bytes)
    );
    assert_eq!(
        get_blob(&server, BAD, &config_of(&image)).body,
        image.config().bytes
    );
    check_error(&get_blob(&server, BAD, &layer), 404, "BLOB_UNKNOWN");
}

/// What no manifest can be made of is not there.
#[test]
fn a_layer_is_missing_in_a_docker_archive() {
    for (naming, ending) in [
        (Naming::Docker20, "/layer.tar"),
        (Naming::Skopeo, ".tar"),
        (Naming::Crane, ".tar.gz"),
    ] {
        let layers = [Layer::files(&[("a", b"a")]).gzip()];
        let image = match naming {
            Naming::Crane => Image::new("bad").layers(layers),
            _ => Image::new("bad"),
        };
        let tree = DockerArchive::new(naming)
            .image(&image, Some(&["acme/bad:1"]))
            .tree();
        let names = tree.names();
        let layer = names
            .iter()
            .find(|name| name.ends_with(ending) && !name.starts_with("blobs/"));
        let layer = (*layer.expect("a layer")).to_owned();
        let says = format!("`{layer}` is not in the archive; copy the archive again");
        check(
            "bad.tar",
            &tree.remove(&layer).tar(&Packing::default()),
            &[&says],
            &[],
        );
    }
}

/// Where both halves lack a layer, the stored manifest is still right.
#[test]
fn a_layer_is_missing_in_a_hybrid() {
    let image = Image::new("bad");
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let server = check(
        "bad.tar",
        &tar(&tree.remove(&blob_path(&layer_of(&image)))),
        &[
            "is not in the archive; copy the archive again",
            "1 blob is missing; add an archive that holds what is missing",
        ],
        &[BAD],
    );
    assert_eq!(
        server.get("/v2/acme/bad/manifests/1").body,
        image.manifest().bytes
    );
    check_error(
        &get_blob(&server, BAD, &layer_of(&image)),
        404,
        "BLOB_UNKNOWN",
    );
}

/// Another archive that holds what is missing completes the first.
#[test]
fn two_archives_complete_each_other() {
    let (image, tree) = bad();
    let layer = layer_of(&image);
    let other = Image::new("other").layers([Layer::files(&[("title.txt", b"bad\n")])]);
    let shelf = Shelf::new()
        .with("bad.tar", &tar(&tree.remove(&blob_path(&layer))))
        .with(
            "other.tar",
            &Layout::new().named(&other, "docker.io/acme/other:1").tar(),
        );
    let server = shelf.check("bad.tar", &[], &[BAD, "acme/other"]);
    check_image(&server, BAD, &image);
}

#[test]
fn a_config_is_not_what_its_name_says() {
    let (image, tree) = bad();
    let config = config_of(&image);
    let says = format!("expected the digest {config}, found sha256:");
    let server = check(
        "bad.tar",
        &tar(&tree.corrupt(&blob_path(&config))),
        &[&says, "1 blob is missing"],
        &[BAD],
    );
    check_error(&get_blob(&server, BAD, &config), 404, "BLOB_UNKNOWN");
    for naming in [Naming::Docker20, Naming::Skopeo, Naming::Crane] {
        let tree = DockerArchive::new(naming)
            .image(&image, Some(&["acme/bad:1"]))
            .tree();
        let names = tree.names();
        let hex = config.trim_start_matches("sha256:");
        let member = names
            .iter()
            .find(|name| name.contains(hex))
            .expect("a config");
        let member = (*member).to_owned();
        check(
            "bad.tar",
            &tree.corrupt(&member).tar(&Packing::default()),
            &[&says],
            &[],
        );
    }
}

#[test]
fn a_manifest_is_not_what_its_name_says() {
    let (image, tree) = bad();
    let says = format!("expected the digest {}, found sha256:", image.digest());
    check(
        "bad.tar",
        &tar(&tree.corrupt(&blob_path(&image.digest()))),
        &[&says],
        &[],
    );
}

#[test]
fn a_blob_has_another_size_than_its_descriptor_says() {
    let (image, tree) = bad();
    let layer = layer_of(&image);
    let server = check(
        "bad.tar",
        &tar(&tree.replace(&blob_path(&layer), b"short")),
        &[
            "bytes, found 5; copy the archive again",
            "1 blob is missing",
        ],
        &[BAD],
    );
    check_error(&get_blob(&server, BAD, &layer), 404, "BLOB_UNKNOWN");
}

/// A manifest that lies about the size of a layer must not take it from one that does not.
#[test]
fn a_lie_about_a_size_harms_only_the_liar() {
    let (image, _) = bad();
    let mut lie: Value = serde_json::from_slice(&image.manifest().bytes).expect("JSON");
    lie["layers"][0]["size"] = json!(1);
    let lie = Blob::new(lie.to_string());
    let liar = Descriptor::new(OCI_MANIFEST, &lie).annotation(IMAGE_NAME, "docker.io/acme/liar:1");
    for is_first in [true, false] {
        let mut layout = Layout::new().blob(lie.clone());
        if is_first {
            layout = layout.described(liar.clone());
        }
        layout = layout.named(&image, BAD_NAME);
        if !is_first {
            layout = layout.described(liar.clone());
        }
        let shelf = Shelf::new().with("bad.tar", &layout.tar());
        check_image(&shelf.serve(), BAD, &image);
    }
}

#[test]
fn documents_that_cannot_be_read() {
    let (_, tree) = bad();
    let check_index = |bytes: &[u8], says: &str| {
        check(
            "bad.tar",
            &tar(&tree.clone().replace("index.json", bytes)),
            &[says],
            &[],
        );
    };
    check_index(
        b"",
        "index.json: the manifest is not usable: it cannot be parsed: EOF",
    );
    check_index(
        b"[]",
        "index.json: the manifest is not usable: it cannot be parsed",
    );
    check_index(
        b"{\"manifests\":[",
        "save the image again with a current version of its tool",
    );
    check_index(
        b"{\"manifests\":[],\"manifests\":[]}",
        "duplicate field `manifests`",
    );
    check_index(
        b"{\"manifests\":[{\"digest\":\"sha256:1\",\"size\":-1}]}",
        "it cannot be parsed",
    );
    let docker =
        DockerArchive::new(Naming::Skopeo).image(&Image::new("bad"), Some(&["acme/bad:1"]));
    let docker = docker.tree().replace("manifest.json", b"[{\"Config\":");
    check(
        "bad.tar",
        &tar(&docker),
        &["manifest.json: it cannot be parsed: EOF"],
        &[],
    );
}

/// Nothing that clients would read in two ways.
#[test]
fn manifests_that_contradict_themselves() {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2});
    let check_manifest = |media_type: &str, json: &Value, says: &str| {
        let layout = document(media_type, json).blob(Blob::new("{}"));
        check("bad.tar", &layout.tar(), &[says], &[]);
    };
    check_manifest(
        OCI_MANIFEST,
        &json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []}),
        "it is an image and an index at once",
    );
    check_manifest(
        OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "config": config}),
        "calls itself",
    );
    check_manifest(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        &json!({"schemaVersion": 1, "fsLayers": []}),
        "schema 1",
    );
}

#[test]
fn an_unknown_digest_algorithm() {
    let (image, _) = bad();
    for digest in ["blake3:".to_owned() + &"0".repeat(64), "md5:00".to_owned()] {
        let unknown = Descriptor {
            digest: digest.clone(),
            ..Descriptor::new(OCI_MANIFEST, &Blob::new("x"))
        };
        let layout = Layout::new().described(unknown).named(&image, BAD_NAME);
        let says = format!("index.json: `{digest}` is ");
        let server = check("bad.tar", &layout.tar(), &[&says], &[BAD]);
        check_image(&server, BAD, &image);
        let answer = server.get(&format!("/v2/acme/bad/manifests/{digest}"));
        check_error(&answer, 404, "MANIFEST_UNKNOWN");
    }
}

/// A layer that cannot be verified is not served; the manifest that names it is.
#[test]
fn an_unknown_digest_algorithm_of_a_layer() {
    let digest = format!("blake3:{}", "0".repeat(64));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/x", "digest": digest, "size": 1}],
    });
    let layout = document(OCI_MANIFEST, &manifest).blob(Blob::new("{}"));
    let tree = layout
        .tree()
        .file(&format!("blobs/blake3/{}", "0".repeat(64)), "x");
    let server = check("bad.tar", &tar(&tree), &["is "], &[BAD]);
    assert_eq!(
        server.get("/v2/acme/bad/manifests/1").text(),
        manifest.to_string()
    );
    check_error(&get_blob(&server, BAD, &digest), 404, "BLOB_UNKNOWN");
}

/// A digest in `index.json` without its blob.
#[test]
fn an_entry_without_its_manifest() {
    let (image, tree) = bad();
    let says = format!("index.json: `{}` is not in the archive", image.digest());
    check(
        "bad.tar",
        &tar(&tree.remove(&blob_path(&image.digest()))),
        &[&says],
        &[],
    );
}

#[test]
fn an_image_with_fewer_layers_than_its_config() {
    let two =
        Image::new("bad").layers([Layer::files(&[("a", b"a")]), Layer::files(&[("b", b"b")])]);
    let tree = DockerArchive::new(Naming::Skopeo)
        .image(&two, Some(&["acme/bad:1"]))
        .tree();
    let members = members(&tar(&tree));
    let (_, manifest) = members
        .iter()
        .find(|(name, _)| name == "manifest.json")
        .expect("a manifest");
    let mut items: Value = serde_json::from_slice(manifest).expect("JSON");
    items[0]["Layers"].as_array_mut().expect("layers").pop();
    let tree = tree.replace("manifest.json", items.to_string());
    check(
        "bad.tar",
        &tar(&tree),
        &["the image has 1 layers but its config has 2 diff IDs"],
        &[],
    );
}

/// Docker 25.0.0 wrote layers in another order than the config has them.
#[test]
fn a_stored_manifest_that_does_not_fit() {
    let layers = [Layer::files(&[("a", b"a")]), Layer::files(&[("b", b"b")])];
    let image = Image::new("bad").layers(layers);
    let tree = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    let right = image.manifest();
    let mut wrong: Value = serde_json::from_slice(&right.bytes).expect("JSON");
    wrong["layers"].as_array_mut().expect("layers").reverse();
    let wrong = Blob::new(wrong.to_string());
    let descriptor = Descriptor::new(OCI_MANIFEST, &wrong).annotation(IMAGE_NAME, BAD_NAME);
    let index = Layout::new().described(descriptor).tree();
    let index = members(&tar(&index))
        .into_iter()
        .find(|(name, _)| name == "index.json");
    let tree = tree
        .replace("index.json", index.expect("an index").1)
        .file(&blob_path(&wrong.digest), wrong.bytes.clone());
    let says = format!(
        "the stored manifest {} does not fit the image; one made from `manifest.json`",
        wrong.digest
    );
    let server = check("bad.tar", &tar(&tree), &[&says], &[BAD]);
    check_image(&server, BAD, &image);
    let stored = server.get(&format!("/v2/acme/bad/manifests/{}", wrong.digest));
    assert_eq!((stored.status, stored.body), (200, wrong.bytes));
}

/// An index may hold anything; what is there of it is served.
#[test]
fn an_index_of_odd_things() {
    let (image, _) = bad();
    let absent = Descriptor::new(OCI_MANIFEST, &Blob::new("absent"));
    let odd = Descriptor::new("application/x-odd", &Blob::new("odd"));
    let index = Index::new()
        .with(&image)
        .with_described(absent, &Image::new("unused"))
        .with_described(odd, &Image::new("unused"));
    let layout = Layout::new().named(&index, BAD_NAME);
    let server = check(
        "bad.tar",
        &layout.tar(),
        &["1 manifest is missing, and 1 blob is missing"],
        &[BAD],
    );
    assert_eq!(
        server.get("/v2/acme/bad/manifests/1").body,
        index.manifest().bytes
    );
    let child = server.get(&format!("/v2/acme/bad/manifests/{}", image.digest()));
    assert_eq!(child.body, image.manifest().bytes);
}
