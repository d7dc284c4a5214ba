//! What the kernel is told when it asks.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};

use super::nodes::Nodes;
use super::switches::Switches;

/// The kernel asks anew each time.
const VALID: Duration = Duration::ZERO;

/// A folder as a file system. Clones are the same.
#[derive(Clone)]
pub(super) struct View(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    switches: Arc<Switches>,
    nodes: Mutex<Nodes>,
    /// The files that are open, by their handles.
    files: Mutex<HashMap<FileHandle, Arc<Opened>>>,
    next_handle: AtomicU64,
}

struct Opened {
    file: File,
    path: PathBuf,
    number: INodeNo,
}

impl View {
    pub(super) fn new(folder: PathBuf, switches: Arc<Switches>) -> Self {
        Self(Arc::new(Inner {
            folder,
            switches,
            nodes: Mutex::new(Nodes::new()),
            files: Mutex::default(),
            next_handle: AtomicU64::new(1),
        }))
    }

    /// Does `work` on a thread of its own, so that a request that gets no answer holds up no other.
    fn apart(&self, work: impl FnOnce(&Inner) + Send + 'static) {
        let inner = Arc::clone(&self.0);
        thread::spawn(move || work(&inner));
    }
}

impl Inner {
    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        self.switches.ask()?;
        let path = self.path(parent)?.join(name);
        let metadata = fs::metadata(self.folder.join(&path))?;
        let mut nodes = lock(&self.nodes);
        if self.switches.renumbers() {
            nodes.renumber();
        }
        Ok(attributes(nodes.number(&path, metadata.ino()), &metadata))
    }

    fn attributes(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        self.switches.ask()?;
        let metadata = fs::metadata(self.folder.join(self.path(number)?));
        let metadata = metadata.ok().filter(|found| self.is_node(number, found));
        // A file that is open is there still when another one has taken its name.
        let metadata = metadata.or_else(|| self.metadata_of_open(number));
        Ok(attributes(number, &metadata.ok_or(Errno::ESTALE)?))
    }

    fn is_node(&self, number: INodeNo, metadata: &Metadata) -> bool {
        let node = lock(&self.nodes).get(number);
        number == INodeNo::ROOT || node.is_some_and(|node| node.inode == metadata.ino())
    }

    fn metadata_of_open(&self, number: INodeNo) -> Option<Metadata> {
        let files = lock(&self.files);
        let opened = files.values().find(|opened| opened.number == number)?;
        opened.file.metadata().ok()
    }

    fn list(&self, number: INodeNo) -> Result<Vec<(INodeNo, FileType, OsString)>, Errno> {
        self.switches.ask()?;
        let folder = self.path(number)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.folder.join(&folder))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let path = folder.join(entry.file_name());
            let number = lock(&self.nodes).number(&path, metadata.ino());
            entries.push((number, kind(&metadata), entry.file_name()));
        }
        entries.sort_by(|(_, _, a), (_, _, b)| a.cmp(b));
        Ok(entries)
    }

    fn open(&self, number: INodeNo) -> Result<FileHandle, Errno> {
        let path = self.path(number)?;
        self.switches.open(&path)?;
        let file = File::open(self.folder.join(&path))?;
        if !self.is_node(number, &file.metadata()?) {
            return Err(Errno::ESTALE);
        }
        let handle = FileHandle(self.next_handle.fetch_add(1, Ordering::Relaxed));
        let opened = Arc::new(Opened { file, path, number });
        lock(&self.files).insert(handle, opened);
        Ok(handle)
    }

    fn read(&self, handle: FileHandle, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let opened = lock(&self.files).get(&handle).cloned();
        let opened = opened.ok_or(Errno::EBADF)?;
        let left = opened.file.metadata()?.len().saturating_sub(offset);
        let wanted = left.min(size.into());
        let allowed = self.switches.read(&opened.path, offset, wanted)?;
        let mut bytes = vec![0; usize::try_from(allowed).map_err(|_| Errno::EINVAL)?];
        opened.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Where a file is, relative to the folder that is shown.
    fn path(&self, number: INodeNo) -> Result<PathBuf, Errno> {
        if number == INodeNo::ROOT {
            return Ok(PathBuf::new());
        }
        let node = lock(&self.nodes).get(number);
        node.map(|node| node.path).ok_or(Errno::ESTALE)
    }
}

impl Filesystem for View {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.apart(move |view| match view.look_up(parent, &name) {
            Ok(attributes) => reply.entry(&VALID, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        });
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.apart(move |view| match view.attributes(number) {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(error) => reply.error(error),
        });
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.apart(move |view| match view.list(number) {
            Ok(entries) => {
                for (next, (number, kind, name)) in (1..).zip(entries) {
                    if next > offset && reply.add(number, next, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        });
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.apart(move |view| match view.open(number) {
            Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.apart(move |view| match view.read(handle, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.0.files).remove(&handle);
        reply.ok();
    }
}

fn attributes(number: INodeNo, metadata: &Metadata) -> FileAttr {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    FileAttr {
        ino: number,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: modified,
        mtime: modified,
        ctime: time_of_change(metadata),
        crtime: modified,
        kind: kind(metadata),
        perm: if metadata.is_dir() { 0o555 } else { 0o444 },
        nlink: 1,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn time_of_change(metadata: &Metadata) -> SystemTime {
    // Nobody can set it, so it is none from before 1970.
    let number = |number: i64| number.unsigned_abs();
    let seconds = Duration::from_secs(number(metadata.ctime()));
    UNIX_EPOCH + seconds + Duration::from_nanos(number(metadata.ctime_nsec()))
}

fn kind(metadata: &Metadata) -> FileType {
    FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile)
}

/// Nothing that could panic leaves it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
