//! Parts of content (RFC 9110, section 14).

use std::ops::Range;

use super::*;

/// The same for a blob and for a manifest.
fn for_each_content(check: impl Fn(&Shelf, &str, &[u8], &str)) {
    let shelf = Shelf::new();
    check(
        &shelf,
        &shelf.layer(),
        &shelf.layer_blob().bytes,
        "application/octet-stream",
    );
    let manifest = shelf.image.manifest();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    for reference in ["1.0", &manifest.digest] {
        check(
            &shelf,
            &format!("/v2/acme/app/manifests/{reference}"),
            &manifest.bytes,
            media_type,
        );
    }
    shelf.check_alive();
}

fn get(shelf: &Shelf, path: &str, range: &str) -> Response {
    shelf.request("GET", path, &[("Range", range)])
}

#[test]
fn one_part() {
    for_each_content(|shelf, path, bytes, media_type| {
        let length = bytes.len();
        let check = |range: &str, part: Range<usize>| {
            let answer = get(shelf, path, range);
            assert_eq!(answer.status, 206, "{range}");
            assert!(answer.body == bytes[part.clone()], "{range}");
            let told = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            assert_eq!(
                answer.header("content-range"),
                Some(told.as_str()),
                "{range}"
            );
            assert_eq!(answer.header("content-type"), Some(media_type));
            assert_eq!(
                answer.header("docker-content-digest"),
                Some(sha256(bytes).as_str())
            );
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        };
        check("bytes=0-0", 0..1);
        check("bytes=5-9", 5..10);
        check("bytes=7-", 7..length);
        check("bytes=0-", 0..length);
        check("bytes=-1", length - 1..length);
        check("bytes=-10", length - 10..length);
        check("bytes=-999999999", 0..length);
        check("bytes=10-999999999", 10..length);
        check("bytes=0-99999999999999999999999999", 0..length);
        check(&format!("bytes={}-", length - 1), length - 1..length);
        check("Bytes=1-2", 1..3);
        // What touches is one part, and what is not there is none.
        check("bytes=0-4,5-9", 0..10);
        check("bytes=0-6,3-9", 0..10);
        check("bytes=3-9,0-6", 0..10);
        check("bytes=0-4,999999999-", 0..5);
        check("bytes= 0-4 , ,", 0..5);
        check("bytes=0-,0-,0-,0-,-5", 0..length);
    });
}

#[test]
fn several_parts() {
    for_each_content(|shelf, path, bytes, media_type| {
        let length = bytes.len();
        let check = |range: &str, parts: &[Range<usize>]| {
            let answer = get(shelf, path, range);
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(answer.header("content-range"), None);
            check_parts(&answer, bytes, media_type, parts);
        };
        check("bytes=0-0,2-2", &[0..1, 2..3]);
        check("bytes=20-29,0-9", &[20..30, 0..10]);
        check("bytes=0-0,-1", &[0..1, length - 1..length]);
        check("bytes=0-9,20-29,5-14,100-", &[0..15, 20..30, 100..length]);
        check("bytes=0-0,999999999-,9-9", &[0..1, 9..10]);
    });
}

/// The bytes of `multipart/byteranges`, read by the rules of MIME.
fn check_parts(answer: &Response, bytes: &[u8], media_type: &str, parts: &[Range<usize>]) {
    let told = answer.header("content-type").expect("a type");
    let boundary = told
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{told}"));
    let boundary = boundary.trim_matches('"');
    assert!((1..=70).contains(&boundary.len()), "{boundary}");
    let mut rest = &answer.body[..];
    let mut take = |expected: &[u8]| {
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(200)]).into_owned();
        rest = rest
            .strip_prefix(expected)
            .unwrap_or_else(|| panic!("not {:?} but {shown:?}", String::from_utf8_lossy(expected)));
    };
    for (number, part) in parts.iter().enumerate() {
        let line_end = if number == 0 { "" } else { "\r\n" };
        let (first, last, length) = (part.start, part.end - 1, bytes.len());
        take(format!("{line_end}--{boundary}\r\n").as_bytes());
        take(
            format!(
                "Content-Type: {media_type}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n"
            )
            .as_bytes(),
        );
        take(&bytes[part.clone()]);
    }
    take(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(rest.is_empty());
}

