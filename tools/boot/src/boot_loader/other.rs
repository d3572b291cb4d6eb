//! LILO, extlinux and syslinux, and the Raspberry Pi.

use std::path::Path;

use super::{Collector, Reader, numbered, version};
use crate::kernels::Version;
use crate::notice::Place;

/// Where extlinux and syslinux are told what to do.
const SYSLINUX: [&str; 4] = [
    "/boot/extlinux/extlinux.conf",
    "/boot/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/boot/efi/EFI/syslinux/syslinux.cfg",
];

pub(super) fn find(lines: &mut Collector<'_>) {
    let lilo = Path::new("/etc/lilo.conf");
    if let Some(text) = lines.read(lilo) {
        self::lilo(lines, lilo, &text);
    }
    for file in SYSLINUX.map(Path::new) {
        if let Some(text) = lines.read(file) {
            syslinux(lines, file, &text);
        }
    }
    for file in ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"] {
        lines.whole(file, Reader::RaspberryPi);
    }
}

fn lilo(lines: &mut Collector<'_>, file: &Path, text: &str) {
    let mut kernel: Option<Version> = None;
    for (number, line) in numbered(text) {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim();
        let value = match value.strip_prefix('"') {
            Some(inside) => inside.strip_suffix('"').unwrap_or(inside),
            None => value,
        };
        match key.trim_end() {
            "image" => kernel = version(value),
            "append" | "addappend" | "literal" => {
                let place = Place::new(file, number);
                lines.push(place, value.to_owned(), kernel.clone(), Reader::Lilo);
            }
            _ => {}
        }
    }
}

fn syslinux(lines: &mut Collector<'_>, file: &Path, text: &str) {
    // Which of LABEL's lines comes first is left to who writes it.
    let mut kernel: Option<Version> = None;
    let mut waiting: Vec<(Place, String)> = Vec::new();
    for (number, line) in numbered(text) {
        let Some((key, value)) = line.split_once([' ', '\t']) else {
            continue;
        };
        match key.to_ascii_lowercase().as_str() {
            "label" => {
                for (place, text) in waiting.drain(..) {
                    lines.push(place, text, kernel.clone(), Reader::Syslinux);
                }
                kernel = None;
            }
            "kernel" | "linux" => kernel = version(value.trim()),
            "append" => waiting.push((Place::new(file, number), value.trim().to_owned())),
            _ => {}
        }
    }
    for (place, text) in waiting {
        lines.push(place, text, kernel.clone(), Reader::Syslinux);
    }
}
