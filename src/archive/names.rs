//! The names of images: what archives write, and what is made of it.

use std::path::Path;

use super::problem::Fault;
use crate::digest::{Algorithm, Digest};
use crate::oci::reference::ReferenceError;
use crate::oci::{Descriptor, Host, Name, Reference, Tag};

/// Annotation with the full name, written by containerd, Docker and `BuildKit`.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Annotation with a tag or a full name, written by everyone
/// ([pre-defined annotations](https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys)).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation whose key ends in a host and whose value lists repositories there.
const DISTRIBUTION_SOURCE: &str = "containerd.io/distribution.source.";

/// Annotations that name the subject of an entry, written by containerd and olareg.
const SUBJECTS: [&str; 2] = [
    "io.containerd.manifest.subject",
    "org.olareg.referrer.subject",
];
/// Annotation that says what an entry is, written by cosign and hauler, and how their values begin.
const KIND: &str = "kind";
const KIND_WRITERS: [&str; 2] = [COSIGN_KIND, HAULER_KIND];
/// How cosign's kinds begin, and those of older haulers.
pub const COSIGN_KIND: &str = "dev.cosignproject.cosign/";
/// How hauler's kinds begin.
pub const HAULER_KIND: &str = "dev.hauler/";
/// The kinds that say something about another image, and how cosign calls them in tags.
const ABOUT: [(&str, Option<&str>); 4] = [
    ("sigs", Some("sig")),
    ("atts", Some("att")),
    ("sboms", Some("sbom")),
    ("referrers", None),
];

/// The tag that crane writes for an image that was pulled by digest.
const CRANE_DIGEST_TAG: &str = "i-was-a-digest";
/// The repository that kaniko writes when it was told none.
const KANIKO_PLACEHOLDER: &str = "unset-repo/unset-image-name";
/// What Docker shows for an image without a name.
const NONE: &str = "<none>:<none>";

/// Endings that say what a file is and are no part of its name.
const EXTENSIONS: [&str; 10] = [
    ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar.lz4", ".tgz", ".tzst", ".tar", ".oci",
    ".docker",
];

/// A repository, known by the registry that it came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// The registry; `None` where the name was made from the file's path.
    pub host: Option<Host>,
    /// The name there.
    pub path: Name,
}

/// A name of an image: a repository, and the tag if it has one there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The repository.
    pub repository: Repository,
    /// The tag; `None` for an image that can be asked for only by digest.
    pub tag: Option<Tag>,
}

impl ImageName {
    fn of(reference: Reference) -> Self {
        let repository = Repository {
            host: Some(reference.host),
            path: reference.path,
        };
        Self {
            repository,
            tag: reference.tag,
        }
    }
}

/// What a text in an archive says about an image's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    Full(ImageName),
    /// The tag, in a repository that is told elsewhere.
    Tag(Tag),
    /// Nothing: it is missing, or a placeholder.
    Nothing,
}

/// Reads an entry of `RepoTags`, or another full reference, to the image `digest`.
///
/// # Errors
/// [`Fault`] if no client could ask for it.
pub fn full(text: &str, digest: &Digest) -> Result<Written, Fault> {
    let reference = reference(text, digest)?;
    Ok(reference.map_or(Written::Nothing, |reference| {
        Written::Full(complete(reference))
    }))
}

/// The name that an entry of `RepoTags` gives to an image of which nothing else is known; `None` if it gives none.
pub fn called(text: &str) -> Option<ImageName> {
    let reference: Reference = text.parse().ok()?;
    (!is_placeholder(&reference)).then(|| complete(reference))
}

/// The name that is meant: without tag and digest it is `latest`, as for every client.
fn complete(reference: Reference) -> ImageName {
    let tag = match &reference.tag {
        Some(tag) if tag.as_str() == CRANE_DIGEST_TAG => None,
        None if reference.digest.is_none() => Some(Tag::latest()),
        tag => tag.clone(),
    };
    ImageName::of(Reference { tag, ..reference })
}

fn is_placeholder(reference: &Reference) -> bool {
    reference.path.as_str() == KANIKO_PLACEHOLDER
}

