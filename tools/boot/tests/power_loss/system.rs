//! A small system, and what is to be done to it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fwshare_boot::Root;
use fwshare_boot::change::{ChangeError, Edit, Owner, Recovered, State, Undo, apply, recover};

const OWN: &str = "/etc/modprobe.d/fwshare.conf";
const DROP_IN: &str = "/etc/dracut.conf.d/90-fwshare.conf";
const THEIRS: &str = "/etc/initramfs-tools/modules";

/// What is done in the process that does not get far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Two new files, one of them in a folder that is missing, and an edit of somebody's.
    Apply,
    /// Other content for all of them, and one removed.
    ApplyOther,
    /// All is brought back.
    Undo,
    /// What was cut short is finished.
    Recover,
}

impl Deed {
    pub(crate) const ALL: [Self; 4] = [Self::Apply, Self::ApplyOther, Self::Undo, Self::Recover];

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    /// What is done before, so that there is something to do it to.
    pub(crate) fn earlier(self) -> &'static [Self] {
        match self {
            Self::Apply | Self::Recover => &[],
            Self::ApplyOther | Self::Undo => &[Self::Apply],
        }
    }

    pub(crate) fn run(self, root: &Root) -> Result<(), ChangeError> {
        let edit = |path: &str, seen: Option<&[u8]>, to: Option<&[u8]>, owner| Edit {
            path: path.into(),
            seen: seen.map(Into::into),
            to: to.map(Into::into),
            owner,
            mode: 0o644,
            like: None,
        };
        let edits = match self {
            Self::Recover => {
                return match recover(root)? {
                    Recovered::TakenBack(error) => Err(error),
                    _ => Ok(()),
                };
            }
            Self::Apply => vec![
                edit(OWN, None, Some(b"options one\n"), Owner::Ours),
                edit(DROP_IN, None, Some(b"drivers\n"), Owner::Ours),
                edit(THEIRS, Some(FOUND), Some(EDITED), Owner::Theirs),
            ],
            Self::ApplyOther => vec![
                edit(
                    OWN,
                    Some(b"options one\n"),
                    Some(b"options two\n"),
                    Owner::Ours,
                ),
                edit(DROP_IN, Some(b"drivers\n"), None, Owner::Ours),
                edit(THEIRS, Some(EDITED), Some(b"sd_mod\n"), Owner::Theirs),
            ],
            Self::Undo => {
                let undo = State::load(root)?.undo(root)?.into_iter();
                undo.flat_map(Undo::restore).collect()
            }
        };
        apply(root, &edits).map(drop)
    }
}

const FOUND: &[u8] = b"# l\xe4dt\next4\n";
const EDITED: &[u8] = b"# l\xe4dt\next4\nfirewire-sbp2\n";

/// Makes the system, in a folder that is not there yet.
pub(crate) fn make(folder: &Path) {
    for made in ["etc/modprobe.d", "etc/initramfs-tools", "var/lib"] {
        fs::create_dir_all(folder.join(made)).unwrap();
    }
    let theirs = folder.join(THEIRS.trim_start_matches('/'));
    fs::write(&theirs, FOUND).unwrap();
    fs::set_permissions(&theirs, Permissions::from_mode(0o640)).unwrap();
    xattr::set(&theirs, "user.origin", b"\xffsite").unwrap();
}

/// Copies a system, for the next one to be ruined.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        match from.is_dir() {
            true => copy(&from, &to),
            false => {
                fs::copy(&from, &to).unwrap();
                for name in xattr::list(&from).unwrap() {
                    let value = xattr::get(&from, &name).unwrap().unwrap();
                    xattr::set(&to, &name, &value).unwrap();
                }
            }
        }
    }
}

/// All that is in a system: name, kind and mode, owner, attributes, content.
pub(crate) type Listing = BTreeMap<PathBuf, String>;

pub(crate) fn list(folder: &Path) -> Listing {
    let mut listing = Listing::new();
    add(folder, folder, &mut listing);
    listing
}

fn add(top: &Path, path: &Path, listing: &mut Listing) {
    let metadata = path.symlink_metadata().unwrap();
    let attributes = xattr::list(path).unwrap().map(|name| {
        let value = xattr::get(path, &name).unwrap();
        (name, value)
    });
    let attributes: BTreeMap<_, _> = attributes.collect();
    let content = match metadata.is_dir() {
        true => {
            for entry in fs::read_dir(path).unwrap() {
                add(top, &entry.unwrap().path(), listing);
            }
            String::new()
        }
        false => fs::read(path).unwrap().escape_ascii().to_string(),
    };
    let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
    let line = format!("{mode:o} {uid}:{gid} {attributes:?} {content}");
    listing.insert(path.strip_prefix(top).unwrap().to_owned(), line);
}

/// A listing without what is kept for the undo.
pub(crate) fn visible(listing: &Listing) -> Listing {
    let mut listing = listing.clone();
    listing.retain(|path, _| !path.starts_with("var"));
    listing
}

/// What a system may be, however it ended.
pub(crate) struct Ends {
    pub(crate) old: Listing,
    pub(crate) new: Listing,
}

impl Ends {
    /// At any moment: each file is as it was or as it will be, or it is one being written.
    pub(crate) fn check_files(&self, folder: &Path, when: &str) {
        for (path, line) in list(folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_temporary = name.starts_with(".fwshare-new") && !name.ends_with(".conf");
            let is_ours = path.starts_with("var");
            let known = [&self.old, &self.new].map(|it| it.get(&path));
            assert!(
                is_temporary || is_ours || known.contains(&Some(&line)),
                "{when}: {} is {line}, not one of {known:#?}",
                path.display()
            );
        }
        for path in self.old.keys().filter(|path| self.new.contains_key(*path)) {
            let is_there = folder.join(path).exists();
            assert!(is_there, "{when}: {} is gone", path.display());
        }
    }

    /// After what was cut short was finished: all is as it was, or all as it will be.
    pub(crate) fn check_whole(&self, folder: &Path, when: &str) {
        let root = Root::open(folder).unwrap();
        if let Err(error) = recover(&root) {
            panic!("{when}: {error}");
        }
        let found = list(folder);
        assert!(
            found == self.old || found == self.new,
            "{when}: neither {:#?} nor {:#?} but {found:#?}",
            self.old,
            self.new
        );
    }
}
