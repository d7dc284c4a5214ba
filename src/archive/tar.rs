//! The walk over a tar's headers: which members there are and where their bytes lie.
//!
//! Fields are read by the `tar` crate; the walk is ours, because a server that reads
//! archives in place must tell a half-copied archive from a whole one, must never lose
//! step with other readers, and must not grow without bound on foreign bytes. Whatever
//! readers are known to disagree about is refused.

use std::io;

use super::problem::Fault;
use crate::content::File;

/// Tars are made of blocks of this length.
const BLOCK: u64 = 512;
type Block = [u8; 512];
/// Most headers with what follows them come with one read of this size.
const WINDOW: usize = 4096;
/// At most this many members are read of one archive.
const MAX_MEMBERS: usize = 1_000_000;
/// At most this many bytes of pax records are read for one member.
const MAX_PAX: u64 = 1 << 20;
/// At most this many bytes of a GNU long name are read.
const MAX_LONG_NAME: u64 = 64 << 10;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file whose bytes lie in the archive as they are.
    File,
    /// A file whose bytes lie in the archive as a map and fragments.
    Sparse,
    /// A link to a path that is relative to the link's own folder.
    Symlink(Vec<u8>),
    /// A link to a path that is relative to the archive's root.
    Hardlink(Vec<u8>),
}

impl Kind {
    /// Where a link leads, as written.
    pub fn target(&self) -> Option<&[u8]> {
        match self {
            Self::Symlink(target) | Self::Hardlink(target) => Some(target),
            Self::File | Self::Sparse => None,
        }
    }
}

/// One member, as its headers tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name as written.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

/// Whether `block` begins a tar: its checksum is right.
pub fn is_header(block: &[u8]) -> bool {
    block
        .first_chunk::<512>()
        .is_some_and(|block| has_valid_checksum(tar::Header::from_byte_slice(block)))
}

/// Calls `member` with each file and link of the archive, in their order.
///
/// # Errors
/// [`Fault`] if the archive is cut off, or if anything in it is not understood.
pub fn walk(file: &File, mut member: impl FnMut(Member)) -> Result<(), Fault> {
    let mut walk = Walk {
        window: Window::new(file),
        position: 0,
        overrides: Overrides::default(),
    };
    for _ in 0..=MAX_MEMBERS {
        match walk.next()? {
            Step::Member(found) => member(found),
            Step::Skipped => {}
            Step::End => return Ok(()),
        }
    }
    Err(Fault::TooMany {
        what: "members",
        limit: MAX_MEMBERS,
    })
}

enum Step {
    Member(Member),
    Skipped,
    End,
}

/// What headers before a member say about it.
#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
    /// A pax header was seen; a second one before the member is refused.
    pax: bool,
}

struct Walk<'f> {
    window: Window<'f>,
    position: u64,
    overrides: Overrides,
}

