//! The file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::disk::{Disk, Options};
use super::error::ConfigError;
use super::table::{Table, Text};
use crate::export_spec::ExportChoice;

/// Nobody has so many disks.
const LENGTH_MAX: u64 = 1 << 20;

/// The disks of a file, in its order.
pub(super) fn read(path: &Path) -> Result<Vec<Disk>, ConfigError> {
    let failed = |error| ConfigError::Read {
        path: path.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let read = file.take(LENGTH_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > LENGTH_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            limit: LENGTH_MAX,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| ConfigError::NoText {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Disk>, ConfigError> {
    let source = Text { path, text };
    let document = DeTable::parse(text).map_err(|error| {
        let end = text.len()..text.len();
        source.wrong(error.span().unwrap_or(end), error.message())
    })?;
    let mut document = Table::new(source, document.into_inner(), 0..0);
    let defaults = match document.take("defaults") {
        None => Options::default(),
        Some(value) => {
            let mut table = Table::of(source, value)?;
            let defaults = Options::take(&mut table)?;
            table.finish()?;
            defaults
        }
    };
    let disks = match document.take("disk") {
        None => Vec::new(),
        Some(value) => disks(source, value, &defaults)?,
    };
    document.finish()?;
    check(source, &disks)?;
    Ok(disks)
}

fn disks<'a>(
    source: Text<'a>,
    value: Spanned<DeValue<'a>>,
    defaults: &Options,
) -> Result<Vec<Disk>, ConfigError> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(tables) => {
            let disks = tables.into_iter();
            let disks = disks.map(|table| Disk::take(Table::of(source, table)?, defaults));
            disks.collect()
        }
        _ => Err(source.wrong(span, "disks are a list: write [[disk]] before each")),
    }
}

/// Sees that no two disks are, are called, or are served at, the same.
fn check(source: Text<'_>, disks: &[Disk]) -> Result<(), ConfigError> {
    let mut exports: Vec<ExportChoice> = Vec::new();
    for (index, disk) in disks.iter().enumerate() {
        for other in &disks[..index] {
            let same_unit = disk.lun == other.lun || disk.lun.is_none() || other.lun.is_none();
            if disk.guid.0 == other.guid.0 && same_unit {
                let what = format!(
                    "{} is there already, as {}; logical units of one device are told apart by lun",
                    disk.target(),
                    other.name()
                );
                return Err(source.wrong(disk.guid.1.clone(), what));
            }
            if let (Some((name, span)), Some((taken, _))) = (&disk.name, &other.name)
                && name == taken
            {
                let what = format!("{} is called {name} already", other.target());
                return Err(source.wrong(span.clone(), what));
            }
        }
        for (export, span) in &disk.exports {
            if export.is_among(&exports) {
                return Err(source.wrong(span.clone(), format!("{export} is there already")));
            }
            exports.push(export.clone());
        }
    }
    Ok(())
}
