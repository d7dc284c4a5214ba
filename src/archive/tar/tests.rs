//! Walks over tars made block by block.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::content::{Location, Root};

/// A header with a right checksum.
fn header(name: &str, flag: u8, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// A header and its data, padded to whole blocks.
fn member(header: &tar::Header, data: &[u8]) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    member(&header(name, b'0', data.len() as u64), data)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let payload: String = records
        .iter()
        .map(|(key, value)| record(key, value))
        .collect();
    member(
        &header("pax", b'x', payload.len() as u64),
        payload.as_bytes(),
    )
}

/// The length of a record counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = (1..9999).find(|length: &usize| length.to_string().len() + rest.len() == *length);
    format!("{}{rest}", length.unwrap())
}

fn trailer() -> Vec<u8> {
    vec![0; 1024]
}

/// What a walk over `bytes` tells: a line for each member, or the fault.
fn walked(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), bytes).unwrap();
    let location = Location::new(Root::new(folder.path()), Path::new("file"));
    let opened = File::open(&location).unwrap();
    let mut lines = Vec::new();
    let result = walk(
        &opened,
        |Member {
             name,
             kind,
             offset,
             size,
         }| {
            let data = usize::try_from(offset)
                .ok()
                .zip(usize::try_from(offset + size).ok());
            let data = data
                .and_then(|(start, end)| bytes.get(start..end))
                .map(String::from_utf8_lossy);
            let name = String::from_utf8_lossy(&name).into_owned();
            lines.push(match kind {
                Kind::File => format!("{name}={}", data.unwrap_or_default()),
                Kind::Sparse => format!("{name} sparse"),
                Kind::Symlink(target) => format!("{name}->{}", String::from_utf8_lossy(&target)),
                Kind::Hardlink(target) => format!("{name}=>{}", String::from_utf8_lossy(&target)),
            });
        },
    );
    match result {
        Ok(()) => lines.join(","),
        Err(fault) => fault.to_string(),
    }
}

fn check(parts: &[Vec<u8>], expected: &str) {
    let got = walked(&parts.concat());
    assert_eq!(got, expected);
}

fn refused(parts: &[Vec<u8>], reason: &str) {
    let got = walked(&parts.concat());
    assert!(got.contains(reason), "{got}");
}

#[test]
fn files_and_links() {
    let mut symlink = header("s", b'2', 0);
    symlink.set_link_name("../a").unwrap();
    symlink.set_cksum();
    let mut hardlink = header("h", b'1', 0);
    hardlink.set_link_name("a").unwrap();
    hardlink.set_cksum();
    let folder = member(&header("d/", b'5', 0), b"");
    let old_folder = member(&header("o/", 0, 0), b"");
    let contiguous = member(&header("c", b'7', 1), b"7");
    let device = member(&header("n", b'3', 0), b"");
    check(
        &[
            file("a", b"1"),
            folder,
            old_folder,
            member(&symlink, b""),
            member(&hardlink, b""),
            contiguous,
            device,
            file("b", &[b'x'; 513]),
            file("e", b""),
            trailer(),
        ],
        &format!("a=1,s->../a,h=>a,c=7,b={},e=", "x".repeat(513)),
    );
}

#[test]
fn the_end() {
    check(&[file("a", b"1")], "a=1");
    check(&[file("a", b"1"), trailer(), file("b", b"2")], "a=1");
    check(&[file("a", b"1"), vec![0; 512], file("b", b"2")], "a=1");
    check(&[file("a", b"1"), trailer(), b"junk".to_vec()], "a=1");
    refused(&[file("a", b"1"), vec![0; 100]], "incomplete");
    refused(&[file("a", b"1"), vec![b'x'; 512]], "checksum");
    refused(
        &[file("a", b"1")[..512].to_vec()],
        "a member ends at byte 513, the file at byte 512",
    );
    // The last block may lack its padding: all bytes of the member are there.
    check(&[file("a", b"1")[..513].to_vec()], "a=1");
    refused(
        &[file("a", &[b'x'; 600])[..1111].to_vec()],
        "a member ends at byte 1112, the file at byte 1111",
    );
}

