//! What is in an image, against what should be.
//!
//! A tool that finds no module says nothing and ends well; dracut may leave the option out, or the
//! driver. Only a look inside tells.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::image::{self, ImageError};
use crate::kernels::{self, Driver, Kernel, Version};
use crate::kmod::{Bool, Config, Dialect};
use crate::root::Root;
use crate::tool::{Image, Tool};
use crate::tree::{Tree, TreeError};

use super::conflict::{self, Conflict};
use super::{PlanError, Request, Wanted};

/// An image of a kernel, and whether it is as it should be.
#[derive(Clone, Debug)]
pub struct ImageState {
    /// Where it is, and how it is made.
    pub image: Image,
    /// What should be in it.
    pub expected: Expected,
    /// What was seen in it. `Err`: why nothing could be seen. `None` if nobody looked, or it is
    /// not there.
    pub sight: Option<Result<Sight, String>>,
    /// It is to be made anew.
    pub is_to_be_made: bool,
}

/// What is wanted of a kernel's image.
#[derive(Clone, Debug)]
pub struct Expected {
    pub(super) kernel: Kernel,
    pub(super) tool: Tool,
    /// What has to be there, the SBP-2 driver first.
    pub(super) modules: Vec<&'static str>,
    /// How the driver is to log in.
    pub(super) exclusive: Option<bool>,
    /// What its parameter is set to by others, where none is wanted of us.
    pub(super) otherwise: Option<Bool>,
    /// What has to be with files of ours, and with those that had their names before.
    pub(super) files: BTreeMap<PathBuf, Inside>,
}

/// What has to be at a path in an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Inside {
    /// A file with this content.
    Same(Vec<u8>),
    /// The same or nothing: it is somebody else's, and the tool decides.
    AtMost(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// What was seen in an image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sight {
    /// The kernel that a unified image is of, if it says so.
    pub of: Option<String>,
    /// How its driver would log in, if it is there: as the kernel reads the parameter. `None` if
    /// nothing is set, which is exclusively.
    pub value: Option<Bool>,
    /// What is as it should be, in a few words each.
    pub found: Vec<String>,
    /// What is not.
    pub wrong: Vec<Wrong>,
}

/// Something that is not as it should be in an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// A module is not in it.
    NoModule(String),
    /// A module that another one needs is not in it.
    NoDependency {
        /// Which one needs it.
        module: String,
        /// The file that is missing.
        file: PathBuf,
    },
    /// A file is not in it.
    NoFile(PathBuf),
    /// A file is in it, and is another one than outside: the image is older.
    OtherFile(PathBuf),
    /// A file is in it that should be in no image any longer.
    StillThere(PathBuf),
    /// A line in the image is in the way.
    Conflict(Conflict),
    /// The option has no effect on the driver in it.
    NotSet,
    /// The option has effect in it, and should have none any longer.
    StillSet,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(module) => write!(f, "{module} is not in it"),
            Self::NoDependency { module, file } => {
                write!(f, "{}, which {module} needs, is not in it", file.display())
            }
            Self::NoFile(path) => write!(f, "{} is not in it", path.display()),
            Self::OtherFile(path) => write!(f, "{} in it is an older one", path.display()),
            Self::StillThere(path) => write!(f, "{} is still in it", path.display()),
            Self::Conflict(conflict) => write!(f, "in it, {conflict}"),
            Self::NotSet => f.write_str("nothing in it sets exclusive_login"),
            Self::StillSet => f.write_str("it still sets exclusive_login"),
        }
    }
}

impl Sight {
    /// Whether it is an image of this kernel, or may be one.
    pub(super) fn is_of(&self, version: &Version) -> bool {
        let of = self.of.as_deref();
        of.is_none_or(|of| of.trim() == version.as_str())
    }

    /// Whether all is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// What is wrong, in a sentence.
    #[must_use]
    pub fn complaint(&self) -> String {
        let wrong: Vec<_> = self.wrong.iter().map(ToString::to_string).collect();
        wrong.join("; ")
    }
}

/// Why nothing could be seen in an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum SightError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl ImageState {
    /// What is the matter with it, in a sentence.
    #[must_use]
    pub fn complaint(&self) -> String {
        match &self.sight {
            None => "it is not there".into(),
            Some(Ok(sight)) => sight.complaint(),
            Some(Err(why)) => why.clone(),
        }
    }

    /// Looks into an image, and decides whether it is to be made anew.
    pub(super) fn look(
        root: &Root,
        image: Image,
        expected: Expected,
        request: &Request,
    ) -> Result<Self, PlanError> {
        let sight = match request.images {
            true => expected.look(root, &image.path)?,
            false => None,
        };
        let is_to_be_made = request.images
            && match (&sight, request.wanted) {
                (Some(Ok(sight)), _) => !sight.is_good(),
                // Where nothing of ours can be, nothing is to be taken out.
                (Some(Err(_)), wanted) => wanted != Wanted::AsBefore,
                // A kernel that boots without an image goes on doing so.
                (None, _) => false,
            };
        Ok(Self {
            image,
            expected,
            sight,
            is_to_be_made,
        })
    }
}

impl Expected {
    /// Opens an image of a system, and looks. `None` if it is not there; inside, why nothing can
    /// be seen in it.
    pub(super) fn look(
        &self,
        root: &Root,
        path: &Path,
    ) -> Result<Option<Result<Sight, String>>, TreeError> {
        let opened = root.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let opened = opened.map_err(|source| TreeError {
            what: "open",
            path: path.to_owned(),
            source,
        })?;
        Ok(opened.map(|file| {
            self.look_at(File::from(file))
                .map_err(|error| error.to_string())
        }))
    }

