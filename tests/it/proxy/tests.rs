//! The proxy does what it is told, to the byte.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Fault, Harm, Proxy, Seen, answer};
use crate::fixture::{Blob, Image, Layer, Layout};
use crate::packages::Packages;
use crate::server::{Response, Server};

/// How many bytes the layer has.
const LENGTH: usize = 200_000;

/// A server, a proxy before it, and the layer that it serves.
struct Scene {
    proxy: Proxy,
    _server: Server,
    _packages: Packages,
    layer: Blob,
}

impl Scene {
    fn new(faults: impl IntoIterator<Item = (Harm, fn(Fault) -> Fault)>) -> Self {
        let layer = Layer::raw(b"0123456789".repeat(LENGTH / 10));
        let blob = layer.blob();
        let image = Image::new("app").layers([layer]);
        let packages = Packages::new().with("app.tar", Layout::new().named(&image, "app:1").tar());
        let server = packages.serve(&[]);
        let proxy = Proxy::before(server.addr());
        proxy.spoil(
            faults
                .into_iter()
                .map(|(harm, which)| which(Fault::get(&blob.digest, harm))),
        );
        Self {
            proxy,
            _server: server,
            _packages: packages,
            layer: blob,
        }
    }

    fn path(&self) -> String {
        format!("/v2/app/blobs/{}", self.layer.digest)
    }

    fn is_layer(&self, answer: &Response) -> bool {
        answer.status == 200 && answer.body == self.layer.bytes
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.proxy.authority()).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time-out");
        BufReader::new(stream)
    }

    /// Asks for the layer on a connection that stays.
    fn ask(&self, stream: &mut BufReader<TcpStream>, more: &str) -> io::Result<Response> {
        self.send(stream, more);
        Response::read(stream, "GET")
    }

    fn send(&self, stream: &mut BufReader<TcpStream>, more: &str) {
        let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n{more}\r\n", self.path());
        stream
            .get_mut()
            .write_all(head.as_bytes())
            .expect("a request goes out");
    }

    /// Asks for the layer, and gives all that comes until the connection ends.
    fn all(&self) -> Vec<u8> {
        let mut stream = self.connect();
        self.send(&mut stream, "Connection: close\r\n");
        let mut all = Vec::new();
        stream
            .read_to_end(&mut all)
            .expect("the end of the connection");
        all
    }

    /// What comes between the head and the end of the connection.
    fn body(&self) -> Vec<u8> {
        let all = self.all();
        let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        all[end.expect("a whole head") + 4..].to_vec()
    }
}

fn first(fault: Fault) -> Fault {
    fault
}

#[test]
fn without_faults_all_comes_through() {
    let scene = Scene::new([]);
    let mut stream = scene.connect();
    for _ in 0..3 {
        let whole = scene.ask(&mut stream, "").expect("an answer");
        assert!(scene.is_layer(&whole));
        let part = scene
            .ask(&mut stream, "Range: bytes=199990-\r\n")
            .expect("an answer");
        assert_eq!(
            (part.status, part.body.as_slice()),
            (206, &b"0123456789"[..])
        );
    }
    let seen = |range: Option<&str>| Seen {
        method: "GET".into(),
        path: scene.path(),
        range: range.map(str::to_owned),
    };
    assert_eq!(
        scene.proxy.seen()[..2],
        [seen(None), seen(Some("bytes=199990-"))]
    );
    assert_eq!(scene.proxy.seen().len(), 6);
}

#[test]
fn answers_are_cut_where_told() {
    for count in [0, 1, 20] {
        let scene = Scene::new([(Harm::CutHead(count), first as fn(Fault) -> Fault)]);
        assert_eq!(
            scene.all(),
            &b"HTTP/1.1 200 OK\r\ncontent-length: "[..count]
        );
        assert_eq!(scene.proxy.seen().len(), 1);
    }
    for count in [0, 1, 70_000, LENGTH - 1] {
        let scene = Scene::new([(Harm::CutBody(count as u64), first as fn(Fault) -> Fault)]);
        assert!(scene.body() == scene.layer.bytes[..count], "{count}");
        let again = scene.ask(&mut scene.connect(), "").expect("an answer");
        assert!(scene.is_layer(&again), "{count}");
    }
}