impl Walk<'_> {
    fn next(&mut self) -> Result<Step, Fault> {
        let start = self.position;
        let Some(block) = self.window.block(start)? else {
            return self.end_of_file(start);
        };
        if block.iter().all(|byte| *byte == 0) {
            return self.end_of_archive(start);
        }
        let header = tar::Header::from_byte_slice(&block);
        if !has_valid_checksum(header) {
            return Err(bad(start, "the checksum is wrong"));
        }
        let size = size_field(header).ok_or_else(|| bad(start, "the size is not a number"))?;
        if has_odd_version(header) {
            return Err(bad(start, "the version of the format is unknown"));
        }
        match header.entry_type().as_byte() {
            // Some readers take it as pax, others pass over it.
            b'X' => Err(bad(start, "Solaris' own headers are not supported")),
            b'x' => {
                let payload = self.payload(start, size, MAX_PAX)?;
                self.take_pax(start, &payload)?;
                Ok(Step::Skipped)
            }
            b'g' => {
                let payload = self.payload(start, size, MAX_PAX)?;
                check_global_pax(start, &payload)?;
                Ok(Step::Skipped)
            }
            b'L' => {
                let name = self.payload(start, size, MAX_LONG_NAME)?;
                self.set_long_name(start, |overrides| {
                    overrides.name.replace(until_nul(&name).to_vec())
                })?;
                Ok(Step::Skipped)
            }
            b'K' => {
                let link = self.payload(start, size, MAX_LONG_NAME)?;
                self.set_long_name(start, |overrides| {
                    overrides.link.replace(until_nul(&link).to_vec())
                })?;
                Ok(Step::Skipped)
            }
            flag => self.member(start, header, flag, size),
        }
    }

    /// A file, a link, or something that is passed over: the end of the pending overrides.
    fn member(
        &mut self,
        start: u64,
        header: &tar::Header,
        flag: u8,
        size: u64,
    ) -> Result<Step, Fault> {
        let overrides = std::mem::take(&mut self.overrides);
        let name = overrides
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let size = overrides.size.unwrap_or(size);
        let mut offset = start + BLOCK;
        let link = || {
            overrides
                .link
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default()
        };
        if flag == b'7' && name.ends_with(b"/") {
            return Err(bad(start, "the name of a file ends in a slash"));
        }
        let kind = match flag {
            b'0' | 0 | b'7' if overrides.sparse => Some(Kind::Sparse),
            // Before POSIX a folder was a file whose name ends in a slash.
            b'0' | 0 if name.ends_with(b"/") => None,
            b'0' | 0 | b'7' => Some(Kind::File),
            b'S' => {
                offset = self.skip_sparse_map(start, header)?;
                Some(Kind::Sparse)
            }
            b'1' => Some(Kind::Hardlink(link())),
            b'2' => Some(Kind::Symlink(link())),
            _ => None,
        };
        // Readers disagree whether bytes follow such a header.
        let has_no_bytes =
            matches!(flag, b'1'..=b'6') || kind.is_none() && matches!(flag, b'0' | 0);
        if has_no_bytes && size != 0 {
            return Err(bad(start, "a link, folder or device has a size"));
        }
        self.advance(offset, size)?;
        Ok(match kind {
            Some(kind) => Step::Member(Member {
                name,
                kind,
                offset,
                size,
            }),
            None => Step::Skipped,
        })
    }

    /// Moves behind `size` bytes of data that begin at `offset`.
    fn advance(&mut self, offset: u64, size: u64) -> Result<(), Fault> {
        let end = offset.checked_add(size);
        let next = end.and_then(|end| end.checked_next_multiple_of(BLOCK));
        let (Some(end), Some(next)) = (end, next) else {
            return Err(bad(offset - BLOCK, "the size is too large"));
        };
        let found = self.window.file.identity().size();
        if end > found {
            return Err(Fault::Truncated {
                expected: end,
                found,
            });
        }
        self.position = next;
        Ok(())
    }

    fn payload(&mut self, start: u64, size: u64, limit: u64) -> Result<Vec<u8>, Fault> {
        if size > limit {
            return Err(Fault::TooLarge { size, limit });
        }
        self.advance(start + BLOCK, size)?;
        self.window.read(start + BLOCK, size)
    }

    fn set_long_name(
        &mut self,
        start: u64,
        set: impl FnOnce(&mut Overrides) -> Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        match set(&mut self.overrides) {
            Some(_) => Err(bad(start, "a member has two long names")),
            None => Ok(()),
        }
    }

    fn take_pax(&mut self, start: u64, payload: &[u8]) -> Result<(), Fault> {
        if std::mem::replace(&mut self.overrides.pax, true) {
            return Err(bad(start, "two pax headers before one member"));
        }
        let (mut path, mut link, mut size) = (None, None, None);
        for record in records(payload) {
            let (key, value) = record.ok_or_else(|| bad(start, "a pax record is malformed"))?;
            let repeated = match key {
                b"path" => path.replace(value.to_vec()).is_some(),
                b"linkpath" => link.replace(value.to_vec()).is_some(),
                b"size" => size
                    .replace(
                        decimal(value).ok_or_else(|| bad(start, "the pax size is not a number"))?,
                    )
                    .is_some(),
                _ => {
                    self.overrides.sparse |= key.starts_with(b"GNU.sparse.");
                    // The real name of a sparse member, whose stored name is made up.
                    if key == b"GNU.sparse.name" {
                        self.overrides.name = Some(value.to_vec());
                    }
                    false
                }
            };
            if repeated {
                return Err(bad(start, "a pax record is there twice"));
            }
            // Some readers take an empty name as the header's own, others as it is.
            if value.is_empty() && matches!(key, b"path" | b"linkpath" | b"size") {
                return Err(bad(start, "a pax record is empty"));
            }
        }
        let overrides = &mut self.overrides;
        // Readers disagree which of two names counts; that of a sparse member is always the one it was given first.
        if path.is_some() && overrides.name.is_some() && !overrides.sparse
            || link.is_some() && overrides.link.is_some()
        {
            return Err(bad(start, "a member has a long name and a pax name"));
        }
        overrides.name = overrides.name.take().or(path);
        overrides.link = overrides.link.take().or(link);
        overrides.size = size;
        Ok(())
    }

    /// Old GNU sparse members continue their map in blocks before the data.
    fn skip_sparse_map(&mut self, start: u64, header: &tar::Header) -> Result<u64, Fault> {
        /// Where an extension block says whether another one follows.
        const MORE: usize = 504;
        let mut offset = start + BLOCK;
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let block = self
                .window
                .block(offset)?
                .ok_or_else(|| bad(start, "the sparse map is cut off"))?;
            more = block[MORE] != 0;
            offset += BLOCK;
        }
        Ok(offset)
    }

    /// The end of the file where a header could begin: readers accept a missing trailer.
    fn end_of_file(&self, at: u64) -> Result<Step, Fault> {
        let found = self.window.file.identity().size();
        if at < found || self.is_expecting_member() || at == 0 {
            return Err(Fault::Truncated {
                expected: at + BLOCK,
                found,
            });
        }
        Ok(Step::End)
    }

    /// The first zero block: whatever lies behind it is not looked at.
    fn end_of_archive(&self, at: u64) -> Result<Step, Fault> {
        if self.is_expecting_member() {
            return Err(bad(
                at,
                "a member is missing after its pax header or long name",
            ));
        }
        Ok(Step::End)
    }

    fn is_expecting_member(&self) -> bool {
        let Overrides {
            name, link, pax, ..
        } = &self.overrides;
        *pax || name.is_some() || link.is_some()
    }
}

