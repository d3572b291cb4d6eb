//! Systems that are not ours: what is seen of their start, and how that ends.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpio::newc::{Builder, trailer};
use fwlab::vm::{Boot, Kernel, Qemu, VmError};

const LIMIT: Duration = Duration::from_secs(120);

/// An init as other systems have it: it knows nothing of who watches.
const INIT: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo \"$0 has $1\" > /started
exec sleep 1000
";

/// A system whose shell is busybox, and which is as long as an archive can be before another one.
fn boot(folder: &Path) -> Boot {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from);
    let busybox = busybox.iter().find(|path| path.exists()).expect("busybox");
    let mut image = Vec::new();
    let mut put = |name: &str, mode: u32, content: &[u8]| {
        let size = content.len().try_into().expect("a size");
        let mut file = Builder::new(name).mode(mode).write(&mut image, size);
        std::io::Write::write_all(&mut file, content).expect("content");
        file.finish().expect("a file");
    };
    for name in ["bin", "proc", "sys", "dev"] {
        put(name, 0o040_755, b"");
    }
    put(
        "bin/busybox",
        0o100_755,
        &fs::read(busybox).expect("busybox"),
    );
    for name in ["sh", "mount", "sleep", "cat"] {
        put(&format!("bin/{name}"), 0o120_777, b"busybox");
    }
    put("init", 0o100_755, INIT.as_bytes());
    trailer(&mut image).expect("an end");
    // No image has to end where another archive may begin.
    image.push(0);
    let path = folder.join("image");
    fs::write(&path, image).expect("an image");
    let kernel = Kernel::find(None).expect("a kernel");
    Boot::new(Qemu::find(None).expect("a QEMU"), &kernel.image, &path)
}

#[test]
fn a_start_is_watched_and_goes_on_as_if_nobody_did() {
    if support::spec().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let boot = boot(folder.path()).kernel_argument("single");
    let script =
        "until [ -e /started ]; do sleep 1; done; cat /started; cat /proc/1/comm; cat /no/such";
    let said = boot.observe(script, LIMIT).expect("an end");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..2], ["/init has single", "sleep"], "{said}");
    assert!(lines[2].contains("/no/such"), "{said}");
}

#[test]
fn a_start_that_is_not_seen_to_its_end_is_an_error_with_its_last_words() {
    if support::spec().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let boot = boot(folder.path());
    let crash = "echo before; echo c > /proc/sysrq-trigger; sleep 1000";
    let error = boot
        .clone()
        .kernel_argument("panic=-1")
        .observe(crash, LIMIT);
    let error = error.expect_err("a kernel that has crashed");
    assert!(matches!(error, VmError::Ended { .. }), "{error}");
    for word in ["before", "sysrq"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = boot.observe("sleep 1000", Duration::from_secs(5));
    let error = error.expect_err("a script without end");
    assert!(matches!(error, VmError::TimedOut { .. }), "{error}");
}

#[test]
fn what_cannot_be_started_is_named() {
    if support::spec().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let boot = boot(folder.path());
    let error = boot
        .clone()
        .controller(Path::new("/no/such"))
        .observe("", LIMIT);
    let said = error.expect_err("no controller").to_string();
    assert!(said.starts_with("no controller at /no/such: "), "{said}");
    fs::remove_file(folder.path().join("image")).expect("no image");
    let said = boot.observe("", LIMIT).expect_err("no image").to_string();
    assert!(said.contains("/image: No such file"), "{said}");
}
