//! Lists of images that must be there, as they are published.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::process::Stdio;

use serde_json::json;

use super::{OTHER, amd64, arm64, as_json, both, damaged, errors, layer, verify, whole};
use crate::fixture::{Layout, Node as _};
use crate::packages::{Packages, tar};
use crate::server::{binary, command};

#[test]
fn a_list_tells_what_must_be_there() {
    let tool = Layout::new().named(&amd64(), OTHER).tree();
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("tool.tar", tar(&tool));
    let put = |lines: &[&str]| packages.put("images.txt", lines.join("\n"));

    let by_digest = format!("acme/app@{}", both().digest());
    put(&[
        "# of a release",
        "",
        "acme/app:1",
        "docker.io/acme/app:1",
        OTHER,
        &by_digest,
    ]);
    verify(&packages, &["--images", "images.txt"], 0);

    let wrong_digest = format!("acme/app:1@{}", amd64().digest());
    put(&[
        "acme/app:1",
        "acme/app:9",
        "acme/none:1",
        "quay.io/acme/app:1",
        &wrong_digest,
    ]);
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    let absent: Vec<&str> = said["absent"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|absent| absent["image"].as_str())
        .collect();
    assert_eq!(
        absent,
        [
            "acme/app:9",
            "acme/none:1",
            "quay.io/acme/app:1",
            &wrong_digest
        ]
    );
    let said = verify(&packages, &["--images", "images.txt"], 1).stdout;
    assert!(
        said.contains("error: missing acme/app:9: no such tag is here, but 1\n"),
        "{said}"
    );
    assert!(
        said.contains("error: missing acme/none:1: nothing of that name is here\n"),
        "{said}"
    );
    assert!(
        said.ends_with(": 4 images of the lists are not here\n"),
        "{said}"
    );

    // The server gives the repository one, of which no image is named.
    put(&["acme/app"]);
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    assert_eq!(
        said["absent"][0]["why"],
        "no such tag is here, but 1; a `latest` that only the server gives does not count"
    );

    put(&[OTHER]);
    let arm64 = ["--images", "images.txt", "--platform", "linux/arm64"];
    let said = as_json(&packages, &arm64, 1);
    assert_eq!(said["absent"][0]["why"], "it is not for linux/arm64");
}

/// What is there under the name, but cannot be pulled, does not count.
#[test]
fn a_damaged_image_is_not_there() {
    let packages = Packages::new().with("app.tar", tar(&damaged()));
    packages.put("images.txt", "acme/app:1\n");
    let said = as_json(&packages, &["--images", "images.txt"], 1);
    let why = format!("1 layer for linux/arm64 is damaged ({})", layer(&arm64()));
    assert_eq!(said["absent"][0]["why"], json!(why));
    // That was said already.
    let said = verify(&packages, &["--images", "images.txt"], 1).stdout;
    assert_eq!(errors(&said).len(), 2, "{said}");
    assert!(
        said.ends_with(": 1 file is at fault, 1 image is not whole\n"),
        "{said}"
    );
}

#[test]
fn what_was_typed_is_checked() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    let said = verify(&packages, &["--images", "none.txt"], 3).stderr;
    assert!(
        said.contains("cannot read the list of images `none.txt`"),
        "{said}"
    );
    packages.put("images.txt", "acme/app:1\nnot an image\n");
    let said = verify(&packages, &["--images", "images.txt"], 3).stderr;
    assert!(
        said.contains("`images.txt`, line 2: `not an image` names no image"),
        "{said}"
    );
    let said = verify(&packages, &["--platform", "arm64"], 2).stderr;
    assert!(
        said.contains("`--platform arm64`: expected OS/ARCHITECTURE"),
        "{said}"
    );
    verify(&packages, &["nowhere"], 3);
}

/// As lists come from k3s, RKE2, Rancher and Talos, and from whoever edits them.
#[test]
fn lists_are_read_as_they_come() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("tool.tar", Layout::new().named(&amd64(), OTHER).tar());
    let lists = [
        "docker.io/acme/app:1\n",
        "acme/app:1\r\nghcr.io/other/tool:2\r\n",
        "\u{feff}acme/app:1\n",
        "\u{feff}# of a release\n\n  acme/app:1  \n\t\n",
        "index.docker.io/acme/app:1 # with a remark",
    ];
    for list in lists {
        packages.put("images.txt", list);
        verify(&packages, &["--images", "images.txt"], 0);
    }
}

/// As `talosctl image default | packageorigin verify --images -`.
#[test]
fn a_list_may_come_from_a_pipe() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    let verify_with = |list: &str| {
        let mut file: File = tempfile::tempfile().expect("a file");
        file.write_all(list.as_bytes()).expect("a list");
        file.rewind().expect("its beginning");
        let mut verify = command(binary());
        verify
            .args(["verify", "--images", "-"])
            .stdin(Stdio::from(file))
            .current_dir(packages.path());
        verify.output().expect("an end")
    };
    assert_eq!(verify_with("acme/app:1\n").status.code(), Some(0));
    let said = verify_with("acme/app:1\nacme/app:2\n");
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(
        errors(&said),
        ["missing acme/app:2: no such tag is here, but 1"]
    );
    // Whatever was to write the list has failed.
    let said = verify_with("");
    assert_eq!(said.status.code(), Some(3));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(
        errors(&said),
        ["standard input is no list of images: no image is in it; expected one reference a line"]
    );
}

#[test]
fn what_is_no_list_is_told_so() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("utf-16.txt", "a\0p\0p\0");
    packages.put("latin.txt", b"acme/app:1 # f\xfcr alle\n");
    packages.put("empty.txt", "# nothing\n");
    for (list, why) in [
        ("app.tar", "it is not text in UTF-8"),
        ("utf-16.txt", "it is not text in UTF-8"),
        ("latin.txt", "it is not text in UTF-8"),
        ("empty.txt", "no image is in it"),
    ] {
        let said = verify(&packages, &["--images", list], 3).stderr;
        let expected =
            format!("`{list}` is no list of images: {why}; expected one reference a line");
        assert_eq!(errors(&said), [expected]);
    }
}

/// Lists that were put together name some images twice.
#[test]
fn an_image_that_is_named_twice_is_missed_once() {
    let packages = Packages::new().with("app.tar", tar(&whole()));
    packages.put("a.txt", "acme/app:1\nacme/none:1\n");
    packages.put("b.txt", "docker.io/acme/none:1\nacme/none:1\n");
    let said = verify(&packages, &["--images", "a.txt", "--images", "b.txt"], 1).stdout;
    assert_eq!(
        errors(&said),
        ["missing acme/none:1: nothing of that name is here"]
    );
    assert!(
        said.ends_with(": 1 image of the lists is not here\n"),
        "{said}"
    );
}
