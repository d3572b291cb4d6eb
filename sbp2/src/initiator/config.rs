use core::time::Duration;

use ohci_raw::bus::{Address, Eui64, Generation, Speed};

/// What an [`Initiator`](super::Initiator) has to know of its logical unit and of its host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The node that has the logical unit.
    pub target: Eui64,
    /// The unit's management agent, as its configuration ROM tells.
    pub management_agent: Address,
    /// The logical unit.
    pub lun: u16,
    /// Whether to shut every other initiator out.
    pub exclusive: bool,
    /// How long the target is asked to keep the login after a bus reset: 2^n seconds, n in 0..=15.
    pub reconnect_hold: u8,
    /// How long the target may take for LOGIN and QUERY LOGINS.
    pub login_timeout: Duration,
    /// How long it may take for the other management functions.
    pub management_timeout: Duration,
    /// How long it may take for a command that names no time of its own.
    pub command_timeout: Duration,
    /// How long commands wait for a lost login to come back before they fail. Zero: not at all.
    ///
    /// The word and its meaning are open-iscsi's. A host that was shut out must not wake up
    /// later and write, so there is no "for ever".
    pub replacement_timeout: Duration,
    /// How long to leave the bus to others after a bus reset before a new login, so that
    /// initiators that were logged in can reconnect first.
    pub settle: Duration,
    /// How many ORBs may be outstanding at once. 1 is serialised operation: each ORB has a null
    /// next_ORB, and the doorbell is never rung.
    pub depth: u8,
    /// The most data that one command may move, in bytes, at most [`Config::MAX_TRANSFER`].
    pub max_transfer: u32,
    /// The speed of data packets: the lower of what the path and the target can do.
    pub speed: Speed,
    /// max_rec of the host's own controller: it takes packets of 2^(max_rec+1) bytes.
    pub max_rec: u8,
    /// Whether a login of this host that stands in the way of the first LOGIN is given back.
    ///
    /// It is a remnant of a process that died: nobody tells the target of that. Only for a caller
    /// who has made sure that nobody else on this host is logged in to the logical unit, be it
    /// another process or the kernel's driver: to the target they are all one initiator.
    pub reclaim: bool,
    /// What an earlier process of this host has noted of its login, for [`Self::reclaim`] where
    /// the target does not say who is logged in.
    pub remnant: Option<Remnant>,
    /// Tells apart the [`Token`](ohci_raw::bus::Token)s of several initiators on one port: their
    /// upper eight bits.
    pub instance: u8,
}

/// A login that a process of this host had.
///
/// It is believed in its own generation only: after a bus reset the target has given the login
/// up, and may have given its ID to somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remnant {
    /// The name that the target gave it.
    pub login_id: u16,
    /// The last generation in which it was logged in or reconnected.
    pub generation: Generation,
}

impl Config {
    /// The upper limit of [`Self::max_transfer`].
    pub const MAX_TRANSFER: u32 = 16 << 20;
    /// The upper limit of [`Self::depth`].
    pub const MAX_DEPTH: u8 = 32;

    /// A shared login to one logical unit, serialised, with the timers of Linux's
    /// `drivers/firewire/sbp2.c`.
    #[must_use]
    pub fn shared(target: Eui64, management_agent: Address, lun: u16) -> Self {
        Self {
            target,
            management_agent,
            lun,
            exclusive: false,
            reconnect_hold: 2,
            login_timeout: Duration::from_secs(20),
            management_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(30),
            replacement_timeout: Duration::from_secs(120),
            settle: Duration::from_secs(1),
            depth: 1,
            max_transfer: 128 << 10,
            speed: Speed::S400,
            max_rec: 10,
            reclaim: false,
            remnant: None,
            instance: 0,
        }
    }
}
