//! A bridge in software: the side of SBP-2 that has the disk.
//!
//! [`Bridge`] is what sits between FireWire and a disk: it answers on the bus as an SBP-2 target
//! and hands commands to a [`DeviceServer`] over a [`Medium`]. Attach it to a bus with what
//! [`Bridge::rom`] and [`Bridge::claims`] say, hand it events, carry out its actions.
//!
//! # What happens, in the order in which a host sees it
//! 1. The host reads the configuration ROM ([`BridgeProfile`]) and finds the *management agent*,
//!    a register. It writes there where a LOGIN ORB lies in its memory.
//! 2. The bridge fetches the ORB, reads the host's EUI-64 to know who that is, decides by the
//!    rules for logins, writes the answer into the host's memory, and a status block to the
//!    host's *status FIFO*. The answer names the *command block agent* that belongs to this login.
//! 3. The host writes to that agent's ORB_POINTER where its first command ORB lies. The agent
//!    fetches it, and follows next_ORB from one to the next. The bridge executes them in order,
//!    and alternates between the logins of a logical unit.
//! 4. A command's data is moved by the bridge: it reads the host's memory for a WRITE, and writes
//!    to it for a READ, in packets no larger than the ORB allows. Then follows the status block.
//! 5. A bus reset takes away every ORB without a word. Logins live on for as long as was
//!    promised; a host that sends RECONNECT in time has its login again and starts anew at 3.
//!
//! | file | what it is |
//! |---|---|
//! | `profile` | kinds of bridges, and the ROM that each shows |
//! | `registers` | which address is what: the requests of other nodes |
//! | `management_agent` | one management ORB on its way from fetch to status |
//! | `functions` | what management ORBs do: login, reconnect, logout, abort, reset |
//! | `logins` | who is in, who gets in, and for how long after a bus reset |
//! | `fetch_agent` | the command block agent of a login: from a pointer to a queue of ORBs |
//! | `execute` | which ORB is next; carries requests and responses between tasks and the bus |
//! | `task` | one command ORB: its checks and its data |
//! | `segments` | the buffer that an ORB describes, page tables included |
//! | `outcome` | how an ORB ended, as a status block says it |
//! | `outbox` | what leaves the bridge and what waits for an answer; repeats what met a busy node |
//! | `counters` | what the bridge has done, to be read from outside |
//!
//! # What can be relied upon
//! - GOOD is reported when all data has moved, the medium has taken it, and with FUA or without
//!   a write cache the medium has been flushed.
//! - The medium is written with nothing but data that has arrived, in whole blocks, and the
//!   initiator's memory is touched only inside the buffer that the ORB describes.
//! - Nothing that an initiator does makes the bridge panic or take more memory than its profile
//!   implies: a chunk of data for each logical unit, some ORBs for each login, and a bounded
//!   number of requests on the bus.
//! - The same events at the same times give the same actions.
//!
//! # Where the standard leaves a choice
//! - CHECK CONDITION does not stop a list of ORBs; a failure of the bus does (`dead` is set).
//! - ORBs that another host's LOGICAL UNIT RESET or TARGET RESET takes away are reported to their
//!   owner as aborted, with `dead` set, so that nobody has to wait for a time-out.
//! - Everything but success carries sense data or a `resp` other than 0, because Linux's
//!   initiator does not look at sbp_status.
//! - A LOGIN in the time for reconnects is granted if there is room; held logins count.
//! - The status block is always written; the notify bit of command ORBs is not looked at.
//!
//! Not there: passwords (SET PASSWORD is refused, a password in a LOGIN ignored), normalised
//! page tables (refused), execution out of order, isochronous anything.
//!
//! Section numbers are those of ANSI NCITS 325-1998. Where the text of a rule was not at hand,
//! `drivers/target/sbp/sbp_target.c` and `drivers/firewire/sbp2.c` of Linux decided.
//!
//! [`DeviceServer`]: crate::scsi::DeviceServer
//! [`Medium`]: crate::scsi::Medium

mod counters;
mod execute;
mod fetch_agent;
mod functions;
mod logins;
mod management_agent;
mod outbox;
mod outcome;
mod profile;
mod registers;
mod segments;
mod task;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ohci_raw::bus::{
    Action, AddressRange, BusReset, Eui64, Event, Instant, Machine, RCode, Speed, Token,
};
use ohci_raw::config_rom::{BuildError, Descriptor, Key};

