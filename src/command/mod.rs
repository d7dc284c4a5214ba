//! What can be done: the only place where all layers meet.

mod list;
mod serve;
mod text;
mod verify;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::catalog::{Catalog, Listener, Options};
use crate::cli::{Cli, Command};
use crate::config::{self, ConfigError};
use crate::content::{File, Location, Root};

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot start as things are.
    #[error(transparent)]
    Start(anyhow::Error),
}

impl Failure {
    /// 2 for what was typed, 3 for what stands in the way now.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(ConfigError::Missing(_)) | Self::Start(_) => ExitCode::from(3),
            Self::Config(_) => ExitCode::from(2),
        }
    }
}

/// Carries out what was typed, and prints the chain of causes if that fails.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(arguments) => config::Serve::resolve(arguments)
            .map_err(Failure::from)
            .and_then(serve::run)
            .map(|()| true),
        Command::List(arguments) => config::List::resolve(arguments)
            .map_err(Failure::from)
            .and_then(|config| list::run(&config))
            .map(|()| true),
        Command::Verify(arguments) => config::Verify::resolve(arguments)
            .map_err(Failure::from)
            .and_then(|config| verify::run(&config)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // What was asked for was found wrong.
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            let code = failure.exit_code();
            say(&format!("error: {:#}", anyhow::Error::from(failure)));
            code
        }
    }
}

/// The catalog of what was configured, not read yet.
fn catalog(config: &config::Catalog, listener: Listener) -> Result<Catalog, Failure> {
    let packages = distinct(&config.packages).into_iter();
    let roots: Vec<Arc<Root>> = packages.map(Root::new).collect();
    for root in &roots {
        check_readable(root).map_err(|error| {
            let advice = format!(
                "cannot read `{}`; check that this user may read it",
                root.path().display()
            );
            Failure::Start(anyhow::Error::new(error).context(advice))
        })?;
    }
    let options = Options {
        auto_latest: config.auto_latest,
        strict_tags: config.strict_tags,
        strict: config.strict,
    };
    Ok(Catalog::new(roots, options, listener))
}

/// The paths without those that lead where one before them does: what is named twice is there once.
fn distinct(packages: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let is_new = |path: &&PathBuf| seen.insert(path.canonicalize().unwrap_or((*path).clone()));
    packages.iter().filter(is_new).cloned().collect()
}

/// Whether `root` is a folder that can be listed, or a file that can be opened.
fn check_readable(root: &Arc<Root>) -> io::Result<()> {
    if root.path().is_dir() {
        root.path().read_dir().map(drop)
    } else {
        File::open(&Location::new(Arc::clone(root), Path::new(""))).map(drop)
    }
}

/// A reader that has seen enough, such as `head`, is no failure.
fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Talk: what people read, on standard error. Nobody is left to tell if that is gone.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
