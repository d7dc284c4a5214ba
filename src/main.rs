//! The program: parse what was typed, carry it out, exit.

use std::process::ExitCode;

use clap::Parser;
use packageorigin::{cli, command};

fn main() -> ExitCode {
    command::run(cli::Cli::parse_from(cli::normalize(std::env::args_os())))
}
