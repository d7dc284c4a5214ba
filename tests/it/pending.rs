//! Layers of Docker archives whose digests are known only once they have been read: the image is there as soon as that is
//! done, and nobody has to do anything for it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixture::{
    DockerArchive, Family, Image, Layer, Layout, Naming, Node as _, Packing, Tree, encoded,
};
use crate::listing::Listing;
use crate::server::{Server, Setup};

/// How long small layers may take.
const SOON: Duration = Duration::from_secs(10);
const NAME: &str = "docker.io/acme/app:1";

fn layer(name: &str) -> Layer {
    Layer::files(&[(name, name.as_bytes())])
}

/// A Docker archive of one image whose layers are these members.
fn archive(image: &Image, members: &[&str]) -> Tree {
    let config = format!("{}.json", encoded(&image.config().digest));
    let manifest = json!([{"Config": config, "RepoTags": [NAME], "Layers": members}]);
    let tree = Tree::default().file(&config, image.config().bytes);
    let layers = image.layers.iter().zip(members).enumerate();
    layers
        .filter(|(at, (_, member))| !members[..*at].contains(member))
        .fold(tree, |tree, (_, (layer, member))| {
            tree.file(member, layer.blob().bytes)
        })
        .file("manifest.json", manifest.to_string())
}

/// `acme/app:1` becomes what it has to, with all its blobs.
fn check_soon(server: &Server, image: &Image) {
    let image = image.canonical();
    let began = Instant::now();
    let manifest = loop {
        let answer = server.get("/v2/acme/app/manifests/1");
        if answer.body == image.manifest().bytes || began.elapsed() > SOON {
            break answer;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        manifest.text(),
        String::from_utf8_lossy(&image.manifest().bytes),
        "{}",
        server.stderr()
    );
    for blob in &image.blobs()[1..] {
        let answer = server.get(&format!("/v2/acme/app/blobs/{}", blob.digest));
        assert!(answer.body == blob.bytes, "{}", blob.digest);
    }
    assert!(!server.stderr().contains("error: "), "{}", server.stderr());
}

/// `list` waits for it, the server has it soon; neither complains.
fn check(what: &str, tree: &Tree, image: &Image) {
    for is_folder in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        if is_folder {
            tree.write_to(&folder.path().join("app"));
        } else {
            let tar = tree.tar(&Packing::default());
            fs::write(folder.path().join("app.tar"), tar).expect("a file");
        }
        let listing = Listing::of(folder.path());
        let served = [format!("{NAME} {}*", image.canonical().digest())];
        assert_eq!(listing.images(), served, "{what}: {listing:#?}");
        assert_eq!(listing.problems(), Vec::<String>::new(), "{what}");
        check_soon(&Server::serving(folder.path()), image);
    }
}

/// Layers that are compressed, under names that tell something else.
#[test]
fn compressed_layers() {
    let (a, b) = (layer("a"), layer("b"));
    let gzip = Image::new("gzip").layers([a.clone().gzip(), b.clone().gzip(), a.clone().gzip()]);
    let zstd = Image::new("zstd").layers([a.clone().zstd(), b.clone().zstd()]);
    let mixed = Image::new("mixed").layers([a.clone(), b.clone().gzip(), a.clone().zstd()]);
    for naming in [
        Naming::Legacy,
        Naming::Docker20,
        Naming::Skopeo,
        Naming::Nix,
    ] {
        for image in [&gzip, &zstd] {
            let archive = DockerArchive::new(naming).image(image, Some(&[NAME]));
            check(&format!("{naming:?}"), &archive.tree(), image);
        }
    }
    let (a, b) = (
        encoded(&a.diff_id).to_owned(),
        encoded(&b.diff_id).to_owned(),
    );
    for (members, image) in [
        (["base.tar.gz", "layer-1", "base.tar.gz"], &gzip),
        (["base.tar", "deep/er/layer-1.tgz", "base.tar"], &gzip),
        (["layer", "layer.tar.zst", "layer.zst"], &mixed),
        ([&a, &b, "0"], &mixed),
    ] {
        check(&format!("{members:?}"), &archive(image, &members), image);
    }
    let members = [format!("{a}.tar.zst"), format!("{b}.tar.gz")];
    check("zstd", &archive(&zstd, &[&members[0], &members[1]]), &zstd);
}

/// The digest of an uncompressed layer is its diff ID, whatever its name says.
#[test]
fn plain_layers() {
    let image = Image::new("plain").layers([layer("a"), layer("b")]);
    let names = ["1", "2"].map(|digit| format!("{}.tar", digit.repeat(64)));
    check(
        "other digests",
        &archive(&image, &[&names[0], &names[1]]),
        &image,
    );
    let swapped = [1, 0].map(|at| format!("{}.tar", encoded(&image.layers[at].diff_id)));
    check(
        "each other's",
        &archive(&image, &[&swapped[0], &swapped[1]]),
        &image,
    );
    check("any", &archive(&image, &["base", "layer-1.tar.gz"]), &image);
}

