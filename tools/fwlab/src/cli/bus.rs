//! `fwlab bus`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fwlab::bridge::BridgeSpec;
use ohci_raw::sim::Topology;

#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BusArgs {
    /// Where the bus is to be: an empty folder, or one that is made for it.
    pub(crate) dir: PathBuf,
    /// How many hosts are on the bus. The first one's nodes are in DIR/host0.
    ///
    /// With a controller there may be none.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=62))]
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
    /// A FireWire controller for a virtual machine, at this socket.
    ///
    /// It is made for `fwlab vm --controller SOCKET`, or any QEMU from 10.1 on (device
    /// vfio-user-pci), and removed at the end. One machine at a time is connected to it; when it
    /// goes, its node leaves the bus, and the next one may come. Of several controllers the first
    /// is the node vm0.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) controller: Vec<PathBuf>,
    /// A network among virtual machines, at this socket: for `fwlab vm --network SOCKET`.
    ///
    /// It leads nowhere else.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) network: Option<PathBuf>,
    /// How the nodes are cabled.
    #[arg(long, default_value = "chain")]
    pub(crate) topology: TopologyName,
    /// Say in JSON where the bus is.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Two virtual machines and a bridge, and nobody else:
  fwlab bus lab --hosts 0 --bridge size=64M --controller vm0 --controller vm1 --network net &
  fwlab vm --controller vm0 --network net --number 1 --shell
  fwlab vm --controller vm1 --network net --number 2 --shell";

/// See [`Topology`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum TopologyName {
    /// Each node to the next one.
    Chain,
    /// All to the root.
    Star,
    /// A binary tree.
    Tree,
}

impl From<TopologyName> for Topology {
    fn from(name: TopologyName) -> Self {
        match name {
            TopologyName::Chain => Self::Chain,
            TopologyName::Star => Self::Star,
            TopologyName::Tree => Self::Tree,
        }
    }
}
