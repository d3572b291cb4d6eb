//! A system to work on.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

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
        let (cp, _) = (judge("cp")?, judge("unshare")?);
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
        let system = |kernel| Self { folder, kernel };
        let kernel = fs::read_dir(tree.join("usr/lib/modules")).expect("modules");
        let mut kernel = kernel.map(|entry| entry.expect("an entry").file_name());
        let kernel = kernel.next().expect("a kernel");
        Some(system(kernel.into_string().expect("a release")))
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

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Runs commands of the shell in the system, as its root, with /proc, /sys and /dev. None of
    /// them may fail.
    pub(crate) fn sh(&self, script: &str) -> String {
        let said = in_tree(&self.path(), ["/bin/sh", "-euc", script]);
        assert!(said.success(), "{said}");
        said.stdout
    }
}

/// Runs a program with a tree as its root directory. What is mounted for it is gone with it.
pub(crate) fn in_tree<A: AsRef<OsStr>>(tree: &Path, command: impl IntoIterator<Item = A>) -> Said {
    let unshare = judge("unshare").expect("was there a moment ago");
    let mut process = unshare.command();
    process
        .args(["--mount", "--propagation", "private", "sh", "-euc"])
        .arg(
            "mount -t proc proc \"$0/proc\"
             mount -t sysfs -o ro sysfs \"$0/sys\"
             mount --rbind /dev \"$0/dev\"
             exec chroot \"$0\" \"$@\"",
        )
        .arg(tree)
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    fwshare_tests::run(&mut process, &[])
}

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
