//! The verifier: hashes blobs whose digest is only claimed, each once, however many clients are being sent it.
//!
//! It works on threads of its own. Who sends a whole blob meanwhile holds its end back until the verdict is known; a
//! part of one is sent on the claim. What turns out to be wrong is quarantined in its [`Source`], where whoever opens
//! content finds it.
//!
//! [`Source`]: crate::content::Source

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use super::in_parallel;
use crate::content::{Copy, Extent, File, OpenError, Opened, Part, Ticket, Verdict};

/// Hashes all of `copies` on all cores, the longest first; `read` is called with the length of each piece before that is
/// read. Gives the files that could not be read, and why.
pub fn hash_all(
    mut copies: Vec<Copy>,
    read: impl Fn(usize) + Sync,
) -> BTreeMap<PathBuf, OpenError> {
    copies.sort_by_key(|copy| Reverse(copy.len()));
    let verify = |copy: &Copy| copy.verify(None, &read);
    let verdicts = in_parallel(&copies, verify);
    let failed = copies.iter().zip(verdicts).filter_map(|(copy, verdict)| {
        let error = verdict.map_or(Some(OpenError::Unreadable), Result::err)?;
        Some((copy.place().0.location().path(), error))
    });
    failed.collect()
}

/// Hashes blobs. Clones are the same verifier.
#[derive(Clone, Default)]
pub struct Verifier(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to hash, and when nothing is any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is to be hashed, in this order.
    queue: VecDeque<Job>,
    /// What is queued or is being hashed, for whoever asks for the same.
    tickets: HashMap<Place, Arc<Ticket>>,
}

/// A claim: the address of its source, which whoever waits for the verdict keeps alive, and its number there.
type Place = (usize, usize);

struct Job {
    copy: Copy,
    /// The file as a client is being sent it: its bytes count, also if another file has taken its name. Not kept open
    /// for this.
    file: Weak<File>,
}

