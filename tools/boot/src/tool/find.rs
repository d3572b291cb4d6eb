//! Which tool rules a system.
//!
//! A program named update-initramfs proves nothing (dracut of Debian 14 brings one), nor does a
//! folder of configuration that was left behind. What counts is what generates images.

use std::path::{Path, PathBuf};

use super::Tool;
use crate::tree::{Kind, Tree, TreeError};

/// What makes a system's images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruler {
    /// A tool that is known.
    Tool(Tool),
    /// Two of them, and nothing that tells which.
    Either(Tool, Tool),
    /// One that is known by name only.
    Unsupported(Unsupported),
    /// None that was found.
    Nothing,
}

/// A system whose images are made in another way, and what its administrator does by hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// Its name.
    pub name: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Nothing may be written: what is in /etc is made from elsewhere.
    pub is_untouchable: bool,
}

const NIXOS: Unsupported = Unsupported {
    name: "NixOS",
    advice: "add to configuration.nix, then nixos-rebuild boot:\n\
             boot.initrd.availableKernelModules = [ \"firewire-ohci\" \"firewire-sbp2\" \"sd_mod\" ];\n\
             boot.extraModprobeConfig = \"options firewire-sbp2 exclusive_login=0\";",
    is_untouchable: true,
};
const OSTREE: Unsupported = Unsupported {
    name: "an OSTree system",
    advice: "its images come from a server. By the kernel's command line, for early boot as well:\n\
             rpm-ostree kargs --append=firewire_sbp2.exclusive_login=0",
    is_untouchable: true,
};
const MKINITFS: Unsupported = Unsupported {
    name: "mkinitfs",
    advice: "it copies /etc/modprobe.d. For the modules, put kernel/drivers/firewire into\n\
             /etc/mkinitfs/features.d/fwshare.modules, add fwshare to features= in\n\
             /etc/mkinitfs/mkinitfs.conf, and run mkinitfs",
    is_untouchable: false,
};
const BOOSTER: Unsupported = Unsupported {
    name: "booster",
    advice: "add to /etc/booster.yaml, then /usr/lib/booster/regenerate_images:\n\
             modules: firewire-ohci,firewire-sbp2,sd_mod\n\
             extra_files: /etc/modprobe.d/fwshare.conf",
    is_untouchable: false,
};
const TINY: Unsupported = Unsupported {
    name: "tiny-initramfs",
    advice: "it knows no options for modules. By the kernel's command line:\n\
             firewire_sbp2.exclusive_login=0",
    is_untouchable: false,
};
const GENKERNEL: Unsupported = Unsupported {
    name: "genkernel",
    advice: "add firewire-ohci, firewire-sbp2 and sd_mod to MODULES_FIREWIRE of its configuration,\n\
             and put the option on the kernel's command line: firewire_sbp2.exclusive_login=0",
    is_untouchable: false,
};
const INITRD_TOOLS: Unsupported = Unsupported {
    name: "Debian's mkinitrd (initrd-tools)",
    advice: "add the lines ohci1394, sbp2 exclusive_login=0 serialize_io=1 and sd_mod to\n\
             /etc/mkinitrd/modules, and make the image: mkinitrd -o /boot/initrd.img-VERSION VERSION.\n\
             It is a cramfs file system, into which fwshare cannot look",
    is_untouchable: false,
};

impl Ruler {
    /// Finds it out.
    ///
    /// # Errors
    /// [`TreeError`] if the system cannot be looked at.
    pub fn find(tree: &dyn Tree) -> Result<Self, TreeError> {
        let exists = |path: &str| Ok::<_, TreeError>(tree.kind(Path::new(path))?.is_some());
        if exists("/etc/NIXOS")? {
            return Ok(Self::Unsupported(NIXOS));
        }
        if exists("/run/ostree-booted")? || tree.kind(Path::new("/ostree"))? == Some(Kind::Folder) {
            return Ok(Self::Unsupported(OSTREE));
        }
        let mut found = Vec::new();
        for tool in Tool::ALL {
            if is_installed(tree, tool)? {
                found.push(tool);
            }
        }
        // SUSE's and Fedora's dracut bring a mkinitrd of the old name.
        if found.contains(&Tool::Dracut) {
            found.retain(|tool| *tool != Tool::Mkinitrd);
        }
        match found[..] {
            [tool] => return Ok(Self::Tool(tool)),
            [one, other, ..] => {
                let kernels = builds_for_kernels(tree, &found)?;
                return Ok(match kernels[..] {
                    [tool] => Self::Tool(tool),
                    _ => Self::Either(one, other),
                });
            }
            [] => {}
        }
        for (path, known) in [
            ("/sbin/mkinitfs", MKINITFS),
            ("/usr/bin/booster", BOOSTER),
            ("/usr/sbin/update-tirfs", TINY),
            ("/usr/bin/genkernel", GENKERNEL),
            ("/etc/mkinitrd/mkinitrd.conf", INITRD_TOOLS),
        ] {
            if exists(path)? {
                return Ok(Self::Unsupported(known));
            }
        }
        Ok(Self::Nothing)
    }
}

fn is_installed(tree: &dyn Tree, tool: Tool) -> Result<bool, TreeError> {
    let programs: &[&str] = match tool {
        Tool::InitramfsTools => &["/usr/sbin/mkinitramfs"],
        Tool::Dracut => &["/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut"],
        Tool::Mkinitcpio => &["/usr/bin/mkinitcpio", "/sbin/mkinitcpio"],
        // initrd-tools of Debian has a program of that name, and another way.
        Tool::Mkinitrd if tree.is_file(Path::new("/etc/mkinitrd/mkinitrd.conf"))? => &[],
        Tool::Mkinitrd => &["/sbin/mkinitrd"],
    };
    for program in programs {
        if tree.is_file(Path::new(program))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those that build an image when a kernel is installed.
fn builds_for_kernels(tree: &dyn Tree, tools: &[Tool]) -> Result<Vec<Tool>, TreeError> {
    let mut building = Vec::new();
    for tool in tools {
        for folder in ["/etc/kernel/postinst.d", "/usr/lib/kernel/install.d"] {
            for name in tree.list(Path::new(folder))? {
                let file: PathBuf = Path::new(folder).join(&name);
                let named = name.to_str().is_some_and(|name| name.contains(tool.name()));
                if named && tree.is_file(&file)? && !building.contains(tool) {
                    building.push(*tool);
                }
            }
        }
    }
    Ok(building)
}