#[test]
fn a_thousand_parts() {
    let shelf = Shelf::new();
    let blob = shelf.layer_blob();
    let parts: Vec<Range<usize>> = (0..1000)
        .map(|number| number * 50..number * 50 + 2)
        .collect();
    let range: Vec<String> = parts
        .iter()
        .map(|part| format!("{}-{}", part.start, part.end - 1))
        .collect();
    let answer = get(
        &shelf,
        &shelf.layer(),
        &format!("bytes={}", range.join(",")),
    );
    assert_eq!(answer.status, 206);
    check_parts(&answer, &blob.bytes, "application/octet-stream", &parts);
    // Many more are a way to make an answer larger than what it is about.
    let range: Vec<String> = (0..5000)
        .map(|number| format!("{0}-{0}", number * 2))
        .collect();
    let answer = get(
        &shelf,
        &shelf.layer(),
        &format!("bytes={}", range.join(",")),
    );
    assert!(answer.status == 200 && answer.body == blob.bytes);
    shelf.check_alive();
}

#[test]
fn parts_that_are_not_there() {
    for_each_content(|shelf, path, bytes, _| {
        let length = bytes.len();
        for range in [
            &*format!("bytes={length}-"),
            &format!("bytes={length}-{length}"),
            "bytes=999999999-",
            "bytes=-0",
            "bytes=5-4",
            "bytes=999999999-,888888888-",
        ] {
            let answer = get(shelf, path, range);
            assert_eq!(answer.status, 416, "{range}");
            assert_eq!(
                answer.header("content-range"),
                Some(format!("bytes */{length}").as_str())
            );
            assert!(answer.json()["errors"].is_array());
        }
    });
}

/// What is not understood, or is about something else, is not there.
#[test]
fn ranges_that_are_ignored() {
    for_each_content(|shelf, path, bytes, _| {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=x-y",
            "bytes=1",
            "bytes=-",
            "bytes=1-2-3",
            "bytes=0-1,x",
            "lines=0-1",
            "bytes 0-1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-2;q=1",
        ] {
            let answer = get(shelf, path, range);
            assert!(
                answer.status == 200 && answer.body == bytes,
                "{range}: {}",
                answer.status
            );
            assert_eq!(answer.header("content-range"), None);
        }
        let twice = shelf.request(
            "GET",
            path,
            &[("Range", "bytes=0-1"), ("Range", "bytes=2-3")],
        );
        assert!(twice.status == 200 && twice.body == bytes);
        for range in ["bytes=0-1", "bytes=999999999-", "bytes=0-0,2-2"] {
            let head = shelf.request("HEAD", path, &[("Range", range)]);
            let length = bytes.len().to_string();
            assert_eq!(
                (head.status, head.header("content-length")),
                (200, Some(length.as_str())),
                "{range}"
            );
            assert_eq!(head.header("content-range"), None);
        }
    });
}

#[test]
fn a_part_of_what_the_client_has_begun() {
    for_each_content(|shelf, path, bytes, _| {
        let tag = format!("\"{}\"", sha256(bytes));
        let check = |if_range: &str, is_part: bool| {
            let headers = [("Range", "bytes=3-5"), ("If-Range", if_range)];
            let answer = shelf.request("GET", path, &headers);
            let (status, body) = if is_part {
                (206, &bytes[3..6])
            } else {
                (200, bytes)
            };
            assert!(
                answer.status == status && answer.body == body,
                "{if_range}: {}",
                answer.status
            );
        };
        check(&tag, true);
        check(&format!("W/{tag}"), false);
        check(&format!("\"{}\"", sha256(b"other")), false);
        check(tag.trim_matches('"'), false);
        check("Tue, 15 Nov 1994 12:45:26 GMT", false);
        check("*", false);
        check("", false);
        // Without a range it says nothing.
        let answer = shelf.request("GET", path, &[("If-Range", &tag)]);
        assert_eq!(answer.status, 200);
        // What cannot be satisfied is not, if the tag does not stand.
        let headers = [("Range", "bytes=999999999-"), ("If-Range", "\"x\"")];
        assert_eq!(shelf.request("GET", path, &headers).status, 200);
    });
}

#[test]
fn nothing_of_nothing() {
    let image = Image::new("empty").layers([Layer::raw(Vec::new())]);
    let layout = Layout::new().named(&image, "docker.io/acme/app:1");
    let shelf = Shelf::of(&layout, image);
    let answer = shelf.get(&shelf.layer());
    assert_eq!(
        (
            answer.status,
            answer.header("content-length"),
            answer.body.len()
        ),
        (200, Some("0"), 0)
    );
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
        let answer = get(&shelf, &shelf.layer(), range);
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, Some("bytes */0")),
            "{range}"
        );
    }
    shelf.check_alive();
}
