//! What a kernel module says of itself: section `.modinfo` of its file, or a kernel's
//! `modules.builtin.modinfo` for those that are built in.
//!
//! Both are words `KEY=VALUE` that end in a zero byte (include/linux/moduleparam.h).

use std::io;
use std::path::Path;

use object::{BinaryFormat, Object as _, ObjectSection as _};

use crate::compression::unpacked;

#[cfg(test)]
mod tests;

/// The largest module, in bytes when unpacked. Distributions' largest have a quarter of it.
const MAX_MODULE: usize = 64 << 20;

/// What a module says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModInfo {
    /// Its name, with underscores. Modules older than Linux 4.13 do not say it; then it is that
    /// of the file.
    pub name: String,
    /// For what it is loaded: patterns of modaliases, and other names.
    pub aliases: Vec<String>,
    /// The modules that it needs.
    pub depends: Vec<String>,
    /// What can be set.
    pub parameters: Vec<Parameter>,
    /// For which kernel it is: version and flags. Built in ones do not say it.
    pub vermagic: Option<String>,
}

/// A parameter of a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for, in the module's words.
    pub description: Option<String>,
    /// Its type, in the kernel's words: `bool`, `int`.
    pub kind: Option<String>,
}

/// Why a module cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ModInfoError {
    /// It is compressed, and cannot be unpacked.
    #[error("cannot unpack the module {name}: {source}")]
    Unpack {
        /// The module's file.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no ELF file that can be read.
    #[error("the module {name} is no ELF file: {source}")]
    Elf {
        /// The module's file.
        name: String,
        /// Why not.
        #[source]
        source: object::Error,
    },
    /// It is a program of another kind, or says nothing of itself.
    #[error("the file {name} is no kernel module: it has no section .modinfo of ELF")]
    NoModule {
        /// The file.
        name: String,
    },
}

/// Reads a module's file, compressed or not. The file's name is for modules that do not say
/// theirs, and for messages.
///
/// # Errors
/// [`ModInfoError`].
pub fn read(name: &Path, bytes: &[u8]) -> Result<ModInfo, ModInfoError> {
    let shown = || name.display().to_string();
    let bytes = unpacked(bytes, MAX_MODULE).map_err(|source| ModInfoError::Unpack {
        name: shown(),
        source,
    })?;
    let no_elf = |source| ModInfoError::Elf {
        name: shown(),
        source,
    };
    let file = object::File::parse(&*bytes).map_err(no_elf)?;
    let section = file.section_by_name(".modinfo");
    let Some(section) = section.filter(|_| file.format() == BinaryFormat::Elf) else {
        return Err(ModInfoError::NoModule { name: shown() });
    };
    let mut info = ModInfo::default();
    for word in words(section.data().map_err(no_elf)?) {
        info.take(&word);
    }
    if info.name.is_empty() {
        let stem = name.file_name().unwrap_or_default().to_string_lossy();
        info.name = underscored(stem.split('.').next().unwrap_or_default());
    }
    Ok(info)
}

/// What a module that is built in says of itself, from `modules.builtin.modinfo` of its kernel
/// (Linux 5.2 and later). `None` if it is not in there.
#[must_use]
pub fn built_in(modinfo: &[u8], name: &str) -> Option<ModInfo> {
    let name = underscored(name);
    let mut info = None;
    for word in words(modinfo) {
        if let Some((module, word)) = word.split_once('.')
            && underscored(module) == name
        {
            let info = info.get_or_insert_with(ModInfo::default);
            info.take(word);
            info.name.clone_from(&name);
        }
    }
    info
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

fn words(section: &[u8]) -> impl Iterator<Item = String> {
    section
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
}

impl ModInfo {
    /// The parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }

    fn take(&mut self, word: &str) {
        let Some((key, value)) = word.split_once('=') else {
            return;
        };
        match key {
            "name" => self.name = underscored(value),
            "alias" => self.aliases.push(value.to_owned()),
            "vermagic" => self.vermagic = Some(value.to_owned()),
            "depends" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                self.depends.extend(names.map(str::to_owned));
            }
            "parm" | "parmtype" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                let value = Some(value.to_owned()).filter(|value| !value.is_empty());
                let parameter = self.parameter_mut(name);
                match key {
                    "parm" => parameter.description = value,
                    _ => parameter.kind = value,
                }
            }
            _ => {}
        }
    }

    fn parameter_mut(&mut self, name: &str) -> &mut Parameter {
        let known = self.parameters.iter().position(|known| known.name == name);
        let index = known.unwrap_or(self.parameters.len());
        if known.is_none() {
            self.parameters.push(Parameter {
                name: name.to_owned(),
                description: None,
                kind: None,
            });
        }
        &mut self.parameters[index]
    }
}
