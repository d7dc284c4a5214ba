//! What the server found out by hashing it knows again when it is started again, and nothing depends on that.

mod places;
mod sharing;
mod trouble;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::fixture::{DockerArchive, Image, Layer, Layout, Naming, Node as _};
use crate::packages::{Packages, tar};
use crate::server::{Server, Setup, binary};
use crate::serving::eventually;

const APP: &str = "docker.io/acme/app:1";
/// Of each layer: much beside all else that a server reads.
const LENGTH: usize = 1_000_000;
/// Clocks of file systems are coarse: what is younger may change again without a trace.
const OLD_ENOUGH: Duration = Duration::from_millis(2600);

/// An image in an archive, and a folder for a cache.
struct Shelf {
    packages: Packages,
    cache: TempDir,
    image: Image,
}

impl Shelf {
    /// An image with so many layers, in an archive that is old enough.
    fn new(layers: u32) -> Self {
        let image = image(layers);
        let archive = Layout::new().named(&image, APP).tree();
        Self::of(image, &tar(&archive))
    }

    fn of(image: Image, archive: &[u8]) -> Self {
        let shelf = Self {
            packages: Packages::new().with("app.tar", archive),
            cache: tempfile::tempdir().expect("a folder"),
            image,
        };
        age(&shelf.archive());
        shelf
    }

    fn archive(&self) -> PathBuf {
        self.packages.path().join("app.tar")
    }

    /// The file in the cache.
    fn verdicts(&self) -> PathBuf {
        self.cache.path().join("verdicts-v1")
    }

    fn setup(&self) -> Setup {
        let packages = [Path::new("--packages"), self.packages.path()];
        Setup::new()
            .env("PACKAGEORIGIN_NO_CACHE", "")
            .args(packages)
            .args([Path::new("--cache"), self.cache.path()])
    }

    fn serve(&self, options: &[&str]) -> Server {
        self.setup().args(options).start()
    }

    fn layers(&self) -> Vec<String> {
        let layers = self.image.layer_descriptors();
        layers.into_iter().map(|layer| layer.digest).collect()
    }

    /// Pulls all layers, and tells how many of them the server hashed for that.
    fn hashed(&self, server: &Server) -> usize {
        let before = bytes_read(server);
        let blobs = self.image.blobs();
        let layers = self.layers();
        for layer in &layers {
            let answer = server.get(&blob(layer));
            assert_eq!(answer.status, 200);
            let blob = blobs.iter().find(|blob| blob.digest == *layer);
            assert!(answer.body == blob.expect("it is one").bytes, "{layer}");
        }
        let beside = bytes_read(server) - before - layers.len() * LENGTH;
        (beside + LENGTH / 2) / LENGTH
    }
}

/// An image whose layers are this long and differ.
fn image(layers: u32) -> Image {
    let bytes = |layer: u32| -> Vec<u8> {
        let numbers = (0_u32..).map(|number| (number + (layer << 24)).wrapping_mul(0x9e37_79b9));
        numbers.flat_map(u32::to_be_bytes).take(LENGTH).collect()
    };
    let layers: Vec<Layer> = (0..layers).map(|layer| Layer::raw(bytes(layer))).collect();
    Image::new("app").layers(layers)
}

fn blob(digest: &str) -> String {
    format!("/v2/acme/app/blobs/{digest}")
}

/// Waits until the file at `path` is old enough to be told from what it may become.
pub(crate) fn age(path: &Path) {
    let metadata = fs::metadata(path).expect("a file");
    let number = |number: i64| u64::try_from(number).expect("a time of today");
    let since = Duration::from_secs(number(metadata.ctime()))
        + Duration::from_nanos(number(metadata.ctime_nsec()));
    let changed = SystemTime::UNIX_EPOCH + since;
    eventually("it is old enough", || {
        changed.elapsed().is_ok_and(|age| age > OLD_ENOUGH)
    });
}

/// How many bytes the server has read so far, cached or not.
fn bytes_read(server: &Server) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("its counters");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.expect("a counter").parse().expect("a number")
}

/// The lines of this kind in the file at `path`, each once.
fn lines(path: &Path, kind: &str) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.starts_with(kind));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    lines
}

fn stop(server: Server) {
    assert!(server.stop().success());
}

#[test]
fn a_second_start_hashes_nothing_again() {
    let shelf = Shelf::new(3);
    // Where nothing is verified, nothing is said to have been.
    let server = shelf.serve(&["--verify", "off"]);
    assert_eq!(shelf.hashed(&server), 0);
    stop(server);
    assert_eq!(fs::read(shelf.verdicts()).unwrap(), b"");

    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 3);
    assert_eq!(shelf.hashed(&server), 0);
    stop(server);
    let metadata = fs::metadata(shelf.verdicts()).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let written = fs::read(shelf.verdicts()).expect("a file");
    let text = String::from_utf8_lossy(&written);
    assert!(!text.contains("sha256"), "it tells what is served: {text}");

    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 0);
    stop(server);
    assert_eq!(fs::read(shelf.verdicts()).unwrap(), written, "nothing new");
    let without = shelf.setup().env("PACKAGEORIGIN_NO_CACHE", "1").start();
    assert_eq!(shelf.hashed(&without), 3);
    stop(without);
    assert_eq!(fs::read(shelf.verdicts()).unwrap(), written);
}

