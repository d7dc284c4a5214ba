//! The members of one archive by name: the same table for a tar and for a folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use rustix::fs::Access;

use super::problem::{Fault, Problems};
use super::tar;
use crate::content::{File, Identity, Location};
use crate::digest::Digest;

/// Links in links are followed this far.
const MAX_HOPS: usize = 8;
/// Members up to this size are compared when two have one name.
const MAX_COMPARED: u64 = 20 << 20;
/// Of so many members of one name the right one is looked for.
const MAX_PICKED: usize = 4;
/// A name longer than this is no name that a layout gives a meaning to.
const MAX_NAME: usize = 4096;
/// All names together may be this long.
const MAX_NAMES: usize = 64 << 20;

/// Where the bytes of a member lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Index of the file in [`Members::files`].
    pub file: usize,
    /// Where the bytes begin in it.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

#[derive(Debug)]
enum Member {
    File(Stored),
    /// The name of another member, relative to the archive's root; `None` if it leads out of that.
    Link(Option<String>),
    /// Stored as a map and fragments.
    Sparse,
    /// Several members of this name that differ; those of them that are files.
    Ambiguous(Vec<Stored>),
}

impl Member {
    /// The places of its bytes, if it has any that can be read.
    fn files(&self) -> &[Stored] {
        match self {
            Self::File(stored) => std::slice::from_ref(stored),
            Self::Ambiguous(copies) => copies,
            Self::Link(_) | Self::Sparse => &[],
        }
    }
}

/// The files of an archive, and its members by their cleaned names.
#[derive(Debug)]
pub struct Members {
    files: Vec<(Location, Identity)>,
    /// The tar itself, open while it is read; the files of a folder are opened one by one.
    tar: Option<File>,
    table: BTreeMap<String, Member>,
}

impl Members {
    /// Reads the table of the tar `file`, which lies at `location`.
    ///
    /// # Errors
    /// [`Fault`] if the tar cannot be read to its end; nothing of it may be served then.
    pub fn of_tar(location: &Location, file: File, problems: &mut Problems) -> Result<Self, Fault> {
        let mut members = Self {
            files: vec![(location.clone(), *file.identity())],
            tar: None,
            table: BTreeMap::new(),
        };
        let mut names = 0;
        tar::walk(&file, |member| {
            let target = member.kind.target().map_or(0, <[u8]>::len);
            names += member.name.len() + target.min(MAX_NAME);
            if names <= MAX_NAMES && member.name.len() <= MAX_NAME {
                members.add(&file, member, problems);
            }
        })?;
        if names > MAX_NAMES {
            return Err(Fault::TooMany {
                what: "bytes of member names",
                limit: MAX_NAMES,
            });
        }
        if !file.is_unchanged().map_err(Fault::Unreadable)? {
            return Err(Fault::Changing);
        }
        members.tar = Some(file);
        Ok(members)
    }

    /// The table of the folder at `location`, whose files are `listing`.
    pub fn of_folder(
        location: &Location,
        listing: &[(Box<Path>, Identity)],
        problems: &mut Problems,
    ) -> Self {
        let mut members = Self {
            files: Vec::new(),
            tar: None,
            table: BTreeMap::new(),
        };
        for (path, identity) in listing {
            let stored = Stored {
                file: members.files.len(),
                offset: 0,
                size: identity.size(),
            };
            // Listed whatever comes of it: what was learned of a file goes by its number.
            members.files.push((location.join(path), *identity));
            // No name that a layout gives a meaning to is anything but ASCII.
            let Some(name) = path.to_str() else { continue };
            // Blobs are not opened here, so it would be found out only by whoever asks for them.
            if let Err(error) = rustix::fs::access(location.join(path).path(), Access::READ_OK) {
                problems.add_in(name, &Fault::Unreadable(error.into()));
                continue;
            }
            members.table.insert(name.to_owned(), Member::File(stored));
        }
        members
    }

