//! What keeps the server from starting: an exit code, and a line that says what to do.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use super::*;

/// What the binary exits with and says. It is killed if it runs on.
fn outcome(mut command: Command) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("stderr");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said).expect("a file"));
    let mut child = command.spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("it runs");
            child.wait().expect("a child");
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let said = fs::read_to_string(said).expect("UTF-8");
    (status.and_then(|status| status.code()), said)
}

fn check_exit(arguments: &[&str], code: i32, says: &[&str]) {
    let mut command = command(binary());
    command.args(arguments);
    let (exited, said) = outcome(command);
    assert_eq!(exited, Some(code), "{arguments:?}: {said}");
    for text in says {
        assert!(said.contains(text), "{arguments:?}: no `{text}` in: {said}");
    }
}

#[test]
fn a_folder_that_does_not_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let says = [missing, "does not exist; name a folder with image archives"];
    for arguments in [
        &["--packages", missing][..],
        &["-packages", missing],
        &["-package", missing],
        &[missing],
        &["serve", "--packages", missing],
        &["list", missing],
        &["list", "--json", "--packages", missing],
    ] {
        check_exit(arguments, 3, &says);
    }
    let half = format!("{}:{missing}", folder.path().display());
    check_exit(&["--packages", &half], 3, &[missing, "does not exist"]);
}

#[test]
fn a_port_that_is_taken() {
    let shelf = Shelf::new();
    let folder = shelf.path().to_str().expect("UTF-8");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let says = [&*format!(":{port}"), "choose another", "--listen "];
    check_exit(&["--packages", folder, "--listen", &port], 3, &says);
    check_exit(
        &[
            "--packages",
            folder,
            "--listen",
            &format!("127.0.0.1:{port}"),
        ],
        3,
        &says,
    );
    check_exit(
        &["--packages", folder, "--listen", &format!(":{port}")],
        3,
        &says,
    );
}

#[test]
fn bad_values() {
    let shelf = Shelf::new();
    let folder = shelf.path().to_str().expect("UTF-8");
    for value in [
        "",
        "port",
        "99999",
        "-1",
        "localhost",
        "::1:80",
        "1.2.3.4:",
        "a:b:c",
    ] {
        let says = [
            &*format!("--listen {value}"),
            "expected PORT, :PORT, HOST:PORT or [IPV6]:PORT",
        ];
        check_exit(&[&format!("--listen={value}"), folder], 2, &says);
    }
    for option in ["refresh", "drain"] {
        for value in ["10", "-1s", "soon", "1x", "1h-30m"] {
            let says = [
                &*format!("--{option} {value}"),
                "expected a duration with its unit, such as 30s",
            ];
            check_exit(&[&format!("--{option}={value}"), folder], 2, &says);
        }
    }
    check_exit(&["--unknown"], 2, &["--unknown"]);
    check_exit(&["--listen"], 2, &["--listen"]);
    check_exit(&["list", "--listen", "8080"], 2, &["--listen"]);
}

#[test]
fn bad_values_of_variables() {
    let shelf = Shelf::new();
    for (name, value, code) in [
        ("PACKAGEORIGIN_LISTEN", "port", 2),
        ("PACKAGEORIGIN_REFRESH", "soon", 2),
        ("PACKAGEORIGIN_DRAIN", "soon", 2),
        ("PACKAGEORIGIN_PACKAGES", "/nonexistent/images", 3),
    ] {
        let mut command = command(binary());
        command.env(name, value).current_dir(shelf.path());
        let (exited, said) = outcome(command);
        assert_eq!(exited, Some(code), "{name}: {said}");
        assert!(said.contains(value), "{name}: {said}");
    }
}

/// Nobody means to serve all of the system.
#[test]
fn the_root_of_the_system() {
    for arguments in [&[][..], &["list"]] {
        let mut command = command(binary());
        command.args(arguments).current_dir("/");
        let (exited, said) = outcome(command);
        assert_eq!(exited, Some(2), "{said}");
        assert!(said.contains("use `--packages FOLDER`"), "{said}");
    }
}

/// A pipe or a device is no archive; opening one could wait for ever.
#[test]
fn a_pipe_as_the_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe.tar");
    files::make_pipe(&pipe);
    let pipe = pipe.to_str().expect("UTF-8");
    check_exit(&["list", pipe], 3, &[pipe]);
    check_exit(&["--listen", "127.0.0.1:0", pipe], 3, &[pipe]);
}

#[test]
fn an_unreadable_folder_is_told_at_the_start() {
    let Some(user) = crate::user::User::without_rights() else {
        return;
    };
    let closed = user.folder().join("closed");
    fs::create_dir(&closed).expect("a folder");
    crate::user::close(&closed);
    let path = closed.to_str().expect("UTF-8").to_owned();
    for arguments in [&["list", &path][..], &["--listen", "127.0.0.1:0", &path]] {
        let (exited, said) = outcome(user.command(arguments));
        assert_eq!(exited, Some(3), "{said}");
        assert!(
            said.contains(&path) && said.contains("check that this user may read it"),
            "{said}"
        );
    }
}
