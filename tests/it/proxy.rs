//! A proxy on loopback between a client and the server. It does to answers what a test says, and remembers what was asked.
//! It knows as much of HTTP/1.1 as clients that pull and this server speak: no request has a body, every answer has a length.
//!
//! ```ignore
//! let proxy = Proxy::before(server.addr());
//! proxy.spoil([Fault::get(&layer).with(Harm::CutBody(1000))]);
//! home.sh(&format!("podman pull --tls-verify=false {}/app:1", proxy.authority()));
//! assert_eq!(proxy.seen()[3].range, None);
//! ```

mod fault;
mod message;
mod tests;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) use fault::{Fault, Harm};
use message::Head;
pub(crate) use message::answer;

/// How long one read or write may take, so that nothing hangs for ever.
const TRANSFER: Duration = Duration::from_secs(60);
/// How often the proxy looks for a new connection.
const PAUSE: Duration = Duration::from_millis(5);
/// In how many parts the bytes of one second come.
const PARTS: u32 = 20;
/// The first byte of a client that wants to speak TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// A running proxy. It stops, with all its connections, when dropped.
pub(crate) struct Proxy {
    gate: Gate,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its method.
    pub(crate) method: String,
    /// What it asked for, with the query.
    pub(crate) path: String,
    /// The value of its `Range`.
    pub(crate) range: Option<String>,
}

impl Proxy {
    /// A proxy on a free port, before the server that listens at `server`.
    pub(crate) fn before(server: SocketAddr) -> Self {
        let gate = Gate::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let shared = Arc::new(Shared {
            server,
            stopped: AtomicBool::new(false),
            faults: Mutex::default(),
            seen: Mutex::default(),
            spoiled: AtomicUsize::new(0),
            sockets: Mutex::default(),
        });
        let accepting = {
            let (gate, shared) = (gate.clone(), Arc::clone(&shared));
            thread::spawn(move || accept(&gate, &shared))
        };
        Self {
            gate,
            shared,
            accepting: Some(accepting),
        }
    }

    /// `HOST:PORT`: what a client puts before an image's name.
    pub(crate) fn authority(&self) -> String {
        self.gate.address.to_string()
    }

    /// From now on does this, and forgets what was to be done and what was asked. Of several faults that a request
    /// meets the first counts.
    pub(crate) fn spoil(&self, faults: impl IntoIterator<Item = Fault>) {
        *lock(&self.shared.faults) = faults.into_iter().collect();
        lock(&self.shared.seen).clear();
        self.shared.spoiled.store(0, Ordering::Relaxed);
    }

    /// The requests that have come since, in their order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many answers have met harm since.
    pub(crate) fn spoiled(&self) -> usize {
        self.shared.spoiled.load(Ordering::Relaxed)
    }

    /// Where connections come in.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for socket in lock(&self.shared.sockets).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let ended = self.accepting.take().map(JoinHandle::join);
        // A test that has failed already says why.
        assert!(
            thread::panicking() || matches!(ended, Some(Ok(()))),
            "the proxy panicked"
        );
    }
}

/// Where connections come in: while it is shut they are refused.
#[derive(Clone)]
pub(crate) struct Gate {
    address: SocketAddr,
    listener: Arc<Mutex<Option<TcpListener>>>,
}

impl Gate {
    fn open_at(address: SocketAddr) -> Self {
        let listener = listen(address);
        Self {
            address: listener.local_addr().expect("an address"),
            listener: Arc::new(Mutex::new(Some(listener))),
        }
    }

    /// Refuses connections from now on; those that are open stay.
    pub(crate) fn shut(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            // A process that was just started has the descriptor too, until it is another program.
            rustix::net::shutdown(listener, rustix::net::Shutdown::Both).expect("a listener");
        }
    }

    /// Takes connections again.
    pub(crate) fn open(&self) {
        *lock(&self.listener) = Some(listen(self.address));
    }

    /// The next connection, if one waits.
    fn accept(&self) -> Option<TcpStream> {
        let (stream, _) = lock(&self.listener).as_ref()?.accept().ok()?;
        Some(stream)
    }
}

/// A port that was given up and is wanted again may have gone to somebody else for a moment.
fn listen(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(10);
    let listener = loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(50));
            }
            bound => break bound.expect("a port"),
        }
    };
    listener
        .set_nonblocking(true)
        .expect("a listener that does not wait");
    listener
}

/// A panic elsewhere has failed the test already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes connections until the proxy stops, and then waits for their ends.
fn accept(gate: &Gate, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    while !shared.stopped.load(Ordering::Relaxed) {
        match gate.accept() {
            Some(client) => {
                let shared = Arc::clone(shared);
                // How a connection ends is for the two at its ends to judge.
                connections.push(thread::spawn(move || drop(shared.converse(client))));
            }
            None => thread::sleep(PAUSE),
        }
    }
    for connection in connections {
        connection
            .join()
            .expect("what happens on a connection does not fail");
    }
}

