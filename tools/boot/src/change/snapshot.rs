use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};
use xattr::FileExt as _;

use super::bytes::Bytes;

/// The hash or signature of the content, for the integrity measurement of the kernel.
const IMA: &str = "security.ima";

/// A code over the inode. It is the kernel's, and no other file can have it.
const EVM: &str = "security.evm";

/// A file as it was or is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) content: Bytes<Vec<u8>>,
    pub(super) manner: Manner,
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Manner {
    /// The permission bits, with set-user-ID and the like.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// ACLs and the SELinux context are among them.
    xattrs: Vec<Xattr>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Xattr {
    name: Bytes<OsString>,
    value: Bytes<Vec<u8>>,
}

impl Manner {
    /// The caller's.
    pub(super) fn callers(mode: u32) -> Self {
        Self {
            mode,
            uid: Uid::effective().as_raw(),
            gid: Gid::effective().as_raw(),
            xattrs: Vec::new(),
        }
    }

    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut xattrs = Vec::new();
        for name in list(file)? {
            // One that has just gone is none.
            let value = file.get_xattr(&name)?;
            if let Some(value) = value.filter(|_| name != EVM) {
                let (name, value) = (Bytes(name), Bytes(value));
                xattrs.push(Xattr { name, value });
            }
        }
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            xattrs,
        })
    }

    /// The same for other content. `original` is known to have had that content.
    pub(super) fn for_content_of(mut self, original: Option<&Self>) -> Self {
        self.xattrs.retain(|xattr| *xattr.name != IMA);
        let known = original.and_then(|original| {
            let mut xattrs = original.xattrs.iter();
            xattrs.find(|xattr| *xattr.name == IMA)
        });
        self.xattrs.extend(known.cloned());
        self
    }

    /// Makes a file as this says.
    pub(super) fn give(&self, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if (metadata.uid(), metadata.gid()) != (self.uid, self.gid) {
            fchown(file, Some(self.uid), Some(self.gid))?;
        }
        // After the owner, whose change takes set-user-ID away and capabilities with it.
        file.set_permissions(Permissions::from_mode(self.mode))?;
        for name in list(file)? {
            // A folder gives its default ACL to what is made in it. The context cannot be
            // taken away, only changed.
            let ours = self.xattrs.iter().any(|xattr| *xattr.name == name);
            if !ours && !name.as_bytes().starts_with(b"security.") {
                file.remove_xattr(&name)?;
            }
        }
        for Xattr { name, value } in &self.xattrs {
            // Unprivileged users may not set a context, even if it is the same.
            if file.get_xattr(&**name)?.as_ref() != Some(value) {
                file.set_xattr(&**name, value)?;
            }
        }
        Ok(())
    }
}

fn list(file: &File) -> io::Result<Vec<OsString>> {
    match file.list_xattr() {
        Ok(names) => Ok(names.collect()),
        // Not all file systems have them.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
