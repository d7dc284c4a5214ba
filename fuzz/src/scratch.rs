//! The one file of a fuzzing process.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use packageorigin::content::{File, Location, Root};

/// Where files cost no disk.
const MEMORY: &str = "/dev/shm";

/// A file without a name, so that nothing is left behind however the process ends.
pub struct Scratch {
    handle: fs::File,
    location: Location,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// An empty file, in memory where the system has a place for that.
    pub fn new() -> Self {
        let handle = if Path::new(MEMORY).is_dir() {
            tempfile::tempfile_in(MEMORY)
        } else {
            tempfile::tempfile()
        };
        let handle = handle.expect("a temporary file");
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let location = Location::new(Root::new(path), Path::new(""));
        Self { handle, location }
    }

    /// Makes `bytes` the content of the file, and opens it as the product does.
    pub fn hold(&self, bytes: &[u8]) -> File {
        self.handle.set_len(0).expect("an empty file");
        self.handle
            .write_all_at(bytes, 0)
            .expect("room for the file");
        File::open(&self.location).expect("the file")
    }

    /// Where the file lies.
    pub fn location(&self) -> &Location {
        &self.location
    }
}
