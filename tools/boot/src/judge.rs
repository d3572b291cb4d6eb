//! Programs that judge in tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

/// A program's path. `None`, and the user is told, if it is not installed.
///
/// # Panics
/// If it is missing in CI (the variable `CI` is set).
pub(crate) fn judge(program: &str, package: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    let mut folders = folders.into_iter().chain(env::split_paths(&path));
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()));
    if found.is_none() {
        assert!(
            env::var_os("CI").is_none(),
            "{program} is missing: apt-get install {package}"
        );
        let test = thread::current();
        let test = test.name().unwrap_or("a test").to_owned();
        // Past the capture of the test harness.
        let line = format!("skipped {test}: needs {program} (Debian package {package})\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found
}

/// What a program makes of its input, in a folder.
pub(crate) fn filter(program: &Path, arguments: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // One that ends early does not read all, and says why in its own way.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?}: {said}");
    output.stdout
}

/// What udev makes of a device that is added, in a machine of its own.
pub(crate) fn udevadm(folder: &Path, device: &str) -> Option<String> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !nix::unistd::geteuid().is_root() || !is_there("udevadm") || !is_there("unshare") {
        let needed = "needs root, unshare and udevadm (Debian packages util-linux and udev)";
        assert!(env::var_os("CI").is_none(), "this test {needed}");
        // Not by a macro, whose words the harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {needed}");
        return None;
    }
    let script = "mount --bind \"$1/sys\" /sys && mount --bind \"$1/run\" /run && \
                  mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && \
                  exec udevadm test --action=add \"$2\" 2>&1";
    // Without the variable it takes a disk only from a real sysfs.
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(folder)
        .arg(device)
        .env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0")
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
