//! Daemons and tools of containers, each test's own: their files, sockets and settings lie in a folder that is removed
//! with all that is mounted in it.
//!
//! ```ignore
//! let home = Home::new();
//! let _docker = home.docker();
//! home.sh("docker version");
//! ```

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::needs::{needs, run, skip, wait};
use crate::systems::System;

/// The programs of containerd.
pub(crate) const CONTAINERD: &[&str] = &["containerd", "ctr"];
/// The programs of docker, which has containerd under it.
pub(crate) const DOCKER: &[&str] = &["dockerd", "docker", "containerd", "ctr"];
/// How long a daemon may take until it answers, and one command until it ends.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a daemon may take to stop by itself.
const STOP: Duration = Duration::from_secs(15);

/// The settings of the daemons and of podman, by file name. Nothing of them is outside of `$HOME`,
/// nothing changes the machine's network, and the copying storage drivers work on every file system.
const SETTINGS: &[(&str, &str)] = &[
    (
        "dockerd.json",
        r#"{
            "hosts": ["unix://$HOME/docker.sock"],
            "containerd": "$HOME/containerd.sock",
            "data-root": "$HOME/docker/data",
            "exec-root": "$HOME/docker/exec",
            "pidfile": "$HOME/docker.pid",
            "storage-driver": "vfs",
            "bridge": "none",
            "iptables": false,
            "ip6tables": false
        }"#,
    ),
    (
        "containerd.toml",
        r#"
            version = 2
            root = "$HOME/containerd/root"
            state = "$HOME/containerd/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
            [grpc]
            address = "$HOME/containerd.sock"
            [ttrpc]
            address = "$HOME/containerd.sock.ttrpc"
            [plugins."io.containerd.internal.v1.opt"]
            path = "$HOME/containerd/opt"
        "#,
    ),
    (
        "storage.conf",
        r#"
            [storage]
            driver = "vfs"
            graphroot = "$HOME/podman/root"
            runroot = "$HOME/podman/run"
        "#,
    ),
    // Without the two limits podman asks for more than a container of CI may have.
    (
        "containers.conf",
        r#"
            [containers]
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
            netns = "host"
            [engine]
            cgroup_manager = "cgroupfs"
            events_logger = "file"
            lock_type = "file"
            runtime = "runc"
            tmp_dir = "$HOME/podman/tmp"
        "#,
    ),
];

/// The folder in which one test lives, and the environment of all that it runs.
pub(crate) struct Home {
    folder: TempDir,
    /// The system whose programs are run, if it is not this machine's.
    system: Option<System>,
}

impl Home {
    /// A folder with the settings in it. Its path is short: those of sockets have a limit of 108
    /// bytes.
    pub(crate) fn new() -> Self {
        Self::of(|_| None)
    }

    /// The same for the programs of the system in `root`.
    pub(crate) fn within(root: &Path) -> Self {
        Self::of(|home| Some(System::enter(root, home)))
    }

    fn of(system: impl FnOnce(&Path) -> Option<System>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("po")
            .rand_bytes(4)
            .tempdir_in("/tmp")
            .expect("a folder");
        let system = system(folder.path());
        let home = Self { folder, system };
        for (name, text) in SETTINGS {
            let text = text.replace("$HOME", home.path().to_str().expect("an ASCII path"));
            fs::write(home.join(name), text).expect("settings");
        }
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A name that no other test uses for a container: containerd's runtime has one list for all.
    pub(crate) fn name(&self) -> &str {
        let name = self.path().file_name().and_then(|name| name.to_str());
        name.expect("a folder has a name")
    }

    /// A command in the folder that sees nothing of the settings of whoever runs the tests.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut docker = OsString::from("unix://");
        docker.push(self.join("docker.sock"));
        // A docker of another version in /usr/local must not stand in for that of the daemon.
        let mut path = OsString::from("/usr/bin:");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = match &self.system {
            None => Command::new(program),
            Some(system) => system.command(program, self.path()),
        };
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .env("DOCKER_HOST", docker)
            .env("CONTAINERD_ADDRESS", self.join("containerd.sock"))
            .env("CONTAINERD_SNAPSHOTTER", "native")
            .env("CONTAINERS_CONF", self.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.join("storage.conf"));
        command
    }

    /// Runs what a person would type, and gives what it writes to stdout.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub(crate) fn sh(&self, line: &str) -> String {
        let finished = run(&mut self.shell(line), LIMIT);
        assert!(finished.success, "{line}\n{}", finished.said());
        finished.stdout.trim_end().to_owned()
    }

    /// What a person would type, as a command that is not yet run.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        command
    }

    /// Whether what a person would type succeeds.
    fn works(&self, line: &str) -> bool {
        run(&mut self.shell(line), LIMIT).success
    }

    pub(crate) fn containerd(&self) -> Daemon {
        Daemon::start(self, "containerd --config containerd.toml", "ctr version")
    }

    /// dockerd, and containerd under it. They are dropped in this order, and before the folder.
    pub(crate) fn docker(&self) -> [Daemon; 2] {
        let containerd = self.containerd();
        let line = "dockerd --config-file dockerd.json";
        [Daemon::start(self, line, "docker version"), containerd]
    }

    /// The id that docker gives an image.
    pub(crate) fn docker_id(&self, image: &str) -> String {
        self.sh(&format!(
            "docker image inspect --format '{{{{.Id}}}}' {image}"
        ))
    }
}

impl Drop for Home {
    /// dockerd leaves mounts behind; with them the folder could not be removed.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let inside: Vec<_> = points
            .filter(|point| Path::new(point).starts_with(self.path()))
            .collect();
        // What was mounted last may lie on what was mounted before.
        for point in inside.iter().rev() {
            let _ = Command::new("umount").arg(point).status();
        }
    }
}

/// A running daemon. It is stopped, by its process id, when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `line`, the name of a program and its options, and waits until `ready` succeeds.
    ///
    /// # Panics
    ///
    /// If it has ended by then, or does not answer in time.
    fn start(home: &Home, line: &str, ready: &str) -> Self {
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        let log = home.join(&format!("{program}.log"));
        let file = File::create(&log).expect("a log");
        let child = home
            .command(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        // From here on `Drop` stops the child, whatever fails.
        let mut daemon = Self { child, log };
        let deadline = Instant::now() + LIMIT;
        while !home.works(ready) {
            assert!(Instant::now() < deadline, "{program} does not answer");
            let ended = daemon
                .child
                .try_wait()
                .expect("the child can be waited for");
            assert_eq!(ended, None, "{program} ended");
            thread::sleep(Duration::from_millis(50));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The id of a child that has been waited for may be another's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = self.child.id().to_string();
            let _ = Command::new("sh")
                .args(["-c", "kill -s TERM \"$1\"", "sh", &pid])
                .status();
            let _ = wait(&mut self.child, STOP);
        }
        if thread::panicking() {
            report(&self.log);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "shown by the test harness beside the failure"
)]
fn report(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    eprintln!("--- {} ---\n{text}---", log.display());
}

/// Whether `tools` and what all tests here need are on this machine.
pub(crate) fn able(tools: &[&str]) -> bool {
    // Without root podman leaves a process behind, and daemons do not start at all.
    needs(&[&["runc", "umount"], tools].concat()) && (is_root() || skip("root"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
