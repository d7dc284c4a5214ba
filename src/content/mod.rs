//! What to send, and how to get it.
//!
//! [`Content`] says which bytes make up an answer without touching a disk; [`Content::open`]
//! turns it into [`Opened`], which a transport can send. In between nothing is read:
//! whoever answers a request never waits for a file.
//!
//! Nothing here knows of images, of HTTP, or of the catalog.

mod claims;
mod file;
mod filesystem;
mod open;
mod source;
mod ticket;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

pub use file::{File, Identity, Location, Root};
pub use filesystem::FileSystem;
pub use open::{Extent, OpenError, Opened, Part};
pub use source::{Claim, Place, Source, Verdict};
pub use ticket::Ticket;

/// One place where a blob can be had.
#[derive(Clone, Debug)]
pub struct Copy {
    source: Arc<Source>,
    claim: usize,
}

impl Copy {
    /// The claim number `claim` of `source`.
    pub fn new(source: Arc<Source>, claim: usize) -> Self {
        Self { source, claim }
    }

    /// What the source claims about these bytes.
    pub fn claim(&self) -> Claim {
        self.source.claim(self.claim)
    }

    /// Whether it was read as a document when its file was cataloged, or made then.
    pub fn is_document(&self) -> bool {
        !self.source.is_extent(self.claim)
    }

    /// The file that holds it, and the number of the claim there.
    pub fn place(&self) -> (&Arc<Source>, usize) {
        (&self.source, self.claim)
    }

    /// What was found out about the bytes.
    pub fn verdict(&self) -> Verdict {
        self.source.verdict(self.claim)
    }

    /// Hashes the bytes in `file`, or else in the file anew, and notes what was found out. Before each piece is read `pause`
    /// is called with its length.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if the bytes are not those that the digest names; any other if the file cannot be read, or is
    /// not what it was.
    pub fn verify(
        &self,
        file: Option<Arc<File>>,
        pause: impl FnMut(usize),
    ) -> Result<(), OpenError> {
        let Claim { digest, place } = self.claim();
        let Place::Extent { offset, length } = place else {
            return Ok(());
        };
        let open = || file.map_or_else(|| self.source.open(), Ok);
        let hash = |file: Arc<File>| {
            let hashed = file.hash(offset..offset + length, digest.algorithm(), pause);
            hashed.map_err(OpenError::from)
        };
        let (verdict, outcome) = match open().and_then(hash) {
            Ok(found) if found == digest => (Verdict::Verified, Ok(())),
            Ok(_) => (Verdict::Quarantined, Err(OpenError::Damaged)),
            Err(OpenError::Unreadable) => (Verdict::Unreadable, Err(OpenError::Unreadable)),
            // The file is another one by now, or will be readable in a moment.
            Err(error) => return Err(error),
        };
        self.source.settle(self.claim, verdict);
        outcome
    }

    /// Notes that the bytes are right: somebody found that out who hashed them in this very file.
    pub fn believe(&self) {
        self.source.settle(self.claim, Verdict::Verified);
    }

    /// Whether the bytes in `file` are those that the digest names.
    fn is_right_in(&self, file: &File) -> io::Result<bool> {
        let Claim { digest, place } = self.claim();
        match place {
            Place::Extent { offset, length } => {
                let found = file.hash(offset..offset + length, digest.algorithm(), |_| ())?;
                Ok(found == digest)
            }
            Place::Document { .. } | Place::Memory(_) => Ok(true),
        }
    }

    /// Notes that the disk did not give the bytes: other copies are asked first from now on. Whether that is new.
    fn fails(&self) -> bool {
        self.source.settle(self.claim, Verdict::Unreadable)
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.source.length(self.claim)
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The bytes of an answer, as a list of pieces of memory and of blobs.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pieces: Vec<Piece>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Memory(Bytes),
    /// A range of a blob, and all copies that hold it.
    Blob {
        copies: Arc<[Copy]>,
        range: Range<u64>,
    },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Blob { range, .. } => range.end - range.start,
        }
    }

    fn slice(&self, part: Range<u64>) -> Self {
        match self {
            Self::Memory(bytes) => {
                // A piece in memory is addressable, so its bounds fit `usize`.
                let bound = |at: u64| usize::try_from(at).unwrap_or(bytes.len());
                Self::Memory(bytes.slice(bound(part.start)..bound(part.end)))
            }
            Self::Blob { copies, range } => Self::Blob {
                copies: Arc::clone(copies),
                range: range.start + part.start..range.start + part.end,
            },
        }
    }
}

impl Content {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Bytes in memory.
    pub fn memory(bytes: impl Into<Bytes>) -> Self {
        Self::from(Piece::Memory(bytes.into()))
    }

    /// A whole blob of `len` bytes that each of `copies` holds; any of them may be read.
    pub fn blob(copies: Vec<Copy>, len: u64) -> Self {
        Self::from(Piece::Blob {
            copies: copies.into(),
            range: 0..len,
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from `range.start` up to `range.end`; what lies beyond the end is left out.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        let mut slice = Self::empty();
        let mut start = 0;
        for piece in &self.pieces {
            let end = start + piece.len();
            let wanted = range.start.max(start)..range.end.min(end);
            if wanted.start < wanted.end {
                slice.push(piece.slice(wanted.start - start..wanted.end - start));
            }
            start = end;
        }
        slice
    }

    /// These bytes and then the bytes of `next`.
    #[must_use]
    pub fn chain(mut self, next: Self) -> Self {
        for piece in next.pieces {
            self.push(piece);
        }
        self
    }

    fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push(piece);
    }
}

impl From<Piece> for Content {
    fn from(piece: Piece) -> Self {
        let mut content = Self::empty();
        content.push(piece);
        content
    }
}

#[cfg(test)]
mod tests;
