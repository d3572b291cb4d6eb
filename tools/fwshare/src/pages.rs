//! Manual pages and shell completions, made from the definition of the command line.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, CompletionsArgs, EXAMPLES, ManArgs};
use crate::error::{EXIT_CODES, Exit, Failure};
use crate::manual;
use crate::output;

const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "FWSHARE_LOG",
        "What to log to standard error, as a filter of the Rust crate tracing-subscriber: \
         \"debug\", or \"warn,sbp2=trace\". Takes the place of -v and -q.",
    ),
    (
        "NO_COLOR",
        "Unless empty, logs have no colours. They have none either where standard error is not \
         a terminal.",
    ),
];

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fwshare", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    // "fwshare help VERB" shows what the verb's own page has.
    let mut command = Cli::command().disable_help_subcommand(true);
    // Or the verbs' pages would lack what all verbs understand.
    command.build();
    let failed = |error: io::Error| {
        Failure::new(
            Exit::Error,
            format!("cannot write the manual pages: {error}"),
        )
    };
    let Some(folder) = &args.folder else {
        let page = page(&command, None).map_err(failed)?;
        return output::print(&String::from_utf8_lossy(&page));
    };
    write(folder, "fwshare.1", page(&command, None)).map_err(failed)?;
    if let Some(login) = command.find_subcommand("login") {
        let page = manual::page(login).into_bytes();
        write(folder, "fwshare.toml.5", Ok(page)).map_err(failed)?;
    }
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in verbs {
        let name = format!("fwshare-{}", verb.get_name());
        let page = page(verb, Some(&name));
        write(folder, &format!("{name}.1"), page).map_err(failed)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, page: io::Result<Vec<u8>>) -> io::Result<()> {
    std::fs::write(folder.join(name), page?)
}

fn page(command: &Command, name: Option<&str>) -> io::Result<Vec<u8>> {
    let mut command = command.clone();
    if let Some(name) = name {
        command = command.display_name(name);
    }
    let is_main = name.is_none();
    let version = format!("fwshare {}", env!("CARGO_PKG_VERSION"));
    let output = command.get_after_long_help().map(ToString::to_string);
    let man = Man::new(command).source(version).manual("fwshare");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    // Lists in the text would be torn apart if their lines were filled up to the margin.
    page.extend_from_slice(b".ad l\n");
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    if is_main {
        man.render_subcommands_section(&mut page)?;
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        roff.text([roman(EXAMPLES)]);
        roff.control("fi", []);
    }
    if let Some(output) = output.filter(|_| !is_main) {
        roff.control("SH", ["OUTPUT"]);
        roff.control("nf", []);
        roff.text([roman(output)]);
        roff.control("fi", []);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []);
        roff.text([bold(code.to_string())]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (variable, meaning) in ENVIRONMENT {
        roff.control("TP", []);
        roff.text([bold(variable)]);
        roff.text([roman(meaning)]);
    }
    page.write_all(roff.render().as_bytes())?;
    Ok(page)
}
