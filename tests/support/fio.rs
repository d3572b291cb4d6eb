use std::process::Command;

use crate::judge::Judge;

/// fio, that writes a part of an export and verifies what it has written. Of options that are
/// given twice it takes the last.
#[must_use]
pub fn verifying_fio(fio: &Judge, uri: &str, options: &[&str]) -> Command {
    let mut command = fio.command();
    command
        .args([
            "--name=job",
            "--ioengine=nbd",
            "--rw=randrw",
            "--bs=4k",
            "--iodepth=4",
        ])
        .args([
            "--verify=crc32c",
            "--verify_fatal=1",
            "--verify_state_save=0",
            "--output-format=terse",
        ])
        .arg(format!("--uri={uri}"))
        .args(options);
    command
}
