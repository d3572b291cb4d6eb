//! What a line of modprobe.d says.

use super::normalise;
use super::sources::Dialect;

/// A line of modprobe.d. Names are as kmod compares them, with `_` for `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Directive {
    /// `alias NAME MODULE`: who asks for the name gets the module. The name may be a pattern.
    Alias {
        /// What is asked for.
        name: Vec<u8>,
        /// What is loaded.
        module: Vec<u8>,
    },
    /// `blacklist MODULE`: the module is not loaded for an alias.
    Blacklist {
        /// Which one.
        module: Vec<u8>,
    },
    /// `options MODULE …`: what is passed to the module.
    Options {
        /// Which one; or the alias that is asked for.
        module: Vec<u8>,
        /// The parameters, with blanks between them.
        text: Vec<u8>,
    },
    /// `install MODULE COMMAND`: what is run instead of loading the module.
    Install {
        /// Which one; it may be a pattern.
        module: Vec<u8>,
        /// For a shell.
        command: Vec<u8>,
    },
    /// `remove MODULE COMMAND`: what is run instead of unloading the module.
    Remove {
        /// Which one; it may be a pattern.
        module: Vec<u8>,
        /// For a shell.
        command: Vec<u8>,
    },
    /// `softdep MODULE pre: … post: …`: what is loaded before and after, if it is there.
    Softdep {
        /// Which one; it may be a pattern.
        module: Vec<u8>,
        /// The modules before.
        pre: Vec<Vec<u8>>,
        /// The modules after.
        post: Vec<Vec<u8>>,
    },
    /// `weakdep MODULE …`: for who makes an image; nothing is loaded by it.
    Weakdep {
        /// Which one.
        module: Vec<u8>,
    },
    /// `include FILE` of module-init-tools.
    Include {
        /// A file or a folder.
        path: Vec<u8>,
    },
}

/// Why a line is ignored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ignored {
    /// The first word is no command.
    Keyword(Vec<u8>),
    /// Something is missing behind the command, or brackets do not match.
    Incomplete(&'static str),
    /// `include` or `config`, which kmod knows but does not follow.
    Include,
}

/// Takes a line apart. `None` for an empty line or a comment.
pub(super) fn parse(line: &[u8], dialect: Dialect) -> Result<Option<Directive>, Ignored> {
    let is_comment = match dialect {
        Dialect::Kmod => line.starts_with(b"#"),
        Dialect::ModuleInitTools => line.trim_ascii_start().starts_with(b"#"),
    };
    if is_comment {
        return Ok(None);
    }
    let mut words = Words(line);
    let Some(command) = words.next() else {
        return Ok(None);
    };
    let directive = match command {
        b"alias" => words.name().and_then(|name| {
            let module = words.name()?;
            Some(Directive::Alias { name, module })
        }),
        b"blacklist" => words.name().map(|module| Directive::Blacklist { module }),
        b"options" => words.name_and_rest().map(|(module, rest)| {
            // The kernel would not take a tab for a blank in old times; kmod never passes one on.
            let text = rest.iter().map(|byte| match byte {
                b'\t' => b' ',
                other => *other,
            });
            let text = text.collect();
            Directive::Options { module, text }
        }),
        b"install" => words.name_and_rest().map(|(module, rest)| {
            let command = rest.to_vec();
            Directive::Install { module, command }
        }),
        b"remove" => words.name_and_rest().map(|(module, rest)| {
            let command = rest.to_vec();
            Directive::Remove { module, command }
        }),
        b"softdep" if dialect == Dialect::Kmod => words
            .name_and_rest()
            .map(|(module, rest)| softdep(module, rest)),
        b"weakdep" if dialect == Dialect::Kmod => words
            .name_and_rest()
            .map(|(module, _)| Directive::Weakdep { module }),
        b"include" if dialect == Dialect::ModuleInitTools => words.next().map(|path| {
            let path = path.to_vec();
            Directive::Include { path }
        }),
        b"include" | b"config" if dialect == Dialect::Kmod => return Err(Ignored::Include),
        other => return Err(Ignored::Keyword(other.to_vec())),
    };
    match directive {
        Some(directive) => Ok(Some(directive)),
        None => Err(Ignored::Incomplete(known(command))),
    }
}

fn known(command: &[u8]) -> &'static str {
    const COMMANDS: [&str; 8] = [
        "alias",
        "blacklist",
        "options",
        "install",
        "remove",
        "softdep",
        "weakdep",
        "include",
    ];
    let found = COMMANDS.into_iter().find(|name| name.as_bytes() == command);
    found.unwrap_or("it")
}

fn softdep(module: Vec<u8>, rest: &[u8]) -> Directive {
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    let mut list = None;
    for word in rest.split(u8::is_ascii_whitespace) {
        match word {
            b"" => {}
            b"pre:" => list = Some(&mut pre),
            b"post:" => list = Some(&mut post),
            name => {
                if let Some(list) = &mut list {
                    list.push(name.to_vec());
                }
            }
        }
    }
    Directive::Softdep { module, pre, post }
}

/// What is left of a line, word by word. Only blank and tab part words: a carriage return belongs
/// to one.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !is_blank(byte))?;
        let rest = self.0.get(start..)?;
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        // One blank ends the word. Others belong to what follows.
        self.0 = rest.get(1..).unwrap_or_default();
        Some(word)
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        self.next().and_then(normalise)
    }

    fn name_and_rest(&mut self) -> Option<(Vec<u8>, &'a [u8])> {
        let name = self.name()?;
        (!self.0.is_empty()).then_some((name, self.0))
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
