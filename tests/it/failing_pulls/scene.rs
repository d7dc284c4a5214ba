//! What clients meet when a pull fails: registries that are not here, not whole, or somebody else's.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::listener::{self, Listener};
use crate::conformance::{digest_of, examples};
use crate::daemons::Home;
use crate::needs::{run, wait};
use crate::server::{Server, Setup};

/// How long nginx may take until it answers, and until it stops.
const LIMIT: Duration = Duration::from_secs(15);
/// Longer than a label of a host's name may be: such a name is known to nobody, and nobody is asked.
const NO_HOST: &str = "registry-that-is-known-by-a-name-which-is-too-long-for-any-label-of-it.test";

/// The image whose layers are not what they claim.
const DAMAGED: &str = "damaged:1.0.0";
/// The last layer in `zstd.tar`, uncompressed.
const ZSTD_LAYER: &str = "898d9d81fe2f009383b236582c2c7c5fe7a4c4c95aa5ec1a7749155cbfd07e88";

/// nginx with TLS before a registry, with a certificate that nobody has signed.
const NGINX: &str = r"
    daemon off;
    worker_processes 1;
    pid $HOME/nginx.pid;
    error_log $HOME/nginx.log;
    events {}
    http {
        access_log off;
        client_body_temp_path $HOME/body;
        proxy_temp_path $HOME/proxy;
        fastcgi_temp_path $HOME/fastcgi;
        uwsgi_temp_path $HOME/uwsgi;
        scgi_temp_path $HOME/scgi;
        server {
            listen 127.0.0.1:$PORT ssl;
            ssl_certificate $HOME/ca.crt;
            ssl_certificate_key $HOME/nginx.pem;
            location / {
                proxy_pass http://$REGISTRY;
                proxy_set_header Host $http_host;
            }
        }
    }
";

/// All that stands on the other side of a client, and the folders that the registries serve.
pub(super) struct Scene {
    registry: Server,
    incomplete: Server,
    damaged: Server,
    unverified: Server,
    exhausted: Server,
    tls: Proxy,
    elsewhere: Listener,
    banner: Listener,
    cutting: Listener,
    layers: Vec<String>,
}

impl Scene {
    pub(super) fn new(home: &Home) -> Self {
        let sample = Sample::read();
        let shelf = home.join("shelf");
        fs::create_dir(&shelf).expect("a folder");
        fs::copy(examples().join("hello.tar"), shelf.join("hello.tar")).expect("a copy");
        fs::write(shelf.join("plus.tar"), sample.named("plus:1.0.0+oci")).expect("an archive");
        let zstd = "buildx0.29-oci-zstd.tar";
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        fs::copy(data.join(zstd), shelf.join("zstd.tar")).expect("a copy");
        let holes = folder(home, "holes", "hello.tar", &sample.without_layers());
        let damaged = folder(home, "damaged", "damaged.tar", &sample.damaged());
        let unverified = folder(home, "unverified", "damaged.tar", &sample.damaged());
        folder(home, "whole", "damaged.tar", &sample.named(DAMAGED));

        let registry = quick(&shelf, "on-demand");
        let address = registry.addr();
        Self {
            tls: Proxy::start(home, registry.authority()),
            incomplete: quick(&holes, "on-demand"),
            damaged: quick(&damaged, "on-demand"),
            unverified: quick(&unverified, "off"),
            exhausted: Server::serving(&examples()),
            elsewhere: Listener::start(listener::refuse),
            banner: Listener::start(listener::greet),
            cutting: Listener::start(move |stream| listener::cut(stream, address)),
            layers: sample.layers,
            registry,
        }
    }

    /// The same as variables of a shell, which all lines of the cases begin with.
    pub(super) fn variables(&self) -> String {
        let mut text = String::new();
        for (name, value) in [
            ("REGISTRY", self.registry.authority().to_owned()),
            // What is not in 127.0.0.0/8 is another machine to docker, containerd and crane.
            ("FAR", format!("0.0.0.0:{}", self.registry.port())),
            ("TLS", format!("0.0.0.0:{}", self.tls.port)),
            ("INCOMPLETE", self.incomplete.authority().to_owned()),
            ("DAMAGED", self.damaged.authority().to_owned()),
            ("UNVERIFIED", self.unverified.authority().to_owned()),
            ("EXHAUSTED", self.exhausted.authority().to_owned()),
            ("EXHAUSTED_PID", self.exhausted.pid().to_string()),
            ("ELSEWHERE", format!("127.0.0.1:{}", self.elsewhere.port())),
            ("OTHER_SERVICE", format!("127.0.0.1:{}", self.banner.port())),
            ("FAR_SERVICE", format!("0.0.0.0:{}", self.banner.port())),
            ("CUTTING", format!("127.0.0.1:{}", self.cutting.port())),
            ("LAYER", format!("sha256:{}", self.layers[0])),
            // The port of a service that no machine has had for decades.
            ("NOBODY", "127.0.0.1:1".to_owned()),
            ("NO_HOST", format!("{NO_HOST}:8080")),
        ] {
            writeln!(text, "{name}={value}").expect("memory");
        }
        text
    }

