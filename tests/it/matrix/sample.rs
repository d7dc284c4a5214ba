//! What the clients of the tables are served.

use crate::fixture::{Image, Index, Layer, Layout};
use crate::packages::Packages;

/// An image of Docker Hub, so that it can also be had by way of a mirror.
pub(crate) const REPOSITORY: &str = "acme/app";
/// Its tag.
pub(crate) const TAG: &str = "1.0";
/// What it runs on.
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// The image of one platform: a compressed layer that both have, and a plain one of its own.
pub(crate) fn image(platform: &str) -> Image {
    Image::new("app").platform(platform).layers([
        Layer::files(&[("base.txt", &[b'b'; 100_000])]).gzip(),
        Layer::files(&[("platform.txt", platform.as_bytes())]),
    ])
}

/// The image of all its platforms.
pub(crate) fn index() -> Index {
    PLATFORMS
        .iter()
        .fold(Index::new(), |index, platform| index.with(&image(platform)))
}

/// The folder that is served.
pub(crate) fn packages() -> Packages {
    let app = Layout::new().named(&index(), &format!("docker.io/{REPOSITORY}:{TAG}"));
    Packages::new().with("app.tar", app.tar())
}
