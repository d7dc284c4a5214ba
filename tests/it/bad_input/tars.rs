//! Tars that readers would read differently, or that are damaged.

use super::*;
use crate::fixture::{Dialect, Header, Tar};

/// The bad archive with one member, the layer, written by `layer` instead.
fn with_layer(layer: impl Fn(&mut Tar, &str, &[u8])) -> (Image, Vec<u8>) {
    let (image, tree) = bad();
    let special = blob_path(&layer_of(&image));
    let mut out = Tar::new();
    for (name, data) in members(&tar(&tree)) {
        if name == special {
            layer(&mut out, &name, &data);
        } else {
            out.file(&name, &data);
        }
    }
    (image, out.finish())
}

fn length(data: &[u8]) -> u64 {
    u64::try_from(data.len()).expect("small")
}

/// All is served as if the layer were written in the usual way.
fn check_served(layer: impl Fn(&mut Tar, &str, &[u8])) {
    let (image, bytes) = with_layer(layer);
    check_image(&check("bad.tar", &bytes, &[], &[BAD]), BAD, &image);
}

/// Nothing of the archive is served.
fn check_refused(says: &str, layer: impl Fn(&mut Tar, &str, &[u8])) {
    check("bad.tar", &with_layer(layer).1, &[says], &[]);
}

/// All but the layer is served.
fn check_left_out(says: &str, layer: impl Fn(&mut Tar, &str, &[u8])) {
    let (image, bytes) = with_layer(layer);
    let server = check("bad.tar", &bytes, &[says, "1 blob is missing"], &[BAD]);
    assert_eq!(
        server.get("/v2/acme/bad/manifests/1").body,
        image.manifest().bytes
    );
    check_error(
        &get_blob(&server, BAD, &layer_of(&image)),
        404,
        "BLOB_UNKNOWN",
    );
}

#[test]
fn what_all_readers_understand() {
    check_served(|tar, name, data| {
        tar.member(
            &Header::new(name, b'0', 0).base256_size(i64::try_from(data.len()).expect("small")),
            data,
        );
    });
    check_served(|tar, name, data| {
        tar.member(&Header::new(name, 0, length(data)), data);
    });
    check_served(|tar, name, data| {
        tar.global_pax(&[("comment", "git archive")])
            .file(name, data);
    });
    check_served(|tar, name, data| {
        tar.gnu_long_name(name)
            .member(&Header::new("cut", b'0', length(data)).gnu(), data);
    });
    check_served(|tar, name, data| {
        tar.file("elsewhere", data).hardlink(name, "elsewhere");
    });
    check_served(|tar, name, data| {
        tar.file("elsewhere", data).symlink(name, "../../elsewhere");
    });
    // The same twice.
    check_served(|tar, name, data| {
        tar.file(name, data).file(&format!("./{name}"), data);
    });
}

#[test]
fn the_size_in_a_pax_record_counts() {
    for stated in [0, 1, 5000] {
        check_served(|tar, name, data| {
            tar.pax(&[("size", &data.len().to_string())])
                .member(&Header::new(name, b'0', stated), data);
        });
    }
    // Between the record and its member other headers may stand, to which it does not apply.
    check_served(|tar, name, data| {
        tar.pax(&[("size", &data.len().to_string())])
            .gnu_long_name(name)
            .member(&Header::new("cut", b'0', 0), data);
    });
    // By its header alone the layer would end before a member that is in truth a part of it.
    let hidden = Tar::new()
        .file("index.json", b"{\"manifests\":[]}")
        .finish();
    let image = Image::new("bad").layers([Layer::raw(hidden)]);
    let tree = Layout::new().named(&image, BAD_NAME).tree();
    let mut out = Tar::new();
    for (name, data) in members(&tar(&tree)) {
        out.pax(&[("size", &data.len().to_string())])
            .member(&Header::new(&name, b'0', 0), &data);
    }
    check_image(&check("bad.tar", &out.finish(), &[], &[BAD]), BAD, &image);
}

