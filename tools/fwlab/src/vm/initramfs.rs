//! The root file system of a guest, as the kernel unpacks it at its start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::iter::once;
use std::path::{Component, Path, PathBuf};

use cpio::newc::{Builder, trailer};

use super::error::VmError;
use super::files;
use super::modules::Modules;
use super::program::add_libraries;
use super::spec::GuestSpec;

/// What every guest needs to reach its host, beside what it is asked to have.
const CHANNEL: [&str; 6] = [
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "9pnet_virtio",
    "9p",
    "configfs",
];
const SYMBOLIC_LINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;

struct Entry {
    mode: u32,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Everything that is to be in it, by path.
#[derive(Default)]
struct Tree(BTreeMap<PathBuf, Entry>);

/// Writes the file system of this guest.
///
/// `shell` is for a guest that has one on its console, and does not listen to the host.
pub(super) fn write(spec: &GuestSpec, shell: bool, to: &Path) -> Result<(), VmError> {
    let mut tree = Tree::default();
    for (link, target) in [
        ("/bin", "usr/bin"),
        ("/sbin", "usr/sbin"),
        ("/lib", "usr/lib"),
        ("/lib64", "usr/lib64"),
        // The kernel calls it by this name.
        ("/usr/sbin/modprobe", "../bin/busybox"),
    ] {
        tree.put(link, SYMBOLIC_LINK, target);
    }
    for folder in ["proc", "sys", "dev", "etc", "usr/lib64", "usr/lib/busybox"] {
        tree.put(Path::new("/").join(folder), DIRECTORY, "");
    }
    // Busybox's init waits for processes whose parents have gone.
    tree.put("/init", SYMBOLIC_LINK, "usr/bin/busybox");
    tree.put("/etc/inittab", PLAIN, "::sysinit:/etc/fwlab/start\n");
    tree.put("/etc/fwlab/start", PROGRAM, include_str!("start.sh"));
    tree.put("/etc/passwd", PLAIN, "root:x:0:0:root:/root:/bin/sh\n");
    tree.put("/etc/group", PLAIN, "root:x:0:\n");
    tree.put("/etc/fwlab/settings", PLAIN, settings(spec, shell).as_str());
    let modules: String = spec.modules.iter().map(|line| format!("{line}\n")).collect();
    tree.put("/etc/fwlab/modules", PLAIN, modules.as_str());
    add_programs(spec, &mut tree)?;
    add_modules(spec, &mut tree)?;
    for place in &spec.files {
        tree.add_file(&place.from, &place.to)?;
    }
    let failed = |error| VmError::Os {
        what: to.display().to_string(),
        error,
    };
    let mut file = BufWriter::new(File::create(to).map_err(failed)?);
    tree.write(&mut file).map_err(failed)?;
    file.flush().map_err(failed)
}

fn settings(spec: &GuestSpec, shell: bool) -> String {
    let address = match spec.network {
        Some(_) => format!("10.87.0.{}", spec.number),
        None => String::new(),
    };
    let shell = if shell { "yes" } else { "" };
    format!("name={}\naddress={address}\nshell={shell}\n", spec.name())
}

fn add_programs(spec: &GuestSpec, tree: &mut Tree) -> Result<(), VmError> {
    let mut libraries = BTreeSet::new();
    let busybox = files::program("busybox").ok_or_else(|| VmError::NoProgram("busybox".into()))?;
    add_libraries(&busybox, &mut libraries)?;
    tree.put_file(busybox, "/usr/bin/busybox");
    // Busybox's own shell, as Debian has it, prefers its own commands to the programs.
    for name in once("sh").chain(spec.programs.iter().map(String::as_str)) {
        let program = files::program(name).ok_or_else(|| VmError::NoProgram(name.to_owned()))?;
        add_libraries(&program, &mut libraries)?;
        let to = place_of(&program);
        tree.put_file(program, to);
    }
    for library in libraries {
        let to = place_of(&library);
        tree.put_file(library, to);
    }
    Ok(())
}

/// Where a guest has a program or library of this machine.
fn place_of(file: &Path) -> PathBuf {
    for folder in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(rest) = file.strip_prefix(Path::new("/").join(folder)) {
            return Path::new("/usr").join(folder).join(rest);
        }
    }
    if file.starts_with("/usr") && !file.starts_with("/usr/local") {
        return file.to_owned();
    }
    Path::new("/usr/bin").join(file.file_name().unwrap_or_default())
}

fn add_modules(spec: &GuestSpec, tree: &mut Tree) -> Result<(), VmError> {
    let modules = Modules::of(&spec.kernel)?;
    let mut names = CHANNEL.to_vec();
    names.extend(spec.module_names());
    let names = modules.closure(&names)?;
    let folder = Path::new("/usr/lib/modules").join(&spec.kernel.release);
    for (name, text) in modules.index(&names) {
        tree.put(folder.join(name), PLAIN, text.as_str());
    }
    for module in modules.read(&names)? {
        let content = Content::Bytes(module.object);
        tree.insert(folder.join(module.path), PLAIN, content);
    }
    Ok(())
}

impl Tree {
    fn put(&mut self, path: impl AsRef<Path>, mode: u32, text: &str) {
        self.insert(path, mode, Content::Bytes(text.as_bytes().to_vec()));
    }

    /// A program or library: its contents are read when the tree is written.
    fn put_file(&mut self, from: PathBuf, to: impl AsRef<Path>) {
        self.insert(to, PROGRAM, Content::File(from));
    }

    fn insert(&mut self, path: impl AsRef<Path>, mode: u32, content: Content) {
        let path = inside(path.as_ref());
        for folder in path.ancestors().skip(1).filter(|path| path.parent().is_some()) {
            let missing = || Entry {
                mode: DIRECTORY,
                content: Content::Bytes(Vec::new()),
            };
            self.0.entry(folder.to_owned()).or_insert_with(missing);
        }
        self.0.insert(path, Entry { mode, content });
    }

    /// A file of the user's.
    fn add_file(&mut self, from: &Path, to: &Path) -> Result<(), VmError> {
        let metadata = fs::metadata(from).map_err(VmError::os(from.display().to_string()))?;
        if !metadata.is_file() {
            let what = format!("{}: only plain files can be passed in", from.display());
            return Err(VmError::Spec(what));
        }
        let is_program = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100;
        let mode = if is_program == 0 { PLAIN } else { PROGRAM };
        self.insert(to, mode, Content::File(from.to_owned()));
        Ok(())
    }

    fn write(self, mut out: impl Write) -> io::Result<()> {
        for (number, (path, entry)) in (1..).zip(self.0) {
            let bytes = match entry.content {
                Content::Bytes(bytes) => bytes,
                Content::File(from) => fs::read(&from)
                    .map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?,
            };
            let size = u32::try_from(bytes.len())
                .map_err(|_| io::Error::other(format!("{}: too large", path.display())))?;
            let builder = Builder::new(&path.to_string_lossy()).ino(number).mode(entry.mode);
            let mut file = builder.write(&mut out, size);
            file.write_all(&bytes)?;
            file.finish()?;
        }
        trailer(out).map(drop)
    }
}

/// The path without its root, and without anything that leads out of it.
fn inside(path: &Path) -> PathBuf {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    parts.collect()
}
