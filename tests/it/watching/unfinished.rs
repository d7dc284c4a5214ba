//! What is being copied has another name until it is whole.

use super::*;

/// A name that a program gives to what it is still writing, and which one does so.
const UNFINISHED: &[(&str, &str)] = &[
    (".app.tar.Xq3fZa", "rsync"),
    (".rsync-partial/app.tar", "rsync --partial-dir"),
    (".in.app.tar", "lftp"),
    (".azDownload-17-app.tar", "azcopy"),
    (".app.tar.swp", "vim"),
    (".#app.tar", "emacs"),
    ("#app.tar#", "emacs"),
    ("app.tar~", "editors"),
    ("app.tar.part", "Firefox"),
    ("app.tar.partial", "rclone"),
    ("app.tar.PARTIAL", "rclone, on a disk that knows no case"),
    ("Unconfirmed 123456.crdownload", "Chrome"),
    ("opera.tar.opdownload", "Opera"),
    ("safari.tar.download/safari.tar", "Safari"),
    ("app.tar.filepart", "WinSCP"),
    ("fetched.tar", "aria2"),
    ("fetched.tar.aria2", "aria2"),
    ("quick.tar", "axel"),
    ("quick.tar.st", "axel"),
    ("app.tar.dtapart", "DownThemAll"),
    ("app.tar.fdmdownload", "Free Download Manager"),
    ("app.tar.xltd", "Xunlei"),
    ("app.tar.!ut", "uTorrent"),
    ("app.tar.!qB", "qBittorrent"),
    ("app.tar.bc!", "BitComet"),
    ("app.tar.!sync", "Resilio Sync"),
    ("app.tar_.gstmp", "gsutil"),
    ("minio.tar.part.minio", "mc"),
    ("app.tar.ocTransferId17.part", "Nextcloud"),
    (".app.tar.~1f2e", "Nextcloud"),
    (".syncthing.app.tar.tmp", "Syncthing"),
    ("~syncthing~app.tar.tmp", "Syncthing on Windows"),
    (".docker_temp_123456", "docker save"),
    (".tmp-app.tar123456", "docker save"),
    ("app.tar.tmp", "many"),
    ("app.tar.temp", "many"),
    ("~$app.tar", "Windows"),
    ("@eaDir/app.tar/SYNO@.tar", "Synology"),
    ("@tmp/app.tar", "Synology"),
    ("#recycle/app.tar", "Synology"),
    ("$RECYCLE.BIN/app.tar", "Windows"),
    (".Trash-1000/files/app.tar", "desktops"),
    ("._app.tar", "macOS on other disks"),
];

#[test]
fn names_of_what_is_not_whole_are_passed_over() {
    let packages = Packages::new();
    let bytes = archive("app", "1");
    for (name, _) in UNFINISHED {
        packages.put(name, &bytes[..bytes.len() / 2]);
    }
    let listing = packages.list();
    let program = |text: String| {
        let is_meant = |name: &str| text.contains(&format!("/{name}\""));
        let known = UNFINISHED.iter().find(|(name, _)| is_meant(name));
        known.map_or(text.clone(), |(name, program)| format!("{program}: {name}"))
    };
    let archives = listing.archives().iter().map(ToString::to_string);
    let problems = crate::listing::list(&listing.0["problems"]).iter();
    let problems = problems.map(ToString::to_string);
    let seen: Vec<String> = archives.chain(problems).map(program).collect();
    assert_eq!(seen, Vec::<String>::new());
}

/// Nothing is said of it, whatever it holds; renamed it is served.
#[test]
fn what_is_whole_gets_its_name() {
    let packages = Packages::new().with("other.tar", archive("other", "one"));
    let bytes = archive("app", "1");
    let part = packages.path().join("app.tar.part");
    fs::write(&part, &bytes[..bytes.len() / 2]).expect("a file");
    let server = Server::serving(packages.path());
    packages.put("other.tar", archive("other", "two"));
    // By then it would have been found as well.
    comes(&server, "other", "two");
    assert!(!knows(&server, "app", "1"));
    fs::write(&part, bytes).expect("a file");
    fs::rename(&part, packages.path().join("app.tar")).expect("a new name");
    comes(&server, "app", "1");
    let log = server.stderr();
    assert!(
        !log.contains("warning: ") && !log.contains("error: "),
        "{log}"
    );
}
