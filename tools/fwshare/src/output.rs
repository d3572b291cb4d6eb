//! What is printed on standard output.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::{Exit, Failure};
use crate::journal::{self, Priority};
use crate::terminal;

/// Writes to standard output, at once. A reader that has seen enough and closes its end is no
/// error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    offer(text).map(drop)
}

/// Writes to standard output, at once. Whether anybody still reads.
pub(crate) fn offer(text: &str) -> Result<bool, Failure> {
    let written = terminal::beside_the_live_line(|| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            Exit::Error,
            format!("cannot write the result: {error}"),
        )),
    }
}

/// Writes one object to standard output.
pub(crate) fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(object);
    let text = text.map_err(|error| {
        Failure::new(
            Exit::Error,
            format!("cannot write the result as JSON: {error}"),
        )
    })?;
    print(&format!("{text}\n"))
}

/// Writes to standard error, or to the journal behind it. There is nobody to tell if that fails.
pub(crate) fn complain(text: &str) {
    complain_with(Priority::Notice, text);
}

/// The same, of the failure for which the process ends.
pub(crate) fn complain_of_error(text: &str) {
    complain_with(Priority::Error, text);
}

fn complain_with(priority: Priority, text: &str) {
    let text = harmless(text);
    if !journal::say(priority, &text) {
        let text = format!("{text}\n");
        let _ = terminal::beside_the_live_line(|| io::stderr().write_all(text.as_bytes()));
    }
}

/// The text without what a terminal would obey: it may be somebody else's, out of a file.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\n' | '\t' => letter,
        _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
        _ => letter,
    };
    text.chars().map(shown).collect()
}

/// Columns that are as wide as what is in them.
pub(crate) struct Table<const N: usize> {
    rows: Vec<Row<N>>,
}

enum Row<const N: usize> {
    Cells([String; N]),
    /// A line below a row, indented.
    Note(String),
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(titles: [&str; N]) -> Self {
        Self {
            rows: vec![Row::Cells(titles.map(str::to_owned))],
        }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a line below the last row. An empty one is left out.
    pub(crate) fn note(&mut self, note: String) {
        if !note.is_empty() {
            self.rows.push(Row::Note(note));
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.chars().count().max(*width);
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let line = match row {
                Row::Note(note) => format!("  {note}"),
                Row::Cells(cells) => {
                    let cells = cells.iter().zip(widths);
                    let padded: Vec<_> = cells
                        .map(|(cell, width)| format!("{cell:width$}"))
                        .collect();
                    padded.join("  ")
                }
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks() {
        let mut table = Table::new(["A", "LONG", "C"]);
        table.row(["wide".into(), "x".into(), String::new()]);
        table.note("more of it".into());
        table.note(String::new());
        assert_eq!(table.render(), "A     LONG  C\nwide  x\n  more of it\n");
    }
}
