//! What a scan means beside what is known: what is kept, what is read, and what has to come to rest first.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::scan::Scan;
use super::settle::{Moment, Settling};
use super::{Archive, State};
use crate::archive::{Candidate, Fault, Problem, Stamp};
use crate::content::{Location, Root};

/// How long something has to stay the same before it is read.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// The same where a change may not show for some seconds: in files of other machines, or with times as coarse as those of FAT.
const LONG_PAUSE: Duration = Duration::from_secs(4);

/// What has gone is looked for once more after this time.
const MOVING: Duration = Duration::from_millis(10);

/// What one look at the roots has come to.
pub(super) struct Look {
    /// By root, then by path.
    pub steps: Vec<Step>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// The roots that have gone.
    pub lost: Vec<PathBuf>,
    /// Whether all this is to wait for what may come to rest in a moment.
    pub is_held: bool,
    /// When the next look is worth while, if something has not come to rest.
    pub again: Option<Duration>,
    /// Whether every change from now on is told.
    pub is_watched: bool,
}

/// What becomes of one place.
pub(super) enum Step {
    /// It is what it was.
    Keep(Arc<Archive>),
    /// It is read.
    Read {
        /// The number of its root.
        root: usize,
        /// What is there.
        candidate: Candidate,
        /// What was there, or what the same file was elsewhere.
        before: Option<Arc<Archive>>,
    },
}

impl Look {
    /// Compares `scans` of `roots`, made in this `moment`, with what is known; of the first ones all is taken as it is.
    pub(super) fn at(
        roots: &[Arc<Root>],
        scans: Vec<Scan>,
        state: &mut State,
        is_first: bool,
        moment: Moment,
    ) -> Self {
        let is_partial = scans.iter().any(|scan| scan.is_partial);
        let mut look = Self {
            steps: Vec::new(),
            problems: Vec::new(),
            lost: Vec::new(),
            is_held: false,
            again: None,
            is_watched: scans.iter().all(|scan| !scan.is_blind),
        };
        state.devices.resize(roots.len(), None);
        let known = Known::of(&state.stock.archives);
        for (number, mut scan) in scans.into_iter().enumerate() {
            let mut eye = Eye {
                number,
                root: &roots[number],
                known: &known,
                settling: &mut state.settling,
                device: &mut state.devices[number],
                is_first,
                moment,
                moved: HashSet::new(),
            };
            look.problems.append(&mut scan.problems);
            if let Some(fault) = eye.lost(&mut scan) {
                let path = roots[number].path();
                look.problems.push(Problem::new(path, &fault));
                look.lost.push(path.to_owned());
                look.steps.extend(eye.all());
            } else if eye.waits_for_emptiness(&scan) {
                look.steps.extend(eye.all());
            } else {
                look.steps.extend(eye.steps(scan));
            }
        }
        look.is_held = state.settling.holds(moment.now);
        look.again = state.settling.rest(moment.now);
        if is_partial {
            // Half a shelf would be a wrong answer.
            look.is_held = true;
            look.again = Some(PAUSE);
        }
        // Nothing tells that a disk is back.
        look.is_watched &= look.lost.is_empty();
        look
    }
}

/// Looks at one root.
struct Eye<'l, 'k> {
    number: usize,
    root: &'l Arc<Root>,
    known: &'l Known<'k>,
    settling: &'l mut Settling,
    /// What the root lay on when something was last seen in it.
    device: &'l mut Option<u64>,
    is_first: bool,
    moment: Moment,
    /// What was come across in another place.
    moved: HashSet<*const Archive>,
}

