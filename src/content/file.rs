//! Files beneath a root, and how to tell that one is still the same.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags};

use super::FileSystem;
use crate::digest::{Algorithm, Digest};

/// Read at once while hashing: little enough to stay in a core's cache until it is hashed, and for each thread to hold one.
const PIECE: usize = 128 << 10;

/// Two changes within this time may be given the same time: some file systems count in two seconds.
const COARSEST: Duration = Duration::from_millis(2500);

/// A folder, or a single file, that is served.
///
/// The path is resolved anew at each use and no descriptor is kept: the folder may be a
/// link that is swapped, or a stick that is pulled.
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The root at `path`, as the user wrote it.
    pub fn new(path: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { path: path.into() })
    }

    /// The path as the user wrote it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where a file lies: a root, and a path relative to it that never leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    root: Arc<Root>,
    /// Empty where the root itself is the file.
    relative: Arc<Path>,
}

impl Location {
    /// The file `relative` beneath `root`; with an empty path, the root itself.
    pub fn new(root: Arc<Root>, relative: impl Into<Arc<Path>>) -> Self {
        Self {
            root,
            relative: relative.into(),
        }
    }

    /// The file `name` in the folder that this is.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self::new(Arc::clone(&self.root), self.relative.join(name))
    }

    /// The path relative to the root; empty where the root itself is the file.
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// The path to show to people, and to use where following links does no harm.
    pub fn path(&self) -> PathBuf {
        if self.relative.as_os_str().is_empty() {
            self.root.path.clone()
        } else {
            self.root.path.join(&self.relative)
        }
    }

    fn open_handle(&self) -> io::Result<fs::File> {
        // A FIFO must not block the opening, and a terminal must not become ours.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if self.relative.as_os_str().is_empty() {
            return Ok(rustix::fs::open(&self.root.path, flags, Mode::empty())?.into());
        }
        match self.open_beneath(flags) {
            // Kernels before 5.6 and some sandboxes do not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => self.open_checked(flags),
            result => Ok(result?.into()),
        }
    }

    /// Lets the kernel refuse any path that leaves the root, links included.
    #[cfg(target_os = "linux")]
    fn open_beneath(&self, flags: OFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::{ResolveFlags, openat2};
        use rustix::io::Errno;

        /// The kernel answers EAGAIN when something was renamed meanwhile.
        const ATTEMPTS: usize = 8;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &self.root.path, directory, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut result = Err(Errno::AGAIN);
        for _ in 0..ATTEMPTS {
            result = openat2(&root, &*self.relative, flags, Mode::empty(), resolve);
            if !matches!(result, Err(Errno::AGAIN)) {
                break;
            }
        }
        result
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, _: OFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
        Err(rustix::io::Errno::NOSYS)
    }

    /// The fall-back: resolves the path, checks where it ended, and opens that without following a last link.
    pub(super) fn open_checked(&self, flags: OFlags) -> io::Result<fs::File> {
        let root = self.root.path.canonicalize()?;
        let path = root.join(&self.relative).canonicalize()?;
        if !path.starts_with(&root) {
            return Err(rustix::io::Errno::XDEV.into());
        }
        Ok(rustix::fs::openat(CWD, &path, flags | OFlags::NOFOLLOW, Mode::empty())?.into())
    }
}

/// What tells that a file is still the one that was read: a change of content changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    /// `None` where the file system may give the same file another one.
    inode: Option<u64>,
    size: u64,
    modified: (i64, i64),
    /// Makes a change visible that kept size and time of modification.
    changed: (i64, i64),
}

