//! OCI layouts in a tar.

use serde_json::{Value, json};

use super::{Row, packed, plain, schema_2};
use crate::fixture::{
    Blob, Custom, Dialect, DockerArchive, IMAGE_NAME, Image, Index, Layer, Layout, Naming, Node,
    Order, Packing, REF_NAME, Tree, blob_path,
};

pub(super) const LAYOUT: &str = "oci-layout";

fn row(tool: &'static str, tree: Tree) -> Row {
    Row::tar(tool, "app.tar", tree, Packing::SORTED).is(LAYOUT, None)
}

pub(super) fn rows() -> Vec<Row> {
    let image = packed("layout");
    let named = |name: &str| Layout::new().named(&image, name).tree();
    vec![
        row(
            "skopeo, podman and buildah, `oci-archive:`",
            named("registry.example.com:5000/team/app:1"),
        )
        .told("`ref.name`: `registry.example.com:5000/team/app:1`")
        .stored("registry.example.com:5000/team/app:1", &image),
        row(
            "podman, `podman save` of a local image",
            named("localhost/app:1"),
        )
        .told("`ref.name`: `localhost/app:1`")
        .stored("localhost/app:1", &image),
        row("skopeo, `oci-archive:FILE:TAG`", named("1"))
            .told("`ref.name`: `1`")
            .stored("./app:1", &image),
        row(
            "skopeo, `oci-archive:FILE`",
            Layout::new().entry(&image, &[]).tree(),
        )
        .told("no name")
        .stored("./app:latest", &image),
        row(
            "buildx, `--output type=oci` without a name",
            Layout::new().entry(&Index::new().with(&image), &[]).tree(),
        )
        .told("no name")
        .stored("./app:latest", &Index::new().with(&image)),
        jib(),
        rules_oci(),
        oras(),
        macos(),
        gnu_tar(),
        hauler("hauler, `hauler store save`, decompressed", hauler_store()),
        hauler(
            "hauler, `hauler store save --containerd`, decompressed",
            hauler_store().remove("oci-layout"),
        ),
        zarf(true),
        zarf(false),
    ]
}

/// Layers first, no folders; of several tags one is kept.
fn jib() -> Row {
    let image = packed("jib");
    let layers = image
        .blobs()
        .into_iter()
        .skip(2)
        .map(|blob| blob_path(&blob.digest));
    let rest = [image.config().digest, image.digest()];
    let order: Vec<_> = layers
        .chain(rest.map(|digest| blob_path(&digest)))
        .collect();
    let order: Vec<_> = order.iter().map(String::as_str).collect();
    let tree = Layout::new().named(&image, "ghcr.io/acme/app:1").tree();
    let packing = Packing::default();
    Row::tar("jib, OCI format", "app.tar", tree.first(&order), packing)
        .is(LAYOUT, None)
        .told("`ref.name`: `ghcr.io/acme/app:1`")
        .stored("ghcr.io/acme/app:1", &image)
}

/// One entry for each tag, all to one index.
fn rules_oci() -> Row {
    let image = packed("rules_oci");
    let index = Index::new().with(&image);
    let first = ["oci-layout".to_owned()]
        .into_iter()
        .chain([index.digest(), image.digest()].map(|digest| blob_path(&digest)));
    let first: Vec<_> = first.collect();
    let first: Vec<_> = first.iter().map(String::as_str).collect();
    let tree = Layout::new()
        .named(&index, "ghcr.io/acme/app:1")
        .named(&index, "ghcr.io/acme/app:latest")
        .tree();
    Row::tar(
        "rules_oci, `oci_load` with `format = \"oci\"`",
        "app.tar",
        tree.first(&first),
        Packing::default(),
    )
    .is(LAYOUT, None)
    .told("`ref.name`: `ghcr.io/acme/app:1`, `ghcr.io/acme/app:latest`")
    .stored("ghcr.io/acme/app:1", &index)
    .stored("ghcr.io/acme/app:latest", &index)
}

/// Every manifest is an entry of its own, too.
fn oras() -> Row {
    let (amd64, arm64) = (packed("amd64"), packed("arm64").platform("linux/arm64"));
    let index = Index::new().with(&amd64).with(&arm64);
    let layout = Layout::new()
        .named(&index, "1")
        .entry(&amd64, &[])
        .entry(&arm64, &[]);
    row(
        "oras, `oras backup` and `oras cp --to-oci-layout`",
        layout.tree(),
    )
    .told("`ref.name`: `1`")
    .stored("./app:1", &index)
}

/// A tar of a folder as macOS makes it: beside each file one with its attributes.
fn macos() -> Row {
    let image = packed("macos");
    let tree = Layout::new().named(&image, "1").tree();
    let doubles: Vec<_> = tree
        .names()
        .into_iter()
        .map(|name| match name.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/._{name}"),
            None => format!("._{name}"),
        })
        .collect();
    let tree = doubles.iter().fold(tree, |tree, name| {
        tree.file(name, "\0\x05\x16\x07\0\x02\0\0Mac OS X")
    });
    let packing = Packing {
        prefix: "./",
        ..Packing::SORTED
    };
    Row::tar("any folder, `tar -c` on macOS", "app.tar", tree, packing)
        .is(LAYOUT, None)
        .told("`ref.name`: `1`")
        .stored("./app:1", &image)
}

