//! What is printed.

use std::fmt;

use fwlab::size::Readable;
use sbp2::target::Bridge;
use serde::Serialize;

use super::guests::{Did, Guest};
use super::media::Disk;
use crate::cli::ServeArgs;
use crate::device::Found;
use crate::error::{Exit, Failure};
use crate::output;

/// Prints a line for each thing.
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn print(&mut self, what: &(impl Serialize + fmt::Display)) -> Result<(), Failure> {
        if !self.json {
            return output::print(&what.to_string());
        }
        let line = serde_json::to_string(what).map_err(|error| {
            let message = format!("cannot write the result as JSON: {error}");
            Failure::new(Exit::Error, message)
        })?;
        output::print(&format!("{line}\n"))
    }
}

/// What is served, once it can be seen.
#[derive(Serialize)]
pub(super) struct Serving {
    schema: u32,
    event: &'static str,
    guid: String,
    node: String,
    bus: String,
    speed: String,
    profile: &'static str,
    max_logins: usize,
    units: Vec<Unit>,
}

#[derive(Serialize)]
struct Unit {
    lun: usize,
    image: String,
    blocks: u64,
    block_length: u32,
    size: u64,
    read_only: bool,
}

impl Serving {
    pub(super) fn new(
        args: &ServeArgs,
        controller: &Found,
        bridge: &Bridge,
        disks: Vec<Disk>,
    ) -> Self {
        let units = disks.into_iter().enumerate().map(|(lun, disk)| Unit {
            lun,
            image: disk.image.display().to_string(),
            blocks: disk.blocks,
            block_length: disk.block_length,
            size: disk.blocks.saturating_mul(disk.block_length.into()),
            read_only: disk.read_only,
        });
        Self {
            schema: 1,
            event: "serving",
            guid: controller.node.eui64.to_string(),
            node: controller.node.name.clone(),
            bus: args.bus.to_string(),
            speed: bridge.profile().speed.to_string(),
            profile: bridge.profile().name,
            max_logins: bridge.profile().max_logins,
            units: units.collect(),
        }
    }

    /// How the target is called in messages.
    pub(super) fn name(&self) -> String {
        format!("{} ({} on {})", self.guid, self.node, self.bus)
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            guid, node, bus, ..
        } = self;
        writeln!(f, "Target   {guid}, {node} on {bus}, {}", self.speed)?;
        let logins = self.max_logins;
        writeln!(
            f,
            "Bridge   {}, {logins} logins for each unit",
            self.profile
        )?;
        for unit in &self.units {
            let size = Readable(unit.size);
            let protected = if unit.read_only { ", read-only" } else { "" };
            writeln!(
                f,
                "LUN {}    {}, {size}: {} blocks of {} bytes{protected}",
                unit.lun, unit.image, unit.blocks, unit.block_length
            )?;
        }
        writeln!(
            f,
            "Try      fwshare login --shared {guid}:0   (on another host)"
        )
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            initiator,
            lun,
            login_id,
            ..
        } = self;
        let did = match self.event {
            Did::Login if self.exclusive => "has logged in exclusively",
            Did::Login => "has logged in",
            Did::Logout => "has logged out",
            Did::Lost => "has not come back after a bus reset",
        };
        writeln!(f, "{initiator} {did} (LUN {lun}, login ID {login_id})")
    }
}

/// What was served in the end.
#[derive(Serialize)]
pub(super) struct Served {
    pub(super) schema: u32,
    pub(super) event: &'static str,
    pub(super) logins: usize,
    pub(super) logins_refused: usize,
    pub(super) commands: usize,
    pub(super) bus_resets: usize,
    pub(super) blocks_read: u64,
    pub(super) blocks_written: u64,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Served {} commands of {} logins: {} blocks read, {} written, all of them flushed",
            self.commands, self.logins, self.blocks_read, self.blocks_written
        )
    }
}
