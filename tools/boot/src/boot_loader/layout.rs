//! Whether the image that a tool builds is the one that boots.

use std::path::{Path, PathBuf};

use super::BOOT;
use crate::kernels::Version;
use crate::notice::Place;
use crate::tree::{Kind, Tree};

/// How kernels and images come to where the firmware reads them.
///
/// Where either list is not empty, an image that was rebuilt counts only after `kernel-install
/// add VERSION KERNEL` has run again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// What says that kernel, image and command line are one file.
    pub unified: Vec<Unified>,
    /// Folders `TOKEN/VERSION` on a boot partition, with copies of a kernel and its image.
    pub copies: Vec<PathBuf>,
}

/// What says that a system has unified kernel images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unified {
    /// `layout=uki` for kernel-install.
    Layout(Place),
    /// A configuration of ukify.
    Configuration(PathBuf),
    /// An image itself.
    Image(PathBuf),
}

impl Layout {
    /// Looks for it. What cannot be read is not there.
    #[must_use]
    pub fn find(tree: &dyn Tree) -> Self {
        let mut layout = Self::default();
        layout
            .unified
            .extend(install_conf(tree).map(Unified::Layout));
        let ukify = Path::new("/etc/kernel/uki.conf");
        if matches!(tree.is_file(ukify), Ok(true)) {
            layout
                .unified
                .push(Unified::Configuration(ukify.to_owned()));
        }
        let tokens = tokens(tree);
        for boot in BOOT.map(Path::new) {
            let folder = boot.join("EFI/Linux");
            let images = list(tree, &folder).into_iter().filter(|image| {
                let end = image.extension();
                end.is_some_and(|end| end.eq_ignore_ascii_case("efi"))
            });
            layout.unified.extend(images.map(Unified::Image));
            for token in &tokens {
                let copies = list(tree, &boot.join(token)).into_iter().filter(|folder| {
                    let name = folder.file_name().and_then(|name| name.to_str());
                    let is_version = name.is_some_and(|name| name.parse::<Version>().is_ok());
                    is_version && matches!(tree.is_file(&folder.join("linux")), Ok(true))
                });
                layout.copies.extend(copies);
            }
        }
        layout
    }
}

/// The line that asks kernel-install for unified images.
fn install_conf(tree: &dyn Tree) -> Option<Place> {
    let files = [
        "/etc/kernel/install.conf",
        "/run/kernel/install.conf",
        "/usr/local/lib/kernel/install.conf",
        "/usr/lib/kernel/install.conf",
    ];
    // The first one is read, and no other.
    let file = files
        .into_iter()
        .find(|file| matches!(tree.is_file(Path::new(file)), Ok(true)))?;
    let text = text(tree, Path::new(file))?;
    let mut layout = None;
    for (number, line) in super::numbered(&text) {
        if let Some(value) = line.strip_prefix("layout=") {
            let is_unified = value.trim().trim_matches(['"', '\'']) == "uki";
            layout = is_unified.then(|| Place::new(file, number));
        }
    }
    layout
}

/// The names that kernel-install gives to the folder of a system's entries.
fn tokens(tree: &dyn Tree) -> Vec<String> {
    let mut tokens = vec!["Default".to_owned()];
    for file in ["/etc/kernel/entry-token", "/etc/machine-id"] {
        let token = text(tree, Path::new(file)).unwrap_or_default();
        let token = token.trim();
        let is_name = !token.is_empty() && !token.contains('/') && !token.starts_with('.');
        if is_name && !tokens.iter().any(|other| other == token) {
            tokens.push(token.to_owned());
        }
    }
    for line in text(tree, Path::new("/etc/os-release"))
        .unwrap_or_default()
        .lines()
    {
        let value = line
            .strip_prefix("ID=")
            .or_else(|| line.strip_prefix("IMAGE_ID="));
        if let Some(id) = value.map(|value| value.trim_matches(['"', '\''])) {
            let is_name = !id.is_empty()
                && id
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
            if is_name && !tokens.iter().any(|other| other == id) {
                tokens.push(id.to_owned());
            }
        }
    }
    tokens
}

fn text(tree: &dyn Tree, file: &Path) -> Option<String> {
    if !matches!(tree.kind(file), Ok(Some(Kind::File))) {
        return None;
    }
    let bytes = tree.read(file).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn list(tree: &dyn Tree, folder: &Path) -> Vec<PathBuf> {
    let names = tree.list(folder).unwrap_or_default();
    names.into_iter().map(|name| folder.join(name)).collect()
}
