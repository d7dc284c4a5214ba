//! What the hash crate does by itself, for `load/hashing.py` to compare the program with.
//!
//! Reads lines from standard input, each a number of bytes to be hashed on all cores, and perhaps the path of a file to read
//! them from; else they lie in memory. Answers each with the seconds that it took.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

/// More than the processor's caches hold.
const MEMORY: usize = 512 << 20;
/// Hashed at once, as the program does.
const PIECE: usize = 128 << 10;

fn main() -> io::Result<()> {
    // Not zeros: memory is taken for these when they are read, if ever.
    let memory = vec![0xa5; MEMORY];
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (bytes, path) = line.split_once(' ').unwrap_or((&line, ""));
        let bytes: usize = bytes.parse().map_err(io::Error::other)?;
        let seconds = if path.is_empty() {
            on_all_cores(bytes, MEMORY, |hasher, _, at| {
                hasher.update(&memory[at..at + PIECE]);
                Ok(())
            })?
        } else {
            let file = File::open(path)?;
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(MEMORY);
            on_all_cores(bytes, length, |hasher, buffer, at| {
                file.read_exact_at(buffer, at as u64)?;
                hasher.update(buffer);
                Ok(())
            })?
        };
        writeln!(io::stdout(), "{seconds:.6}")?;
    }
    Ok(())
}

/// Has each core hash its share of `bytes`, piece by piece: `hash` is given a buffer, and where the piece begins. Each core has
/// a part of its own of the `length` that there is, and begins anew at its end. Gives the seconds that it took.
fn on_all_cores(
    bytes: usize,
    length: usize,
    hash: impl Fn(&mut Sha256, &mut [u8], usize) -> io::Result<()> + Sync,
) -> io::Result<f64> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let part = length / cores / PIECE * PIECE;
    let share = |core: usize| {
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; PIECE]);
        for at in (0..bytes / cores).step_by(PIECE) {
            hash(&mut hasher, &mut buffer, core * part + at % part)?;
        }
        black_box(hasher.finalize());
        io::Result::Ok(())
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| scope.spawn(move || share(core)))
            .collect();
        let mut joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.try_for_each(|done| {
            done.unwrap_or_else(|_| Err(io::Error::other("a thread has failed")))
        })
    })?;
    Ok(began.elapsed().as_secs_f64())
}
