//! kmod's rules: with which parameters a module is loaded, and by whose line.
//!
//! [`Config::read`] reads modprobe.d of a [`Tree`](crate::Tree) as `modprobe` and udev do; [`Config::load`]
//! says what becomes of a module, and [`effective`] the same with the kernel's command line, which
//! comes last and so beats the files. What kmod passes on is taken apart as the kernel does
//! ([`Parameter`], [`Bool`]).
//!
//! The rules were read in kmod 34's `libkmod-config.c`, `libkmod-module.c` and `libkmod.c`, those
//! of module-init-tools 3.3 in its `modprobe.c`; kmod itself judges them in the tests.

mod arguments;
mod boolean;
mod command_line;
mod config;
mod directive;
mod hints;
mod lines;
mod load;
mod pattern;
mod sources;
#[cfg(test)]
mod tests;

pub use arguments::Parameter;
pub use boolean::Bool;
pub use command_line::CommandLine;
pub use config::{Config, Line};
pub use directive::Directive;
pub use hints::{Hint, Why, hints};
pub use load::{By, Outcome, Setting, effective};
pub use sources::{Dialect, MAX_TOTAL, Source, State};

/// How udev asks for the driver of an SBP-2 logical unit. Vendor and model are anybody's; the
/// specifier and version of the unit are SBP-2's.
pub const SBP2_UNIT: &str = "ieee1394:ven00000000mo00000000sp0000609Ever00010483";

/// A module's name as kmod compares it: `-` is `_`, except in brackets. `None` if brackets do not
/// match, which kmod refuses.
fn normalise(name: &[u8]) -> Option<Vec<u8>> {
    let mut in_brackets = false;
    let mut normal = Vec::with_capacity(name.len());
    for &byte in name {
        normal.push(match byte {
            b'-' if !in_brackets => b'_',
            other => other,
        });
        match byte {
            b'[' => in_brackets = true,
            b']' if !in_brackets => return None,
            b']' => in_brackets = false,
            _ => {}
        }
    }
    (!in_brackets).then_some(normal)
}

/// Whether two names of modules or parameters are the same to the kernel.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
    one.iter().map(fold).eq(other.iter().map(fold))
}

/// Bytes for a message.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
