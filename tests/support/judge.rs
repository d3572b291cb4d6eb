use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::run::{Said, run};

/// The Debian package of each program that a test may ask for.
const PACKAGES: &[(&str, &str)] = &[
    ("badblocks", "e2fsprogs"),
    ("blockdev", "util-linux"),
    ("busybox", "busybox-static"),
    ("chroot", "coreutils"),
    ("cmp", "diffutils"),
    ("cp", "coreutils"),
    ("dd", "coreutils"),
    ("debugfs", "e2fsprogs"),
    ("diff", "diffutils"),
    ("e2fsck", "e2fsprogs"),
    ("fio", "fio"),
    ("fsck.ocfs2", "ocfs2-tools"),
    ("journalctl", "systemd"),
    ("kill", "procps"),
    ("ldd", "libc-bin"),
    ("losetup", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mount", "mount"),
    ("nbd-client", "nbd-client"),
    ("nbdcopy", "libnbd-bin"),
    ("nbdfuse", "libnbd-bin"),
    ("nbdinfo", "libnbd-bin"),
    ("nbdkit", "nbdkit"),
    ("nbdsh", "python3-libnbd"),
    ("qemu-img", "qemu-utils"),
    ("python3", "python3"),
    ("qemu-io", "qemu-utils"),
    ("sanlock", "sanlock"),
    ("sbd", "sbd"),
    ("sfdisk", "fdisk"),
    ("setpriv", "util-linux"),
    ("sg_decode_sense", "sg3-utils"),
    ("sg_inq", "sg3-utils"),
    ("sg_vpd", "sg3-utils"),
    ("systemctl", "systemd"),
    ("systemd-analyze", "systemd"),
    ("testlibraw", "libraw1394-tools"),
    ("tshark", "tshark"),
    ("udevadm", "udev"),
    ("umount", "mount"),
    ("unshare", "util-linux"),
    ("xfs_repair", "xfsprogs"),
    ("xz", "xz-utils"),
];

/// Where Debian puts programs, even if the user's `PATH` leaves some of it out. These come
/// first: a `python3` of the user's own, for one, lacks the packaged modules.
const FOLDERS: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// A program that judges.
#[derive(Clone, Debug)]
pub struct Judge {
    path: PathBuf,
}

/// Finds a program. `None` means: skip the test, the user has been told.
///
/// # Panics
///
/// In CI (the variable `CI` is set) if the program is missing, and anywhere if its package is
/// not in the list above.
#[must_use]
pub fn judge(program: &str) -> Option<Judge> {
    let package = PACKAGES
        .iter()
        .find_map(|(name, package)| (*name == program).then_some(package))
        .unwrap_or_else(|| panic!("{program}: add its Debian package to tests/support/judge.rs"));
    if let Some(path) = find(program) {
        return Some(Judge { path });
    }
    assert!(
        env::var_os("CI").is_none(),
        "{program} is missing: apt-get install {package}"
    );
    skipped(&format!("needs {program} (Debian package {package})"));
    None
}

/// Finds Python with a module of it, as [`judge`] finds a program.
///
/// # Panics
///
/// In CI if one of the two is missing.
#[must_use]
pub fn python_with(module: &str, package: &str) -> Option<Judge> {
    let python = judge("python3")?;
    if python.try_run(["-c", module]).success() {
        return Some(python);
    }
    assert!(
        env::var_os("CI").is_none(),
        "\"{module}\" fails: apt-get install {package}"
    );
    skipped(&format!("needs {package} (a Debian package)"));
    None
}

/// Whether this is root; if not, tells the user that the test is skipped.
///
/// # Panics
///
/// In CI, where the tests run as root.
#[must_use]
pub fn needs_root() -> bool {
    let said = Judge::of("id").run(["-u"]);
    let root = said.stdout.trim() == "0";
    if !root {
        assert!(env::var_os("CI").is_none(), "this test needs root");
        skipped("needs root");
    }
    root
}

/// Whether there is FUSE; if not, tells the user that the test is skipped.
///
/// # Panics
///
/// In CI, where there is.
#[must_use]
pub fn needs_fuse() -> bool {
    let fuse = Path::new("/dev/fuse").exists();
    if !fuse {
        assert!(env::var_os("CI").is_none(), "this test needs /dev/fuse");
        skipped("needs /dev/fuse (the kernel's FUSE driver)");
    }
    fuse
}

/// Tells the user, past the test harness's capture, that this test did not judge anything.
pub fn skipped(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // One call, so that the lines of two tests do not mix.
    let line = format!("skipped {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

impl Judge {
    fn of(program: &str) -> Self {
        Self {
            path: find(program).unwrap_or_else(|| panic!("{program} is missing")),
        }
    }

    /// Runs it, and ends the test with all that it said if it fails or takes too long.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Said {
        let said = self.try_run(arguments);
        assert!(said.success(), "{said}");
        said
    }

    /// Runs it, and lets the test judge its exit code. Taking too long still ends the test.
    pub fn try_run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Said {
        run(self.command().args(arguments), &[])
    }

    /// The same, with `input` on its standard input.
    pub fn try_run_with<A: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Said {
        run(self.command().args(arguments), input)
    }

    /// The program, to be given arguments and run with [`run`].
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        let rest = env::var_os("PATH").unwrap_or_default();
        let folders = FOLDERS.iter().map(PathBuf::from);
        if let Ok(path) = env::join_paths(folders.chain(env::split_paths(&rest))) {
            command.env("PATH", path);
        }
        // What it says is compared.
        command.env("LC_ALL", "C.UTF-8");
        command
    }
}
