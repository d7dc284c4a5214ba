//! What a verification found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Hashed;
use super::absent::{self, Absent};
use super::checked::{self, Checked};
use super::wanted::Wanted;
use crate::catalog::{Problem, Severity, Snapshot, is_wanted};
use crate::digest::Digest;
use crate::oci::Platform;

/// Kinds of problems with files that are called archives and are none: nothing else suffers from them, but whoever wants to
/// know whether the archives are sound was to have something there.
const NO_ARCHIVE: [&str; 3] = ["empty-file", "not-an-archive", "old-docker"];
/// Kinds of problems with archives that are sound and hold no images.
const NO_IMAGES: [&str; 2] = ["no-layout", "no-images"];
/// What is told with the images, part by part.
const INCOMPLETE: &str = "incomplete";

/// What is verified, and what for.
pub(super) struct Scope<'s> {
    /// The paths that were named, each once.
    pub(super) paths: &'s [PathBuf],
    /// The images that must be there.
    pub(super) wanted: &'s [Wanted],
    /// The platforms that matter; all of them if there is none.
    pub(super) platforms: &'s [Platform],
    /// Whether warnings count as errors.
    pub(super) is_strict: bool,
}

/// All that was found.
pub(super) struct Report<'s> {
    pub(super) scope: Scope<'s>,
    pub(super) hashed: &'s Hashed,
    /// How many archives there are of which something was kept.
    pub(super) archives: usize,
    /// The images that are for one of the platforms that matter, by name.
    pub(super) images: Vec<Checked>,
    /// Those that must be there and are not.
    pub(super) absent: Vec<Absent<'s>>,
    /// What is wrong with the files, and how much it matters here.
    pub(super) problems: Vec<Problem>,
    /// The paths in which there is no image, where nothing else says why.
    pub(super) empty_paths: Vec<&'s Path>,
    /// The platforms for which there is no image, likewise.
    pub(super) empty_platforms: Vec<&'s Platform>,
}

impl<'s> Report<'s> {
    pub(super) fn of(snapshot: &'s Snapshot, hashed: &'s Hashed, scope: Scope<'s>) -> Self {
        let images = checked::all(snapshot, scope.platforms);
        let absent = absent::all(snapshot, &scope, &images);
        let archives = snapshot.archives().iter();
        let mut report = Self {
            hashed,
            archives: archives
                .filter(|archive| !archive.found.sources.is_empty())
                .count(),
            absent,
            problems: Vec::new(),
            empty_paths: Vec::new(),
            empty_platforms: Vec::new(),
            images,
            scope,
        };
        let without_images = report.without_images(snapshot);
        let problems = snapshot.problems().iter();
        let needs = report.needs();
        let problems: Vec<Problem> = problems
            .filter_map(|problem| report.judged(problem, &without_images, &needs))
            .collect();
        report.problems = problems;
        report.empty_paths = without_images
            .into_iter()
            .filter(|path| !report.has_error_in(path))
            .collect();
        if report.faulty_files().is_empty() && report.empty_paths.is_empty() {
            report.empty_platforms = report.without_platform();
        }
        report
    }

    /// The paths in which no archive names an image.
    fn without_images(&self, snapshot: &Snapshot) -> Vec<&'s Path> {
        let archives = snapshot.archives().iter();
        let holding = archives.filter(|archive| {
            let found = &archive.found;
            !found.images.is_empty() || !found.lost.is_empty() || !found.pending.is_empty()
        });
        let holding: Vec<PathBuf> = holding.map(|archive| archive.path()).collect();
        let paths = self.scope.paths.iter().map(PathBuf::as_path);
        paths
            .filter(|path| !holding.iter().any(|archive| archive.starts_with(path)))
            .collect()
    }

    /// The platforms that no image is for, as far as that is known.
    fn without_platform(&self) -> Vec<&'s Platform> {
        let is_for = |platform: &Platform, image: &Checked| {
            let inspection = &image.inspection;
            let mut told = inspection.platforms.iter();
            inspection.is_of_unknown_platform
                || told.any(|told| is_wanted(told, std::slice::from_ref(platform)))
        };
        let platforms = self.scope.platforms.iter();
        platforms
            .filter(|platform| !self.images.iter().any(|image| is_for(platform, image)))
            .collect()
    }

    /// All that is needed of the images that matter.
    fn needs(&self) -> BTreeSet<&Digest> {
        let images = self.images.iter();
        images.flat_map(|image| &image.inspection.needs).collect()
    }

    /// The problem with the severity that it has here; `None` if it is none.
    fn judged(
        &self,
        problem: &Problem,
        without_images: &[&Path],
        needs: &BTreeSet<&Digest>,
    ) -> Option<Problem> {
        if problem.severity == Severity::Note || problem.kind == INCOMPLETE {
            return None;
        }
        let is_empty = without_images.contains(&problem.file.as_path());
        let is_for_others = || {
            let blob = problem.blob.as_ref();
            !self.scope.platforms.is_empty() && blob.is_some_and(|blob| !needs.contains(blob))
        };
        let severity = if NO_ARCHIVE.contains(&problem.kind)
            || is_empty && NO_IMAGES.contains(&problem.kind)
        {
            Severity::Error
        } else if is_for_others() {
            Severity::Warning
        } else {
            problem.severity
        };
        Some(Problem {
            severity,
            ..problem.clone()
        })
    }

    fn has_error_in(&self, path: &Path) -> bool {
        let files = self.faulty_files();
        files.iter().any(|file| file.starts_with(path))
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

    /// How much what is wrong with an image matters here; `None` if nothing is.
    pub(super) fn severity(&self, image: &Checked) -> Option<Severity> {
        image.severity(self.scope.platforms)
    }

    /// The images that are not whole.
    pub(super) fn broken(&self) -> impl Iterator<Item = &Checked> {
        let images = self.images.iter();
        images.filter(|image| self.severity(image) == Some(Severity::Error))
    }

    /// The images that nobody has signed, as far as one can see here.
    pub(super) fn unsigned(&self) -> impl Iterator<Item = &Checked> {
        let images = self.images.iter();
        images.filter(|image| image.is_signed == Some(false))
    }

    /// Whether something is damaged or missing.
    pub(super) fn has_errors(&self) -> bool {
        !self.faulty_files().is_empty()
            || self.broken().next().is_some()
            || !self.absent.is_empty()
            || !self.empty_paths.is_empty()
            || !self.empty_platforms.is_empty()
    }

    /// How many warnings there are. That images are not signed is one.
    pub(super) fn warnings(&self) -> usize {
        let is_warning = |severity: &Severity| *severity == Severity::Warning;
        let problems = self.problems.iter().map(|problem| problem.severity);
        let images = self.images.iter().filter_map(|image| self.severity(image));
        let of_files_and_images = problems.chain(images).filter(is_warning).count();
        of_files_and_images + usize::from(self.unsigned().next().is_some())
    }

    /// Whether nothing is wrong; if that is how strict one is, nothing at all.
    pub(super) fn is_sound(&self) -> bool {
        !self.has_errors() && (!self.scope.is_strict || self.warnings() == 0)
    }
}
