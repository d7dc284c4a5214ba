//! What the fuzz targets share: a file to read from, tars that stay tars when they are mutated, and archives drawn from bytes.

pub mod archive;
pub mod blocks;
pub mod json;
pub mod names;
pub mod scratch;

pub use scratch::Scratch;
