//! Bytes out: accepting connections, speaking HTTP/1.1, and sending opened content.
//!
//! The only asynchronous layer besides `command`. It knows no registry: what to answer is
//! decided by the handler that [`serve`] is given. Nothing that may touch a disk runs on
//! an asynchronous thread.

mod body;
mod buffers;
mod disks;
pub mod listen;
mod stall;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::content::{Opened, Part};
use crate::observe::{self, Exchange, Observer};
use body::Body;
use buffers::BufferPool;
pub use disks::Disks;
use stall::Watched;

/// At most this many connections are open, fewer where descriptors are few; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long connections that are cut may take to notice.
const CUTTING: Duration = Duration::from_secs(1);
/// How long a client may take for the head of a request, and be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take no byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The head of a request may be this long; more is answered by 431.
const MAX_HEAD: usize = 128 << 10;
/// The first and the longest pause after accepting failed: the cause (descriptors used up) takes a while to go.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves on `listeners` what `handle` answers to the heads of requests, until `stop` ends; then takes
/// no new connection and lets open transfers end, for `drain` at most. Of the `descriptors` that the process
/// may have, connections leave some for files, which are read in turn at their `disks`. Gives the number of connections that
/// were cut.
pub async fn serve<H, F>(
    listeners: Vec<TcpListener>,
    handle: H,
    observer: Observer,
    stop: impl Future<Output = ()>,
    drain: Duration,
    descriptors: usize,
    disks: Disks,
) -> usize
where
    H: Fn(request::Parts, Arc<Exchange>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Opened>> + Send + 'static,
{
    // Each connection may have a file open, and the program has some of its own.
    let connections = (descriptors.saturating_sub(32) / 2).clamp(1, MAX_CONNECTIONS);
    let (cut, is_cut) = watch::channel(());
    let permits = Arc::new(Semaphore::new(connections));
    let server = Server {
        handle,
        observer,
        pool: BufferPool::new(),
        disks,
        permits: Arc::clone(&permits),
        is_cut,
    };
    let graceful = Arc::new(GracefulShutdown::new());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(server.clone().accept(listener, Arc::clone(&graceful)));
    }
    drop(server);
    stop.await;
    accepting.shutdown().await;
    let has_drained = match Arc::into_inner(graceful) {
        Some(graceful) => {
            let ended = tokio::time::timeout(drain, graceful.shutdown()).await;
            ended.is_ok()
        }
        None => false,
    };
    // Permits come back a moment after their connections have ended.
    let open = if has_drained {
        0
    } else {
        connections - permits.available_permits()
    };
    // Dropped, it tells the connections that are left to end; their records are complete then.
    drop(cut);
    let all = u32::try_from(connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(CUTTING, permits.acquire_many(all)).await;
    open
}

#[derive(Clone)]
struct Server<H> {
    handle: H,
    observer: Observer,
    pool: BufferPool,
    disks: Disks,
    permits: Arc<Semaphore>,
    /// Ends when connections are to be cut.
    is_cut: watch::Receiver<()>,
}

impl<H, F> Server<H>
where
    H: Fn(request::Parts, Arc<Exchange>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Opened>> + Send + 'static,
{
    async fn accept(self, listener: TcpListener, graceful: Arc<GracefulShutdown>) {
        let (shortest, longest) = BACK_OFF;
        let mut pause = shortest;
        loop {
            // The permit comes first: what is not accepted costs nothing here.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, client)) => {
                    pause = shortest;
                    self.clone().connect(stream, client, permit, &graceful);
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    fn connect(
        self,
        stream: TcpStream,
        client: SocketAddr,
        permit: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) {
        // Heads are small and must not wait for more; a failure only costs time.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Watched::new(stream, WRITE_TIMEOUT));
        let mut is_cut = self.is_cut.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            // No endpoint takes a body: hyper discards it.
            let (head, _) = request.into_parts();
            // A client may leave so soon that hyper never asks for the answer: that is told as well.
            let exchange = Exchange::new(record(&head, client), server.observer.clone());
            async move {
                Ok::<_, std::convert::Infallible>(server.respond(head, Arc::new(exchange)).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(stream, service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // How it ended is told by the records of its requests.
            tokio::select! {
                _ = connection => {}
                _ = is_cut.changed() => {}
            }
            drop(permit);
        });
    }

    async fn respond(self, head: request::Parts, exchange: Arc<Exchange>) -> Response<Body> {
        let response = if names_one_host(&head) {
            (self.handle)(head, Arc::clone(&exchange)).await
        } else {
            bad_request(&head.method)
        };
        let (head, content) = response.into_parts();
        exchange.answered(
            head.status.as_u16(),
            content.parts.iter().map(Part::len).sum(),
        );
        Response::from_parts(head, Body::new(content, exchange, self.pool, self.disks))
    }
}

/// Whether the request says which host it means, as
/// [RFC 9112, section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2) demands of HTTP/1.1;
/// a proxy before us might take another one of several.
fn names_one_host(head: &request::Parts) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let is_told = match (hosts.next(), hosts.next()) {
        (None, _) => head.version < http::Version::HTTP_11,
        (Some(host), None) => {
            host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| is_host(&host))
        }
        (Some(_), Some(_)) => false,
    };
    is_told && head.uri.authority().is_none_or(is_host)
}

/// Whether an authority is a host and at most a port: elsewhere it may tell a user, and http reads it leniently.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let is_name = host
        .strip_prefix('[')
        .is_none_or(|address| address.trim_end_matches(']').parse::<Ipv6Addr>().is_ok());
    let is_port = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    let rest = authority.as_str().strip_prefix(host);
    is_name
        && rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// The answer to a request that names no host; HEAD is told of the text, and gets none.
fn bad_request(method: &Method) -> Response<Opened> {
    let text = Bytes::from_static(b"a request needs one valid Host header\n");
    let length = HeaderValue::from(text.len());
    let parts = match *method {
        Method::HEAD => Vec::new(),
        _ => vec![Part::Memory(text)],
    };
    let mut response = Response::new(Opened { parts });
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

fn record(head: &request::Parts, client: SocketAddr) -> observe::Request {
    let user_agent = head.headers.get(header::USER_AGENT);
    observe::Request {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        client,
        user_agent: user_agent
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default(),
    }
}
