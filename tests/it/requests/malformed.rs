//! What is no HTTP, or HTTP of an unusual kind: tables of lines and bodies, damage by chance, and here what is more than
//! one message or takes its time.

mod bodies;
mod lines;
mod messages;
mod mutations;
mod outcome;

use std::thread;

use super::*;

/// The message is refused as malformed, and the connection ends.
fn check_refused(shelf: &Shelf, message: &[u8], statuses: &[u16]) {
    let came = shelf.raw(message);
    let text = String::from_utf8_lossy(&came);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let shown = String::from_utf8_lossy(&message[..message.len().min(200)]);
    assert!(
        status.is_some_and(|status| statuses.contains(&status)),
        "{shown:?}: {text}"
    );
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {text}");
    shelf.check_alive();
}

/// The answer to HEAD tells the length of what GET would get, and lacks nothing.
#[test]
fn a_head_that_is_refused_is_whole() {
    let shelf = Shelf::new();
    let answer = |method: &str| {
        shelf.send(&format!(
            "{method} /nohost HTTP/1.1\r\nConnection: close\r\n\r\n"
        ))
    };
    let (get, head) = (answer("GET"), answer("HEAD"));
    assert_eq!((get.status, head.status), (400, 400));
    assert_eq!(
        head.header("content-length"),
        Some(get.body.len().to_string().as_str())
    );
    let log = shelf.wait_for_stderr("\"HEAD /nohost\" 400 0 B ");
    assert!(!log.contains("cut short"), "{log}");
}

#[test]
fn long_heads() {
    let shelf = Shelf::new();
    let request = |headers: &str| {
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n")
    };
    // Tokens of large sites are long.
    let long = format!("Authorization: Bearer {}\r\n", "x".repeat(64 << 10));
    assert_eq!(shelf.send(&request(&long)).status, 200);
    let many = (0..80).map(|number| format!("X-{number}: {}\r\n", "x".repeat(900)));
    let many = many.collect::<Vec<_>>().concat();
    assert_eq!(shelf.send(&request(&many)).status, 200);
    for size in [1 << 20, 300 << 10] {
        let too_long = format!("X: {}\r\n", "x".repeat(size));
        check_refused(&shelf, request(&too_long).as_bytes(), &[431]);
    }
    let too_many = (0..20_000).map(|number| format!("X-{number}: x\r\n"));
    let too_many = too_many.collect::<Vec<_>>().concat();
    check_refused(&shelf, request(&too_many).as_bytes(), &[431]);
    let path = format!(
        "GET /v2/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "a/".repeat(40 << 10)
    );
    check_refused(&shelf, path.as_bytes(), &[404, 414]);
}

/// No path leads anywhere but where it says.
#[test]
fn paths() {
    let shelf = Shelf::new();
    let get = |path: &str| {
        shelf.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    };
    for path in [
        "/v2/acme/app/../../../../etc/passwd",
        "/../../etc/passwd",
        "/v2/%2e%2e/%2e%2e/etc/passwd",
        "/v2/..%2f..%2fetc%2fpasswd/tags/list",
        "/v2/./acme/app/tags/list",
        "//v2/acme/app/tags/list",
        "/v2/acme/app%00/tags/list",
        "/v2/acme/app/tags/list%00",
        "/v2/%zz/tags/list",
        "/v2/%/tags/list",
        "/v2/%ff%fe/tags/list",
        "/v2/acme/app/manifests/%2e%2e",
        "/v2/acme/app/manifests/1.0%0d%0aX-Evil:%201",
        "/v2/acme/app/blobs/",
        "/v2/acme/app/manifests/",
        "/v2/acme\\app/tags/list",
        "/V2/",
    ] {
        let answer = get(path);
        assert_eq!(answer.status / 100, 4, "{path}: {}", answer.text());
        assert!(answer.json()["errors"][0]["code"].is_string(), "{path}");
        assert_eq!(answer.header("x-evil"), None);
    }
    assert_eq!(get("/v2").status, 200);
    assert_eq!(get("/v2/?any=thing").status, 200);
    // What need not be encoded may be.
    let digest = shelf.image.digest();
    assert_eq!(
        get(&format!(
            "/v2/acme/app/manifests/{}",
            digest.replace(':', "%3A")
        ))
        .status,
        200
    );
    assert_eq!(get("/v2/acme/app/manifests/1.1.0%2Boci").status, 200);
    assert_eq!(get("/v2/acme/app/manifests/1.1.0+oci").status, 200);
}