#[test]
fn pax_records_that_are_refused() {
    let check_pax = |says: &str, records: &[(&str, &str)]| {
        check_refused(says, |tar, name, data| {
            tar.pax(records).file(name, data);
        });
    };
    check_pax(
        "a pax record is there twice",
        &[("size", "1"), ("size", "2")],
    );
    check_pax(
        "a pax record is there twice",
        &[("path", "a"), ("path", "a")],
    );
    check_pax("the pax size is not a number", &[("size", "-1")]);
    check_pax("the pax size is not a number", &[("size", "+1")]);
    check_pax("the pax size is not a number", &[("size", "0x10")]);
    check_pax(
        "the pax size is not a number",
        &[("size", "99999999999999999999")],
    );
    check_pax(
        "the archive is incomplete",
        &[("size", "9223372036854775807")],
    );
    check_refused("two pax headers before one member", |tar, name, data| {
        tar.pax(&[("mtime", "1")])
            .pax(&[("mtime", "2")])
            .file(name, data);
    });
    check_refused("a global pax header names a member", |tar, name, data| {
        tar.global_pax(&[("size", "1")]).file(name, data);
    });
    for record in [
        "5 a=b\n",
        "0 a=b\n",
        "a=b\n",
        "6 a=b",
        "999 a=b\n",
        "6 aab\n",
    ] {
        check_refused("a pax record is malformed", |tar, name, data| {
            tar.member(
                &Header::new("pax", b'x', length(record.as_bytes())),
                record.as_bytes(),
            )
            .file(name, data);
        });
    }
    let huge = "x".repeat(2 << 20);
    check_pax("it is too large: ", &[("comment", &huge)]);
}

#[test]
fn headers_that_are_refused() {
    check_refused(
        "the checksum is wrong; save the image again",
        |tar, name, data| {
            tar.member(&Header::new(name, b'0', length(data)).bad_checksum(), data);
        },
    );
    check_refused("the size is not a number", |tar, name, data| {
        tar.member(&Header::new(name, b'0', 0).base256_size(-1), data);
    });
    check_refused("the size is not a number", |tar, name, data| {
        tar.member(&Header::new(name, b'0', 0).base256_size(i64::MIN), data);
    });
    check_refused("the size is not a number", |tar, name, data| {
        let beyond_64_bits = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        tar.member(
            &Header::new(name, b'0', 0).field(124, &beyond_64_bits),
            data,
        );
    });
    check_refused("the size is not a number", |tar, name, data| {
        tar.member(
            &Header::new(name, b'0', 0).field(124, b"not octal 9\0"),
            data,
        );
    });
    check_refused("the archive is incomplete", |tar, name, data| {
        tar.member(&Header::new(name, b'0', 0).base256_size(i64::MAX), data);
    });
    for flag in [b'1', b'2', b'5', b'6'] {
        check_refused("a link, folder or device has a size", |tar, name, data| {
            tar.file(name, data)
                .member(&Header::new("other", flag, 512).link("x"), &[0; 512]);
        });
    }
    check_refused("a member is missing after its pax header", |tar, _, _| {
        tar.pax(&[("path", "x")]).raw(&[0; 1024]);
    });
    let (_, tree) = bad();
    let mut damaged = tar(&tree);
    damaged[0] ^= 1;
    check("bad.tar", &damaged, &["it is not a tar archive"], &[]);
}

#[test]
fn sparse_members() {
    let says = "the member is stored sparsely; pack the archive again without sparse files";
    check_left_out(says, |tar, name, data| {
        tar.pax(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", name),
            ("GNU.sparse.realsize", "4096"),
        ])
        .member(&Header::new("GNUSparseFile.0/x", b'0', length(data)), data);
    });
    check_left_out(says, |tar, name, data| {
        tar.pax(&[
            ("GNU.sparse.size", "4096"),
            ("GNU.sparse.numblocks", "1"),
            ("GNU.sparse.map", "0,2048"),
        ])
        .file(name, data);
    });
    // The oldest way names each fragment in two records of its own.
    check_left_out(says, |tar, name, data| {
        tar.pax(&[
            ("GNU.sparse.size", "4096"),
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.offset", "0"),
            ("GNU.sparse.numbytes", "512"),
            ("GNU.sparse.offset", "2048"),
            ("GNU.sparse.numbytes", "1536"),
        ])
        .file(name, data);
    });
    let old = |name: &str, data: &[u8]| {
        Header::new(name, b'S', length(data))
            .gnu()
            .field(386, b"00000000000\x0000000004000\0")
            .field(483, b"00000010000\0")
    };
    check_left_out(says, |tar, name, data| {
        tar.member(&old(name, data), data);
    });
    // The map goes on in two more blocks before the data.
    check_left_out(says, |tar, name, data| {
        let mut more = [0; 1024];
        more[504] = 1;
        tar.member(&old(name, data).field(482, &[1]), &more)
            .raw(data);
    });
}

