//! `fwshare setup-initramfs`, from outside of a system and from inside.

use std::fs;
use std::path::Path;

use fwshare_tests::{Said, fwshare, judge, run};

use crate::system::System;

/// The file of options, as it is to reach the image.
pub(crate) const OPTIONS: &str = "/etc/modprobe.d/fwshare.conf";
/// Where the command is put in a system that is to run it.
const INSIDE: &str = "/opt/fwshare";

/// Runs the command on the system's tree.
pub(crate) fn from_outside(system: &System, arguments: &[&str]) -> Said {
    let mut command = fwshare();
    command
        .args(["setup-initramfs", "--root"])
        .arg(system.path());
    run(command.args(arguments), &[])
}

/// Runs the command in the system, as on one that runs.
pub(crate) fn from_inside(system: &System, arguments: &[&str]) -> Said {
    let folder = system.at(INSIDE);
    if !folder.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        let program = fwshare();
        put_with_libraries(Path::new(program.get_program()), &folder);
    }
    // With the libraries that it was built for: the system may be older than this machine.
    let loader = format!("{INSIDE}/ld-linux-x86-64.so.2");
    let program = format!("{INSIDE}/fwshare");
    let command = [
        &loader,
        "--library-path",
        INSIDE,
        &program,
        "setup-initramfs",
    ];
    system.run(command.iter().chain(arguments))
}

/// It has done all that was asked.
#[track_caller]
pub(crate) fn done(said: &Said) {
    assert!(said.success(), "{said}");
}

fn put_with_libraries(program: &Path, folder: &Path) {
    let copy = |from: &Path| {
        let name = from.file_name().expect("a name");
        fs::copy(from, folder.join(name)).expect("a copy");
    };
    copy(program);
    let ldd = judge("ldd").expect("was there a moment ago");
    let said = ldd.run([program]);
    for word in said.stdout.split_whitespace() {
        if word.starts_with('/') {
            copy(Path::new(word));
        }
    }
}
