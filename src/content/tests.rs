//! Content is sliced, chained, opened and read back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;
use crate::digest::Digest;

const TEXT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A folder with one file that holds [`TEXT`], and the copy that claims `place` in it.
fn copy_of(folder: &std::path::Path, place: Place) -> Copy {
    let path = folder.join("file");
    if !path.exists() {
        fs::write(&path, TEXT).unwrap();
    }
    let location = Location::new(Root::new(folder), std::path::Path::new("file"));
    let identity = *File::open(&location).unwrap().identity();
    let digest = Digest::sha256(TEXT);
    Copy::new(
        Arc::new(Source::new(
            location,
            identity,
            vec![Claim { digest, place }],
        )),
        0,
    )
}

fn document(length: u64) -> Place {
    Place::Document { offset: 0, length }
}

fn read(opened: Opened) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in opened.parts {
        match part {
            Part::Memory(part) => bytes.extend_from_slice(&part),
            Part::Extent(mut extent) => {
                let mut buffer = [0; 7];
                while extent.remaining() > 0 {
                    let read = extent.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }
    bytes
}

#[test]
fn an_extent_and_a_document_give_the_bytes_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Place::Extent {
        offset: 10,
        length: 26,
    };
    let content = Content::blob(vec![copy_of(folder.path(), extent)], 26);
    assert_eq!(read(content.open().unwrap()), &TEXT[10..]);
    let joined = content.slice(3..5).chain(content.slice(25..99));
    assert_eq!(read(joined.open().unwrap()), b"dez");
    let content = Content::blob(vec![copy_of(folder.path(), document(36))], 36);
    let device = fs::metadata(folder.path()).unwrap().dev();
    assert_eq!(content.device(), Some(device));
    assert_eq!(read(content.slice(1..4).open().unwrap()), b"123");
    assert_eq!(content.device(), None, "it is kept in memory");
}

#[test]
fn the_next_copy_is_taken_when_one_fails() {
    let (gone, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copies = vec![
        copy_of(gone.path(), document(36)),
        copy_of(there.path(), document(36)),
    ];
    fs::remove_file(gone.path().join("file")).unwrap();
    let content = Content::blob(copies.clone(), 36);
    assert_eq!(read(content.open().unwrap()), TEXT);
    fs::write(there.path().join("file"), "short").unwrap();
    let fresh = Content::blob(
        vec![copies[0].clone(), copy_of(there.path(), document(36))],
        36,
    );
    assert_eq!(fresh.open().unwrap_err(), OpenError::Changed);
}

#[test]
fn failures_are_told_apart() {
    let check = |place: Place, spoil: &dyn Fn(&std::path::Path), expected| {
        let folder = tempfile::tempdir().unwrap();
        let content = Content::blob(vec![copy_of(folder.path(), place)], 36);
        spoil(&folder.path().join("file"));
        assert_eq!(content.open().unwrap_err(), expected);
    };
    let extent = || Place::Extent {
        offset: 0,
        length: 36,
    };
    check(
        extent(),
        &|file| fs::remove_file(file).unwrap(),
        OpenError::Gone,
    );
    check(
        extent(),
        &|file| fs::write(file, "x").unwrap(),
        OpenError::Changed,
    );
    check(
        Place::Extent {
            offset: 0,
            length: 35,
        },
        &|_| (),
        OpenError::Damaged,
    );
    check(document(37), &|_| (), OpenError::Changed);
    let replace_by_folder = |file: &std::path::Path| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    };
    check(extent(), &replace_by_folder, OpenError::Unreadable);
}

#[test]
fn a_document_that_does_not_hash_to_its_digest_is_never_given_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), TEXT.to_ascii_uppercase()).unwrap();
    let content = Content::blob(vec![copy_of(folder.path(), document(36))], 36);
    assert_eq!(content.open().unwrap_err(), OpenError::Damaged);
}

#[test]
fn the_last_bytes_are_withheld_when_the_file_was_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Place::Extent {
        offset: 0,
        length: 36,
    };
    let content = Content::blob(vec![copy_of(folder.path(), extent)], 36);
    let mut opened = content.open().unwrap();
    let Some(Part::Extent(mut extent)) = opened.parts.pop() else {
        panic!("a layer is an extent");
    };
    assert_eq!(extent.read(&mut [0; 30]).unwrap(), 30);
    // The clock that stamps files may tick only every few milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(folder.path().join("file"), TEXT.to_ascii_uppercase()).unwrap();
    let error = extent.read(&mut [0; 30]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_replaced_by_rename_is_sent_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Place::Extent {
        offset: 0,
        length: 36,
    };
    let content = Content::blob(vec![copy_of(folder.path(), extent)], 36);
    let opened = content.open().unwrap();
    fs::write(folder.path().join("new"), "other").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("file")).unwrap();
    assert_eq!(read(opened), TEXT);
}

