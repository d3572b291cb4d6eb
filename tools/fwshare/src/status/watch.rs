//! The status again and again.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use super::Shown;
use crate::cli::StatusArgs;
use crate::error::{Exit, Failure};
use crate::output;
use crate::signals::Stop;

/// To the upper left corner.
const HOME: &str = "\x1b[H";
/// Away with what is right of here in this line.
const CLEAR_LINE: &str = "\x1b[K";
/// Away with what is below.
const CLEAR_BELOW: &str = "\x1b[J";

/// Shows the status until a signal comes, or nobody reads it any more.
///
/// Logins may come and go meanwhile, but one has to be there at first: otherwise it is more likely
/// that the user has mistaken the target.
pub(super) fn run(args: &StatusArgs, interval: Duration) -> Result<(), Failure> {
    let stop = Stop::on_signals("a last look")?;
    let redraw = io::stdout().is_terminal() && !args.json;
    let mut shown = super::look(args)?;
    loop {
        let text = match args.json {
            true => json(&shown)?,
            false => text(args, &shown),
        };
        let text = match redraw {
            true => drawn(&text),
            false if args.json => text,
            false => text + "\n",
        };
        if !output::offer(&text)? || stop.wait(interval) {
            return Ok(());
        }
        shown = match super::look(args) {
            Ok(shown) => shown,
            Err(failure) if failure.code() == Exit::NothingFound as u8 => Shown {
                schema: 1,
                logins: Vec::new(),
            },
            Err(failure) => return Err(failure),
        };
    }
}

fn text(args: &StatusArgs, shown: &Shown) -> String {
    match shown.logins[..] {
        [] => "no login runs\n".to_owned(),
        _ => super::text(args, &shown.logins),
    }
}

/// One line.
fn json(shown: &Shown) -> Result<String, Failure> {
    let line = serde_json::to_string(shown).map_err(|error| {
        let message = format!("cannot write the result as JSON: {error}");
        Failure::new(Exit::Error, message)
    })?;
    Ok(line + "\n")
}

/// The text in the place of what is on the terminal, without a moment of nothing in between.
fn drawn(text: &str) -> String {
    let mut drawn = HOME.to_owned();
    for line in text.lines() {
        drawn += line;
        drawn += CLEAR_LINE;
        drawn.push('\n');
    }
    drawn + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_leaves_nothing_of_what_was_there() {
        assert_eq!(drawn("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
