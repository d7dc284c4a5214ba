//! `packageorigin verify`: reads every blob, and says what is damaged, missing, or not what it should be.

mod absent;
mod checked;
mod json;
mod people;
mod report;
mod wanted;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Failure, catalog, distinct, write};
use crate::catalog::{Snapshot, hash_all};
use crate::config::{self, ConfigError};
use crate::content::Copy;
use crate::oci::Platform;
use report::{Report, Scope};

/// What takes longer shows how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the archives, and all that lies in them; whether all is as it should be.
pub(super) fn run(config: &config::Verify) -> Result<bool, Failure> {
    let platforms = platforms(&config.platforms)?;
    let wanted = wanted::read(&config.images).map_err(Failure::Start)?;
    let catalog = catalog(&config.catalog, Box::new(|_| ()))?;
    catalog.refresh(Instant::now());
    while catalog.learn() {}
    let hashed = Hashed::all(&catalog.snapshot().unwrap_or_default());
    // What turned out to be damaged is a problem from now on.
    catalog.tell_faulty();
    let snapshot = catalog.snapshot().unwrap_or_default();
    let scope = Scope {
        paths: &distinct(&config.catalog.packages),
        wanted: &wanted,
        platforms: &platforms,
        is_strict: config.strict,
    };
    let report = Report::of(&snapshot, &hashed, scope);
    let text = if config.json {
        format!("{:#}\n", json::report(&report))
    } else {
        people::report(&report)
    };
    write(&text)
        .context("cannot write the report")
        .map_err(Failure::Start)?;
    Ok(report.is_sound())
}

/// What was read.
struct Hashed {
    /// How many blobs were hashed.
    blobs: usize,
    /// How many bytes these are.
    bytes: u64,
    /// How long it took.
    duration: Duration,
    /// The files that could not be read, with the reason.
    unreadable: Vec<(std::path::PathBuf, String)>,
}

impl Hashed {
    fn all(snapshot: &Snapshot) -> Self {
        let archives = snapshot.archives().iter();
        let copies: Vec<Copy> = archives
            .flat_map(|archive| archive.found.unverified())
            .collect();
        let (blobs, bytes) = (copies.len(), copies.iter().map(Copy::len).sum());
        let (began, progress) = (Instant::now(), Progress::of(bytes));
        let failed = hash_all(copies, |length| progress.read(length));
        progress.end();
        let failed = failed.into_iter();
        let failed = failed.map(|(path, error)| (path, error.to_string()));
        // What has to be hashed to be known at all, and could not be.
        let archives = snapshot.archives().iter();
        let pending = archives.filter(|archive| !archive.found.pending.is_empty());
        let pending = pending.map(|archive| (archive.path(), "a layer cannot be read".to_owned()));
        Self {
            blobs,
            bytes,
            duration: began.elapsed(),
            unreadable: failed.chain(pending).collect(),
        }
    }
}

/// A bar on a terminal, once it is clear that it takes a while.
struct Progress {
    began: Instant,
    bar: ProgressBar,
    shown: OnceLock<()>,
}

impl Progress {
    fn of(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        let style =
            "{wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            began: Instant::now(),
            bar,
            shown: OnceLock::new(),
        }
    }

    fn read(&self, length: usize) {
        if self.began.elapsed() > PATIENCE {
            // It finds out by itself whether that is a terminal.
            self.shown
                .get_or_init(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.inc(length as u64);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The platforms that were typed.
fn platforms(typed: &[String]) -> Result<Vec<Platform>, ConfigError> {
    let parse = |text: &String| {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let platform = Platform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next().unwrap_or_default(),
            ..Platform::default()
        };
        if platform.os.is_empty() || platform.architecture.is_empty() {
            return Err(ConfigError::Platform(text.clone()));
        }
        Ok(platform)
    };
    typed.iter().map(parse).collect()
}