/// The reference that a text is; `None` where it is a placeholder or a mere digest.
fn reference(text: &str, digest: &Digest) -> Result<Option<Reference>, Fault> {
    if text == NONE || text.parse::<Digest>().is_ok() {
        return Ok(None);
    }
    let reference: Reference = text.parse().map_err(|error| Fault::BadName {
        name: text.to_owned(),
        error,
    })?;
    if is_placeholder(&reference) {
        return Ok(None);
    }
    match &reference.digest {
        Some(named) if named != digest => Err(Fault::NameMismatch {
            name: text.to_owned(),
            found: digest.clone(),
        }),
        _ => Ok(Some(reference)),
    }
}

/// That an entry says something about another image, as a signature does. It may repeat the name of that, and must
/// not take its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// About the manifest with this digest.
    Subject(Digest),
    /// About the image of the same name; the ending of the tag under which
    /// [cosign](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery) looks for it.
    SameName(Option<&'static str>),
}

impl About {
    /// What the annotations of an entry of `index.json` tell.
    pub fn of(descriptor: &Descriptor) -> Option<Self> {
        let mut subjects = SUBJECTS.iter().filter_map(|key| descriptor.annotation(key));
        if let Some(subject) = subjects.next() {
            return Some(match subject.parse() {
                Ok(subject) => Self::Subject(subject),
                Err(_) => Self::SameName(None),
            });
        }
        let kind = kind(descriptor)?;
        let kind = KIND_WRITERS
            .iter()
            .find_map(|writer| kind.strip_prefix(writer))?;
        let (_, ending) = ABOUT.iter().find(|(about, _)| kind.starts_with(about))?;
        Some(Self::SameName(*ending))
    }
}

/// What cosign or hauler say that an entry is.
pub fn kind(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotation(KIND)
}

/// Whether the entry has the full name that containerd, Docker and `BuildKit` write.
pub fn has_image_name(descriptor: &Descriptor) -> bool {
    descriptor.annotation(IMAGE_NAME).is_some()
}

/// The tag under which what is about the image `subject` is found, as `sha256-….sig`.
pub fn tag_about(subject: &Digest, ending: &str) -> Option<Tag> {
    let text = subject.to_string().replace(':', "-");
    format!("{text}.{ending}").parse().ok()
}

/// The digest that a tag names under which
/// [referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema) of that are
/// listed, for registries that cannot list them themselves.
pub fn fallback_subject(tag: &Tag) -> Option<Digest> {
    let (algorithm, hex) = tag.as_str().split_once('-')?;
    Digest::from_hex(Algorithm::from_name(algorithm)?, hex).ok()
}

/// Reads the name that the annotations of a descriptor in `index.json` give to the image `digest`.
///
/// # Errors
/// [`Fault`] if there is a name that no client could ask for, and no other.
pub fn annotated(descriptor: &Descriptor, digest: &Digest) -> Result<Written, Fault> {
    // Some writers put a path of theirs here that is no reference: the other annotation counts then.
    let name = descriptor
        .annotation(IMAGE_NAME)
        .map(|text| (text, reference(text, digest)));
    let ref_name = descriptor.annotation(REF_NAME);
    match name {
        Some((_, Ok(Some(reference)))) if reference.tag.is_none() => {
            // One annotation has the repository, the other the tag.
            let tag = ref_name.and_then(|text| text.parse().ok());
            let is_pinned = reference.digest.is_some();
            let tag = tag.or_else(|| (!is_pinned).then(Tag::latest));
            Ok(Written::Full(ImageName::of(Reference { tag, ..reference })))
        }
        Some((text, Ok(Some(_)))) => full(text, digest),
        other => match ref_name {
            Some(text) if text.contains(['/', ':']) => full(text, digest),
            Some(text) => match text.parse() {
                Ok(tag) => Ok(Written::Tag(tag)),
                Err(_) => Err(Fault::BadName {
                    name: text.to_owned(),
                    error: ReferenceError::Tag,
                }),
            },
            None => match other {
                Some((_, Err(fault))) => Err(fault),
                _ => Ok(Written::Nothing),
            },
        },
    }
}

