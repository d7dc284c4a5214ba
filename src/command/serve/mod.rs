//! `packageorigin serve`: parse → answer → open → send, and the thread that keeps the catalog fresh.

mod bell;
mod bind;
mod fresh;
mod keep;
mod talk;

use std::future::poll_fn;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::{Response, StatusCode, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use self::bell::Bell;
use self::bind::{address_line, bind};
use self::fresh::Fresh;
use self::keep::{keep_learning, keep_remembering, keep_verifying, remember_the_rest, verifier};
use self::talk::{Talk, tell_misses};
use super::text::count;
use super::{Failure, catalog};
use crate::cache::Cache;
use crate::catalog::{Catalog, Event, Refreshed, Verifier};
use crate::config::{self, VerifyWhen};
use crate::content::{Content, OpenError, Opened};
use crate::observe::{Exchange, Log, Observer};
use crate::protocol::{self, Operation, Reply};
use crate::transport::{self, Disks};

/// How long a request waits for the first snapshot: half a shelf would be a wrong answer. Clients wait for longer, and few
/// ask again; proxies usually wait for a minute.
const STARTING: Duration = Duration::from_secs(50);

/// How long a request waits for a file that has changed to come to rest. More than the pause that this takes where changes are
/// told; what is being copied takes longer than anybody waits.
const SETTLING: Duration = Duration::from_secs(5);

/// So many copies of a blob are tried, should they turn out to be wrong.
const COPIES: usize = 4;

/// Serves until a signal says to stop.
pub(super) fn run(config: config::Serve) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .context("cannot start threads")
        .map_err(Failure::Start)?;
    let result = runtime.block_on(serve(config));
    // A read from a dead disk must not keep the program from ending.
    runtime.shutdown_background();
    result
}

async fn serve(config: config::Serve) -> Result<(), Failure> {
    let descriptors = raise_descriptor_limit();
    let (listeners, address) = bind(&config.listen).map_err(Failure::Start)?;
    // From here on whoever reads standard error slowly must not hold anything up.
    let (log, writer) = Log::to_stderr();
    let stop = stop_signal(log.clone()).map_err(Failure::Start)?;
    let (first, published) = watch::channel(false);
    let talk = Talk {
        log: log.clone(),
        address: address.clone(),
    };
    let (wake, woken) = mpsc::sync_channel(1);
    let waker = wake.clone();
    let (publish, published_new) = mpsc::sync_channel(1);
    let listener = Box::new(move |event: &Event<'_>| {
        let is_first = !first.send_replace(true);
        talk.published(event, is_first);
        let Event::Published { snapshot, .. } = event;
        if snapshot.pending() > 0 {
            // Whoever has been woken already need not be woken twice.
            let _ = waker.try_send(());
        }
        // Nobody listens where nothing is hashed unasked.
        let _ = publish.try_send(());
    });
    let bell = Arc::new(Bell::default());
    ring_on_signal(Arc::clone(&bell)).map_err(Failure::Start)?;
    let watch = fresh::watch(config.refresh, &log);
    let mut catalog = catalog(&config.catalog, listener)?;
    if let Some(watch) = &watch {
        catalog = catalog.watched(Arc::clone(watch));
    }
    let cache = config.cache.map(|folder| Arc::new(Cache::new(folder)));
    if let Some(cache) = &cache {
        catalog = catalog.remembering(Arc::clone(cache));
        keep_remembering(cache, &log).map_err(Failure::Start)?;
    }
    let catalog = Arc::new(catalog);
    log.say(&address_line(&config.listen, &address, listeners.len()));
    let fresh = Fresh {
        catalog: Arc::clone(&catalog),
        watch,
        refresh: config.refresh,
        bell: Arc::clone(&bell),
        log: log.clone(),
        wake,
    };
    fresh.keep().map_err(Failure::Start)?;
    let verifier = verifier(&catalog, config.verify, cache.clone()).map_err(Failure::Start)?;
    keep_learning(&catalog, woken).map_err(Failure::Start)?;
    if let (VerifyWhen::Background, Some(verifier)) = (config.verify, &verifier) {
        keep_verifying(&catalog, verifier.clone(), published_new).map_err(Failure::Start)?;
    }
    let disks = Disks::default();
    let server = Server {
        catalog,
        disks: disks.clone(),
        published,
        verifier,
        bell,
        refreshing: Arc::default(),
    };
    let handle = move |head, exchange| server.clone().handle(head, exchange);
    let observer = Observer::new(log.clone());
    let cut = transport::serve(
        listeners,
        handle,
        observer.clone(),
        stop,
        config.drain,
        descriptors,
        disks,
    )
    .await;
    if cut > 0 {
        let connections = count(cut, "connection was cut", "connections were cut");
        log.say(&format!(
            "{connections} after {:?} of waiting",
            config.drain
        ));
    }
    if let Some(cache) = cache {
        remember_the_rest(cache, &log).await;
    }
    tell_misses(&observer, &log);
    drop((observer, log));
    writer.close();
    Ok(())
}

/// Takes as many descriptors as the system allows, and gives their number: the usual soft limit is
/// fewer than the connections that are taken.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    allowed
        .and_then(|allowed| usize::try_from(allowed).ok())
        .unwrap_or(usize::MAX)
}

/// Answers requests.
#[derive(Clone)]
struct Server {
    catalog: Arc<Catalog>,
    /// Where files are opened in turn.
    disks: Disks,
    /// Becomes true with the first snapshot.
    published: watch::Receiver<bool>,
    /// Hashes what is sent, if anything is to be hashed.
    verifier: Option<Verifier>,
    /// Has the catalog look for changes.
    bell: Arc<Bell>,
    /// Held while a request has it look.
    refreshing: Arc<Mutex<()>>,
}

