//! A running `packageorigin`, and a plain HTTP/1.1 client for it.
//!
//! ```ignore
//! let server = Server::serving(&folder);
//! let answer = server.get("/v2/");
//! assert_eq!(answer.status, 200);
//! ```

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the server may take until it listens and is ready.
const START: Duration = Duration::from_secs(30);
/// How long it may take to stop by itself.
const STOP: Duration = Duration::from_secs(15);
/// How long one read or write of the client may take.
const TRANSFER: Duration = Duration::from_secs(30);
/// How long `raw` waits for the end of an answer.
const RAW: Duration = Duration::from_secs(10);
/// What the line that tells the address begins with.
const LISTENING: &str = "Listening on ";

/// The binary under test: `PACKAGEORIGIN_TEST_BINARY`, or the one Cargo has just built.
pub(crate) fn binary() -> PathBuf {
    env::var_os("PACKAGEORIGIN_TEST_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_packageorigin")),
        PathBuf::from,
    )
}

/// A command of `program` that inherits none of the server's settings, and remembers nothing unless it is told to.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PACKAGEORIGIN_") {
            command.env_remove(name);
        }
    }
    command.env("PACKAGEORIGIN_NO_CACHE", "1");
    command
}

/// How a server is to be started.
pub(crate) struct Setup {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    user: Option<u32>,
    listen: bool,
    wait: bool,
}

impl Setup {
    /// The binary under test, on a free port of 127.0.0.1.
    pub(crate) fn new() -> Self {
        Self {
            program: binary(),
            arguments: Vec::new(),
            variables: Vec::new(),
            directory: None,
            user: None,
            listen: true,
            wait: true,
        }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// Adds several arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().into()),
        );
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Starts it in `directory`.
    pub(crate) fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Starts it as the user and the group of this number.
    pub(crate) fn user(mut self, number: u32) -> Self {
        self.user = Some(number);
        self
    }

    /// Starts `program` instead of the binary under test.
    pub(crate) fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Adds no `--listen`: the arguments and variables given say where to listen.
    pub(crate) fn without_listen(mut self) -> Self {
        self.listen = false;
        self
    }

    /// Returns as soon as the server listens, before it is ready.
    pub(crate) fn without_ready(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    ///
    /// With everything it wrote, if it does not come up within 30 seconds.
    pub(crate) fn start(self) -> Server {
        let mut child = self.spawn();
        let log = Log::default();
        let pump = log.pump(child.stderr.take().expect("stderr is piped"));
        // From here on `Drop` stops the child, whatever fails.
        let mut server = Server {
            child,
            log,
            pump: Some(pump),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            authority: String::new(),
        };
        let deadline = Instant::now() + START;
        server.learn_address(deadline);
        if self.wait {
            server.wait_until_ready(deadline);
        }
        server
    }

    fn spawn(&self) -> Child {
        let mut command = command(&self.program);
        command.args(&self.arguments);
        if self.listen {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(number) = self.user {
            command.uid(number).gid(number);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()))
    }
}

/// A running server. It is stopped, by its process id, when dropped.
pub(crate) struct Server {
    child: Child,
    log: Log,
    pump: Option<JoinHandle<()>>,
    address: SocketAddr,
    authority: String,
}

impl Server {
    /// Starts the binary under test with `arguments` on a free port of 127.0.0.1.
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Setup::new().args(arguments).start()
    }

    /// Starts it with `--packages FOLDER`.
    pub(crate) fn serving(folder: &Path) -> Self {
        Self::start([OsStr::new("--packages"), folder.as_os_str()])
    }

    /// Where it listens, on IPv4.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `HOST:PORT` as the server said it: what a client puts before an image's name.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Its address as a URL, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many threads of this name it has.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self, name: &str) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        // Some end meanwhile.
        let names = threads.filter_map(|thread| {
            std::fs::read_to_string(thread.expect("an entry").path().join("comm")).ok()
        });
        names.filter(|found| found.trim_end() == name).count()
    }

    /// All it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.log.text()
    }

    /// Waits until stderr contains `text`, and gives all of stderr.
    ///
    /// # Panics
    ///
    /// If it does not come within 30 seconds.
    pub(crate) fn wait_for_stderr(&self, text: &str) -> String {
        let found = self
            .log
            .wait(Instant::now() + START, |all| all.contains(text));
        assert!(found, "no `{text}` on stderr:\n{}", self.stderr());
        self.stderr()
    }

    /// GET of `path`.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    /// HEAD of `path`.
    pub(crate) fn head(&self, path: &str) -> Response {
        self.request("HEAD", path, &[])
    }

    /// One request on a connection of its own.
    ///
    /// # Panics
    ///
    /// If no complete answer comes; `try_request` gives that as an error.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.try_request(method, path, headers, b"")
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.stderr()))
    }

    /// One request with a body. An answer that is cut short is `UnexpectedEof`.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut stream = self.connect()?;
        let mut bytes =
            request_head(&self.authority, method, path, headers, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        stream.write_all(&bytes)?;
        let mut stream = BufReader::new(stream);
        let response = Response::read(&mut stream, method)?;
        nothing_more(&mut stream)?;
        Ok(response)
    }

    /// Sends `bytes` as they are, and gives all that comes back until the end of the connection, or
    /// for 10 seconds.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().expect("the server accepts");
        // A server that has refused the beginning may be gone before the end is written.
        let _ = stream.write_all(bytes);
        read_until(&mut stream, Instant::now() + RAW)
    }

    /// A new connection with time-outs.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, TRANSFER)?;
        stream.set_read_timeout(Some(TRANSFER))?;
        stream.set_write_timeout(Some(TRANSFER))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends it a signal, named as `kill -s` names it: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill`: small systems have no program of that name. The child is not yet
        // waited for, so its id is still its own.
        let done = Command::new("sh")
            .args([
                "-c",
                "kill -s \"$1\" \"$2\"",
                "sh",
                name,
                &self.pid().to_string(),
            ])
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "cannot send SIG{name}"
        );
    }

    /// Stops it with SIGTERM and gives what it exited with.
    ///
    /// # Panics
    ///
    /// If it does not stop by itself within 15 seconds.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let status = self.wait(STOP);
        status.unwrap_or_else(|| panic!("the server did not stop on SIGTERM:\n{}", self.stderr()))
    }

    /// Waits for it to exit by itself, at most as long as `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn learn_address(&mut self, deadline: Instant) {
        let said = self.log.wait(deadline, |all| listening(all).is_some());
        let text = self.stderr();
        assert!(
            said,
            "no `{LISTENING}…` on stderr ({:?}):\n{text}",
            self.child.try_wait()
        );
        let authority = listening(&text).expect("just seen");
        let (host, port) = authority.rsplit_once(':').expect("an address has a port");
        let port = port
            .parse()
            .unwrap_or_else(|_| panic!("no port in `{authority}`"));
        let ip = if host == "localhost" {
            Ipv4Addr::LOCALHOST.into()
        } else {
            numeric(host)
        };
        self.address = SocketAddr::new(ip, port);
        authority.clone_into(&mut self.authority);
    }

    fn wait_until_ready(&self, deadline: Instant) {
        loop {
            let answer = self.try_request("GET", "/readyz", &[], b"");
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "never ready: {answer:?}\n{}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal_quietly();
            if self.wait(STOP).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
        if thread::panicking() {
            report(&self.stderr());
        }
    }
}

