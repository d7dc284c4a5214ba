//! A client at work: in a folder of its own, with its daemon.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{CLIENTS, Client, Daemon};
use super::{sample, settings};
use crate::daemons::{self, Home, able};
use crate::fixture::{Blob, Image, sha256};
use crate::needs::{Finished, needs, run};

/// How long one command of a client may take: docker waits 5, 10, 15… seconds before it tries again.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a process may outlive its client.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// What a client is to pull, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    registry: String,
    repository: String,
    version: String,
}

impl Reference {
    /// `registry` is `HOST:PORT`, or `docker.io`.
    pub(crate) fn tag(registry: &str, repository: &str, tag: &str) -> Self {
        Self::new(registry, repository, format!(":{tag}"))
    }

    /// `registry` is `HOST:PORT`, or `docker.io`.
    pub(crate) fn digest(registry: &str, repository: &str, digest: &str) -> Self {
        Self::new(registry, repository, format!("@{digest}"))
    }

    fn new(registry: &str, repository: &str, version: String) -> Self {
        Self {
            registry: registry.into(),
            repository: repository.into(),
            version,
        }
    }

    /// What the commands of a client find in their environment.
    fn variables(&self) -> [(&'static str, String); 3] {
        let name = format!("{}/{}{}", self.registry, self.repository, self.version);
        [
            ("REGISTRY", self.registry.clone()),
            ("REPOSITORY", self.repository.clone()),
            ("IMAGE", name),
        ]
    }
}

/// What came of a pull.
pub(crate) struct Pulled {
    /// Whether the client ended with 0.
    pub(crate) success: bool,
    /// All that it wrote.
    pub(crate) said: String,
    /// What it has stored then, by the digest of the bytes.
    pub(crate) stored: HashMap<String, Vec<u8>>,
}

impl Pulled {
    /// What is not stored of an image. A layer may be there as it was sent or decompressed.
    pub(crate) fn lacks(&self, image: &Image) -> Vec<String> {
        let documents = [image.manifest(), image.config()];
        let missing = documents.into_iter().filter(|blob| !self.has(blob));
        let layers = image.layers.iter();
        let layers = layers
            .filter(|layer| !self.has(&layer.blob()) && !self.stored.contains_key(&layer.diff_id));
        missing
            .map(|blob| blob.digest)
            .chain(layers.map(|layer| layer.blob().digest))
            .collect()
    }

    /// Whether these very bytes are stored.
    pub(crate) fn has(&self, blob: &Blob) -> bool {
        self.stored.get(&blob.digest) == Some(&blob.bytes)
    }
}

/// A client that can be told what to do. Its daemon stops, and its folder goes, when it is dropped.
pub(crate) struct Session {
    pub(super) client: &'static Client,
    // Before the folder in which they run.
    _daemons: Vec<daemons::Daemon>,
    home: Home,
    mirror: String,
}

impl Session {
    /// The client of that name, if it is on this machine; if not, a line says so.
    ///
    /// # Panics
    ///
    /// If there is no client of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::with_mirror(name, "localhost:1")
    }

    /// The same, with a registry, `HOST:PORT`, that it takes for Docker Hub.
    pub(super) fn with_mirror(name: &str, mirror: &str) -> Option<Self> {
        let client = CLIENTS.iter().find(|client| client.name == name);
        let client = client.expect("a client of that name");
        // What runs containers needs more.
        let is_able = if client.more.run.is_some() {
            able
        } else {
            needs
        };
        is_able(client.programs).then(|| Self::start(client, Home::new(), mirror))
    }

    /// Starts what the client needs in `home`.
    pub(super) fn start(client: &'static Client, home: Home, mirror: &str) -> Self {
        settings::mirror(&home, mirror);
        let daemons = match client.daemon {
            Daemon::None => Vec::new(),
            Daemon::Containerd => {
                settings::unpack(&home);
                vec![home.containerd()]
            }
            Daemon::Docker { containerd_store } => {
                if containerd_store {
                    settings::containerd_store(&home);
                }
                home.docker().into()
            }
        };
        Self {
            client,
            _daemons: daemons,
            home,
            mirror: mirror.into(),
        }
    }

    /// The version of the client, as it tells it.
    pub(crate) fn version(&self) -> String {
        let told = self.home.sh(self.client.version);
        let words = told.split_whitespace();
        let numbers = words.map(|word| word.strip_prefix('v').unwrap_or(word));
        let mut numbers = numbers.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let version = numbers.next().expect("a version");
        let end = version.find(|c: char| c != '.' && !c.is_ascii_digit());
        version[..end.unwrap_or(version.len())].to_owned()
    }

    /// Pulls an image into a store that is empty.
    pub(crate) fn pull(&self, image: &Reference) -> Pulled {
        self.fetch(self.client.pull, image)
    }

    /// Runs a command that brings an image here, and tells what is here then.
    pub(super) fn fetch(&self, line: &str, image: &Reference) -> Pulled {
        self.forget();
        let out = self.out();
        let fetched = self.tell(line, image);
        if fetched.success && is_empty(&out) {
            let kept = self.tell(self.client.keep, image);
            assert!(kept.success, "{}", kept.said());
        }
        Pulled {
            success: fetched.success,
            said: fetched.said(),
            stored: stored(&out),
        }
    }

    /// Empties the client's store, and the folder for what it fetches.
    pub(super) fn forget(&self) {
        self.home.sh(self.client.forget);
        let _ = fs::remove_dir_all(self.out());
        fs::create_dir(self.out()).expect("an empty folder");
    }

    /// Runs a command about an image.
    pub(super) fn tell(&self, line: &str, image: &Reference) -> Finished {
        let (platform, architecture) = sample::foreign();
        let mut command = self.home.shell(line);
        command
            .envs(image.variables())
            .env("PLATFORM", platform)
            .env("ARCH", architecture)
            .env("OUT", self.out())
            .env("MIRROR", &self.mirror)
            .env("NAME", self.home.name())
            .env(
                "CONTAINERS_REGISTRIES_CONF",
                self.home.join("registries.conf"),
            );
        run(&mut command, LIMIT)
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// If a file, a mount or a process of it is left.
    pub(super) fn end(self) {
        let home = self.home.path().to_owned();
        drop(self);
        assert!(!home.exists(), "{} is left", home.display());
        let home = home.to_str().expect("an ASCII path");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        assert!(!mounts.contains(home), "{mounts}");
        // The process that holds a container gets a moment to see that it is over.
        let deadline = Instant::now() + LAST_MOMENT;
        while let Some(process) = process_about(home) {
            assert!(Instant::now() < deadline, "still running: {process}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where a client puts what it has fetched.
    pub(super) fn out(&self) -> PathBuf {
        self.home.join("out")
    }
}

/// The command line of a process that has this text in it.
fn process_about(text: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").expect("processes");
    let lines = processes.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .find(|line| line.contains(text))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

/// All files below a folder, by the digest of their bytes.
fn stored(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            found.extend(stored(&entry.path()));
        } else {
            let bytes = fs::read(entry.path()).expect("a file");
            found.insert(sha256(&bytes), bytes);
        }
    }
    found
}
