//! The command line.

// The comments on arguments are their help texts, in which brackets are no links.
#![allow(rustdoc::broken_intra_doc_links)]

mod bus;
mod ctl;
mod vm;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use self::bus::{BusArgs, TopologyName};
pub(crate) use self::ctl::{CtlArgs, Deed, FateName, PacketArgs};
pub(crate) use self::vm::{VmArgs, Wanted};

/// A FireWire bus in software: as files that answer the firewire-cdev ioctls, and as controllers
/// of virtual machines.
///
/// Programs that use /dev/fw* run on the files unchanged: fwshare, libhinawa, libraw1394. In the
/// virtual machines Linux's own FireWire drivers do.
#[derive(Parser, Debug)]
#[command(name = "fwlab", version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Say more on standard error; twice or thrice for even more (or set FWLAB_LOG).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Two hosts and one disk:
  truncate -s 64M disk.img
  fwlab bus lab --hosts 2 --bridge profile=oxfw911,image=disk.img &
  fwshare scan --bus lab/host0
  fwshare login --shared --bus lab/host0 --export nbd:unix:/tmp/a &
  fwshare login --shared --bus lab/host1 --export nbd:unix:/tmp/b &
  fwlab ctl lab reset --count 20 --interval 100

A Linux kernel with its own FireWire drivers, and a shell in it:
  fwlab vm --shell";

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Have a bus, as a folder of files, until SIGINT or SIGTERM.
    Bus(BusArgs),
    /// Meddle with a bus that is there.
    Ctl(CtlArgs),
    Vm(VmArgs),
    /// Write the manual pages to a folder.
    #[command(hide = true)]
    Man {
        /// Which one.
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
