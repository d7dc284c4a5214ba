//! Getting content ready to be sent: the only step between an answer and its bytes that touches a disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use super::{Claim, Content, Copy, File, Piece, Place, Source, Ticket, Verdict};

/// The end of bytes that nobody has hashed yet is held back until that has been done: this much at most.
const HELD_BACK: u64 = 64 << 10;

/// Why no copy of a blob could be opened.
///
/// The order is the order of hope: where several copies fail, the greatest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not those that the digest names.
    #[error("the archive is damaged")]
    Damaged,
    /// The file exists and cannot be read.
    #[error("the archive cannot be read")]
    Unreadable,
    /// The file is not there any more; it may have been moved.
    #[error("the archive is gone")]
    Gone,
    /// The file is not the one that was catalogued.
    #[error("the archive has changed")]
    Changed,
    /// The process has no file descriptor left.
    #[error("too many files are open")]
    OutOfDescriptors,
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::Gone,
            Some(Errno::MFILE | Errno::NFILE) => Self::OutOfDescriptors,
            _ if error.kind() == io::ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Unreadable,
        }
    }
}

/// Content whose files are open: what is left to do is to send it.
#[derive(Debug, Default)]
pub struct Opened {
    /// The bytes, in order.
    pub parts: Vec<Part>,
}

impl Opened {
    /// Whether the first bytes may be read, or all of the first blob is held back still.
    ///
    /// # Errors
    /// As those of [`Extent::poll_ready`].
    pub fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<(), OpenError>> {
        match self.parts.first_mut() {
            Some(Part::Extent(extent)) => extent.poll_ready(context),
            Some(Part::Memory(_)) | None => Poll::Ready(Ok(())),
        }
    }
}

/// Some bytes that can be sent.
#[derive(Debug)]
pub enum Part {
    /// Bytes in memory.
    Memory(Bytes),
    /// Bytes in a file.
    Extent(Extent),
}