    fn look_at(&self, file: File) -> Result<Sight, SightError> {
        let files = self.files.keys();
        let mut paths: Vec<_> = files.map(PathBuf::as_path).collect();
        paths.push(Path::new("/init"));
        let wants = |path: &Path| image::matters(path) || paths.contains(&path);
        let archive = image::Image::from_file(file, &wants)?;
        let uname = archive
            .unified_kernel()
            .and_then(|kernel| kernel.uname.as_ref());
        Ok(Sight {
            of: uname.map(|uname| {
                String::from_utf8_lossy(uname)
                    .trim_end_matches('\0')
                    .to_owned()
            }),
            ..self.look_into(&archive)?
        })
    }

    fn look_into(&self, archive: &dyn Tree) -> Result<Sight, TreeError> {
        let mut sight = Sight::default();
        for (path, content) in &self.files {
            let there = archive.read(path)?;
            let name = path.display();
            match (content, there) {
                (Inside::Same(content) | Inside::AtMost(content), Some(there))
                    if *content == there =>
                {
                    sight.found.push(format!("{name}, byte for byte"));
                }
                (Inside::Same(_) | Inside::AtMost(_), Some(_)) => {
                    sight.wrong.push(Wrong::OtherFile(path.clone()));
                }
                (Inside::Same(_), None) => sight.wrong.push(Wrong::NoFile(path.clone())),
                (Inside::Nothing, Some(_)) => sight.wrong.push(Wrong::StillThere(path.clone())),
                (Inside::AtMost(_) | Inside::Nothing, None) => {}
            }
        }
        match self.tool {
            Tool::Mkinitrd => self.old_modules(archive, &mut sight)?,
            _ if self.exclusive.is_none() => {}
            _ => {
                self.modules(archive, &mut sight)?;
                self.option(archive, &mut sight);
            }
        }
        Ok(sight)
    }

    fn modules(&self, archive: &dyn Tree, sight: &mut Sight) -> Result<(), TreeError> {
        let inside = kernels::find(archive)?
            .into_iter()
            .find(|kernel| kernel.version() == self.kernel.version());
        for module in &self.modules {
            if self.kernel.driver(module) == Driver::BuiltIn {
                sight.found.push(format!("{module}, a part of the kernel"));
                continue;
            }
            let driver = inside.as_ref().map(|kernel| kernel.driver(module));
            let Some(Driver::Module { path, dependencies }) = driver else {
                sight.wrong.push(Wrong::NoModule((*module).to_owned()));
                continue;
            };
            if !archive.is_file(&path)? {
                sight.wrong.push(Wrong::NoModule((*module).to_owned()));
                continue;
            }
            sight.found.push((*module).to_owned());
            let mut missing = Vec::new();
            for file in dependencies {
                if !archive.is_file(&file)? {
                    missing.push(file);
                }
            }
            // depmod in the image knows of nothing that is not in it, so the system is asked too.
            // The files may have other names there, packed or not.
            if let Driver::Module { dependencies, .. } = self.kernel.driver(module) {
                let is_inside = |file: &Path| {
                    let needed = kernels::module_name(file)?;
                    Some(inside.as_ref()?.driver(&needed).is_there())
                };
                missing.extend(
                    dependencies
                        .into_iter()
                        .filter(|file| is_inside(file) == Some(false)),
                );
            }
            sight
                .wrong
                .extend(missing.into_iter().map(|file| Wrong::NoDependency {
                    module: (*module).to_owned(),
                    file,
                }));
        }
        Ok(())
    }

    fn option(&self, archive: &dyn Tree, sight: &mut Sight) {
        let config = Config::read(archive, Dialect::Kmod);
        let Some(driver) = self.modules.first() else {
            return;
        };
        sight.value = conflict::setting(&config, driver).map(|(value, _)| value);
        let conflict = conflict::find(&config, None, &self.modules, self.exclusive);
        match (conflict, sight.value) {
            (Some(conflict), _) => sight.wrong.push(Wrong::Conflict(conflict)),
            (None, None) => sight.wrong.push(Wrong::NotSet),
            (None, Some(_)) => sight
                .found
                .push(format!("options that make {driver} log in as wanted")),
        }
    }

    /// Red Hat's mkinitrd: modules in /lib, and a script that loads them with their options.
    fn old_modules(&self, archive: &dyn Tree, sight: &mut Sight) -> Result<(), TreeError> {
        let modules = self.modules.iter().filter(|_| self.exclusive.is_some());
        for module in modules {
            let file = PathBuf::from(format!("/lib/{module}.ko"));
            match archive.is_file(&file)? || self.kernel.driver(module) == Driver::BuiltIn {
                true => sight.found.push((*module).to_owned()),
                false => sight.wrong.push(Wrong::NoModule((*module).to_owned())),
            }
        }
        let script = archive.read(Path::new("/init"))?.unwrap_or_default();
        let script = String::from_utf8_lossy(&script).into_owned();
        let value = script
            .lines()
            .filter(|line| line.trim_start().starts_with("insmod ") && line.contains("/sbp2.ko"))
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.strip_prefix("exclusive_login="))
            .next_back()
            .map(|value| Bool::parse(value.as_bytes()));
        sight.value = value;
        let wanted = match self.exclusive {
            Some(true) => Some(Bool::On),
            Some(false) => Some(Bool::Off),
            None if value.is_none() || value == self.otherwise => return Ok(()),
            None => {
                sight.wrong.push(Wrong::StillSet);
                return Ok(());
            }
        };
        match value == wanted {
            true => sight
                .found
                .push("options that make sbp2 log in as wanted".into()),
            false => sight.wrong.push(Wrong::NotSet),
        }
        Ok(())
    }
}
