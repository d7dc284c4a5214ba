//! A file system of a test's own: it shows a folder as that is, and fails when the test says so.
//!
//! A program makes it (FUSE), so the kernel tells nobody what changes in it, and nothing of it is cached: every read is
//! seen here. Like vfat it gives its files other numbers each time that it is mounted.
//!
//! ```ignore
//! let Some(disk) = Disk::of(packages.path()) else { return };
//! let server = Server::serving(disk.path());
//! disk.fail("a.tar", Fault::Reads { from: 1 << 20, errno: Errno::EIO });
//! ```

mod nodes;
mod switches;
mod tests;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use rustix::process::geteuid;
use tempfile::TempDir;

use self::switches::Switches;
use self::view::View;
use crate::needs::skip;

pub(crate) use fuser::Errno;
pub(crate) use switches::{Fault, WHOLE};

/// How long somebody may have a file open when it is ejected.
const BUSY: Duration = Duration::from_secs(5);

/// A file system. It is unmounted when dropped, whoever uses it then.
pub(crate) struct Disk {
    shown: PathBuf,
    switches: Arc<Switches>,
    session: Option<BackgroundSession>,
    /// Where it is mounted. Dropped last.
    place: TempDir,
}

impl Disk {
    /// A file system that shows `folder`, mounted. `None` where none can be: then one line says that the test is skipped.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            skip("root");
            return None;
        }
        let mut disk = Self {
            shown: folder.to_owned(),
            switches: Arc::default(),
            session: None,
            place: tempfile::tempdir().expect("a folder"),
        };
        match disk.try_mount() {
            Ok(()) => Some(disk),
            Err(error) => {
                skip(&format!("a file system of its own: {error}"));
                None
            }
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Takes it away: a stick is ejected.
    ///
    /// # Panics
    ///
    /// If somebody has a file of it open, and not just for a moment.
    pub(crate) fn unmount(&mut self) {
        let deadline = Instant::now() + BUSY;
        while !unmount(self.path(), &[]) {
            assert!(Instant::now() < deadline, "somebody uses it");
            thread::sleep(Duration::from_millis(5));
        }
        self.session = None;
    }

    /// Mounts it where it was. Its files have other numbers from now on.
    pub(crate) fn mount(&mut self) {
        self.try_mount().expect("it could be mounted before");
    }

    fn try_mount(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName("packages".to_owned())];
        let view = View::new(self.shown.clone(), Arc::clone(&self.switches));
        self.session = Some(fuser::spawn_mount(view, self.path(), &config)?);
        Ok(())
    }

    /// Has the file `name` fail, or [`WHOLE`] of it.
    pub(crate) fn fail(&self, name: &str, fault: Fault) {
        self.switches.fail(name, fault);
    }

    /// Ends all faults.
    pub(crate) fn recover(&self) {
        self.switches.recover();
    }

    /// Gives a file another number whenever its name is looked up, from now on.
    pub(crate) fn renumber(&self) {
        self.switches.renumber();
    }

    /// How often the file `name` was opened.
    pub(crate) fn opened(&self, name: &str) -> usize {
        self.switches.count(name).opened
    }

    /// How many bytes were read of the file `name`.
    pub(crate) fn read(&self, name: &str) -> u64 {
        self.switches.count(name).read
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.recover();
        if self.session.is_some() {
            // Whatever of it is open is closed by and by.
            unmount(self.path(), &["-l"]);
        }
    }
}

fn unmount(place: &Path, options: &[&str]) -> bool {
    let mut command = Command::new("umount");
    let done = command.args(options).arg(place).output();
    done.is_ok_and(|done| done.status.success())
}