impl Part {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Extent(extent) => extent.remaining(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part of an open file, read from front to back.
#[derive(Debug)]
pub struct Extent {
    file: Arc<File>,
    range: Range<u64>,
    /// What the bytes are of.
    copy: Copy,
    /// The verdict that the last of them wait for.
    ticket: Option<Arc<Ticket>>,
    /// Whoever tells that the disk does not give them.
    alarm: Option<Waker>,
}

impl Extent {
    /// How many bytes have not been read.
    pub fn remaining(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// What the bytes are of.
    pub fn copy(&self) -> &Copy {
        &self.copy
    }

    /// The open file that they lie in.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether these are all bytes of the blob, so that whoever gets them can take it for complete.
    pub fn is_whole(&self) -> bool {
        self.remaining() == self.copy.len()
    }

    /// Holds the last bytes back until `ticket` tells that they are right.
    pub fn hold_back(&mut self, ticket: Arc<Ticket>) {
        self.ticket = Some(ticket);
    }

    /// Has `alarm` be woken if the disk does not give the bytes, and gave them before or was never asked.
    pub fn on_failure(&mut self, alarm: Waker) {
        self.alarm = Some(alarm);
    }

    /// Whether the next bytes may be read, or are held back still.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if the blob is not what its digest names, any other if that could not be found out: the bytes
    /// that are left never leave.
    pub fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<(), OpenError>> {
        if self.remaining() <= HELD_BACK
            && let Some(ticket) = &self.ticket
        {
            ready!(ticket.poll(context))?;
            self.ticket = None;
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes may be read now.
    fn released(&self) -> u64 {
        match self.ticket {
            Some(_) => self.remaining().saturating_sub(HELD_BACK),
            None => self.remaining(),
        }
    }

    /// Fills `buffer` with the next bytes, or with all that remain, and tells how many those were: none of those
    /// that are held back.
    ///
    /// The last bytes are given out only if the file has not been written to meanwhile, so
    /// that whoever sends them never completes an answer out of two versions of a file.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has shrunk or was written to; else as the system tells them.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.released()).unwrap_or(usize::MAX);
        let buffer = match buffer.get_mut(..wanted) {
            Some(rest) => rest,
            None => buffer,
        };
        let read = self.file.read_at(buffer, self.range.start);
        let read = read.inspect_err(|_| self.failed())?;
        self.range.start += read as u64;
        let is_last = self.range.start == self.range.end;
        if read < buffer.len() || (is_last && !self.is_sound()?) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }

    fn failed(&self) {
        if self.copy.fails()
            && let Some(alarm) = &self.alarm
        {
            alarm.wake_by_ref();
        }
    }

    /// Whether what was read is of the file as it was opened. Where only the kernel's own time tells of a change, the blob is
    /// hashed again: other rights and other names change that as well.
    fn is_sound(&self) -> io::Result<bool> {
        if !self.file.is_unchanged()? {
            return Ok(false);
        }
        Ok(!self.file.is_touched()? || self.copy.is_right_in(&self.file)?)
    }
}

impl Content {
    /// Opens what is needed to send these bytes: of each blob the first copy that is as it was catalogued.
    ///
    /// Blocks on files. Documents are read and hashed here, everything else is only located.
    ///
    /// # Errors
    /// [`OpenError`] if a blob has no copy left that can be opened.
    pub fn open(&self) -> Result<Opened, OpenError> {
        let mut files = Files::default();
        let parts = self.pieces.iter().map(|piece| piece.open(&mut files));
        Ok(Opened {
            parts: parts.collect::<Result<_, _>>()?,
        })
    }

    /// What the file lies on that is opened first; `None` if opening this cannot touch a disk, because all of it is in memory.
    pub fn device(&self) -> Option<u64> {
        self.pieces.iter().find_map(Piece::device)
    }
}

/// The files opened for one response: the parts of a multi-range answer share theirs.
#[derive(Default)]
struct Files(Vec<(Arc<Source>, Arc<File>)>);

impl Files {
    fn open(&mut self, source: &Arc<Source>) -> Result<Arc<File>, OpenError> {
        let opened = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, source));
        if let Some((_, file)) = opened {
            return Ok(Arc::clone(file));
        }
        let file = source.open()?;
        self.0.push((Arc::clone(source), Arc::clone(&file)));
        Ok(file)
    }
}

impl Piece {
    fn open(&self, files: &mut Files) -> Result<Part, OpenError> {
        match self {
            Self::Memory(bytes) => Ok(Part::Memory(bytes.clone())),
            Self::Blob { copies, range } => {
                let mut most_hopeful = None;
                for copy in by_hope(copies) {
                    if copy.verdict() == Verdict::Quarantined {
                        most_hopeful = most_hopeful.max(Some(OpenError::Damaged));
                        continue;
                    }
                    match copy.open(range, files) {
                        Ok(part) => return Ok(part),
                        Err(error) => most_hopeful = most_hopeful.max(Some(error)),
                    }
                }
                Err(most_hopeful.unwrap_or(OpenError::Gone))
            }
        }
    }

    fn device(&self) -> Option<u64> {
        let Self::Blob { copies, .. } = self else {
            return None;
        };
        let is_opened = |copy: &&Copy| copy.verdict() != Verdict::Quarantined;
        let first = by_hope(copies).find(is_opened)?;
        (!first.is_in_memory()).then(|| first.source.identity().device())
    }
}

/// All copies, those last that could not be read.
fn by_hope(copies: &[Copy]) -> impl Iterator<Item = &Copy> {
    let is_doubtful = |copy: &&Copy| copy.verdict() == Verdict::Unreadable;
    let sound = copies.iter().filter(move |copy| !is_doubtful(copy));
    sound.chain(copies.iter().filter(is_doubtful))
}

impl Source {
    /// Opens the file.
    ///
    /// # Errors
    /// [`OpenError::Changed`] if it is not the one that was cataloged; else as the system tells them.
    pub(super) fn open(&self) -> Result<Arc<File>, OpenError> {
        let file = File::open(self.location())?;
        if file.identity() != self.identity() {
            return Err(OpenError::Changed);
        }
        Ok(Arc::new(file))
    }
}

impl Copy {
    fn is_in_memory(&self) -> bool {
        self.source.kept(self.claim).is_some() || matches!(self.claim().place, Place::Memory(_))
    }

    fn open(&self, range: &Range<u64>, files: &mut Files) -> Result<Part, OpenError> {
        let Claim { digest, place } = self.claim();
        match place {
            Place::Memory(bytes) => Ok(Part::Memory(slice(&bytes, range)?)),
            Place::Document { offset, length } => {
                if let Some(kept) = self.source.kept(self.claim) {
                    return Ok(Part::Memory(slice(kept, range)?));
                }
                let file = files.open(&self.source)?;
                let bytes = read_whole(&file, offset, length)?;
                if !digest.matches(&bytes) {
                    return Err(OpenError::Damaged);
                }
                self.source.keep(self.claim, &bytes);
                Ok(Part::Memory(slice(&bytes, range)?))
            }
            Place::Extent { offset, length } => {
                if range.end > length {
                    return Err(OpenError::Damaged);
                }
                Ok(Part::Extent(Extent {
                    file: files.open(&self.source)?,
                    range: offset + range.start..offset + range.end,
                    copy: self.clone(),
                    ticket: None,
                    alarm: None,
                }))
            }
        }
    }
}

fn read_whole(file: &File, offset: u64, length: u64) -> Result<Bytes, OpenError> {
    let length = usize::try_from(length).map_err(|_| OpenError::Damaged)?;
    let mut bytes = vec![0; length];
    if file.read_at(&mut bytes, offset)? < length {
        return Err(OpenError::Changed);
    }
    Ok(bytes.into())
}

/// A copy of another length than the one that was promised is not the blob that was meant.
fn slice(bytes: &Bytes, range: &Range<u64>) -> Result<Bytes, OpenError> {
    let bound = |at: u64| usize::try_from(at).ok().filter(|at| *at <= bytes.len());
    match (bound(range.start), bound(range.end)) {
        (Some(start), Some(end)) => Ok(bytes.slice(start..end)),
        _ => Err(OpenError::Damaged),
    }
}