/// The repository that an image was pulled from, if the annotations name just one.
pub fn source_repository(descriptor: &Descriptor) -> Option<Repository> {
    let mut repositories = descriptor.annotations.iter().filter_map(|(key, value)| {
        let host: Host = key.strip_prefix(DISTRIBUTION_SOURCE)?.parse().ok()?;
        Some(
            value
                .split(',')
                .map(move |path| (host.clone(), path.to_owned())),
        )
    });
    let mut all = repositories.by_ref().flatten();
    match (all.next(), all.next()) {
        (Some((host, path)), None) => Some(Repository {
            host: Some(host),
            path: path.parse().ok()?,
        }),
        _ => None,
    }
}

/// The name for whatever has none in an archive: it is made from the archive's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathName {
    /// The name; its tag if the path has one.
    pub name: ImageName,
    /// The path names a digest, so that there is no tag to it.
    pub is_pinned: bool,
}

/// The name that is made from the path of an archive without names in it.
///
/// Known extensions are cut off, letters become lower case, and whatever cannot stand in a name
/// becomes `-`. A last part that is `name:tag` or `name@digest`, as `skopeo sync` writes it, is read as
/// that. `None` if a part has nothing that can stand in a name.
pub fn from_path(path: &Path) -> Option<PathName> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        parts.push(component.as_os_str().to_str()?);
    }
    let last = without_extension(parts.pop()?);
    let (last, is_pinned) = match last.split_once('@') {
        Some((name, _)) => (name, true),
        None => (last, false),
    };
    let (last, tag) = match last.rsplit_once(':').map(|(name, tag)| (name, tag.parse())) {
        Some((name, Ok(tag))) => (name, Some(tag)),
        _ => (last, None),
    };
    parts.push(last);
    let parts: Vec<String> = parts.into_iter().map(to_component).collect();
    let path = parts.join("/").parse().ok()?;
    let repository = Repository { host: None, path };
    Some(PathName {
        name: ImageName { repository, tag },
        is_pinned,
    })
}

/// The name that the path of a folder of `skopeo sync --scoped` is: `host/path:tag`, or with a digest.
pub fn from_synced_path(path: &Path) -> Option<PathName> {
    let text = path.to_str()?;
    let reference: Reference = text.parse().ok()?;
    let host: Option<Host> = text
        .split_once('/')
        .and_then(|(first, _)| first.parse().ok());
    let has_host = host.as_ref() == Some(&reference.host);
    if !has_host || reference.tag.is_none() && reference.digest.is_none() {
        return None;
    }
    Some(PathName {
        is_pinned: reference.tag.is_none(),
        name: ImageName::of(reference),
    })
}

/// Whether a file of this name is meant to be an archive.
pub fn is_archive_name(file_name: &str) -> bool {
    without_extension(file_name).len() < file_name.len()
}

/// The name of an archive without what says that it is one.
pub fn without_extension(file_name: &str) -> &str {
    let lower = file_name.to_ascii_lowercase();
    let extension = EXTENSIONS
        .iter()
        .find(|extension| lower.ends_with(*extension));
    let end = file_name.len() - extension.map_or(0, |extension| extension.len());
    &file_name[..end]
}