use crate::scsi::{Completion, DeviceServer, Identity, Medium};
pub use counters::Counters;
use execute::Unit;
use logins::{Logins, Rules};
use management_agent::ManagementAgent;
use outbox::Outbox;
pub use profile::{BridgeProfile, SameInitiator};
use registers::Registers;

/// A profile that no bridge can have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// A field has a value out of its range.
    #[error("{field} of the bridge's profile is {value}, must be {allowed}")]
    Field {
        /// The field of [`BridgeProfile`].
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// There is no logical unit, or there are too many.
    #[error("a bridge with {0} logical units: must be 1 to {MAX_UNITS}")]
    Units(usize),
    /// The command block agents have too little room.
    #[error("the command block agents have {length} bytes and need {needed}")]
    Agents {
        /// How many bytes there are.
        length: u64,
        /// How many there must be.
        needed: u64,
    },
    /// The configuration ROM cannot be built.
    #[error("the bridge's configuration ROM: {0}")]
    Rom(#[from] BuildError),
}

/// The most logical units of a bridge.
pub const MAX_UNITS: usize = 8;

/// Who asked for what the outbox sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Management {
        epoch: u64,
    },
    Fetch {
        slot: usize,
        epoch: u64,
    },
    Store {
        unit: usize,
        serial: u64,
        length: usize,
    },
    Load {
        unit: usize,
        serial: u64,
        offset: usize,
        length: usize,
    },
    Table {
        unit: usize,
        serial: u64,
        length: usize,
    },
    /// A status block of a command, or an unsolicited one.
    Status {
        slot: usize,
    },
}

/// A bridge in software. See the [module](self).
pub struct Bridge {
    profile: BridgeProfile,
    rom: Vec<u32>,
    registers: Registers,
    outbox: Outbox<Who>,
    management: ManagementAgent,
    /// The login that the management ORB under way has entered and not yet confirmed.
    new_login: Option<usize>,
    logins: Logins,
    units: Vec<Unit>,
    counters: Arc<Counters>,
    /// No new logins.
    closed: bool,
    /// What it is told happened some time ago.
    is_late: bool,
}

/// An initiator that is logged in, as [`Bridge::logins`] tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoggedIn {
    /// The login's ID. No two logins of a bridge have the same at the same time.
    pub login_id: u16,
    /// To which logical unit.
    pub lun: u16,
    /// Who it is.
    pub initiator: Eui64,
    /// Whether it shuts others out.
    pub exclusive: bool,
    /// False from a bus reset on until it has reconnected.
    pub connected: bool,
}