/// RFC 9112, section 3.2.2: servers must accept what proxies are asked.
#[test]
fn the_query_of_a_url() {
    let shelf = Shelf::new();
    let tags = shelf.send(
        "GET http://x/v2/acme/app/tags/list?n=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(tags.json()["tags"], json!(["1.0"]));
}

#[test]
fn the_content_of_http_1_0() {
    let shelf = Shelf::new();
    for head in ["", "Host: x\r\n"] {
        let answer = shelf.send(&format!(
            "GET /v2/acme/app/manifests/1.0 HTTP/1.0\r\n{head}\r\n"
        ));
        assert_eq!(
            (answer.status, answer.body),
            (200, shelf.image.manifest().bytes)
        );
        let answer = shelf.send(&format!("HEAD {} HTTP/1.0\r\n{head}\r\n", shelf.layer()));
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some("100000"))
        );
    }
}

#[test]
fn many_requests_at_once() {
    let shelf = Shelf::new();
    let layer = shelf.layer();
    let requests = [
        ("GET", "/v2/", 200),
        ("HEAD", layer.as_str(), 200),
        ("GET", &layer, 200),
        ("GET", "/v2/nobody/tags/list", 404),
        ("DELETE", "/v2/acme/app/manifests/1.0", 405),
        ("GET", "/v2/acme/app/manifests/1.0", 200),
        ("GET", &layer, 200),
        ("HEAD", "/v2/acme/app/manifests/none", 404),
    ];
    let last = requests.len() - 1;
    let messages: Vec<String> = requests
        .iter()
        .enumerate()
        .map(|(number, (method, path, _))| {
            let end = if number == last {
                "Connection: close\r\n"
            } else {
                ""
            };
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{end}\r\n")
        })
        .collect();
    let methods = requests.map(|(method, ..)| method);
    let answers = shelf.exchange(messages.concat().as_bytes(), &methods);
    for ((method, path, status), answer) in requests.iter().zip(&answers) {
        assert_eq!(answer.status, *status, "{method} {path}");
        if (*method, *path) == ("GET", &layer) {
            assert!(answer.body == shelf.layer_blob().bytes);
        }
    }
    let forty = "GET /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40);
    let message = format!("{forty}GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answers = shelf.exchange(message.as_bytes(), &["GET"; 41]);
    let manifest = shelf.image.manifest().bytes;
    assert!(answers[..40].iter().all(|answer| answer.body == manifest));
}

/// Byte by byte, while others are answered.
#[test]
fn a_slow_head() {
    let shelf = Shelf::new();
    let mut slow = shelf.connect().expect("a connection");
    for byte in b"GET /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        slow.write_all(&[*byte]).expect("it is taken");
        thread::sleep(Duration::from_millis(2));
    }
    shelf.check_alive();
    let answer = Response::read(&mut BufReader::new(slow), "GET").expect("an answer");
    assert_eq!(
        (answer.status, answer.body),
        (200, shelf.image.manifest().bytes)
    );
}

/// Clients that begin and say no more, or go away.
#[test]
fn clients_that_say_no_more() {
    let shelf = Shelf::new();
    let begin = |bytes: &[u8]| -> TcpStream {
        let mut stream = shelf.connect().expect("a connection");
        stream.write_all(bytes).expect("it is taken");
        stream
    };
    let waiting: Vec<TcpStream> = (0..200).map(|_| begin(b"GET /v2/ HT")).collect();
    let silent: Vec<TcpStream> = (0..200).map(|_| begin(b"")).collect();
    shelf.check_alive();
    for request in [
        "",
        "GET",
        "GET /v2/ HTTP/1.1\r\nHost: x\r\n",
        "PUT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
    ] {
        drop(begin(request.as_bytes()));
    }
    let large = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", shelf.layer());
    for _ in 0..50 {
        drop(begin(large.as_bytes()));
    }
    shelf.check_alive();
    drop((waiting, silent));
    shelf.check_alive();
}
