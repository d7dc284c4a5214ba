//! Lists of images that must be there, as k3s, RKE2, Rancher and Talos publish them: one reference a line.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::oci::{Reference, Tag};

/// An image that must be there.
pub(super) struct Wanted {
    /// The line, as it stands in the list.
    pub(super) text: String,
    /// What it means.
    pub(super) reference: Reference,
}

impl Wanted {
    /// The tag to look for: `latest` where none is written and no digest is, either.
    pub(super) fn tag(&self) -> Option<Tag> {
        let Reference { tag, digest, .. } = &self.reference;
        match digest {
            Some(_) => tag.clone(),
            None => tag.clone().or_else(|| "latest".parse().ok()),
        }
    }
}

/// Reads the lists.
///
/// # Errors
/// If one cannot be read, or a line is no reference.
pub(super) fn read(lists: &[PathBuf]) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for list in lists {
        let path = list.display();
        let text = fs::read_to_string(list).with_context(|| {
            format!("cannot read the list of images `{path}`; check its name, and that this user may read it")
        })?;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match line.parse() {
                Ok(reference) => wanted.push(Wanted {
                    text: line.to_owned(),
                    reference,
                }),
                Err(error) => bail!(
                    "`{path}`, line {number}: `{line}` names no image: {error}; expected one reference a line"
                ),
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> anyhow::Result<Vec<Wanted>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(&[file.path().to_owned()])
    }

    #[test]
    fn lists_as_they_are_published() {
        let list = "# images of a release\n\ndocker.io/rancher/mirrored-pause:3.6\r\n  registry.k8s.io/pause # any\nalpine:3@sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\n";
        let wanted = read_text(list).unwrap();
        let shown: Vec<String> = wanted
            .iter()
            .map(|wanted| {
                format!(
                    "{} {:?}",
                    wanted.reference,
                    wanted.tag().map(|tag| tag.to_string())
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "docker.io/rancher/mirrored-pause:3.6 Some(\"3.6\")",
                "registry.k8s.io/pause Some(\"latest\")",
                "docker.io/library/alpine:3@sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9 Some(\"3\")",
            ]
        );
    }

    #[test]
    fn a_line_that_names_no_image_is_told_by_its_number() {
        let error = read_text("alpine:3\nUpper/Case:1 x\n").err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("line 2: `Upper/Case:1 x`"), "{text}");
    }
}
