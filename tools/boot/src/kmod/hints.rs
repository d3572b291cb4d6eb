//! What is left of the old recipe, and does nothing today.

use std::fmt;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::directive::Directive;
use super::sources::State;
use super::{same_name, shown};
use crate::notice::Place;
use crate::tree::{Kind, Tree};

/// Folders whose `.conf` files systemd loads modules from.
const MODULES_LOAD: [&str; 4] = [
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
];

/// The drivers of the old stack, and today's SBP-2 driver.
const NAMES: [&str; 4] = ["sbp2", "firewire-sbp2", "ieee1394", "ohci1394"];

/// A line that does not do what it seems to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub text: String,
    /// Why it does nothing.
    pub why: Why,
}

/// Why a line of the old recipe does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A module with parameters in `/etc/modules` or modules-load.d.
    Arguments,
    /// A module that no kernel has since 2.6.37.
    NoModule,
    /// A file in modprobe.d whose name does not end in `.conf`.
    NoSuffix,
    /// Options for the alias `sbp2`, which no device asks for.
    Alias,
    /// `serialize_io`, which firewire-sbp2 does not have.
    SerializeIo,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arguments => {
                "systemd takes no parameters here: it looks for a module of that whole name, and \
                 loads nothing"
            }
            Self::NoModule => "there is no such module, and no such alias, since Linux 2.6.37",
            Self::NoSuffix => "kmod reads files only if their names end in .conf",
            Self::Alias => {
                "this counts only for who types \"modprobe sbp2\"; a disk asks for firewire-sbp2"
            }
            Self::SerializeIo => "firewire-sbp2 has no such parameter: it always serialises",
        })
    }
}

/// What of the old recipe is on a system whose kernels have firewire-sbp2. `config` is that
/// system's, read as kmod does.
///
/// What cannot be read is passed over: these are hints.
#[must_use]
pub fn hints(tree: &dyn Tree, config: &Config) -> Vec<Hint> {
    let mut hints = Vec::new();
    for file in modules_files(tree) {
        each_line(tree, &file, |place, line| {
            hints.extend(modules_line(line).map(|why| hint(place, line, why)));
        });
    }
    for source in config.sources() {
        if source.state != State::NoSuffix {
            continue;
        }
        each_line(tree, &source.path, |place, line| {
            let mut words = line.split_whitespace().skip(1);
            if words.next().is_some_and(is_driver) {
                hints.push(hint(place, line, Why::NoSuffix));
            }
        });
    }
    for line in config.lines() {
        let Directive::Options { module, text } = &line.directive else {
            continue;
        };
        let why = match module.as_slice() {
            b"sbp2" => Why::Alias,
            b"firewire_sbp2" if has_parameter(text, b"serialize_io") => Why::SerializeIo,
            _ => continue,
        };
        let text = format!("options {} {}", shown(module), shown(text).trim());
        hints.push(hint(line.place.clone(), &text, why));
    }
    hints
}

fn hint(place: Place, text: &str, why: Why) -> Hint {
    Hint {
        place,
        text: text.trim().to_owned(),
        why,
    }
}

fn modules_files(tree: &dyn Tree) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/modules")];
    for folder in MODULES_LOAD.map(Path::new) {
        for name in tree.list(folder).unwrap_or_default() {
            let file = folder.join(name);
            // Debian links /etc/modules-load.d/modules.conf to /etc/modules.
            let is_modules = matches!(tree.link(&file), Ok(Some(target))
                if target.ends_with("modules") && !target.ends_with("modules.conf"));
            if file.extension().is_some_and(|end| end == "conf") && !is_modules {
                files.push(file);
            }
        }
    }
    files
}

fn each_line(tree: &dyn Tree, file: &Path, mut take: impl FnMut(Place, &str)) {
    if !matches!(tree.kind(file), Ok(Some(Kind::File))) {
        return;
    }
    let Ok(Some(bytes)) = tree.read(file) else {
        return;
    };
    for (line, number) in String::from_utf8_lossy(&bytes).lines().zip(1_u32..) {
        take(Place::new(file, number), line);
    }
}

/// What is wrong with a line of `/etc/modules`.
fn modules_line(line: &str) -> Option<Why> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    if name.starts_with(['#', ';']) || !is_driver(name) {
        return None;
    }
    match words.next() {
        Some(_) => Some(Why::Arguments),
        // firewire-ohci has the alias ohci1394, firewire-sbp2 has sbp2.
        None => (name == "ieee1394").then_some(Why::NoModule),
    }
}

fn is_driver(name: &str) -> bool {
    NAMES
        .iter()
        .any(|driver| same_name(driver.as_bytes(), name.as_bytes()))
}

fn has_parameter(text: &[u8], name: &[u8]) -> bool {
    let arguments = super::arguments::split(text);
    arguments
        .iter()
        .any(|argument| same_name(&argument.name, name))
}
