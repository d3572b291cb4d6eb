//! Whether KVM works here.
//!
//! A `/dev/kvm` that can be opened does not say so: in some virtual machines KVM has to emulate
//! instructions that it cannot, and QEMU stops for good in the middle of the kernel's start. So
//! the kernel is started once, without a root file system, until it panics for want of that.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::qemu::Qemu;

/// With KVM the kernel panics after a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// What QEMU says as it stops for good.
const STUCK: &str = "KVM internal error";

/// QEMU's `-accel` for this machine. Found out once in a process, if there is anything to find out.
pub(super) fn accelerator(qemu: &Qemu, kernel: &Path) -> &'static str {
    static KVM: OnceLock<bool> = OnceLock::new();
    if *KVM.get_or_init(|| kvm_works(qemu, kernel)) {
        "kvm"
    } else {
        "tcg,thread=multi"
    }
}

fn kvm_works(qemu: &Qemu, kernel: &Path) -> bool {
    let kvm = File::options().read(true).write(true).open("/dev/kvm");
    if kvm.is_err() {
        return false;
    }
    let mut command = Command::new(qemu.program());
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-machine", "q35", "-m", "256"])
        .args(["-accel", "kvm", "-cpu", "max", "-append", "panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let (done, is_done) = mpsc::channel();
    if let Some(mut said) = child.stderr.take() {
        thread::spawn(move || {
            let (mut text, mut part) = (String::new(), [0; 256]);
            while let Ok(length @ 1..) = said.read(&mut part) {
                text.push_str(&String::from_utf8_lossy(&part[..length]));
                if text.contains(STUCK) {
                    break;
                }
            }
            // Nobody may wait any more.
            let _ = done.send(!text.contains(STUCK));
        });
    }
    let unstuck = is_done.recv_timeout(PATIENCE) == Ok(true);
    if !unstuck {
        let _ = child.kill();
    }
    let works = child.wait().is_ok_and(|status| status.success()) && unstuck;
    tracing::debug!(works, "KVM was tried");
    works
}
