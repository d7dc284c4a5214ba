//! Pulls while archives change: slow ones that have begun, and clients that ask all the time. Every byte is compared or
//! hashed, so whatever is complete is also right.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::fixture::{Blob, sha256};
use crate::server::{Response, Server};

/// As much of an answer may lie at the client unread.
const UNREAD: usize = 64 << 10;
/// Between two rounds of one client.
const PAUSE: Duration = Duration::from_millis(10);

/// Longer than all that lies in buffers on the way to a client that reads nothing, so that most is read after a change.
pub(crate) const LARGE: usize = 12 << 20;

/// Bytes in which no two pages are the same, and which differ with `seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (number, page) in (0_u64..).zip(bytes.chunks_mut(1024)) {
        let mark = [seed.to_le_bytes(), number.to_le_bytes()].concat();
        let length = mark.len().min(page.len());
        page[..length].copy_from_slice(&mark[..length]);
    }
    bytes
}

/// A pull of a blob that has begun and is not finished, by a client that takes its time.
pub(crate) struct Pull {
    stream: BufReader<TcpStream>,
    /// What has to come and has not yet.
    expected: Vec<u8>,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With all bytes, which are right.
    Whole,
    /// Before all bytes had come; what came is of no use to anyone.
    Cut,
}

impl Pull {
    /// Asks for `blob` of a repository, and reads the head of the answer.
    pub(crate) fn begin(server: &Server, repository: &str, blob: &Blob) -> Self {
        Self::ask(server, repository, blob, "", 200, blob.bytes.clone())
    }

    /// The same for all bytes from `start` on.
    pub(crate) fn begin_at(server: &Server, repository: &str, blob: &Blob, start: usize) -> Self {
        let range = format!("Range: bytes={start}-\r\n");
        let expected = blob.bytes[start..].to_vec();
        Self::ask(server, repository, blob, &range, 206, expected)
    }

    fn ask(
        server: &Server,
        repository: &str,
        blob: &Blob,
        headers: &str,
        status: u16,
        expected: Vec<u8>,
    ) -> Self {
        let mut stream = server.connect().expect("the server accepts");
        set_socket_recv_buffer_size(&stream, UNREAD).expect("a small buffer");
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: slow/1\r\n{headers}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = stream.read_line(&mut head).expect("a line");
            assert!(length > 0, "the head ends after {head}");
        }
        let start = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&start), "{head}\n{}", server.stderr());
        let length = format!("content-length: {}\r\n", expected.len());
        assert!(head.to_ascii_lowercase().contains(&length), "{head}");
        Self { stream, expected }
    }

    /// Reads the next `length` bytes, which are right.
    pub(crate) fn read(mut self, length: usize) -> Self {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("more bytes");
        let rest = self.expected.split_off(length);
        assert!(bytes == self.expected, "wrong bytes came");
        self.expected = rest;
        self
    }

    /// Reads what is left.
    ///
    /// # Panics
    ///
    /// If all bytes come, and are not those that were asked for.
    pub(crate) fn end(mut self) -> End {
        let mut bytes = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        assert!(bytes.len() <= self.expected.len(), "more bytes came");
        if bytes.len() < self.expected.len() {
            return End::Cut;
        }
        assert!(bytes == self.expected, "wrong bytes, and complete");
        End::Whole
    }
}

/// What a client had when it pulled an image by its tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Had {
    /// The image of this digest with all blobs.
    Whole(String),
    /// A transfer of this image was cut.
    Part(String),
    /// Of this image something was not there any more.
    Less(String),
    /// It was told to ask again.
    Later,
    /// There is no such tag.
    Nothing,
}

/// Pulls `tag` of `repository` with all that its manifest lists, each byte hashed.
///
/// # Panics
///
/// If anything is complete and not what it is called, or an answer is none that a change may lead to.
pub(crate) fn pull(server: &Server, repository: &str, tag: &str) -> Had {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let Some(manifest) = ask(server, &path) else {
        panic!("{path}: cut");
    };
    match manifest.status {
        200 => {}
        404 => return Had::Nothing,
        _ => return later(&path, &manifest),
    }
    let digest = sha256(&manifest.body);
    let said = manifest.header("docker-content-digest");
    assert_eq!(said, Some(digest.as_str()), "{path}");
    let manifest = manifest.json();
    let layers = manifest["layers"].as_array().expect("layers");
    for blob in [&manifest["config"]].into_iter().chain(layers) {
        let blob = blob["digest"].as_str().expect("a digest");
        let path = format!("/v2/{repository}/blobs/{blob}");
        match ask(server, &path) {
            None => return Had::Part(digest),
            Some(answer) if answer.status == 200 => {
                assert_eq!(sha256(&answer.body), blob, "wrong bytes, and complete");
            }
            Some(answer) if answer.status == 404 => return Had::Less(digest),
            Some(answer) => return later(&path, &answer),
        }
    }
    Had::Whole(digest)
}

/// The complete answer, or nothing if it was cut.
fn ask(server: &Server, path: &str) -> Option<Response> {
    match server.try_request("GET", path, &[], b"") {
        Ok(answer) => Some(answer),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

/// Whoever is told to ask again is told so in the way that clients understand.
fn later(path: &str, answer: &Response) -> Had {
    let text = answer.text();
    assert_eq!(answer.status, 429, "{path}: {text}");
    assert_eq!(answer.json()["errors"][0]["code"], "TOOMANYREQUESTS");
    assert!(answer.header("retry-after").is_some(), "{path}: {text}");
    Had::Later
}

/// Has several clients do the same again and again while `change` runs, and gives what each of them saw, without
/// what was the same as before.
pub(crate) fn meanwhile<S: Clone + PartialEq + Send>(
    clients: usize,
    ask: impl Fn() -> S + Sync,
    change: impl FnOnce(),
) -> Vec<Vec<S>> {
    /// Whatever happens, the clients go home.
    struct Closing<'a>(&'a AtomicBool);
    impl Drop for Closing<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (is_over, all) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let client = || {
        let mut seen: Vec<S> = Vec::new();
        loop {
            let is_last = is_over.load(Ordering::Relaxed);
            let now = ask();
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            if is_last {
                break;
            }
            thread::sleep(PAUSE);
        }
        all.lock().expect("no holder panics").push(seen);
    };
    thread::scope(|scope| {
        let _closing = Closing(&is_over);
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        change();
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("what the client saw was right");
        }
    });
    all.into_inner().expect("no holder panics")
}

/// Does all of this at the same time, because most of it is waiting; each on a thread that is called after it.
pub(crate) fn at_once(cases: &[(&str, &(dyn Fn() + Sync))]) {
    thread::scope(|scope| {
        for (name, case) in cases {
            let thread = thread::Builder::new().name((*name).to_owned());
            thread.spawn_scoped(scope, case).expect("a thread");
        }
    });
}

/// All that any client saw.
pub(crate) fn ever<S: Clone + Ord>(seen: &[Vec<S>]) -> BTreeSet<S> {
    seen.iter().flatten().cloned().collect()
}
