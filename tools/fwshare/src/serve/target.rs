//! The bridge at this host's own node: shown, served and taken away again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ohci_raw::bus::{AddressRange, Event as BusEvent, Generation, Instant, Machine as _};
use ohci_raw::port::{DescriptorHandle, Port, PortError, drive};
use sbp2::target::{Bridge, MAX_UNITS};

use super::failure;
use super::guests::{Guest, Guests};
use super::shown::Served;
use crate::error::Failure;

/// How long to wait for the bus reset that follows a change of the configuration ROM. Linux makes
/// it at once, or two seconds after the one before.
const RESET_PATIENCE: Duration = Duration::from_secs(5);

/// How often it looks after the time at least.
const TURN: Duration = Duration::from_millis(500);
/// A turn that took longer than this leaves doubt whether hosts still wait for answers: they do so
/// for two seconds (Linux), or less.
const LATE: Duration = Duration::from_secs(1);

/// Something to be told.
pub(super) enum Event {
    /// The others can see the disk.
    Visible,
    /// A host came or went.
    Guest(Guest),
    /// It is about to end.
    Stopping,
}

/// Where it is on its way. A change of the ROM is waited for until `since` is no longer the
/// generation, or until the time is over.
#[derive(Clone, Copy)]
enum Stage {
    /// Its unit directory is in the ROM, and the bus reset that tells the others is to come.
    Appearing { until: Instant },
    /// It serves.
    Open,
    /// Its unit directory is gone from the ROM. What hosts have under way goes on until the bus
    /// reset that tells them, which takes it away from them in the way they are used to.
    Disappearing { until: Instant },
}

pub(super) struct Target {
    port: Box<dyn Port>,
    bridge: Bridge,
    name: String,
    registers: [AddressRange; 2],
    descriptor: Option<DescriptorHandle>,
    guests: Guests,
    /// Of the last bus reset.
    generation: Option<Generation>,
    stage: Stage,
    /// When the last turn began.
    turned: Instant,
    /// Since when it has been catching up with what happened while it was late.
    catches_up: Option<Instant>,
}

impl Target {
    /// Claims the registers of `bridge` and puts its unit directory into the host's ROM. `name`
    /// is for messages.
    pub(super) fn show(
        mut port: Box<dyn Port>,
        mut bridge: Bridge,
        name: &str,
    ) -> Result<Self, Failure> {
        let unit = bridge
            .unit_directory()
            .map_err(|error| failure::of_unit(&error))?;
        let refused = |error: PortError| failure::of_port(&error, name);
        // Where the ROM says, and nowhere else: a disk must not change its identity with its place.
        let region = bridge.management_agent();
        let management = region
            .map(|region| port.allocate_in(region, region.length()))
            .transpose()
            .map_err(refused)?;
        let Some(management) = management else {
            return Err(refused(PortError::BadLength { length: 0 }));
        };
        // Hosts are told where these are.
        let agents = port.allocate(bridge.agents_length()).map_err(refused)?;
        let placed = bridge.place_agents(agents);
        placed.map_err(|error| failure::of_bridge(&error))?;
        let descriptor = port.add_descriptor(&unit).map_err(refused)?;
        let turned = port.now();
        let until = turned + RESET_PATIENCE;
        Ok(Self {
            port,
            bridge,
            name: name.to_owned(),
            registers: [management, agents],
            descriptor: Some(descriptor),
            guests: Guests::default(),
            generation: None,
            stage: Stage::Appearing { until },
            turned,
            catches_up: None,
        })
    }