/// What need not be read is there at once.
#[test]
fn others_do_not_wait() {
    let image = Image::new("big").layers([Layer::raw(vec![7; 8 << 20]).gzip()]);
    let good = Image::new("good");
    let folder = tempfile::tempdir().expect("a folder");
    let tree = archive(&image, &["layer.tar"]);
    fs::write(folder.path().join("big.tar"), tree.tar(&Packing::default())).expect("a file");
    let layout = Layout::new().named(&good, "docker.io/acme/good:1");
    fs::write(folder.path().join("good.tar"), layout.tar()).expect("a file");
    let server = Server::serving(folder.path());
    let answer = server.get("/v2/acme/good/manifests/1");
    assert_eq!((answer.status, answer.body), (200, good.manifest().bytes));
    check_soon(&server, &image);
}

/// What was learned of a file is not believed of the next one of that name.
#[test]
fn another_file_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |image: &Image| {
        let tar = archive(image, &["layer.tar"]).tar(&Packing::default());
        let part = folder.path().join("app.tar.part");
        fs::write(&part, tar).expect("a file");
        fs::rename(part, folder.path().join("app.tar")).expect("moved");
    };
    let images = ["one", "two"].map(|name| Image::new("same").layers([layer(name).gzip()]));
    put(&images[0]);
    let server = Setup::new()
        .args(["--refresh", "50ms", "--packages"])
        .arg(folder.path())
        .start();
    check_soon(&server, &images[0]);
    put(&images[1]);
    check_soon(&server, &images[1]);
}

/// The same layers in an archive that tells their digests: one image.
#[test]
fn it_is_the_same_image_as_with_digests_for_names() {
    let layers = [layer("a").gzip(), layer("b").gzip()];
    let image = Image::new("same").family(Family::Docker).layers(layers);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, naming) in [("legacy.tar", Naming::Legacy), ("crane.tar", Naming::Crane)] {
        let archive = DockerArchive::new(naming).image(&image, Some(&[NAME]));
        fs::write(folder.path().join(name), archive.tar()).expect("a file");
    }
    let listing = Listing::of(folder.path());
    assert_eq!(listing.images(), [format!("{NAME} {}*", image.digest())]);
    assert_eq!(listing.problems(), Vec::<String>::new());
}

/// What was learned of a file holds wherever it is moved to: its image never goes away.
#[test]
fn a_moved_file_is_not_hashed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = Image::new("moved").layers([layer("moved").gzip()]);
    let tar = archive(&image, &["layer.tar"]).tar(&Packing::default());
    fs::write(folder.path().join("app.tar"), tar).expect("a file");
    let server = Server::serving(folder.path());
    check_soon(&server, &image);
    let blob = image.canonical().blobs()[1].digest.clone();
    for name in ["b.tar", "c.tar", "d.tar"] {
        let before = fs::read_dir(folder.path()).expect("a folder").next();
        let before = before.expect("a file").expect("a file").path();
        fs::rename(before, folder.path().join(name)).expect("moved");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(500) {
            for what in ["manifests/1".to_owned(), format!("blobs/{blob}")] {
                let answer = server.get(&format!("/v2/acme/app/{what}"));
                assert_eq!(answer.status, 200, "{name} {what}: {}", server.stderr());
            }
        }
    }
}

/// A file that was changed so that only the kernel knows: what was learned is believed until a layer turns out to be another.
#[test]
fn what_was_learned_is_given_up_when_it_proves_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.tar");
    let [before, after] =
        ["one", "two"].map(|name| Image::new("same").layers([layer(name).gzip()]));
    let tars =
        [&before, &after].map(|image| archive(image, &["layer.tar"]).tar(&Packing::default()));
    assert_eq!(tars[0].len(), tars[1].len());
    fs::write(&path, &tars[0]).expect("a file");
    let server = Server::serving(folder.path());
    check_soon(&server, &before);
    let modified = fs::metadata(&path).and_then(|data| data.modified());
    let file = fs::File::options().write(true).open(&path).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, &tars[1], 0).expect("written");
    file.set_modified(modified.expect("a time"))
        .expect("put back");
    drop(file);
    // Whoever asks for the layer finds out.
    let blob = image_layer(&before);
    let began = Instant::now();
    while server.get("/v2/acme/app/manifests/1").body != after.canonical().manifest().bytes {
        assert!(began.elapsed() < SOON, "{}", server.stderr());
        let _ = server.try_request("GET", &format!("/v2/acme/app/blobs/{blob}"), &[], b"");
        thread::sleep(Duration::from_millis(50));
    }
}

fn image_layer(image: &Image) -> String {
    let blobs = image.canonical().blobs();
    blobs.last().expect("a layer").digest.clone()
}
