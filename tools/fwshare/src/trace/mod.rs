//! `fwshare trace`: recordings.

mod bridge;
mod ftrace;
mod observe;
mod pcapng;
mod scrub;
mod show;
mod sides;
mod stat;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use clap::Parser as _;
use ohci_raw::trace::{Header, Line, Mode, Recording};

use crate::bus::{Taping, no_recording};
use crate::cli::{Cli, TraceArgs, TraceVerb, Verb, Verbosity};
use crate::error::{Exit, Failure};
use crate::output;

pub(crate) fn run(args: &TraceArgs, verbosity: &Verbosity) -> Result<(), Failure> {
    match &args.what {
        TraceVerb::Record { file, command } => {
            let cli = parse(command)?;
            let taping = Taping::record(file.clone(), command.clone());
            crate::run(&cli, &taping).0
        }
        TraceVerb::Show { file, stat } => {
            let recording = read(file)?;
            let text = if *stat {
                stat::text(&recording)
            } else {
                show::text(&recording)
            };
            output::print(&text)
        }
        TraceVerb::Replay { file, relaxed } => {
            let mode = if *relaxed {
                Mode::Relaxed
            } else {
                Mode::Strict
            };
            replay(file, mode, verbosity)
        }
        TraceVerb::Scrub { file, output } => {
            let scrubbed = scrub::scrub(read(file)?);
            let lines = scrubbed.lines.iter().map(|(_, line)| line);
            write(output, &scrubbed.header, lines)
        }
        TraceVerb::Export { file, pcapng } => {
            let recording = read(file)?;
            create(pcapng, |out| pcapng::write(&recording, out))
        }
        TraceVerb::Import { ftrace, output } => {
            let (header, lines) = ftrace::read(ftrace)?;
            write(output, &header, lines.iter())
        }
    }
}

fn read(file: &Path) -> Result<Recording, Failure> {
    Recording::read(file).map_err(no_recording)
}

/// Writes a new file; an old one is left alone.
fn create(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::new(
            Exit::Error,
            format!("cannot write {}: {error}", file.display()),
        );
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.advise("name a new file: none is overwritten"),
            _ => failure,
        }
    };
    // Its owner's alone, as recordings are: it may have all the data of a disk.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut out = BufWriter::new(options.open(file).map_err(failed)?);
    write(&mut out).and_then(|()| out.flush()).map_err(failed)
}

fn write<'a>(
    file: &Path,
    header: &Header,
    lines: impl Iterator<Item = &'a Line>,
) -> Result<(), Failure> {
    create(file, |out| {
        let header = serde_json::to_string(header)?;
        writeln!(out, "{header}")?;
        for line in lines {
            writeln!(out, "{line}")?;
        }
        Ok(())
    })
}

/// Reads a command line that stands in a recording or behind "--".
fn parse(command: &[String]) -> Result<Cli, Failure> {
    let words = std::iter::once("fwshare").chain(command.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string().trim_end().to_owned()))?;
    if matches!(cli.verb, Verb::Trace(_)) || cli.record.is_some() {
        let message = "a recording of a recording: name the command itself";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(cli)
}

/// This process's command line, without what says that it is recorded.
pub(crate) fn own_command() -> Vec<String> {
    without_record(std::env::args_os().skip(1))
}

fn without_record(words: impl Iterator<Item = OsString>) -> Vec<String> {
    let words = words.map(|word| word.to_string_lossy().into_owned());
    without(words.collect(), &["--record"])
}

/// Leaves out options and their values.
fn without(words: Vec<String>, options: &[&str]) -> Vec<String> {
    let mut rest = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if options.contains(&word.as_str()) {
            // Its value.
            words.next();
            continue;
        }
        let name = word.split_once('=').map(|(name, _)| name);
        if !name.is_some_and(|name| options.contains(&name)) {
            rest.push(word);
        }
    }
    rest
}

/// Runs the recorded command on its recording.
fn replay(file: &Path, mode: Mode, verbosity: &Verbosity) -> Result<(), Failure> {
    let recording = read(file)?;
    if recording
        .header
        .ports
        .iter()
        .any(|port| port.machine.is_some())
    {
        let lines = bridge::replay(&recording, mode)?;
        if !verbosity.quiet {
            output::complain(&format!(
                "fwshare: replayed {lines} lines without a deviation; the bridge does what was \
                 recorded"
            ));
        }
        return Ok(());
    }
    let mut command = without(
        recording.header.command,
        &["--bus", "--export", "--run-dir"],
    );
    if command.is_empty() {
        let message = format!("{} does not say which command it is of", file.display());
        return Err(Failure::new(Exit::Error, message)
            .advise("it was imported: fwshare trace show looks at it"));
    }
    let mode = match mode {
        Mode::Strict => "strict",
        Mode::Relaxed => "relaxed",
    };
    command.push(format!("--bus=replay:{},mode={mode}", file.display()));
    let cli = parse(&command)?;
    let taping = Taping::default();
    let (result, _) = crate::run(&cli, &taping);
    let lines = taping.verdict()?.unwrap_or_default();
    if !verbosity.quiet {
        let code = result.as_ref().map_or_else(Failure::code, |()| 0);
        output::complain(&format!(
            "fwshare: replayed {lines} lines without a deviation; the command ended with exit \
             code {code}"
        ));
        if let Err(failure) = result {
            output::complain(&format!("fwshare: it said: {failure}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_left_out_with_their_values_in_both_spellings() {
        for text in [
            "scan --record x --json",
            "--record=x scan --json",
            "scan --json --record x",
        ] {
            let words = words(text).into_iter().map(OsString::from);
            assert_eq!(without_record(words), ["scan", "--json"], "{text}");
        }
    }

    #[test]
    fn a_recorded_command_is_no_recording_and_makes_sense() {
        assert!(parse(&words("scan --json")).is_ok());
        for text in ["trace show x", "scan --record y", "explode", ""] {
            assert_eq!(
                parse(&words(text)).err().map(|failure| failure.code()),
                Some(2),
                "{text}"
            );
        }
    }
}
