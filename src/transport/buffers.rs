//! Buffers that files are read into: bounded in number, used again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Large enough that the hop to a blocking thread costs little beside the copying.
const SIZE: usize = 256 << 10;
/// At most this many are in use, 256 MiB of them; whoever wants one more waits. A client that takes no
/// bytes holds one until it is given up.
const MAX_IN_USE: usize = 1024;
/// This many are kept for the next reader; the rest goes back to the system.
const MAX_IDLE: usize = 16;

/// All buffers of the server.
#[derive(Clone)]
pub(super) struct BufferPool {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_IN_USE)),
            idle: Arc::default(),
        }
    }

    /// A buffer, as soon as there is one.
    pub(super) async fn take(&self) -> Buffer {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let space = idle.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
        Buffer {
            space,
            length: 0,
            idle: Arc::clone(&self.idle),
            permit,
        }
    }
}

/// A buffer, which goes back to its pool when it is dropped.
pub(super) struct Buffer {
    space: Box<[u8]>,
    length: usize,
    idle: Arc<Mutex<Vec<Box<[u8]>>>>,
    #[expect(dead_code, reason = "held for what dropping it does")]
    permit: Option<OwnedSemaphorePermit>,
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(std::mem::take(&mut self.space));
        }
    }
}
