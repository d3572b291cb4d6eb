//! QEMU: finding one that can, and what it is to be told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::accel::accelerator;
use super::error::VmError;
use super::files;

const PROGRAM: &str = "qemu-system-x86_64";
/// The first with vfio-user.
const OLDEST: (u32, u32) = (10, 1);
/// A kernel looks whether the timer interrupts, and panics if it does not for some milliseconds
/// ("IO-APIC + timer doesn't work!"). A machine in software may have had no processor meanwhile.
const ANY_TIMER: &str = "no_timer_check";

/// What every machine has.
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// The kernel's command line.
    pub(super) append: &'a str,
    /// In MiB.
    pub(super) memory: u32,
    /// The sockets of seats on a bus.
    pub(super) controllers: &'a [PathBuf],
}

/// A QEMU that knows vfio-user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qemu {
    program: PathBuf,
}

impl Qemu {
    /// Takes the one named, or finds one: in `PATH`, or else the private copy that `vm/prepare`
    /// makes.
    ///
    /// # Errors
    /// [`VmError::NoQemu`] with what was found instead.
    pub fn find(named: Option<&Path>) -> Result<Self, VmError> {
        if let Some(program) = named {
            return Self::checked(program).map_err(VmError::NoQemu);
        }
        let mut reasons = Vec::new();
        let private = files::cache().map(|cache| cache.join("qemu").join(PROGRAM));
        for program in files::program(PROGRAM).into_iter().chain(private) {
            match Self::checked(&program) {
                Ok(qemu) => return Ok(qemu),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(VmError::NoQemu(reasons.join("; ")))
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn checked(program: &Path) -> Result<Self, String> {
        let shown = program.display();
        let mut command = Command::new(program);
        let output = command.arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{shown}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = version(&said).ok_or_else(|| format!("{shown} does not tell its version"))?;
        if version < OLDEST {
            return Err(format!("{shown} is {}.{}", version.0, version.1));
        }
        Ok(Self {
            program: program.to_owned(),
        })
    }

    /// The command that runs a machine, but for its standard input and output, and its serial ports.
    pub(super) fn command(&self, machine: &Machine<'_>) -> Command {
        let mut command = Command::new(&self.program);
        let memory = machine.memory;
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-monitor", "none", "-no-reboot", "-name", machine.name])
            .args(["-smp", "1", "-m", &memory.to_string(), "-cpu", "max"])
            .args(["-accel", accelerator(self, machine.kernel)])
            // Shared, so that the controller gets at it.
            .arg("-object")
            .arg(format!(
                "memory-backend-memfd,id=memory,size={memory}M,share=on"
            ))
            .args(["-machine", "q35,memory-backend=memory"])
            .arg("-kernel")
            .arg(machine.kernel)
            .arg("-initrd")
            .arg(machine.initramfs)
            .args(["-append", &format!("{} {ANY_TIMER}", machine.append)]);
        for controller in machine.controllers {
            let device = serde_json::json!({
                "driver": "vfio-user-pci",
                "socket": { "type": "unix", "path": controller.to_string_lossy() },
            });
            command.arg("-device").arg(device.to_string());
        }
        command
    }
}

/// In QEMU's options a comma is written twice.
pub(super) fn comma(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The version in "QEMU emulator version 11.1.3 (…)".
fn version(said: &str) -> Option<(u32, u32)> {
    let rest = said.split("version ").nth(1)?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let debian = "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)\nCopyright";
        assert_eq!(version(debian), Some((11, 1)));
        assert_eq!(version("QEMU emulator version 9.2.0"), Some((9, 2)));
        assert!((10, 0) < OLDEST && (10, 1) >= OLDEST);
        assert_eq!(version("bash: no such thing"), None);
    }

    #[test]
    fn an_old_qemu_and_a_missing_one_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("qemu");
        std::fs::write(&old, "#!/bin/sh\necho QEMU emulator version 7.2.1\n").expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&old, mode).expect("a mode");
        let error = Qemu::find(Some(&old)).expect_err("too old").to_string();
        assert!(error.ends_with("qemu is 7.2"), "{error}");
        let missing = folder.path().join("missing");
        let error = Qemu::find(Some(&missing)).expect_err("missing").to_string();
        assert!(error.contains("missing: No such file"), "{error}");
    }
}
