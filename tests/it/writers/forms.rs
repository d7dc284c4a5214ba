//! Every form in which names are written, and what each is served as.

use std::fs;

use serde_json::{Value, json};

use super::differ;
use crate::fixture::{
    DockerArchive, IMAGE_NAME, Image, Layout, Naming, Node as _, Packing, REF_NAME,
};
use crate::listing::Listing;

/// Where the archive lies unless the path is what is told.
const PATH: &str = "shelf/app.tar";
/// What stands for the digest of the image, also in names.
const DIGEST: &str = "sha256:…";
/// What stands for another image's.
const OTHER: &str = "sha256:ffff…";
/// What stands for 64 hexadecimal digits.
const HEX: &str = "0123…cdef";
/// What the name of a nameless image is made of.
const FROM_PATH: &[&str] = &["./shelf/app:latest"];

/// Where a name is written.
#[derive(Clone, Copy)]
enum Place {
    /// `RepoTags`, as JSON; nothing if it is absent.
    RepoTags,
    /// Annotations of an entry of `index.json`.
    Annotations,
    /// The path of the file.
    Path,
}

/// A text, what it makes of an image, and what is said about it.
pub(super) struct Form {
    place: Place,
    text: &'static str,
    pub(super) served: &'static [&'static str],
    pub(super) problem: Option<&'static str>,
}

const fn form(place: Place, text: &'static str, served: &'static [&'static str]) -> Form {
    Form {
        place,
        text,
        served,
        problem: None,
    }
}

const fn told(
    place: Place,
    text: &'static str,
    served: &'static [&'static str],
    problem: &'static str,
) -> Form {
    Form {
        problem: Some(problem),
        ..form(place, text, served)
    }
}

const UNFIT: &str = "cannot be served";
const LOOSE: &str = "has a `+`";

use Place::{Annotations, Path, RepoTags};

