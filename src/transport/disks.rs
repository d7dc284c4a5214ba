//! Taking turns at disks: one that does not answer has its own clients wait, and takes no thread from the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// So many threads wait for one disk at most: more than any disk needs to be busy, and few of the 512 that the runtime has.
const AT_ONCE: usize = 64;

/// The turns at all disks, which are known by their device numbers. Clones are the same.
#[derive(Clone, Default)]
pub struct Disks(Arc<Mutex<HashMap<u64, Arc<Semaphore>>>>);

impl Disks {
    /// Does `work`, which may have to wait for the disk `device`, where blocking is allowed. Until its turn comes it takes no
    /// thread, and is given up if nobody waits for it any more.
    ///
    /// # Errors
    /// If the work panics, or the program is ending.
    pub async fn wait_for<T: Send + 'static>(
        &self,
        device: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // Nobody closes it.
        let turn = self.turns(device).acquire_owned().await.ok();
        let done = spawn_blocking(move || {
            let result = work();
            // Whoever waited may have left long ago; the thread has not.
            drop(turn);
            result
        });
        done.await
    }

    fn turns(&self, device: u64) -> Arc<Semaphore> {
        let mut disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = disks.get(&device) {
            return Arc::clone(turns);
        }
        // What is mounted anew has another number.
        disks.retain(|_, turns| turns.available_permits() < AT_ONCE);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        disks.insert(device, Arc::clone(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_one_disk_holds_up_only_those_who_want_the_same() {
        let (disks, (answer, silence)) = (Disks::default(), mpsc::channel::<()>());
        let silence = Arc::new(Mutex::new(silence));
        let ask = || {
            let (disks, silence) = (disks.clone(), Arc::clone(&silence));
            tokio::spawn(async move {
                let listen = move || silence.lock().unwrap().recv().is_err();
                disks.wait_for(1, listen).await
            })
        };
        let crowd: Vec<_> = (0..AT_ONCE).map(|_| ask()).collect();
        while disks.turns(1).available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let late = ask();
        assert_eq!(disks.wait_for(2, || 2).await.unwrap(), 2);
        // Those who leave make no room as long as their threads wait.
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(disks.wait_for(2, || 2).await.unwrap(), 2);
        assert_eq!(disks.turns(1).available_permits(), 0);
        assert!(!late.is_finished());
        drop(answer);
        assert!(late.await.unwrap().unwrap(), "its turn comes");
        while disks.turns(1).available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
    }
}
