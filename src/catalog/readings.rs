//! Reading what is new, root by root: what takes long in one of them keeps nothing in the others waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::Archive;
use super::look::Step;
use super::reading::read_all;
use crate::cache::Cache;

/// What takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Archives by root, then by path, and whether one of them is to be read again soon, as it was written to while it was read.
pub(super) type Archives = (Vec<Arc<Archive>>, bool);

/// What is being read, and what was read when nobody waited for it any more.
#[derive(Default)]
pub(super) struct Readings {
    /// By the numbers of the roots.
    under_way: BTreeMap<usize, Receiver<Archives>>,
    /// Those of one root are sorted by path.
    late: Vec<Arc<Archive>>,
}

impl Readings {
    /// Takes what has been read late, in place of what was before.
    pub(super) fn take_late(&mut self) {
        let late = &mut self.late;
        self.under_way
            .retain(|root, reading| match reading.try_recv() {
                Ok((archives, _)) => {
                    late.retain(|archive| archive.place().0 != *root);
                    late.extend(archives);
                    false
                }
                Err(error) => error == TryRecvError::Empty,
            });
    }

    /// The numbers of the roots of which something was being read still when that was asked last.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = usize> {
        self.under_way.keys().copied()
    }

    /// What comes of `steps`, of which those in unfinished roots are to be kept. A root of which not all can be read in time is
    /// unfinished from then on, and keeps what it has of the archives `before`.
    pub(super) fn read(
        &mut self,
        steps: Vec<Step>,
        before: &[Arc<Archive>],
        cache: Option<&Arc<Cache>>,
    ) -> Archives {
        let mut by_root: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
        for step in steps {
            by_root.entry(step.root()).or_default().push(step);
        }
        let is_read = |step: &Step| matches!(step, Step::Read { .. });
        let (mut archives, mut is_changing, mut begun) = (Vec::new(), false, Vec::new());
        for (root, steps) in by_root {
            if !steps.iter().any(is_read) {
                archives.append(&mut read_all(&steps, &[], None).0);
            } else if let Ok(reading) = self.begin(root, steps, cache.cloned()) {
                begun.push((root, reading));
            } else {
                // There may be room for another thread in a moment.
                is_changing = true;
                archives.extend(in_root(before, root));
            }
        }
        let deadline = Instant::now() + PATIENCE;
        for (root, reading) in begun {
            let patience = deadline.saturating_duration_since(Instant::now());
            if let Ok((mut read, changing)) = reading.recv_timeout(patience) {
                archives.append(&mut read);
                is_changing |= changing;
            } else {
                archives.extend(in_root(before, root));
                self.under_way.insert(root, reading);
            }
        }
        archives.sort_by(|a, b| a.order(b));
        (archives, is_changing)
    }

    /// Takes these steps in the root number `root` on a thread of its own. What was read late is not read again.
    fn begin(
        &mut self,
        root: usize,
        steps: Vec<Step>,
        cache: Option<Arc<Cache>>,
    ) -> io::Result<Receiver<Archives>> {
        let (tell, read) = mpsc::channel();
        let is_here = |archive: &mut Arc<Archive>| archive.place().0 == root;
        let late: Vec<Arc<Archive>> = self.late.extract_if(.., is_here).collect();
        let thread = thread::Builder::new().name("reader".to_owned());
        thread.spawn(move || {
            let hints = cache.as_deref().map(Cache::hints);
            // Nobody may want to know any more.
            let _ = tell.send(read_all(&steps, &late, hints.as_ref()));
        })?;
        Ok(read)
    }
}

fn in_root(archives: &[Arc<Archive>], root: usize) -> impl Iterator<Item = Arc<Archive>> {
    let is_here = move |archive: &&Arc<Archive>| archive.place().0 == root;
    archives.iter().filter(is_here).cloned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::archive::{Candidate, Learned, Stamp};
    use crate::content::{File, Location, Root};

    /// The step that reads the file `name` in the root number `root`, which is `folder`.
    fn step(folder: &Path, root: usize, name: &str) -> Step {
        let location = Location::new(Root::new(folder), Path::new(name));
        let stamp = Stamp::File(*File::open(&location).unwrap().identity());
        Step::Read {
            root,
            candidate: Candidate { location, stamp },
            before: None,
        }
    }

    fn paths(archives: &[Arc<Archive>]) -> Vec<(usize, &str)> {
        let places = archives.iter().map(|archive| archive.place());
        places
            .map(|(root, path)| (root, path.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn what_was_read_late_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d", "x"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let step = |root, name| step(folder.path(), root, name);
        let late = |root, name| match step(root, name) {
            Step::Read { candidate, .. } => {
                Arc::new(Archive::read(root, candidate, Learned::default()))
            }
            Step::Keep(archive) => archive,
        };
        let ((tell, slow), (_silent, silent)) = (mpsc::channel(), mpsc::channel());
        let mut readings = Readings {
            under_way: BTreeMap::from([(1, slow), (2, silent)]),
            late: Vec::new(),
        };
        readings.take_late();
        assert!(readings.unfinished().eq([1, 2]));
        let archives = [late(1, "a"), late(1, "b"), late(1, "c")];
        tell.send((archives.to_vec(), false)).unwrap();
        readings.take_late();
        assert!(readings.unfinished().eq([2]));
        let kept = Step::Keep(late(2, "d"));
        fs::write(folder.path().join("b"), "another").unwrap();
        let steps = vec![step(0, "x"), step(1, "a"), step(1, "b"), kept];
        let (read, is_changing) = readings.read(steps, &[], None);
        assert_eq!(paths(&read), [(0, "x"), (1, "a"), (1, "b"), (2, "d")]);
        assert!(!is_changing);
        assert!(Arc::ptr_eq(&read[1], &archives[0]));
        assert!(!Arc::ptr_eq(&read[2], &archives[1]), "it is another file");
        assert!(readings.late.is_empty());
    }
}
