//! A bus for one virtual machine, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fwlab::bridge::BridgeSpec;
use fwlab::lab::Lab;
use fwlab::seat::Seat;
use fwlab::vm::Scratch;
use fwlab::world::{Timekeeper, World};

use crate::bus::no_lab;
use crate::failure::Failure;

/// A bus with bridges and one controller, without hosts.
pub(super) struct OwnBus {
    controller: PathBuf,
    _seat: Seat,
    _clock: Timekeeper,
    /// Where the socket is. Removed last.
    _folder: Scratch,
}

impl OwnBus {
    /// Without `bridges` it has one of which nothing is said.
    pub(super) fn new(bridges: &[BridgeSpec]) -> Result<Self, Failure> {
        let lab = if bridges.is_empty() {
            let usual = "".parse::<BridgeSpec>().map_err(Failure::new)?;
            Lab::new(0, &[usual])
        } else {
            Lab::new(0, bridges)
        };
        let world = Arc::new(World::new(lab.map_err(no_lab)?));
        let clock = Timekeeper::new(&world)
            .map_err(|error| Failure::new(format!("no clock for the bus: {error}")))?;
        let folder = Scratch::new().map_err(Failure::new)?;
        let controller = folder.path().join("controller");
        let seat = Seat::open(&world, &controller).map_err(Failure::new)?;
        Ok(Self {
            controller,
            _seat: seat,
            _clock: clock,
            _folder: folder,
        })
    }

    /// The controller's socket.
    pub(super) fn controller(&self) -> &Path {
        &self.controller
    }
}
