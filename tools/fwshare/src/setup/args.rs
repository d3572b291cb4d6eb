//! The command lines of `setup-initramfs` and `setup-udev`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use fwshare_boot::guard::{Guard, ParseGuardError};
use fwshare_boot::kernels::{Version, VersionError};
use fwshare_boot::tool::{ParseToolError, Tool};

/// Set the kernel's own driver up to share disks, from modprobe.d to the initramfs
///
/// The kernel's driver logs in exclusively unless it is told otherwise when it is loaded, and that
/// happens in the initramfs. So an option is written for it, the driver and the option are put
/// into the images of the kernels, and each new image is opened to see that they are inside and
/// that no other line wins, before it takes the old one's place.
///
/// First it shows what it is going to do, as a diff and as commands. Only files of its own are
/// written. A line of somebody else's that says otherwise ends it before anything is changed;
/// --force comments that line out. --remove brings back what was there. A second run changes
/// nothing.
///
/// What would assemble or mount a disk that several hosts see is told at the end; --guard stops
/// it. Without --now nothing changes before the next boot.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
#[command(group = clap::ArgGroup::new("state").args(["shared", "exclusive", "remove"]))]
pub(crate) struct SetupInitramfsArgs {
    /// Let other hosts log in, too; this is what happens if nothing else is said
    #[arg(long, help_heading = "What is wanted")]
    pub(crate) shared: bool,
    /// Shut other hosts out, whatever else is configured
    #[arg(long, help_heading = "What is wanted")]
    pub(crate) exclusive: bool,
    /// Bring back what was there before fwshare was here, byte for byte
    #[arg(long, help_heading = "What is wanted")]
    pub(crate) remove: bool,

    /// Show the plan, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change nothing, and tell whether all is as wanted: exit code 0 if it is, 10 if not
    #[arg(long, conflicts_with_all = ["dry_run", "remove", "now", "force", "no_rebuild"])]
    pub(crate) check: bool,
    /// The root of another system, in a folder. Nothing outside of it is touched, and its own
    /// tools make its images, in a namespace of their own.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// For which kernels: a version, `all`, or `running`; may be repeated
    #[arg(long, value_name = "VERSION|all|running", default_value = "all")]
    pub(crate) kernel: Vec<KernelChoice>,
    /// What makes the images: initramfs-tools, dracut, mkinitcpio, mkinitrd; `auto` looks,
    /// `none` makes none
    #[arg(long, value_name = "TOOL", default_value = "auto")]
    pub(crate) tool: ToolChoice,
    /// Write the files, and make no images
    #[arg(long)]
    pub(crate) no_rebuild: bool,
    /// Have it take effect on the running kernel as well. Disks that are in use keep it from
    /// doing anything.
    #[arg(long, conflicts_with = "remove")]
    pub(crate) now: bool,
    /// Keep things away from shared disks: lvm, md, udisks, multipath, fstab, resume; or `all`
    #[arg(long, value_name = "WHAT,...", value_delimiter = ',')]
    pub(crate) guard: Vec<GuardChoice>,
    /// Comment out lines of others that say otherwise; --remove brings them back
    #[arg(long)]
    pub(crate) force: bool,
    /// Print one JSON object: the plan, and what came of it
    #[arg(long)]
    pub(crate) json: bool,
}

const AFTER: &str = "\
Examples:
  What would be done, and how things are:
      fwshare setup-initramfs --dry-run
      fwshare setup-initramfs --check
  Do it, at once as well, and keep LVM and desktops off the disks:
      fwshare setup-initramfs --now --guard lvm,udisks
  Prepare a system in a folder, for an image:
      fwshare setup-initramfs --root /mnt/target
  Undo it:
      fwshare setup-initramfs --remove";

/// Which kernels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KernelChoice {
    All,
    Running,
    Version(Version),
}

impl FromStr for KernelChoice {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "running" => Ok(Self::Running),
            _ => text.parse().map(Self::Version),
        }
    }
}

/// Which tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ToolChoice {
    Auto,
    None,
    Tool(Tool),
}

impl FromStr for ToolChoice {
    type Err = ParseToolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::Tool),
        }
    }
}

/// Which guards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GuardChoice {
    All,
    One(Guard),
}

impl FromStr for GuardChoice {
    type Err = ParseGuardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::One),
        }
    }
}

/// Write the rules for udev: who may open nodes, and what disks are called and kept from
///
/// The kernel gives the files of FireWire disks and controllers, /dev/fw*, to root alone. A rule
/// gives them to a group: its members can run fwshare without being root. Without the controller's
/// own file nobody can log in, so it is among them. Members of the group can do to such a disk what
/// they like, reset the bus, and change what this host shows of itself there.
///
/// Two more are for the block devices that `fwshare login` has, as root: /dev/disk/by-id/firewire-
/// GUID-LUN, with -partN for partitions, for the group disk. LVM, md, bcache, ZFS and desktops keep
/// off them until somebody asks, because other hosts see the disk too. They are left out where a
/// package has them in /usr/lib/udev/rules.d.
#[derive(Args, Debug)]
#[command(after_long_help = UDEV_AFTER)]
pub(crate) struct SetupUdevArgs {
    /// The group
    #[arg(long, value_name = "GROUP", default_value = "disk")]
    pub(crate) group: String,
    /// Take the rules away
    #[arg(long)]
    pub(crate) remove: bool,
    /// Show what would be written, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The root of another system, in a folder
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const UDEV_AFTER: &str = "\
Examples:
  A group of its own, and somebody in it:
      groupadd --system firewire
      usermod --append --groups firewire alice
      fwshare setup-udev --group firewire";