    /// Serves until `stopping`, and then until the others know that it is over.
    pub(super) fn run(
        &mut self,
        stopping: &AtomicBool,
        mut tell: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            self.notice_standstill();
            // What has happened before comes first: it may take back what is to be sent.
            if self.catches_up.is_none() {
                drive(&mut *self.port, &mut self.bridge).map_err(|error| self.lost(&error))?;
            }
            // Who was there before knows the way, and may be in before all others can see it.
            if !matches!(self.stage, Stage::Appearing { .. }) {
                for guest in self.guests.look(&self.bridge) {
                    tell(Event::Guest(guest))?;
                }
            }
            let now = self.port.now();
            let is_stopping = matches!(self.stage, Stage::Disappearing { .. });
            if stopping.load(Ordering::Acquire) && !is_stopping {
                tell(Event::Stopping)?;
                self.take_away()?;
                if self.bridge.logins().is_empty() {
                    return Ok(());
                }
            }
            match self.stage {
                Stage::Appearing { until } if until <= now => {
                    tracing::warn!("no bus reset has told the other nodes of the disk yet");
                    self.stage = Stage::Open;
                    tell(Event::Visible)?;
                }
                Stage::Disappearing { until } if until <= now => return Ok(()),
                _ => {}
            }
            let event = self.next_event()?;
            // Somebody who never stops writing must not keep the others waiting.
            let now = self.port.now();
            let is_over = |since| event.is_none() || now.saturating_since(since) > LATE;
            if self.catches_up.is_some_and(is_over) {
                self.catches_up = None;
                self.bridge.caught_up();
            }
            if let Some(BusEvent::BusReset(reset)) = &event {
                let before = self.generation.replace(reset.generation);
                let is_new = before.is_some_and(|before| before != reset.generation);
                match self.stage {
                    Stage::Appearing { .. } if is_new => {
                        self.stage = Stage::Open;
                        tell(Event::Visible)?;
                    }
                    Stage::Disappearing { .. } if is_new => return Ok(()),
                    _ => {}
                }
            }
            let now = self.port.now();
            if let Some(event) = event {
                self.bridge.handle(event, now);
            }
            if self.bridge.poll_timeout().is_some_and(|due| due <= now) {
                self.bridge.handle_timeout(now);
            }
        }
    }

    /// Tells the bridge when a turn has taken too long: there was no processor, or an image was slow.
    fn notice_standstill(&mut self) {
        let now = self.port.now();
        let turn = now.saturating_since(self.turned);
        self.turned = now;
        if turn > LATE {
            tracing::warn!(?turn, "stood still: hosts may have to ask again");
            self.bridge.stood_still();
            self.catches_up = Some(now);
        }
    }

    fn next_event(&mut self) -> Result<Option<BusEvent>, Failure> {
        let own = match self.stage {
            Stage::Appearing { until } | Stage::Disappearing { until } => Some(until),
            Stage::Open => None,
        };
        let timeout = match self.catches_up {
            Some(_) => Duration::ZERO,
            None => {
                let due = own.into_iter().chain(self.bridge.poll_timeout()).min();
                due.map_or(TURN, |due| due.saturating_since(self.port.now()).min(TURN))
            }
        };
        let event = self.port.next_event(Some(timeout));
        event.map_err(|error| self.lost(&error))
    }

    /// Lets nobody in any more, flushes, and takes the unit directory out of the ROM.
    fn take_away(&mut self) -> Result<(), Failure> {
        self.bridge.refuse_logins();
        if let Err((lun, error)) = self.bridge.flush() {
            // It fails again at the end, and that is told.
            tracing::error!(lun, %error, "the image cannot be flushed");
        }
        if let Some(descriptor) = self.descriptor.take() {
            let removed = self.port.remove_descriptor(descriptor);
            removed.map_err(|error| self.lost(&error))?;
        }
        let until = self.port.now() + RESET_PATIENCE;
        self.stage = Stage::Disappearing { until };
        Ok(())
    }

    fn lost(&self, error: &PortError) -> Failure {
        failure::of_bus_lost(error, &self.name)
    }

    /// Takes everything away that is still there, and brings what was written to the images.
    pub(super) fn end(mut self) -> Result<Served, Failure> {
        // With the port both go in any case.
        if let Some(descriptor) = self.descriptor.take()
            && let Err(error) = self.port.remove_descriptor(descriptor)
        {
            tracing::debug!(%error, "the unit directory goes with the file");
        }
        for range in self.registers {
            if let Err(error) = self.port.deallocate(range) {
                tracing::debug!(%error, "the registers go with the file");
            }
        }
        let flushed = self.bridge.flush();
        flushed.map_err(|(lun, error)| failure::of_flush(lun, &error, &self.name))?;
        let counters = self.bridge.counters();
        let luns = 0..u16::try_from(MAX_UNITS).unwrap_or(u16::MAX);
        let devices = luns.filter_map(|lun| self.bridge.device(lun));
        let moved = devices
            .map(|device| device.counters())
            .fold((0, 0), |sum, unit| {
                (sum.0 + unit.blocks_read, sum.1 + unit.blocks_written)
            });
        Ok(Served {
            schema: 1,
            event: "end",
            logins: counters.logins(),
            logins_refused: counters.logins_refused(),
            commands: counters.commands(),
            bus_resets: counters.bus_resets(),
            blocks_read: moved.0,
            blocks_written: moved.1,
        })
    }
}
