//! The walk over a root: which files and folders may hold images. No archive is opened.

mod ignored;
mod unpacked;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::ignored::Ignored;
use self::unpacked::{Manifest, may_be_unpacked};
use super::walks::Pulse;
use super::watch::Watch;
use crate::archive::names::is_archive_name;
use crate::archive::{Candidate, Fault, Problem, Stamp};
use crate::content::{FileSystem, Identity, Location, Root};

pub use self::unpacked::Manifests;

/// Of one root at most this many problems are told.
const MAX_PROBLEMS: usize = 1000;

/// Of an unpacked archive at most this many files are listed, as many as members of a tar are read.
const MAX_FILES: usize = 1_000_000;
/// Folders in an unpacked archive are listed this deep; those that mean something are not nested deeper.
const MAX_DEPTH: usize = 4;

/// Folders of a layout in which there are no other layouts.
const LAYOUT_FOLDERS: [&str; 2] = ["blobs", "ingest"];

/// What the walk over one root has seen.
#[derive(Debug, Default)]
pub struct Scan {
    /// Whatever may hold images, sorted by path.
    pub candidates: Vec<Candidate>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Folders and files, as paths beneath the root, that could not be looked at: they may be as they were.
    pub unseen: Vec<PathBuf>,
    /// Folders that are archives, and have parts which could not be looked at.
    pub torn: BTreeSet<PathBuf>,
    /// What the root lies on; `None` if that could not be told.
    pub device: Option<u64>,
    /// Why the root itself could not be looked at, if that is so.
    pub lost: Option<io::Error>,
    /// Something was not looked at for want of descriptors or threads.
    pub is_partial: bool,
    /// Of some files it takes long until a change shows: they are on another machine, or their times are coarse.
    pub is_slow: bool,
    /// Not all of it is watched.
    pub is_blind: bool,
    /// What the next walk need not read again.
    pub manifests: Manifests,
}

impl Scan {
    /// A root that could not be looked at.
    pub fn lost(error: io::Error) -> Self {
        let mut scan = Self {
            lost: Some(error),
            ..Self::default()
        };
        scan.leave_unseen();
        scan
    }

    /// Leaves whatever is in the root as it was.
    pub fn leave_unseen(&mut self) {
        self.candidates.clear();
        self.unseen = vec![PathBuf::new()];
        self.is_blind = true;
    }

    /// Whether there is nothing, and nothing that could not be looked at.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.unseen.is_empty() && self.torn.is_empty()
    }

    /// Whether what lies at `relative` may be as it was, because it, a folder around it, or a part of it could not be looked at.
    pub fn may_miss(&self, relative: &Path) -> bool {
        let mut unseen = self.unseen.iter();
        self.torn.contains(relative) || unseen.any(|unseen| relative.starts_with(unseen))
    }
}

/// Walks over `root`, of which the walk before has read `known`. Whatever is listed is watched from then on, if there is a
/// `watch`. That the disk answers is told by `pulse`.
pub fn scan(root: &Arc<Root>, watch: Option<&Watch>, pulse: &Pulse, known: Manifests) -> Scan {
    let mut walk = Walk {
        root,
        watch,
        pulse,
        seen: BTreeMap::new(),
        walked: BTreeSet::new(),
        file_systems: BTreeMap::new(),
        known,
        scan: Scan::default(),
    };
    walk.scan.device = walk.root();
    let candidate = |(relative, stamp): (PathBuf, Stamp)| Candidate {
        location: Location::new(Arc::clone(root), relative),
        stamp,
    };
    walk.scan.candidates = walk.seen.into_iter().map(candidate).collect();
    walk.scan
}

struct Walk<'r> {
    root: &'r Arc<Root>,
    watch: Option<&'r Watch>,
    pulse: &'r Pulse,
    /// By path without links, so that a file reached in several ways counts once.
    seen: BTreeMap<PathBuf, Stamp>,
    /// The folders that were walked, likewise: links between folders must not multiply them.
    walked: BTreeSet<PathBuf>,
    /// By device, so that each is asked for once.
    file_systems: BTreeMap<u64, FileSystem>,
    /// What the walk before has read.
    known: Manifests,
    scan: Scan,
}

