//! The file of the cache: read from its end, appended to, and now and then written anew.
//!
//! It is opened for each of these and closed again. Other processes may do the same at the same time: what one of them
//! writes the other may lose, and neither reads what nobody wrote.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::record::{self, Key, Record};

/// The file's name tells the form of its lines: whoever writes them otherwise uses another name, and leaves this one alone.
const NAME: &str = "verdicts-v1";
/// A file by another name is written first when the file is written anew.
const UNFINISHED: &str = "verdicts-v1.new-";
/// The file gets no longer, and no more of it is read.
const MAX_LENGTH: u64 = 16 << 20;
/// A file that somebody still writes to is younger.
const STALE: Duration = Duration::from_secs(600);

/// Where the cache lies.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    max_length: u64,
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            max_length: MAX_LENGTH,
        }
    }

    /// One that is full sooner.
    #[cfg(test)]
    pub(super) fn bounded(folder: PathBuf, max_length: u64) -> Self {
        Self { folder, max_length }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Gives the newest records to `take`, the oldest of them first.
    ///
    /// # Errors
    /// As the system tells them.
    pub(super) fn read(&self, take: impl FnMut(Record)) -> io::Result<()> {
        self.read_last(self.max_length, take)
    }

    fn read_last(&self, length: u64, take: impl FnMut(Record)) -> io::Result<()> {
        let mut file = open(OpenOptions::new().read(true), self.path())?;
        let start = file.metadata()?.len().saturating_sub(length);
        file.seek(SeekFrom::Start(start))?;
        record::read(BufReader::new(file.take(length)), take)
    }

    /// Adds `records`, of which there are few beside what the file may hold. The folder and the file are made if there are
    /// none, for nobody but this user.
    ///
    /// # Errors
    /// As the system tells them. Some of the records may have been written.
    pub(super) fn append(&self, records: &[Record]) -> io::Result<()> {
        self.make_folder()?;
        let mut options = OpenOptions::new();
        let mut file = open(options.append(true).create(true).mode(0o600), self.path())?;
        if records.is_empty() {
            return Ok(());
        }
        let lines = record::lines(records);
        if file.metadata()?.len() + lines.len() as u64 > self.max_length {
            drop(file);
            return self.write_anew(records);
        }
        file.write_all(lines.as_bytes())
    }

    fn make_folder(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        // That something exists would not tell what is wrong with it.
        let is_in_the_way = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        };
        made.map_err(is_in_the_way)
    }

    /// Keeps the newer half of what is there, each record once, and adds `records`.
    fn write_anew(&self, records: &[Record]) -> io::Result<()> {
        self.remove_stale();
        let mut kept = Vec::new();
        self.read_last(self.max_length / 2, |record| kept.push(record))?;
        kept.extend_from_slice(records);
        let path = self.unfinished();
        let mut options = OpenOptions::new();
        let file = open(options.write(true).create_new(true).mode(0o600), &path);
        let write = |mut file: File| file.write_all(record::lines(&newest(kept)).as_bytes());
        let written = file.and_then(write);
        let moved = written.and_then(|()| fs::rename(&path, self.path()));
        if moved.is_err() {
            // Nothing more can be done about it than the next one does.
            let _ = fs::remove_file(&path);
        }
        moved
    }

    /// A name that no other process uses: their numbers may be the same in different containers.
    fn unfinished(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let moment = now.unwrap_or_default().as_nanos();
        self.folder
            .join(format!("{UNFINISHED}{}-{moment}", std::process::id()))
    }

    /// Removes what processes left behind that were killed while they wrote the file anew.
    pub(super) fn remove_stale(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let is_unfinished =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        for entry in entries.filter(is_unfinished) {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(is_long_ago) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Opens a file that has to be one: whatever else may lie there, nobody waits for it.
fn open(options: &mut OpenOptions, path: impl AsRef<std::path::Path>) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Whether `moment` lies far from now, on whichever side: clocks are set.
fn is_long_ago(moment: SystemTime) -> bool {
    let distance = match SystemTime::now().duration_since(moment) {
        Ok(past) => past,
        Err(future) => future.duration(),
    };
    distance > STALE
}

/// Each record once, where it stands last.
fn newest(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = std::collections::BTreeSet::<(Key, bool)>::new();
    records.reverse();
    records.retain(|record| seen.insert((record.key(), matches!(record, Record::Verified(_)))));
    records.reverse();
    records
}
