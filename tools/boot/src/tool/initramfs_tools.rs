//! initramfs-tools: Debian to 13, Ubuntu to 25.04.
//!
//! It copies `/etc/modprobe.d/*.conf` by itself. The modules are in an image of MODULES=most;
//! one of MODULES=dep has them only if the disk was there when it was made. `/etc/initramfs-tools/modules`
//! is a file of the administrator's, and there is no folder for others, so a hook adds them.
//!
//! `update-initramfs` runs mkinitramfs, renames, and tells the boot loaders. The same is done here,
//! with a look into the image before the rename.

use std::path::{Path, PathBuf};

use super::{DropIn, HEAD, Image, Images, Recipe, Remark, post_update, shell, words};
use crate::tree::{Tree, TreeError};

/// What is in here is copied without our doing.
const MODPROBE: &str = "/etc/modprobe.d";
const UPDATE: &str = "/etc/initramfs-tools/update-initramfs.conf";

pub(super) fn drop_in(modules: &[&str], files: &[&Path]) -> DropIn {
    let modules = modules.join(" ");
    let rest: Vec<_> = files
        .iter()
        .copied()
        .filter(|file| !file.starts_with(MODPROBE))
        .collect();
    // 1 is for a file that is there already. A guard that somebody has removed must not keep a new
    // kernel from getting an image.
    let copies = match rest[..] {
        [] => String::new(),
        _ => format!(
            "for file in {}; do\n  \
             [ ! -e \"$file\" ] || copy_file fwshare \"$file\" || [ $? -eq 1 ]\ndone\n",
            words(&rest)
        ),
    };
    DropIn {
        path: "/etc/initramfs-tools/hooks/fwshare".into(),
        text: format!(
            "#!/bin/sh\n{HEAD}\
             if [ \"$1\" = prereqs ]; then exit 0; fi\n\
             . /usr/share/initramfs-tools/hook-functions\n\
             manual_add_modules {modules}\n{copies}"
        ),
        is_program: true,
    }
}

pub(super) fn images(tree: &dyn Tree, kernel: &str) -> Result<Images, TreeError> {
    let path = PathBuf::from(format!("/boot/initrd.img-{kernel}"));
    let recipe = Recipe {
        program: "mkinitramfs",
        before: vec!["-o".into()],
        after: vec![kernel.to_owned()],
        then: post_update::command(tree, kernel, &path)?,
    };
    let image = Image {
        path,
        kernel: kernel.to_owned(),
        recipe,
    };
    Ok(Images {
        images: vec![image],
        others: Vec::new(),
    })
}

pub(super) fn remarks(tree: &dyn Tree) -> Result<Vec<Remark>, TreeError> {
    let text = tree.read(Path::new(UPDATE))?.unwrap_or_default();
    let assignments = shell::assignments(&String::from_utf8_lossy(&text));
    let refusal = assignments
        .iter()
        .rfind(|assignment| assignment.name == "update_initramfs");
    Ok(refusal
        .filter(|assignment| assignment.value == "no")
        .map(|assignment| Remark {
            file: UPDATE.into(),
            line: Some(assignment.line),
            text: "update_initramfs=no keeps update-initramfs from making images: they are made \
                   here all the same"
                .into(),
            is_to_do: false,
        })
        .into_iter()
        .collect())
}
