//! The images of a report: what is wrong with each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::list::untagged;
use crate::archive::names::tag_about;
use crate::archive::{Lost, Repository};
use crate::catalog::{
    Archive, Flaw, Flawed, Image, Inspection, Severity, Snapshot, View, is_wanted,
};
use crate::digest::Digest;
use crate::oci::{Platform, Tag};

/// What the types of artifacts begin with that sign what they are about: of cosign, of notation, and bundles of sigstore,
/// which may as well hold attestations.
const SIGNATURES: [&str; 3] = [
    "application/vnd.dev.cosign.artifact.sig.",
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.sigstore.bundle.",
];

/// An image, and what is wrong with it.
#[derive(Clone)]
pub(super) struct Checked {
    /// Its name, with its tag or else with its digest.
    pub(super) name: String,
    pub(super) repository: Repository,
    pub(super) tag: Option<Tag>,
    /// The digest of its manifest or index, where that is known.
    pub(super) digest: Option<Digest>,
    /// The archives that hold it.
    pub(super) archives: Vec<PathBuf>,
    /// Whether a signature of it is here; `None` where nobody would look for one.
    pub(super) is_signed: Option<bool>,
    /// What was found out about it; many tags may share it.
    pub(super) inspection: Arc<Inspection>,
}

impl Checked {
    /// How much what is wrong with it matters to whoever wants these platforms; `None` if nothing is wrong.
    pub(super) fn severity(&self, wanted: &[Platform]) -> Option<Severity> {
        let severity = |flawed: &Flawed| match flawed.flaw {
            // A platform that is named is not left out on purpose.
            Flaw::Sparse if wanted.is_empty() || flawed.platforms.is_empty() => Severity::Warning,
            _ => Severity::Error,
        };
        self.inspection.flaws.iter().map(severity).max()
    }

    /// Whether it is for one of these platforms, as far as that is known; for any if none is named.
    pub(super) fn is_for(&self, wanted: &[Platform]) -> bool {
        let Inspection {
            platforms,
            is_of_unknown_platform,
            ..
        } = &*self.inspection;
        wanted.is_empty()
            || *is_of_unknown_platform
            || platforms.iter().any(|told| is_wanted(told, wanted))
    }
}

/// The images for `wanted` platforms, or all if none is named: each tag, and whatever else is not whole.
pub(super) fn all(snapshot: &Snapshot, wanted: &[Platform]) -> Vec<Checked> {
    let served = snapshot
        .repositories()
        .flat_map(|view| of_repository(&view, wanted));
    let archives = snapshot.archives().iter();
    let lost = archives.flat_map(|archive| {
        let lost = archive.found.lost.iter();
        lost.filter(|lost| !is_elsewhere(snapshot, lost))
            .map(|lost| of_lost(archive, lost))
    });
    served
        .chain(lost)
        .filter(|checked| checked.is_for(wanted))
        .collect()
}

fn of_repository(view: &View<'_>, wanted: &[Platform]) -> Vec<Checked> {
    let repository = name_of(view);
    let mut known: BTreeMap<&Digest, Checked> = BTreeMap::new();
    let mut inspect = |image| {
        let checked = || of_image(view, image, wanted);
        known.entry(&image.root).or_insert_with(checked).clone()
    };
    let mut all = Vec::new();
    for tag in view.tags_by_version() {
        let Some(image) = view.tagged(&tag) else {
            continue;
        };
        all.push(Checked {
            name: format!("{repository}:{tag}"),
            archives: paths(&view.archives_of(&tag)),
            // What is about another image is not one of its own.
            is_signed: (!is_about_another(&tag)).then(|| is_signed(view, &image.root)),
            tag: Some(tag),
            ..inspect(image)
        });
    }
    for image in untagged(view) {
        all.push(Checked {
            name: format!("{repository}@{}", image.root),
            archives: paths(&view.holders(&image.root)),
            ..inspect(image)
        });
    }
    all.retain(|checked| checked.is_signed.is_some() || !checked.inspection.flaws.is_empty());
    all
}

