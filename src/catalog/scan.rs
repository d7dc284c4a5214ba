//! The walk over the roots: which files and folders may hold images. Nothing is opened.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{Candidate, Fault, Problem, Stamp};
use crate::content::{Identity, Location, Root};

/// Folders in folders are followed this far.
const MAX_DEPTH: usize = 64;

/// Folders that storage systems and operating systems keep for themselves.
const SYSTEM_FOLDERS: [&str; 7] = [
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "$RECYCLE.BIN",
    "lost+found",
    "System Volume Information",
];

/// Endings of files that are still being written.
const UNFINISHED: [&str; 7] = [
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".crdownload",
    ".filepart",
    "~",
];

/// What a walk has seen.
#[derive(Debug, Default)]
pub struct Scan {
    /// Whatever may hold images, sorted by root and path.
    pub candidates: Vec<Candidate>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
}

/// Walks all roots, each on a thread of its own.
pub fn scan(roots: &[Arc<Root>]) -> Scan {
    let scans: Vec<Scan> = std::thread::scope(|scope| {
        let walks: Vec<_> = roots
            .iter()
            .map(|root| scope.spawn(|| Walk::over(root)))
            .collect();
        walks
            .into_iter()
            .map(|walk| walk.join().unwrap_or_default())
            .collect()
    });
    let mut all = Scan::default();
    for mut scan in scans {
        all.candidates.append(&mut scan.candidates);
        all.problems.append(&mut scan.problems);
    }
    all
}

/// The identity of a folder: links may lead to one that contains them.
type FolderIdentity = (u64, u64);

struct Walk<'r> {
    root: &'r Arc<Root>,
    /// By path, so that a file reached through several links counts once.
    seen: BTreeMap<PathBuf, Stamp>,
    problems: Vec<Problem>,
}

/// A folder that is still to be walked.
struct Pending {
    relative: PathBuf,
    ancestors: Vec<FolderIdentity>,
}

impl<'r> Walk<'r> {
    fn over(root: &'r Arc<Root>) -> Scan {
        let mut walk = Self {
            root,
            seen: BTreeMap::new(),
            problems: Vec::new(),
        };
        match fs::metadata(root.path()) {
            Ok(metadata) if metadata.is_dir() => walk.folders(),
            Ok(metadata) => walk.file(PathBuf::new(), &metadata),
            Err(error) => walk.problem(root.path(), &Fault::Unreadable(error)),
        }
        let candidate = |(relative, stamp): (PathBuf, Stamp)| Candidate {
            location: Location::new(Arc::clone(root), relative),
            stamp,
        };
        Scan {
            candidates: walk.seen.into_iter().map(candidate).collect(),
            problems: walk.problems,
        }
    }

    fn folders(&mut self) {
        let mut pending = vec![Pending {
            relative: PathBuf::new(),
            ancestors: Vec::new(),
        }];
        while let Some(folder) = pending.pop() {
            let path = self.path(&folder.relative);
            if let Err(error) = self.folder(folder, &mut pending) {
                self.problem(&path, &Fault::Unreadable(error));
            }
        }
    }

