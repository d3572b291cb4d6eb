use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

mod bring_back;
mod keep;
mod refuse;

/// A system with a file of somebody else.
struct System {
    folder: tempfile::TempDir,
    root: Root,
}

const OWN: &str = "/etc/modprobe.d/fwshare.conf";
const DROP_IN: &str = "/etc/dracut.conf.d/90-fwshare.conf";
const MODULES: &str = "/etc/initramfs-tools/modules";

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for made in ["etc/modprobe.d", "etc/initramfs-tools", "var/lib"] {
            fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let system = Self { folder, root };
        // With bytes that are no UTF-8, as in a comment of another time.
        fs::write(system.at(MODULES), b"# l\xe4dt\next4\n").unwrap();
        system
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.at(path)).ok()
    }

    fn edit(&self, path: &str, to: Option<&str>, owner: Owner) -> Edit {
        Edit {
            path: path.into(),
            seen: self.read(path),
            to: to.map(Into::into),
            owner,
            mode: 0o644,
            like: None,
        }
    }

    /// A file of ours, one in a folder that is missing, and a file of somebody else's.
    fn usual(&self) -> Vec<Edit> {
        vec![
            self.edit(OWN, Some("options\n"), Owner::Ours),
            self.edit(DROP_IN, Some("add_drivers\n"), Owner::Ours),
            self.edit(MODULES, Some("ext4\nfirewire-sbp2\n"), Owner::Theirs),
        ]
    }

    /// Every name with what is there: kind, mode, owner, content, and where a link leads.
    fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        walk(self.folder.path(), &mut lines, |metadata, path| {
            let content = match metadata.file_type() {
                kind if kind.is_file() => fs::read(path).unwrap(),
                kind if kind.is_symlink() => {
                    let target = fs::read_link(path).unwrap();
                    target.as_os_str().as_encoded_bytes().to_vec()
                }
                _ => Vec::new(),
            };
            let (uid, gid) = (metadata.uid(), metadata.gid());
            format!("{:o} {uid}:{gid} {content:?}", metadata.mode())
        });
        lines
    }

    /// Every name with its inode and when it was last touched.
    fn times(&self) -> Vec<String> {
        let mut lines = Vec::new();
        walk(self.folder.path(), &mut lines, |metadata, _| {
            let (inode, changed) = (metadata.ino(), metadata.ctime());
            format!("{inode} {changed}.{}", metadata.ctime_nsec())
        });
        lines
    }

    fn undo(&self) -> Vec<Undo> {
        State::load(&self.root).unwrap().undo(&self.root).unwrap()
    }

    fn restore(&self) {
        let edits: Vec<_> = self.undo().into_iter().flat_map(Undo::restore).collect();
        apply(&self.root, &edits).unwrap();
    }
}

fn walk(path: &Path, lines: &mut Vec<String>, say: fn(&fs::Metadata, &Path) -> String) {
    let metadata = path.symlink_metadata().unwrap();
    lines.push(format!("{} {}", path.display(), say(&metadata, path)));
    if metadata.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        names.sort();
        for name in names {
            walk(&name, lines, say);
        }
    }
}

fn refusal(result: Result<impl Sized, ChangeError>) -> Option<Refusal> {
    match result {
        Err(ChangeError::Refused { why, .. }) => Some(why),
        _ => None,
    }
}
