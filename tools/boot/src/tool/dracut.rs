//! dracut: Fedora, Red Hat, SUSE, Debian since 14, Ubuntu since 25.10.
//!
//! An image that is made for any machine has the driver and leaves /etc/modprobe.d out; one that
//! is made for this machine has /etc/modprobe.d and leaves the driver out if no disk is there. So
//! both are asked for. The blanks inside the quotes are needed: other files add to the same words.

use std::path::{Path, PathBuf};

use super::{DropIn, HEAD, Image, Images, Recipe, Remark, post_update, words};
use crate::boot_loader::Layout;
use crate::tree::{Tree, TreeError};

const FOLDER: &str = "/etc/dracut.conf.d";
const FILE: &str = "/etc/dracut.conf.d/90-fwshare.conf";

pub(super) fn drop_in(modules: &[&str], files: &[&Path]) -> DropIn {
    DropIn {
        path: FILE.into(),
        text: format!(
            "{HEAD}add_drivers+=\" {} \"\ninstall_items+=\" {} \"\n",
            modules.join(" "),
            words(files)
        ),
        is_program: false,
    }
}

/// How the distributions name a kernel's image.
const NAMES: [fn(&str) -> String; 3] = [
    |kernel| format!("initramfs-{kernel}.img"),
    |kernel| format!("initrd.img-{kernel}"),
    |kernel| format!("initrd-{kernel}"),
];

pub(super) fn images(tree: &dyn Tree, kernel: &str) -> Result<Images, TreeError> {
    let boot = Path::new("/boot");
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in NAMES.map(|name| name(kernel)) {
        if tree.is_file(&boot.join(&name))? {
            paths.push(boot.join(name));
        }
    }
    // Where the boot loader has copies of its own, there need be no other.
    let copies = Layout::find(tree).copies;
    if paths.is_empty() && !copies.iter().any(|folder| folder.ends_with(kernel)) {
        paths.push(boot.join(usual(tree, kernel)?));
    }
    let mut images = Vec::new();
    for path in paths {
        let then = post_update::command(tree, kernel, &path)?;
        images.push(Image {
            path,
            kernel: kernel.to_owned(),
            recipe: Recipe {
                program: "dracut",
                before: vec!["--force".into()],
                after: vec![kernel.to_owned()],
                then,
            },
        });
    }
    Ok(Images {
        images,
        others: rescues(tree)?,
    })
}

/// What a system without an image of this kernel would call it.
fn usual(tree: &dyn Tree, kernel: &str) -> Result<String, TreeError> {
    let [plain, debian, suse] = NAMES;
    let released = tree.read(Path::new("/etc/os-release"))?.unwrap_or_default();
    let released = String::from_utf8_lossy(&released).into_owned();
    let name = match () {
        () if tree.is_file(Path::new("/etc/debian_version"))? => debian,
        () if released.contains("suse") => suse,
        () => plain,
    };
    Ok(name(kernel))
}

/// Images for any machine that are made once and then left alone.
fn rescues(tree: &dyn Tree) -> Result<Vec<Remark>, TreeError> {
    let names = tree.list(Path::new("/boot"))?;
    let rescue = names.iter().filter(|name| {
        name.to_str()
            .is_some_and(|name| name.starts_with("initramfs-0-rescue-"))
    });
    Ok(rescue
        .map(|name| Remark {
            file: Path::new("/boot").join(name),
            line: None,
            text: "a rescue image is not made anew: booted from it, this host logs in as the \
                   image says"
                .into(),
            is_to_do: false,
        })
        .collect())
}

/// Drop-ins of others whose words run together with those of the next one.
pub(super) fn remarks(tree: &dyn Tree) -> Result<Vec<Remark>, TreeError> {
    let mut remarks = Vec::new();
    for name in tree.list(Path::new(FOLDER))? {
        let file = Path::new(FOLDER).join(&name);
        if file == Path::new(FILE) || file.extension().is_none_or(|end| end != "conf") {
            continue;
        }
        // What cannot be read dracut cannot read either.
        let Ok(Some(bytes)) = tree.read(&file) else {
            continue;
        };
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let run_together = ["add_drivers+=\"", "install_items+=\""]
                .iter()
                .filter_map(|start| line.trim().strip_prefix(start))
                .any(|rest| !rest.starts_with([' ', '"']) || !rest.contains(" \""));
            if run_together {
                remarks.push(Remark {
                    file: file.clone(),
                    line: Some(index + 1),
                    text: "without a blank at each end inside the quotes, its words run together \
                           with those of other files, and dracut finds neither"
                        .into(),
                    is_to_do: false,
                });
            }
        }
    }
    Ok(remarks)
}