impl Walk<'_> {
    /// Walks the root, and gives what it lies on.
    fn root(&mut self) -> Option<u64> {
        let is_watched = self.watch.is_some_and(|watch| watch.name(self.root.path()));
        self.scan.is_blind |= !is_watched;
        match fs::metadata(self.root.path()) {
            Ok(metadata) => {
                if metadata.is_dir() {
                    self.folders();
                } else {
                    let file_system = self.file_system(metadata.dev(), self.root.path());
                    self.scan.is_blind |= !file_system.tells_changes();
                    self.file(PathBuf::new(), &metadata);
                }
                Some(metadata.dev())
            }
            Err(error) => {
                self.unseen(Path::new(""), error);
                None
            }
        }
    }

    fn folders(&mut self) {
        let mut pending = vec![PathBuf::new()];
        while let Some(relative) = pending.pop() {
            if self.walked.insert(relative.clone())
                && let Err(error) = self.folder(&relative, &mut pending)
            {
                self.unseen(&relative, error);
            }
        }
    }

    /// Notes that what lies at `relative` could not be looked at. What went away meanwhile is not there, but for the root.
    fn unseen(&mut self, relative: &Path, error: io::Error) {
        self.scan.is_partial |= is_out_of_descriptors(&error);
        if relative.as_os_str().is_empty() {
            self.scan.unseen.push(relative.to_owned());
            self.scan.lost = Some(error);
        } else if error.kind() != io::ErrorKind::NotFound {
            self.scan.unseen.push(relative.to_owned());
            self.problem(&self.path(relative), &Fault::Unreadable(error));
        }
    }

    /// Notes that the part `name` of the archive in the folder `relative` could not be looked at.
    fn torn(&mut self, relative: &Path, name: &Path, error: io::Error) {
        self.scan.is_partial |= is_out_of_descriptors(&error);
        if error.kind() != io::ErrorKind::NotFound {
            self.scan.torn.insert(relative.to_owned());
            self.problem(&self.path(relative).join(name), &Fault::Unreadable(error));
        }
    }

    /// Lists the folder at `path`. It is watched before, so that no change goes unnoticed.
    fn list_folder(&mut self, path: &Path) -> io::Result<Vec<fs::DirEntry>> {
        let file_system = self.file_system(fs::metadata(path)?.dev(), path);
        let is_watched = |watch: &Watch| file_system.tells_changes() && watch.folder(path);
        self.scan.is_blind |= !self.watch.is_some_and(is_watched);
        let entries = fs::read_dir(path)?;
        self.pulse.beat();
        entries.inspect(|_| self.pulse.beat()).collect()
    }

    /// What the files of `device` lie on, of which `path` is one.
    fn file_system(&mut self, device: u64, path: &Path) -> FileSystem {
        let known = self.file_systems.entry(device);
        let known = *known.or_insert_with(|| FileSystem::at(path).unwrap_or(FileSystem::UNKNOWN));
        self.scan.is_slow |= !known.has_stable_inodes();
        known
    }

    /// The identity of the file at `path` that `metadata` tells.
    fn identity(&mut self, path: &Path, metadata: &fs::Metadata) -> Identity {
        Identity::of(metadata, self.file_system(metadata.dev(), path))
    }

    fn folder(&mut self, relative: &Path, pending: &mut Vec<PathBuf>) -> io::Result<()> {
        let path = self.path(relative);
        let entries = self.list_folder(&path)?;
        let names: Vec<String> = entries.iter().map(name_of).collect();
        let is_layout = is_layout(&path);
        if is_layout {
            let listing = self.layout_files(relative)?;
            self.see_folder(relative, listing);
        }
        let unpacked = (!is_layout && may_be_unpacked(&names))
            .then(|| self.unpacked(relative, &names))
            .flatten();
        if unpacked.is_some() {
            let mut listing = Vec::new();
            self.all_files(relative, Path::new(""), 0, &mut listing);
            self.see_folder(relative, listing);
        }
        let ignored = Ignored::among(&names);
        for (entry, name) in entries.iter().zip(names) {
            self.pulse.beat();
            // Stores keep one repository in a folder of another, and people put archives beside whatever lies there.
            let is_part = is_layout
                && (LAYOUT_FOLDERS.contains(&name.as_str())
                    || !entry.path().is_dir() && !is_archive_name(&name))
                || unpacked
                    .as_ref()
                    .is_some_and(|unpacked| unpacked.has(&name));
            if ignored.has(&name) || is_part {
                continue;
            }
            let inner = relative.join(entry.file_name());
            match self.entry(entry, inner.clone(), pending) {
                Ok(()) => {}
                Err(Fault::Unreadable(error)) => {
                    // It may be a layout all the same.
                    if LAYOUT_FOLDERS.contains(&name.as_str()) {
                        self.scan.torn.insert(relative.to_owned());
                    }
                    self.unseen(&inner, error);
                }
                Err(fault) => self.problem(&entry.path(), &fault),
            }
        }
        Ok(())
    }

    /// What the `manifest.json` in the folder `relative`, in which these are the `names`, tells of an archive that was unpacked
    /// there; `None` if it tells of none. It is read if it is not known as it is.
    fn unpacked(&mut self, relative: &Path, names: &[String]) -> Option<Arc<Manifest>> {
        let name = Path::new("manifest.json");
        let path = self.path(relative).join(name);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let identity = self.identity(&path, &metadata);
        let known = self.known.known(relative, &identity, names);
        let read = || Manifest::read(&path, identity, names).map(Arc::new);
        let manifest = known.map_or_else(read, Ok);
        let manifest = manifest.map_err(|error| self.torn(relative, name, error));
        let manifest = manifest.ok()?;
        self.scan.manifests.keep(relative, &manifest);
        manifest.is_of_archive(names).then_some(manifest)
    }

    fn see_folder(&mut self, relative: &Path, mut listing: Vec<(Box<Path>, Identity)>) {
        listing.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.seen
            .insert(relative.to_owned(), Stamp::Folder(listing));
    }

    /// Every file in the folder `name` of an archive that was unpacked to `relative`.
    fn all_files(
        &mut self,
        relative: &Path,
        name: &Path,
        depth: usize,
        listing: &mut Vec<(Box<Path>, Identity)>,
    ) {
        let folder = self.path(relative).join(name);
        let mut entries = self.list_folder(&folder).unwrap_or_else(|error| {
            self.torn(relative, name, error);
            Vec::new()
        });
        // Which ones are listed, should there be too many, must not depend on the file system.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = name.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth < MAX_DEPTH {
                    self.all_files(relative, &name, depth + 1, listing);
                }
                continue;
            }
            if listing.len() >= MAX_FILES {
                let (what, limit) = ("files", MAX_FILES);
                return self.problem(&folder, &Fault::TooMany { what, limit });
            }
            match self.check_link_within(relative, &name) {
                Ok(()) => self.list(relative, name, listing),
                Err(fault) => self.problem(&self.path(relative).join(&name), &fault),
            }
        }
    }

    /// Adds the file `name` of the archive at `relative`, if it is one.
    fn list(&mut self, relative: &Path, name: PathBuf, listing: &mut Vec<(Box<Path>, Identity)>) {
        self.pulse.beat();
        match self.layout_file(&relative.join(&name)) {
            Ok(Some(identity)) => listing.push((name.into_boxed_path(), identity)),
            Ok(None) => {}
            Err(Fault::Unreadable(error)) => self.torn(relative, &name, error),
            Err(fault) => self.problem(&self.path(relative).join(&name), &fault),
        }
    }

    fn entry(
        &mut self,
        entry: &fs::DirEntry,
        mut relative: PathBuf,
        pending: &mut Vec<PathBuf>,
    ) -> Result<(), Fault> {
        let mut metadata = entry.metadata().map_err(Fault::Unreadable)?;
        if metadata.is_symlink() {
            let target = self.follow(&relative)?;
            if relative.starts_with(&target) {
                return Err(Fault::Loop);
            }
            relative = target;
            let path = self.path(&relative);
            metadata = fs::metadata(&path).map_err(Fault::Unreadable)?;
            // It may lie in a folder that is not walked.
            let is_watched = self.watch.is_none_or(|watch| watch.name(&path));
            self.scan.is_blind |= !is_watched;
        }
        if metadata.is_dir() {
            pending.push(relative);
        } else {
            self.file(relative, &metadata);
        }
        Ok(())
    }

    /// Where beneath the root a link ends, by a path that has no links in it.
    fn follow(&self, link: &Path) -> Result<PathBuf, Fault> {
        let target = self
            .path(link)
            .canonicalize()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Fault::DanglingLink,
                _ => Fault::Unreadable(error),
            })?;
        let root = self.root.path().canonicalize().map_err(Fault::Unreadable)?;
        match target.strip_prefix(&root) {
            Ok(beneath) => Ok(beneath.to_owned()),
            Err(_) => Err(Fault::LeavesRoot(target)),
        }
    }

    /// The files of the layout in the folder `relative` that mean something; others are allowed there and ignored.
    fn layout_files(&mut self, relative: &Path) -> io::Result<Vec<(Box<Path>, Identity)>> {
        let mut names: Vec<PathBuf> = ["index.json", "manifest.json", "oci-layout"]
            .map(PathBuf::from)
            .into();
        for algorithm in self.layout_folder(relative, Path::new("blobs"))? {
            if self.path(relative).join(&algorithm).is_dir() {
                match self.layout_folder(relative, &algorithm) {
                    Ok(blobs) => names.extend(blobs),
                    Err(error) => self.torn(relative, &algorithm, error),
                }
            }
        }
        let mut listing = Vec::new();
        for name in names {
            self.list(relative, name, &mut listing);
        }
        Ok(listing)
    }

    /// What lies in the folder `name` of a layout; nothing if that is not there or may not be followed.
    fn layout_folder(&mut self, relative: &Path, name: &Path) -> io::Result<Vec<PathBuf>> {
        let path = self.path(relative).join(name);
        if let Err(fault) = self.check_link(&relative.join(name)) {
            self.problem(&path, &fault);
            return Ok(Vec::new());
        }
        match self.list_folder(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let entries = entries?.into_iter();
                Ok(entries.map(|entry| name.join(entry.file_name())).collect())
            }
        }
    }

    /// The identity of a file of a layout; `None` if it is none, or is not there (a moment later).
    fn layout_file(&mut self, relative: &Path) -> Result<Option<Identity>, Fault> {
        self.check_link(relative)?;
        let path = self.path(relative);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            metadata => {
                let metadata = metadata.map_err(Fault::Unreadable)?;
                let is_file = metadata.is_file();
                Ok(is_file.then(|| self.identity(&path, &metadata)))
            }
        }
    }

    /// The files of a layout are opened by their names in it: a link among them may not leave the
    /// root, and not lead back into it by an absolute path, which the kernel refuses as well.
    fn check_link(&self, relative: &Path) -> Result<(), Fault> {
        match fs::read_link(self.path(relative)) {
            // No link.
            Err(_) => Ok(()),
            Ok(target) if target.is_absolute() => Err(Fault::LeavesRoot(target)),
            Ok(_) => self.follow(relative).map(drop),
        }
    }

    /// A link in an unpacked archive leads where it would in the archive, and no further.
    fn check_link_within(&self, folder: &Path, name: &Path) -> Result<(), Fault> {
        let link = folder.join(name);
        if fs::read_link(self.path(&link)).is_err() {
            return Ok(());
        }
        match self.follow(&link)? {
            target if target.starts_with(folder) => Ok(()),
            target => Err(Fault::LeavesRoot(self.path(&target))),
        }
    }

    /// Sockets, devices and the like are no files that anyone meant to be served.
    fn file(&mut self, relative: PathBuf, metadata: &fs::Metadata) {
        if metadata.is_file() {
            let identity = self.identity(&self.path(&relative), metadata);
            self.seen.insert(relative, Stamp::File(identity));
        }
    }

    fn path(&self, relative: &Path) -> PathBuf {
        Location::new(Arc::clone(self.root), relative).path()
    }

    fn problem(&mut self, path: &Path, fault: &Fault) {
        if self.scan.problems.len() < MAX_PROBLEMS {
            self.scan.problems.push(Problem::new(path, fault));
        }
    }
}

fn name_of(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// Whether a folder is an OCI image layout.
fn is_layout(folder: &Path) -> bool {
    folder.join("index.json").is_file()
        && (folder.join("blobs").is_dir() || folder.join("oci-layout").is_file())
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}
