//! Where what was found out is remembered.

use std::env;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::ConfigError;

/// The name of the folder among those of other programs.
const NAME: &str = "packageorigin";

/// The folder that was `named`, else the one that the environment gives to such things, if it does. Never one inside
/// `packages`: nothing is written there.
pub(super) fn folder(
    named: OsString,
    variable: impl Fn(&str) -> Option<OsString>,
    packages: &[PathBuf],
) -> Result<Option<PathBuf>, ConfigError> {
    if named.is_empty() {
        let usual = usual(variable).map(|folder| resolve(&folder));
        return Ok(usual.filter(|folder| within(folder, packages).is_none()));
    }
    let folder = resolve(Path::new(&named));
    match within(&folder, packages) {
        Some(packages) => Err(ConfigError::CacheInPackages {
            cache: named.into(),
            packages: packages.clone(),
        }),
        None => Ok(Some(folder)),
    }
}

/// What systemd made for this service, else what the [XDG base directory specification][xdg] says. A relative path there is
/// to be ignored.
///
/// [xdg]: https://specifications.freedesktop.org/basedir-spec/latest/
fn usual(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let of = |name| variable(name).map(PathBuf::from).and_then(absolute);
    let service = variable("CACHE_DIRECTORY")
        // It may be several, joined by colons.
        .and_then(|folders| env::split_paths(&folders).next())
        .and_then(absolute);
    service
        .or_else(|| Some(of("XDG_CACHE_HOME")?.join(NAME)))
        .or_else(|| Some(of("HOME")?.join(".cache").join(NAME)))
}

/// The folder of packages that `folder` lies in.
fn within<'p>(folder: &Path, packages: &'p [PathBuf]) -> Option<&'p PathBuf> {
    let holds = |packages: &&PathBuf| folder.starts_with(resolve(packages));
    packages.iter().find(holds)
}

/// `path` without links, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    let mut resolved = env::current_dir().unwrap_or_default();
    for component in path.components() {
        match component {
            // What was resolved so far has no links, so this leads where it says.
            Component::ParentDir => _ = resolved.pop(),
            Component::CurDir => {}
            component => {
                resolved.push(component);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn check(named: &str, variables: &[(&str, &str)], expected: Option<&str>) {
        let variable = |name: &str| {
            let mut known = variables.iter();
            known
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        };
        let found = folder(named.into(), variable, &[PathBuf::from("/nowhere/images")]);
        assert_eq!(
            found.expect("a folder or none"),
            expected.map(PathBuf::from),
            "{named} {variables:?}"
        );
    }

    #[test]
    fn what_comes_first() {
        let home = ("HOME", "/home/a");
        let cache = ("XDG_CACHE_HOME", "/cache");
        let service = ("CACHE_DIRECTORY", "/var/cache/a:/var/cache/b");
        let all = [home, cache, service];
        check("/named", &all, Some("/named"));
        check("", &all, Some("/var/cache/a"));
        check("", &[home, cache], Some("/cache/packageorigin"));
        check("", &[home], Some("/home/a/.cache/packageorigin"));
        check("", &[], None);
        for relative in ["", "cache", "./cache"] {
            check(
                "",
                &[("CACHE_DIRECTORY", relative), cache],
                Some("/cache/packageorigin"),
            );
            check(
                "",
                &[("XDG_CACHE_HOME", relative), home],
                Some("/home/a/.cache/packageorigin"),
            );
            check("", &[("HOME", relative)], None);
        }
        check("", &[("XDG_CACHE_HOME", "/nowhere/images")], None);
        check("", &[("CACHE_DIRECTORY", "/nowhere/images"), home], None);
        check("/nowhere/images/../cache", &[], Some("/nowhere/cache"));
    }

    #[test]
    fn not_among_the_packages() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let packages = base.join("images");
        fs::create_dir(&packages).unwrap();
        symlink(&packages, base.join("link")).unwrap();
        let refused = |cache: PathBuf, packages: &Path| {
            let found = folder(cache.into_os_string(), |_| None, &[packages.to_owned()]);
            matches!(found, Err(ConfigError::CacheInPackages { .. }))
        };
        let link = base.join("link");
        for packages in [&packages, &link] {
            for cache in [
                "images",
                "images/a/b",
                "link/a",
                "new/../link/./a",
                "link/../images",
            ] {
                assert!(refused(base.join(cache), packages), "{cache}");
            }
            for cache in ["images-cache", "cache", "link/../cache", ""] {
                assert!(!refused(base.join(cache), packages), "{cache}");
            }
        }
        assert!(refused(base, Path::new("/")));
    }
}
