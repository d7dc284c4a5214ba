//! The verifier: hashes blobs whose digest is only claimed, each once, however many clients are being sent it.
//!
//! It works on threads of its own. Who sends a whole blob meanwhile holds its end back until the verdict is known; a
//! part of one is sent on the claim. What turns out to be wrong is quarantined in its [`Source`], where whoever opens
//! content finds it.
//!
//! [`Source`]: crate::content::Source

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::SystemTime;

use super::reading::in_parallel;
use crate::cache::Cache;
use crate::content::{Copy, Extent, File, OpenError, Opened, Part, Ticket, Verdict};

/// Of one disk's blobs as many are hashed at once as there are cores, and at most of so many disks: a few that do not answer
/// hold up nobody but those who want something of them.
const DISKS: usize = 8;
/// Blobs up to this length go first: whoever wants one of these is held back with all of it.
const SHORT: u64 = 64 << 10;

/// Hashes all of `copies` on all cores, the longest first; `read` is called with the length of each piece before that is
/// read. Gives the files that are not what they were any more, and why.
pub fn hash_all(
    mut copies: Vec<Copy>,
    read: impl Fn(usize) + Sync,
) -> BTreeMap<PathBuf, OpenError> {
    copies.sort_by_key(|copy| Reverse(copy.len()));
    let outcomes = in_parallel(&copies, |copy| copy.verify(None, &read));
    let failed = copies.iter().zip(outcomes).filter_map(|(copy, outcome)| {
        let error = match outcome {
            // What is noted at the claim is told as a problem.
            Some(Ok(()) | Err(OpenError::Damaged | OpenError::Unreadable)) => return None,
            Some(Err(error)) => error,
            None => OpenError::Unreadable,
        };
        Some((copy.place().0.location().path(), error))
    });
    failed.collect()
}

/// Hashes blobs. Clones are the same verifier.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Whoever tells that something turned out to be wrong, unreadable, or readable again.
    faulty: Waker,
    /// What turns out to be right is remembered there.
    cache: Option<Arc<Cache>>,
    /// As many blobs of one disk are hashed at once.
    at_once: usize,
}

#[derive(Default)]
struct State {
    /// What is to be hashed, in the order in which it was asked for.
    queue: Vec<Job>,
    /// What is queued or is being hashed, for whoever asks for the same.
    tickets: HashMap<Place, Arc<Ticket>>,
    /// How many blobs of each disk are being hashed.
    busy: HashMap<u64, usize>,
    threads: usize,
}

/// A claim: the address of its source, which its job keeps alive, and its number there.
type Place = (usize, usize);

struct Job {
    copy: Copy,
    /// The file as a client is being sent it: its bytes count, also if another file has taken its name. It is not kept open
    /// for this until its turn comes.
    file: Weak<File>,
    rank: Rank,
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A blob so short that none of it is sent before.
    Short,
    /// One of which a part was sent on the claim.
    Sent,
    /// One whose end waits.
    Whole,
    /// One that nobody wants.
    Unasked,
}

