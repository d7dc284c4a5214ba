//! What can be relied on in a file system, by its type: whether it tells changes, and whether it numbers its files for good.

use std::fs::File;
use std::io;
use std::path::Path;

/// What a file lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    kind: Kind,
}

/// The types that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// On a disk or in memory of this machine.
    Local,
    /// The same, with numbers of files that the kernel makes up while it knows them.
    Numberless,
    /// On another machine, or made by a program: what changes there, nobody tells.
    Distant,
}

impl FileSystem {
    /// One of which nothing is known, so that nothing is relied on.
    pub const UNKNOWN: Self = Self {
        kind: Kind::Distant,
    };

    /// The file system that `path` lies on.
    ///
    /// # Errors
    /// As the system tells them.
    #[cfg(target_os = "linux")]
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::numbered(rustix::fs::statfs(path)?.f_type))
    }

    /// The file system that the open `file` lies on.
    ///
    /// # Errors
    /// As the system tells them.
    #[cfg(target_os = "linux")]
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::numbered(rustix::fs::fstatfs(file)?.f_type))
    }

    #[cfg(target_os = "linux")]
    fn numbered(magic: rustix::fs::FsWord) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the type is a number of 32 bits, however wide the field is"
        )]
        let kind = Kind::of(magic as u32);
        Self { kind }
    }

    /// Other systems tell the type in other ways.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn at(_: &Path) -> io::Result<Self> {
        Ok(Self::UNKNOWN)
    }

    /// Other systems tell the type in other ways.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_: &File) -> io::Result<Self> {
        Ok(Self::UNKNOWN)
    }

    /// Whether the kernel tells all changes that are made in it.
    pub fn tells_changes(self) -> bool {
        self.kind != Kind::Distant
    }

    /// Whether a file keeps its inode number as long as it exists, and nobody else gets it meanwhile.
    pub fn has_stable_inodes(self) -> bool {
        self.kind == Kind::Local
    }
}

impl Kind {
    /// By the number that Linux gives the type, as in
    /// [statfs(2)](https://man7.org/linux/man-pages/man2/statfs.2.html). An unknown one may be anything.
    #[cfg(target_os = "linux")]
    fn of(magic: u32) -> Self {
        match magic {
            // ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, JFS, ReiserFS, tmpfs, ramfs, overlayfs
            0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0x2fc1_2fc1 | 0xca45_1a4e
            | 0x3153_464a | 0x5265_4973 | 0x0102_1994 | 0x8584_58f6 | 0x794c_7630 => Self::Local,
            // FAT, exFAT, NTFS by the kernel, ISO 9660, UDF, HFS+; and squashfs and EROFS, whose images number files alike
            0x4d44 | 0x2011_bab0 | 0x7366_746e | 0x9660 | 0x1501_3346 | 0x482b | 0x7371_7368
            | 0xe0f5_e1e2 => Self::Numberless,
            _ => Self::Distant,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn check(magic: u32, tells_changes: bool, has_stable_inodes: bool) {
        let kind = Kind::of(magic);
        let told = FileSystem { kind };
        assert_eq!(told.tells_changes(), tells_changes, "{magic:x}");
        assert_eq!(told.has_stable_inodes(), has_stable_inodes, "{magic:x}");
    }

    #[test]
    fn types() {
        let (ext4, vfat, nfs, smb, fuse) = (0xef53, 0x4d44, 0x6969, 0xfe53_4d42, 0x6573_5546);
        check(ext4, true, true);
        check(vfat, true, false);
        for distant in [nfs, smb, fuse, 0] {
            check(distant, false, false);
        }
    }

    #[test]
    fn a_path_has_one() {
        assert!(FileSystem::at(Path::new("/proc")).is_ok_and(|known| !known.tells_changes()));
        assert!(FileSystem::at(Path::new("/nowhere at all")).is_err());
    }
}
