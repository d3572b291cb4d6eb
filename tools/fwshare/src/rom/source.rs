use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context as _, Result};
use ohci_raw::config_rom::image::MAX_FILE;

/// Reads a file or, for `-`, standard input, and says how to call it. Not more than one byte
/// beyond what a ROM's file can have, which is enough to refuse it.
pub(super) fn read(source: &str) -> Result<(String, Vec<u8>)> {
    let (name, reader): (_, Box<dyn Read>) = if source == "-" {
        ("standard input".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let name = format!("the configuration ROM in {source:?}");
        let file = File::open(source).with_context(|| format!("cannot open {name}"))?;
        (name, Box::new(file))
    };
    let mut contents = Vec::new();
    reader
        .take(MAX_FILE as u64 + 1)
        .read_to_end(&mut contents)
        .with_context(|| format!("cannot read {name}"))?;
    Ok((name, contents))
}
