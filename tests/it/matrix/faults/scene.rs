//! One pull in which something goes wrong: an image, the server that has it, and the proxy before that.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::super::sample;
use super::super::session::Reference;
use super::rows::Row;
use crate::fixture::{Blob, Image, Layer, Layout};
use crate::packages::Packages;
use crate::proxy::{Gate, Proxy};
use crate::server::{Server, Setup};

/// How long transfers may go on after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the server is away when it is started again: long enough for who asks again at once to be refused, and shorter
/// than the second for which others wait.
const AWAY: Duration = Duration::from_millis(300);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(15);
/// The archive that is served.
const ARCHIVE: &str = "app.tar";

/// One of the things that a client fetches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Manifest,
    Config,
    /// The larger of two layers.
    Layer,
}

pub(super) struct Scene {
    pub(super) proxy: Proxy,
    pub(super) site: Arc<Site>,
}

impl Scene {
    /// All that a pull needs. Nothing of the image is in another one, so that no client has it.
    pub(super) fn of(row: &Row) -> Self {
        let image = image(&row.what, row.size);
        let packages = Packages::new().with(ARCHIVE, archive(&image));
        let server = serve(&packages, "127.0.0.1:0");
        let proxy = Proxy::before(server.addr());
        let site = Arc::new(Site {
            image,
            address: server.addr().to_string(),
            gate: proxy.gate(),
            server: Mutex::new(Some(server)),
            was_replaced: AtomicBool::new(false),
            returning: Mutex::default(),
            packages,
        });
        let scene = Self { proxy, site };
        scene.proxy.spoil((row.faults)(&scene));
        scene
    }

    pub(super) fn image(&self) -> &Image {
        &self.site.image
    }

    /// Whether there is another image of the same name by now.
    pub(super) fn was_replaced(&self) -> bool {
        self.site.was_replaced.load(Ordering::Relaxed)
    }

    /// What to pull, by way of the proxy.
    pub(super) fn reference(&self) -> Reference {
        Reference::tag(&self.proxy.authority(), "app", "1")
    }

    /// What stands in the path of requests for this part alone.
    pub(super) fn path(&self, part: Part) -> String {
        match part {
            Part::Manifest => "/manifests/".to_owned(),
            part => self.blob(part).digest,
        }
    }

    /// How many bytes it has.
    pub(super) fn length(&self, part: Part) -> u64 {
        self.blob(part).bytes.len() as u64
    }

    fn blob(&self, part: Part) -> Blob {
        match part {
            Part::Manifest => self.image().manifest(),
            Part::Config => self.image().config(),
            Part::Layer => self.image().layers[1].blob(),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.site.settle();
    }
}

/// The server, and what it serves. Both change while a client is at work.
pub(super) struct Site {
    image: Image,
    /// Where the server listens.
    address: String,
    /// The way to it.
    gate: Gate,
    server: Mutex<Option<Server>>,
    was_replaced: AtomicBool,
    /// A server that comes back.
    returning: Mutex<Option<JoinHandle<()>>>,
    packages: Packages,
}

impl Site {
    /// Stops the server at once, with all its transfers, and has it come back.
    pub(super) fn kill(self: &Arc<Self>) {
        let server = self.leave("KILL");
        self.come_back_after(move || drop(server));
    }

    /// Stops it and waits until it has cut what did not end in time, and has it come back.
    pub(super) fn cut(self: &Arc<Self>) {
        let mut server = self.leave("TERM");
        assert!(server.wait(STOP).is_some(), "it stops");
        self.come_back_after(move || drop(server));
    }

    /// Stops it while transfers go on, and has it come back.
    pub(super) fn stop(self: &Arc<Self>) {
        let mut server = self.leave("TERM");
        self.come_back_after(move || {
            server.wait(STOP);
        });
    }

    fn leave(&self, signal: &str) -> Server {
        self.gate.shut();
        let server = lock(&self.server).take().expect("it runs");
        server.signal(signal);
        server
    }

    fn come_back_after(self: &Arc<Self>, stopped: impl FnOnce() + Send + 'static) {
        let site = Arc::clone(self);
        let returning = thread::spawn(move || {
            stopped();
            thread::sleep(AWAY);
            let server = serve(&site.packages, &site.address);
            *lock(&site.server) = Some(server);
            site.gate.open();
        });
        *lock(&self.returning) = Some(returning);
    }

    /// Waits until the server is back.
    fn settle(&self) {
        if let Some(returning) = lock(&self.returning).take() {
            // A test that has failed already says why.
            assert!(
                returning.join().is_ok() || thread::panicking(),
                "it is back"
            );
        }
    }

    /// Takes the archive away.
    pub(super) fn remove(&self) {
        self.packages.remove(ARCHIVE);
    }

    /// Puts an archive with another image of the same name in its place.
    pub(super) fn replace(&self) {
        self.packages.put(ARCHIVE, archive(&replacement()));
        self.was_replaced.store(true, Ordering::Relaxed);
    }

    /// Has another archive with the same image instead.
    pub(super) fn rename(&self) {
        let folder = self.packages.path();
        let bytes = fs::read(folder.join(ARCHIVE)).expect("an archive");
        self.packages.put("another.tar", bytes);
        self.remove();
    }

    /// Writes other bytes into the archive.
    pub(super) fn overwrite(&self) {
        let path = self.packages.path().join(ARCHIVE);
        let length = fs::metadata(&path).expect("an archive").len();
        let length = usize::try_from(length).expect("a length");
        fs::write(path, vec![0; length]).expect("an archive");
    }
}

/// A panic elsewhere has failed the test already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that looks for changes only when a request finds one.
fn serve(packages: &Packages, listen: &str) -> Server {
    let drain = format!("{}s", DRAIN.as_secs());
    Setup::new()
        .without_listen()
        .args(["--listen", listen, "--refresh", "1h", "--drain", &drain])
        .arg("--packages")
        .arg(packages.path())
        .start()
}

/// What takes the place of an image.
pub(super) fn replacement() -> Image {
    image("another", 1000)
}

/// An image for this machine, whose second layer has one file of so many bytes that nothing compresses.
fn image(title: &str, size: usize) -> Image {
    let mut state = title
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    let noise: Vec<u8> = (0..size / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    Image::new(title).platform(sample::own()).layers([
        Layer::files(&[("title.txt", title.as_bytes())]).gzip(),
        Layer::files(&[("noise", &noise)]),
    ])
}

fn archive(image: &Image) -> Vec<u8> {
    Layout::new().named(image, "app:1").tar()
}
