//! The kernels of a system, and what drivers they have.
//!
//! A kernel is judged by its own folder of modules, never by the one that runs. The same works
//! on an image: it has the modules of one kernel, in the same places.

mod index;
#[cfg(test)]
mod tests;
mod version;

use std::path::{Path, PathBuf};

pub use version::{Version, VersionError};

use crate::tree::{Kind, Tree, TreeError};
use index::Index;
pub(crate) use index::module_name;

/// Where the folders of modules are.
const FOLDERS: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

/// A kernel that is installed.
#[derive(Clone, Debug)]
pub struct Kernel {
    version: Version,
    folder: PathBuf,
    index: Index,
}

/// How a kernel has a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Driver {
    /// As a module.
    Module {
        /// Its file, in the tree.
        path: PathBuf,
        /// The files of the modules it needs, in the tree, in the order of modules.dep.
        dependencies: Vec<PathBuf>,
    },
    /// In itself: only the kernel's command line gives it parameters.
    BuiltIn,
    /// Not at all.
    Missing,
}

impl Driver {
    /// Whether the kernel has it, one way or the other.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// The kernels of a system, sorted by version, the newest last.
///
/// A folder without modules.dep is none: it is what was left when a kernel was removed. Nor is
/// one whose name is no [`Version`].
///
/// # Errors
/// [`TreeError`] if the folders or a modules.dep cannot be read.
pub fn find(tree: &dyn Tree) -> Result<Vec<Kernel>, TreeError> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for top in FOLDERS.map(Path::new) {
        if tree.kind(top)? != Some(Kind::Folder) {
            continue;
        }
        for name in tree.list(top)? {
            let Some(Ok(version)) = name.to_str().map(str::parse::<Version>) else {
                continue;
            };
            if kernels.iter().any(|kernel| kernel.version == version) {
                continue;
            }
            kernels.extend(Kernel::read(tree, top.join(&name), version)?);
        }
    }
    kernels.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(kernels)
}

impl Kernel {
    fn read(tree: &dyn Tree, folder: PathBuf, version: Version) -> Result<Option<Self>, TreeError> {
        let file = folder.join("modules.dep");
        if !tree.is_file(&file)? {
            return Ok(None);
        }
        let dependencies = tree.read(&file)?.unwrap_or_default();
        let built_in = folder.join("modules.builtin");
        let built_in = match tree.kind(&built_in)? {
            Some(Kind::File) => tree.read(&built_in)?.unwrap_or_default(),
            _ => Vec::new(),
        };
        let index = Index::new(&folder, &dependencies, &built_in);
        Ok(Some(Self {
            version,
            folder,
            index,
        }))
    }

    /// Its version, as `uname -r` says it.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Its folder of modules, in the tree.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it has a driver. `-` and `_` in its name are the same.
    #[must_use]
    pub fn driver(&self, name: &str) -> Driver {
        self.index.driver(name)
    }

    /// The file of a module, in the tree. `None` if the kernel does not have it as a module.
    #[must_use]
    pub fn module_file(&self, name: &str) -> Option<PathBuf> {
        match self.driver(name) {
            Driver::Module { path, .. } => Some(path),
            Driver::BuiltIn | Driver::Missing => None,
        }
    }
}
