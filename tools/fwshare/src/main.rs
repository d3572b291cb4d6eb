//! The command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod rom;
mod session;

/// Share a FireWire (SBP-2) disk between hosts.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Rom(rom::RomArgs),
}

fn main() -> ExitCode {
    let Verb::Rom(args) = Cli::parse().verb;
    match rom::run(&args, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwshare: {error:#}");
            ExitCode::FAILURE
        }
    }
}