#[test]
fn overrides() {
    let long = "n".repeat(200);
    let name = member(
        &header("././@LongLink", b'L', 201),
        format!("{long}\0").as_bytes(),
    );
    let link = member(&header("././@LongLink", b'K', 4), b"far\0");
    check(
        &[name, file("short", b"1"), file("b", b"2"), trailer()],
        &format!("{long}=1,b=2"),
    );
    check(
        &[link, member(&header("s", b'2', 0), b""), trailer()],
        "s->far",
    );
    check(
        &[
            pax(&[("path", "p"), ("mtime", "1.5")]),
            file("a", b"1"),
            file("b", b"2"),
            trailer(),
        ],
        "p=1,b=2",
    );
    check(
        &[
            pax(&[("linkpath", "far")]),
            member(&header("s", b'2', 0), b""),
            trailer(),
        ],
        "s->far",
    );
    // A value may hold anything, newlines and empty lines included.
    check(
        &[
            pax(&[("SCHILY.xattr.x", "a\n\nb"), ("path", "p")]),
            file("a", b"1"),
            trailer(),
        ],
        "p=1",
    );
    let global = member(
        &header("g", b'g', record("comment", "x").len() as u64),
        record("comment", "x").as_bytes(),
    );
    check(&[global, file("a", b"1"), trailer()], "a=1");
}

#[test]
fn the_pax_size_counts_for_the_next_member_only() {
    check(
        &[
            pax(&[("size", "1")]),
            member(&header("a", b'0', 0), b"1"),
            file("b", b"2"),
            trailer(),
        ],
        "a=1,b=2",
    );
    check(
        &[
            pax(&[("size", "1")]),
            member(&header("a", b'0', 9000), b"1"),
            file("b", b"2"),
            trailer(),
        ],
        "a=1,b=2",
    );
    // What comes between the pax header and the member keeps the size that stands in its own header.
    let name = member(&header("././@LongLink", b'L', 5), b"long\0");
    check(
        &[
            pax(&[("size", "1")]),
            name,
            member(&header("a", b'0', 0), b"1"),
            trailer(),
        ],
        "long=1",
    );
}

#[test]
fn what_readers_disagree_about_is_refused() {
    let folder_with_size = member(&header("d/", b'5', 3), b"abc");
    refused(&[folder_with_size], "has a size");
    refused(&[member(&header("s", b'2', 3), b"abc")], "has a size");
    refused(
        &[pax(&[("size", "3")]), member(&header("s", b'2', 0), b"")],
        "has a size",
    );
    refused(
        &[
            pax(&[("path", "p")]),
            pax(&[("path", "q")]),
            file("a", b"1"),
        ],
        "two pax headers",
    );
    refused(
        &[pax(&[("size", "1"), ("size", "2")]), file("a", b"1")],
        "there twice",
    );
    refused(&[pax(&[("size", "-1")]), file("a", b"1")], "not a number");
    refused(
        &[pax(&[("size", "9223372036854775808")]), file("a", b"1")],
        "not a number",
    );
    refused(&[pax(&[("path", "p")]), trailer()], "a member is missing");
    refused(&[pax(&[("path", "")]), file("a", b"1")], "empty");
    refused(&[member(&header("d/", 0, 3), b"abc")], "has a size");
    let long = || member(&header("././@LongLink", b'L', 2), b"l\0");
    refused(
        &[long(), pax(&[("path", "p")]), file("a", b"1")],
        "a long name and a pax name",
    );
    refused(
        &[pax(&[("path", "p")]), long(), file("a", b"1")],
        "two long names",
    );
    refused(&[long(), long(), file("a", b"1")], "two long names");
    refused(&[pax(&[("path", "p")])], "incomplete");
    let global = member(
        &header("g", b'g', record("path", "p").len() as u64),
        record("path", "p").as_bytes(),
    );
    refused(&[global, file("a", b"1")], "global");
    for payload in ["5 a=1\n", "99 a=1\n", "x a=1\n", "6 a=1", "3 \n", "a=1\n"] {
        let broken = member(
            &header("pax", b'x', payload.len() as u64),
            payload.as_bytes(),
        );
        refused(&[broken, file("a", b"1")], "malformed");
    }
}

