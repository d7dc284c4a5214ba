//! The numbers of files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::INodeNo;

/// Each mount has one of its own. In it a file keeps its number.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// Which file each number stands for.
pub(super) struct Nodes {
    epoch: u64,
    known: HashMap<INodeNo, Node>,
}

/// A file that the kernel was told of.
#[derive(Clone)]
pub(super) struct Node {
    /// Where it was found, relative to the folder that is shown.
    pub(super) path: PathBuf,
    /// Its number there. Another file may have taken its name.
    pub(super) inode: u64,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            epoch: new_epoch(),
            known: HashMap::new(),
        }
    }

    /// From now on every file has another number.
    pub(super) fn renumber(&mut self) {
        self.epoch = new_epoch();
    }

    /// The number of the file `inode` of the folder that is shown, which was found at `path`.
    pub(super) fn number(&mut self, path: &Path, inode: u64) -> INodeNo {
        let number = INodeNo(self.epoch << 32 | inode & 0xffff_ffff);
        let path = path.to_owned();
        self.known.insert(number, Node { path, inode });
        number
    }

    pub(super) fn get(&self, number: INodeNo) -> Option<Node> {
        self.known.get(&number).cloned()
    }
}

fn new_epoch() -> u64 {
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}
