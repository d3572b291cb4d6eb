//! What becomes of a module that is asked for.

use super::arguments::{Parameter, split};
use super::boolean::Bool;
use super::command_line::CommandLine;
use super::config::{Config, Line};
use super::directive::Directive;
use super::pattern::matches;
use super::sources::Dialect;
use super::{normalise, shown};
use crate::notice::Place;

/// How a module is asked for. It makes a difference to aliases, options and blacklists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By<'a> {
    /// `modprobe NAME`: the module's own name, or an alias that somebody types.
    Name(&'a str),
    /// By what udev reads of a device, such as [`super::SBP2_UNIT`]. The kernel's modules.alias
    /// is taken to lead from there to the module.
    Modalias(&'a str),
    /// Another module needs it.
    Dependency,
}

/// What becomes of a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is loaded, if the kernel has it and takes the parameters.
    Loaded {
        /// What is passed to it. Of the same parameter the last one counts.
        parameters: Vec<Parameter>,
    },
    /// It is not loaded: a `blacklist` line, or `modprobe.blacklist=` of the kernel's command line.
    Blacklisted {
        /// Whose line.
        place: Place,
    },
    /// A command is run instead.
    Install {
        /// For a shell.
        command: String,
        /// Whose line.
        place: Place,
        /// A `softdep` line for the module. If one of its modules is there, kmod passes over the
        /// command and loads the module.
        softdep: Option<Place>,
    },
    /// An alias leads elsewhere, `alias sbp2 off` for one.
    Diverted {
        /// Where to, in words of the configuration.
        to: Vec<String>,
        /// Whose line.
        place: Place,
    },
    /// The kernel refuses it, whoever asks: `module_blacklist=` of its command line.
    Refused {
        /// Whose line.
        place: Place,
    },
}

/// What a boolean parameter is set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting<'a> {
    /// The value. If one of several is invalid, it is that one: the module is not loaded.
    pub value: Bool,
    /// What sets it.
    pub parameter: &'a Parameter,
}

impl Outcome {
    /// The parameters that are passed, none if the module is not loaded.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        match self {
            Self::Loaded { parameters } => parameters,
            _ => &[],
        }
    }

    /// What a boolean parameter is set to. `None` if it is left alone.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<Setting<'_>> {
        setting(self.parameters(), name)
    }
}

/// What a boolean parameter is set to by these.
pub(super) fn setting<'a>(parameters: &'a [Parameter], name: &str) -> Option<Setting<'a>> {
    let settings = parameters
        .iter()
        .filter(|parameter| parameter.is(name))
        .map(|parameter| Setting {
            value: parameter.as_bool(),
            parameter,
        });
    let mut last = None;
    for setting in settings {
        last = Some(setting);
        if setting.value == Bool::Invalid {
            break;
        }
    }
    last
}

impl Config {
    /// What becomes of a module, by the files alone. See [`effective`].
    #[must_use]
    pub fn load(&self, module: &str, by: By<'_>) -> Outcome {
        effective(self, None, module, by)
    }
}

/// What becomes of a module, by the files and the kernel's command line. kmod reads that after
/// the files, so it wins; module-init-tools does not read it.
#[must_use]
pub fn effective(
    config: &Config,
    command_line: Option<&CommandLine>,
    module: &str,
    by: By<'_>,
) -> Outcome {
    let module = normalise(module.as_bytes()).unwrap_or_default();
    let line = command_line.filter(|_| config.dialect == Dialect::Kmod);
    let asked = match ask(config, &module, by) {
        Ok(asked) => asked,
        Err(outcome) => return outcome,
    };
    if asked.can_be_blacklisted
        && let Some(place) = blacklist(config, line, &module)
    {
        return Outcome::Blacklisted { place };
    }
    if let Some(place) = command_line.and_then(|line| line.refuses(&module)) {
        return Outcome::Refused { place };
    }
    if let Some((command, place)) = install(config, |pattern| matches(pattern, &module)) {
        return Outcome::Install {
            command: shown(command),
            place: place.clone(),
            softdep: softdep(config, &module),
        };
    }
    Outcome::Loaded {
        parameters: parameters(config, line, &module, asked.alias.as_deref()),
    }
}

/// A module that was asked for.
struct Asked {
    /// By which alias. Options of that name are passed, too.
    alias: Option<Vec<u8>>,
    can_be_blacklisted: bool,
}

