//! The running program: starting, transfers, logging, stopping.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Image, Layer, Layout, Node as _};
use crate::server::{Response, Server, Setup};

/// Long enough for a large transfer to stand in the middle: more than what the system's buffers hold.
const LARGE: usize = 32 << 20;

/// Writes an archive with one image, named `name`, to `path`; gives its manifest's digest.
fn archive(path: &Path, name: &str, title: &str) -> String {
    let image = Image::new(title);
    fs::write(path, Layout::new().named(&image, name).tar()).unwrap();
    image.digest()
}

/// A folder with one image `app:1` that has a layer of [`LARGE`] bytes; gives the layer's digest.
fn large(folder: &Path) -> (String, Vec<u8>) {
    let mut bytes = vec![0; LARGE];
    for (number, page) in bytes.chunks_mut(4096).enumerate() {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    let layer = Layer::raw(bytes);
    let blob = layer.blob();
    let image = Image::new("large").layers([layer]);
    fs::write(
        folder.join("large.tar"),
        Layout::new().named(&image, "app:1").tar(),
    )
    .unwrap();
    (blob.digest, blob.bytes)
}

/// Waits until `holds`, for ten seconds at most.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not happen: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for a blob and reads only the beginning of the answer.
fn begin(server: &Server, digest: &str) -> TcpStream {
    let mut stream = server.connect().unwrap();
    write!(
        stream,
        "GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\nUser-Agent: slow/1\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut start = [0; 1024];
    stream.read_exact(&mut start).unwrap();
    assert!(start.starts_with(b"HTTP/1.1 200"));
    stream
}

/// What is left of an answer until the connection ends.
fn rest(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut bytes);
    bytes.len()
}

#[test]
fn a_large_blob_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = large(folder.path());
    let server = Server::serving(folder.path());
    let path = format!("/v2/app/blobs/{digest}");
    assert!(server.get(&path).body == bytes);
    let part = server.request("GET", &path, &[("Range", "bytes=1000000-20000000")]);
    assert_eq!(part.status, 206);
    assert!(part.body == bytes[1_000_000..=20_000_000]);
    server.wait_for_stderr(&format!("GET {path}\" 200 {LARGE} B"));
    server.wait_for_stderr(&format!("GET {path}\" 206 19000001 B"));
    assert!(!server.stderr().contains("cut short"));
}

#[test]
fn a_client_that_goes_away_is_logged_as_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, _) = large(folder.path());
    let server = Server::serving(folder.path());
    drop(begin(&server, &digest));
    let log = server.wait_for_stderr("cut short");
    let line = log.lines().find(|line| line.contains("cut short")).unwrap();
    let sent: usize = line
        .split("\" 200 ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
        .parse()
        .unwrap();
    assert!(sent < LARGE, "{line}");
}

#[test]
fn stopping_lets_transfers_end() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = large(folder.path());
    let mut server = Server::serving(folder.path());
    let stream = begin(&server, &digest);
    server.signal("TERM");
    server.wait_for_stderr("Stopping");
    eventually("no new connection is taken", || {
        TcpStream::connect(server.addr()).is_err()
    });
    assert!(
        server.wait(Duration::from_millis(100)).is_none(),
        "it waits"
    );
    assert!(rest(stream) > bytes.len() - 1024);
    assert!(server.wait(Duration::from_secs(10)).unwrap().success());
    server.wait_for_stderr(&format!("\" 200 {LARGE} B"));
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, _) = large(folder.path());
    let start = || {
        Server::start([
            "--drain",
            "300ms",
            "--packages",
            folder.path().to_str().unwrap(),
        ])
    };
    let mut server = start();
    let stream = begin(&server, &digest);
    // An idle connection is nothing to wait for.
    let idle = server.connect().unwrap();
    server.signal("INT");
    assert!(server.wait(Duration::from_secs(10)).unwrap().success());
    server.wait_for_stderr("1 connection was cut");
    server.wait_for_stderr("cut short \"slow/1\"");
    drop((stream, idle));
    let mut impatient = Setup::new()
        .args(["--drain", "1h", "--packages"])
        .arg(folder.path())
        .start();
    let stream = begin(&impatient, &digest);
    impatient.signal("TERM");
    impatient.wait_for_stderr("Stopping");
    impatient.signal("TERM");
    assert_eq!(
        impatient.wait(Duration::from_secs(10)).unwrap().code(),
        Some(130)
    );
    drop(stream);
}

/// Connections that end by themselves, as idle ones do at once, are not among those that were cut.
#[test]
fn stopping_cuts_nothing_that_is_idle() {
    let folder = tempfile::tempdir().unwrap();
    archive(&folder.path().join("a.tar"), "app:1", "a");
    // It depends on the moment: one round might pass where something is wrong.
    for _ in 0..10 {
        let mut server = Server::serving(folder.path());
        let idle: Vec<_> = (0..50).map(|_| idle(&server)).collect();
        server.signal("TERM");
        assert!(server.wait(Duration::from_secs(10)).unwrap().success());
        let log = server.wait_for_stderr("Stopping");
        assert!(!log.contains("cut after"), "{log}");
        drop(idle);
    }
}