impl Verifier {
    /// A verifier without threads: they come and go with the work. `faulty` is called when something turns out to be wrong,
    /// unreadable, or readable again, also by whoever sends what was verified before. It must not take long.
    pub fn new(faulty: impl Fn() + Send + Sync + 'static, cache: Option<Arc<Cache>>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            faulty: Waker::from(Arc::new(Call(faulty))),
            cache,
            at_once: thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }))
    }

    /// Has whatever of `opened` was never hashed be hashed, and holds back the ends of those blobs that are whole.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if some of it turned out to be wrong since it was opened.
    pub fn watch(&self, opened: &mut Opened) -> Result<(), OpenError> {
        for part in &mut opened.parts {
            if let Part::Extent(extent) = part {
                self.watch_extent(extent)?;
            }
        }
        Ok(())
    }

    fn watch_extent(&self, extent: &mut Extent) -> Result<(), OpenError> {
        extent.on_failure(self.0.faulty.clone());
        let copy = extent.copy().clone();
        let rank = match copy.verdict() {
            Verdict::Verified => return Ok(()),
            Verdict::Quarantined => return Err(OpenError::Damaged),
            _ if !extent.is_whole() => Rank::Sent,
            _ if copy.len() <= SHORT => Rank::Short,
            _ => Rank::Whole,
        };
        let file = Arc::downgrade(extent.file());
        let ticket = self.ask(Job { copy, file, rank });
        if extent.is_whole() {
            extent.hold_back(ticket);
        }
        Ok(())
    }

    /// Queues `job`, and gives its ticket.
    fn ask(&self, job: Job) -> Arc<Ticket> {
        let mut state = self.state();
        // Known by now, perhaps.
        match job.copy.verdict() {
            Verdict::Verified => return Arc::new(Ticket::settled(Ok(()))),
            Verdict::Quarantined => return Arc::new(Ticket::settled(Err(OpenError::Damaged))),
            Verdict::Claimed | Verdict::Unreadable => {}
        }
        let place = place(&job.copy);
        if let Some(ticket) = state.tickets.get(&place).cloned() {
            state.hurry(place, job.rank);
            return ticket;
        }
        let ticket = Arc::new(Ticket::default());
        state.tickets.insert(place, Arc::clone(&ticket));
        let is_startable = state.is_startable(&job, self.0.at_once);
        state.queue.push(job);
        if is_startable && state.threads < DISKS * self.0.at_once {
            state.threads += 1;
            drop(state);
            self.start();
        }
        ticket
    }

    /// Starts a thread, which ends when there is nothing left that it may do.
    fn start(&self) {
        let verifier = self.clone();
        let thread = thread::Builder::new().name("verifier".to_owned());
        if thread.spawn(move || verifier.work()).is_err() {
            self.give_up();
        }
    }

    /// Without a thread nobody would ever be told.
    fn give_up(&self) {
        let mut state = self.state();
        state.threads -= 1;
        if state.threads > 0 {
            return;
        }
        let queue = std::mem::take(&mut state.queue);
        let places = queue.iter().map(|job| place(&job.copy));
        let tickets: Vec<_> = places
            .filter_map(|place| state.tickets.remove(&place))
            .collect();
        drop(state);
        for ticket in tickets {
            ticket.settle(Err(OpenError::OutOfDescriptors));
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let began = SystemTime::now();
            let was_unreadable = job.copy.verdict() == Verdict::Unreadable;
            let hash = AssertUnwindSafe(|| job.copy.verify(job.file.upgrade(), |_| ()));
            // Should this program fail on it, whoever waits must be told all the same.
            let outcome = catch_unwind(hash).unwrap_or(Err(OpenError::Unreadable));
            self.done(&job.copy, outcome);
            if let (Ok(()), Some(cache)) = (outcome, &self.0.cache) {
                cache.verified(&job.copy, began);
            }
            let is_news = match outcome {
                Ok(()) => was_unreadable,
                Err(error) => matches!(error, OpenError::Damaged | OpenError::Unreadable),
            };
            if is_news {
                let _ = catch_unwind(AssertUnwindSafe(|| self.0.faulty.wake_by_ref()));
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let at_once = self.0.at_once;
        let jobs = state.queue.iter().enumerate();
        let jobs = jobs.filter(|(_, job)| state.is_startable(job, at_once));
        let next = jobs
            .min_by_key(|(at, job)| (job.rank, *at))
            .map(|(at, _)| at);
        let Some(at) = next else {
            state.threads -= 1;
            return None;
        };
        let job = state.queue.remove(at);
        *state.busy.entry(disk(&job.copy)).or_default() += 1;
        Some(job)
    }

    /// Tells whoever waits. A blob that could not be read is hashed anew when it is asked for again.
    fn done(&self, copy: &Copy, outcome: Result<(), OpenError>) {
        let mut state = self.state();
        if let Some(busy) = state.busy.get_mut(&disk(copy)) {
            *busy -= 1;
        }
        state.busy.retain(|_, busy| *busy > 0);
        let ticket = state.tickets.remove(&place(copy));
        drop(state);
        if let Some(ticket) = ticket {
            ticket.settle(outcome);
        }
    }

    /// Hashes what nobody has asked for, after all else, and waits for that.
    pub(super) fn verify_unasked(&self, copy: Copy) {
        let ticket = self.ask(Job {
            copy,
            file: Weak::new(),
            rank: Rank::Unasked,
        });
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while ticket.poll(&Context::from_waker(&waker)) == Poll::Pending {
            thread::park();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic leaves it half changed.
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_startable(&self, job: &Job, at_once: usize) -> bool {
        self.busy.get(&disk(&job.copy)).copied().unwrap_or(0) < at_once
    }

    /// Lets what is queued already go as early as whoever asks for it now would have it.
    fn hurry(&mut self, wanted: Place, rank: Rank) {
        let mut queued = self.queue.iter_mut();
        if let Some(job) = queued.find(|job| place(&job.copy) == wanted) {
            job.rank = job.rank.min(rank);
        }
    }
}

/// Calls a function.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn disk(copy: &Copy) -> u64 {
    copy.place().0.identity().device()
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

    fn extent(opened: &mut Opened) -> &mut Extent {
        match &mut opened.parts[0] {
            Part::Extent(extent) => extent,
            Part::Memory(_) => panic!("no extent"),
        }
    }

    /// A verifier that never begins.
    fn frozen() -> Verifier {
        Verifier(Arc::new(Shared {
            state: Mutex::default(),
            faulty: Waker::noop().clone(),
            cache: None,
            at_once: 0,
        }))
    }

    fn ask(verifier: &Verifier, copy: &Copy) -> Arc<Ticket> {
        verifier.ask(Job {
            copy: copy.clone(),
            file: Weak::new(),
            rank: Rank::Whole,
        })
    }

    fn wait(ticket: &Ticket) -> Result<(), OpenError> {
        let context = Context::from_waker(Waker::noop());
        for _ in 0..2_000 {
            if let Poll::Ready(outcome) = ticket.poll(&context) {
                return outcome;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("no outcome after ten seconds");
    }

    /// Once more nobody is busy.
    fn assert_idle(verifier: &Verifier) {
        for _ in 0..2_000 {
            let state = verifier.state();
            let left = (state.queue.len(), state.tickets.len(), state.busy.len());
            if (left, state.threads) == ((0, 0, 0), 0) {
                return;
            }
            drop(state);
            thread::sleep(Duration::from_millis(5));
        }
        panic!("something is left after ten seconds");
    }

    #[test]
    fn one_blob_is_one_job() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let verifier = frozen();
        let tickets: Vec<_> = (0..100).map(|_| ask(&verifier, &copy)).collect();
        assert_eq!(verifier.state().queue.len(), 1);
        assert!(tickets.iter().all(|one| Arc::ptr_eq(one, &tickets[0])));
    }

    #[test]
    fn what_is_right_is_hashed_and_known() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let verifier = Verifier::new(|| panic!("nothing is wrong"), None);
        assert_eq!(wait(&ask(&verifier, &copy)), Ok(()));
        assert_eq!(copy.verdict(), Verdict::Verified);
        assert_idle(&verifier);
        std::fs::remove_file(folder.path().join("file")).unwrap();
        assert_eq!(
            wait(&ask(&verifier, &copy)),
            Ok(()),
            "without looking again"
        );
        verifier.verify_unasked(copy_of(folder.path(), &ZEROS));
        assert_idle(&verifier);
    }

    #[test]
    fn what_is_wrong_is_quarantined() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), b"something else");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let verifier = Verifier::new(move || _ = counted.fetch_add(1, Ordering::Relaxed), None);
        assert_eq!(wait(&ask(&verifier, &copy)), Err(OpenError::Damaged));
        assert_eq!(copy.verdict(), Verdict::Quarantined);
        let again = Content::blob(vec![copy.clone()], LENGTH as u64).open();
        assert_eq!(again.unwrap_err(), OpenError::Damaged);
        assert_idle(&verifier);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(copy.place().0.faulty().count(), 1);
    }

    /// The verdict may come between the opening and the watching.
    #[test]
    fn what_turns_out_to_be_wrong_after_it_was_opened_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), b"something else");
        let (mut whole, mut part) = (open(&copy), open(&copy));
        let buffer = &mut [0; 5][..];
        extent(&mut part).read(buffer).unwrap();
        assert!(!extent(&mut part).is_whole());
        assert_eq!(copy.verify(None, |_| ()), Err(OpenError::Damaged));
        let verifier = frozen();
        assert_eq!(verifier.watch(&mut whole), Err(OpenError::Damaged));
        assert_eq!(verifier.watch(&mut part), Err(OpenError::Damaged));
    }

    #[test]
    fn what_cannot_be_found_is_not_said_to_be_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        std::fs::remove_file(folder.path().join("file")).unwrap();
        let verifier = Verifier::new(|| panic!("nothing is wrong"), None);
        assert_eq!(wait(&ask(&verifier, &copy)), Err(OpenError::Gone));
        assert_eq!(copy.verdict(), Verdict::Claimed);
        assert_idle(&verifier);
    }

    #[test]
    fn what_fails_in_this_program_is_told_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), b"something else");
        let verifier = Verifier::new(|| panic!("on purpose"), None);
        assert_eq!(wait(&ask(&verifier, &copy)), Err(OpenError::Damaged));
        assert_idle(&verifier);
    }

    #[test]
    fn the_end_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let (mut opened, context) = (open(&copy), Context::from_waker(Waker::noop()));
        // Another file takes the name: the bytes that are being sent are those that count.
        std::fs::write(folder.path().join("other"), b"other").unwrap();
        std::fs::rename(folder.path().join("other"), folder.path().join("file")).unwrap();
        let waiting = frozen();
        waiting.watch(&mut opened).unwrap();
        let mut buffer = vec![0; LENGTH];
        let extent = extent(&mut opened);
        assert!(extent.poll_ready(&context).is_ready());
        assert_eq!(extent.read(&mut buffer).unwrap(), LENGTH - (64 << 10));
        assert!(extent.poll_ready(&context).is_pending());
        assert_eq!(extent.read(&mut buffer).unwrap(), 0);
        let job = waiting.state().queue.pop().expect("a job");
        let outcome = job.copy.verify(job.file.upgrade(), |_| ());
        waiting.done(&job.copy, outcome);
        assert_eq!(extent.poll_ready(&context), Poll::Ready(Ok(())));
        assert_eq!(extent.read(&mut buffer).unwrap(), 64 << 10);
    }

    #[test]
    fn who_waits_for_all_of_it_goes_first() {
        let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
        let copies = [0, 1, 2].map(|at: usize| copy_of(folders[at].path(), &ZEROS));
        let verifier = frozen();
        for copy in &copies {
            verifier.watch(&mut open(copy)).unwrap();
        }
        let part = Content::blob(vec![copies[2].clone()], LENGTH as u64).slice(5..10);
        let mut part = part.open().unwrap();
        verifier.watch(&mut part).unwrap();
        let mut buffer = [1; 5];
        let read = extent(&mut part).read(&mut buffer);
        assert_eq!(read.unwrap(), 5, "sent on the claim");
        let unasked = copy_of(folders[0].path(), b"unasked");
        let job = |copy: &Copy, rank| Job {
            copy: copy.clone(),
            file: Weak::new(),
            rank,
        };
        drop(verifier.ask(job(&unasked, Rank::Unasked)));
        let mut ranks: Vec<_> = verifier.state().queue.iter().map(|job| job.rank).collect();
        assert_eq!(ranks, [Rank::Whole, Rank::Whole, Rank::Sent, Rank::Unasked]);
        ranks.sort();
        assert_eq!(ranks[0], Rank::Sent);
        drop(verifier.ask(job(&copies[2], Rank::Unasked)));
        let state = verifier.state();
        assert_eq!(state.queue[2].rank, Rank::Sent, "nobody is put back");
    }

    /// A disk that does not answer takes no thread from the others.
    #[test]
    fn as_many_of_one_disk_as_there_are_cores() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of(folder.path(), &ZEROS);
        let job = Job {
            copy: copy.clone(),
            file: Weak::new(),
            rank: Rank::Whole,
        };
        let mut state = State::default();
        assert!(state.is_startable(&job, 2));
        state.busy.insert(disk(&copy), 2);
        assert!(!state.is_startable(&job, 2));
        state.busy.insert(disk(&copy), 1);
        state.busy.insert(disk(&copy) + 1, 2);
        assert!(state.is_startable(&job, 2));
    }
}
