//! GRUB: what grub-mkconfig is told, what it has made of it, and grubenv.

use std::path::Path;

use super::{Collector, Reader, join, numbered, version};
use crate::notice::{Oddity, Place};

/// Variables with this at the start are command lines.
const VARIABLE: &str = "GRUB_CMDLINE_LINUX";

/// Where GRUB is told what to do, by distribution.
const FOLDERS: [&str; 2] = ["/boot/grub", "/boot/grub2"];

/// Nobody has as many, and they are compared with each other.
const MAX_ASSIGNMENTS: usize = 1000;

/// How many lines an assignment may have. Whoever forgets a quote has more.
const MAX_LINES: usize = 100;

pub(super) fn find(lines: &mut Collector<'_>) {
    let mut variables = Variables::default();
    variables.read(lines, Path::new("/etc/default/grub"));
    for file in lines.files(Path::new("/etc/default/grub.d"), ".cfg") {
        variables.read(lines, &file);
    }
    for Assignment { place, value, .. } in variables.0 {
        lines.push(place, value, None, Reader::GrubMkconfig);
    }
    for folder in FOLDERS.map(Path::new) {
        let config = folder.join("grub.cfg");
        if let Some(text) = lines.read(&config) {
            for (number, line) in numbered(&text) {
                config_line(lines, Place::new(&config, number), line);
            }
        }
        let environment = folder.join("grubenv");
        if let Some(text) = lines.read(&environment) {
            for (number, line) in numbered(&text) {
                if let Some(value) = line.strip_prefix("kernelopts=") {
                    let place = Place::new(&environment, number);
                    lines.push(place, value.to_owned(), None, Reader::Grub);
                }
            }
        }
    }
}

/// The assignments that are in force at the end.
#[derive(Default)]
struct Variables(Vec<Assignment>);

struct Assignment {
    name: String,
    value: String,
    place: Place,
}

impl Variables {
    fn read(&mut self, lines: &mut Collector<'_>, file: &Path) {
        let Some(text) = lines.read(file) else {
            return;
        };
        let all: Vec<&str> = text.split('\n').collect();
        let mut at = 0;
        while let Some(line) = all.get(at)
            && self.0.len() < MAX_ASSIGNMENTS
        {
            let line = line.trim_start();
            let is_assignment = line.strip_prefix("export ").unwrap_or(line);
            if !is_assignment.trim_start().starts_with(VARIABLE) {
                at += 1;
                continue;
            }
            let number = |index: usize| u32::try_from(index + 1).unwrap_or(u32::MAX);
            let Some((words, lines_taken)) = words(all.get(at..).unwrap_or_default()) else {
                lines.odd(file, Some(number(at)), Oddity::Quote);
                return;
            };
            for word in words {
                let place = Place {
                    file: file.to_owned(),
                    line: number(at),
                    last_line: number(at + lines_taken - 1),
                };
                self.assign(&word, &place);
            }
            at += lines_taken;
        }
    }

    fn assign(&mut self, word: &[u8], place: &Place) {
        let word = String::from_utf8_lossy(word);
        let Some((name, value)) = word.split_once('=') else {
            return;
        };
        if !name.starts_with(VARIABLE) {
            return;
        }
        let (name, adds) = match name.strip_suffix('+') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let is_kept =
            adds || value.contains(&format!("${{{name}}}")) || value.contains(&format!("${name}"));
        if !is_kept {
            self.0.retain(|assignment| assignment.name != name);
        }
        self.0.push(Assignment {
            name: name.to_owned(),
            value: value.to_owned(),
            place: place.clone(),
        });
    }
}

/// The words of a line, with those that it goes on in, and how many lines that are. `None` if a
/// quote is not closed.
fn words(lines: &[&str]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut text = String::new();
    for (line, count) in lines.iter().zip(1..=MAX_LINES) {
        text.push_str(line);
        if let Some(words) = shlex::bytes::split(text.as_bytes()) {
            return Some((words, count));
        }
        text.push('\n');
    }
    None
}

fn config_line(lines: &mut Collector<'_>, place: Place, line: &str) {
    let Some(command) = line.split([' ', '\t']).next() else {
        return;
    };
    let is_linux = matches!(command, "linux" | "linux16" | "linuxefi");
    // Under Xen the kernel is a module.
    let is_module = matches!(command, "module" | "module2");
    if !is_linux && !is_module && command != "set" {
        return;
    }
    let Some(words) = shlex::bytes::split(line.as_bytes()) else {
        lines.odd(&place.file, Some(place.line), Oddity::Quote);
        return;
    };
    let Some((path, arguments)) = words.get(1..).and_then(<[_]>::split_first) else {
        return;
    };
    let path = String::from_utf8_lossy(path);
    if command == "set" {
        if let Some(value) = path.strip_prefix("kernelopts=") {
            lines.push(place, value.to_owned(), None, Reader::Grub);
        }
        return;
    }
    let kernel = version(&path);
    if is_linux || kernel.is_some() {
        let text = join(arguments.iter().map(Vec::as_slice));
        lines.push(place, text, kernel, Reader::Grub);
    }
}