impl Server {
    async fn handle(mut self, head: request::Parts, exchange: Arc<Exchange>) -> Response<Opened> {
        let operation = protocol::parse(&head);
        if operation.needs_snapshot() {
            // Without a snapshot the answer says that there is none yet.
            let _ = tokio::time::timeout(
                STARTING,
                self.published.wait_for(|is_published| *is_published),
            )
            .await;
        }
        match self.found(&operation).await {
            Ok(response) => {
                if response.status() == StatusCode::NOT_FOUND
                    && let Some(name) = operation.wanted()
                {
                    exchange.missed(name);
                }
                response
            }
            // What is here and at fault is told as a problem.
            Err(error) => {
                let reply = in_memory(protocol::failed(&operation, error));
                without_body_for_head(reply, &operation)
            }
        }
    }

    /// The answer with all that is to be sent of it, of this moment or of one soon after: a file that is not what was cataloged
    /// is looked at again, and may come to rest.
    async fn found(&self, operation: &Operation) -> Result<Response<Opened>, OpenError> {
        let latest = tokio::time::Instant::now() + SETTLING;
        loop {
            let result = self.opened_somewhere(operation).await;
            let Err(OpenError::Gone | OpenError::Changed) = result else {
                return result;
            };
            // A disk that does not answer must not hold up whoever asks for what may be in memory.
            let Ok(Some(refreshed)) = tokio::time::timeout_at(latest, self.refresh()).await else {
                return Err(OpenError::Changed);
            };
            let result = self.opened_somewhere(operation).await;
            let Err(error @ (OpenError::Gone | OpenError::Changed)) = result else {
                return result;
            };
            match refreshed.again {
                Some(again) if tokio::time::Instant::now() + again < latest => {
                    tokio::time::sleep(again).await;
                }
                // The catalog knows of it all the same, as of what a disk held that was taken away.
                _ if error == OpenError::Gone => return Err(OpenError::Unreadable),
                _ => return Err(error),
            }
        }
    }

    /// The answer of this moment. What turns out to be faulty is not opened again, as long as there is another copy.
    async fn opened_somewhere(&self, operation: &Operation) -> Result<Response<Opened>, OpenError> {
        let mut opened = self.opened(operation).await;
        for _ in 1..COPIES {
            if let Err(OpenError::Damaged | OpenError::Unreadable) = opened {
                opened = self.opened(operation).await;
            }
        }
        opened
    }

    /// The answer of this moment with all that is to be sent of it. A blob so short that all of it is held back is
    /// waited for: a wrong one need not be cut off where another copy may be right.
    async fn opened(&self, operation: &Operation) -> Result<Response<Opened>, OpenError> {
        let response = self.open(self.answer(operation)).await?;
        let (head, mut opened) = without_body_for_head(response, operation).into_parts();
        if let Some(verifier) = &self.verifier {
            verifier.watch(&mut opened)?;
            poll_fn(|context| opened.poll_ready(context)).await?;
        }
        Ok(Response::from_parts(head, opened))
    }

    /// Opens the content of a reply, where blocking is allowed unless all of it is in memory.
    async fn open(&self, reply: Reply) -> Result<Response<Opened>, OpenError> {
        let (head, content) = reply.into_parts();
        let opened = match content.device() {
            None => content.open(),
            Some(device) => {
                let opening = self.disks.wait_for(device, move || content.open());
                opening.await.unwrap_or(Err(OpenError::Unreadable))
            }
        };
        Ok(Response::from_parts(head, opened?))
    }

    /// The answer of this moment. It keeps the sources that it reads from, never the snapshot.
    fn answer(&self, operation: &Operation) -> Reply {
        protocol::answer(self.catalog.snapshot().as_deref(), operation)
    }

    /// Looks at the files anew. Should it fail, the answer is made from the snapshot that is there.
    async fn refresh(&self) -> Option<Refreshed> {
        let (catalog, now) = (Arc::clone(&self.catalog), Instant::now());
        // One after the other: the others find that it has been done, and no thread waits for a disk but this one.
        let turn = Arc::clone(&self.refreshing).lock_owned().await;
        let refresh = tokio::task::spawn_blocking(move || {
            let refreshed = catalog.refresh(now);
            drop(turn);
            refreshed
        });
        let refreshed = refresh.await.ok()?;
        if refreshed.again.is_some() {
            self.bell.changed();
        }
        Some(refreshed)
    }
}

/// A reply that is made of memory alone, opened.
fn in_memory(reply: Reply) -> Response<Opened> {
    reply.map(|content: Content| content.open().unwrap_or_default())
}

fn without_body_for_head(response: Response<Opened>, operation: &Operation) -> Response<Opened> {
    if operation.is_head() {
        response.map(|_| Opened::default())
    } else {
        response
    }
}

/// Looks for changes at once whenever SIGHUP comes.
fn ring_on_signal(bell: Arc<Bell>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            bell.asked();
        }
    });
    Ok(())
}

/// Ends at the first signal to stop; the second one ends the program, as it would without us.
fn stop_signal(log: Log) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut signaled = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        signaled().await;
        log.say("Stopping: open transfers may end; a second signal stops at once");
        tokio::spawn(async move {
            signaled().await;
            #[expect(clippy::exit, reason = "the user does not want to wait")]
            std::process::exit(130);
        });
    })
}
