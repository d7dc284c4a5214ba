//! What a verification found.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Hashed;
use super::wanted::Wanted;
use crate::archive::names::tag_about;
use crate::catalog::{Flaw, Image, Problem, Severity, Snapshot, View};
use crate::digest::Digest;
use crate::oci::{Platform, Tag};

/// Parts of the types of artifacts that sign what they are about: of cosign, of its bundles, and of notation.
const SIGNATURES: [&str; 4] = ["signature", "sigstore", "cosign", "notary"];

/// All that was found.
pub(super) struct Report<'s> {
    pub(super) hashed: &'s Hashed,
    /// How many archives hold images.
    pub(super) archives: usize,
    /// The images that are for one of the platforms that matter, by name.
    pub(super) images: Vec<Checked>,
    /// Those that must be there and are not.
    pub(super) absent: Vec<Absent<'s>>,
    /// What is wrong with the archives.
    pub(super) problems: Vec<&'s Problem>,
}

/// An image, and what is wrong with it.
pub(super) struct Checked {
    /// Its name.
    pub(super) name: String,
    /// Its digest.
    pub(super) digest: Digest,
    /// Its parts that are not as they should be.
    pub(super) flaws: Vec<(Digest, Flaw)>,
    /// Whether a signature of it is here.
    pub(super) is_signed: bool,
}

/// An image of a list that is not here.
pub(super) struct Absent<'s> {
    /// As it stands in the list.
    pub(super) text: &'s str,
    /// What is here instead.
    pub(super) why: String,
}

impl<'s> Report<'s> {
    pub(super) fn of(
        snapshot: &'s Snapshot,
        hashed: &'s Hashed,
        wanted: &'s [Wanted],
        platforms: &[Platform],
    ) -> Self {
        let images = snapshot
            .repositories()
            .flat_map(|view| checked(&view, platforms));
        let archives = snapshot.archives().iter();
        let absent = wanted.iter().filter_map(|wanted| {
            let why = absence(snapshot, wanted, platforms)?;
            let text = wanted.text.as_str();
            Some(Absent { text, why })
        });
        let problems = snapshot.problems().iter();
        Self {
            hashed,
            archives: archives
                .filter(|archive| !archive.found.images.is_empty())
                .count(),
            images: images.collect(),
            absent: absent.collect(),
            problems: problems
                .filter(|problem| problem.severity > Severity::Note)
                .collect(),
        }
    }

    /// Whether nothing is wrong; if `is_strict`, nothing at all.
    pub(super) fn is_sound(&self, is_strict: bool) -> bool {
        let is_wrong = |severity: Severity| severity == Severity::Error || is_strict;
        let severities = self.problems.iter().map(|problem| problem.severity);
        let is_signed = self.images.iter().all(|image| image.is_signed);
        let worst = self.images.iter().filter_map(Checked::severity);
        self.absent.is_empty()
            && self.hashed.unreadable.is_empty()
            && !severities.chain(worst).any(is_wrong)
            && (is_signed || !is_strict)
    }

    /// The files that something is wrong with.
    pub(super) fn faulty_files(&self) -> BTreeSet<&PathBuf> {
        let errors = self.problems.iter();
        let errors = errors.filter(|problem| problem.severity == Severity::Error);
        let unreadable = self.hashed.unreadable.iter().map(|(path, _)| path);
        errors
            .map(|problem| &problem.file)
            .chain(unreadable)
            .collect()
    }
}

impl Checked {
    /// How much what is wrong with it matters; `None` if nothing is.
    pub(super) fn severity(&self) -> Option<Severity> {
        let severity = |(_, flaw): &(Digest, Flaw)| match flaw {
            Flaw::Sparse => Severity::Warning,
            Flaw::Missing | Flaw::Damaged => Severity::Error,
        };
        self.flaws.iter().map(severity).max()
    }
}

