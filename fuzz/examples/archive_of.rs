//! Turns a find of the target `archive` into the archive that it was: `archive_of < FIND > x.tar`.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut find = Vec::new();
    io::stdin().read_to_end(&mut find)?;
    io::stdout().write_all(&packageorigin_fuzz::archive::of(&find))
}
