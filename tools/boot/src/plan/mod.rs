//! What is to be changed, worked out before anything is.
//!
//! [`Plan::make`] looks at a system: its kernels, the tool that makes their images, and all that
//! is configured. Then it applies kmod's rules to the system as it would be with our files
//! ([`Overlay`]), and so finds whose line would win, whichever way it does. What stands in the
//! way is a [`Conflict`]; what only should be known is a remark.

mod boots;
mod carry_out;
mod chosen;
mod command_lines;
mod conflict;
mod diff;
mod draft;
mod files;
mod image;
mod make;
mod overlay;
mod text;

use std::path::PathBuf;

pub use carry_out::{CarryOutError, Step};
pub use conflict::{Conflict, Why};
pub use diff::unified;
pub use image::{Expected, ImageState, Sight, Wrong};
pub use overlay::Overlay;

use crate::change::Edit;
use crate::guard::{Danger, Guard};
use crate::kernels::Kernel;
use crate::kmod::Bool;
use crate::notice::Place;
use crate::tool::{Remark, Ruler, Tool, Unsupported};
use crate::tree::TreeError;

/// How the driver is to log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Beside other hosts.
    Shared,
    /// Alone.
    Exclusive,
    /// As it did before anything of ours was there.
    AsBefore,
}

impl Wanted {
    /// The parameter's value. `None` if none is wanted of us.
    #[must_use]
    pub const fn exclusive(self) -> Option<bool> {
        match self {
            Self::Shared => Some(false),
            Self::Exclusive => Some(true),
            Self::AsBefore => None,
        }
    }
}

/// What makes the images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToolWish {
    /// The tool that rules the system.
    Auto,
    /// This one.
    Tool(Tool),
    /// None is made.
    None,
}

/// What a plan is to reach.
#[derive(Clone, Debug)]
pub struct Request {
    /// How the driver is to log in.
    pub wanted: Wanted,
    /// What makes the images.
    pub tool: ToolWish,
    /// For which kernels, by their versions; all of them if there is none.
    pub kernels: Vec<String>,
    /// What is to be kept away from shared disks.
    pub guards: Vec<Guard>,
    /// Lines of others that say otherwise are taken out of use.
    pub force: bool,
    /// The images are looked into, and made anew where that is needed.
    pub images: bool,
}

/// A kernel of the system, and what it will be told.
#[derive(Clone, Debug)]
pub struct KernelState {
    /// The kernel.
    pub kernel: Kernel,
    /// Its SBP-2 driver, `firewire_sbp2` or `sbp2`. `None` if it has none.
    pub driver: Option<&'static str>,
    /// The driver is a part of the kernel: modprobe.d does not reach it.
    pub is_built_in: bool,
    /// What is configured now, and by whom. `None` if nothing is.
    pub now: Option<(Bool, Place)>,
    /// Its images.
    pub images: Vec<ImageState>,
}

/// A file that changes, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileChange {
    /// The change.
    pub edit: Edit,
    /// What it is for, in a few words.
    pub why: &'static str,
}

/// What is to be done to a system.
#[derive(Debug)]
pub struct Plan {
    /// What it is to reach.
    pub request: Request,
    /// What rules the system.
    pub ruler: Ruler,
    /// What makes the images.
    pub tool: Option<Tool>,
    /// The kernels that were asked for.
    pub kernels: Vec<KernelState>,
    /// The files that change.
    pub files: Vec<FileChange>,
    /// Our files that are as they should be.
    pub unchanged: Vec<PathBuf>,
    /// What keeps the plan from being carried out.
    pub conflicts: Vec<Conflict>,
    /// What should be known.
    pub remarks: Vec<Remark>,
    /// What would use a disk that several hosts see.
    pub dangers: Vec<Danger>,
}

impl Plan {
    /// Whether there is nothing to do, and nothing in the way: all is as wanted.
    #[must_use]
    pub fn is_fulfilled(&self) -> bool {
        self.files.is_empty()
            && !self.lacks_tool()
            && self.conflicts.is_empty()
            && self.images_to_make().next().is_none()
            && !self.leaves_something()
    }

    /// The images that are to be made anew.
    pub fn images_to_make(&self) -> impl Iterator<Item = &ImageState> {
        let images = self.kernels.iter().flat_map(|kernel| &kernel.images);
        images.filter(|image| image.is_to_be_made)
    }

    /// Whether something will be left that the user has to do, or that cannot be done.
    #[must_use]
    pub fn leaves_something(&self) -> bool {
        self.remarks.iter().any(|remark| remark.is_to_do)
    }

    /// Whether images should be made, and nothing is known that makes them.
    #[must_use]
    pub fn lacks_tool(&self) -> bool {
        // Where nothing of ours was, no image has it.
        let has_purpose = self.request.wanted != Wanted::AsBefore || !self.files.is_empty();
        let is_asked = self.request.images && self.request.tool != ToolWish::None;
        is_asked && self.tool.is_none() && has_purpose
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The system cannot be looked at.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What was done before is not known.
    #[error(transparent)]
    Change(#[from] crate::change::ChangeError),
    /// A kernel that was asked for is not there.
    #[error("there is no kernel {version} in /lib/modules; there {}", there(.installed))]
    NoSuchKernel {
        /// Its version.
        version: String,
        /// Those that are there.
        installed: Vec<String>,
    },
    /// No kernel has a driver for SBP-2.
    #[error("no kernel here has a driver for SBP-2 disks: {}", .0.join(", "))]
    NoDriver(Vec<String>),
    /// The files are made from elsewhere.
    #[error("this is {}, and what is in /etc is made from elsewhere", .0.name)]
    Untouchable(Unsupported),
    /// Images would be made below where /boot is to be mounted.
    #[error("/boot is in /etc/fstab and is not mounted")]
    NoBoot,
    /// Two tools are there.
    #[error("there are {0} and {1}, and nothing tells which of them makes the images")]
    WhichTool(Tool, Tool),
}

fn there(versions: &[String]) -> String {
    match versions {
        [] => "is none".into(),
        [one] => format!("is {one}"),
        more => format!("are {}", more.join(", ")),
    }
}
