//! The words of the OCI specifications as types: what is parsed once is never checked again.
//!
//! Nothing here reads a file or knows of a request. Where a format exists only to be
//! served (manifests, indexes), the types describe what the bytes say; the bytes
//! themselves are never written again from them.

pub mod canonical;
pub mod config;
pub mod descriptor;
pub mod json;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod platform;
pub mod reference;
pub mod tag;
pub mod version;

pub use config::ImageConfig;
pub use descriptor::Descriptor;
pub use manifest::Manifest;
pub use media_type::MediaType;
pub use name::{Host, Name};
pub use platform::Platform;
pub use reference::Reference;
pub use tag::Tag;
pub use version::Version;
