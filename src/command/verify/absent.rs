//! Which images of the lists are not here, and why not.

use super::checked::{self, Checked};
use super::people::{flaws, joined};
use super::report::Scope;
use super::wanted::Wanted;
use crate::archive::Repository;
use crate::catalog::{Image, Severity, Snapshot, View};
use crate::oci::{Platform, Tag};

/// An image of a list that is not here.
pub(super) struct Absent<'s> {
    /// As it stands in the list.
    pub(super) text: &'s str,
    /// What is here instead.
    pub(super) why: String,
    /// It is here and not whole, which is told with the images.
    pub(super) is_told: bool,
}

/// All that must be there and are not; `images` are those that were checked.
pub(super) fn all<'s>(
    snapshot: &Snapshot,
    scope: &Scope<'s>,
    images: &[Checked],
) -> Vec<Absent<'s>> {
    let absent = |wanted: &'s Wanted| {
        let (why, is_told) = match found(snapshot, wanted) {
            Ok((view, image)) => absence(&view, image, scope.platforms)?,
            Err(why) => match images.iter().find(|image| is_meant(wanted, image)) {
                Some(lost) => (flaws(&lost.inspection.flaws), true),
                None => (why, false),
            },
        };
        let text = wanted.text.as_str();
        Some(Absent { text, why, is_told })
    };
    scope.wanted.iter().filter_map(absent).collect()
}

/// The image that is served as what is wanted, or what is instead.
fn found<'s>(snapshot: &'s Snapshot, wanted: &Wanted) -> Result<(View<'s>, &'s Image), String> {
    let reference = &wanted.reference;
    let by_host = snapshot.repository(&reference.path, Some(&reference.host));
    // A name that was made of a path has no host, and may be meant.
    let by_path = || {
        let bare = snapshot.repository(&reference.path, None);
        bare.filter(|view| view.repository().key.host.is_none())
    };
    let view = by_host.or_else(by_path);
    let view = view.ok_or("nothing of that name is here")?;
    let tagged = wanted.tag().map(|tag| (view.tagged(&tag), tag));
    let image = match (&reference.digest, tagged) {
        (None, Some((Some(image), _))) => image,
        (Some(digest), Some((Some(image), _))) if image.root == *digest => image,
        (Some(digest), Some((Some(image), _))) => {
            return Err(format!("here it is {}, not {digest}", image.root));
        }
        (Some(digest), _) => match view.images().find(|(_, image)| image.root == *digest) {
            Some((_, image)) => image,
            None => return Err(format!("{digest} is not here")),
        },
        (None, _) => return Err(no_tag(&view, wanted)),
    };
    Ok((view, image))
}

/// That the tag which is wanted is not here, and which ones are.
fn no_tag(view: &View<'_>, wanted: &Wanted) -> String {
    let tags = view.tags_by_version();
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).take(5).collect();
    let is_latest = wanted.tag().is_some_and(|tag| tag.as_str() == "latest");
    let automatic = if is_latest {
        "; a `latest` that only the server gives does not count"
    } else {
        ""
    };
    format!("no such tag is here, but {}{automatic}", tags.join(", "))
}

/// Why an image that is here does not count as being here, and whether that is told with the images; `None` if it counts.
fn absence(view: &View<'_>, image: &Image, platforms: &[Platform]) -> Option<(String, bool)> {
    let checked = checked::of_image(view, image, platforms);
    if !checked.is_for(platforms) {
        let platforms = platforms.iter().map(Platform::to_string).collect();
        return Some((format!("it is not for {}", joined(platforms, "or")), false));
    }
    let is_broken = checked.severity(platforms) == Some(Severity::Error);
    is_broken.then(|| (flaws(&checked.inspection.flaws), true))
}

/// Whether `image`, of which nothing is served, is the one that is wanted.
fn is_meant(wanted: &Wanted, image: &Checked) -> bool {
    let reference = &wanted.reference;
    let Repository { host, path } = &image.repository;
    let is_there = *path == reference.path && host.as_ref().is_none_or(|at| *at == reference.host);
    is_there
        && match &reference.digest {
            Some(digest) => image.digest.as_ref() == Some(digest),
            None => image.tag == wanted.tag(),
        }
}
