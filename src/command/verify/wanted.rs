//! Lists of images that must be there, as k3s, RKE2, Rancher and Talos publish them: one reference a line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::archive::problem::Printable;
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

/// What stands for standard input.
const STDIN: &str = "-";
/// Longer than any list: those of whole distributions have some ten kilobytes.
const MAX_LIST: u64 = 16 << 20;
/// What some editors write before the text.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// As much of a line is told that is no reference.
const MAX_TOLD: usize = 100;

/// Reads the lists. What several lines name is wanted once.
///
/// # Errors
/// If one cannot be read, is no list, or has a line that is no reference.
pub(super) fn read(lists: &[PathBuf]) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let mut seen = BTreeSet::new();
    for list in lists {
        let name = if is_stdin(list) {
            "standard input".to_owned()
        } else {
            format!("`{}`", list.display())
        };
        let bytes = bytes_of(list).with_context(|| {
            format!("cannot read the list of images {name}; check its name, and that this user may read it")
        })?;
        let images = parse(&name, &bytes)?.into_iter();
        wanted.extend(images.filter(|wanted| seen.insert(wanted.reference.to_string())));
    }
    Ok(wanted)
}

fn is_stdin(list: &Path) -> bool {
    list.as_os_str() == STDIN
}

fn bytes_of(list: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if is_stdin(list) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(list)?)
    };
    let mut bytes = Vec::new();
    // One byte more than there may be tells that there are too many.
    source.take(MAX_LIST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<Wanted>> {
    const EXPECTED: &str = "expected one reference a line";
    if bytes.len() as u64 > MAX_LIST {
        bail!("{name} is no list of images: it is too long; {EXPECTED}");
    }
    let Some(text) = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
    else {
        bail!("{name} is no list of images: it is not text in UTF-8; {EXPECTED}");
    };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut wanted = Vec::new();
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
            Err(error) => {
                let told: String = line.chars().take(MAX_TOLD).collect();
                let told = Printable(&told);
                bail!("{name}, line {number}: `{told}` names no image: {error}; {EXPECTED}");
            }
        }
    }
    if wanted.is_empty() {
        bail!("{name} is no list of images: no image is in it; {EXPECTED}");
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
