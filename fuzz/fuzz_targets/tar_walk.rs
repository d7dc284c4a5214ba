//! The walk over a tar's headers, on any bytes.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use packageorigin::archive::Fault;
use packageorigin::archive::tar::{self, Member};
use packageorigin_fuzz::{Scratch, blocks};

const BLOCK: u64 = 512;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(Scratch::new);
}

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with(|scratch| {
        let (members, walked) = walk(scratch, bytes);
        check_places(&members, bytes.len() as u64);
        if let (Ok(()), Some(last)) = (walked, members.last()) {
            check_cut(scratch, bytes, last);
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
