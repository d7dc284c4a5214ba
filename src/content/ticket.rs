//! How whoever sends bytes that nobody has hashed yet learns what they are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::OpenError;

/// A verdict to come. Waiting for it needs no particular runtime.
#[derive(Debug, Default)]
pub struct Ticket(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<(), OpenError>>,
    waiting: Vec<Waker>,
}

impl Ticket {
    /// A verdict that is known already.
    pub fn settled(outcome: Result<(), OpenError>) -> Self {
        let ticket = Self::default();
        ticket.settle(outcome);
        ticket
    }

    /// That the bytes are right, once that is known, or why they cannot be sent as a whole: they are wrong, or could not be
    /// read.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Result<(), OpenError>> {
        let mut state = self.state();
        if let Some(outcome) = state.outcome {
            return Poll::Ready(outcome);
        }
        let waker = context.waker();
        if !state.waiting.iter().any(|known| known.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// Tells everybody. The first outcome stands.
    pub fn settle(&self, outcome: Result<(), OpenError>) {
        let mut state = self.state();
        state.outcome.get_or_insert(outcome);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_first_outcome_stands() {
        let (ticket, count) = (Ticket::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let context = Context::from_waker(&waker);
        assert_eq!(ticket.poll(&context), Poll::Pending);
        assert_eq!(ticket.poll(&context), Poll::Pending);
        ticket.settle(Err(OpenError::Damaged));
        ticket.settle(Ok(()));
        assert_eq!(ticket.poll(&context), Poll::Ready(Err(OpenError::Damaged)));
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "nobody is woken twice");
    }
}
