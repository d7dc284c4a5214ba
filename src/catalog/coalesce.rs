//! What a tag means that several archives give to different images.
//!
//! Images for different platforms become one index. Where two images are for the same platform one has to win: the one
//! that was made last, else the one in the file whose name is greatest, else the one with the greatest digest. When a
//! file was written never counts: that depends on how it was copied.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::archive::{Found, Image, Role};
use crate::digest::Digest;
use crate::oci::{Platform, version};

/// One of the images that claim a tag; all that are given together have different digests.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The image as each archive that it lies in has it, at least one: they may lack different parts of it.
    pub copies: Vec<(&'a Image, &'a Found)>,
    /// The name of that file, or the greatest where several hold the image.
    pub file_name: String,
}

/// Who gets the tag. Candidates are told by their numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the tag means.
    pub choice: Choice,
    /// Who lost, each with who won: a conflict.
    pub losers: Vec<(usize, usize)>,
    /// Single images whose platform an index has too, each with that index.
    pub shadowed: Vec<(usize, usize)>,
}

/// What a tag means.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of the images.
    One(usize),
    /// An index to be made of several.
    Index(Vec<usize>),
}

enum Kind {
    Index,
    /// An image for this platform, in its one spelling.
    Single(Platform),
    /// An artifact or the like: never put together with anything.
    Other,
}

impl Candidate<'_> {
    fn root(&self) -> &Digest {
        &self.copies[0].0.root
    }

    fn kind(&self) -> Kind {
        let (_, found) = self.copies[0];
        let is_index = found
            .document(self.root())
            .is_some_and(super::Document::is_index);
        match (is_index, self.platforms().next()) {
            (true, Some(_)) => Kind::Index,
            (true, None) if self.is_sparse() => Kind::Index,
            (false, Some(single)) => Kind::Single(single.normalized()),
            _ => Kind::Other,
        }
    }

    fn platforms(&self) -> impl Iterator<Item = &Platform> {
        let images = self.copies.iter().flat_map(|(image, _)| &image.platforms);
        images.map(|image| &*image.platform)
    }

    /// Whether an archive lacks manifests of it, so that its platforms are not known.
    fn is_sparse(&self) -> bool {
        let is_manifest = |found: &Found, position| {
            let lacking = found.lacking_at(position);
            lacking.is_some_and(|lacking| lacking.role == Role::Manifest)
        };
        self.copies.iter().any(|(image, found)| {
            let mut reach = found.reach([&image.root]).into_iter();
            reach.any(|position| is_manifest(found, position))
        })
    }

    /// What each of its copies reaches, with the archive that this is in.
    fn reaches(&self) -> Vec<(&Found, Vec<u32>)> {
        let copies = self.copies.iter();
        copies
            .map(|(image, found)| (*found, found.reach([&image.root])))
            .collect()
    }

    fn created(&self) -> Option<Timestamp> {
        let images = self.copies.iter();
        images.filter_map(|(image, _)| image.created).max()
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.created().cmp(&other.created()))
            .then_with(|| version::compare_file_names(&self.file_name, &other.file_name))
            .then_with(|| self.root().cmp(other.root()))
    }
}

/// Decides between `candidates`, of which there is at least one.
pub fn decide(candidates: &[Candidate<'_>]) -> Decision {
    let all: Vec<usize> = (0..candidates.len()).collect();
    if let [_] = candidates {
        return newest(candidates, &all);
    }
    let (mut indexes, mut singles) = (Vec::new(), Vec::new());
    for (number, candidate) in candidates.iter().enumerate() {
        match candidate.kind() {
            Kind::Index => indexes.push(number),
            Kind::Single(platform) => singles.push((number, platform)),
            Kind::Other => return newest(candidates, &all),
        }
    }
    let reaches: Vec<(&Found, Vec<u32>)> = indexes
        .iter()
        .flat_map(|index| candidates[*index].reaches())
        .collect();
    let is_child = |single: usize| {
        reaches.iter().any(|(found, reach)| {
            let position = found.position(candidates[single].root());
            position.is_some_and(|position| reach.binary_search(&position).is_ok())
        })
    };
    singles.retain(|(single, _)| !is_child(*single));
    match indexes.as_slice() {
        [] => by_platform(candidates, singles),
        [index] => beside_index(candidates, *index, singles),
        _ => {
            indexes.extend(singles.into_iter().map(|(single, _)| single));
            newest(candidates, &indexes)
        }
    }
}

/// The image that was made last.
fn newest(candidates: &[Candidate<'_>], among: &[usize]) -> Decision {
    let winner = among
        .iter()
        .copied()
        .max_by(|a, b| candidates[*a].order(&candidates[*b]));
    let winner = winner.unwrap_or_default();
    let losers = among.iter().filter(|number| **number != winner);
    Decision {
        choice: Choice::One(winner),
        losers: losers.map(|loser| (*loser, winner)).collect(),
        shadowed: Vec::new(),
    }
}

/// One image for each platform.
fn by_platform(candidates: &[Candidate<'_>], singles: Vec<(usize, Platform)>) -> Decision {
    let mut platforms: BTreeMap<Platform, Vec<usize>> = BTreeMap::new();
    for (single, platform) in singles {
        platforms.entry(platform).or_default().push(single);
    }
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for rivals in platforms.values() {
        let decision = newest(candidates, rivals);
        if let Choice::One(winner) = decision.choice {
            winners.push(winner);
        }
        losers.extend(decision.losers);
    }
    let choice = match winners.as_slice() {
        [winner] => Choice::One(*winner),
        _ => Choice::Index(winners),
    };
    Decision {
        choice,
        losers,
        shadowed: Vec::new(),
    }
}

/// An index counts before images for platforms that it has; images for others are rivals, because an index that comes
/// from elsewhere is never taken apart: that would destroy its digest.
fn beside_index(
    candidates: &[Candidate<'_>],
    index: usize,
    singles: Vec<(usize, Platform)>,
) -> Decision {
    let known: BTreeSet<Platform> = candidates[index]
        .platforms()
        .map(Platform::normalized)
        .collect();
    let (shadowed, rivals): (Vec<_>, Vec<_>) = singles
        .into_iter()
        .partition(|(_, platform)| known.contains(platform));
    let mut among = vec![index];
    among.extend(rivals.into_iter().map(|(single, _)| single));
    let shadowed = shadowed.into_iter().map(|(single, _)| (single, index));
    let mut decision = newest(candidates, &among);
    if decision.choice == Choice::One(index) {
        decision.shadowed = shadowed.collect();
    } else {
        let winner = decision.losers.first().map_or(index, |(_, winner)| *winner);
        decision
            .losers
            .extend(shadowed.map(|(single, _)| (single, winner)));
    }
    decision
}

#[cfg(test)]
mod tests;
