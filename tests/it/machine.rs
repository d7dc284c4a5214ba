//! A machine of a test's own, so that what a page shows can be run as it stands there: with a network of nothing but
//! loopback, in which every port is free, with an `/etc` and a `/run` of its own and with its own processes.
//!
//! It is made of namespaces of the kernel and goes, with all that runs in it, when the pipe to its first process is
//! closed. Three things are not as on a person's machine:
//!
//! - `registry.example.com` is another address of the machine itself. It is none of `127.0.0.0/8`, so that clients take it
//!   for another host.
//! - `systemctl reload docker` sends the daemon the signal itself: no service manager runs.
//! - The registries of the internet, if a test wants them ([`Machine::internet`]), are a `packageorigin` behind an nginx
//!   that speaks TLS and says which of them was asked. The machine trusts nginx's certificate.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemons::{Home, able};
use crate::needs::{Finished, run, wait};
use crate::server::binary;

/// What making a machine takes.
const TOOLS: &[&str] = &["unshare", "nsenter", "ip", "mount", "curl"];
/// What [`Machine::internet`] takes.
pub(crate) const INTERNET: &[&str] = &["nginx", "openssl"];
/// How long one command may take, and a daemon until it answers.
const LIMIT: Duration = Duration::from_secs(60);

/// What the machine's first process does. It reads from a pipe until that ends.
const SETUP: &str = r#"
    set -eu
    ip link set lo up
    ip address add 192.0.2.10/32 dev lo
    ip address add 192.0.2.20/32 dev lo
    cp -a /etc etc
    rm -rf etc/docker etc/containerd etc/containers
    mkdir etc/docker etc/containerd etc/containers etc/containers/registries.conf.d
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >etc/containers/policy.json
    cat >etc/hosts <<END
127.0.0.1 localhost
::1 localhost
192.0.2.10 registry.example.com
192.0.2.20 registry-1.docker.io quay.io ghcr.io
END
    mount --bind etc /etc
    mount -t tmpfs tmpfs /run
    echo ready
    read -r line || true
"#;

/// Stands in for the service manager's.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$*" = "reload docker" ] && kill -s HUP "$(cat "$HOME/docker.pid")" && sleep 2
"#;

/// Nothing of the settings that pages write into `/etc/docker/daemon.json` is among these options.
const DOCKERD: &str = "dockerd --host unix://$HOME/docker.sock --containerd $HOME/containerd.sock \
    --data-root $HOME/docker/data --exec-root $HOME/docker/exec --pidfile $HOME/docker.pid \
    --storage-driver vfs --iptables=false --ip6tables=false";

/// Each registry's own images only, whatever else lies in the folder.
const NGINX: &str = r#"
    user root;
    pid nginx.pid;
    daemon off;
    events {}
    http {
        access_log off;
        proxy_buffering off;
        client_body_temp_path nginx;
        proxy_temp_path nginx;
        fastcgi_temp_path nginx;
        uwsgi_temp_path nginx;
        scgi_temp_path nginx;
        server {
            listen 192.0.2.20:443 ssl;
            ssl_certificate certificate.pem;
            ssl_certificate_key key.pem;
            location / {
                set $args "$args&ns=$host";
                proxy_pass http://127.0.0.1:5000;
                proxy_http_version 1.1;
            }
        }
    }
"#;

const CERTIFICATE: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=registries \
    -addext subjectAltName=DNS:registry-1.docker.io,DNS:quay.io,DNS:ghcr.io \
    -keyout $HOME/key.pem -out $HOME/certificate.pem && \
    cat $HOME/certificate.pem >>/etc/ssl/certs/ca-certificates.crt";

/// A machine. What runs in it is killed when it is dropped, and what is mounted in it goes.
pub(crate) struct Machine {
    home: Home,
    first: Child,
}

impl Machine {
    /// Whether this machine can make another one on which `tools` are.
    pub(crate) fn able(tools: &[&str]) -> bool {
        able(&[TOOLS, tools].concat())
    }