    fn folder(&mut self, folder: Pending, pending: &mut Vec<Pending>) -> io::Result<()> {
        let Pending {
            relative,
            mut ancestors,
        } = folder;
        let path = self.path(&relative);
        let identity = identity_of_folder(&fs::metadata(&path)?);
        if ancestors.contains(&identity) || ancestors.len() >= MAX_DEPTH {
            self.problem(&path, &Fault::Loop);
            return Ok(());
        }
        ancestors.push(identity);
        if is_layout(&path) {
            let mut listing = self.layout_files(&relative)?;
            listing.sort_by(|(a, _), (b, _)| a.cmp(b));
            self.seen.insert(relative, Stamp::Folder(listing));
            return Ok(());
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if !is_ignored(&entry.file_name().to_string_lossy()) {
                let child = relative.join(entry.file_name());
                if let Err(fault) = self.entry(&entry, child, &ancestors, pending) {
                    self.problem(&entry.path(), &fault);
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &fs::DirEntry,
        mut relative: PathBuf,
        ancestors: &[FolderIdentity],
        pending: &mut Vec<Pending>,
    ) -> Result<(), Fault> {
        let mut metadata = entry.metadata().map_err(Fault::Unreadable)?;
        if metadata.is_symlink() {
            relative = self.follow(relative)?;
            metadata = fs::metadata(self.path(&relative)).map_err(Fault::Unreadable)?;
        }
        if metadata.is_dir() {
            pending.push(Pending {
                relative,
                ancestors: ancestors.to_vec(),
            });
        } else {
            self.file(relative, &metadata);
        }
        Ok(())
    }

    /// The path by which a link's target is opened beneath the root.
    fn follow(&self, link: PathBuf) -> Result<PathBuf, Fault> {
        let path = self.path(&link);
        let target = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::DanglingLink,
            _ => Fault::Unreadable(error),
        })?;
        let root = self.root.path().canonicalize().map_err(Fault::Unreadable)?;
        let beneath = target
            .strip_prefix(&root)
            .map_err(|_| Fault::LeavesRoot(target.clone()))?;
        let is_absolute = fs::read_link(&path)
            .map_err(Fault::Unreadable)?
            .is_absolute();
        // The kernel refuses absolute links beneath a root, also those that lead back into it.
        Ok(if is_absolute {
            beneath.to_owned()
        } else {
            link
        })
    }

    /// The files of the layout in the folder `relative` that mean something; others are allowed there and ignored.
    fn layout_files(&mut self, relative: &Path) -> io::Result<Vec<(Box<Path>, Identity)>> {
        let folder = self.path(relative);
        let mut names: Vec<PathBuf> = ["index.json", "manifest.json", "oci-layout"]
            .map(PathBuf::from)
            .into();
        for algorithm in subfolders(&folder.join("blobs"))? {
            let blobs = Path::new("blobs").join(&algorithm);
            for entry in fs::read_dir(folder.join(&blobs))? {
                names.push(blobs.join(entry?.file_name()));
            }
        }
        let mut listing = Vec::new();
        for name in names {
            match self.layout_file(&relative.join(&name)) {
                Ok(Some(identity)) => listing.push((name.into_boxed_path(), identity)),
                Ok(None) => {}
                Err(fault) => self.problem(&folder.join(&name), &fault),
            }
        }
        Ok(listing)
    }

    /// The identity of a file of a layout; `None` if it is none, or is not there (a moment later).
    fn layout_file(&self, relative: &Path) -> Result<Option<Identity>, Fault> {
        let path = self.path(relative);
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(Fault::Unreadable)?,
        };
        if !metadata.is_symlink() {
            return Ok(metadata.is_file().then(|| Identity::of(&metadata)));
        }
        // The files of a layout are opened by their names in it, so none may be named by another path.
        let target = self.follow(relative.to_owned())?;
        if target != relative {
            return Err(Fault::LeavesRoot(target));
        }
        let metadata = fs::metadata(&path).map_err(Fault::Unreadable)?;
        Ok(metadata.is_file().then(|| Identity::of(&metadata)))
    }

    /// Sockets, devices and the like are no files that anyone meant to be served.
    fn file(&mut self, relative: PathBuf, metadata: &fs::Metadata) {
        if metadata.is_file() {
            self.seen
                .insert(relative, Stamp::File(Identity::of(metadata)));
        }
    }

    fn path(&self, relative: &Path) -> PathBuf {
        Location::new(Arc::clone(self.root), relative).path()
    }

    fn problem(&mut self, path: &Path, fault: &Fault) {
        self.problems.push(Problem::new(path, fault));
    }
}

fn identity_of_folder(metadata: &fs::Metadata) -> FolderIdentity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

fn is_ignored(name: &str) -> bool {
    name.starts_with('.')
        || SYSTEM_FOLDERS.contains(&name)
        || UNFINISHED
            .iter()
            .any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

/// An OCI image layout is read as a whole and not walked into.
fn is_layout(folder: &Path) -> bool {
    folder.join("index.json").is_file()
        && (folder.join("blobs").is_dir() || folder.join("oci-layout").is_file())
}

fn subfolders(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}