#[test]
fn names_that_leave_the_archive() {
    let (image, tree) = bad();
    for name in [
        "../evil",
        "/etc/passwd",
        "a/../../evil",
        "blobs/../../../etc/passwd",
    ] {
        let tree = tree
            .clone()
            .file(name, "evil")
            .symlink("escape", "../../../../etc/passwd");
        let says = format!("{name}: the member's name leaves the archive; the member is left out");
        check_image(
            &check("bad.tar", &tar(&tree), &[&says], &[BAD]),
            BAD,
            &image,
        );
    }
}

/// A link is followed within the archive only.
#[test]
fn links_that_leave_the_archive() {
    for target in [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "nowhere",
        "../sha256/loop",
    ] {
        check_left_out_of_link(target);
    }
    let loop_of_two = |tar: &mut Tar, name: &str, _: &[u8]| {
        tar.symlink(name, "b").symlink(
            &format!("{}/b", name.rsplit_once('/').expect("a folder").0),
            name,
        );
    };
    check_left_out("is not in the archive", loop_of_two);
}

fn check_left_out_of_link(target: &str) {
    check_left_out("is not in the archive", |tar, name, _| {
        tar.symlink(name, target);
    });
    check_left_out("is not in the archive", |tar, name, _| {
        tar.hardlink(name, target);
    });
}

#[test]
fn two_members_of_one_name() {
    let (image, tree) = bad();
    let refused = "two different members have this name; save the image again";
    // Of two that claim a digest the right one can be told.
    let picked = "several members have this name; the one whose digest is its name is served";
    let layer = blob_path(&layer_of(&image));
    let check_twice = |name: &str, says: &str, serves: &[&str]| {
        for twin in [name.to_owned(), format!("./{name}"), format!("x/../{name}")] {
            let bytes = tree.clone().file(&twin, "other").tar(&Packing::default());
            let shelf = Shelf::new().with("bad.tar", &bytes);
            let (lines, _) = shelf.list();
            let line = format!("/bad.tar: {name}: {says}");
            assert!(lines.iter().any(|told| told.contains(&line)), "{lines:#?}");
            let server = shelf.serve();
            let mut expected = [serves, &[GOOD]].concat();
            expected.sort_unstable();
            assert_eq!(catalog(&server), expected, "{twin}");
            shelf.check_good(&server);
            check_never_wrong(&server, &image);
        }
    };
    check_twice("index.json", refused, &[]);
    check_twice(&blob_path(&image.digest()), picked, &[BAD]);
    check_twice(&blob_path(&config_of(&image)), picked, &[BAD]);
    check_twice(&layer, picked, &[BAD]);
}

/// Whatever is answered with 200 is what its digest says.
fn check_never_wrong(server: &Server, image: &Image) {
    for blob in image.blobs() {
        let answer = get_blob(server, BAD, &blob.digest);
        assert!(
            answer.status == 404 || answer.body == blob.bytes,
            "{}: {}",
            blob.digest,
            answer.text()
        );
    }
}

#[test]
fn what_lies_behind_the_end_is_not_looked_at() {
    let (image, tree) = bad();
    let whole = tar(&tree);
    let bare = whole.strip_suffix(&[0; 1024]).expect("a trailer").to_vec();
    for bytes in [
        [&whole[..], b"appended junk"].concat(),
        [&whole[..], &whole[..]].concat(),
        [&whole[..], &[0; 10_240]].concat(),
        [&bare[..], &[0; 512]].concat(),
        bare.clone(),
    ] {
        check_image(&check("bad.tar", &bytes, &[], &[BAD]), BAD, &image);
    }
}

#[test]
fn dialects_and_prefixes() {
    let (image, tree) = bad();
    for dialect in [Dialect::Ustar, Dialect::Pax, Dialect::Gnu] {
        for prefix in ["", "./", "image/", "./a/b/"] {
            let packing = Packing {
                prefix,
                dialect,
                ..Packing::SORTED
            };
            check_image(
                &check("bad.tar", &tree.tar(&packing), &[], &[BAD]),
                BAD,
                &image,
            );
        }
    }
    // Names in `manifest.json` are relative to its folder.
    let docker = DockerArchive::new(Naming::Docker20)
        .image(&image, Some(&["acme/bad:1"]))
        .tree();
    for prefix in ["./", "image/"] {
        let server = check(
            "bad.tar",
            &docker.tar(&Packing {
                prefix,
                ..Packing::SORTED
            }),
            &[],
            &[BAD],
        );
        assert_eq!(get_blob(&server, BAD, &layer_of(&image)).status, 200);
    }
}
