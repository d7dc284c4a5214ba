//! Buffers that files are read into: bounded in number, used again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Large enough that the hop to a blocking thread costs little beside the copying.
const SIZE: usize = 256 << 10;
/// At most this many are in use.
const MAX_IN_USE: usize = 256;
/// What there is when they are: clients that take no bytes hold theirs, and must not stop all others.
/// There is one for each connection at most.
const SMALL_SIZE: usize = 16 << 10;
/// This many are kept for the next reader; the rest goes back to the system.
const MAX_IDLE: usize = 16;

/// The buffers that wait for the next reader.
type Idle = Arc<Mutex<Vec<Box<[u8]>>>>;

/// All buffers of the server.
#[derive(Clone)]
pub(super) struct BufferPool {
    permits: Arc<Semaphore>,
    idle: Idle,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_IN_USE)),
            idle: Arc::default(),
        }
    }

    /// A buffer; a small one if all others are in use.
    pub(super) fn take(&self) -> Buffer {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Buffer {
                space: vec![0; SMALL_SIZE].into(),
                length: 0,
                pooled: None,
            };
        };
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let space = idle.unwrap_or_else(|| vec![0; SIZE].into());
        Buffer {
            space,
            length: 0,
            pooled: Some((Arc::clone(&self.idle), permit)),
        }
    }
}

/// A buffer, which goes back to its pool when it is dropped.
pub(super) struct Buffer {
    space: Box<[u8]>,
    length: usize,
    /// Where it goes back to, and the permit that it holds until then; `None` for a small one.
    pooled: Option<(Idle, OwnedSemaphorePermit)>,
}

impl Buffer {
    /// Where to read to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.space
    }

    /// The first `length` bytes of it.
    pub(super) fn filled(mut self, length: usize) -> Bytes {
        self.length = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.space[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((idle, _)) = &self.pooled {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(std::mem::take(&mut self.space));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_late_gets_a_small_one() {
        let pool = BufferPool::new();
        let taken: Vec<Buffer> = (0..MAX_IN_USE).map(|_| pool.take()).collect();
        assert!(taken.iter().all(|buffer| buffer.space.len() == SIZE));
        assert_eq!(pool.take().space.len(), SMALL_SIZE);
        drop(taken);
        assert_eq!(pool.take().space.len(), SIZE);
        assert!(pool.idle.lock().unwrap().len() <= MAX_IDLE);
    }

    #[test]
    fn a_buffer_gives_what_was_read_into_it() {
        let mut buffer = BufferPool::new().take();
        buffer.space()[..3].copy_from_slice(b"abc");
        assert_eq!(buffer.filled(3), "abc");
    }
}
