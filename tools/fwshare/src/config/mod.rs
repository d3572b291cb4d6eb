//! The configuration: disks by GUID and LUN, with the options of `fwshare login`.
//!
//! It is read into the command line that says the same; whatever comes after does not know the
//! difference. A mistake is told with its file, line and column, and the line is shown.

mod disk;
mod error;
mod file;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use self::disk::Disk;
use crate::device::guid_digits;
use crate::error::{Exit, Failure};

/// Where the configuration is if nothing else is said.
pub(crate) const PATH: &str = "/etc/fwshare/fwshare.toml";

/// The example that the manual shows and packages ship.
pub(crate) const EXAMPLE: &str = include_str!("../../system/fwshare.toml");

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    path: PathBuf,
    disks: Vec<Disk>,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let disks = file::read(path)?;
        if disks.is_empty() {
            let message = format!("{} has no disks", path.display());
            return Err(Failure::new(Exit::Usage, message)
                .advise("write [[disk]], and below it guid, export and so on: man fwshare.toml"));
        }
        Ok(Self {
            path: path.to_owned(),
            disks,
        })
    }

    /// All disks, in the order of the file.
    pub(crate) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// The disk with this name; or with a GUID that begins so, and with the LUN behind a colon.
    pub(crate) fn disk(&self, wanted: &str) -> Result<&Disk, Failure> {
        let named = |disk: &&Disk| disk.name.as_ref().is_some_and(|(name, _)| name == wanted);
        if let Some(disk) = self.disks.iter().find(named) {
            return Ok(disk);
        }
        let (digits, lun) = match wanted.rsplit_once(':') {
            Some((digits, lun)) => (digits, Some(lun)),
            None => (wanted, None),
        };
        let digits = guid_digits(digits).to_ascii_lowercase();
        let meant = self.disks.iter().filter(|disk| {
            let same_unit = match (lun, disk.lun) {
                (None, _) => true,
                (Some(lun), own) => own.unwrap_or(0).to_string() == lun,
            };
            !digits.is_empty() && disk.guid.0.to_string().starts_with(&digits) && same_unit
        });
        let meant: Vec<_> = meant.collect();
        let path = self.path.display();
        let list = |disks: &[&Disk]| {
            let lines = disks.iter();
            let lines = lines.map(|disk| format!("\n  {} ({})", disk.name(), disk.target()));
            format!("there is:{}", lines.collect::<String>())
        };
        match meant[..] {
            [disk] => Ok(disk),
            [] => {
                let message = format!("{path} has no disk {wanted}");
                let all: Vec<_> = self.disks.iter().collect();
                Err(Failure::new(Exit::Usage, message).advise(list(&all)))
            }
            _ => {
                let message = format!("{wanted} means {} disks of {path}", meant.len());
                Err(Failure::new(Exit::Usage, message).advise(list(&meant)))
            }
        }
    }
}
