//! What was typed or said by the environment, resolved to plain values.

mod cache;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{CatalogArgs, ListArgs, PackagesArgs, ServeArgs, VerifyArgs};

pub use crate::cli::VerifyWhen;

/// Where to look if nobody says where.
const PACKAGES_VARIABLE: &str = "PACKAGEORIGIN_PACKAGES";

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A path that leads nowhere.
    #[error("`{}` does not exist; name a folder with image archives, as in `packageorigin --packages images`", .0.display())]
    Missing(PathBuf),
    /// A command behind options, where it is taken for a path.
    #[error("`{0}` must come first, as in `packageorigin {0} --packages images`")]
    LateCommand(String),
    /// Started in the root of the file system without being told what to serve.
    #[error("nothing to serve was named, and all of `/` is not meant; use `--packages FOLDER`")]
    WholeSystem,
    /// A platform that cannot be understood.
    #[error(
        "`--platform {0}`: expected OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64"
    )]
    Platform(String),
    /// The current folder cannot be told.
    #[error("the current folder cannot be read; use `--packages FOLDER`")]
    CurrentFolder(#[source] std::io::Error),
    /// A folder to write to within one that is never written to.
    #[error(
        "`--cache {}` lies in the packages folder `{}`, where nothing is written; name a folder elsewhere, or use `--no-cache`",
        .cache.display(),
        .packages.display()
    )]
    CacheInPackages {
        /// Where it was to be.
        cache: PathBuf,
        /// The folder that is served.
        packages: PathBuf,
    },
    /// An address that cannot be understood.
    #[error("`--listen {0}`: expected PORT, :PORT, HOST:PORT or [IPV6]:PORT")]
    Listen(String),
    /// A duration that cannot be understood.
    #[error(
        "`--{option} {value}`: expected a duration with its unit, such as 30s, 10m or 24h30m, or 0"
    )]
    Duration {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
    },
}

/// What is cataloged, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Folders and archives, which exist.
    pub packages: Vec<PathBuf>,
    /// Give repositories without `latest` one.
    pub auto_latest: bool,
    /// Leave out tags that v1.1 of the specification forbids.
    pub strict_tags: bool,
    /// Serve no tag that archives give to different images.
    pub strict: bool,
}

/// How to serve.
#[derive(Debug)]
pub struct Serve {
    /// What is served.
    pub catalog: Catalog,
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// The pause between two scans, if it is not for the program to choose; zero for none after the first.
    pub refresh: Option<Duration>,
    /// How long transfers may go on after a signal to stop.
    pub drain: Duration,
    /// When layers are hashed.
    pub verify: VerifyWhen,
    /// The folder in which it is remembered what was found out, if it is.
    pub cache: Option<PathBuf>,
}

/// How to list.
#[derive(Debug)]
pub struct List {
    /// What is listed.
    pub catalog: Catalog,
    /// As JSON.
    pub json: bool,
}

/// How to verify.
#[derive(Debug)]
pub struct Verify {
    /// What is verified.
    pub catalog: Catalog,
    /// Lists of the images that must be there.
    pub images: Vec<PathBuf>,
    /// The platforms that matter, as they were typed; all of them if there is none.
    pub platforms: Vec<String>,
    /// Whether warnings count as errors.
    pub strict: bool,
    /// As JSON.
    pub json: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On this machine alone.
    Localhost(u16),
    /// On all addresses.
    Everywhere(u16),
    /// At a name or an address.
    Host(String, u16),
}

impl Catalog {
    fn resolve(arguments: CatalogArgs) -> Result<Self, ConfigError> {
        let CatalogArgs {
            packages,
            no_auto_latest,
            strict_tags,
            strict,
        } = arguments;
        Ok(Self {
            packages: resolve_packages(packages)?,
            auto_latest: !no_auto_latest,
            strict_tags,
            strict,
        })
    }
}

impl Serve {
    /// Resolves what was typed.
    pub fn resolve(arguments: ServeArgs) -> Result<Self, ConfigError> {
        let ServeArgs {
            catalog,
            listen,
            refresh,
            drain,
            verify,
            cache,
            no_cache,
        } = arguments;
        let catalog = Catalog::resolve(catalog)?;
        let cache = if no_cache {
            None
        } else {
            cache::folder(cache, |name| env::var_os(name), &catalog.packages)?
        };
        Ok(Self {
            listen: listen
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            refresh: refresh
                .map(|refresh| duration("refresh", &refresh))
                .transpose()?,
            drain: duration("drain", &drain)?,
            verify,
            cache,
            catalog,
        })
    }
}

impl List {
    /// Resolves what was typed.
    pub fn resolve(arguments: ListArgs) -> Result<Self, ConfigError> {
        Ok(Self {
            catalog: Catalog::resolve(arguments.catalog)?,
            json: arguments.json,
        })
    }
}