impl Bridge {
    /// A bridge of this kind with one logical unit over each medium, LUN 0 first.
    ///
    /// # Errors
    /// [`BridgeError`] says what the profile must not be.
    pub fn new(profile: BridgeProfile, media: Vec<Box<dyn Medium>>) -> Result<Self, BridgeError> {
        check(&profile)?;
        let units = media.len();
        let luns: Vec<u16> = (0..=u16::MAX).take(units).collect();
        if units == 0 || units > MAX_UNITS {
            return Err(BridgeError::Units(units));
        }
        let rom = profile.rom(luns.len() as u16)?;
        let logins = Logins::new(Rules {
            units,
            max_logins: profile.max_logins,
            max_reconnect_hold: profile.max_reconnect_hold,
            same_initiator: profile.same_initiator,
            orb_size: usize::from(profile.orb_size) * 4,
        });
        let slots = units * profile.max_logins;
        let limit = slots * 4 + units * (profile.data_window + 1) + 8;
        let units = media
            .into_iter()
            .zip(0..)
            .map(|(medium, lun)| {
                let identity = Identity {
                    eui64: profile.eui64,
                    luns: luns.clone(),
                    ..profile.identity.clone()
                };
                Unit::new(DeviceServer::new(identity.of_lun(lun), medium))
            })
            .collect();
        Ok(Self {
            rom,
            registers: Registers::new(profile.management_agent_offset, slots),
            outbox: Outbox::new(limit),
            management: ManagementAgent::new(),
            new_login: None,
            logins,
            units,
            counters: Arc::new(Counters::new(slots)),
            closed: false,
            is_late: false,
            profile,
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn profile(&self) -> &BridgeProfile {
        &self.profile
    }

    /// Its configuration ROM in host byte order, from the first quadlet on.
    #[must_use]
    pub fn rom(&self) -> &[u32] {
        &self.rom
    }

    /// The addresses that it serves, beside its ROM. Requests to others are not for it.
    #[must_use]
    pub fn claims(&self) -> Vec<AddressRange> {
        self.registers.claims()
    }

    /// Its management agent's registers alone, for a node of which somebody else serves the core
    /// registers, as Linux does. The ROM says where they are.
    #[must_use]
    pub fn management_agent(&self) -> Option<AddressRange> {
        self.registers.management_agent()
    }

    /// How many bytes its command block agents' registers take.
    #[must_use]
    pub const fn agents_length(&self) -> u64 {
        self.registers.agents_length()
    }

    /// Has the command block agents' registers elsewhere than behind the management agent; hosts
    /// learn where when they log in. To be called before anybody does.
    ///
    /// A bridge in software can be late: its program waits for a processor. A host that has no
    /// answer to its write of ORB_POINTER within its split timeout takes it for failed, and has the
    /// memory of the ORB back. Linux even puts the next one there. Carried out late, the ORB is
    /// fetched twice or in the wrong shape, and wrong data are written. So the registers belong
    /// where the controller acknowledges writes as complete ([`csr::POSTED_WRITES`]): nobody has to
    /// wait for an answer then, and there is no doubt. That a write was refused is not heard there.
    ///
    /// # Errors
    /// [`BridgeError::Agents`] if `range` is too short.
    ///
    /// [`csr::POSTED_WRITES`]: ohci_raw::bus::csr::POSTED_WRITES
    pub const fn place_agents(&mut self, range: AddressRange) -> Result<(), BridgeError> {
        let (length, needed) = (range.length(), self.agents_length());
        if length < needed {
            return Err(BridgeError::Agents { length, needed });
        }
        self.registers.place_agents(range.start());
        Ok(())
    }

    /// Its unit directory, for a node whose configuration ROM somebody else makes.
    ///
    /// # Errors
    /// [`BuildError`], as for the ROM.
    pub fn unit_directory(&self) -> Result<Descriptor, BuildError> {
        // At most MAX_UNITS.
        let units = self.units.len() as u16;
        Descriptor::directory(Key::UNIT_DIRECTORY, &self.profile.unit_directory(units))
    }

    /// Who is logged in and knows it.
    #[must_use]
    pub fn logins(&self) -> Vec<LoggedIn> {
        let generation = self.outbox.generation();
        let logins = self.logins.iter().filter(|(_, login)| login.confirmed);
        let told = logins.map(|(_, login)| LoggedIn {
            login_id: login.id,
            // At most MAX_UNITS.
            lun: login.unit as u16,
            initiator: login.eui64,
            exclusive: login.exclusive,
            connected: login.node(generation).is_some(),
        });
        told.collect()
    }

    /// From now on every LOGIN is refused with "resources unavailable". Those who are in stay.
    pub const fn refuse_logins(&mut self) {
        self.closed = true;
    }

    /// To be called when the program that runs the bridge has not done so for so long that hosts may
    /// have given up, because it had no processor or because a medium was slow. What is handed in
    /// until [`Self::caught_up`] happened meanwhile.
    ///
    /// Linux waits two seconds for an answer to its write of the management agent, and then has the
    /// memory back where the answer to a LOGIN would go. So a LOGIN of that time, and one under way,
    /// is not answered; hosts ask again. Commands have more time, and AGENT_RESET takes them back:
    /// hand in what has happened before the bridge's next actions are carried out.
    pub fn stood_still(&mut self) {
        self.is_late = true;
        self.management.doubt();
        let its_own = |who: &Who| matches!(who, Who::Management { .. });
        // What has left the bridge is beyond recall.
        if self.management.must_not_answer() && self.outbox.cancel(its_own) {
            self.forget_management_orb();
        }
    }

    /// All that has happened while the bridge stood still has been handed in.
    pub const fn caught_up(&mut self) {
        self.is_late = false;
    }

    /// Brings all that was written to the media, whatever happens to one of them.
    ///
    /// # Errors
    /// The first logical unit whose medium failed, and how.
    pub fn flush(&mut self) -> Result<(), (u16, Completion)> {
        let mut result = Ok(());
        for (unit, lun) in self.units.iter_mut().zip(0..) {
            if let Err(error) = unit.flush() {
                result = result.and(Err((lun, error)));
            }
        }
        result
    }

    /// What it has done and does; goes on counting wherever the bridge is.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The device server of a logical unit.
    #[must_use]
    pub fn device(&self, lun: u16) -> Option<&DeviceServer> {
        self.units.get(usize::from(lun)).map(Unit::device)
    }

    fn response(&mut self, token: Token, rcode: RCode, data: &[u8], now: Instant) {
        let Some(who) = self.outbox.take(token, rcode, now) else {
            return;
        };
        if !rcode.is_complete() {
            self.counters.count_transport_error();
        }
        match who {
            Who::Management { epoch } => self.management_response(epoch, rcode, data),
            Who::Fetch { slot, epoch } => self.orb_response(slot, epoch, rcode, data),
            Who::Store {
                unit,
                serial,
                length,
            } => self.task_response(unit, serial, |task| task.stored(length, rcode)),
            Who::Load {
                unit,
                serial,
                offset,
                length,
            } => self.task_response(unit, serial, |task| {
                task.fetched(offset, length, rcode, data)
            }),
            Who::Table {
                unit,
                serial,
                length,
            } => self.task_response(unit, serial, |task| task.table_fetched(length, rcode, data)),
            // Who cannot be told stays untold, and finds out by its own time-out.
            Who::Status { .. } => {}
        }
    }

    fn bus_reset(&mut self, reset: &BusReset, now: Instant) {
        // Told again because more peers are known.
        if self.outbox.generation() == Some(reset.generation) {
            return;
        }
        self.counters.count_bus_reset();
        self.outbox.bus_reset(reset.generation);
        self.management.reset();
        self.new_login = None;
        for slot in self.logins.slots() {
            self.drop_tasks(slot);
        }
        for slot in self.logins.hold_all(now) {
            self.logins.remove(slot);
        }
    }

    /// Everything is as after power on, but for what is on the medium: nobody is logged in, and
    /// the next command of each login-to-be ends with a unit attention. A bridge whose power
    /// fails leaves the bus, too: its owner detaches its node first.
    pub fn forget(&mut self) {
        self.management.reset();
        self.new_login = None;
        for slot in self.logins.slots() {
            self.drop_login(slot);
        }
        for unit in &mut self.units {
            unit.reset();
        }
    }
}

/// Whether a profile's fields are in range.
fn check(profile: &BridgeProfile) -> Result<(), BridgeError> {
    let fields: [(
        &'static str,
        u64,
        core::ops::RangeInclusive<u64>,
        &'static str,
    ); 8] = [
        (
            "max_logins",
            profile.max_logins as u64,
            1..=BridgeProfile::MAX_LOGINS as u64,
            "1 to 42",
        ),
        (
            "management_agent_offset",
            profile.management_agent_offset.into(),
            0x200..=0xff_ffff,
            "0x200 to 0xffffff",
        ),
        ("orb_size", profile.orb_size.into(), 8..=64, "8 to 64"),
        (
            "max_reconnect_hold",
            profile.max_reconnect_hold.into(),
            1..=32768,
            "1 to 32768",
        ),
        (
            "fetch_ahead",
            profile.fetch_ahead as u64,
            1..=1024,
            "1 to 1024",
        ),
        (
            "max_payload",
            profile.max_payload as u64,
            512..=4096,
            "512 to 4096",
        ),
        ("data_window", profile.data_window as u64, 1..=32, "1 to 32"),
        (
            "mgt_orb_timeout",
            profile.mgt_orb_timeout.into(),
            1..=255,
            "1 to 255",
        ),
    ];
    for (field, value, range, allowed) in fields {
        if !range.contains(&value) {
            return Err(BridgeError::Field {
                field,
                value,
                allowed,
            });
        }
    }
    Ok(())
}

/// The speed of everything that is said before an ORB has named one: all nodes know it.
const FIRST_SPEED: Speed = Speed::S100;

impl Machine for Bridge {
    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Response { token, rcode, data } => self.response(token, rcode, &data, now),
            Event::Request(request) => self.request(&request),
            Event::BusReset(reset) => self.bus_reset(&reset, now),
        }
        self.run();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.outbox.resend(now);
        for slot in self.logins.expired(now) {
            self.counters.count_login_expired();
            self.drop_login(slot);
        }
        self.run();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.outbox.poll_timeout(), self.logins.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.outbox.next_action()
    }
}

#[cfg(test)]
mod tests;
