//! The command: `fwlab bus` has a bus, `fwlab ctl` meddles with it, `fwlab vm` puts a virtual
//! machine on it.

mod bus;
mod cli;
mod ctl;
mod failure;
mod guest;
mod signals;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Verb};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.verbose);
    let result = match &cli.verb {
        Verb::Bus(args) => bus::run(args).map(|()| 0),
        Verb::Ctl(args) => ctl::run(args).map(|()| 0),
        Verb::Vm(args) => guest::run(args),
        Verb::Man { folder } => man(folder).map(|()| 0),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // There is nobody to tell if that fails.
            let _ = writeln!(io::stderr(), "fwlab: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Writes a page for the command, and one for each verb.
fn man(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
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
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}
