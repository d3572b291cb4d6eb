//! A disk of the configuration, and what is true of all.

use std::ops::Range;
use std::time::Duration;

use ohci_raw::bus::Eui64;
use toml::de::DeValue;

use super::error::ConfigError;
use super::table::{At, Table};
use crate::cli::{self, LoginArgs, OnOff, Wait};
use crate::device::guid_digits;
use crate::export_spec::ExportChoice;

/// The longest name.
const NAME_MAX: usize = 64;

/// What can be said of all disks, and of one.
#[derive(Clone, Default, Debug)]
pub(super) struct Options {
    /// `Some(true)`: alone.
    exclusive: Option<bool>,
    read_only: Option<bool>,
    serialize_io: Option<OnOff>,
    replacement_timeout: Option<Duration>,
    unbind_kernel: Option<bool>,
    assemble: Option<bool>,
    /// `Some(None)`: it is not waited.
    wait: Option<Option<Wait>>,
}

impl Options {
    /// Takes them out of a table.
    pub(super) fn take(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let shared = table.flag("shared")?;
        let exclusive = table.flag("exclusive")?;
        let exclusive = match (shared, exclusive) {
            (Some((true, _)), Some((true, span))) => {
                return Err(table.wrong(span, "a login is either shared or exclusive"));
            }
            (_, Some((true, _))) => Some(true),
            (Some((true, _)), _) => Some(false),
            _ => None,
        };
        let read_only = table.flag("read-only")?;
        let serialize_io = match table.string("serialize-io")? {
            None => None,
            Some((text, span)) => match text.as_str() {
                "on" => Some(OnOff::On),
                "off" => Some(OnOff::Off),
                _ => return Err(table.wrong(span, "must be \"on\" or \"off\"")),
            },
        };
        let replacement_timeout = table.number("replacement-timeout", cli::seconds)?;
        let unbind_kernel = table.flag("unbind-kernel")?;
        let assemble = table.flag("assemble")?;
        let wait = match table.take("wait") {
            None => None,
            Some(value) => Some(match value.get_ref() {
                DeValue::Boolean(true) => Some(Wait::Forever),
                DeValue::Boolean(false) => None,
                DeValue::Integer(_) => Some(table.text().number(value, cli::wait)?.0),
                _ => {
                    let what = "this must be true, false or a number of seconds";
                    return Err(table.wrong(value.span(), what));
                }
            }),
        };
        Ok(Self {
            exclusive,
            read_only: read_only.map(|(flag, _)| flag),
            serialize_io,
            replacement_timeout: replacement_timeout.map(|(seconds, _)| seconds),
            unbind_kernel: unbind_kernel.map(|(flag, _)| flag),
            assemble: assemble.map(|(flag, _)| flag),
            wait,
        })
    }

    /// These, and where they say nothing, those.
    fn or(self, others: &Self) -> Self {
        Self {
            exclusive: self.exclusive.or(others.exclusive),
            read_only: self.read_only.or(others.read_only),
            serialize_io: self.serialize_io.or(others.serialize_io),
            replacement_timeout: self.replacement_timeout.or(others.replacement_timeout),
            unbind_kernel: self.unbind_kernel.or(others.unbind_kernel),
            assemble: self.assemble.or(others.assemble),
            wait: self.wait.or(others.wait),
        }
    }
}

/// A disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(super) guid: At<Eui64>,
    pub(super) lun: Option<u16>,
    pub(super) name: Option<At<String>>,
    pub(super) exports: Vec<At<ExportChoice>>,
    exclusive: bool,
    options: Options,
}

impl Disk {
    pub(super) fn take(mut table: Table<'_>, defaults: &Options) -> Result<Self, ConfigError> {
        let head = table.head.clone();
        let guid = table.string("guid")?;
        let lun = table.number("lun", lun)?;
        let name = table.string("name")?;
        let exports = table.list("export")?;
        let options = Options::take(&mut table)?.or(defaults);
        let missing = |what: &str| table.wrong(head, what);
        let Some((text, span)) = guid else {
            return Err(missing("this disk has no guid: fwshare scan shows it"));
        };
        let guid = match guid_of(&text) {
            Some(guid) => (guid, span),
            None => return Err(table.wrong(span, "a GUID has 16 hexadecimal digits")),
        };
        if let Some((name, span)) = &name {
            check_name(&table, name, span)?;
        }
        let Some(exclusive) = options.exclusive else {
            return Err(missing(
                "whether others may use this disk is not said: write shared = true, or \
                 exclusive = true",
            ));
        };
        table.finish()?;
        Ok(Self {
            guid,
            lun: lun.map(|(lun, _)| lun),
            name,
            exports,
            exclusive,
            options,
        })
    }

    /// How it is named on the command line.
    pub(crate) fn target(&self) -> String {
        match self.lun {
            Some(lun) => format!("{}:{lun}", self.guid.0),
            None => self.guid.0.to_string(),
        }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match &self.name {
            Some((name, _)) => name.clone(),
            None => self.target(),
        }
    }

    /// The command line that says the same, with what was said beside --config.
    pub(crate) fn login(&self, command: &LoginArgs) -> LoginArgs {
        let options = &self.options;
        let wait = command.wait.or(options.wait.flatten());
        LoginArgs {
            target: Some(self.target()),
            shared: !self.exclusive,
            exclusive: self.exclusive,
            exports: self
                .exports
                .iter()
                .map(|(choice, _)| choice.clone())
                .collect(),
            read_only: options.read_only.unwrap_or(command.read_only),
            serialize_io: options.serialize_io.unwrap_or(command.serialize_io),
            replacement_timeout: options
                .replacement_timeout
                .unwrap_or(command.replacement_timeout),
            unbind_kernel: options.unbind_kernel.unwrap_or(command.unbind_kernel),
            assemble: options.assemble.unwrap_or(command.assemble),
            wait,
            ..command.clone()
        }
    }
}

/// Sees that systemd, a shell and a user can say a name.
fn check_name(table: &Table<'_>, name: &str, span: &Range<usize>) -> Result<(), ConfigError> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_MAX && name.chars().all(good) {
        return Ok(());
    }
    let what = format!(
        "a name has up to {NAME_MAX} letters, digits, \"_\", \".\" and \"-\", and begins with one \
         of the first two"
    );
    Err(table.wrong(span.clone(), what))
}

fn guid_of(text: &str) -> Option<Eui64> {
    let digits = guid_digits(text);
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let guid = u64::from_str_radix(digits, 16).ok();
    guid.filter(|_| hexadecimal && digits.len() == 16)
        .map(Eui64)
}

fn lun(text: &str) -> Result<u16, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| format!("must be a number from 0 to {}", u16::MAX))
}
