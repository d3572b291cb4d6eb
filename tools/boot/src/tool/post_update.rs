//! What Debian's boot loaders want to be run when an image is in place: `update-initramfs` does it,
//! be it that of initramfs-tools or that of dracut.

use std::path::Path;

use crate::tree::{Kind, Tree, TreeError};

/// The second one since Debian 14, whose run-parts takes both at once.
const FOLDERS: [&str; 2] = [
    "/etc/initramfs/post-update.d",
    "/usr/share/initramfs/post-update.d",
];

/// The command, if anybody wants to be told.
pub(super) fn command(
    tree: &dyn Tree,
    kernel: &str,
    image: &Path,
) -> Result<Vec<Vec<String>>, TreeError> {
    let mut folders = Vec::new();
    for folder in FOLDERS {
        if tree.kind(Path::new(folder))? == Some(Kind::Folder) {
            folders.push(folder.to_owned());
        }
    }
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = vec![
        "run-parts".to_owned(),
        format!("--arg={kernel}"),
        format!("--arg={}", image.display()),
    ];
    command.extend(folders);
    Ok(vec![command])
}
