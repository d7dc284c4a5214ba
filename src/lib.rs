//! Package Origin.
pub mod archive;
pub mod catalog;
pub mod content;
pub mod digest;
pub mod oci;