pub(super) const FORMS: &[Form] = &[
    form(RepoTags, r#"["app:1"]"#, &["docker.io/library/app:1"]),
    form(
        RepoTags,
        r#"["app:1","app:2"]"#,
        &["docker.io/library/app:1", "docker.io/library/app:2"],
    ),
    form(RepoTags, r#"["team/app"]"#, &["docker.io/team/app:latest"]),
    form(
        RepoTags,
        r#"["docker.io/app:1"]"#,
        &["docker.io/library/app:1"],
    ),
    form(
        RepoTags,
        r#"["index.docker.io/library/app:1"]"#,
        &["docker.io/library/app:1"],
    ),
    form(
        RepoTags,
        r#"["registry-1.docker.io/team/app:1"]"#,
        &["docker.io/team/app:1"],
    ),
    form(
        RepoTags,
        r#"["ghcr.io/acme/app:1"]"#,
        &["ghcr.io/acme/app:1"],
    ),
    form(
        RepoTags,
        r#"["GHCR.io/acme/app:1"]"#,
        &["ghcr.io/acme/app:1"],
    ),
    form(
        RepoTags,
        r#"["registry.example.com:5000/team/app:1"]"#,
        &["registry.example.com:5000/team/app:1"],
    ),
    form(
        RepoTags,
        r#"["[2001:db8::1]:5000/app:1"]"#,
        &["[2001:db8::1]:5000/app:1"],
    ),
    form(RepoTags, r#"["localhost/app:1"]"#, &["localhost/app:1"]),
    form(
        RepoTags,
        r#"["localhost:5000/app:1"]"#,
        &["localhost:5000/app:1"],
    ),
    form(RepoTags, r#"["ko.local/app:1"]"#, &["ko.local/app:1"]),
    form(
        RepoTags,
        r#"["index.docker.io/library/app:i-was-a-digest"]"#,
        &["docker.io/library/app"],
    ),
    form(
        RepoTags,
        r#"["unset-repo/unset-image-name:latest"]"#,
        FROM_PATH,
    ),
    form(
        RepoTags,
        r#"["docker.io/unset-repo/unset-image-name:latest"]"#,
        FROM_PATH,
    ),
    form(RepoTags, r#"["<none>:<none>"]"#, FROM_PATH),
    form(RepoTags, "null", FROM_PATH),
    form(RepoTags, "[]", FROM_PATH),
    form(RepoTags, "", FROM_PATH),
    form(RepoTags, r#"["app@sha256:…"]"#, &["docker.io/library/app"]),
    form(
        RepoTags,
        r#"["app:1@sha256:…"]"#,
        &["docker.io/library/app:1"],
    ),
    told(
        RepoTags,
        r#"["app:1@sha256:ffff…"]"#,
        FROM_PATH,
        "has a digest, but the image is",
    ),
    told(RepoTags, r#"["0123…cdef"]"#, FROM_PATH, UNFIT),
    form(
        RepoTags,
        r#"["0123…cdef:1"]"#,
        &["docker.io/library/0123…cdef:1"],
    ),
    told(
        RepoTags,
        r#"["app:1.1.0+oci"]"#,
        &["docker.io/library/app:1.1.0+oci"],
        LOOSE,
    ),
    told(RepoTags, r#"["acme/App:1"]"#, FROM_PATH, UNFIT),
    told(RepoTags, r#"["app:-1"]"#, FROM_PATH, UNFIT),
    told(
        RepoTags,
        r#"["app:1","acme/../app:2"]"#,
        &["docker.io/library/app:1"],
        UNFIT,
    ),
    form(Annotations, r#"{"ref.name":"1"}"#, &["./shelf/app:1"]),
    form(
        Annotations,
        r#"{"ref.name":"ubuntu"}"#,
        &["./shelf/app:ubuntu"],
    ),
    form(
        Annotations,
        r#"{"ref.name":"0123…cdef"}"#,
        &["./shelf/app:0123…cdef"],
    ),
    told(
        Annotations,
        r#"{"ref.name":"1.1.0+oci"}"#,
        &["./shelf/app:1.1.0+oci"],
        LOOSE,
    ),
    form(
        Annotations,
        r#"{"ref.name":"app:1"}"#,
        &["docker.io/library/app:1"],
    ),
    form(
        Annotations,
        r#"{"ref.name":"library/app"}"#,
        &["docker.io/library/app:latest"],
    ),
    form(
        Annotations,
        r#"{"ref.name":"localhost/app:1"}"#,
        &["localhost/app:1"],
    ),
    form(
        Annotations,
        r#"{"ref.name":"index.docker.io/library/app:1"}"#,
        &["docker.io/library/app:1"],
    ),
    form(Annotations, r#"{"ref.name":"sha256:…"}"#, FROM_PATH),
    told(Annotations, r#"{"ref.name":"any text"}"#, FROM_PATH, UNFIT),
    told(
        Annotations,
        r#"{"ref.name":"ocidir://path:1"}"#,
        FROM_PATH,
        UNFIT,
    ),
    form(Annotations, "{}", FROM_PATH),
    form(
        Annotations,
        r#"{"image.name":"docker.io/library/app:1","ref.name":"1"}"#,
        &["docker.io/library/app:1"],
    ),
    form(
        Annotations,
        r#"{"image.name":"docker.io/library/app","ref.name":"2"}"#,
        &["docker.io/library/app:2"],
    ),
    form(
        Annotations,
        r#"{"image.name":"ghcr.io/acme/app:1","ref.name":"other:2"}"#,
        &["ghcr.io/acme/app:1"],
    ),
    form(
        Annotations,
        r#"{"image.name":"ghcr.io/acme/app@sha256:…"}"#,
        &["ghcr.io/acme/app"],
    ),
    form(
        Annotations,
        r#"{"image.name":"ocidir://path:1","ref.name":"1"}"#,
        &["./shelf/app:1"],
    ),
    form(
        Annotations,
        r#"{"image.name":"ocidir://path@sha256:…","ref.name":"ghcr.io/acme/app:1"}"#,
        &["ghcr.io/acme/app:1"],
    ),
    form(
        Annotations,
        r#"{"distribution.source.ghcr.io":"acme/app"}"#,
        &["ghcr.io/acme/app"],
    ),
    form(
        Annotations,
        r#"{"distribution.source.ghcr.io":"acme/app","ref.name":"1"}"#,
        &["ghcr.io/acme/app:1"],
    ),
    form(
        Annotations,
        r#"{"distribution.source.ghcr.io":"acme/app,acme/other","ref.name":"1"}"#,
        &["./shelf/app:1"],
    ),
    form(
        Annotations,
        r#"{"base.name":"ghcr.io/acme/base:1"}"#,
        FROM_PATH,
    ),
    form(Path, "app.tar", &["./app:latest"]),
    form(Path, "Team/My App_v1.2.tar", &["./team/my-app_v1.2:latest"]),
    form(Path, "app+debug.OCI", &["./app-debug:latest"]),
    form(Path, "app:1.tar", &["./app:1"]),
    form(Path, "app@sha256:….tar", &["./app"]),
];

impl Form {
    /// Where it is, for people.
    pub(super) fn place(&self) -> &'static str {
        match self.place {
            RepoTags => "`RepoTags`",
            Annotations => "annotations",
            Path => "path of the file",
        }
    }

    /// The text, for people.
    pub(super) fn text(&self) -> String {
        match self.text {
            "" => "absent".to_owned(),
            text => format!("`{text}`"),
        }
    }

    fn differences(&self) -> Vec<String> {
        let image = Image::new(self.text);
        let folder = tempfile::tempdir().expect("a folder");
        let path = match self.place {
            Path => filled(self.text, &image),
            RepoTags | Annotations => PATH.to_owned(),
        };
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, self.archive(&image)).expect("a file");
        let listing = Listing::of(folder.path());
        let star = if matches!(self.place, RepoTags) {
            "*"
        } else {
            ""
        };
        let mut served: Vec<_> = self
            .served
            .iter()
            .map(|name| format!("{} {}{star}", filled(name, &image), image.digest()))
            .collect();
        served.sort();
        let problems = listing.problems();
        let is_told = match self.problem {
            Some(problem) => problems.len() == 1 && problems[0].contains(problem),
            None => problems.is_empty(),
        };
        differ("images", &listing.images(), &served)
            .into_iter()
            .chain(
                (!is_told).then(|| format!("problems {problems:?}, expected {:?}", self.problem)),
            )
            .map(|what| format!("{} {}: {what}", self.place(), self.text))
            .collect()
    }

    fn archive(&self, image: &Image) -> Vec<u8> {
        let text = filled(self.text, image);
        match self.place {
            RepoTags => {
                let archive = DockerArchive::new(Naming::Skopeo).image(image, None);
                let mut items: Value = serde_json::from_slice(&archive.manifest()).expect("JSON");
                let item = items[0].as_object_mut().expect("an object");
                match text.as_str() {
                    "" => item.remove("RepoTags"),
                    text => item.insert(
                        "RepoTags".to_owned(),
                        serde_json::from_str(text).expect("JSON"),
                    ),
                };
                archive
                    .tree()
                    .replace("manifest.json", items.to_string())
                    .tar(&Packing::default())
            }
            Annotations => {
                let annotations: Value = serde_json::from_str(&text).expect("JSON");
                let annotations: Vec<_> = annotations
                    .as_object()
                    .expect("an object")
                    .iter()
                    .map(|(key, value)| (in_full(key), value.as_str().expect("a text")))
                    .collect();
                let annotations: Vec<_> = annotations
                    .iter()
                    .map(|(key, value)| (key.as_str(), *value))
                    .collect();
                Layout::new().entry(image, &annotations).tar()
            }
            Path => Layout::new().entry(image, &[]).tar(),
        }
    }
}

/// With the digests that belong to the image.
fn filled(text: &str, image: &Image) -> String {
    text.replace(OTHER, &format!("sha256:{}", "f".repeat(64)))
        .replace(DIGEST, &image.digest())
        .replace(HEX, &"0123456789abcdef".repeat(4))
}

/// The whole key of an annotation.
fn in_full(key: &str) -> String {
    match key {
        "ref.name" => REF_NAME.to_owned(),
        "image.name" => IMAGE_NAME.to_owned(),
        "base.name" => "org.opencontainers.image.base.name".to_owned(),
        source => format!("containerd.io/{source}"),
    }
}

#[test]
fn every_form_of_a_name() {
    let differences: Vec<_> = FORMS.iter().flat_map(Form::differences).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The name that one archive gives an image says nothing about the same image in another.
#[test]
fn one_image_under_many_names() {
    let image = Image::new("many");
    let folder = tempfile::tempdir().expect("a folder");
    let names = [
        "docker.io/library/app:1",
        "ghcr.io/acme/app:1",
        "localhost/app:2",
    ];
    for (number, name) in names.iter().enumerate() {
        let layout = Layout::new().named(&image, name);
        fs::write(folder.path().join(format!("{number}.tar")), layout.tar()).expect("a file");
    }
    let served = names.map(|name| format!("{name} {}", image.digest()));
    assert_eq!(Listing::of(folder.path()).images(), served);
    assert_eq!(
        json!(image.digest()),
        Listing::of(folder.path()).0["repositories"][0]["tags"][0]["digest"]
    );
}
