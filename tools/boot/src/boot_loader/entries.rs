//! Entries of the Boot Loader Specification, and what kernel-install makes them of.

use std::path::Path;

use super::{BOOT, Collector, Reader, numbered, version};
use crate::notice::Place;

pub(super) fn find(lines: &mut Collector<'_>) {
    // The administrator's file is read instead of the distribution's.
    let mut files = ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"].into_iter();
    if let Some(file) = files.find(|file| matches!(lines.tree.is_file(Path::new(file)), Ok(true))) {
        lines.whole(file, Reader::KernelInstall);
    }
    for boot in BOOT.map(Path::new) {
        for file in lines.files(&boot.join("loader/entries"), ".conf") {
            let Some(text) = lines.read(&file) else {
                continue;
            };
            entry(lines, &file, &text);
        }
    }
}

fn entry(lines: &mut Collector<'_>, file: &Path, text: &str) {
    let field = |line: &str| {
        let (key, value) = line.split_once([' ', '\t'])?;
        Some((key.to_owned(), value.trim().to_owned()))
    };
    let fields = numbered(text).filter_map(|(number, line)| Some((number, field(line)?)));
    let fields: Vec<(u32, (String, String))> = fields.collect();
    let value = |name: &str| {
        let found = fields.iter().find(|(_, (key, _))| key == name);
        found.map(|(_, (_, value))| value.as_str())
    };
    let kernel = value("linux")
        .and_then(version)
        .or_else(|| value("version")?.parse().ok());
    for (number, (key, value)) in &fields {
        if key == "options" {
            let place = Place::new(file, *number);
            lines.push(place, value.clone(), kernel.clone(), Reader::Entry);
        }
    }
}