impl Verify {
    /// Resolves what was typed.
    pub fn resolve(arguments: VerifyArgs) -> Result<Self, ConfigError> {
        let VerifyArgs {
            packages,
            images,
            platform,
            strict,
            json,
        } = arguments;
        let catalog = Catalog {
            packages: resolve_packages(packages)?,
            auto_latest: false,
            strict_tags: false,
            strict: false,
        };
        Ok(Self {
            catalog,
            images,
            platforms: platform,
            strict,
            json,
        })
    }
}

/// What was typed, else what the environment says, else the current folder.
fn resolve_packages(arguments: PackagesArgs) -> Result<Vec<PathBuf>, ConfigError> {
    let PackagesArgs { packages, paths } = arguments;
    let mut named: Vec<PathBuf> = packages.into_iter().chain(paths).collect();
    if named.is_empty() {
        let variable = env::var_os(PACKAGES_VARIABLE).filter(|value| !value.is_empty());
        named.extend(variable.map(PathBuf::from));
    }
    if named.is_empty() {
        Ok(vec![current_folder()?])
    } else {
        existing(named)
    }
}

fn current_folder() -> Result<PathBuf, ConfigError> {
    let folder = env::current_dir().map_err(ConfigError::CurrentFolder)?;
    if folder == Path::new("/") {
        Err(ConfigError::WholeSystem)
    } else {
        Ok(PathBuf::from("."))
    }
}

/// A value that does not exist as a whole is a list separated by colons, as the original program takes it.
fn existing(named: Vec<PathBuf>) -> Result<Vec<PathBuf>, ConfigError> {
    let mut packages = Vec::new();
    for path in named {
        let parts: Vec<PathBuf> = env::split_paths(&path)
            .filter(|part| !part.as_os_str().is_empty())
            .collect();
        if path.exists() || parts.len() < 2 {
            packages.push(path);
        } else {
            packages.extend(parts);
        }
    }
    match packages.iter().find(|path| !path.exists()) {
        Some(missing) => Err(match missing.to_str() {
            Some(command @ ("list" | "serve" | "verify")) => {
                ConfigError::LateCommand(command.to_owned())
            }
            _ => ConfigError::Missing(missing.clone()),
        }),
        None => Ok(packages),
    }
}

impl std::str::FromStr for Listen {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let error = || ConfigError::Listen(text.to_owned());
        let port = |port: &str| port.parse::<u16>().map_err(|_| error());
        match text.rsplit_once(':') {
            None => Ok(Self::Localhost(port(text)?)),
            Some(("", all)) => Ok(Self::Everywhere(port(all)?)),
            Some((host, number)) => {
                let is_v6 = host.starts_with('[') && host.ends_with(']');
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                // Without brackets the last part of an IPv6 address would be taken for a port.
                if host.contains(':') && !is_v6 {
                    return Err(error());
                }
                Ok(Self::Host(bare.to_owned(), port(number)?))
            }
        }
    }
}

/// A duration as Go writes it; a bare `0` is zero.
fn duration(option: &'static str, text: &str) -> Result<Duration, ConfigError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| ConfigError::Duration {
            option,
            value: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<Listen>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
        };
        check("8080", Some(Listen::Localhost(8080)));
        check("0", Some(Listen::Localhost(0)));
        check(":8080", Some(Listen::Everywhere(8080)));
        check(
            "example.com:80",
            Some(Listen::Host("example.com".to_owned(), 80)),
        );
        check("[::1]:80", Some(Listen::Host("::1".to_owned(), 80)));
        for bad in ["", ":", "localhost", "::1:80", "99999", "host:", "-1"] {
            check(bad, None);
        }
    }

    #[test]
    fn durations_as_go_writes_them() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(
                duration("refresh", text).ok(),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        };
        check("0", Some(0));
        check("0s", Some(0));
        check("10s", Some(10));
        check("24h30m", Some(88_200));
        check("1.5h", Some(5400));
        check("180m", Some(10_800));
        for bad in ["", "10", "-1s", "abc", "1x"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_value_that_exists_is_not_split() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let whole = folder.path().join("a:b");
        for path in [&a, &b] {
            std::fs::create_dir(path).unwrap();
        }
        let joined = PathBuf::from(format!("{}:{}", a.display(), b.display()));
        assert_eq!(existing(vec![joined.clone()]).unwrap(), [a, b]);
        std::fs::create_dir(&whole).unwrap();
        assert_eq!(existing(vec![whole.clone()]).unwrap(), [whole]);
        let missing = folder.path().join("c");
        assert!(
            matches!(existing(vec![missing.clone()]), Err(ConfigError::Missing(path)) if path == missing)
        );
    }
}