/// Makes a text a part of a repository name: words of letters and digits, single separators between them.
fn to_component(text: &str) -> String {
    let mut component = String::with_capacity(text.len());
    let mut separator = None;
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            match separator.take() {
                Some(separator) if !component.is_empty() => component.push(separator),
                _ => {}
            }
            component.push(character.to_ascii_lowercase());
        } else {
            let kept = if matches!(character, '.' | '_') {
                character
            } else {
                '-'
            };
            separator = Some(if separator.is_none() { kept } else { '-' });
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(written: Result<Written, Fault>) -> String {
        match written {
            Ok(Written::Full(ImageName {
                repository: Repository { host, path },
                tag,
            })) => {
                let host = host.map(|host| host.to_string()).unwrap_or_default();
                format!(
                    "{host}/{path} {}",
                    tag.map(|tag| tag.to_string()).unwrap_or_default()
                )
            }
            Ok(Written::Tag(tag)) => format!("tag {tag}"),
            Ok(Written::Nothing) => "nothing".to_owned(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn full_names() {
        let digest = Digest::sha256(b"x");
        let check = |text: &str, expected: &str| {
            let got = show(full(text, &digest));
            assert!(got.contains(expected), "{text}: {got}");
        };
        check("app:1", "docker.io/library/app 1");
        check("team/app", "docker.io/team/app latest");
        check("localhost/app:dev", "localhost/app dev");
        check("h:5000/a/b:v1", "h:5000/a/b v1");
        check(
            "index.docker.io/library/x:i-was-a-digest",
            "docker.io/library/x ",
        );
        check("docker.io/unset-repo/unset-image-name:latest", "nothing");
        check("<none>:<none>", "nothing");
        check(&format!("a/b@{digest}"), "docker.io/a/b ");
        check(&format!("a/b@{}", Digest::sha256(b"y")), "but the image is");
        check("a/B:1", "cannot be served");
        check("../../etc/passwd:1", "cannot be served");
    }

    #[test]
    fn annotations_in_their_order() {
        let check = |annotations: &[(&str, &str)], expected: &str| {
            let digest = Digest::sha256(b"x");
            let annotations: std::collections::BTreeMap<_, _> =
                annotations.iter().copied().collect();
            let json = serde_json::json!({"digest": digest.to_string(), "size": 1, "annotations": annotations});
            let got = show(annotated(&serde_json::from_value(json).unwrap(), &digest));
            assert!(got.contains(expected), "{annotations:?}: {got}");
        };
        check(&[], "nothing");
        check(&[(REF_NAME, "1.0")], "tag 1.0");
        check(&[(REF_NAME, "1.1.0+oci")], "tag 1.1.0+oci");
        check(
            &[(REF_NAME, "ubuntu:24.04")],
            "docker.io/library/ubuntu 24.04",
        );
        check(&[(REF_NAME, "library/x")], "docker.io/library/x latest");
        check(&[(REF_NAME, "free text")], "cannot be served");
        check(
            &[(REF_NAME, "1.0"), (IMAGE_NAME, "docker.io/a/b:1.0")],
            "docker.io/a/b 1.0",
        );
        check(
            &[(REF_NAME, "2"), (IMAGE_NAME, "ocidir://path:tag")],
            "tag 2",
        );
        check(&[(IMAGE_NAME, "ocidir://path:tag")], "cannot be served");
    }

    #[test]
    fn one_source_repository() {
        let repository = |value: &str| {
            let annotations =
                serde_json::json!({"containerd.io/distribution.source.ghcr.io": value});
            let json = serde_json::json!({"digest": "d", "size": 1, "annotations": annotations});
            source_repository(&serde_json::from_value(json).unwrap())
                .map(|found| found.path.to_string())
        };
        assert_eq!(repository("a/b"), Some("a/b".to_owned()));
        assert_eq!(repository("a/b,c/d"), None);
    }

    #[test]
    fn names_from_paths() {
        let check = |path: &str, expected: Option<&str>| {
            let name = from_path(Path::new(path)).map(|named| named.name);
            let name = name.map(|name| match name.tag {
                Some(tag) => format!("{}:{tag}", name.repository.path),
                None => name.repository.path.to_string(),
            });
            assert_eq!(name.as_deref(), expected, "{path}");
        };
        check("app.tar", Some("app"));
        check("team/My App_v1.2.tar.gz", Some("team/my-app_v1.2"));
        check("a/b", Some("a/b"));
        check("docker28.5-save+x.TAR", Some("docker28.5-save-x"));
        check("__x__y.tar", Some("x-y"));
        check("ü.tar", None);
        check("ü/app.oci", None);
        check("team/app:1.0", Some("team/app:1.0"));
        check("app:1.0.tar", Some("app:1.0"));
        check("app@sha256:00.tar", Some("app"));
        check("a:b/c", Some("a-b/c"));
    }

    proptest::proptest! {
        #[test]
        fn any_path_gives_a_name_or_none(path: String) {
            let _ = from_path(Path::new(&path));
            let component = to_component(&path);
            proptest::prop_assert!(component.is_empty() || component.parse::<Name>().is_ok() || component.len() > 255);
        }
    }
}
