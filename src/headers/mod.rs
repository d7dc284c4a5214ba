//! Pure functions on the values of HTTP header fields: no sockets, no registry.

pub mod conditional;
pub mod link;
pub mod range;
