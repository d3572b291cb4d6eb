//! The command. Each verb is a module; `bus` and `device` find what a verb is to work on, and
//! `session` is the login that `login` holds.

mod bus;
mod cli;
mod company;
mod config;
mod control;
mod device;
mod error;
mod export_spec;
mod journal;
mod kernel_driver;
mod login;
mod logins;
mod logout;
mod manual;
mod output;
mod pages;
mod reset_verb;
mod rom;
mod rom_verb;
mod scan;
mod serve;
mod service;
mod session;
mod setup;
mod signals;
mod status;
mod terminal;
mod trace;
mod words;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::bus::Taping;
use crate::cli::{Cli, Verb, Verbosity};
use crate::error::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli.verbosity);
    let (result, json) = match &cli.verb {
        Verb::Trace(args) => (trace::run(args, &cli.verbosity), false),
        _ => {
            let taping = match &cli.record {
                Some(file) => Taping::record(file.clone(), trace::own_command()),
                None => Taping::default(),
            };
            run(&cli, &taping)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.code())
        }
    }
}

/// Runs a verb, and says whether it was to speak JSON.
fn run(cli: &Cli, taping: &Taping) -> (Result<(), Failure>, bool) {
    let (result, json) = match &cli.verb {
        Verb::Scan(args) => (scan::run(args, taping), args.json),
        Verb::Login(args) => (login::run(args, !cli.verbosity.quiet, taping), args.json),
        Verb::Serve(args) => (serve::run(args, !cli.verbosity.quiet, taping), args.json),
        Verb::Logins(args) => (logins::run(args, taping), args.json),
        Verb::Status(args) => (status::run(args), args.json),
        Verb::Logout(args) => (logout::run(args, !cli.verbosity.quiet), args.json),
        Verb::Reset(args) => (
            reset_verb::run(args, !cli.verbosity.quiet, taping),
            args.json,
        ),
        Verb::Rom(args) => (rom_verb::run(args, taping), args.rom.json),
        Verb::Trace(args) => (trace::run(args, &cli.verbosity), false),
        Verb::SetupInitramfs(args) => (setup::initramfs(args), args.json),
        Verb::SetupUdev(args) => (setup::udev(args), args.json),
        Verb::Man(args) => (pages::man(args), false),
        Verb::Completions(args) => (pages::completions(args), false),
    };
    // A deviation is why anything else has failed.
    match taping.verdict() {
        Err(deviation) => (Err(deviation), json),
        Ok(_) => (result, json),
    }
}

fn report(failure: &Failure, json: bool) {
    output::complain_of_error(&format!("fwshare: {failure}"));
    if json && !failure.is_data_shown() {
        // It failed already.
        let _ = output::print_json(&failure.to_json());
    }
}

/// Sends what is logged to standard error, and where that is the journal, to it by its own
/// protocol.
fn log(verbosity: &Verbosity) {
    let level = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("FWSHARE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    if journal::open() {
        tracing_subscriber::registry()
            .with(filter)
            .with(journal::Layer)
            .init();
        return;
    }
    let colours = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::Log)
        .with_ansi(colours)
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .init();
}
