//! `fwlab vm` and the controllers of `fwlab bus`, as their users have them.

mod bus;
mod command;
mod process;
mod shell;
#[path = "../support/mod.rs"]
mod support;