/// What a name leads to: the module, or something else.
fn ask(config: &Config, module: &[u8], by: By<'_>) -> Result<Asked, Outcome> {
    let by_its_own_name = Asked {
        alias: None,
        can_be_blacklisted: false,
    };
    let (By::Name(name) | By::Modalias(name)) = by else {
        return Ok(by_its_own_name);
    };
    let name = normalise(name.as_bytes()).unwrap_or_default();
    let aliases = config
        .lines()
        .iter()
        .filter_map(|line| match &line.directive {
            Directive::Alias {
                name: pattern,
                module,
            } if matches(pattern, &name) => Some((pattern, module, &line.place)),
            _ => None,
        });
    let is_kmod = config.dialect == Dialect::Kmod;
    let mut elsewhere: Option<(Vec<String>, Place)> = None;
    for (pattern, target, place) in aliases {
        if target == module {
            let alias = if is_kmod { pattern.clone() } else { name };
            return Ok(Asked {
                alias: Some(alias),
                // module-init-tools asks its blacklists about the kernel's own aliases only.
                can_be_blacklisted: is_kmod,
            });
        }
        let (to, _) = elsewhere.get_or_insert_with(|| (Vec::new(), place.clone()));
        to.push(shown(target));
    }
    if let Some((to, place)) = elsewhere {
        return Err(Outcome::Diverted { to, place });
    }
    if name == module {
        return Ok(by_its_own_name);
    }
    // Commands are looked for before the kernel's aliases, and here the name is no pattern.
    if let Some((command, place)) = install(config, |pattern| pattern == name) {
        return Err(Outcome::Install {
            command: shown(command),
            place: place.clone(),
            softdep: softdep(config, &name),
        });
    }
    let removal = config.lines().iter().find(
        |line| matches!(&line.directive, Directive::Remove { module, .. } if *module == name),
    );
    if let Some(line) = removal.filter(|_| is_kmod) {
        return Err(Outcome::Diverted {
            to: vec![shown(&name)],
            place: line.place.clone(),
        });
    }
    Ok(Asked {
        alias: Some(name),
        can_be_blacklisted: true,
    })
}

fn blacklist(config: &Config, line: Option<&CommandLine>, module: &[u8]) -> Option<Place> {
    let in_files = config.lines().iter().find(
        |line| matches!(&line.directive, Directive::Blacklist { module: name } if name == module),
    );
    match in_files {
        Some(line) => Some(line.place.clone()),
        None => line?.blacklists(module),
    }
}

/// The command that counts: kmod takes the first, module-init-tools the last.
fn install(config: &Config, is: impl Fn(&[u8]) -> bool) -> Option<(&[u8], &Place)> {
    let mut commands = config
        .lines()
        .iter()
        .filter_map(|line| match &line.directive {
            Directive::Install { module, command } if is(module) => {
                Some((command.as_slice(), &line.place))
            }
            _ => None,
        });
    match config.dialect {
        Dialect::Kmod => commands.next(),
        Dialect::ModuleInitTools => commands.last(),
    }
}

fn softdep(config: &Config, name: &[u8]) -> Option<Place> {
    let first = config
        .lines()
        .iter()
        .find_map(|line| match &line.directive {
            Directive::Softdep { module, pre, post } if matches(module, name) => {
                Some((pre.is_empty() && post.is_empty(), &line.place))
            }
            _ => None,
        });
    first.and_then(|(is_empty, place)| (!is_empty).then(|| place.clone()))
}

/// What is passed: one text of all lines, which the kernel then takes apart. A quote that is not
/// closed goes on into the next line's parameters.
fn parameters(
    config: &Config,
    command_line: Option<&CommandLine>,
    module: &[u8],
    alias: Option<&[u8]>,
) -> Vec<Parameter> {
    let of = |name: &[u8], line: &Line| match &line.directive {
        Directive::Options { module, text } if module == name => {
            Some((text.clone(), line.place.clone()))
        }
        _ => None,
    };
    let lines = config.lines().iter();
    let mut texts: Vec<(Vec<u8>, Place)> = match config.dialect {
        Dialect::Kmod => lines
            .filter_map(|line| of(module, line).or_else(|| of(alias?, line)))
            .collect(),
        // The last line comes first here, so that the first one wins.
        Dialect::ModuleInitTools => {
            let by_alias = lines.clone().rev().filter_map(|line| of(alias?, line));
            let by_name = lines.rev().filter_map(|line| of(module, line));
            by_alias.chain(by_name).collect()
        }
    };
    let given = command_line.into_iter().flat_map(CommandLine::options);
    texts.extend(given.filter_map(|(name, text, place)| {
        let is_meant = name == module || Some(name) == alias;
        is_meant.then(|| (text.to_vec(), place.clone()))
    }));
    let mut all = Vec::new();
    let mut starts = Vec::new();
    for (text, place) in texts {
        if !all.is_empty() {
            all.push(b' ');
        }
        starts.push((all.len(), place));
        all.extend_from_slice(&text);
    }
    let place = |at| {
        let next = starts.partition_point(|(start, _)| *start <= at);
        starts
            .get(next.checked_sub(1)?)
            .map(|(_, place)| place.clone())
    };
    split(&all)
        .into_iter()
        .filter_map(|argument| {
            let place = place(argument.start)?;
            Some(argument.at(place))
        })
        .collect()
}
