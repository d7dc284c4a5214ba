//! Docker archives, and those that are OCI layouts at the same time.

use super::{Row, packed, plain, schema_2};
use crate::fixture::{
    Blob, Descriptor, Dialect, DockerArchive, IMAGE_NAME, Image, Index, Layer, Layout, Naming,
    Node as _, Order, Packing, Platform, REF_NAME, Tree, blob_path, chain, version_1,
};

const DOCKER: &str = "docker-archive";
const HYBRID: &str = "docker-archive+oci-layout";

/// An archive of one image in the dialect of its writer.
fn one(
    tool: &'static str,
    naming: Naming,
    image: &Image,
    tags: &[&str],
    writer: &'static str,
) -> Row {
    let archive = DockerArchive::new(naming).image(image, Some(tags));
    let tags: Vec<_> = tags.iter().map(|tag| format!("`{tag}`")).collect();
    Row::tar(tool, "app.tar", archive.tree(), naming.packing())
        .is(DOCKER, Some(writer))
        .told(&format!("`RepoTags`: {}", tags.join(", ")))
}

pub(super) fn rows() -> Vec<Row> {
    [docker(), skopeo(), crane(), builders(), bundles()]
        .into_iter()
        .flatten()
        .collect()
}

fn docker() -> Vec<Row> {
    let (image, other) = (plain("docker"), plain("other"));
    let legacy = Packing {
        order: Order::Sorted,
        directories: true,
        ..Packing::default()
    };
    let mut row = one(
        "Docker 1.10 and 1.11, `docker save`",
        Naming::Legacy,
        &image,
        &["app:1"],
        "docker",
    );
    row.packing = Some(legacy);
    let save = DockerArchive::new(Naming::Docker20)
        .image(&image, Some(&["app:1", "ghcr.io/acme/app:2"]))
        .image(&other, None);
    let back_slashes = String::from_utf8(
        DockerArchive::new(Naming::Docker20)
            .image(&image, Some(&["app:1"]))
            .manifest(),
    )
    .expect("JSON")
    .replace("/layer.tar", r"\\layer.tar");
    let windows = DockerArchive::new(Naming::Docker20).image(&image, Some(&["app:1"]));
    vec![
        before_1_10(&image),
        row.made("docker.io/library/app:1", &image),
        Row::tar(
            "Docker 1.12 to 24, `docker save`",
            "saved.tar",
            save.tree(),
            legacy,
        )
        .is(DOCKER, Some("docker"))
        .told("`RepoTags`: `app:1`, `ghcr.io/acme/app:2`; and an image saved by its ID: `null`")
        .made("docker.io/library/app:1", &image)
        .made("ghcr.io/acme/app:2", &image)
        .made("./saved", &other),
        Row::tar(
            "Docker before 18.06 on Windows, `docker save`",
            "app.tar",
            windows.tree().replace("manifest.json", back_slashes),
            legacy,
        )
        .is(DOCKER, Some("docker"))
        .told("`RepoTags`: `app:1`")
        .note("`Layers` has back-slashes")
        .made("docker.io/library/app:1", &image),
    ]
}