/// An image that is served, without its name.
pub(super) fn of_image(view: &View<'_>, image: &Image, wanted: &[Platform]) -> Checked {
    Checked {
        name: String::new(),
        repository: view.repository().key.clone(),
        tag: None,
        digest: Some(image.root.clone()),
        archives: Vec::new(),
        is_signed: None,
        inspection: Arc::new(view.inspect(image, wanted)),
    }
}

fn of_lost(archive: &Archive, lost: &Lost) -> Checked {
    let Lost {
        name,
        platform,
        part,
        digest,
        flaw,
    } = lost;
    let repository = full_name(&name.repository);
    let root = digest.clone().filter(|_| part.is_document());
    let flawed = Flawed {
        flaw: *flaw,
        part: *part,
        digest: digest.clone(),
        platforms: platform.iter().cloned().collect(),
    };
    Checked {
        name: match (&name.tag, &root) {
            (Some(tag), _) => format!("{repository}:{tag}"),
            (None, Some(root)) => format!("{repository}@{root}"),
            (None, None) => repository,
        },
        repository: name.repository.clone(),
        tag: name.tag.clone(),
        digest: root,
        archives: vec![archive.path()],
        is_signed: None,
        inspection: Arc::new(Inspection {
            is_of_unknown_platform: platform.is_none(),
            platforms: platform.iter().cloned().collect(),
            needs: digest.iter().cloned().collect(),
            flaws: vec![flawed],
        }),
    }
}

/// Whether another archive has what one has lost.
fn is_elsewhere(snapshot: &Snapshot, lost: &Lost) -> bool {
    let Repository { host, path } = &lost.name.repository;
    let Some(view) = snapshot.repository(path, host.as_ref()) else {
        return false;
    };
    if view.repository().key != lost.name.repository {
        return false;
    }
    let is_same = |root: &Digest| lost.digest.as_ref() == Some(root);
    match &lost.name.tag {
        // The manifest of an image of a Docker archive is made of what is damaged: any may be it.
        Some(tag) => view
            .resolve(tag)
            .is_some_and(|root| is_same(root) || !lost.part.is_document()),
        None => view.images().any(|(_, image)| is_same(&image.root)),
    }
}

fn paths(archives: &[&Archive]) -> Vec<PathBuf> {
    archives.iter().map(|archive| archive.path()).collect()
}

/// The name that clients ask for, or the full one where that is another's.
fn name_of(view: &View<'_>) -> String {
    match view.shown() {
        Some(name) => name.into_owned(),
        None => full_name(&view.repository().key),
    }
}

/// The name that clients can ask for if nobody else has it.
fn full_name(repository: &Repository) -> String {
    let Repository { host, path } = repository;
    match host {
        Some(host) if host.is_docker_hub() => {
            let path = path.as_str();
            path.strip_prefix("library/").unwrap_or(path).to_owned()
        }
        Some(host) => format!("{host}/{path}"),
        None => path.to_string(),
    }
}

/// Whether a tag is made of the digest of another image, as cosign makes them.
fn is_about_another(tag: &Tag) -> bool {
    let text = tag.as_str();
    let stem = text.split('.').next().unwrap_or(text);
    stem.replacen('-', ":", 1).parse::<Digest>().is_ok()
}

fn is_signed(view: &View<'_>, image: &Digest) -> bool {
    let by_tag = tag_about(image, "sig").is_some_and(|tag| view.resolve(&tag).is_some());
    let is_signature = |kind: &str| SIGNATURES.iter().any(|start| kind.starts_with(start));
    by_tag
        || view.referrers(image).any(|about| {
            let referrer = about.document.referrer.as_ref();
            referrer
                .is_some_and(|referrer| referrer.artifact_type.as_deref().is_some_and(is_signature))
        })
}