/// What all connections have in common.
struct Shared {
    server: SocketAddr,
    stopped: AtomicBool,
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Seen>>,
    /// How many answers have met harm.
    spoiled: AtomicUsize,
    /// Both ends of every connection.
    sockets: Mutex<Vec<TcpStream>>,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

/// One side of a conversation. The connection ends when it is dropped, whoever else has a handle on it.
struct Side(BufReader<TcpStream>);

impl Side {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_ref().write_all(bytes)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.0.get_ref().shutdown(Shutdown::Both);
    }
}

impl Shared {
    /// Takes requests from a client, one after the other, and brings it the answers.
    fn converse(&self, client: TcpStream) -> io::Result<()> {
        let mut client = self.side(client)?;
        let mut server = self.side(TcpStream::connect(self.server)?)?;
        if client.0.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
            return pass(&mut client, &mut server);
        }
        while let Some(request) = Head::read(&mut client.0)? {
            let harm = self.note(&request);
            if bring(&request, harm, &client, &mut server)? == Then::End {
                break;
            }
        }
        Ok(())
    }

    /// A connection with time-outs, which ends when the proxy does.
    fn side(&self, stream: TcpStream) -> io::Result<Side> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TRANSFER))?;
        stream.set_write_timeout(Some(TRANSFER))?;
        lock(&self.sockets).push(stream.try_clone()?);
        Ok(Side(BufReader::new(stream)))
    }

    /// Remembers a request, and tells what is to be done to its answer.
    fn note(&self, request: &Head) -> Option<Harm> {
        let seen = Seen {
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            range: request.header("range").map(str::to_owned),
        };
        // Each counts what it is about, also where another one comes first.
        let harms: Vec<Harm> = lock(&self.faults)
            .iter_mut()
            .filter_map(|fault| fault.meet(&seen))
            .collect();
        lock(&self.seen).push(seen);
        let harm = harms.into_iter().next()?;
        self.spoiled.fetch_add(1, Ordering::Relaxed);
        Some(harm)
    }
}

/// Brings what is no HTTP to the server, and its answer back.
fn pass(client: &mut Side, server: &mut Side) -> io::Result<()> {
    server.write(client.0.buffer())?;
    io::copy(&mut server.0, &mut client.0.get_ref())?;
    Ok(())
}

/// Brings a request to the server and what comes of it to the client.
fn bring(request: &Head, harm: Option<Harm>, client: &Side, server: &mut Side) -> io::Result<Then> {
    match &harm {
        Some(Harm::Instead(answer)) => {
            client.write(answer)?;
            return Ok(Then::End);
        }
        Some(Harm::Before(event)) => event(),
        _ => {}
    }
    if matches!(harm, Some(Harm::WithoutRange)) {
        server.write(&request.without("range"))?;
    } else {
        server.write(request.bytes())?;
    }
    let mut answer = Head::read(&mut server.0)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if matches!(harm, Some(Harm::Last)) {
        answer = answer.with("Connection", "close");
    }
    let length = answer.length_of_body(request.method());
    if let Some(Harm::CutHead(count)) = harm {
        client.write(&answer.bytes()[..count])?;
        return Ok(Then::End);
    }
    client.write(answer.bytes())?;
    let (server, client) = (&mut server.0, client.0.get_ref());
    match harm {
        Some(Harm::CutBody(count)) => {
            relay(server, client, count.min(length))?;
            return Ok(Then::End);
        }
        Some(Harm::At(place, event)) => {
            let place = place.min(length);
            relay(server, client, place)?;
            event();
            relay(server, client, length - place)?;
        }
        Some(Harm::Rate(rate)) => relay_slowly(server, client, length, rate)?,
        _ => relay(server, client, length)?,
    }
    Ok(if answer.is_last() || request.is_last() {
        Then::End
    } else {
        Then::GoOn
    })
}

/// Brings exactly so many bytes.
fn relay(server: &mut impl Read, mut client: impl Write, length: u64) -> io::Result<()> {
    let copied = io::copy(&mut server.take(length), &mut client)?;
    if copied < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// As [`relay`], at so many bytes a second.
fn relay_slowly(
    server: &mut impl Read,
    mut client: impl Write,
    length: u64,
    rate: u64,
) -> io::Result<()> {
    let second = Duration::from_secs(1);
    let part = (rate / u64::from(PARTS)).max(1);
    let mut left = length;
    while left > 0 {
        relay(server, &mut client, left.min(part))?;
        left = left.saturating_sub(part);
        thread::sleep(second / PARTS);
    }
    Ok(())
}
