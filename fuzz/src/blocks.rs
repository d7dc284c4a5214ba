//! Tars as blocks: writing them, and mutating them so that most stay tars.
//!
//! Nearly every byte that a general mutator changes in a tar breaks a checksum, and every
//! byte that it inserts moves all headers behind it, so that little else is ever tested.

use libfuzzer_sys::fuzzer_mutate;

/// Tars are made of blocks of this length.
pub const BLOCK: usize = 512;

const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;

/// The types of members that mean something to some reader.
const TYPES: &[u8] = b"0\x001234567xgLKSXVNMD";

/// A header in the form of ustar. A `name` that is too long is cut.
pub fn header(name: &[u8], kind: u8, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = &name[..name.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[SIZE].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[TYPE] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

/// Appends a header as it is and `data`, padded to whole blocks.
pub fn append(tar: &mut Vec<u8>, header: &[u8; BLOCK], data: &[u8]) {
    tar.extend(header);
    tar.extend(data);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

/// A tar of plain files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, data) in files {
        append(&mut tar, &header(name.as_bytes(), b'0', data.len()), data);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

/// Makes the checksum of a header right.
pub fn seal(block: &mut [u8]) {
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A mutation of the tar in the first `size` bytes of `data`; gives its new size.
///
/// Checksums are made right again, but now and then.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(seed | 1);
    let blocks = size / BLOCK;
    let size = if blocks == 0 {
        fuzzer_mutate(data, size, max_size)
    } else {
        match chance.below(8) {
            0 => fuzzer_mutate(data, size, max_size),
            1 => copy_blocks(data, size, max_size, &mut chance),
            2 => remove_blocks(data, size, &mut chance),
            3 => {
                data[chance.below(blocks) * BLOCK + TYPE] = TYPES[chance.below(TYPES.len())];
                size
            }
            4 => {
                let small = format!("{:011o}\0", chance.below(4 * BLOCK));
                let start = chance.below(blocks) * BLOCK;
                data[start..start + BLOCK][SIZE].copy_from_slice(small.as_bytes());
                size
            }
            _ => {
                mutate_within(data, chance.below(blocks) * BLOCK, &mut chance);
                size
            }
        }
    };
    if chance.below(32) > 0 {
        seal_all(&mut data[..size]);
    }
    size
}

/// Changes one field or a part of one block; what lies behind stays where it is.
fn mutate_within(data: &mut [u8], block: usize, chance: &mut Chance) {
    const FIELDS: [(usize, usize); 6] = [
        (0, 100),
        (124, 12),
        (156, 1),
        (157, 100),
        (257, 8),
        (345, 155),
    ];
    let (start, length) = match chance.below(FIELDS.len() + 2) {
        field if field < FIELDS.len() => FIELDS[field],
        _ => (chance.below(BLOCK - 32), 32),
    };
    let field = &mut data[block + start..block + start + length];
    let mut changed = [0; 160];
    changed[..length].copy_from_slice(field);
    let end = fuzzer_mutate(&mut changed, length, length);
    changed[end..].fill(0);
    field.copy_from_slice(&changed[..length]);
}

fn copy_blocks(data: &mut [u8], size: usize, max_size: usize, chance: &mut Chance) -> usize {
    let (from, length) = chance.run(size / BLOCK);
    let to = chance.below(size / BLOCK + 1) * BLOCK;
    if size + length > max_size {
        return size;
    }
    let copied = data[from..from + length].to_vec();
    data.copy_within(to..size, to + length);
    data[to..to + length].copy_from_slice(&copied);
    size + length
}

fn remove_blocks(data: &mut [u8], size: usize, chance: &mut Chance) -> usize {
    let (start, length) = chance.run(size / BLOCK);
    data.copy_within(start + length..size, start);
    size - length
}

/// Makes the checksums of all headers right, as far as sizes lead from one to the next.
fn seal_all(tar: &mut [u8]) {
    let mut position = 0;
    while let Some(block) = tar.get_mut(position..position + BLOCK) {
        if block.iter().all(|byte| *byte == 0) {
            return;
        }
        seal(block);
        let blocks = size_of(block).unwrap_or_default().div_ceil(BLOCK);
        position = position.saturating_add(blocks.saturating_add(1).saturating_mul(BLOCK));
    }
}

fn size_of(header: &[u8]) -> Option<usize> {
    let digits = str::from_utf8(&header[SIZE]).ok()?;
    let digits = digits.trim_matches(['\0', ' ']);
    usize::from_str_radix(digits, 8).ok()
}

/// Small random numbers (xorshift): mutations must be repeatable from their seed.
struct Chance(u32);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % limit
    }

    /// A run of at most four of `blocks` blocks: where it begins and how many bytes it is.
    fn run(&mut self, blocks: usize) -> (usize, usize) {
        let start = self.below(blocks);
        let length = 1 + self.below((blocks - start).min(4));
        (start * BLOCK, length * BLOCK)
    }
}