/// A server that is killed loses what it found out in the last moment, and holds no file open.
#[test]
fn it_is_written_soon_and_closed() {
    let shelf = Shelf::new(2);
    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 2);
    eventually("it is written", || {
        lines(&shelf.verdicts(), "v ").len() == 2
    });
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let open = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(
        open.filter(|path| path.starts_with(shelf.cache.path()))
            .count(),
        0
    );
    server.signal("KILL");
    drop(server);
    assert_eq!(shelf.hashed(&shelf.serve(&[])), 0);
}

/// What was found out is believed of the very same file alone.
#[test]
fn a_changed_file_is_hashed_again() {
    let shelf = Shelf::new(2);
    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 2);
    stop(server);
    let bytes = fs::read(shelf.archive()).unwrap();
    let modified = fs::metadata(shelf.archive()).unwrap().modified().unwrap();

    // A bit of the first layer is flipped in place, and the time of modification is put back.
    let blobs = shelf.image.blobs();
    let layers = shelf.layers();
    let layer = &blobs
        .iter()
        .find(|blob| blob.digest == layers[0])
        .unwrap()
        .bytes;
    let at = bytes.windows(64).position(|window| window == &layer[..64]);
    let at = at.expect("it is there") + 9;
    let file = fs::File::options()
        .write(true)
        .open(shelf.archive())
        .unwrap();
    file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    file.set_modified(modified).unwrap();
    drop(file);
    for _ in 0..2 {
        let server = shelf.serve(&[]);
        let answer = server.try_request("GET", &blob(&layers[0]), &[], b"");
        let error = answer.expect_err("it is damaged").kind();
        assert!(
            matches!(error, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
            "{error}"
        );
        // That is not remembered: it is found out anew.
        server.wait_for_stderr("are not those of sha256:");
        stop(server);
    }

    // The same bytes in another file.
    shelf.packages.put("app.tar", &bytes);
    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 2);
}

#[test]
fn what_had_to_be_hashed_first_is_there_at_once() {
    let bytes = image(1).blobs().into_iter().map(|blob| blob.bytes);
    let noise = bytes.max_by_key(Vec::len).expect("a layer");
    let image = Image::new("app").layers([Layer::raw(noise).gzip()]);
    let archive = DockerArchive::new(Naming::Legacy).image(&image, Some(&[APP]));
    let shelf = Shelf::of(image.canonical(), &archive.tar());
    let manifest = |server: &Server| server.get("/v2/acme/app/manifests/1").status;
    let size = shelf.image.layer_descriptors()[0].size;
    assert!(size > LENGTH / 2, "{size} bytes are too few to be seen");
    // It was hashed to be known, and that counts.
    let assert_is_sent_as_it_is = |server: &Server| {
        let before = bytes_read(server);
        let layer = server.get(&blob(&shelf.layers()[0]));
        assert_eq!((layer.status, layer.body.len()), (200, size));
        let read = bytes_read(server) - before;
        assert!(read < size * 3 / 2, "{read} bytes of {size}");
    };

    let server = shelf.serve(&[]);
    eventually("it is served", || manifest(&server) == 200);
    server.wait_for_stderr("Serving 0 repositories");
    assert_is_sent_as_it_is(&server);
    stop(server);
    assert_eq!(lines(&shelf.verdicts(), "l ").len(), 1);

    let server = shelf.serve(&[]);
    assert_eq!(manifest(&server), 200);
    server.wait_for_stderr("Serving 1 repository, 2 tags, 1 image");
    assert!(bytes_read(&server) < size / 2, "{}", bytes_read(&server));
    assert_is_sent_as_it_is(&server);
}

#[test]
fn garbage_is_passed_over_and_newer_versions_are_left_alone() {
    let shelf = Shelf::new(1);
    let server = shelf.serve(&[]);
    assert_eq!(shelf.hashed(&server), 1);
    stop(server);
    let written = fs::read(shelf.verdicts()).unwrap();
    let newer = shelf.cache.path().join("verdicts-v2");
    fs::write(&newer, "in words to come").unwrap();
    let garbage: Vec<u8> = (0..300_000_u32)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    let half = &written[..written.len() - 9];
    for (before, hashed) in [
        (vec![0; 100_000], 1),
        (garbage.clone(), 1),
        (half.to_vec(), 1),
        ([&garbage, &written[..]].concat(), 0),
    ] {
        fs::write(shelf.verdicts(), &before).unwrap();
        let server = shelf.serve(&[]);
        assert_eq!(shelf.hashed(&server), hashed, "{} bytes", before.len());
        stop(server);
        let server = shelf.serve(&[]);
        assert_eq!(shelf.hashed(&server), 0, "behind {} bytes", before.len());
        assert!(
            !server.stderr().contains("warning: "),
            "{}",
            server.stderr()
        );
    }
    assert_eq!(fs::read(newer).unwrap(), b"in words to come");
}

/// Nobody has to stop the server to clear it.
#[test]
fn deleted_it_is_made_again() {
    let shelf = Shelf::new(1);
    let server = shelf.serve(&[]);
    eventually("it is made", || shelf.verdicts().exists());
    fs::remove_dir_all(shelf.cache.path()).unwrap();
    assert_eq!(shelf.hashed(&server), 1);
    stop(server);
    assert_eq!(lines(&shelf.verdicts(), "v ").len(), 1);
}
