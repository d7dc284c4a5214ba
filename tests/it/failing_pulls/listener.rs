//! Small servers that are no registry of ours.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a read or write may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What the cutting one leaves out of a layer.
const CUT: usize = 1000;

/// A thread that accepts connections on a port of 127.0.0.1 until it is dropped.
pub(super) struct Listener {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Answers each connection with `answer`; a client that leaves is none of its business.
    pub(super) fn start(
        answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let ends = Arc::new(AtomicBool::new(false));
        let (answer, ended) = (Arc::new(answer), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self {
            address,
            ends,
            thread: Some(thread),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&mut TcpStream) -> io::Result<()>) {
    let _ = stream.set_read_timeout(Some(LIMIT));
    let _ = stream.set_write_timeout(Some(LIMIT));
    let _ = answer(&mut stream);
    let _ = stream.shutdown(Shutdown::Write);
    // What was sent and not read would reset the connection before the answer has been read.
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// No HTTP at all.
pub(super) fn greet(stream: &mut TcpStream) -> io::Result<()> {
    head(stream)?;
    stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n")
}

/// A registry that lets nobody pull, with the words of public ones.
pub(super) fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    let request = head(stream)?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match path.split('/').nth(2) {
        Some("") => ("200 OK", "{}".to_owned()),
        Some("limited") => (
            "429 Too Many Requests",
            error("TOOMANYREQUESTS", "You have reached your pull rate limit."),
        ),
        Some("private") => (
            "401 Unauthorized",
            error("UNAUTHORIZED", "authentication required"),
        ),
        Some("denied") => (
            "403 Forbidden",
            error("DENIED", "requested access to the resource is denied"),
        ),
        // A TLS hello.
        _ => ("400 Bad Request", String::new()),
    };
    let length = body.len();
    let body = if request.starts_with("HEAD ") {
        ""
    } else {
        &body
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn error(code: &str, message: &str) -> String {
    // With a detail docker says more.
    let detail = r#"[{"Type":"repository","Name":"private","Action":"pull"}]"#;
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":{detail}}}]}}"#)
}

/// What `registry` answers, but layers without their end.
pub(super) fn cut(stream: &mut TcpStream, registry: SocketAddr) -> io::Result<()> {
    let request = head(stream)?;
    let mut upstream = TcpStream::connect(registry)?;
    upstream.set_read_timeout(Some(LIMIT))?;
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    upstream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if request.contains("/blobs/") && answer.len() > 2 * CUT {
        answer.truncate(answer.len() - CUT);
    }
    stream.write_all(&answer)
}

/// The head of a request; of what is no HTTP the first bytes.
fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..count]);
        let is_http = head.first().is_some_and(u8::is_ascii_uppercase);
        if count == 0 || !is_http || head.ends_with(b"\r\n\r\n") {
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
    }
}
