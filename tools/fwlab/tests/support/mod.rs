//! What several tests need.

use std::io::Write as _;
use std::process::Command;
use std::thread;

use fwlab::vm::{GuestSpec, Kernel, Qemu};

/// Tells the user, past the harness's capture.
pub(crate) fn tell(line: &str) {
    // One call, so that the lines of two tests do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A guest to be, or the word that there is none to be had.
pub(crate) fn spec() -> Option<GuestSpec> {
    let found = Qemu::find(None).and_then(|qemu| Ok((qemu, Kernel::find(None)?)));
    let missing = match found {
        Ok((qemu, kernel)) if runs("busybox", "true") && runs("xz", "--version") => {
            return Some(GuestSpec::new(qemu, kernel));
        }
        Ok(_) => "busybox or xz is missing: apt-get install busybox-static xz-utils".to_owned(),
        Err(error) => format!("{error}; tools/fwlab/vm/prepare fetches both"),
    };
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    tell(&format!("skipped {test}: {missing}"));
    None
}

fn runs(program: &str, argument: &str) -> bool {
    let output = Command::new(program).arg(argument).output();
    output.is_ok_and(|output| output.status.success())
}
