//! `packageorigin serve`: parse → answer → open → send, and the thread that keeps the catalog fresh.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::ToSocketAddrs;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::{Response, StatusCode, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::text::{count, size};
use super::{Failure, catalog};
use crate::catalog::{Catalog, Event, Severity, Snapshot, Verifier};
use crate::config::{self, Listen, VerifyWhen};
use crate::content::{Content, OpenError, Opened};
use crate::observe::{Exchange, Log, Observer};
use crate::protocol::{self, Operation, Reply};
use crate::transport::{self, listen};

/// How long a request waits for the first snapshot: half a shelf would be a wrong answer. Clients wait for longer, and few
/// ask again; proxies usually wait for a minute.
const STARTING: Duration = Duration::from_secs(50);

/// Between two publications of what turned out to be faulty.
const GATHERING: Duration = Duration::from_secs(1);
/// So many copies of a blob are tried, should they turn out to be wrong.
const COPIES: usize = 4;
/// So many of the names that clients did not get are said at the end.
const MISSES_TOLD: usize = 20;

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
    let catalog = Arc::new(catalog(&config.catalog, listener)?);
    log.say(&address_line(&config.listen, &address, listeners.len()));
    keep_fresh(&catalog, config.refresh, wake).map_err(Failure::Start)?;
    let verifier = verifier(&catalog, config.verify).map_err(Failure::Start)?;
    keep_learning(&catalog, woken).map_err(Failure::Start)?;
    if let (VerifyWhen::Background, Some(verifier)) = (config.verify, &verifier) {
        keep_verifying(&catalog, verifier.clone(), published_new).map_err(Failure::Start)?;
    }
    let server = Server {
        catalog,
        published,
        verifier,
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
    )
    .await;
    if cut > 0 {
        let connections = count(cut, "connection was cut", "connections were cut");
        log.say(&format!(
            "{connections} after {:?} of waiting",
            config.drain
        ));
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
    /// Becomes true with the first snapshot.
    published: watch::Receiver<bool>,
    /// Hashes what is sent, if anything is to be hashed.
    verifier: Option<Verifier>,
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
        let mut opened = self.opened(&operation).await;
        for _ in 1..COPIES {
            // What turned out to be faulty is not opened again, as long as there is another copy.
            if let Err(OpenError::Damaged | OpenError::Unreadable) = opened {
                opened = self.opened(&operation).await;
            }
        }
        if opened
            .as_ref()
            .is_err_and(|error| *error != OpenError::Damaged)
        {
            // The file is not what was cataloged: look again, once.
            self.refresh().await;
            opened = self.opened(&operation).await;
        }
        match opened {
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

    /// The answer of this moment with all that is to be sent of it. A blob so short that all of it is held back is
    /// waited for: a wrong one need not be cut off where another copy may be right.
    async fn opened(&self, operation: &Operation) -> Result<Response<Opened>, OpenError> {
        let response = open(self.answer(operation)).await?;
        let (head, mut opened) = without_body_for_head(response, operation).into_parts();
        if let Some(verifier) = &self.verifier {
            verifier.watch(&mut opened)?;
            poll_fn(|context| opened.poll_ready(context)).await?;
        }
        Ok(Response::from_parts(head, opened))
    }

    /// The answer of this moment. It keeps the sources that it reads from, never the snapshot.
    fn answer(&self, operation: &Operation) -> Reply {
        protocol::answer(self.catalog.snapshot().as_deref(), operation)
    }

    async fn refresh(&self) {
        let (catalog, now) = (Arc::clone(&self.catalog), Instant::now());
        // Should it fail, the answer is made from the snapshot that is there.
        let _ = tokio::task::spawn_blocking(move || catalog.refresh(now)).await;
    }
}

/// Opens the content of a reply, where blocking is allowed unless all of it is in memory.
async fn open(reply: Reply) -> Result<Response<Opened>, OpenError> {
    let (head, content) = reply.into_parts();
    let opened = if content.is_in_memory() {
        content.open()
    } else {
        let opening = tokio::task::spawn_blocking(move || content.open());
        opening.await.unwrap_or(Err(OpenError::Unreadable))
    };
    Ok(Response::from_parts(head, opened?))
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

/// Says at the end once more what clients wanted and did not get, the last first.
fn tell_misses(observer: &Observer, log: &Log) {
    let misses = observer.misses().latest();
    for miss in misses.iter().take(MISSES_TOLD) {
        log.say(&format!("Was not here: {miss}"));
    }
    if misses.len() > MISSES_TOLD {
        log.say(&format!(
            "Was not here: {} more names",
            misses.len() - MISSES_TOLD
        ));
    }
}

/// Scans now, and then again after each pause of `refresh`.
fn keep_fresh(
    catalog: &Arc<Catalog>,
    refresh: Duration,
    wake: mpsc::SyncSender<()>,
) -> anyhow::Result<()> {
    let catalog = Arc::clone(catalog);
    start_thread("catalog", move || {
        loop {
            catalog.refresh(Instant::now());
            // What could not be hashed before may be readable now.
            let _ = wake.try_send(());
            if refresh.is_zero() {
                return;
            }
            std::thread::sleep(refresh);
        }
    })
}

/// Hashes the layers whose digest nothing tells, whenever woken. It may take long, and a folder that changes must not wait
/// for it.
fn keep_learning(catalog: &Arc<Catalog>, woken: mpsc::Receiver<()>) -> anyhow::Result<()> {
    let catalog = Arc::clone(catalog);
    start_thread("learner", move || {
        for () in woken {
            catalog.learn();
        }
    })
}

/// Hashes all other layers, whenever woken.
fn keep_verifying(
    catalog: &Arc<Catalog>,
    verifier: Verifier,
    woken: mpsc::Receiver<()>,
) -> anyhow::Result<()> {
    let catalog = Arc::clone(catalog);
    start_thread("background", move || {
        for () in woken {
            catalog.verify_all(&verifier);
        }
    })
}

/// The verifier of what is sent, if there is to be one, and the thread that has what it finds be published. Damage
/// seldom comes alone: what is found soon after is told together.
fn verifier(catalog: &Arc<Catalog>, verify: VerifyWhen) -> anyhow::Result<Option<Verifier>> {
    if verify == VerifyWhen::Off {
        return Ok(None);
    }
    let (find, found) = mpsc::sync_channel(1);
    let catalog = Arc::clone(catalog);
    start_thread("faults", move || {
        for () in found {
            catalog.tell_faulty();
            std::thread::sleep(GATHERING);
        }
    })?;
    // Whoever has been woken already need not be woken twice.
    Ok(Some(Verifier::new(move || _ = find.try_send(()))))
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .context("cannot start threads")?;
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

/// Listens where the user says, and gives the address to tell people.
fn bind(listen: &[Listen]) -> anyhow::Result<(Vec<TcpListener>, String)> {
    let mut listeners = Vec::new();
    let mut address = None;
    for at in listen {
        let bound = match at {
            Listen::Localhost(port) => listen::localhost(*port),
            Listen::Everywhere(port) => listen::everywhere(*port),
            Listen::Host(host, port) => {
                resolve(host, *port).and_then(|addresses| listen::at(&addresses))
            }
        };
        let bound = bound.map_err(|error| {
            let advice = bind_advice(at, error.kind());
            anyhow::Error::new(error).context(advice)
        })?;
        if let Some(first) = bound.first().filter(|_| address.is_none()) {
            let port = first.local_addr().context("cannot tell the port")?.port();
            address = Some(format!("{}:{port}", name_and_port(at).0));
        }
        listeners.extend(bound);
    }
    Ok((listeners, address.unwrap_or_default()))
}

/// What cannot be done, and what to do about it.
fn bind_advice(listen: &Listen, error: ErrorKind) -> String {
    let (name, port) = name_and_port(listen);
    let advice = match error {
        ErrorKind::AddrInUse => format!("the port is taken; choose another port, as in `--listen {}`", port.saturating_add(1)),
        ErrorKind::PermissionDenied => "this user may not take the port; choose one above 1023".to_owned(),
        _ => "the address is not one of this machine's; leave it out to listen on all, as in `--listen :8080`".to_owned(),
    };
    format!("cannot listen on {name}:{port}: {advice}")
}

fn resolve(host: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The name by which this machine reaches what listens there.
fn name_and_port(listen: &Listen) -> (String, u16) {
    match listen {
        Listen::Localhost(port) | Listen::Everywhere(port) => ("localhost".to_owned(), *port),
        Listen::Host(host, port) if host.contains(':') => (format!("[{host}]"), *port),
        Listen::Host(host, port) => (host.clone(), *port),
    }
}

fn address_line(listen: &[Listen], address: &str, listeners: usize) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    let reach = match listen.first() {
        Some(Listen::Localhost(_)) if listen.len() == 1 => {
            let family = if listeners == 1 {
                ", 127.0.0.1 alone because it has no IPv6"
            } else {
                ""
            };
            format!(" (this machine only{family}; for others: --listen :{port})")
        }
        Some(Listen::Everywhere(_)) => " (all addresses)".to_owned(),
        _ => String::new(),
    };
    format!("Listening on http://{address}{reach}")
}

fn summary(snapshot: &Snapshot) -> String {
    let repositories = snapshot.repositories().count();
    let tags = snapshot.repositories().map(|view| view.tags().len()).sum();
    let archives: Vec<_> = snapshot
        .archives()
        .iter()
        .filter(|archive| !archive.found.images.is_empty())
        .collect();
    let images = archives
        .iter()
        .map(|archive| archive.found.images.len())
        .sum();
    let sources = archives
        .iter()
        .flat_map(|archive| archive.found.sources.iter());
    let bytes = sources.map(|source| source.identity().size()).sum();
    let problems = snapshot
        .problems()
        .iter()
        .filter(|problem| problem.severity > Severity::Note)
        .count();
    let problems = if problems == 0 {
        String::new()
    } else {
        format!(", {}", count(problems, "problem", "problems"))
    };
    format!(
        "{}, {}, {} from {} ({}){problems}",
        count(repositories, "repository", "repositories"),
        count(tags, "tag", "tags"),
        count(images, "image", "images"),
        count(archives.len(), "archive", "archives"),
        size(bytes),
    )
}

/// Lines that pull the first image as they are.
fn what_to_paste(snapshot: &Snapshot, address: &str) -> String {
    let images = snapshot.repositories().filter_map(|view| {
        let name = view.shown()?;
        let tags = view.tags_by_version();
        // Clients refuse to ask for other tags.
        let tags = || tags.iter().filter(|tag| tag.is_strict());
        let tag = tags()
            .find(|tag| tag.as_str() == "latest")
            .or_else(|| tags().next())?;
        let runs = view
            .tagged(tag)
            .is_some_and(|image| !image.platforms.is_empty());
        Some((runs, format!("{address}/{name}:{tag}")))
    });
    // Something that runs is a better example than an artifact.
    let mut images: Vec<(bool, String)> = images.collect();
    images.sort_by_key(|(runs, _)| !runs);
    match images.first() {
        Some((_, image)) => format!(
            "\n  docker pull {image}\n  podman pull --tls-verify=false {image}\n  ctr images pull --plain-http {image}\n"
        ),
        // There is something, but nothing that a tag leads to.
        None if snapshot.repositories().next().is_some() => String::new(),
        None => {
            "\nNo images yet. Save one into the folder, as with `docker save -o app.tar app:1`\n"
                .to_owned()
        }
    }
}

/// Tells people what is served, through the log.
struct Talk {
    log: Log,
    /// Where clients reach the server.
    address: String,
}

impl Talk {
    fn published(&self, event: &Event<'_>, is_first: bool) {
        let Event::Published {
            snapshot,
            new_problems,
            is_same,
        } = event;
        if is_first {
            self.log.say(&format!("Serving {}", summary(snapshot)));
            self.log.say(&what_to_paste(snapshot, &self.address));
        } else if !is_same {
            self.log.say(&format!("Changed: now {}", summary(snapshot)));
        }
        for problem in new_problems
            .iter()
            .filter(|problem| problem.severity > Severity::Note)
        {
            self.log.say(&problem.to_string());
        }
    }
}
