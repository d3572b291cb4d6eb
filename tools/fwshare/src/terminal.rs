//! A line on the terminal that lives: the last one of standard error, drawn anew in its place.
//!
//! Whatever else is printed takes it away first and brings it back afterwards, so neither is torn.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::unistd::{getpgrp, tcgetpgrp};

/// To the first column, and away with what is in the line.
const CLEAR: &str = "\r\x1b[K";

/// What is drawn in the last line now. Empty: nothing.
static DRAWN: Mutex<String> = Mutex::new(String::new());

fn lock() -> MutexGuard<'static, String> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There is nobody to tell if that fails.
fn draw(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints something, of whole lines, on standard output or error.
pub(crate) fn beside_the_live_line<T>(print: impl FnOnce() -> T) -> T {
    let drawn = lock();
    if drawn.is_empty() {
        return print();
    }
    draw(CLEAR);
    let printed = print();
    draw(&drawn);
    printed
}

/// Where log lines go: to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        beside_the_live_line(|| io::stderr().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line, until it is dropped. There is one at most.
#[derive(Debug)]
pub(crate) struct LiveLine(());

impl LiveLine {
    /// `None` where standard error is no terminal, or one that cannot draw.
    pub(crate) fn new() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        (io::stderr().is_terminal() && !is_dumb).then_some(Self(()))
    }

    /// Draws it, as much as fits; not while the terminal is somebody else's, as a shell's is that
    /// has put this process into the background.
    pub(crate) fn show(&self, text: &str) {
        if !is_ours() {
            // What is in the last line now is the shell's, too.
            lock().clear();
            return;
        }
        let columns = terminal_size::terminal_size_of(io::stderr());
        let columns = columns.map_or(80, |(width, _)| usize::from(width.0));
        let text = fit(text, columns);
        let mut drawn = lock();
        if *drawn != text {
            draw(&format!("{CLEAR}{text}"));
            *drawn = text;
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        let mut drawn = lock();
        if !drawn.is_empty() {
            draw(CLEAR);
            drawn.clear();
        }
    }
}

/// Whether this process is in the foreground of the terminal.
fn is_ours() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground == getpgrp())
}

/// What fits into so many columns, but for the last one: some terminals begin a new line there.
fn fit(text: &str, columns: usize) -> String {
    text.chars().take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut_before_the_last_column() {
        assert_eq!(fit("äbcd", 5), "äbcd");
        assert_eq!(fit("äbcd", 4), "äbc");
        assert_eq!(fit("abc", 0), "");
    }
}
