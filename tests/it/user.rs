//! A user to whom a file can be closed: root reads everything.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{Setup, binary, command};

/// A user who may read nothing but what all may read.
const NOBODY: u32 = 65_534;

/// Someone with a copy of the binary and a folder that he can read.
pub(crate) struct User {
    folder: TempDir,
    is_root: bool,
}

impl User {
    /// `None`, with a word about it, where the system lets nobody become another user.
    pub(crate) fn without_rights() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let is_root = fs::metadata(folder.path()).expect("a folder").uid() == 0;
        set_mode(folder.path(), 0o755);
        let user = Self { folder, is_root };
        let program = user.program();
        if fs::hard_link(binary(), &program).is_err() {
            fs::copy(binary(), &program).expect("a copy");
        }
        set_mode(&program, 0o755);
        fs::create_dir(user.folder()).expect("a folder");
        match spawn(user.command(&["--version"])) {
            Ok(mut child) => {
                child.wait().expect("it ends");
                Some(user)
            }
            Err(_) => {
                crate::needs::skip("another user, or a folder that all may read");
                None
            }
        }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("packageorigin")
    }

    /// The folder to serve.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("packages")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.program());
        command.args(arguments).current_dir(self.folder.path());
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// A server of this user, of the folder.
    pub(crate) fn setup(&self) -> Setup {
        let setup = Setup::new()
            .program(self.program())
            .arg("--packages")
            .arg(self.folder());
        if self.is_root {
            setup.user(NOBODY)
        } else {
            setup
        }
    }
}

/// Another thread that forks may hold the program open for writing a moment longer.
fn spawn(mut command: Command) -> io::Result<Child> {
    for _ in 0..100 {
        match command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
    command.spawn()
}

/// Takes all rights away.
pub(crate) fn close(path: &Path) {
    set_mode(path, 0);
}

/// Sets what may be done with a file.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
