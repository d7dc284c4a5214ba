//! Where it is remembered, and where never.

use super::*;
use crate::needs::{Finished, run};
use crate::server::command;

/// Starts a server in an environment that says nothing but what `variables` do, and stops it.
fn serve(packages: &Packages, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let silent = [
        "PACKAGEORIGIN_NO_CACHE",
        "CACHE_DIRECTORY",
        "XDG_CACHE_HOME",
        "HOME",
    ];
    let setup = silent
        .iter()
        .fold(Setup::new(), |setup, name| setup.env(name, ""));
    let setup = variables
        .iter()
        .fold(setup, |setup, (name, value)| setup.env(name, value));
    let server = setup
        .args(["--packages".as_ref(), packages.path()])
        .args(arguments)
        .start();
    let stderr = server.wait_for_stderr("Serving ");
    stop(server);
    stderr
}

/// Every file and folder in `folder`, by its path there.
fn tree(folder: &Path) -> Vec<String> {
    let mut pending = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        for entry in fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("beneath it");
                found.push(path.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

#[test]
fn the_first_place_that_is_said() {
    let check = |arguments: &[&str], variables: &[(&str, &str)], expected: Option<&str>| {
        let base = tempfile::tempdir().expect("a folder");
        let path = base.path().to_str().expect("UTF-8");
        let arguments: Vec<String> = arguments
            .iter()
            .map(|text| text.replace('~', path))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = variables
            .iter()
            .map(|(name, value)| (*name, value.replace('~', path)));
        let variables: Vec<(&str, String)> = variables.collect();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        serve(&Packages::new(), &arguments, &variables);
        let expected = expected.map(|folder| format!("{folder}/verdicts-v1"));
        assert_eq!(
            tree(base.path()),
            Vec::from_iter(expected),
            "{arguments:?} {variables:?}"
        );
    };
    let all = [
        ("PACKAGEORIGIN_CACHE", "~/own"),
        ("CACHE_DIRECTORY", "~/service:~/other"),
        ("XDG_CACHE_HOME", "~/xdg"),
        ("HOME", "~/home"),
    ];
    check(&["--cache", "~/typed/deep"], &all, Some("typed/deep"));
    check(&["-cache=~/typed"], &all, Some("typed"));
    check(&[], &all, Some("own"));
    check(&[], &all[1..], Some("service"));
    check(&[], &all[2..], Some("xdg/packageorigin"));
    check(&[], &all[3..], Some("home/.cache/packageorigin"));
    check(&[], &[], None);
    check(&["--no-cache"], &all, None);
    check(&["--no-cache", "--cache", "~/typed"], &all, None);
    check(
        &[],
        &[&all[..], &[("PACKAGEORIGIN_NO_CACHE", "1")]].concat(),
        None,
    );
    check(
        &[],
        &[&all[..], &[("PACKAGEORIGIN_NO_CACHE", "0")]].concat(),
        Some("own"),
    );
}

fn refused(packages: &Path, cache: &Path) -> Finished {
    let mut serve = command(binary());
    serve
        .env("PACKAGEORIGIN_NO_CACHE", "")
        .args(["--listen", "127.0.0.1:0", "--cache"]);
    run(
        serve.arg(cache).arg("--packages").arg(packages),
        Duration::from_secs(20),
    )
}

#[test]
fn never_among_the_packages() {
    let packages = Packages::new();
    let base = tempfile::tempdir().expect("a folder");
    let link = base.path().join("link");
    std::os::unix::fs::symlink(packages.path(), &link).expect("a link");
    for (packages, cache) in [
        (packages.path(), packages.path().to_owned()),
        (packages.path(), packages.path().join("deep/er")),
        (packages.path(), link.join("cache")),
        (&link, packages.path().join("cache")),
    ] {
        let said = refused(packages, &cache);
        assert_eq!(said.code, Some(2), "{}", said.said());
        let expected = format!(
            "error: `--cache {}` lies in the packages folder `{}`, where nothing is written; name a folder elsewhere, or use `--no-cache`\n",
            cache.display(),
            packages.display()
        );
        assert_eq!(said.stderr, expected);
    }
    // Nobody said so: it goes without.
    let home = packages.path().to_str().expect("UTF-8");
    for variable in ["HOME", "XDG_CACHE_HOME", "CACHE_DIRECTORY"] {
        let said = serve(&packages, &[], &[(variable, home)]);
        assert!(!said.contains("warning"), "{said}");
    }
    assert_eq!(tree(packages.path()), Vec::<String>::new());
}