#[test]
fn links_are_followed_inside_the_root_only() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file"), TEXT).unwrap();
    fs::write(outside.path().join("secret"), TEXT).unwrap();
    symlink("file", folder.path().join("inside")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("leaves")).unwrap();
    let open = |name: &str| {
        File::open(&Location::new(
            Root::new(folder.path()),
            std::path::Path::new(name),
        ))
    };
    assert!(open("inside").is_ok());
    assert!(open("leaves").is_err());
    assert!(open("../secret").is_err());
    let checked = |name: &str| {
        let location = Location::new(Root::new(folder.path()), std::path::Path::new(name));
        super::file::Location::open_checked(&location, rustix::fs::OFlags::RDONLY)
    };
    assert!(checked("inside").is_ok());
    assert!(checked("leaves").is_err());
    let root = Location::new(
        Root::new(folder.path().join("leaves")),
        std::path::Path::new(""),
    );
    assert!(
        File::open(&root).is_ok(),
        "a link that the user names is meant"
    );
}

proptest! {
    #[test]
    fn slices_are_those_of_the_bytes(
        parts in proptest::collection::vec(".{0,5}", 0..5),
        cuts in proptest::collection::vec((0_u64..30, 0_u64..30), 0..4),
    ) {
        let mut whole: Vec<u8> = parts.concat().into_bytes();
        let mut content = parts.iter().fold(Content::empty(), |content, part| {
            content.chain(Content::memory(part.clone().into_bytes()))
        });
        for (start, end) in cuts {
            content = content.slice(start..end);
            let end = usize::try_from(end).unwrap().min(whole.len());
            let start = usize::try_from(start).unwrap().min(end);
            whole = whole[start..end].to_vec();
            prop_assert_eq!(content.len(), whole.len() as u64);
        }
        prop_assert_eq!(read(content.open().unwrap()), whole);
    }
}

#[test]
fn claims_are_found_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let copy = copy_of(folder.path(), document(36));
    assert_eq!(copy.source.find(&Digest::sha256(TEXT)), Some(0));
    assert_eq!(copy.source.find(&Digest::sha256(b"other")), None);
}

/// What a disk did not give is asked for last, and what is wrong not at all.
#[test]
fn faulty_copies_are_passed_over() {
    let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let length = TEXT.len() as u64;
    let place = Place::Extent { offset: 0, length };
    let copies = folders
        .each_ref()
        .map(|folder| copy_of(folder.path(), place.clone()));
    let content = Content::blob(copies.to_vec(), length);
    let opened_of =
        |content: &Content| match content.open().map(|mut opened| opened.parts.remove(0)) {
            Ok(Part::Extent(extent)) => Ok(extent.copy().place().0.location().path()),
            Ok(Part::Memory(_)) => panic!("no extent"),
            Err(error) => Err(error),
        };
    let path = |at: usize| Ok(folders[at].path().join("file"));
    let settle = |at: usize, verdict| copies[at].place().0.settle(0, verdict);
    assert_eq!(opened_of(&content), path(0));
    settle(0, Verdict::Unreadable);
    assert_eq!(opened_of(&content), path(1));
    settle(1, Verdict::Quarantined);
    assert_eq!(opened_of(&content), path(2));
    settle(2, Verdict::Quarantined);
    assert_eq!(opened_of(&content), path(0), "it may be readable by now");
    settle(1, Verdict::Verified);
    settle(0, Verdict::Quarantined);
    assert_eq!(opened_of(&content), Err(OpenError::Damaged));
    assert_eq!(copies[1].place().0.faulty().count(), 1);
}

/// Whoever opens it looks for what has moved, and finds it perhaps.
#[test]
fn a_copy_that_is_gone_gives_more_hope_than_one_that_is_wrong() {
    let folders = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let length = TEXT.len() as u64;
    let place = Place::Extent { offset: 0, length };
    let copies = folders
        .each_ref()
        .map(|folder| copy_of(folder.path(), place.clone()));
    fs::remove_file(folders[1].path().join("file")).unwrap();
    let content = Content::blob(copies.to_vec(), length);
    copies[0].place().0.settle(0, Verdict::Quarantined);
    assert_eq!(content.open().unwrap_err(), OpenError::Gone);
}
