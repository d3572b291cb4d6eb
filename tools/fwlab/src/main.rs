//! The command: `fwlab bus` has a bus, `fwlab ctl` meddles with it.

mod bus;
mod cli;
mod ctl;
mod failure;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.verbose);
    let result = match &cli.verb {
        Verb::Bus(args) => bus::run(args),
        Verb::Ctl(args) => ctl::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody to tell if that fails.
            let _ = writeln!(io::stderr(), "fwlab: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("FWLAB_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .init();
}

/// Writes to standard output, at once. A reader that has seen enough is no error.
fn print(text: &str) -> Result<(), failure::Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failure::Failure::new(
            format!("cannot write the result: {error}"),
        )),
        _ => Ok(()),
    }
}
