//! Things that lie beside each other, in a folder or in one archive, and do each other no harm.

use serde_json::json;

use crate::fixture::{
    Blob, DockerArchive, IMAGE_NAME, Image, Layer, Layout, Naming, Node as _, Order, Packing, Tree,
    blob_path,
};
use crate::listing::Listing;
use crate::packages::{Packages, problems, tar};

const NAME: &str = "docker.io/acme/app:1";

fn app() -> Image {
    Image::new("app")
}

/// A folder is an archive only if it describes images; whatever else lies there is looked at in any case.
#[test]
fn archives_beside_files_of_an_archive() {
    let archive = Layout::new().named(&app(), NAME).tar();
    let stray = "a".repeat(64);
    let web_app: &[(&str, &str)] = &[("manifest.json", r#"{"name":"web app"}"#), (&stray, "")];
    let docker: &[(&str, &str)] = &[("manifest.json", "[]"), (&stray, "")];
    let layout: &[(&str, &str)] = &[
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", r#"{"schemaVersion":2,"manifests":[]}"#),
    ];
    for strays in [web_app, docker, layout] {
        let packages = Packages::new().with("app.tar", &archive);
        for (name, content) in strays {
            packages.put(name, content);
        }
        packages.put(
            "below/other.tar",
            Layout::new().named(&app(), "b/other:1").tar(),
        );
        let digest = app().digest();
        let expected = [
            format!("docker.io/acme/app:1 {digest}"),
            format!("docker.io/b/other:1 {digest}"),
        ];
        assert_eq!(packages.list().images(), expected, "{strays:?}");
    }
}

/// The same folder named twice is one.
#[test]
fn a_folder_that_is_named_twice() {
    let packages = Packages::new().with("app.tar", Layout::new().named(&app(), NAME).tar());
    let path = packages.path().to_str().expect("an ASCII path");
    let server = crate::server::Server::start(["--packages", path, "--packages", path]);
    assert!(server.wait_for_stderr("Serving").contains("from 1 archive"));
}

/// A store of several repositories in one tar has one name for each, as the same store in a folder has.
#[test]
fn several_layouts_in_one_archive() {
    let layout = |title: &str| Layout::new().named(&Image::new(title), "1.0").tree();
    let store = layout("web").below("web").and(layout("db").below("db"));
    let packages = Packages::new().with("store.tar", tar(&store));
    packages.put_folder("unpacked", &store);
    let line = |path: &str, title: &str| format!("./{path}:1.0 {}", Image::new(title).digest());
    assert_eq!(
        packages.list().images(),
        [
            line("store/db", "db"),
            line("store/web", "web"),
            line("unpacked/db", "db"),
            line("unpacked/web", "web"),
        ]
    );
    assert_eq!(problems(&packages.list()), Vec::<String>::new());
}

/// However much lies under a digest in another length, the copy that is meant is found.
#[test]
fn junk_under_the_digest_of_a_layer() {
    let image = app();
    let layer = image.layers[0].blob();
    let path = blob_path(&layer.digest);
    let sparse = Layout::new().named(&image, NAME).tree().remove(&path);
    let junk = (0..40).fold(Tree::default(), |tree, number| {
        let other = Layout::new().named(&Image::new("other"), "docker.io/acme/other:1");
        let other = other.tree().file(&path, number.to_string());
        tree.and(other.below(&number.to_string()))
    });
    let whole = Layout::new().named(&image, "docker.io/acme/whole:1").tar();
    let packages = Packages::new()
        .with("app.tar", tar(&sparse))
        .with("a-junk.tar", tar(&junk))
        .with("z-whole.tar", whole);
    let server = packages.serve(&[]);
    let answer = server.get(&format!("/v2/acme/app/blobs/{}", layer.digest));
    assert!(answer.body == layer.bytes, "{}", answer.text());
}

/// Two stored manifests may share a configuration: each keeps its name.
#[test]
fn one_configuration_in_two_stored_manifests() {
    let layer = || Layer::files(&[("file", b"content")]);
    let small = app().layers([layer().gzip()]);
    let fast = app().layers([layer().fast_gzip()]);
    assert_eq!(small.config().digest, fast.config().digest);
    let names = ["docker.io/acme/app:fast", "docker.io/acme/app:small"];
    let layout = Layout::new()
        .entry(&fast, &[(IMAGE_NAME, names[0])])
        .entry(&small, &[(IMAGE_NAME, names[1])]);
    let item = |image: &Image, name: &str| {
        json!({
            "Config": blob_path(&image.config().digest),
            "RepoTags": [name],
            "Layers": [blob_path(&image.layers[0].blob().digest)],
        })
    };
    let items = json!([item(&fast, names[0]), item(&small, names[1])]);
    let tree = layout.tree().file("manifest.json", items.to_string());
    let packages = Packages::new().with("both.tar", tar(&tree));
    assert_eq!(
        packages.list().images(),
        [
            format!("{} {}", names[0], fast.digest()),
            format!("{} {}", names[1], small.digest()),
        ]
    );
    assert_eq!(problems(&packages.list()), Vec::<String>::new());
}

/// What one reference says of a manifest's type does not keep another one from it.
#[test]
fn two_references_of_which_one_is_wrong() {
    let image = app();
    let mut wrong = image.descriptor().annotation(IMAGE_NAME, "acme/wrong:1");
    wrong.media_type = "application/vnd.docker.distribution.manifest.v2+json".to_owned();
    let layout = Layout::new().described(wrong).named(&image, NAME);
    let packages = Packages::new().with("app.tar", layout.tar());
    let images = packages.list().images();
    assert!(
        images.contains(&format!("{NAME} {}", image.digest())),
        "{images:?}"
    );
}

/// A link out of an archive is no other name of a member called `.`.
#[test]
fn a_link_out_of_an_archive() {
    let image = app();
    let path = blob_path(&image.layers[0].blob().digest);
    let tree = Layout::new().named(&image, NAME).tree().remove(&path);
    let tree = tree
        .file(".", image.layers[0].blob().bytes)
        .symlink(&path, "../../../../outside");
    let packing = Packing {
        order: Order::Given,
        ..Packing::default()
    };
    let packages = Packages::new().with("app.tar", tree.tar(&packing));
    let server = packages.serve(&[]);
    let layer = image.layers[0].blob().digest;
    let answer = server.get(&format!("/v2/acme/app/blobs/{layer}"));
    assert_eq!(answer.status, 404, "{}", answer.text());
}

/// With `--strict` no other tag takes the place of one that is refused.
#[test]
fn a_refused_tag_is_not_made_up_for() {
    let archive = |title: &str, tags: [&str; 2]| {
        let image = Image::new(title);
        let layout = tags.iter().fold(Layout::new(), |layout, tag| {
            layout.named(&image, &format!("docker.io/acme/app:{tag}"))
        });
        layout.tar()
    };
    let check = |first: [&str; 2], second: [&str; 2], expected: &[&str]| {
        let packages = Packages::new()
            .with("a.tar", archive("a", first))
            .with("b.tar", archive("b", second));
        let server = packages.serve(&["--strict"]);
        let tags = server.get("/v2/acme/app/tags/list").json();
        assert_eq!(tags["tags"], json!(expected));
    };
    check(["latest", "1.0"], ["latest", "2.0"], &["1.0", "2.0"]);
    check(["1.0", "2.0"], ["1.5", "2.0"], &["1.0", "1.5"]);
    check(["1.0", "edge"], ["2.0", "edge"], &["1.0", "2.0", "latest"]);
}

/// A file that is replaced while its layer is being hashed is not given the digest of what was there.
#[test]
fn an_archive_that_is_replaced_while_it_is_hashed() {
    let archive = |content: &[u8]| {
        let image = app().layers([Layer::files(&[("file", content)]).gzip()]);
        let items =
            json!([{"Config": "config.json", "RepoTags": ["acme/app:1"], "Layers": ["layer"]}]);
        let tree = Tree::default()
            .file("config.json", image.config().bytes)
            .file("layer", image.layers[0].blob().bytes)
            .file("manifest.json", items.to_string());
        tar(&tree)
    };
    // Hashing this one takes a moment, in which the other is replaced.
    let noise: Vec<u8> = (0..2_u32 << 20)
        .flat_map(|number| {
            number
                .wrapping_mul(2_654_435_761)
                .rotate_left(number % 31)
                .to_le_bytes()
        })
        .collect();
    let slow = archive(&noise);
    let packages = Packages::new().with("slow.tar", &slow);
    for round in 0_u8..20 {
        packages.put("app.tar", archive(&[round; 64]));
    }
    let server = packages.serve(&[]);
    for round in 20_u8..60 {
        packages.put("app.tar", archive(&[round; 64]));
        let manifest = server.get("/v2/acme/app/manifests/1");
        if manifest.status == 200 {
            let digest = manifest.json()["layers"][0]["digest"].clone();
            let digest = digest.as_str().expect("a digest");
            let blob = server.get(&format!("/v2/acme/app/blobs/{digest}"));
            assert!(blob.status != 200 || Blob::new(blob.body).digest == digest);
        }
    }
}

/// Images of all formats beside each other are what they are alone.
#[test]
fn one_image_in_every_format() {
    let image = app().canonical();
    let docker = DockerArchive::new(Naming::Skopeo).image(&image, Some(&["acme/app:1"]));
    let packages = Packages::new()
        .with("docker.tar", docker.tar())
        .with("layout.tar", Layout::new().named(&image, NAME).tar());
    packages.put_folder("unpacked", &docker.tree());
    packages.put_folder("layout", &Layout::new().named(&image, NAME).tree());
    let lines: Vec<String> = Listing::of(packages.path())
        .images()
        .iter()
        .map(|line| line.trim_end_matches('*').to_owned())
        .collect();
    assert_eq!(lines, [format!("{NAME} {}", image.digest())]);
}