impl Verifier {
    /// Starts a thread for each core. `wrong` is called after something was quarantined.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(&self, wrong: impl Fn() + Clone + Send + 'static) -> std::io::Result<()> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        for _ in 0..threads {
            let (verifier, wrong) = (self.clone(), wrong.clone());
            thread::Builder::new()
                .name("verifier".to_owned())
                .spawn(move || verifier.work(&wrong))?;
        }
        Ok(())
    }

    /// Has whatever of `opened` was never hashed be hashed, and holds back the ends of those blobs that are whole.
    pub fn watch(&self, opened: &mut Opened) {
        for part in &mut opened.parts {
            if let Part::Extent(extent) = part
                && extent.copy().verdict() == Verdict::Claimed
            {
                self.watch_extent(extent);
            }
        }
    }

    fn watch_extent(&self, extent: &mut Extent) {
        let job = Job {
            copy: extent.copy().clone(),
            file: Arc::downgrade(extent.file()),
        };
        if extent.is_whole() {
            extent.hold_back(self.ask(job));
        } else {
            self.ask_first(job);
        }
    }

    /// Queues `job` behind all others, and gives its ticket.
    fn ask(&self, job: Job) -> Arc<Ticket> {
        let mut state = self.state();
        // Known by now, perhaps.
        if job.copy.verdict() != Verdict::Claimed {
            let ticket = Ticket::default();
            ticket.settle(job.copy.verdict() == Verdict::Verified);
            return Arc::new(ticket);
        }
        if let Some(ticket) = state.tickets.get(&place(&job.copy)) {
            return Arc::clone(ticket);
        }
        let ticket = Arc::new(Ticket::default());
        state.tickets.insert(place(&job.copy), Arc::clone(&ticket));
        state.queue.push_back(job);
        drop(state);
        self.0.changed.notify_all();
        ticket
    }

    /// Queues `job` before all others: its bytes are on their way already.
    fn ask_first(&self, job: Job) {
        let wanted = place(&job.copy);
        drop(self.ask(job));
        let mut state = self.state();
        let queued = state
            .queue
            .iter()
            .position(|job| place(&job.copy) == wanted);
        if let Some(job) = queued.and_then(|at| state.queue.remove(at)) {
            state.queue.push_front(job);
        }
    }

    fn work(&self, wrong: &dyn Fn()) {
        loop {
            let job = self.next();
            let verdict = job.copy.verify(job.file.upgrade(), |_| ());
            self.done(&job.copy, verdict == Ok(Verdict::Verified));
            if verdict == Ok(Verdict::Quarantined) {
                wrong();
            }
        }
    }

    fn next(&self) -> Job {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return job;
            }
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells whoever waits. A blob that could not be read is not said to be right, and is hashed anew when it is asked
    /// for again.
    fn done(&self, copy: &Copy, is_right: bool) {
        let ticket = self.state().tickets.remove(&place(copy));
        self.0.changed.notify_all();
        if let Some(ticket) = ticket {
            ticket.settle(is_right);
        }
    }

    /// Hashes what nobody has asked for, as long as nothing else is to be hashed.
    pub(super) fn verify_gently(&self, copy: &Copy) -> Option<Verdict> {
        copy.verify(None, |_| self.wait_for_rest()).ok()
    }

    fn wait_for_rest(&self) {
        let mut state = self.state();
        while !state.tickets.is_empty() {
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic leaves it half changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(copy: &Copy) -> Place {
    let (source, claim) = copy.place();
    (Arc::as_ptr(source).addr(), claim)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::content::{Claim, Content, Location, Root, Source};
    use crate::digest::Digest;

    const LENGTH: usize = 200_000;
    static ZEROS: [u8; LENGTH] = [0; LENGTH];

    /// A file of zeros in `folder`, and a copy that claims that they are `said`.
    fn copy_of(folder: &Path, said: &[u8]) -> Copy {
        std::fs::write(folder.join("file"), ZEROS).unwrap();
        let location = Location::new(Root::new(folder), Path::new("file"));
        let identity = *File::open(&location).unwrap().identity();
        let place = crate::content::Place::Extent {
            offset: 0,
            length: LENGTH as u64,
        };
        let digest = Digest::sha256(said);
        let claims = vec![Claim { digest, place }];
        Copy::new(Arc::new(Source::new(location, identity, claims)), 0)
    }

    fn open(copy: &Copy) -> Opened {
        Content::blob(vec![copy.clone()], LENGTH as u64)
            .open()
            .unwrap()
    }

    fn ticket(verifier: &Verifier, copy: &Copy) -> Arc<Ticket> {
        verifier.ask(Job {
            copy: copy.clone(),
            file: Weak::new(),
        })
    }

    fn wait(ticket: &Ticket) -> bool {
        let context = Context::from_waker(Waker::noop());
        for _ in 0..2_000 {
            if let Poll::Ready(is_right) = ticket.poll(&context) {
                return is_right;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("no verdict after ten seconds");
    }

    #[test]
    fn one_blob_is_one_job() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let verifier = Verifier::default();
        let tickets: Vec<_> = (0..100).map(|_| ticket(&verifier, &copy)).collect();
        assert_eq!(verifier.state().queue.len(), 1);
        assert!(tickets.iter().all(|one| Arc::ptr_eq(one, &tickets[0])));
        verifier.start(|| ()).unwrap();
        assert!(tickets.iter().all(|ticket| wait(ticket)));
        assert_eq!(copy.verdict(), Verdict::Verified);
        assert!(wait(&ticket(&verifier, &copy)), "known without a job");
        assert!(verifier.state().queue.is_empty() && verifier.state().tickets.is_empty());
    }

    #[test]
    fn what_is_wrong_is_quarantined() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), b"something else");
        let calls = Arc::new(AtomicUsize::new(0));
        let verifier = Verifier::default();
        let ticket = ticket(&verifier, &copy);
        let counted = Arc::clone(&calls);
        verifier
            .start(move || _ = counted.fetch_add(1, Ordering::Relaxed))
            .unwrap();
        assert!(!wait(&ticket));
        assert_eq!(copy.verdict(), Verdict::Quarantined);
        let again = Content::blob(vec![copy.clone()], LENGTH as u64).open();
        assert_eq!(again.unwrap_err(), crate::content::OpenError::Damaged);
        while calls.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!(copy.place().0.quarantined().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_not_said_to_be_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        std::fs::remove_file(folder.path().join("file")).unwrap();
        let verifier = Verifier::default();
        verifier.start(|| panic!("nothing is quarantined")).unwrap();
        assert!(!wait(&ticket(&verifier, &copy)));
        assert_eq!(copy.verdict(), Verdict::Claimed);
    }

    #[test]
    fn the_end_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let verifier = Verifier::default();
        let mut opened = open(&copy);
        verifier.watch(&mut opened);
        let Part::Extent(extent) = &mut opened.parts[0] else {
            panic!("an extent");
        };
        let context = Context::from_waker(Waker::noop());
        let mut buffer = vec![0; LENGTH];
        assert!(extent.poll_ready(&context).is_ready());
        assert_eq!(extent.read(&mut buffer).unwrap(), LENGTH - (64 << 10));
        assert!(extent.poll_ready(&context).is_pending());
        assert_eq!(extent.read(&mut buffer).unwrap(), 0);
        // Another file takes the name: the bytes that are being sent are those that count.
        std::fs::write(folder.path().join("other"), b"other").unwrap();
        std::fs::rename(folder.path().join("other"), folder.path().join("file")).unwrap();
        verifier.start(|| ()).unwrap();
        wait(&ticket(&verifier, &copy));
        assert!(matches!(extent.poll_ready(&context), Poll::Ready(Ok(()))));
        assert_eq!(extent.read(&mut buffer).unwrap(), 64 << 10);
    }

    #[test]
    fn parts_go_before() {
        let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
        let copies = [0, 1, 2].map(|at: usize| copy_of(folders[at].path(), &ZEROS));
        let verifier = Verifier::default();
        let mut opened = copies.each_ref().map(open);
        for opened in &mut opened {
            verifier.watch(opened);
        }
        let part = Content::blob(vec![copies[2].clone()], LENGTH as u64).slice(5..10);
        let mut part = part.open().unwrap();
        verifier.watch(&mut part);
        let Part::Extent(extent) = &mut part.parts[0] else {
            panic!("an extent");
        };
        let mut buffer = [1; 5];
        assert_eq!(extent.read(&mut buffer).unwrap(), 5, "sent on the claim");
        let order = |state: &State| -> Vec<Place> {
            state.queue.iter().map(|job| place(&job.copy)).collect()
        };
        let expected = [2, 0, 1].map(|at: usize| place(&copies[at]));
        assert_eq!(order(&verifier.state()), expected);
    }
}