#[test]
fn faults_choose_their_requests() {
    let cut = || Harm::CutBody(5);
    let second_range: fn(Fault) -> Fault = |fault| fault.only_ranges().turns(1..2);
    let scene = Scene::new([(cut(), second_range)]);
    let ask = |more: &str| scene.ask(&mut scene.connect(), more).is_ok();
    let range = "Range: bytes=10-\r\n";
    let came: Vec<bool> = ["", range, "", range, range].map(ask).to_vec();
    assert_eq!(came, [true, true, true, false, true]);
    assert_eq!(scene.proxy.spoiled(), 1);

    let while_new: fn(Fault) -> Fault = |fault| fault.within(Duration::from_secs(4));
    let scene = Scene::new([(cut(), while_new)]);
    assert_eq!(scene.body().len(), 5);
    assert_eq!(scene.body().len(), 5);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(scene.body().len(), LENGTH);

    let scene = Scene::new([(cut(), Fault::always as fn(Fault) -> Fault)]);
    assert_eq!([(); 3].map(|()| scene.body().len()), [5; 3]);
}

#[test]
fn other_answers_and_no_ranges() {
    let instead = answer("429 Too Many Requests", &[("Retry-After", "1")], "{}");
    let scene = Scene::new([(Harm::WithoutRange, Fault::only_ranges as fn(Fault) -> Fault)]);
    let whole = scene
        .ask(&mut scene.connect(), "Range: bytes=1-\r\n")
        .expect("an answer");
    assert!(scene.is_layer(&whole));

    scene
        .proxy
        .spoil([Fault::any("/blobs/", Harm::Instead(instead))]);
    assert_eq!(scene.proxy.seen(), []);
    let refused = scene.ask(&mut scene.connect(), "").expect("an answer");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.text(), "{}");
    let whole = scene.ask(&mut scene.connect(), "").expect("an answer");
    assert!(scene.is_layer(&whole));
}

#[test]
fn answers_can_be_slow() {
    let half = Duration::from_millis(500);
    for harm in [Harm::stall(1000, half), Harm::Rate(LENGTH as u64)] {
        let scene = Scene::new([(harm, first as fn(Fault) -> Fault)]);
        let start = Instant::now();
        let whole = scene.ask(&mut scene.connect(), "").expect("an answer");
        assert!(start.elapsed() >= half, "{:?}", start.elapsed());
        assert!(scene.is_layer(&whole));
    }
}

#[test]
fn an_answer_can_be_the_last_of_its_connection() {
    let scene = Scene::new([(Harm::Last, first as fn(Fault) -> Fault)]);
    let mut stream = scene.connect();
    let whole = scene.ask(&mut stream, "").expect("an answer");
    assert!(scene.is_layer(&whole));
    assert_eq!(whole.header("connection"), Some("close"));
    let mut more = Vec::new();
    stream.read_to_end(&mut more).expect("an end");
    assert_eq!(more, b"");
}

#[test]
fn connections_are_refused_while_the_gate_is_shut() {
    let scene = Scene::new([]);
    let mut old = scene.connect();
    scene.ask(&mut old, "").expect("an answer");
    let gate = scene.proxy.gate();
    gate.shut();
    let refused = TcpStream::connect(scene.proxy.authority()).expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(scene.ask(&mut old, "").is_ok(), "an open connection stays");
    gate.open();
    assert!(scene.ask(&mut scene.connect(), "").is_ok());
}

#[test]
fn things_happen_in_the_midst_of_answers() {
    let happened = Arc::new(AtomicU32::new(0));
    let event = || {
        let happened = Arc::clone(&happened);
        Arc::new(move || {
            happened.fetch_add(1, Ordering::SeqCst);
        })
    };
    let scene = Scene::new([
        (Harm::Before(event()), first as fn(Fault) -> Fault),
        (Harm::At(100, event()), |fault| fault.turns(1..2)),
    ]);
    for expected in [1, 2, 2] {
        let whole = scene.ask(&mut scene.connect(), "").expect("an answer");
        assert!(scene.is_layer(&whole));
        assert_eq!(happened.load(Ordering::SeqCst), expected);
    }
}
