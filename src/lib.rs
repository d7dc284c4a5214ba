//! Package Origin turns a folder of container image archives into a registry that every
//! container client can pull from. Read-only; archives are read where they lie.
//!
//! Data flows in one direction, and a type never travels back:
//!
//! ```text
//! files ─► archive ─► catalog ─► protocol ─► transport ─► socket
//!          what is    immutable   request →   bytes out
//!          inside     snapshot    reply
//! ```
//!
//! `command` is the only place where all layers meet. `ARCHITECTURE.md` tells what each
//! layer may use and what it must not know; a test holds it to that.

pub mod cli;
pub mod config;
pub mod digest;
pub mod oci;
pub mod content;
pub mod cache;
pub mod archive;
pub mod catalog;
pub mod headers;
pub mod protocol;
pub mod observe;
pub mod transport;
pub mod command;
