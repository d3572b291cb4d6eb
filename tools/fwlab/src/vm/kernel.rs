//! Where a guest's kernel is.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::VmError;
use super::files::{cache, default_release};

/// The kernel that is taken if nothing is said and it is there.
const DEFAULT: &str = "trixie";

/// A kernel and its modules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// The image, as QEMU's `-kernel` takes it.
    pub image: PathBuf,
    /// Where its modules are: a folder with `modules.dep`.
    pub modules: PathBuf,
    /// What `uname -r` says.
    pub release: String,
}

impl Kernel {
    /// Finds a kernel.
    ///
    /// `name` is one that `vm/prepare` has fetched (bookworm, trixie, backports), a release that is
    /// installed here (`/boot/vmlinuz-NAME`), or the path of an image, whose modules are to be in
    /// `/lib/modules`. Without a name: Debian 13's if it was fetched, or else the one that runs
    /// here.
    ///
    /// # Errors
    /// [`VmError::NoKernel`].
    pub fn find(name: Option<&str>) -> Result<Self, VmError> {
        let Some(name) = name else {
            let fetched = Self::fetched(DEFAULT);
            return fetched.or_else(|_| Self::installed(&default_release()));
        };
        if name.contains('/') {
            return Self::image(Path::new(name));
        }
        let fetched = Self::fetched(name);
        fetched.or_else(|error| Self::installed(name).map_err(|_| error))
    }

    /// The kernels that have been fetched, by name.
    #[must_use]
    pub fn all_fetched() -> Vec<String> {
        let Some(folder) = cache().map(|cache| cache.join("kernels")) else {
            return Vec::new();
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| Self::fetched(name).is_ok())
            .collect();
        names.sort();
        names
    }

    fn fetched(name: &str) -> Result<Self, VmError> {
        let missing = |reason: String| VmError::NoKernel {
            name: name.to_owned(),
            reason,
        };
        let cache = cache().ok_or_else(|| missing("HOME is not set".into()))?;
        let folder = cache.join("kernels").join(name);
        let image = folder.join("vmlinuz");
        let modules = folder.join("modules/lib/modules");
        let releases = fs::read_dir(&modules)
            .map_err(|error| missing(format!("{}: {error}", modules.display())))?;
        let release = releases
            .flatten()
            .find_map(|entry| entry.file_name().into_string().ok())
            .ok_or_else(|| missing(format!("{} is empty", modules.display())))?;
        Self::checked(name, image, modules.join(&release), release)
    }

    fn installed(release: &str) -> Result<Self, VmError> {
        let image = Path::new("/boot").join(format!("vmlinuz-{release}"));
        let modules = Path::new("/lib/modules").join(release);
        Self::checked(release, image, modules, release.to_owned())
    }

    fn image(image: &Path) -> Result<Self, VmError> {
        let name = image.display().to_string();
        let file = image.file_name().unwrap_or_default().to_string_lossy();
        let Some(release) = file.strip_prefix("vmlinuz-") else {
            let reason = "the file is to be called vmlinuz-RELEASE, for its modules".to_owned();
            return Err(VmError::NoKernel { name, reason });
        };
        let modules = Path::new("/lib/modules").join(release);
        Self::checked(&name, image.to_owned(), modules, release.to_owned())
    }

    fn checked(
        name: &str,
        image: PathBuf,
        modules: PathBuf,
        release: String,
    ) -> Result<Self, VmError> {
        for file in [&image, &modules.join("modules.dep")] {
            if let Err(error) = fs::File::open(file) {
                return Err(VmError::NoKernel {
                    name: name.to_owned(),
                    reason: format!("{}: {error}", file.display()),
                });
            }
        }
        Ok(Self {
            image,
            modules,
            release,
        })
    }
}