impl Server {
    /// As `signal`, but without a panic: a panic within `Drop` would end the whole test run.
    fn signal_quietly(&self) {
        let pid = self.pid().to_string();
        let _ = Command::new("sh")
            .args(["-c", "kill -s TERM \"$1\"", "sh", &pid])
            .status();
    }
}

#[expect(
    clippy::print_stderr,
    reason = "shown by the test harness beside the failure"
)]
fn report(stderr: &str) {
    eprintln!("--- the server's stderr ---\n{stderr}---");
}

/// The authority in the first complete line that tells an address.
fn listening(text: &str) -> Option<&str> {
    let complete = &text[..text.rfind('\n')?];
    let line = complete
        .lines()
        .find_map(|line| line.strip_prefix(LISTENING))?;
    let (_, rest) = line.split_once("://")?;
    rest.split(|c: char| c.is_whitespace() || c == '/' || c == ',')
        .next()
}

fn numeric(host: &str) -> std::net::IpAddr {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .unwrap_or_else(|_| panic!("`{host}` is no address"))
}

/// What the server writes to stderr, as it comes.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    ended: bool,
}

impl Log {
    fn pump(&self, stderr: ChildStderr) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                log.change(|written| written.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            log.change(|written| written.ended = true);
        })
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.0.0.lock().expect("no holder panics"));
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        self.0.0.lock().expect("no holder panics").text.clone()
    }

    /// Waits until the text is as wanted; false when the time is over or stderr has ended without it.
    fn wait(&self, deadline: Instant, wanted: impl Fn(&str) -> bool) -> bool {
        let mut written = self.0.0.lock().expect("no holder panics");
        loop {
            if wanted(&written.text) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return false;
            }
            written = self
                .0
                .1
                .wait_timeout(written, left)
                .expect("no holder panics")
                .0;
        }
    }
}

/// One complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The header lines in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body: empty for HEAD.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the first header of that name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// Reads one answer to a request of `method`.
    pub(crate) fn read(stream: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let (status, headers) = read_head(stream)?;
        let mut response = Self {
            status,
            headers,
            body: Vec::new(),
        };
        if method == "HEAD" || status == 204 || status == 304 || status < 200 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some() {
            return Err(invalid("a body in chunks: every length is known here"));
        }
        match response.header("content-length") {
            Some(length) => {
                let length = length
                    .parse()
                    .map_err(|_| invalid("a bad Content-Length"))?;
                stream.take(length).read_to_end(&mut response.body)?;
                if response.body.len() as u64 != length {
                    let what = format!("{} of {length} bytes", response.body.len());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
                }
            }
            None => {
                stream.read_to_end(&mut response.body)?;
            }
        }
        Ok(response)
    }
}

fn read_head(stream: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = read_line(stream)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid(&format!("`{first}` is no status line")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid(&format!("`{line}` is no header")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.take(64 * 1024).read_line(&mut line)?;
    if !line.ends_with('\n') {
        let what = format!("the head ends after `{line}`");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// After an answer to `Connection: close` the connection ends: a body to HEAD would stand here.
fn nothing_more(stream: &mut impl Read) -> io::Result<()> {
    let mut rest = Vec::new();
    stream.take(1024).read_to_end(&mut rest)?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(invalid("bytes follow the answer"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn request_head(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        let _ = write!(head, "Host: {authority}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if length > 0 {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.push_str("Connection: close\r\n\r\n");
    head
}

/// Reads to the end, an error or the deadline, and gives what came.
fn read_until(stream: &mut TcpStream, deadline: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 8 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return all;
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return all,
            Ok(count) => all.extend_from_slice(&part[..count]),
        }
    }
}
