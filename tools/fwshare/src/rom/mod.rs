//! `fwshare rom`: what a configuration ROM says.
//!
//! [`run`] does the verb for a file. A verb that has a node's quadlets already calls [`show`].
//!
//! Whatever can be decoded is shown, and what is odd is listed at the end; that is no error,
//! for the ROMs on sale are odd. An error is a file that holds no ROM.

mod json;
mod source;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use ohci_raw::config_rom::ConfigRom;
use ohci_raw::config_rom::image::Image;

/// Decode a configuration ROM.
#[derive(Args, Debug)]
pub(crate) struct RomArgs {
    /// A file with the ROM, `-` for standard input: quadlets of eight hexadecimal digits, with or
    /// without `OFFSET:` before them, `#` comments, `--------` for what is not known; or a binary
    /// image in bus order or host order
    #[arg(value_name = "FILE")]
    pub(crate) source: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Decodes the ROM in a file and writes what it says.
pub(crate) fn run(args: &RomArgs, out: &mut dyn Write) -> Result<()> {
    let (name, file) = source::read(&args.source)?;
    decode(&file, args.json, out).with_context(|| format!("cannot decode {name}"))
}

fn decode(file: &[u8], json: bool, out: &mut dyn Write) -> Result<()> {
    let image = Image::parse(file)?;
    let notes: Vec<_> = image.notes.iter().map(ToString::to_string).collect();
    show(&image.quadlets, &notes, json, out)
}

/// Decodes the quadlets from `ffff f000 0400` on and writes what they say. `notes` come before
/// the ROM's own warnings. A reader that has seen enough and closes its end is no error.
pub(crate) fn show(
    quadlets: &[Option<u32>],
    notes: &[String],
    json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let rom = ConfigRom::read(quadlets)?;
    let warnings = rom.warnings.iter().map(ToString::to_string);
    let warnings: Vec<_> = notes.iter().cloned().chain(warnings).collect();
    let shown = if json {
        let mut shown = serde_json::to_string_pretty(&json::Rom::new(&rom, warnings))?;
        shown.push('\n');
        shown
    } else {
        text::rom(&rom, &warnings)
    };
    match out.write_all(shown.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the result")
        }
        _ => Ok(()),
    }
}