/// A connection that has had an answer and may stay.
fn idle(server: &Server) -> TcpStream {
    let mut stream = server.connect().unwrap();
    write!(stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

/// Requests that come on old connections after the signal are not answered, and new connections are refused: whoever asks
/// can tell that nothing was done, and asks again.
#[test]
fn stopping_answers_no_further_request() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = large(folder.path());
    let server = Server::serving(folder.path());
    let path = format!("/v2/app/blobs/{digest}");
    let ask = |stream: &mut TcpStream| {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    };
    let mut busy = server.connect().unwrap();
    ask(&mut busy);
    let mut idle = idle(&server);
    server.signal("TERM");
    server.wait_for_stderr("Stopping");
    eventually("no new connection is taken", || {
        TcpStream::connect(server.addr()).is_err()
    });
    ask(&mut busy);
    let mut answers = BufReader::new(busy);
    let whole = Response::read(&mut answers, "GET").unwrap();
    assert!(whole.status == 200 && whole.body == bytes);
    let mut more = Vec::new();
    let _ = answers.read_to_end(&mut more);
    assert_eq!(more, b"");

    // What is left of the answer that it had, and nothing else.
    let _ = write!(idle, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
}

#[test]
fn localhost_is_both_families() {
    let folder = tempfile::tempdir().unwrap();
    archive(&folder.path().join("a.tar"), "app:1", "a");
    let server = Setup::new()
        .without_listen()
        .env("PACKAGEORIGIN_LISTEN", "0")
        .arg("-packages")
        .arg(folder.path())
        .start();
    assert!(server.stderr().contains(&format!(
        "Listening on http://localhost:{} (this machine only",
        server.port()
    )));
    let v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, server.port()));
    if fs::exists("/proc/net/if_inet6").unwrap() {
        let mut stream = v6.unwrap();
        write!(
            stream,
            "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.get("/v2/app/tags/list").status, 200);
}

#[test]
fn a_request_that_comes_before_the_first_scan_has_ended_waits() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        archive(
            &folder.path().join(format!("{number}.tar")),
            &format!("app/{number}:1"),
            &number.to_string(),
        );
    }
    let server = Setup::new()
        .without_ready()
        .arg("--packages")
        .arg(folder.path())
        .start();
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/v2/app/1999/manifests/1").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    server.wait_for_stderr("Serving 2000 repositories, 4000 tags, 2000 images from 2000 archives");
}

#[test]
fn what_the_log_says_cannot_be_forged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serving(folder.path());
    server.request("GET", "/v2/%1b[31m\"x", &[("User-Agent", "a\" 200 \\ \tb")]);
    let log = server.wait_for_stderr("%1b[31m");
    let line = log.lines().find(|line| line.contains("%1b[31m")).unwrap();
    assert!(line.ends_with(r#""a\" 200 \\ \tb""#), "{line}");
    assert!(line.contains(r#"GET /v2/%1b[31m\"x" 404"#), "{line}");
}

#[test]
fn lists_are_data_and_talk_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let digest = archive(&folder.path().join("a.tar"), "ghcr.io/acme/app:1.0", "a");
    fs::write(folder.path().join("b.tar"), "no tar").unwrap();
    let list = |arguments: &[&str]| {
        let output = crate::server::command(crate::server::binary())
            .arg("list")
            .args(arguments)
            .arg(folder.path())
            .output();
        let output = output.unwrap();
        assert!(output.status.success());
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (table, talk) = list(&[]);
    assert!(
        table.contains("acme/app")
            && table.contains("latest → 1.0 (automatic)")
            && table.contains("linux/amd64")
    );
    assert!(
        talk.starts_with("warning: ") && talk.contains("b.tar: it is not a tar archive; remove it"),
        "{talk}"
    );
    let (json, talk) = list(&["-json"]);
    assert_eq!(talk, "");
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    let repository = &list["repositories"][0];
    assert_eq!(
        (&repository["name"], &repository["host"]),
        (&"acme/app".into(), &"ghcr.io".into())
    );
    let tags: Vec<_> = repository["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["tag"].as_str().unwrap())
        .collect();
    assert_eq!(tags, ["1.0", "latest"]);
    assert_eq!(repository["tags"][0]["digest"], digest.as_str());
    assert_eq!(repository["tags"][0]["made"], false);
    assert_eq!(repository["tags"][1]["automatic"], "1.0");
    assert_eq!(list["problems"][0]["severity"], "warning");
    assert!(
        list["problems"][0]["file"]
            .as_str()
            .unwrap()
            .ends_with("b.tar")
    );
}

#[test]
fn clients_that_take_nothing_do_not_stop_others() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = large(folder.path());
    let server = Server::serving(folder.path());
    let stalled: Vec<TcpStream> = (0..300).map(|_| begin(&server, &digest)).collect();
    assert!(server.get(&format!("/v2/app/blobs/{digest}")).body == bytes);
    drop(stalled);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1500 {
        archive(
            &folder.path().join(format!("{number}.tar")),
            &format!("app/{number}:1"),
            &number.to_string(),
        );
    }
    let server = Setup::new()
        .without_ready()
        .arg("--packages")
        .arg(folder.path())
        .start();
    let mut stream = server.connect().unwrap();
    write!(
        stream,
        "GET /v2/app/1/manifests/1?early HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    .unwrap();
    drop(stream);
    // It may have been quick enough: then the answer was written to nobody.
    server.wait_for_stderr("?early");
}

/// A program that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody reads what it writes: it serves on, and stops when it is told to.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    archive(&folder.path().join("a.tar"), "app:1", "a");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = crate::server::command(crate::server::binary())
        .args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--refresh",
            "50ms",
            "--packages",
        ])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    };
    eventually("it is ready", || get("/readyz").is_some());
    // More than a pipe holds.
    let long = "x".repeat(900);
    for _ in 0..200 {
        assert!(get(&format!("/v2/app/manifests/1?{long}")).is_some());
    }
    archive(&folder.path().join("b.tar"), "other:1", "b");
    eventually("a new file is served", || {
        get("/v2/other/manifests/1").is_some()
    });
    Command::new("sh")
        .args(["-c", "kill -TERM \"$1\"", "sh", &child.0.id().to_string()])
        .status()
        .unwrap();
    eventually("it stops", || child.0.try_wait().unwrap().is_some());
}