#[test]
fn headers_that_readers_name_differently_are_refused() {
    refused(&[member(&header("x", b'X', 0), b"")], "Solaris");
    refused(
        &[member(&header("index.json/", b'7', 0), b"")],
        "ends in a slash",
    );
    let mut odd = header("index.json", b'0', 0);
    odd.as_ustar_mut().unwrap().version = *b"  ";
    odd.set_cksum();
    refused(&[member(&odd, b"")], "version");
}

#[test]
fn numbers() {
    let with_size = |field: [u8; 12]| {
        let mut header = header("a", b'0', 0);
        header.as_old_mut().size = field;
        header.set_cksum();
        header
    };
    check(
        &[
            member(&with_size(*b"\x80\0\0\0\0\0\0\0\0\0\0\x01"), b"1"),
            trailer(),
        ],
        "a=1",
    );
    check(
        &[member(&with_size(*b"         1 \0"), b"1"), trailer()],
        "a=1",
    );
    check(&[member(&with_size([0; 12]), b""), trailer()], "a=");
    refused(&[member(&with_size([0xff; 12]), b"")], "not a number");
    refused(
        &[member(&with_size(*b"\x80\0\0\x01\0\0\0\0\0\0\0\x01"), b"")],
        "not a number",
    );
    refused(
        &[member(&with_size(*b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), b"")],
        "not a number",
    );
    refused(
        &[member(
            &with_size(*b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            b"",
        )],
        "incomplete",
    );
    refused(
        &[member(&with_size(*b"00000000008\0"), b"")],
        "not a number",
    );
    refused(&[member(&with_size(*b"77777777777\0"), b"")], "incomplete");
}

#[test]
fn checksums_may_be_signed() {
    let mut header = header("\u{e9}", b'0', 0);
    let signed: i64 = header
        .as_bytes()
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => 32,
            _ => i64::from(byte.cast_signed()),
        })
        .sum();
    header
        .as_old_mut()
        .cksum
        .copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
    check(&[member(&header, b""), trailer()], "\u{e9}=");
    header.as_old_mut().cksum.copy_from_slice(b"000001\0 ");
    refused(&[member(&header, b"")], "checksum");
}

#[test]
fn sparse_members_are_known_and_passed_over() {
    let mut old = tar::Header::new_gnu();
    old.as_old_mut().name[0] = b's';
    old.set_entry_type(tar::EntryType::GNUSparse);
    old.set_size(512);
    old.as_gnu_mut().unwrap().isextended[0] = 1;
    old.set_cksum();
    let mut extension = vec![0; 512];
    extension[504] = 1;
    let parts = [
        old.as_bytes().to_vec(),
        extension,
        vec![0; 512],
        vec![b'x'; 512],
        file("b", b"2"),
        trailer(),
    ];
    check(&parts, "s sparse,b=2");
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.realsize", "9"),
    ];
    check(
        &[
            pax(&records),
            file("GNUSparseFile.0/real", b"1"),
            file("b", b"2"),
            trailer(),
        ],
        "real sparse,b=2",
    );
    refused(&[parts[0].clone(), vec![1; 512]], "cut off");
}

#[test]
fn payloads_are_capped() {
    refused(
        &[member(&header("pax", b'x', (1 << 20) + 1), b"")],
        "too large",
    );
    refused(
        &[member(&header("long", b'L', (64 << 10) + 1), b"")],
        "too large",
    );
}

proptest! {
    #[test]
    fn any_bytes_are_walked(
        start in prop_oneof![Just(Vec::new()), Just(file("a", b"1")), Just(pax(&[("path", "p")]))],
        mut rest in proptest::collection::vec(any::<u8>(), 0..1600),
        fix in any::<bool>(),
    ) {
        if let Some(block) = rest.first_chunk_mut::<512>().filter(|_| fix) {
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            *block = *header.as_bytes();
        }
        walked(&[start, rest].concat());
    }

    #[test]
    fn what_the_tar_crate_writes_is_found_where_it_says(
        members in proptest::collection::vec(("[a-z]{1,8}(/[a-z]{1,120}){0,3}", proptest::collection::vec(any::<u8>(), 0..1300)), 0..6),
    ) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in &members {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, data.as_slice()).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let lines: Vec<String> =
            members.iter().map(|(name, data)| format!("{name}={}", String::from_utf8_lossy(data))).collect();
        prop_assert_eq!(walked(&bytes), lines.join(","));
    }
}
