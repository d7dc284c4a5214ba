//! What may be typed. No behavior.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// Turns a folder of container image archives into a registry that every container client can pull from.
#[derive(Debug, Parser)]
#[command(
    name = "packageorigin",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub struct Cli {
    /// What to do; serving, where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the archives (the default)
    Serve(ServeArgs),
    /// List what would be served, and what is wrong
    List(ListArgs),
    /// Read every blob, and say what is damaged or missing
    Verify(VerifyArgs),
}

/// Where the archives are.
#[derive(Debug, Args)]
pub struct PackagesArgs {
    /// Folder with archives, or a single archive; can be given several times
    // The variable is read later: unlike clap's own, it must not be added to paths that were typed.
    #[arg(
        long,
        alias = "package",
        value_name = "PATH",
        help = "Folder with archives, or a single archive; can be given several times \
                [env: PACKAGEORIGIN_PACKAGES] [default: the current folder]"
    )]
    pub packages: Vec<PathBuf>,
    /// The same as --packages PATH
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Where the archives are and what their names become.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// Where the archives are.
    #[command(flatten)]
    pub packages: PackagesArgs,
    /// Do not give repositories without a tag `latest` one
    #[arg(long, env = "PACKAGEORIGIN_NO_AUTO_LATEST", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_auto_latest: bool,
    /// Leave out tags with a `+`, which version 1.1 of the specification forbids
    #[arg(long, env = "PACKAGEORIGIN_STRICT_TAGS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub strict_tags: bool,
    /// Serve no tag that archives give to different images, instead of the newest of these
    #[arg(long, env = "PACKAGEORIGIN_STRICT", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub strict: bool,
}

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the archives are.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Where to listen: PORT (this machine only), :PORT (all addresses), HOST:PORT; can be given several times
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PACKAGEORIGIN_LISTEN",
        hide_env_values = true,
        default_value = "8080",
        value_delimiter = ','
    )]
    pub listen: Vec<String>,
    /// How often to look for changes, such as 30s or 24h30m; 0 turns it off [default: when one is told, and every 60s, or 10s
    /// where file systems tell none]
    #[arg(
        long,
        value_name = "DURATION",
        env = "PACKAGEORIGIN_REFRESH",
        hide_env_values = true
    )]
    pub refresh: Option<String>,
    /// How long transfers may go on after a signal to stop
    #[arg(
        long,
        value_name = "DURATION",
        env = "PACKAGEORIGIN_DRAIN",
        hide_env_values = true,
        default_value = "25s"
    )]
    pub drain: String,
    /// When to hash layers, of which archives only claim what they are
    #[arg(
        long,
        value_name = "WHEN",
        env = "PACKAGEORIGIN_VERIFY",
        hide_env_values = true,
        default_value = "on-demand"
    )]
    pub verify: VerifyWhen,
    /// Folder in which to remember which layers were hashed; never one with packages
    #[arg(
        long,
        value_name = "DIR",
        env = "PACKAGEORIGIN_CACHE",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true,
        help = "Folder in which to remember which layers were hashed; never one with packages \
                [default: $CACHE_DIRECTORY, $XDG_CACHE_HOME/packageorigin or ~/.cache/packageorigin]"
    )]
    pub cache: OsString,
    /// Remember nothing when the server stops
    #[arg(long, env = "PACKAGEORIGIN_NO_CACHE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_cache: bool,
}

/// When layers are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyWhen {
    /// While they are sent for the first time
    OnDemand,
    /// Also those that nobody has asked for, while nothing else is hashed
    Background,
    /// Never: clients do
    Off,
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where the archives are.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Write JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What to verify.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where the archives are.
    #[command(flatten)]
    pub packages: PackagesArgs,
    /// File with the images that must be there, one a line, as k3s, RKE2, Rancher and Talos publish them, or `-` for standard
    /// input; can be given several times
    #[arg(long, value_name = "FILE")]
    pub images: Vec<PathBuf>,
    /// Only what images for this platform need, such as linux/arm64; can be given several times
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<String>,
    /// Fail for warnings, too; `serve --strict` means something else
    #[arg(long)]
    pub strict: bool,
    /// Write JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// The arguments with every long option that is spelled with one dash spelled with two:
/// `-packages` is how the original program spells it.
pub fn normalize(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let subcommands: Vec<&clap::Command> = command.get_subcommands().collect();
    let is_long = |name: &str| {
        let options = || {
            std::iter::once(&command)
                .chain(subcommands.iter().copied())
                .flat_map(clap::Command::get_arguments)
        };
        matches!(name, "help" | "version")
            || options().any(|option| {
                option.get_long() == Some(name)
                    || option
                        .get_all_aliases()
                        .is_some_and(|all| all.contains(&name))
            })
    };
    let mut is_option = true;
    let spell = |argument: OsString| {
        let Some(text) = argument.to_str() else {
            return argument;
        };
        is_option &= text != "--";
        let name = text
            .strip_prefix('-')
            .map(|rest| rest.split('=').next().unwrap_or(rest));
        match name {
            Some(name) if is_option && name.len() > 1 && is_long(name) => format!("-{text}").into(),
            _ => argument,
        }
    };
    arguments.into_iter().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        let check = |typed: &str, expected: &str| {
            let words = normalize(typed.split(' ').map(OsString::from));
            let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
            assert_eq!(words.join(" "), expected);
        };
        check("-packages DIR", "--packages DIR");
        check(
            "-package DIR -refresh=24h30m",
            "--package DIR --refresh=24h30m",
        );
        check("list -json -strict-tags", "list --json --strict-tags");
        check(
            "-h -V --listen 80 -x -unknown - -- -packages",
            "-h -V --listen 80 -x -unknown - -- -packages",
        );
        check("-help", "--help");
    }
}
