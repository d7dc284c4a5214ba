//! The walk over a tar's headers, on any bytes.

#![no_main]

use std::cell::LazyCell;
use std::io;

use ::tar::{Archive, Entry, EntryType, PaxExtension};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use packageorigin::archive::Fault;
use packageorigin::archive::tar::{self, Kind, Member};
use packageorigin_fuzz::{Scratch, blocks};

const BLOCK: u64 = 512;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(Scratch::new);
}

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with(|scratch| {
        let (members, walked) = walk(scratch, bytes);
        check_places(&members, bytes.len() as u64);
        if walked.is_ok() {
            check_other_reader(&members, bytes);
            if let Some(last) = members.last() {
                check_cut(scratch, bytes, last);
            }
        }
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    blocks::mutate(data, size, max_size, seed)
});

fn walk(scratch: &Scratch, bytes: &[u8]) -> (Vec<Member>, Result<(), Fault>) {
    let mut members = Vec::new();
    let walked = tar::walk(&scratch.hold(bytes), |member| members.push(member));
    (members, walked)
}

/// Every member lies in the file, behind its header, and no two share a byte.
fn check_places(members: &[Member], length: u64) {
    let mut end = 0;
    for Member { offset, size, .. } in members {
        assert_eq!(offset % BLOCK, 0, "a member begins within a block");
        assert!(
            *offset >= end + BLOCK,
            "a member lies on another or has no header"
        );
        end = offset + size;
        assert!(end <= length, "a member reaches beyond the file");
    }
}

/// A tar that ends in the middle of its last member is not a whole one.
fn check_cut(scratch: &Scratch, bytes: &[u8], last: &Member) {
    if last.size == 0 {
        return;
    }
    let cut = usize::try_from(last.offset + last.size / 2).expect("within the input");
    let (_, walked) = walk(scratch, &bytes[..cut]);
    assert!(
        matches!(walked, Err(Fault::Truncated { .. })),
        "cut at {cut} it is {walked:?}"
    );
}

/// What the `tar` crate finds in the same bytes is the same, as far as it gets: readers never lose step.
fn check_other_reader(members: &[Member], bytes: &[u8]) {
    let mut members = members.iter();
    let mut archive = Archive::new(bytes);
    for entry in archive.entries().expect("bytes in memory") {
        let Ok(mut entry) = entry else { return };
        if !has_plain_records(&mut entry) {
            return;
        }
        let kind = entry.header().entry_type();
        // Unless their magic is right, the crate takes headers about the next member for members.
        if matches!(kind.as_byte(), b'x' | b'g' | b'L' | b'K') {
            return;
        }
        if is_listed(kind, &entry.path_bytes()) {
            let member = members.next().expect("no reader finds more");
            check_same(member, &entry);
        }
    }
    assert_eq!(members.next(), None, "no reader finds less");
}

/// Whether the crate understands the pax records: it splits them at line ends, whatever their lengths say, and a name
/// with a NUL in it is none.
fn has_plain_records(entry: &mut Entry<'_, &[u8]>) -> bool {
    let records = entry.pax_extensions().expect("bytes in memory");
    let is_plain = |record: io::Result<PaxExtension<'_>>| {
        record.is_ok_and(|record| !record.value_bytes().contains(&0))
    };
    records.is_none_or(|mut records| records.all(is_plain))
}

/// Whether the walk tells of members of this kind.
fn is_listed(kind: EntryType, name: &[u8]) -> bool {
    let is_link = kind.is_hard_link() || kind.is_symlink();
    let is_file = kind.is_file() || kind.is_contiguous();
    is_link || kind.is_gnu_sparse() || is_file && !until_nul(name).ends_with(b"/")
}

fn check_same(member: &Member, entry: &Entry<'_, &[u8]>) {
    let (name, link) = (entry.path_bytes(), entry.link_name_bytes());
    let is_same = |ours: &[u8], theirs: &[u8]| until_nul(ours) == until_nul(theirs);
    match &member.kind {
        // The crate does not know them.
        Kind::Sparse => {}
        Kind::File => {
            assert!(is_same(&member.name, &name), "a file has two names");
            let place = (entry.raw_file_position(), entry.size());
            assert_eq!((member.offset, member.size), place);
        }
        Kind::Hardlink(target) | Kind::Symlink(target) => {
            assert!(is_same(&member.name, &name), "a link has two names");
            assert!(
                is_same(target, &link.unwrap_or_default()),
                "a link has two targets"
            );
        }
    }
}

/// The crate gives long names with all that stands behind their end.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
