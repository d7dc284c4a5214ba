//! The threads that hash, beside the requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;

use crate::cache::{Cache, Trouble};
use crate::catalog::{Catalog, Verifier};
use crate::config::VerifyWhen;
use crate::observe::Log;

/// Between two publications of what turned out to be faulty.
const GATHERING: Duration = Duration::from_secs(1);
/// Between two writes of what was found out.
const REMEMBERING: Duration = Duration::from_secs(1);
/// How long the end of the program waits until what was found out is written.
const CLOSING: Duration = Duration::from_secs(2);

/// Hashes the layers whose digest nothing tells, whenever woken. It may take long, and a folder that changes must not wait
/// for it.
pub(super) fn keep_learning(
    catalog: &Arc<Catalog>,
    woken: mpsc::Receiver<()>,
) -> anyhow::Result<()> {
    let catalog = Arc::clone(catalog);
    start_loop("learner", woken, move || _ = catalog.learn())
}

/// Hashes all other layers, whenever woken.
pub(super) fn keep_verifying(
    catalog: &Arc<Catalog>,
    verifier: Verifier,
    woken: mpsc::Receiver<()>,
) -> anyhow::Result<()> {
    let catalog = Arc::clone(catalog);
    start_loop("background", woken, move || catalog.verify_all(&verifier))
}

/// The verifier of what is sent, if there is to be one, and the thread that has what it finds be published. Damage
/// seldom comes alone: what is found soon after is told together.
pub(super) fn verifier(
    catalog: &Arc<Catalog>,
    verify: VerifyWhen,
    cache: Option<Arc<Cache>>,
) -> anyhow::Result<Option<Verifier>> {
    if verify == VerifyWhen::Off {
        return Ok(None);
    }
    let (find, found) = mpsc::sync_channel(1);
    let catalog = Arc::clone(catalog);
    start_loop("faults", found, move || {
        catalog.tell_faulty();
        std::thread::sleep(GATHERING);
    })?;
    // Whoever has been woken already need not be woken twice.
    Ok(Some(Verifier::new(move || _ = find.try_send(()), cache)))
}

/// Writes to `cache` what is found out.
pub(super) fn keep_remembering(cache: &Arc<Cache>, log: &Log) -> anyhow::Result<()> {
    let (cache, log) = (Arc::clone(cache), log.clone());
    start_thread("cache", move || {
        tell_trouble(cache.prepare(), &log);
        loop {
            cache.wait();
            std::thread::sleep(REMEMBERING);
            tell_trouble(cache.write(), &log);
        }
    })
}

/// Writes to `cache` what is left. A disk that does not answer does not keep the program from ending.
pub(super) async fn remember_the_rest(cache: Arc<Cache>, log: &Log) {
    let write = tokio::task::spawn_blocking(move || cache.write());
    if let Ok(Ok(trouble)) = tokio::time::timeout(CLOSING, write).await {
        tell_trouble(trouble, log);
    }
}

fn tell_trouble(trouble: Option<Trouble>, log: &Log) {
    if let Some(trouble) = trouble {
        log.say(&format!(
            "warning: {trouble}: verdicts are not remembered; name another folder with `--cache`, or use `--no-cache`"
        ));
    }
}

/// Does `work` whenever woken.
fn start_loop(
    name: &str,
    woken: mpsc::Receiver<()>,
    work: impl Fn() + Send + 'static,
) -> anyhow::Result<()> {
    start_thread(name, move || {
        for () in woken {
            survive(&work);
        }
    })
}

/// The result of `work`; `None` if it panics, which has been told then. What comes next may end otherwise.
pub(super) fn survive<R>(work: impl FnOnce() -> R) -> Option<R> {
    // Nothing that is shared is left half changed by a panic.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

pub(super) fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .context("cannot start threads")?;
    Ok(())
}
