//! mkinitrd: Red Hat's of before dracut, for kernels with the old stack.
//!
//! It knows no drop-ins: the modules are named on its command line, and their options come from
//! `/etc/modprobe.conf`, which it copies. A kernel that is installed later gets an image without
//! them.

use std::path::{Path, PathBuf};

use super::{Image, Images, Recipe, Remark};
use crate::tree::{Tree, TreeError};

/// Begins an argument that names a module.
pub(super) const WITH: &str = "--with=";

pub(super) fn images(tree: &dyn Tree, kernel: &str) -> Result<Images, TreeError> {
    let path = PathBuf::from(format!("/boot/initrd-{kernel}.img"));
    let old = match tree.is_file(Path::new("/etc/redhat-release"))? {
        true => Vec::new(),
        false => vec![Remark {
            file: path.clone(),
            line: None,
            text: "this system is none of Red Hat's: the image's name is a guess".into(),
            is_to_do: false,
        }],
    };
    let image = Image {
        path,
        kernel: kernel.to_owned(),
        recipe: Recipe {
            program: "mkinitrd",
            before: std::iter::once("-f".to_owned())
                .chain(["ohci1394", "sbp2", "sd_mod"].map(|module| format!("{WITH}{module}")))
                .collect(),
            after: vec![kernel.to_owned()],
            then: Vec::new(),
        },
    };
    Ok(Images {
        images: vec![image],
        others: old,
    })
}
