//! What a folder holds beside what is meant to be served: what is not whole yet, and what systems keep for themselves.

use std::collections::HashSet;

use crate::archive::names::is_archive_name;

/// Folders that storage systems and operating systems keep for themselves.
const SYSTEM_FOLDERS: [&str; 8] = [
    "@eaDir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "$RECYCLE.BIN",
    "lost+found",
    "System Volume Information",
];

/// Endings, in small letters, of files that are still being written: by browsers and other programs that fetch, by tools that
/// copy, and by editors.
const UNFINISHED: [&str; 19] = [
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".crdownload",
    ".download",
    ".opdownload",
    ".fdmdownload",
    ".filepart",
    ".aria2",
    ".dtapart",
    ".xltd",
    ".!ut",
    ".!qb",
    ".!sync",
    ".bc!",
    "_.gstmp",
    ".part.minio",
    "~",
];

/// Endings of the files in which programs note how much they have of the file of the same name without it, which is as
/// long as it will be from the beginning, and has the name of an archive: those of aria2 and of axel.
const NOTES: [&str; 2] = [".aria2", ".st"];

/// What is not to be looked at of a folder.
pub(super) struct Ignored {
    /// Names of files that are being fetched, and of the notes beside them that tell so.
    fetched: HashSet<String>,
}

impl Ignored {
    /// What is not to be looked at among all `names` in a folder.
    pub(super) fn among(names: &[String]) -> Self {
        let noted = |note: &String| {
            let mut endings = NOTES.iter();
            let name = endings.find_map(|ending| note.strip_suffix(ending))?;
            is_archive_name(name).then(|| [name.to_owned(), note.clone()])
        };
        Self {
            fetched: names.iter().filter_map(noted).flatten().collect(),
        }
    }

    /// Whether the file or folder `name` is one of those.
    pub(super) fn has(&self, name: &str) -> bool {
        is_ignored(name) || self.fetched.contains(name)
    }
}

/// Whether a name alone tells that.
fn is_ignored(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with('.')
        || name.starts_with("~$")
        || name.starts_with('#') && name.ends_with('#')
        || SYSTEM_FOLDERS.contains(&name)
        || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
}
