//! GRUB: what grub-mkconfig is told, what it has made of it, and grubenv.

use std::path::Path;

use shlex::bytes::Shlex;

use super::{Collector, Reader, join, numbered, version};
use crate::notice::{Oddity, Place};

/// Variables with this at the start are command lines.
const VARIABLE: &str = "GRUB_CMDLINE_LINUX";

/// Where GRUB is told what to do, by distribution.
const FOLDERS: [&str; 2] = ["/boot/grub", "/boot/grub2"];

/// Nobody has as many, and they are compared with each other.
const MAX_ASSIGNMENTS: usize = 1000;

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
        let mut rest = text.as_str();
        let mut number = 1_u32;
        while !rest.is_empty() && self.0.len() < MAX_ASSIGNMENTS {
            let mut taken = 1;
            let line = rest.trim_start_matches([' ', '\t']);
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.starts_with(VARIABLE) {
                let mut words = Shlex::new(line.as_bytes());
                let word = words.next();
                if words.had_error {
                    lines.odd(file, Some(number), Oddity::Quote);
                    return;
                }
                let past = words.line_no.saturating_sub(1).max(1);
                taken = u32::try_from(past).unwrap_or(u32::MAX);
                let place = Place {
                    file: file.to_owned(),
                    line: number,
                    last_line: number.saturating_add(taken - 1),
                };
                self.assign(&word.unwrap_or_default(), place);
            }
            for _ in 0..taken {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            }
            number = number.saturating_add(taken);
        }
    }

    fn assign(&mut self, word: &[u8], place: Place) {
        let word = String::from_utf8_lossy(word);
        let Some((name, value)) = word.split_once('=') else {
            return;
        };
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
            place,
        });
    }
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
