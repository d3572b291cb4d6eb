//! A system to work on.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use fwshare_tests::{Said, judge, needs_root, skipped};
use tempfile::TempDir;

const REMEDY: &str = "tests/systems/prepare makes it";

/// A copy of one of the systems that `prepare` makes. Gone when dropped.
pub(crate) struct System {
    folder: TempDir,
    /// The release of its kernel.
    pub(crate) kernel: String,
}

impl System {
    /// Copies a system. `None` means: skip the test, the user has been told.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !needs_root() {
            return None;
        }
        let cp = judge("cp")?;
        for program in ["chroot", "diff", "ldd", "unshare"] {
            judge(program)?;
        }
        let tree = cache().join(name).join("tree");
        if !tree.is_dir() {
            let why = format!("no system {name} in {}; {REMEDY}", cache().display());
            // It moves: there are days on which it cannot be installed.
            let may_be_missing = name.starts_with("testing-");
            assert!(may_be_missing || env::var_os("CI").is_none(), "{why}");
            skipped(&why);
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        cp.run([
            "-a".as_ref(),
            "--reflink=auto".as_ref(),
            tree.as_os_str(),
            folder.path().as_os_str(),
        ]);
        let kernels = fs::read_dir(tree.join("usr/lib/modules")).expect("modules");
        let mut names = kernels.map(|entry| entry.expect("an entry").file_name());
        let kernel = names.next().expect("a kernel").into_string();
        Some(Self {
            folder,
            kernel: kernel.expect("a release"),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// A file of it, by its path there.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// The kernel's own file.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.at(&format!("/boot/vmlinuz-{}", self.kernel))
    }

    /// Its image for early boot.
    pub(crate) fn image(&self) -> PathBuf {
        self.at(&self.image_name())
    }

    /// The path of that image in the system.
    pub(crate) fn image_name(&self) -> String {
        format!("/boot/initrd.img-{}", self.kernel)
    }

    /// Which tool makes its images.
    pub(crate) fn has_dracut(&self) -> bool {
        self.at("/usr/bin/dracut").exists()
    }

    /// Runs commands of the shell in the system. None of them may fail.
    pub(crate) fn sh(&self, script: &str) -> String {
        let said = self.run(["/bin/sh", "-euc", script]);
        assert!(said.success(), "{said}");
        said.stdout
    }

    /// Has its own tool make the image anew, as it does for a new kernel.
    pub(crate) fn rebuild(&self) {
        let (image, kernel) = (self.image_name(), &self.kernel);
        self.sh(&match self.has_dracut() {
            true => format!("dracut --force {image} {kernel}"),
            false => format!("update-initramfs -u -k {kernel}"),
        });
    }

    /// Runs a program in the system, as its root, with /proc, /sys and /dev. These are gone with it.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = A>) -> Said {
        let unshare = judge("unshare").expect("was there a moment ago");
        let mut process = unshare.command();
        process
            .args(["--mount", "--propagation", "private", "sh", "-euc", ENTER])
            .arg(self.path())
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        fwshare_tests::run(&mut process, &[])
    }
}

/// Becomes a program in the tree.
const ENTER: &str = r#"
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sysfs "$0/sys"
mount --rbind /dev "$0/dev"
exec chroot "$0" "$@"
"#;

/// Where `prepare` puts systems.
fn cache() -> PathBuf {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(folder) = named("FWSHARE_SYSTEMS") {
        return folder.into();
    }
    let home = || Some(PathBuf::from(named("HOME")?).join(".cache"));
    let base = named("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_default().join("fwshare/systems")
}
