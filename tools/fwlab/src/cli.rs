//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fwlab::bridge::BridgeSpec;
use fwlab::lab::command::ResetType;
use fwlab::lab::{Direction, Kind};

/// A FireWire bus in software, as files that answer the firewire-cdev ioctls.
///
/// Programs that use /dev/fw* run on it unchanged: fwshare, libhinawa, libraw1394.
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
  fwlab ctl lab reset --count 20 --interval 100";

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Have a bus, as a folder of files, until SIGINT or SIGTERM.
    Bus(BusArgs),
    /// Meddle with a bus that is there.
    Ctl(CtlArgs),
    /// Write the manual pages to a folder.
    #[command(hide = true)]
    Man {
        /// Which one.
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct BusArgs {
    /// Where the bus is to be: an empty folder, or one that is made for it.
    pub(crate) dir: PathBuf,
    /// How many hosts are on the bus. The first one's nodes are in DIR/host0.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=62))]
    pub(crate) hosts: u8,
    /// A bridge with a disk: profile=, image= or size=, sector=, logins=, speed=, guid=, bad=,
    /// query=, record=.
    ///
    /// Profiles are oxfw911 (unless another is named), oxuf922 and generic. Without image= the
    /// disk is in memory, 64M unless size= says otherwise. A comma in a path is written twice.
    ///
    /// record= names a new file for all that the bridge is told and does, which fwshare trace
    /// shows, scrubs and replays. What fwlab ctl does to the bridge itself (power, corrupt-status)
    /// is not in it, and the replay ends there.
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) bridge: Vec<BridgeSpec>,
    /// Say in JSON where the bus is.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CtlArgs {
    /// Where the bus is.
    pub(crate) dir: PathBuf,
    #[command(subcommand)]
    pub(crate) deed: Deed,
}

/// Nodes are named as `show` does (host0, bridge0), or by their GUID.
#[derive(Subcommand, Debug)]
pub(crate) enum Deed {
    /// Show who is on the bus and what has happened.
    Show {
        /// In JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reset the bus, once or many times.
    ///
    /// The virtual bus makes no difference between short and long resets.
    Reset {
        /// Which kind of reset.
        #[arg(long, default_value = "short")]
        kind: ResetType,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 1)]
        count: u32,
        /// How many milliseconds apart.
        #[arg(long, value_name = "MS", default_value_t = 100)]
        interval: u64,
    },
    /// Pull a node's cable.
    Unplug {
        /// Whose.
        node: String,
    },
    /// Plug a node in again.
    Replug {
        /// Which one.
        node: String,
    },
    /// Give a node another id.
    Renumber {
        /// Which one.
        node: String,
        /// The physical id that it is to have; unless given, the next one.
        phy: Option<u8>,
    },
    /// Have something happen to packets.
    Packets(PacketArgs),
    /// Have a node acknowledge everything and answer nothing.
    Mute {
        /// Which one.
        node: String,
    },
    /// End that.
    Unmute {
        /// Which one.
        node: String,
    },
    /// Leave all packets alone again, those of muted nodes included.
    Clear,
    /// Garble the next status blocks of a bridge.
    CorruptStatus {
        /// Which one.
        bridge: String,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 1)]
        count: u32,
    },
    /// Take a bridge's power away and give it back: logins are forgotten.
    PowerCycle {
        /// Which one.
        bridge: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct PacketArgs {
    /// What is to happen to them.
    pub(crate) fate: FateName,
    /// To how many; to all from now on unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    /// For "delay": by how many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pub(crate) by: u64,
    /// Only those of this node.
    #[arg(long, value_name = "NODE")]
    pub(crate) from: Option<String>,
    /// Only those for this node.
    #[arg(long, value_name = "NODE")]
    pub(crate) to: Option<String>,
    /// Only requests, or only responses.
    #[arg(long)]
    pub(crate) direction: Option<Direction>,
    /// Only what asks for this, and its responses.
    #[arg(long)]
    pub(crate) kind: Option<Kind>,
    /// Only to these addresses, in hexadecimal: FIRST or FIRST-LAST.
    #[arg(long, value_name = "FIRST[-LAST]", value_parser = addresses)]
    pub(crate) address: Option<(u64, u64)>,
}

/// What happens to packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum FateName {
    /// They are lost, and nobody acknowledges them.
    Drop,
    /// They are acknowledged, and nobody looks at them.
    Ignore,
    /// They are answered with "busy" until the sender gives up.
    Busy,
    /// They arrive, but their acknowledgements are lost.
    LoseAck,
    /// They arrive later.
    Delay,
    /// They arrive twice.
    Duplicate,
}

fn addresses(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| {
        let digits = text.trim_start_matches("0x").replace('_', "");
        u64::from_str_radix(&digits, 16).map_err(|error| format!("{text}: {error}"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last || last >= 1 << 48 {
        return Err("must be FIRST or FIRST-LAST, in order and below 1000000000000".to_owned());
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_hexadecimal_and_in_order() {
        assert_eq!(
            addresses("fffff0010000"),
            Ok((0xffff_f001_0000, 0xffff_f001_0000))
        );
        assert_eq!(addresses("0x10-0x1f"), Ok((0x10, 0x1f)));
        for text in ["", "x", "2-1", "1000000000000", "1-"] {
            assert!(addresses(text).is_err(), "{text}");
        }
    }
}
