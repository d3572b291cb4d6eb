//! mkinitcpio: Arch.
//!
//! Images are named by the kernel's package, not by its version, and are made after presets:
//! shell files in `/etc/mkinitcpio.d`, of which the plain assignments are understood here.

use std::path::{Path, PathBuf};

use super::{DropIn, HEAD, Image, Images, Recipe, Remark, shell, words};
use crate::tree::{Kind, Tree, TreeError};

const PROGRAM: &str = "/usr/bin/mkinitcpio";
const PRESETS: &str = "/etc/mkinitcpio.d";

pub(super) fn drop_in(modules: &[&str], files: &[&Path]) -> DropIn {
    // With the `?`, a kernel that lacks one is no error: every kernel's images are made after this
    // file. In quotes, because a shell takes it for a pattern.
    let modules: Vec<_> = modules
        .iter()
        .map(|module| format!("'{module}?'"))
        .collect();
    DropIn {
        path: "/etc/mkinitcpio.conf.d/fwshare.conf".into(),
        text: format!(
            "{HEAD}MODULES+=({})\nFILES+=({})\n",
            modules.join(" "),
            words(files)
        ),
        is_program: false,
    }
}

pub(super) fn images(tree: &dyn Tree, kernel: &str) -> Result<Images, TreeError> {
    let Some(package) = package(tree, kernel)? else {
        let image = image(
            PathBuf::from("/boot/initramfs-linux.img"),
            kernel,
            Vec::new(),
        );
        let mut images = Images::default();
        match tree.is_file(&image.path)? {
            true => images.images.push(image),
            false => images.others.push(Remark {
                file: PRESETS.into(),
                line: None,
                text: format!("no preset is for the kernel {kernel}"),
                is_to_do: true,
            }),
        }
        return Ok(images);
    };
    let file = Path::new(PRESETS).join(format!("{package}.preset"));
    let Some(text) = tree.read(&file)? else {
        return Ok(Images {
            images: Vec::new(),
            others: vec![Remark {
                file,
                line: None,
                text: format!("the preset of the kernel {kernel} is not there"),
                is_to_do: true,
            }],
        });
    };
    let assignments = shell::assignments(&String::from_utf8_lossy(&text));
    let value = |name: &str| {
        let found = assignments.iter().rfind(|found| found.name == name);
        found.map(|found| found.value.clone())
    };
    let mut images = Images::default();
    for preset in shell::words(&value("PRESETS").unwrap_or_default()) {
        let own = |key: &str| value(&format!("{preset}_{key}"));
        let config = own("config").or_else(|| value("ALL_config"));
        let mut before = Vec::new();
        if let Some(config) = config {
            before.extend(["-c".into(), config.clone()]);
            images.others.push(Remark {
                file: file.clone(),
                line: None,
                text: format!(
                    "{preset} has a configuration of its own ({config}), which switches \
                     /etc/mkinitcpio.conf.d off"
                ),
                is_to_do: false,
            });
        }
        before.extend(shell::words(&own("options").unwrap_or_default()));
        if let Some(path) = own("image") {
            images.images.push(image(path.into(), kernel, before));
        }
        if let Some(unified) = own("uki").or_else(|| own("efi_image")) {
            images.others.push(Remark {
                file: unified.into(),
                line: None,
                text: format!(
                    "a unified kernel image, which the preset makes: mkinitcpio -p {package}"
                ),
                is_to_do: true,
            });
        }
    }
    Ok(images)
}

fn image(path: PathBuf, kernel: &str, options: Vec<String>) -> Image {
    let mut before = vec!["-k".to_owned(), kernel.to_owned()];
    before.extend(options);
    before.push("-g".into());
    Image {
        path,
        kernel: kernel.to_owned(),
        recipe: Recipe {
            program: "mkinitcpio",
            before,
            after: Vec::new(),
            then: Vec::new(),
        },
    }
}

/// The package that a kernel came in, which its preset is named after.
fn package(tree: &dyn Tree, kernel: &str) -> Result<Option<String>, TreeError> {
    for modules in ["/usr/lib/modules", "/lib/modules"] {
        let file = Path::new(modules).join(kernel).join("pkgbase");
        if let Some(bytes) = tree.read(&file)? {
            let name = String::from_utf8_lossy(&bytes).trim().to_owned();
            if !name.is_empty() && !name.contains('/') {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// A mkinitcpio of before drop-ins would not read ours.
pub(super) fn remarks(tree: &dyn Tree) -> Result<Vec<Remark>, TreeError> {
    let program = tree.read(Path::new(PROGRAM))?.unwrap_or_default();
    let knows = String::from_utf8_lossy(&program).contains("conf.d");
    let is_there = tree.kind(Path::new("/etc/mkinitcpio.conf.d"))? == Some(Kind::Folder);
    if program.is_empty() || knows || is_there {
        return Ok(Vec::new());
    }
    Ok(vec![Remark {
        file: PROGRAM.into(),
        line: None,
        text: "this mkinitcpio does not read /etc/mkinitcpio.conf.d: copy the lines of \
               fwshare.conf there to the end of /etc/mkinitcpio.conf"
            .into(),
        is_to_do: true,
    }])
}
