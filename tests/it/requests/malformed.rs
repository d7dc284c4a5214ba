//! What is no HTTP, or HTTP of an unusual kind.

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

#[test]
fn no_http() {
    let shelf = Shelf::new();
    // Docker goes on without TLS only if the answer to its hello begins so.
    let hello = b"\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03randomrandomrandomrandomrandom\x20";
    check_refused(&shelf, hello, &[400]);
    check_refused(&shelf, b"hello\r\n\r\n", &[400]);
    check_refused(&shelf, b"\0\0\0\0\r\n\r\n", &[400]);
    check_refused(&shelf, b"SSH-2.0-OpenSSH_9.2\r\n", &[400]);
    // Whoever speaks HTTP/2 here knows no answer of ours: that the connection ends is enough.
    let preface = shelf.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.is_empty() || preface.starts_with(b"HTTP/1.1 400 "));
    check_refused(&shelf, b"GET /v2/\r\n\r\n", &[400]);
    check_refused(&shelf, b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n", &[400, 505]);
    check_refused(&shelf, b"GET /v2/ HTTX/1.1\r\nHost: x\r\n\r\n", &[400]);
}

#[test]
fn request_lines() {
    let shelf = Shelf::new();
    for line in [
        "G@T /v2/ HTTP/1.1",
        "GET  HTTP/1.1",
        " GET /v2/ HTTP/1.1",
        "GET /v2/ a HTTP/1.1",
        "GET /v2/\0 HTTP/1.1",
        "GET /v2/\x7f HTTP/1.1",
        "GET v2 HTTP/1.1 x",
    ] {
        check_refused(
            &shelf,
            format!("{line}\r\nHost: x\r\n\r\n").as_bytes(),
            &[400],
        );
    }
}

#[test]
fn header_lines() {
    let shelf = Shelf::new();
    for header in [
        "no colon",
        "Name : value",
        ": value",
        "Na me: value",
        "Name: \0",
        "Name: a\rb",
        " folded: x",
    ] {
        let message = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        check_refused(&shelf, message.as_bytes(), &[400]);
    }
}

/// RFC 9112, section 3.2: without one host, it is not known what is asked for.
#[test]
fn hosts() {
    let shelf = Shelf::new();
    check_refused(
        &shelf,
        b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        &[400],
    );
    check_refused(
        &shelf,
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        &[400],
    );
}

/// RFC 9112, section 6: where readers disagree about where a message ends, requests can be smuggled.
#[test]
fn lengths_that_contradict_each_other() {
    let shelf = Shelf::new();
    let smuggled = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: x",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Content-Length: 99999999999999999999999",
    ] {
        for method in ["GET", "POST"] {
            let message =
                format!("{method} /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n12345{smuggled}");
            check_refused(&shelf, message.as_bytes(), &[400]);
        }
    }
    for headers in [
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
    ] {
        let message =
            format!("POST /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{smuggled}");
        check_refused(&shelf, message.as_bytes(), &[400, 501]);
    }
    // Whether it is refused or read by its chunks: after such a request the connection has to end.
    let both = "POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check_refused(&shelf, format!("{both}{smuggled}").as_bytes(), &[400, 405]);
}

#[test]
fn chunks_that_are_none() {
    let shelf = Shelf::new();
    for body in [
        "zz\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "5\r\nab",
        "1;x=\0\r\n",
    ] {
        let message =
            format!("POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check_refused(&shelf, message.as_bytes(), &[400, 405]);
    }
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
fn forms_of_the_target() {
    let shelf = Shelf::new();
    let close = "Host: x\r\nConnection: close\r\n\r\n";
    for target in [
        "http://x/v2/",
        "http://other.example:99/v2/",
        "HTTP://X/v2/",
    ] {
        assert_eq!(
            shelf
                .send(&format!("GET {target} HTTP/1.1\r\n{close}"))
                .status,
            200,
            "{target}"
        );
    }
    let tags = shelf.send(&format!(
        "GET http://x/v2/acme/app/tags/list?n=1 HTTP/1.1\r\n{close}"
    ));
    assert_eq!(tags.json()["tags"], json!(["1.0"]));
    check_error(
        &shelf.send(&format!("OPTIONS * HTTP/1.1\r\n{close}")),
        405,
        "UNSUPPORTED",
    );
    check_refused(
        &shelf,
        format!("CONNECT x:80 HTTP/1.1\r\n{close}").as_bytes(),
        &[400, 405],
    );
}

#[test]
fn http_1_0() {
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

/// RFC 9112, section 2.2: an empty line before a request is nothing.
#[test]
fn empty_lines_before_a_request() {
    let shelf = Shelf::new();
    let message = b"\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(shelf.exchange(message, &["GET"])[0].status, 200);
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

/// A body that nobody asked for is not taken for the next request.
#[test]
fn a_body_of_a_request_that_reads() {
    let shelf = Shelf::new();
    let inner = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n";
    let next = "GET /v2/acme/app/manifests/1.0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let length = inner.len();
    let message =
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{inner}{next}");
    check_two_or_end(&shelf, &message);
    let message = format!(
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n{next}"
    );
    check_two_or_end(&shelf, &message);
}

/// The first answer, and then the one to the next request or the end of the connection.
fn check_two_or_end(shelf: &Shelf, message: &str) {
    let came = shelf.raw(message.as_bytes());
    let mut rest = &came[..];
    let first = Response::read(&mut rest, "GET").expect("an answer");
    assert_eq!((first.status, first.text().as_str()), (200, "{}"));
    if !rest.is_empty() {
        let second = Response::read(&mut rest, "GET").expect("an answer");
        assert_eq!(
            (second.status, second.body),
            (200, shelf.image.manifest().bytes)
        );
    }
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(rest));
    shelf.check_alive();
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