/// The images of a repository that are for one of `platforms`, or for any where none is named.
fn checked(view: &View<'_>, platforms: &[Platform]) -> Vec<Checked> {
    let repository = name_of(view);
    let tags = view.tags_by_version();
    let images = tags
        .iter()
        .filter_map(|tag| Some((tag, view.tagged(tag)?)))
        // What is about another image is not one of its own.
        .filter(|(tag, _)| !is_about_another(tag));
    let images = images.filter(|(_, image)| is_for(image, platforms));
    images
        .map(|(tag, image)| Checked {
            name: format!("{repository}:{tag}"),
            digest: image.root.clone(),
            flaws: view.flaws(&image.root, |digest| is_left_out(image, digest, platforms)),
            is_signed: is_signed(view, &image.root),
        })
        .collect()
}

/// The name that clients ask for, or the full one where that is another's.
fn name_of(view: &View<'_>) -> String {
    let key = &view.repository().key;
    match (view.shown(), &key.host) {
        (Some(name), _) => name.into_owned(),
        (None, Some(host)) => format!("{host}/{}", key.path),
        (None, None) => key.path.to_string(),
    }
}

/// Whether a tag is made of the digest of another image, as cosign makes them.
fn is_about_another(tag: &Tag) -> bool {
    let text = tag.as_str();
    let stem = text.split('.').next().unwrap_or(text);
    stem.replacen('-', ":", 1).parse::<Digest>().is_ok()
}

fn is_for(image: &Image, platforms: &[Platform]) -> bool {
    let mut images = image.platforms.iter();
    platforms.is_empty() || images.any(|image| platforms.contains(&image.platform.normalized()))
}

fn is_left_out(image: &Image, digest: &Digest, platforms: &[Platform]) -> bool {
    let images = image
        .platforms
        .iter()
        .filter(|image| image.digest == *digest);
    let mut others = images.map(|image| image.platform.normalized());
    !platforms.is_empty() && others.any(|platform| !platforms.contains(&platform))
}

fn is_signed(view: &View<'_>, image: &Digest) -> bool {
    let by_tag = tag_about(image, "sig").is_some_and(|tag| view.resolve(&tag).is_some());
    let is_signature = |kind: &str| SIGNATURES.iter().any(|part| kind.contains(part));
    by_tag
        || view.referrers(image).any(|about| {
            let referrer = about.document.referrer.as_ref();
            referrer
                .is_some_and(|referrer| referrer.artifact_type.as_deref().is_some_and(is_signature))
        })
}

/// Why an image that must be there does not count as being there; `None` if it does.
fn absence(snapshot: &Snapshot, wanted: &Wanted, platforms: &[Platform]) -> Option<String> {
    let reference = &wanted.reference;
    let by_host = snapshot.repository(&reference.path, Some(&reference.host));
    // A name that was made of a path has no host, and may be meant.
    let by_path = || {
        let bare = snapshot.repository(&reference.path, None);
        bare.filter(|view| view.repository().key.host.is_none())
    };
    let Some(view) = by_host.or_else(by_path) else {
        return Some("nothing of that name is here".to_owned());
    };
    let tagged = wanted.tag().map(|tag| (view.tagged(&tag), tag));
    let image = match (&reference.digest, tagged) {
        (None, Some((Some(image), _))) => image,
        (Some(digest), Some((Some(image), _))) if image.root == *digest => image,
        (Some(digest), Some((Some(image), _))) => {
            return Some(format!("here it is {}, not {digest}", image.root));
        }
        (Some(digest), _) => match view.images().find(|(_, image)| image.root == *digest) {
            Some((_, image)) => image,
            None => return Some(format!("{digest} is not here")),
        },
        (None, _) => {
            let tags = view.tags_by_version();
            let tags: Vec<&str> = tags.iter().map(Tag::as_str).take(5).collect();
            return Some(format!("no such tag is here, but {}", tags.join(", ")));
        }
    };
    if !is_for(image, platforms) {
        return Some("it is not for that platform".to_owned());
    }
    let flaws = view.flaws(&image.root, |digest| is_left_out(image, digest, platforms));
    let is_whole = flaws.iter().all(|(_, flaw)| *flaw == Flaw::Sparse);
    (!is_whole).then(|| "it is not complete".to_owned())
}
