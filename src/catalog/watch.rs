//! Hearing of changes: the kernel tells when something happens in the folders that a scan has listed.
//!
//! What is told is only *that* something changed; the next scan finds out what. Of the kernel's interface just enough is used
//! that opening and reading archives, which is all that the server does, tells nothing.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(target_os = "linux")]
use std::os::{fd::OwnedFd, unix::ffi::OsStrExt};

#[cfg(target_os = "linux")]
use rustix::{fs::inotify, io::Errno};

/// Tells when something has changed in what it watches.
pub struct Watch {
    #[cfg(target_os = "linux")]
    inotify: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the number of its watch, the names that matter in a folder around roots, where not all do.
    names: HashMap<i32, BTreeSet<OsString>>,
    /// The watches of folders in which all that happens matters.
    all: BTreeSet<i32>,
    failure: Failure,
    /// Nothing is told any more.
    is_deaf: bool,
}

/// Whether all could be watched so far.
#[derive(Default)]
enum Failure {
    #[default]
    None,
    /// Something could not, for this reason.
    New(io::Error),
    Told,
}

#[cfg(target_os = "linux")]
impl State {
    fn fail(&mut self, error: Errno) {
        if let Failure::None = self.failure {
            self.failure = Failure::New(error.into());
        }
    }
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why not everything can be watched: told once, however much that is.
    pub fn take_failure(&self) -> Option<io::Error> {
        let failure = &mut self.state().failure;
        match std::mem::replace(failure, Failure::Told) {
            Failure::New(error) => Some(error),
            before => {
                *failure = before;
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Watch {
    /// A watch over nothing yet.
    ///
    /// # Errors
    /// As the system tells them; its limit of watches may be used up.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(inotify::CreateFlags::CLOEXEC)?,
            state: Mutex::default(),
        })
    }

    /// Watches the folder at `path` as well, also if it is watched already; false if that cannot be done.
    pub fn folder(&self, path: &Path) -> bool {
        use inotify::WatchFlags as Flags;
        let changes = Flags::CREATE
            | Flags::CLOSE_WRITE
            | Flags::ATTRIB
            | Flags::MOVE
            | Flags::DELETE
            | Flags::DELETE_SELF
            | Flags::MOVE_SELF
            | Flags::ONLYDIR;
        let added = self.add(path, changes);
        // A folder around one root may lie in another: then all that happens in it matters.
        added.is_some_and(|watch| {
            self.state().all.insert(watch);
            true
        })
    }

    /// Watches what `path` leads to, by its name in the folder around it: it may be a link that is swapped, or a file.
    pub fn name(&self, path: &Path) -> bool {
        use inotify::WatchFlags as Flags;
        // Written as `.` or `..` it has no name of its own.
        let Some(name) = path.file_name() else {
            return true;
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let changes =
            Flags::CREATE | Flags::CLOSE_WRITE | Flags::ATTRIB | Flags::MOVE | Flags::DELETE;
        let added = self.add(folder, changes | Flags::ONLYDIR | Flags::MASK_ADD);
        added.is_some_and(|watch| {
            let mut state = self.state();
            state
                .names
                .entry(watch)
                .or_default()
                .insert(name.to_owned());
            true
        })
    }

    fn add(&self, path: &Path, flags: inotify::WatchFlags) -> Option<i32> {
        if self.state().is_deaf {
            return None;
        }
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => Some(watch),
            // It has just gone, or the scan cannot list it either.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM) => None,
            Err(error) => {
                self.state().fail(error);
                None
            }
        }
    }

    /// Waits until something has changed; false if no more changes will be told.
    pub fn wait(&self) -> bool {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut has_changed = false;
        while !(has_changed && events.is_buffer_empty()) {
            match events.next() {
                Ok(event) => has_changed |= self.is_change(&event),
                Err(Errno::INTR) => {}
                Err(error) => {
                    let mut state = self.state();
                    state.is_deaf = true;
                    state.fail(error);
                    return false;
                }
            }
        }
        true
    }

    fn is_change(&self, event: &inotify::Event<'_>) -> bool {
        use inotify::ReadFlags as Flags;
        // Wherever it is now, it is watched again if a scan comes across it.
        if event.events().contains(Flags::MOVE_SELF) {
            let _ = inotify::remove_watch(&self.inotify, event.wd());
        }
        let mut state = self.state();
        if event.events().contains(Flags::IGNORED) {
            state.names.remove(&event.wd());
            state.all.remove(&event.wd());
        }
        if state.all.contains(&event.wd()) {
            return true;
        }
        match (state.names.get(&event.wd()), event.file_name()) {
            (Some(wanted), Some(name)) => wanted.contains(OsStr::from_bytes(name.to_bytes())),
            _ => true,
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Watch {
    /// Elsewhere nothing is told.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never.
    pub fn folder(&self, _: &Path) -> bool {
        false
    }

    /// Never.
    pub fn name(&self, _: &Path) -> bool {
        false
    }

    /// Never.
    pub fn wait(&self) -> bool {
        false
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_deaf_says_so_once_and_watches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch {
            // A folder tells no changes by itself.
            inotify: std::fs::File::open(folder.path()).unwrap().into(),
            state: Mutex::default(),
        };
        assert!(!watch.wait());
        assert!(!watch.folder(folder.path()));
        assert!(!watch.name(&folder.path().join("file")));
        let told = watch.take_failure().map(|error| error.kind());
        assert_eq!(told, Some(io::ErrorKind::IsADirectory));
        assert!(watch.take_failure().is_none());
    }

    #[test]
    fn what_happens_in_a_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        assert!(watch.folder(folder.path()));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(watch.wait());
        assert!(watch.take_failure().is_none());
    }
}