/// Layers with documents of image format 1, and `repositories`: no config that would tell the digests.
fn before_1_10(image: &Image) -> Row {
    let layers = image.layers.iter().zip(chain(image));
    let tree = layers.fold(Tree::default(), |tree, (layer, id)| {
        tree.file(&format!("{id}/VERSION"), "1.0")
            .file(&format!("{id}/json"), version_1(&id, image))
            .file(&format!("{id}/layer.tar"), layer.blob().bytes)
    });
    let top = chain(image).pop().expect("layers");
    let repositories = format!(r#"{{"app":{{"1":"{top}"}}}}"#);
    Row::tar(
        "Docker before 1.10, `docker save`",
        "app.tar",
        tree.file("repositories", repositories),
        Packing::SORTED,
    )
    .told("`repositories`")
    .note("not served: there is no `manifest.json`; no current tool reads it either")
    .problem("before 1.10")
}

fn skopeo() -> Vec<Row> {
    let (image, other) = (plain("skopeo"), plain("other"));
    let multi = DockerArchive::new(Naming::Skopeo)
        .image(
            &image,
            Some(&["localhost/mine:1", "docker.io/library/app:2"]),
        )
        .image(&other, Some(&["quay.io/acme/other:3"]));
    vec![
        one(
            "skopeo, podman and buildah, `docker-archive:`",
            Naming::Skopeo,
            &image,
            &["registry.example.com:5000/team/app:1"],
            "skopeo",
        )
        .made("registry.example.com:5000/team/app:1", &image),
        one(
            "skopeo, `docker-archive:FILE` without a name",
            Naming::Skopeo,
            &image,
            &[],
            "skopeo",
        )
        .told("`RepoTags`: `[]`")
        .made("./app:latest", &image),
        Row::tar(
            "podman, `podman save --multi-image-archive`",
            "app.tar",
            multi.tree(),
            Naming::Skopeo.packing(),
        )
        .is(DOCKER, Some("skopeo"))
        .told("`RepoTags`: `localhost/mine:1`, `docker.io/library/app:2`; `quay.io/acme/other:3`")
        .made("localhost/mine:1", &image)
        .made("docker.io/library/app:2", &image)
        .made("quay.io/acme/other:3", &other),
    ]
}

fn crane() -> Vec<Row> {
    let image = packed("crane");
    // The same config, and other bytes in the layers.
    let layers = plain("crane").layers.into_iter().map(Layer::fast_gzip);
    let twin = Image::new("crane").layers(layers.collect::<Vec<_>>());
    let two = DockerArchive::new(Naming::Crane)
        .image(&image, Some(&["ghcr.io/acme/app:1"]))
        .image(&twin, Some(&["ghcr.io/acme/twin:1"]));
    vec![
        Row::tar(
            "crane, `crane pull`",
            "app.tar",
            two.tree(),
            Packing::default(),
        )
        .is(DOCKER, Some("crane"))
        .told("`RepoTags`: `ghcr.io/acme/app:1`; `ghcr.io/acme/twin:1`")
        .note("the digest is that of the registry, if the image has Docker's media types")
        .made("ghcr.io/acme/app:1", &image)
        .made("ghcr.io/acme/twin:1", &twin),
        one(
            "crane, `crane pull` by digest",
            Naming::Crane,
            &image,
            &["index.docker.io/library/app:i-was-a-digest"],
            "crane",
        )
        .made("docker.io/library/app", &image),
        one(
            "kaniko, `--tar-path`",
            Naming::Crane,
            &image,
            &["ghcr.io/acme/app:1"],
            "crane",
        )
        .made("ghcr.io/acme/app:1", &image),
        one(
            "kaniko, `--tar-path --no-push` without `--destination`",
            Naming::Crane,
            &image,
            &["unset-repo/unset-image-name:latest"],
            "crane",
        )
        .made("./app:latest", &image),
        one(
            "ko, `--tarball`",
            Naming::Crane,
            &image,
            &["ko.local/app-0123456789abcdef:latest"],
            "crane",
        )
        .made("ko.local/app-0123456789abcdef:latest", &image),
        one(
            "rules_docker, compressed",
            Naming::Crane,
            &image,
            &["bazel/pkg:target"],
            "crane",
        )
        .made("docker.io/bazel/pkg:target", &image),
        one(
            "crane, `crane pull --format=legacy`",
            Naming::Legacy,
            &plain("crane"),
            &["ghcr.io/acme/app:1"],
            "docker",
        )
        .made("ghcr.io/acme/app:1", &plain("crane")),
        one(
            "rules_docker",
            Naming::Legacy,
            &plain("crane"),
            &["bazel/pkg:target"],
            "docker",
        )
        .made("docker.io/bazel/pkg:target", &plain("crane")),
    ]
}

fn builders() -> Vec<Row> {
    let image = packed("built");
    let bare = plain("built");
    let layers = [packed("built").layers, bare.layers.clone()].concat();
    let mixed = Image::new("mixed").layers(layers);
    let mut nix = one(
        "nix, `dockerTools.buildImage` with `compressor = \"none\"`",
        Naming::Legacy,
        &bare,
        &["app:s7pckxb2zyvljhnbz7ycnd3gzc3ysm6d"],
        "docker",
    );
    nix.packing = Some(Packing {
        dialect: Dialect::Gnu,
        ..Packing::SORTED
    });
    vec![
        one(
            "jib, `jib:buildTar`",
            Naming::Jib,
            &image,
            &["app:1", "app:stable"],
            "jib",
        )
        .made("docker.io/library/app:1", &image)
        .made("docker.io/library/app:stable", &image),
        one(
            "rules_oci, `oci_load`",
            Naming::RulesOci,
            &mixed,
            &["ghcr.io/acme/app:1"],
            "rules_oci",
        )
        .note("layers are called `.tar.gz` whatever they are; they are looked at")
        .made("ghcr.io/acme/app:1", &mixed),
        nix.made(
            "docker.io/library/app:s7pckxb2zyvljhnbz7ycnd3gzc3ysm6d",
            &bare,
        ),
        nix_layered(&bare),
        apko(),
    ]
}

/// The layers of a base image keep the names they had, and one that it lists twice is written twice.
fn nix_layered(image: &Image) -> Row {
    let row = one(
        "nix, `dockerTools.streamLayeredImage`",
        Naming::Nix,
        image,
        &["app:1"],
        "nix",
    );
    let base = &image.layers[0];
    let old = format!("{}/layer.tar", base.diff_id.trim_start_matches("sha256:"));
    let new = old.replace("/layer", "");
    let manifest = DockerArchive::new(Naming::Nix)
        .image(image, Some(&["app:1"]))
        .manifest();
    let manifest = String::from_utf8(manifest)
        .expect("JSON")
        .replace(&old, &new);
    let tree = (row.tree.remove(&old))
        .replace("manifest.json", manifest)
        .file(&new, base.blob().bytes)
        .file(&new, base.blob().bytes);
    Row {
        tree,
        packing: Some(Packing {
            dialect: Dialect::Pax,
            ..Packing::default()
        }),
        ..row
    }
    .made("docker.io/library/app:1", image)
}

/// crane's archive, then the manifests under their digests, then the index itself.
fn apko() -> Row {
    let amd64 = packed("apko");
    let arm64 = packed("apko arm").platform("linux/arm64");
    let index = Index::new().with(&amd64).with(&arm64);
    let archive = DockerArchive::new(Naming::Crane)
        .image(&amd64, Some(&["index.docker.io/acme/app:1-amd64"]))
        .image(&arm64, Some(&["index.docker.io/acme/app:1-arm64"]));
    let tree = [&amd64, &arm64]
        .iter()
        .fold(archive.tree(), |tree, image| {
            tree.file(&image.digest(), image.manifest().bytes)
        })
        .file("index.json", index.manifest().bytes);
    Row::tar("apko, `apko build`", "app.tar", tree, Packing::default())
        .is(DOCKER, Some("apko"))
        .told("`RepoTags`: `index.docker.io/acme/app:1-amd64`; `…:1-arm64`")
        .note("`index.json` is the index of the image and gets the tag without the architecture")
        .stored("docker.io/acme/app:1", &index)
        .stored("docker.io/acme/app:1-amd64", &amd64)
        .stored("docker.io/acme/app:1-arm64", &arm64)
}

/// Many images in one file, as Kubernetes distributions ship them.
fn bundles() -> Vec<Row> {
    let names = |number: usize| format!("rancher/mirrored-{number}:v1.{number}");
    let k3s: Vec<_> = (0..12).map(|number| plain(&names(number))).collect();
    let archive = |naming: Naming, images: &[Image]| {
        images
            .iter()
            .enumerate()
            .fold(DockerArchive::new(naming), |archive, (number, image)| {
                archive.image(image, Some(&[&names(number)]))
            })
    };
    let row = Row::tar(
        "k3s, airgap images",
        "k3s-airgap-images-amd64.tar",
        archive(Naming::Docker20, &k3s).tree(),
        Packing::SORTED,
    )
    .is(DOCKER, Some("docker"))
    .told("`RepoTags`: `rancher/mirrored-0:v1.0`; and many more");
    let row = k3s.iter().enumerate().fold(row, |row, (number, image)| {
        row.made(&format!("docker.io/{}", names(number)), image)
    });
    let pulled: Vec<_> = (0..2).map(|number| packed(&names(number))).collect();
    let rke2 = Row::tar(
        "RKE2, airgap images of `crane pull`",
        "rke2-images.linux-amd64.tar",
        archive(Naming::Crane, &pulled)
            .tree()
            .first(&["manifest.json"]),
        Packing::default(),
    )
    .is(DOCKER, Some("crane"))
    .told("`RepoTags`: `rancher/mirrored-0:v1.0`; and many more")
    .made("docker.io/rancher/mirrored-0:v1.0", &pulled[0])
    .made("docker.io/rancher/mirrored-1:v1.1", &pulled[1]);
    vec![row, rke2]
}

pub(super) fn hybrids() -> Vec<Row> {
    let (image, other) = (plain("docker"), plain("other"));
    let save = DockerArchive::new(Naming::Hybrid)
        .image(&image, Some(&["app:1", "ghcr.io/acme/app:2"]))
        .image(&other, None)
        .tree();
    let rke2 = save.clone().first(&["manifest.json", "repositories"]);
    let saved = |tool, tree, packing| {
        Row::tar(tool, "saved.tar", tree, packing)
            .is(HYBRID, Some("docker-25"))
            .told("`index.json`: `docker.io/library/app:1`, `ghcr.io/acme/app:2`; and an image saved by its ID")
            .stored("docker.io/library/app:1", &image)
            .stored("ghcr.io/acme/app:2", &image)
            .stored("./saved", &other)
    };
    let regctl = schema_2("regctl");
    let tree = DockerArchive::new(Naming::Regctl)
        .image(&regctl, Some(&["registry.example.com:5000/team/app:1"]))
        .tree();
    let mut rows = vec![
        saved("Docker 25 and later, `docker save`", save, Packing::SORTED),
        saved(
            "RKE2, airgap images of `docker save`",
            rke2,
            Packing::default(),
        ),
        Row::tar(
            "regctl, `regctl image export`",
            "app.tar",
            tree.first(&["oci-layout", "index.json", "manifest.json"]),
            Packing {
                dialect: Dialect::Pax,
                directories: true,
                ..Packing::default()
            },
        )
        .is(HYBRID, Some("regctl"))
        .told("`index.json`: `registry.example.com:5000/team/app:1`")
        .stored("registry.example.com:5000/team/app:1", &regctl),
    ];
    rows.extend(containerd());
    rows
}

/// What the exporter of containerd writes: a layout, and `manifest.json` for one platform.
fn containerd() -> Vec<Row> {
    let (amd64, arm64) = (packed("amd64"), packed("arm64").platform("linux/arm64"));
    let index = Index::new().with(&amd64).with(&arm64);
    let named = |node: &Index| {
        Layout::new()
            .entry(node, &[(IMAGE_NAME, "ghcr.io/acme/app:1"), (REF_NAME, "1")])
            .tree()
    };
    let manifest = |image: &Image| {
        DockerArchive::new(Naming::Containerd)
            .image(image, Some(&["ghcr.io/acme/app:1"]))
            .manifest()
    };
    let row = |tool, tree: Tree, format| {
        Row::tar(tool, "app.tar", tree, Packing::SORTED)
            .is(format, Some("containerd"))
            .told("`index.json`: `ghcr.io/acme/app:1`")
    };
    let whole = named(&index);
    let sparse = whole.clone().file("manifest.json", manifest(&amd64));
    let sparse = arm64.blobs().iter().fold(sparse, |tree, blob| {
        let path = blob_path(&blob.digest);
        if tree.names().contains(&path.as_str()) {
            tree.remove(&path)
        } else {
            tree
        }
    });
    let zstd = Image::new("zstd")
        .family(crate::fixture::Family::Docker)
        .layers([Layer::files(&[("a", b"a")]).zstd()]);
    let built = |image: &Image| {
        DockerArchive::new(Naming::Containerd)
            .image(image, Some(&["ghcr.io/acme/app:1"]))
            .tree()
    };
    vec![
        row(
            "Docker with the containerd image store, `docker save`",
            sparse.clone(),
            HYBRID,
        )
        .note("platforms that were not pulled are missing in the file, and in what is served")
        .stored("ghcr.io/acme/app:1", &index)
        .problem("warning: ghcr.io/acme/app:1: 1 manifest is missing"),
        row(
            "containerd, `ctr images export` and `nerdctl save` (also of lima and Rancher Desktop)",
            whole.clone().file("manifest.json", manifest(&amd64)),
            HYBRID,
        )
        .stored("ghcr.io/acme/app:1", &index),
        row(
            "containerd, `ctr images export --skip-manifest-json`",
            whole,
            "oci-layout",
        )
        .stored("ghcr.io/acme/app:1", &index),
        row(
            "buildx, `--output type=docker`",
            built(&schema_2("buildx")),
            HYBRID,
        )
        .stored("ghcr.io/acme/app:1", &schema_2("buildx")),
        row(
            "buildx, `--output type=docker,compression=zstd`",
            built(&zstd),
            HYBRID,
        )
        .stored("ghcr.io/acme/app:1", &zstd),
        row(
            "buildx, `--output type=oci`",
            attested(&amd64).1,
            "oci-layout",
        )
        .note("an attestation is served and is no platform")
        .stored("ghcr.io/acme/app:1", &attested(&amd64).0),
    ]
}

/// An image with its provenance, in an index.
fn attested(image: &Image) -> (Index, Tree) {
    let statement = Layer::raw("{}").media_type("application/vnd.in-toto+json");
    let attestation = Image::new("provenance")
        .platform("unknown/unknown")
        .layers([statement]);
    let descriptor = Descriptor {
        platform: Some(Platform::new("unknown/unknown")),
        ..attestation.descriptor()
    }
    .annotation("vnd.docker.reference.type", "attestation-manifest")
    .annotation("vnd.docker.reference.digest", &image.digest());
    let index = Index::new()
        .with(image)
        .with_described(descriptor, &attestation);
    let tree = Layout::new()
        .entry(
            &index,
            &[(IMAGE_NAME, "ghcr.io/acme/app:1"), (REF_NAME, "1")],
        )
        .blob(Blob::new("not referred to"))
        .tree();
    (index, tree)
}
