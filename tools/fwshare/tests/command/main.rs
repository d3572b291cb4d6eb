//! The command as a user meets it: its exit codes, what it says, and what it leaves alone.

mod errors;
mod support;
mod verbs;