    fn add(&mut self, file: &File, member: tar::Member, problems: &mut Problems) {
        let Some(name) = clean(&member.name, "") else {
            let shown = String::from_utf8_lossy(&member.name);
            problems.add_in(&shown, &Fault::EscapingMember);
            return;
        };
        let stored = Stored {
            file: 0,
            offset: member.offset,
            size: member.size,
        };
        let added = match member.kind {
            tar::Kind::File => Member::File(stored),
            tar::Kind::Sparse => Member::Sparse,
            // A target outside the archive is no member, so the link leads nowhere.
            tar::Kind::Symlink(target) => Member::Link(target_of(&target, parent(&name))),
            tar::Kind::Hardlink(target) => Member::Link(target_of(&target, "")),
        };
        match self.table.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(added);
            }
            Entry::Occupied(mut known) => {
                if !is_same(file, known.get(), &added) {
                    let copies = known.get().files().iter().chain(added.files());
                    let copies = copies.copied().take(MAX_PICKED).collect();
                    known.insert(Member::Ambiguous(copies));
                }
            }
        }
    }

    /// The files that hold the members' bytes.
    pub fn files(&self) -> &[(Location, Identity)] {
        &self.files
    }

    /// The names of all members that begin with `prefix`, in byte order.
    pub fn names<'m>(&'m self, prefix: &'m str) -> impl Iterator<Item = &'m str> {
        self.table
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }

    /// Whether a member has this name, whatever it is.
    pub fn contains(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The names that several members have which differ.
    pub fn ambiguous(&self) -> impl Iterator<Item = &str> {
        let members = self.table.iter();
        members
            .filter(|(_, member)| matches!(member, Member::Ambiguous(_)))
            .map(|(name, _)| name.as_str())
    }

    /// Of several members of this name the one whose digest it is; none that is large is read for that.
    pub fn pick(&self, name: &str, digest: &Digest) -> Option<Stored> {
        let copies = self.table.get(name)?.files().iter().copied();
        let mut small = copies.filter(|copy| copy.size <= MAX_COMPARED);
        small.find(|copy| {
            self.read(*copy, MAX_COMPARED)
                .is_ok_and(|bytes| digest.matches(&bytes))
        })
    }

    /// The same for a name written in the archive, relative to its folder `prefix`.
    ///
    /// # Errors
    /// [`Fault`] if there is no such member or if its bytes cannot be told.
    pub fn locate_in(&self, prefix: &str, name: &str) -> Result<Stored, Fault> {
        let missing = || Fault::MissingMember(name.to_owned());
        self.locate(&clean(name.as_bytes(), prefix).ok_or_else(missing)?)
    }

    /// Where the bytes of the member `name` lie, through links.
    ///
    /// # Errors
    /// [`Fault`] if there is no such member or if its bytes cannot be told.
    pub fn locate(&self, name: &str) -> Result<Stored, Fault> {
        let mut at = name;
        for _ in 0..=MAX_HOPS {
            match self.table.get(at) {
                Some(Member::File(stored)) => return Ok(*stored),
                Some(Member::Link(Some(target))) => at = target,
                Some(Member::Sparse) => return Err(Fault::SparseMember),
                Some(Member::Ambiguous(_)) => return Err(Fault::Duplicate),
                Some(Member::Link(None)) | None => break,
            }
        }
        Err(Fault::MissingMember(name.to_owned()))
    }

    /// The bytes at `stored`, if they are no more than `limit`.
    ///
    /// # Errors
    /// [`Fault`] if they are more, or if they cannot be read.
    pub fn read(&self, stored: Stored, limit: u64) -> Result<Vec<u8>, Fault> {
        if stored.size > limit {
            return Err(Fault::TooLarge {
                size: stored.size,
                limit,
            });
        }
        self.read_front(stored, limit)
    }

    /// The first bytes at `stored`, at most `limit` of them.
    ///
    /// # Errors
    /// [`Fault`] if they cannot be read.
    pub fn read_front(&self, stored: Stored, limit: u64) -> Result<Vec<u8>, Fault> {
        match &self.tar {
            Some(file) => read(file, stored, limit),
            None => {
                let (location, identity) = &self.files[stored.file];
                let file = File::open(location).map_err(Fault::Unreadable)?;
                if file.identity() != identity {
                    return Err(Fault::Changing);
                }
                read(&file, stored, limit)
            }
        }
    }
}

fn read(file: &File, stored: Stored, limit: u64) -> Result<Vec<u8>, Fault> {
    // What is read is capped by `limit`, which is always small.
    let length = usize::try_from(stored.size.min(limit)).unwrap_or_default();
    let mut bytes = vec![0; length];
    match file
        .read_at(&mut bytes, stored.offset)
        .map_err(Fault::Unreadable)?
    {
        read if read == length => Ok(bytes),
        _ => Err(Fault::Changing),
    }
}

/// Writers repeat members: a config that two images share, a layer that is listed twice.
fn is_same(file: &File, first: &Member, second: &Member) -> bool {
    match (first, second) {
        (Member::File(a), Member::File(b)) if a.size == b.size && a.size <= MAX_COMPARED => {
            match (read(file, *a, MAX_COMPARED), read(file, *b, MAX_COMPARED)) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            }
        }
        // Large ones are layers, which writers repeat unchanged; to compare them would be to read the archive.
        (Member::File(a), Member::File(b)) => a.size == b.size,
        (Member::Link(a), Member::Link(b)) => a == b,
        _ => false,
    }
}

/// The name of the member that a link in `folder` leads to; `None` if it leads out of the archive, or to what cannot be a
/// name in it.
fn target_of(target: &[u8], folder: &str) -> Option<String> {
    clean(target, folder).filter(|name| name.len() <= MAX_NAME)
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The name of a member without `.`, `..` and doubled slashes, taken from `folder` on.
///
/// `None` if it leaves the archive or is not UTF-8; compared exactly, without folding.
fn clean(name: &[u8], folder: &str) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    if name.starts_with('/') || name.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        let check = |name: &str, folder: &str, expected: Option<&str>| {
            assert_eq!(
                clean(name.as_bytes(), folder).as_deref(),
                expected,
                "{name}"
            );
        };
        check("./blobs//sha256/./x", "", Some("blobs/sha256/x"));
        check("../b/layer.tar", "a", Some("b/layer.tar"));
        check("a/../b", "", Some("b"));
        check("..", "a/b", Some("a"));
        check("./", "", Some(""));
        check("../x", "", None);
        check("a/../../x", "", None);
        check("/etc/passwd", "", None);
        check("a\0b", "", None);
        assert_eq!(clean(b"\xff", ""), None);
    }
}