/// A small part of the file that was read last.
struct Window<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    start: u64,
}

impl<'f> Window<'f> {
    fn new(file: &'f File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(WINDOW),
            start: 0,
        }
    }

    /// The block at `offset`; `None` where the file ends before its end.
    fn block(&mut self, offset: u64) -> Result<Option<Block>, Fault> {
        if let Some(block) = self.cached(offset) {
            return Ok(Some(block));
        }
        self.buffer.resize(WINDOW, 0);
        let read = self
            .file
            .read_at(&mut self.buffer, offset)
            .map_err(Fault::Unreadable)?;
        self.buffer.truncate(read);
        self.start = offset;
        Ok(self.cached(offset))
    }

    fn cached(&self, offset: u64) -> Option<Block> {
        let begin = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.buffer.get(begin..)?.first_chunk().copied()
    }

    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Fault> {
        // Payloads are capped far below what is addressable.
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        match self
            .file
            .read_at(&mut bytes, offset)
            .map_err(Fault::Unreadable)?
        {
            read if read == bytes.len() => Ok(bytes),
            _ => Err(Fault::Unreadable(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// Whether the magic is that of POSIX and the version is not: readers disagree whether there is a prefix to the name.
fn has_odd_version(header: &tar::Header) -> bool {
    let bytes = header.as_bytes();
    bytes[257..263] == *b"ustar\0" && bytes[263..265] != *b"00"
}

/// The sum of the header's bytes, its own field counted as blanks; old writers summed signed bytes.
fn has_valid_checksum(header: &tar::Header) -> bool {
    let Ok(stated) = header.cksum() else {
        return false;
    };
    let bytes = header.as_bytes();
    let blanks = 8 * u32::from(b' ');
    let fields = || bytes[..148].iter().chain(&bytes[156..]);
    let unsigned = fields().map(|byte| u32::from(*byte)).sum::<u32>() + blanks;
    let signed = fields()
        .map(|byte| i64::from(byte.cast_signed()))
        .sum::<i64>()
        + i64::from(blanks);
    stated == unsigned || i64::from(stated) == signed
}

/// The size in the header. The `tar` crate reads only the low 64 bits of a binary number; others are refused here.
fn size_field(header: &tar::Header) -> Option<u64> {
    let field = header.as_old().size;
    let is_binary = field[0] & 0x80 != 0;
    if is_binary && (field[0] != 0x80 || field[1..4] != [0; 3] || field[4] & 0x80 != 0) {
        return None;
    }
    // An empty field counts as zero, as some writers leave it for folders.
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Some(0);
    }
    header.entry_size().ok()
}

/// The records of a pax header: `length key=value` and a newline, the length counting all of it.
///
/// The `tar` crate splits at newlines instead, so that it fails on binary values and stops
/// at an empty line, behind which other readers go on.
fn records(mut payload: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        // Padding by NULs is seen in the wild.
        if payload.iter().all(|byte| *byte == 0) {
            return None;
        }
        let record = first_record(payload);
        payload = record.map_or(&[][..], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)))
    })
}

fn first_record(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = payload.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&payload[..blank])?).ok()?;
    let record = payload
        .get(..length)?
        .strip_suffix(b"\n")?
        .get(blank + 1..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &payload[length..]))
}

/// Settings for all members behind are common (comments of `git archive`); names and sizes are not.
fn check_global_pax(start: u64, payload: &[u8]) -> Result<(), Fault> {
    for record in records(payload) {
        match record {
            Some((b"path" | b"linkpath" | b"size", _)) => {
                return Err(bad(start, "a global pax header names a member"));
            }
            Some(_) => {}
            None => return Err(bad(start, "a pax record is malformed")),
        }
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn bad(offset: u64, what: &'static str) -> Fault {
    Fault::BadHeader { offset, what }
}

#[cfg(test)]
mod tests;
