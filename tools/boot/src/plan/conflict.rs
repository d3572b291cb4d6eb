//! What stands in the way.

use std::fmt;

use crate::kmod::{self, Bool, By, CommandLine, Config, Outcome, SBP2_UNIT};
use crate::notice::Place;

/// A line of somebody else's that keeps the driver from being loaded as wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The module that it is about.
    pub module: String,
    /// What it says.
    pub why: Why,
    /// Where it stands.
    pub place: Place,
    /// It is on a kernel's command line, which is nobody's to comment out.
    pub is_command_line: bool,
}

/// How a line is in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// It says otherwise, and comes later.
    Value {
        /// What it says.
        exclusive: bool,
    },
    /// Its value is none that the kernel takes: the module would not be loaded at all.
    Invalid,
    /// The module is not to be loaded for a device.
    Blacklist,
    /// A command is run in its place.
    Install {
        /// The command.
        command: String,
    },
    /// Its name leads to something else.
    Diverted,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            module,
            why,
            place,
            is_command_line,
        } = self;
        write!(f, "{place}: ")?;
        let comes = match is_command_line {
            true => "the kernel's command line beats every file",
            false => "it wins over ours",
        };
        match why {
            Why::Value { exclusive } => {
                let login = if *exclusive { "exclusive" } else { "shared" };
                write!(f, "sets {module} to {login} logins, and {comes}")
            }
            Why::Invalid => write!(
                f,
                "gives {module} a value that the kernel refuses: it would not be loaded at all"
            ),
            Why::Blacklist => write!(f, "keeps {module} from being loaded for a disk"),
            Why::Install { command } => write!(f, "runs \"{command}\" in the place of {module}"),
            Why::Diverted => write!(f, "leads the name of {module} elsewhere"),
        }
    }
}

/// What a driver's parameter is set to when a disk is found, if it is loaded at all.
pub(crate) fn setting(config: &Config, driver: &str) -> Option<(Bool, Place)> {
    let outcome = kmod::effective(config, None, driver, asked(driver));
    let setting = outcome.setting("exclusive_login")?;
    Some((setting.value, setting.parameter.place.clone()))
}

/// Everything that a driver's parameter is set to, in the order in which it is read.
pub(crate) fn settings(config: &Config, driver: &str) -> Vec<(Bool, Place)> {
    let outcome = kmod::effective(config, None, driver, asked(driver));
    let parameters = outcome.parameters().iter();
    let own = parameters.filter(|parameter| parameter.is("exclusive_login"));
    own.map(|parameter| (parameter.as_bool(), parameter.place.clone()))
        .collect()
}

/// How udev asks for a module.
fn asked(module: &str) -> By<'static> {
    match module {
        "firewire_sbp2" | "sbp2" => By::Modalias(SBP2_UNIT),
        // A PCI device's alias; options by it nobody writes.
        "firewire_ohci" | "ohci1394" => By::Modalias("pci:firewire"),
        _ => By::Dependency,
    }
}

/// The first line that is in the way of these modules, of which the first is the SBP-2 driver.
pub(crate) fn find(
    config: &Config,
    command_line: Option<&CommandLine>,
    modules: &[&str],
    wanted: Option<bool>,
) -> Option<Conflict> {
    let conflict = |module: &str, why, place| Conflict {
        module: module.to_owned(),
        why,
        is_command_line: command_line.is_some_and(|line| *line.place() == place),
        place,
    };
    for module in modules {
        let outcome = kmod::effective(config, command_line, module, asked(module));
        match outcome {
            Outcome::Loaded { .. } => {}
            Outcome::Blacklisted { place } | Outcome::Refused { place } => {
                return Some(conflict(module, Why::Blacklist, place));
            }
            Outcome::Install { command, place, .. } => {
                return Some(conflict(module, Why::Install { command }, place));
            }
            Outcome::Diverted { place, .. } => {
                return Some(conflict(module, Why::Diverted, place));
            }
        }
    }
    let driver = modules.first()?;
    let outcome = kmod::effective(config, command_line, driver, asked(driver));
    let setting = outcome.setting("exclusive_login")?;
    let place = setting.parameter.place.clone();
    let value = match setting.value {
        Bool::Invalid => return Some(conflict(driver, Why::Invalid, place)),
        Bool::On => true,
        Bool::Off => false,
    };
    (value != wanted?).then(|| conflict(driver, Why::Value { exclusive: value }, place))
}
