//! The file of the cache, with any bytes in it.

#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use packageorigin::cache::{Record, lines, read};

fuzz_target!(|bytes: &[u8]| {
    let records = records(bytes);
    check_written(&records, bytes);
    check_again(&records);
    check_put_behind(&records, bytes);
});

/// What is read, whatever the pieces are in which it comes.
fn records(bytes: &[u8]) -> Vec<Record> {
    let mut whole = Vec::new();
    read(bytes, |record| whole.push(record)).expect("bytes in memory");
    let mut pieces = Vec::new();
    let reader = BufReader::with_capacity(7, bytes);
    read(reader, |record| pieces.push(record)).expect("bytes in memory");
    assert_eq!(whole, pieces, "it depends on how it is read");
    whole
}

/// Nothing is read that does not stand there.
fn check_written(records: &[Record], bytes: &[u8]) {
    for record in records {
        let line = record.to_string();
        let mut windows = bytes.windows(line.len());
        assert!(
            windows.any(|window| window == line.as_bytes()),
            "{line} is not there"
        );
    }
}

/// What is written anew is the same.
fn check_again(known: &[Record]) {
    assert_eq!(records(lines(known).as_bytes()), known);
}

/// Whatever a file ends in, what is appended to it can be read.
fn check_put_behind(known: &[Record], bytes: &[u8]) {
    let mut both = bytes.to_vec();
    both.extend_from_slice(lines(known).as_bytes());
    let read = records(&both);
    assert_eq!(read, [known, known].concat());
}
