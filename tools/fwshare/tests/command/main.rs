//! The command as a user meets it: its exit codes, what it says, and what it leaves alone.

mod control;
mod errors;
mod nbd;
mod support;
mod terminal;
mod verbs;
