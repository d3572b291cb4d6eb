//! Small trees of systems, and what becomes of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::elf;

/// What every system has that is no concern of a test: it is left out where trees are compared.
const FURNITURE: [&str; 3] = ["/bin/busybox", "/bin/sh", "/etc/group"];

pub(crate) struct System {
    folder: TempDir,
}

/// What is at a path: type, mode, owner, and content or target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Thing {
    mode: u32,
    owner: (u32, u32),
    content: Vec<u8>,
    /// In seconds and nanoseconds; looked at only where nothing may be touched.
    modified: (i64, i64),
}

pub(crate) type Snapshot = BTreeMap<String, Thing>;

/// How the command ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn expect(self, code: i32, said: &[&str]) -> Self {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.code, code, "{all}");
        for text in said {
            assert!(all.contains(text), "no {text:?} in:\n{all}");
        }
        self
    }
}

impl System {
    /// A system of these files: `PATH=CONTENT`, `PATH/` for a folder, `PATH->TARGET` for a link,
    /// and `PATH*=CONTENT` for a program.
    pub(crate) fn new(files: &[&str]) -> Self {
        let system = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in [
            "/bin", "/dev", "/proc", "/sys", "/boot", "/etc", "/tmp", "/var/lib",
        ] {
            system.put(&format!("{folder}/"));
        }
        system.put("/etc/group=root:x:0:\ndisk:x:6:\n");
        let busybox = Path::new("/bin/busybox");
        if busybox.exists() {
            fs::hard_link(busybox, system.at("/bin/busybox"))
                .or_else(|_| fs::copy(busybox, system.at("/bin/busybox")).map(drop))
                .unwrap();
            symlink("busybox", system.at("/bin/sh")).unwrap();
        }
        for file in files {
            system.put(file);
        }
        system
    }

    pub(crate) fn top(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.top().join(path.trim_start_matches('/'))
    }

    pub(crate) fn put(&self, file: &str) {
        let parent = |path: &Path| fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some((path, target)) = file.split_once("->") {
            let path = self.at(path);
            parent(&path);
            symlink(target, path).unwrap();
            return;
        }
        let (path, content) = file.split_once('=').unwrap_or((file, ""));
        if path.ends_with('/') {
            fs::create_dir_all(self.at(path)).unwrap();
            return;
        }
        let (path, mode) = match path.strip_suffix('*') {
            Some(path) => (path, 0o755),
            None => (path, 0o644),
        };
        let path = self.at(path);
        parent(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A kernel with these modules, of which `firewire-sbp2` and `sbp2` have their parameters.
    pub(crate) fn kernel(self, version: &str, modules: &[&str]) -> Self {
        let folder = format!("/lib/modules/{version}");
        let mut dependencies = String::new();
        for module in modules {
            let parameters: &[&str] = match *module {
                "firewire-sbp2" => &["exclusive_login", "workarounds"],
                "sbp2" => &["exclusive_login", "serialize_io", "max_speed"],
                _ => &[],
            };
            let file = format!("kernel/drivers/{module}.ko");
            let path = self.at(&format!("{folder}/{file}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, elf::module(module, parameters)).unwrap();
            let needs = match *module {
                "firewire-sbp2" => " kernel/drivers/firewire-core.ko",
                "sbp2" => " kernel/drivers/ieee1394.ko",
                _ => "",
            };
            dependencies.push_str(&format!("{file}:{needs}\n"));
        }
        self.put(&format!("{folder}/modules.dep={dependencies}"));
        self.put(&format!("{folder}/modules.builtin="));
        self
    }

    /// One with today's stack as modules.
    pub(crate) fn today(self, version: &str) -> Self {
        self.kernel(
            version,
            &["firewire-core", "firewire-ohci", "firewire-sbp2", "sd_mod"],
        )
    }

    pub(crate) fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.at(path)).unwrap()).into_owned()
    }

    /// Everything in the tree.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut found = Snapshot::new();
        let mut folders = vec![self.top().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let inside = path.strip_prefix(self.top()).unwrap();
                let name = format!(
                    "/{}",
                    String::from_utf8_lossy(inside.as_os_str().as_bytes())
                );
                if FURNITURE.contains(&name.as_str()) {
                    continue;
                }
                let content = match () {
                    () if metadata.is_symlink() => fs::read_link(&path)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                    () if metadata.is_file() => fs::read(&path).unwrap(),
                    () => Vec::new(),
                };
                if metadata.is_dir() {
                    folders.push(path);
                }
                let thing = Thing {
                    mode: metadata.mode(),
                    owner: (metadata.uid(), metadata.gid()),
                    content,
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                };
                found.insert(name, thing);
            }
        }
        found
    }

    /// Runs the command on this system.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_as(&mut Command::new(env!("CARGO_BIN_EXE_fwshare")), arguments)
    }

    pub(crate) fn run_as(&self, command: &mut Command, arguments: &[&str]) -> Said {
        let verb = arguments
            .first()
            .copied()
            .filter(|word| !word.starts_with('-'));
        let output = command
            .arg(verb.unwrap_or("setup-initramfs"))
            .arg("--root")
            .arg(self.top())
            .args(&arguments[usize::from(verb.is_some())..])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// What has changed: `+PATH` is new, `-PATH` has gone, `PATH` is another.
pub(crate) fn changes(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut changes = Vec::new();
    for (path, thing) in after {
        match before.get(path) {
            None => changes.push(format!("+{path}")),
            Some(old) if !same(old, thing) => changes.push(path.clone()),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    changes.extend(gone.map(|path| format!("-{path}")));
    changes
}

fn same(old: &Thing, new: &Thing) -> bool {
    (old.mode, old.owner, &old.content) == (new.mode, new.owner, &new.content)
}

/// Whether a test can run a tool in a tree. If not, the user has been told.
pub(crate) fn can_build() -> bool {
    let busybox = Path::new(OsStr::new("/bin/busybox")).exists();
    let why = match () {
        () if !nix::unistd::geteuid().is_root() => "it needs root",
        () if !busybox => "it needs /bin/busybox (apt-get install busybox-static)",
        () => return true,
    };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    false
}
