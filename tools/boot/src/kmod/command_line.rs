//! The kernel's command line, as the kernel reads it and as kmod does.
//!
//! The two do not agree: to the kernel `firewire-sbp2.x=1` and `firewire_sbp2.x=1` are one
//! parameter, and so they are to kmod, but in the lists of `modprobe.blacklist=` and
//! `module_blacklist=` only the name with `_` is a module's.

use super::arguments::{Argument, Parameter, split};
use super::load::{Setting, setting};
use super::{normalise, same_name};
use crate::notice::Place;

/// A command line of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandLine {
    /// What the kernel sees.
    arguments: Vec<Argument>,
    /// What kmod passes on: to which module, and what.
    options: Vec<(Vec<u8>, Vec<u8>)>,
    /// `modprobe.blacklist=`.
    blacklist: Vec<Vec<u8>>,
    place: Place,
}

impl CommandLine {
    /// Reads a command line that stands somewhere.
    #[must_use]
    pub fn parse(text: &[u8], place: &Place) -> Self {
        let mut line = Self {
            arguments: split(text),
            options: Vec::new(),
            blacklist: Vec::new(),
            place: place.clone(),
        };
        for word in words(text) {
            let Some((module, parameter)) = for_module(word) else {
                continue;
            };
            match parameter.strip_prefix(b"blacklist=") {
                Some(names) if module == b"modprobe" => {
                    let names = names.split(|byte| *byte == b',');
                    line.blacklist.extend(names.map(<[u8]>::to_vec));
                }
                _ => line
                    .options
                    .extend(normalise(module).map(|module| (module, parameter))),
            }
        }
        line
    }

    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What the kernel itself gives to a driver that is built in.
    #[must_use]
    pub fn built_in(&self, module: &str) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for argument in &self.arguments {
            let Some(dot) = argument.name.iter().position(|byte| *byte == b'.') else {
                continue;
            };
            let (prefix, name) = argument.name.split_at(dot);
            if same_name(prefix, module.as_bytes()) {
                let argument = Argument {
                    name: name.get(1..).unwrap_or_default().to_vec(),
                    ..argument.clone()
                };
                parameters.push(argument.at(self.place.clone()));
            }
        }
        parameters
    }

    /// What a boolean parameter of a driver is set to, be it built in or not. `None` if the command
    /// line says nothing of it.
    #[must_use]
    pub fn sets(&self, module: &str, parameter: &str) -> Option<(super::Bool, Parameter)> {
        let parameters = self.built_in(module);
        let Setting { value, parameter } = setting(&parameters, parameter)?;
        Some((value, parameter.clone()))
    }

    /// Whether `modprobe.blacklist=` has a module, by its name with `_`.
    pub(super) fn blacklists(&self, module: &[u8]) -> Option<Place> {
        let has = self.blacklist.iter().any(|name| name == module);
        has.then(|| self.place.clone())
    }

    /// Whether `module_blacklist=` has a module. The last one of several counts.
    pub(super) fn refuses(&self, module: &[u8]) -> Option<Place> {
        let list = self
            .arguments
            .iter()
            .rfind(|argument| same_name(&argument.name, b"module_blacklist"))?;
        let mut names = list.value.as_deref()?.split(|byte| *byte == b',');
        names.any(|name| name == module).then(|| self.place.clone())
    }

    /// What kmod passes on.
    pub(super) fn options(&self) -> impl Iterator<Item = (&[u8], &[u8], &Place)> {
        let options = self.options.iter();
        options.map(|(module, text)| (module.as_slice(), text.as_slice(), &self.place))
    }
}

/// The words kmod sees: blanks between quotes do not part them. A word whose quote is not closed
/// is none.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut in_quotes = false;
    let words = text.split(move |byte| {
        in_quotes ^= *byte == b'"';
        !in_quotes && matches!(byte, b' ' | b'\t'..=b'\r' | 0)
    });
    words.filter(|word| word.iter().filter(|byte| **byte == b'"').count() % 2 == 0)
}

/// A word that is for a module: `MODULE.PARAMETER=VALUE`, or all of that between quotes, which are
/// then put around the value.
fn for_module(word: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (body, is_quoted) = match word.strip_prefix(b"\"") {
        Some(body) => (body, true),
        None => (word, false),
    };
    let dot = body.iter().position(|byte| *byte == b'.')?;
    let (module, parameter) = body.split_at(dot);
    let parameter = parameter.get(1..)?;
    let (name, value) = match parameter.iter().position(|byte| *byte == b'=') {
        Some(equals) => parameter.split_at(equals),
        None => (parameter, &[][..]),
    };
    let is_odd = |byte: &u8| matches!(byte, b'"' | b'.' | b'=' | b' ' | b'\t'..=b'\r');
    if module.iter().any(is_odd) || name.iter().any(is_odd) {
        return None;
    }
    let mut text = name.to_vec();
    if let Some(value) = value.strip_prefix(b"=") {
        text.push(b'=');
        if is_quoted {
            text.push(b'"');
        }
        text.extend_from_slice(value);
    }
    Some((module, text))
}
