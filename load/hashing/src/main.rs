//! What the hash crate does by itself, for `load/hashing.py` to compare the program with.
//!
//! Reads lines from standard input, each the number of threads and the number of bytes that they hash together, and perhaps
//! the path of a file to read these from; else they lie in memory. Answers each with the seconds that it took.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

/// More than the processor's caches hold.
const MEMORY: usize = 512 << 20;
/// Read at once from a file, as the program does.
const PIECE: usize = 128 << 10;

fn main() -> io::Result<()> {
    // Not zeros: memory is taken for these when they are read, if ever.
    let memory = vec![0xa5; MEMORY];
    for line in io::stdin().lock().lines() {
        let line = line?;
        let seconds = match parse(&line) {
            Some((threads, bytes, None)) => in_parallel(threads, memory.len(), |part| {
                hash_memory(&memory[part], bytes / threads);
                Ok(())
            })?,
            Some((threads, bytes, Some(path))) => {
                let file = File::open(path)?;
                let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
                in_parallel(threads, length, |part| {
                    hash_file(&file, &part, bytes / threads)
                })?
            }
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, line)),
        };
        let mut answers = io::stdout().lock();
        writeln!(answers, "{seconds:.6}")?;
        answers.flush()?;
    }
    Ok(())
}

fn parse(line: &str) -> Option<(usize, usize, Option<&str>)> {
    let mut words = line.splitn(3, ' ');
    let threads = words.next()?.parse().ok().filter(|threads| *threads > 0)?;
    Some((threads, words.next()?.parse().ok()?, words.next()))
}

/// Does `work` on each thread, with a part of so many bytes of its own, and gives the seconds that it took.
fn in_parallel(
    threads: usize,
    length: usize,
    work: impl Fn(Range<usize>) -> io::Result<()> + Sync,
) -> io::Result<f64> {
    let began = Instant::now();
    let share = length / threads;
    thread::scope(|scope| {
        let parts = (0..threads).map(|number| number * share..(number + 1) * share);
        let workers: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        let failed = || Err(io::Error::other("a thread has failed"));
        let mut joined = workers.into_iter().map(ScopedJoinHandle::join);
        joined.try_for_each(|done| done.unwrap_or_else(|_| failed()))
    })?;
    Ok(began.elapsed().as_secs_f64())
}

/// Hashes `bytes` bytes of memory, over and over.
fn hash_memory(memory: &[u8], bytes: usize) {
    let mut hasher = Sha256::new();
    let mut left = bytes;
    while left > 0 {
        let piece = &memory[..left.min(memory.len())];
        hasher.update(piece);
        left -= piece.len();
    }
    black_box(hasher.finalize());
}

/// Hashes `bytes` bytes of a part of a file, over and over.
fn hash_file(file: &File, part: &Range<usize>, bytes: usize) -> io::Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let (mut at, mut left) = (part.start, bytes);
    while left > 0 {
        let length = left.min(PIECE).min(part.end - at);
        file.read_exact_at(&mut buffer[..length], at as u64)?;
        hasher.update(&buffer[..length]);
        left -= length;
        at += length;
        if at == part.end {
            at = part.start;
        }
    }
    black_box(hasher.finalize());
    Ok(())
}
