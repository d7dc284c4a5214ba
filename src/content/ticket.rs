//! How whoever sends bytes that nobody has hashed yet learns what they are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A verdict to come. Waiting for it needs no particular runtime.
#[derive(Debug, Default)]
pub struct Ticket(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_right: Option<bool>,
    waiting: Vec<Waker>,
}

impl Ticket {
    /// Whether the bytes are right, once that is known. A verdict that never will be is that they are not.
    pub fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if let Some(is_right) = state.is_right {
            return Poll::Ready(is_right);
        }
        let waker = context.waker();
        if !state.waiting.iter().any(|known| known.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// Tells everybody. The first verdict stands.
    pub fn settle(&self, is_right: bool) {
        let mut state = self.state();
        state.is_right.get_or_insert(is_right);
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
    fn the_first_verdict_stands() {
        let (ticket, count) = (Ticket::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let context = Context::from_waker(&waker);
        assert_eq!(ticket.poll(&context), Poll::Pending);
        assert_eq!(ticket.poll(&context), Poll::Pending);
        ticket.settle(false);
        ticket.settle(true);
        assert_eq!(ticket.poll(&context), Poll::Ready(false));
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "nobody is woken twice");
    }
}