impl<'k> Eye<'_, 'k> {
    /// What was in the root.
    fn archives(&self) -> &'k [Arc<Archive>] {
        self.known.in_root(self.number)
    }

    /// Everything that was in the root, as it was.
    fn all(&self) -> impl Iterator<Item = Step> + 'k {
        self.archives().iter().cloned().map(Step::Keep)
    }

    /// Whether the root has gone, as an unmounted disk does, and how.
    fn lost(&self, scan: &mut Scan) -> Option<Fault> {
        let held = self.archives().len();
        let has_gone = scan.is_empty() && held > 0 && scan.device != *self.device;
        match scan.lost.take() {
            Some(error) => Some(Fault::Lost(Some(error), held)),
            None => has_gone.then_some(Fault::Lost(None, held)),
        }
    }

    /// Whether all that was in the root has gone only a moment ago.
    fn waits_for_emptiness(&mut self, scan: &Scan) -> bool {
        if !scan.is_empty() || self.archives().is_empty() {
            return false;
        }
        let nothing = Candidate {
            location: Location::new(Arc::clone(self.root), Path::new("")),
            stamp: Stamp::Folder(Vec::new()),
        };
        !self.is_settled(&nothing, scan.is_slow)
    }

    fn steps(&mut self, mut scan: Scan) -> Vec<Step> {
        if scan.is_empty() {
            return Vec::new();
        }
        let candidates = std::mem::take(&mut scan.candidates);
        if !candidates.is_empty() {
            *self.device = scan.device;
        }
        let mut before: BTreeMap<&Path, &Arc<Archive>> = self
            .archives()
            .iter()
            .map(|archive| (archive.place().1, archive))
            .collect();
        let mut steps = Vec::new();
        for candidate in candidates {
            let before = before.remove(candidate.location.relative());
            let may_be_same = scan.may_miss(candidate.location.relative());
            match before.filter(|_| may_be_same) {
                Some(before) => steps.push(Step::Keep(Arc::clone(before))),
                None => steps.extend(self.step(candidate, before, scan.is_slow)),
            }
        }
        for (path, archive) in before {
            let has_moved = self.moved.contains(&Arc::as_ptr(archive));
            // What could not be seen is not gone.
            if !has_moved && (scan.may_miss(path) || self.may_come(archive, scan.is_slow)) {
                steps.push(Step::Keep(Arc::clone(archive)));
            }
        }
        steps.sort_by(|a, b| a.path().cmp(b.path()));
        steps
    }

    /// Whether the next look may come across an archive that this one did not: a scan takes time, and what is replaced or moved
    /// meanwhile may be in none of the folders that were listed.
    fn may_come(&mut self, archive: &Archive, is_slow: bool) -> bool {
        let nothing = Candidate {
            location: Location::new(Arc::clone(self.root), archive.place().1),
            stamp: Stamp::Folder(Vec::new()),
        };
        if archive.is_file() && archive.path().is_file() {
            return !self.is_settled(&nothing, is_slow);
        }
        let (root, moment) = (self.number, self.moment);
        !self.settling.is_settled(root, &nothing, moment, MOVING)
    }

    /// What becomes of `candidate`, where `before` was; `None` if nothing does yet.
    fn step(
        &mut self,
        candidate: Candidate,
        before: Option<&Arc<Archive>>,
        is_slow: bool,
    ) -> Option<Step> {
        let root = self.number;
        let read = |candidate, before: Option<&Arc<Archive>>| Step::Read {
            root,
            candidate,
            before: before.cloned(),
        };
        if let Some(same) = before.filter(|before| before.is_of(&candidate)) {
            return Some(if same.is_unsettled {
                read(candidate, before)
            } else {
                Step::Keep(Arc::clone(same))
            });
        }
        // What is known has come to rest before.
        let here = before.filter(|before| before.is_moved_to(&candidate));
        if let Some(known) = here.or_else(|| self.known.find(&candidate)) {
            self.moved.insert(Arc::as_ptr(known));
            return Some(read(candidate, Some(known)));
        }
        if self.is_first || self.is_settled(&candidate, is_slow) {
            return Some(read(candidate, before));
        }
        before.cloned().map(Step::Keep)
    }

    fn is_settled(&mut self, candidate: &Candidate, is_slow: bool) -> bool {
        let pause = if is_slow { LONG_PAUSE } else { PAUSE };
        self.settling
            .is_settled(self.number, candidate, self.moment, pause)
    }
}

impl Step {
    fn path(&self) -> &Path {
        match self {
            Self::Keep(archive) => archive.place().1,
            Self::Read { candidate, .. } => candidate.location.relative(),
        }
    }
}

/// The archives that are known.
struct Known<'k> {
    archives: &'k [Arc<Archive>],
    /// By the numbers of their files; few looks ask for these.
    by_inode: OnceCell<HashMap<u64, Vec<&'k Arc<Archive>>>>,
}

impl<'k> Known<'k> {
    fn of(archives: &'k [Arc<Archive>]) -> Self {
        Self {
            archives,
            by_inode: OnceCell::new(),
        }
    }

    fn in_root(&self, root: usize) -> &'k [Arc<Archive>] {
        let start = self
            .archives
            .partition_point(|archive| archive.place().0 < root);
        let end = self
            .archives
            .partition_point(|archive| archive.place().0 <= root);
        &self.archives[start..end]
    }

    /// What `candidate` is known to be, perhaps by another name.
    fn find(&self, candidate: &Candidate) -> Option<&'k Arc<Archive>> {
        let by_inode = self.by_inode.get_or_init(|| {
            let mut by_inode: HashMap<u64, Vec<&Arc<Archive>>> = HashMap::new();
            for archive in self.archives {
                if let Some(inode) = archive.inode() {
                    by_inode.entry(inode).or_default().push(archive);
                }
            }
            by_inode
        });
        let mut same = by_inode.get(&candidate.stamp.inode()?)?.iter();
        same.find(|archive| archive.is_moved_to(candidate)).copied()
    }
}