    /// A machine on which nothing runs yet. Commands run in the folder [`Machine::folder`], where the folder `images`
    /// holds the archives of `examples/`.
    pub(crate) fn new() -> Self {
        let home = Home::new();
        put_programs(&home.join("bin"));
        let images = home.join("work/images");
        fs::create_dir_all(&images).expect("a folder");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        fs::copy(examples.join("hello.tar"), images.join("hello.tar")).expect("a copy");
        let mut first = home
            .command("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--mount-proc"])
            .args(["sh", "-c", SETUP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut said = String::new();
        let stdout = first.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("a line of the first process");
        assert_eq!(said, "ready\n", "the machine does not start");
        Self { home, first }
    }

    /// Where commands run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.join("work")
    }

    /// Writes one of its files below `/etc`.
    ///
    /// # Panics
    ///
    /// If the path leads elsewhere.
    pub(crate) fn configure(&self, path: &str, text: &str) {
        assert!(path.starts_with("/etc/"), "{path} is no file in /etc");
        let file = self.home.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }

    /// Runs what a person would type. Both of its outputs come, in their order, as `stdout`.
    pub(crate) fn run(&self, line: &str) -> Finished {
        run(&mut self.command(line), LIMIT)
    }

    /// Runs what a person would type, and gives what it writes.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub(crate) fn sh(&self, line: &str) -> String {
        let finished = self.run(line);
        assert!(finished.success, "{line}\n{}", finished.said());
        finished.stdout.trim_end().to_owned()
    }

    /// Starts a program and waits until the command `ready` succeeds. What it writes goes to the file `log`.
    ///
    /// # Panics
    ///
    /// If it is not ready in time.
    pub(crate) fn start(&self, line: &str, log: &str, ready: &str) {
        // Emptied before anything starts, so that no line of an earlier program is taken for one of this.
        self.sh(&format!(
            ": >$HOME/{log}; ({line}) >>$HOME/{log} 2>&1 </dev/null &"
        ));
        let deadline = Instant::now() + LIMIT;
        while !self.run(ready).success {
            let said = || fs::read_to_string(self.home.join(log)).unwrap_or_default();
            assert!(Instant::now() < deadline, "{line}: not ready\n{}", said());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a program that was started has written to its log so far.
    pub(crate) fn log(&self, log: &str) -> String {
        fs::read_to_string(self.home.join(log)).expect("a log")
    }

    /// Waits until that log contains `text`, and gives all of it.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    pub(crate) fn wait_for_log(&self, log: &str, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = self.log(log);
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < deadline, "no `{text}` in {log}:\n{said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn containerd(&self) {
        let line = "containerd --config $HOME/containerd.toml";
        self.start(line, "containerd.log", "ctr version");
    }

    /// dockerd, and containerd under it.
    pub(crate) fn docker(&self) {
        self.containerd();
        self.start(DOCKERD, "dockerd.log", "docker version");
    }

    /// Has docker.io, quay.io and ghcr.io answer with their images in this folder.
    pub(crate) fn internet(&self, folder: &str) {
        self.sh(CERTIFICATE);
        fs::write(self.home.join("nginx.conf"), NGINX).expect("settings");
        let server = format!("packageorigin --listen 127.0.0.1:5000 {folder}");
        let is_ready = "curl -fsS http://127.0.0.1:5000/readyz";
        self.start(&server, "internet.log", is_ready);
        let nginx = "nginx -p $HOME -e stderr -c $HOME/nginx.conf";
        self.start(nginx, "nginx.log", "curl -fsS https://quay.io/v2/");
    }

    fn command(&self, line: &str) -> Command {
        let namespaces = format!("/proc/{}/ns", self.first.id());
        let mut command = self.home.command("nsenter");
        command
            .arg(format!("--mount={namespaces}/mnt"))
            .arg(format!("--net={namespaces}/net"))
            .arg(format!("--pid={namespaces}/pid_for_children"))
            .args(["sh", "-c"])
            .arg(r#"exec 2>&1; PATH="$HOME/bin:$PATH"; cd "$HOME/work" && eval "$1""#)
            .args(["sh", line]);
        command
    }
}

fn put_programs(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    symlink(binary(), folder.join("packageorigin")).expect("a link");
    let systemctl = folder.join("systemctl");
    fs::write(&systemctl, SYSTEMCTL).expect("a program");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(systemctl, executable).expect("an executable");
}

impl Drop for Machine {
    /// The first process ends with its pipe, and all others with it.
    fn drop(&mut self) {
        drop(self.first.stdin.take());
        let _ = wait(&mut self.first, LIMIT);
    }
}