    /// The digests, in hexadecimal, of the layers that a successful pull brings one of.
    pub(super) fn layers(&self) -> &[String] {
        &self.layers
    }
}

/// A new folder with one archive.
fn folder(home: &Home, name: &str, archive: &str, bytes: &[u8]) -> PathBuf {
    let folder = home.join(name);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join(archive), bytes).expect("an archive");
    folder
}

/// A registry that notices a new archive at once, and hashes layers when `verify` says.
fn quick(folder: &Path, verify: &str) -> Server {
    Setup::new()
        .arg("--packages")
        .arg(folder)
        .args(["--refresh", "100ms", "--verify", verify])
        .start()
}

/// The members of `hello.tar`.
struct Sample {
    members: Vec<(String, Vec<u8>)>,
    layers: Vec<String>,
}

impl Sample {
    fn read() -> Self {
        let file = File::open(examples().join("hello.tar")).expect("an archive");
        let mut members = Vec::new();
        for entry in tar::Archive::new(file).entries().expect("a tar") {
            let mut entry = entry.expect("a member");
            let name = entry.path().expect("a path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            if entry.header().entry_type().is_file() {
                members.push((name, bytes));
            }
        }
        // Its other members are JSON.
        let mut layers: Vec<String> = (members.iter())
            .filter(|(_, bytes)| !bytes.starts_with(b"{"))
            .map(|(_, bytes)| digest_of(bytes).replace("sha256:", ""))
            .collect();
        layers.push(ZSTD_LAYER.to_owned());
        Self { members, layers }
    }

    /// The same images under another name.
    fn named(&self, name: &str) -> Vec<u8> {
        self.archive(|bytes| {
            let text = String::from_utf8(bytes.to_vec()).ok();
            let text = text.filter(|text| text.contains("hello:1.0.0"));
            Some(text.map_or(bytes.to_vec(), |text| {
                text.replace("hello:1.0.0", name).into_bytes()
            }))
        })
    }

    /// The same with one wrong byte in each layer.
    fn damaged(&self) -> Vec<u8> {
        let mut damaged = self.named(DAMAGED);
        for (_, layer) in self
            .members
            .iter()
            .filter(|(_, bytes)| !bytes.starts_with(b"{"))
        {
            let mut parts = damaged.windows(layer.len());
            let at = parts.position(|part| part == layer).expect("the layer");
            damaged[at + layer.len() - 1] ^= 1;
        }
        damaged
    }

    fn without_layers(&self) -> Vec<u8> {
        self.archive(|bytes| bytes.starts_with(b"{").then(|| bytes.to_vec()))
    }

    fn archive(&self, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut archive = crate::fixture::Tar::new();
        for (name, bytes) in &self.members {
            if let Some(bytes) = change(bytes) {
                archive.file(name, &bytes);
            }
        }
        archive.finish()
    }
}

/// A running nginx. It is stopped, by its process id, when dropped.
struct Proxy {
    child: Child,
    port: u16,
}

impl Proxy {
    fn start(home: &Home, registry: &str) -> Self {
        let certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry \
            -addext subjectAltName=IP:0.0.0.0 -keyout nginx.pem -out ca.crt";
        home.sh(certificate);
        let port = listener::free_port();
        let settings = NGINX
            .replace("$HOME", home.path().to_str().expect("an ASCII path"))
            .replace("$PORT", &port.to_string())
            .replace("$REGISTRY", registry);
        fs::write(home.join("nginx.conf"), settings).expect("settings");
        let child = home
            .command("nginx")
            .arg("-c")
            .arg(home.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx");
        // From here on `Drop` stops the child.
        let proxy = Self { child, port };
        let deadline = Instant::now() + LIMIT;
        let line = format!("curl -sk --noproxy '*' https://127.0.0.1:{port}/v2/");
        while !run(home.command("sh").args(["-c", &line]), LIMIT).success {
            assert!(Instant::now() < deadline, "nginx does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = self.child.id().to_string();
            let _ = Command::new("sh")
                .args(["-c", "kill -s TERM \"$1\"", "sh", &pid])
                .status();
            let _ = wait(&mut self.child, LIMIT);
        }
    }
}