impl Identity {
    /// The identity that `metadata` tells of a file in `file_system`.
    pub fn of(metadata: &fs::Metadata, file_system: FileSystem) -> Self {
        Self {
            device: metadata.dev(),
            inode: file_system.has_stable_inodes().then(|| metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// What the file lies on.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The number of the file on its device, where that is for good.
    pub fn inode(&self) -> Option<u64> {
        self.inode
    }

    /// When something about the file changed last, as the kernel says.
    pub fn changed(&self) -> (i64, i64) {
        self.changed
    }

    /// Whether this is that file, though its name or who may read it may have changed.
    ///
    /// The bytes may have been written to with the time of modification put back: for what needs certainty, compare all.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode) && self.has_same_content(other)
    }

    /// When the content was changed: seconds and nanoseconds.
    pub fn modified(&self) -> (i64, i64) {
        self.modified
    }

    /// All of it, for what is remembered by it; `None` where the same file may get another one.
    pub fn to_bytes(&self) -> Option<[u8; 56]> {
        let mut bytes = [0; 56];
        let times = [self.modified, self.changed];
        let times =
            times.map(|(seconds, nanoseconds)| [seconds, nanoseconds].map(i64::to_be_bytes));
        let numbers = [self.device, self.inode?, self.size].map(u64::to_be_bytes);
        let numbers = numbers.iter().chain(times.as_flattened());
        for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = *number;
        }
        Some(bytes)
    }

    /// Whether a change made at `moment` or later makes it another one. A file that was changed just before may change again
    /// without a trace.
    pub fn would_show_change(&self, moment: SystemTime) -> bool {
        let since = |time: SystemTime| match moment.duration_since(time) {
            Ok(past) => past,
            Err(future) => future.duration(),
        };
        [self.modified, self.changed]
            .into_iter()
            .filter_map(system_time)
            .all(|time| since(time) > COARSEST)
    }

    /// Whether both tell the same content.
    ///
    /// The time of change is left out: renaming another file over this one changes it
    /// too, and the bytes behind an open descriptor outlive that.
    fn has_same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }
}

/// A time that a file system tells; `None` beyond what the system's clock could show.
fn system_time((seconds, nanoseconds): (i64, i64)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    time?.checked_add(Duration::from_nanos(nanoseconds.unsigned_abs()))
}

/// An opened regular file and the identity that it had then.
#[derive(Debug)]
pub struct File {
    handle: fs::File,
    identity: Identity,
    /// How many names it had then.
    links: u64,
}

impl File {
    /// Opens the file at `location` without following a link out of its root.
    ///
    /// # Errors
    /// As the system tells them; `InvalidInput` if it is no regular file.
    pub fn open(location: &Location) -> io::Result<Self> {
        let handle = location.open_handle()?;
        let metadata = handle.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let file_system = FileSystem::of(&handle).unwrap_or(FileSystem::UNKNOWN);
        let identity = Identity::of(&metadata, file_system);
        let links = metadata.nlink();
        Ok(Self {
            handle,
            identity,
            links,
        })
    }

    /// What the file was when it was opened.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads at `offset` into `buffer`, as much as there is, and tells how much that was.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .handle
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// The digest of the bytes in `range`, by `algorithm`. Before each piece is read `pause` is called with
    /// its length.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, or was written to meanwhile; else as the system tells them.
    pub fn hash(
        &self,
        range: Range<u64>,
        algorithm: Algorithm,
        mut pause: impl FnMut(usize),
    ) -> io::Result<Digest> {
        let mut hasher = algorithm.hasher();
        let longest = usize::try_from(range.end - range.start).map_or(PIECE, |all| all.min(PIECE));
        let mut buffer = vec![0; longest];
        let mut at = range.start;
        while at < range.end {
            let wanted = usize::try_from(range.end - at).map_or(longest, |rest| rest.min(longest));
            pause(wanted);
            if self.read_at(&mut buffer[..wanted], at)? < wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&buffer[..wanted]);
            at += wanted as u64;
        }
        if !self.is_unchanged()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(hasher.finish())
    }

    /// Whether the content has not been written to since the file was opened, as its size and the time of its modification tell.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        let now = Identity::of(&self.handle.metadata()?, FileSystem::UNKNOWN);
        Ok(now.has_same_content(&self.identity))
    }

    /// Whether something else about the file has changed than that it lost a name: perhaps it was written to, and the time of its
    /// modification put back.
    pub fn is_touched(&self) -> io::Result<bool> {
        let metadata = self.handle.metadata()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(changed != self.identity.changed && metadata.nlink() >= self.links)
    }
}
