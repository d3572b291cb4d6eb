//! kmod's rules, as kmod itself has them.

mod boolean;
mod bytes;
mod command_line;
mod files;
mod hints;
mod judge;
mod old;
mod pattern;
mod system;
mod table;
