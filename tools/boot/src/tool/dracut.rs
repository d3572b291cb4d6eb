//! dracut: Fedora, Red Hat, SUSE, Debian since 14, Ubuntu since 25.10.
//!
//! An image that is made for any machine has the driver and leaves /etc/modprobe.d out; one that
//! is made for this machine has /etc/modprobe.d and leaves the driver out if no disk is there. So
//! both are asked for. The blanks inside the quotes are needed: other files add to the same words.

use std::path::{Path, PathBuf};

use super::{DropIn, HEAD, Image, Images, Recipe, Remark};
use crate::tree::{Tree, TreeError};

const FOLDER: &str = "/etc/dracut.conf.d";
const FILE: &str = "/etc/dracut.conf.d/90-fwshare.conf";

pub(super) fn drop_in(modules: &[&str], options: &Path) -> DropIn {
    DropIn {
        path: FILE.into(),
        text: format!(
            "{HEAD}add_drivers+=\" {} \"\ninstall_items+=\" {} \"\n",
            modules.join(" "),
            options.display()
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
    let mut others = rescues(tree)?;
    let entries = entries(tree, kernel)?;
    if paths.is_empty() && entries.is_empty() {
        paths.push(boot.join(usual(tree, kernel)?));
    }
    others.extend(entries.into_iter().map(|file| Remark {
        file,
        line: None,
        text: format!(
            "a copy for the boot loader, which kernel-install makes anew: kernel-install add \
             {kernel} /lib/modules/{kernel}/vmlinuz"
        ),
        is_to_do: true,
    }));
    let image = |path| Image {
        path,
        kernel: kernel.to_owned(),
        recipe: Recipe {
            program: "dracut",
            before: vec!["--force".into()],
            after: vec![kernel.to_owned()],
            then: Vec::new(),
        },
    };
    Ok(Images {
        images: paths.into_iter().map(image).collect(),
        others,
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

/// Images beside the boot loader's entries, of systemd-boot and kernel-install.
fn entries(tree: &dyn Tree, kernel: &str) -> Result<Vec<PathBuf>, TreeError> {
    let id = tree.read(Path::new("/etc/machine-id"))?.unwrap_or_default();
    let token = tree
        .read(Path::new("/etc/kernel/entry-token"))?
        .unwrap_or_default();
    let mut found = Vec::new();
    for token in [id, token] {
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        if token.is_empty() || token.contains('/') {
            continue;
        }
        for esp in ["/efi", "/boot/efi", "/boot"] {
            let folder = Path::new(esp).join(&token).join(kernel);
            for name in ["initrd", "initrd.img"] {
                let path = folder.join(name);
                if tree.is_file(&path)? && !found.contains(&path) {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
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
