//! Whether all of an image is there and right.

use std::collections::BTreeSet;

use super::View;
use crate::archive::{Found, Role};
use crate::content::{Copy, Verdict};
use crate::digest::Digest;

/// What is wrong with a part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// No archive holds a manifest that an index lists: a platform was not saved.
    Sparse,
    /// No archive holds it, and it was said to be there.
    Missing,
    /// Whatever holds it has other bytes.
    Damaged,
}

impl View<'_> {
    /// What is wrong with the image `root`, of which those manifests are passed over that `is_left_out`, with all that they
    /// reach. Bytes count as right as long as nobody has hashed them.
    pub fn flaws(
        &self,
        root: &Digest,
        is_left_out: impl Fn(&Digest) -> bool,
    ) -> Vec<(Digest, Flaw)> {
        let mut flaws = Vec::new();
        let mut seen = BTreeSet::new();
        let mut pending = vec![(root.clone(), Role::Manifest)];
        while let Some((digest, role)) = pending.pop() {
            if is_left_out(&digest) || !seen.insert(digest.clone()) {
                continue;
            }
            if let Some(flaw) = self.flaw(&digest, role) {
                flaws.push((digest, flaw));
                continue;
            }
            pending.extend(self.references(&digest));
        }
        flaws.sort();
        flaws
    }

    fn flaw(&self, digest: &Digest, role: Role) -> Option<Flaw> {
        if self.made(digest).is_some() {
            return None;
        }
        let copies = self
            .copies(digest)
            .map_or_else(Vec::new, |(copies, _)| copies);
        let is_wrong = |copy: &Copy| copy.verdict() == Verdict::Quarantined;
        match role {
            _ if copies.iter().any(|copy| !is_wrong(copy)) => None,
            _ if !copies.is_empty() => Some(Flaw::Damaged),
            Role::Manifest => Some(Flaw::Sparse),
            Role::Blob => Some(Flaw::Missing),
            // It is had from elsewhere.
            Role::Foreign => None,
        }
    }

    /// What the document `digest` refers to; nothing if it is none.
    fn references(&self, digest: &Digest) -> Vec<(Digest, Role)> {
        if let Some(made) = self.made(digest) {
            let parts = made.parts.iter();
            return parts
                .map(|part| (part.image().root.clone(), Role::Manifest))
                .collect();
        }
        let of = |found: &Found| {
            let document = found.document(digest)?;
            let role = |position: u32| match found.lacking_at(position) {
                Some(lacking) => lacking.role,
                None if found.is_document(position) => Role::Manifest,
                None => Role::Blob,
            };
            let references = found.references(document).iter();
            Some(
                references
                    .map(|position| (found.digest(*position), role(*position)))
                    .collect(),
            )
        };
        let mut holdings = self.repository().holdings.iter();
        let references = holdings.find_map(|holding| of(&holding.archive.found));
        references.unwrap_or_default()
    }
}