/// A tar of a folder in which files are hard links to others, as stores make them that keep each content once.
fn gnu_tar() -> Row {
    let image = packed("gnu tar");
    let tree = Layout::new().named(&image, "1").tree();
    let layer = blob_path(&image.layers[0].blob().digest);
    let tree = Tree::default()
        .file("backup/layer", tree.content(&layer))
        .and(tree.remove(&layer))
        .hardlink(&layer, "backup/layer");
    let packing = Packing {
        prefix: "./",
        dialect: Dialect::Gnu,
        order: Order::Given,
        directories: true,
    };
    Row::tar("any folder, GNU `tar -c .`", "app.tar", tree, packing)
        .is(LAYOUT, None)
        .told("`ref.name`: `1`")
        .stored("./app:1", &image)
}

/// An artifact about an image. Its type is that of an image, as with cosign.
fn about(title: &str) -> Image {
    let payload = Layer::raw(title).media_type("application/vnd.dev.cosign.simplesigning.v1+json");
    Image::new(title).layers([payload])
}

fn hauler_index() -> Index {
    let arm64 = packed("hauler arm").platform("linux/arm64");
    Index::new().with(&packed("hauler")).with(&arm64)
}

fn hauler_file() -> Custom {
    let (config, file) = (Blob::new("{}"), Blob::new("read me"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.content.hauler.file.local.config.v1+json", "digest": config.digest, "size": config.bytes.len()},
        "layers": [{"mediaType": "application/vnd.content.hauler.file.layer.v1", "digest": file.digest, "size": file.bytes.len()}],
    });
    Custom::new("application/vnd.oci.image.manifest.v1+json", &manifest).holding([config, file])
}

/// Adds an entry with the names that hauler gives it.
fn keep(layout: Layout, node: &impl Node, kind: &str, name: &str) -> Layout {
    let full = format!("index.docker.io/{name}");
    layout.entry(
        node,
        &[(IMAGE_NAME, &full), (REF_NAME, name), ("kind", kind)],
    )
}

fn hauler_store() -> Tree {
    let layout = keep(
        Layout::new(),
        &hauler_index(),
        "dev.hauler/imageIndex",
        "library/app:1",
    );
    let about = [
        (about("sig"), "dev.hauler/sigs"),
        (about("att"), "dev.hauler/atts"),
        (about("sbom"), "dev.hauler/sboms"),
        (
            about("referrer").subject(&hauler_index()),
            "dev.hauler/referrers/0123456789abcdef",
        ),
    ];
    let layout = about.iter().fold(layout, |layout, (node, kind)| {
        keep(layout, node, kind, "library/app:1")
    });
    let layout = keep(
        layout,
        &hauler_file(),
        "dev.hauler/image",
        "hauler/notes.txt:latest",
    );
    // Every platform, all under the name of the index.
    let items = DockerArchive::new(Naming::Containerd)
        .image(&packed("hauler"), Some(&["app:1"]))
        .image(
            &packed("hauler arm").platform("linux/arm64"),
            Some(&["app:1"]),
        );
    layout.tree().file("manifest.json", items.manifest())
}

fn hauler(tool: &'static str, tree: Tree) -> Row {
    let index = hauler_index();
    let of = |ending: &str| {
        let hex = index.digest().replace(':', "-");
        format!("docker.io/library/app:{hex}.{ending}")
    };
    Row::tar(tool, "haul.tar", tree, Packing::SORTED)
        .is("docker-archive+oci-layout", Some("hauler"))
        .told(
            "`index.json`: `index.docker.io/library/app:1` for the image and all that is about it",
        )
        .note("signatures and the like get the tags that cosign looks for; files are artifacts")
        .stored("docker.io/library/app:1", &index)
        .stored(&of("sig"), &about("sig"))
        .stored(&of("att"), &about("att"))
        .stored(&of("sbom"), &about("sbom"))
        .stored("docker.io/library/app", &about("referrer").subject(&index))
        .stored("docker.io/hauler/notes.txt:latest", &hauler_file())
}

/// A layout in a folder of a larger package.
fn zarf(is_tar: bool) -> Row {
    let image = schema_2("zarf");
    let layout = Layout::new().entry(
        &image,
        &[
            (REF_NAME, "ghcr.io/acme/app:1"),
            ("org.opencontainers.image.base.name", "ghcr.io/acme/app:1"),
        ],
    );
    let tree = layout
        .tree()
        .below("images")
        .file("zarf.yaml", "kind: ZarfPackageConfig\n")
        .file("checksums.txt", "")
        .file(
            "components/app.tar",
            plain("component").layers[0].blob().bytes,
        );
    let row = if is_tar {
        let packing = Packing {
            order: Order::Sorted,
            ..Packing::default()
        };
        Row::tar(
            "zarf, a package in a tar",
            "zarf-package-app-amd64.tar",
            tree,
            packing,
        )
    } else {
        Row::folder("zarf, an unpacked package", "zarf-package-app-amd64", tree)
            // The archive of a component, which is beside the layout.
            .problem("warning: the archive holds no images")
    };
    // What lies beside a folder does not tell what wrote it.
    row.is(LAYOUT, is_tar.then_some("zarf"))
        .told("`ref.name`: `ghcr.io/acme/app:1`")
        .stored("ghcr.io/acme/app:1", &image)
}

/// The same manifest without its own media type, as umoci and older podman write it.
pub(super) fn without_media_type(image: &Image) -> Custom {
    let mut manifest: Value = serde_json::from_slice(&image.manifest().bytes).expect("JSON");
    manifest
        .as_object_mut()
        .expect("an object")
        .remove("mediaType");
    Custom::new(&image.descriptor().media_type, &manifest)
        .holding(image.blobs().into_iter().skip(1))
}
