//! A PHY's registers, as a link sees them.

use super::self_id::{PhyTraits, PortStatus, SelfId};
use crate::bus::Speed;

/// Addresses and bits of PHY registers (IEEE 1394a 5B). The standard counts
/// bits from the most significant one on; these are masks.
pub mod register {
    /// Physical id in the upper six bits, [`ROOT`] and [`CABLE_POWER`].
    pub const PHYSICAL_ID: u8 = 0;
    /// In [`PHYSICAL_ID`]: this node is the root.
    pub const ROOT: u8 = 0x02;
    /// In [`PHYSICAL_ID`]: the cable carries power.
    pub const CABLE_POWER: u8 = 0x01;

    /// [`ROOT_HOLD_OFF`], [`LONG_RESET`], and the gap count in the lower six bits.
    pub const RESET_AND_GAP: u8 = 1;
    /// In [`RESET_AND_GAP`] (RHB): become root at the next reset.
    pub const ROOT_HOLD_OFF: u8 = 0x80;
    /// In [`RESET_AND_GAP`] (IBR): reset the bus; reads as 0 when that is done.
    pub const LONG_RESET: u8 = 0x40;

    /// [`EXTENDED`], and the number of ports in the lower bits.
    pub const PORTS: u8 = 2;
    /// In [`PORTS`]: the registers of 1394a are there.
    pub const EXTENDED: u8 = 0xe0;

    /// Speed code in the upper three bits, 7 for all of 1394b; repeater delay in the lower four.
    pub const SPEED: u8 = 3;

    /// [`LINK_ACTIVE`], [`CONTENDER`], jitter, and the power class in the lower three bits.
    pub const LINK: u8 = 4;
    /// In [`LINK`] (LCtrl): say in self-ID packets that the link is on.
    pub const LINK_ACTIVE: u8 = 0x80;
    /// In [`LINK`] (C): say that this node can be isochronous resource manager.
    pub const CONTENDER: u8 = 0x40;
    /// In [`LINK`]: the power class.
    pub const POWER_CLASS: u8 = 0x07;

    /// [`RESUME_INTERRUPT`], [`SHORT_RESET`], [`EVENTS`], [`ACCELERATION`] and [`MULTI_SPEED`].
    pub const EVENTS_AND_ENABLES: u8 = 5;
    /// In [`EVENTS_AND_ENABLES`]: report resuming of ports.
    pub const RESUME_INTERRUPT: u8 = 0x80;
    /// In [`EVENTS_AND_ENABLES`] (ISBR): arbitrate for the bus and reset it; reads as 0 when that
    /// is done.
    pub const SHORT_RESET: u8 = 0x40;
    /// In [`EVENTS_AND_ENABLES`]: loop, power failure, time-out and port event. Written ones
    /// clear them.
    pub const EVENTS: u8 = 0x3c;
    /// In [`EVENTS_AND_ENABLES`]: accelerated arbitration.
    pub const ACCELERATION: u8 = 0x02;
    /// In [`EVENTS_AND_ENABLES`]: packets of several speeds in one go.
    pub const MULTI_SPEED: u8 = 0x01;

    /// What is found at [`PAGED`]: the page in the upper three bits, the port in the lower four.
    pub const SELECT: u8 = 7;
    /// The first of eight registers of the selected page.
    pub const PAGED: u8 = 8;

    /// Page of a port's status.
    pub const PAGE_PORT: u8 = 0;
    /// In the first register of [`PAGE_PORT`]: the other end is a child.
    pub const PORT_CHILD: u8 = 0x08;
    /// In the first register of [`PAGE_PORT`]: somebody is at the other end.
    pub const PORT_CONNECTED: u8 = 0x04;
    /// In the first register of [`PAGE_PORT`]: the other end gives bias.
    pub const PORT_BIAS: u8 = 0x02;

    /// Page of the maker: compliance level, reserved, vendor in three bytes, product in three.
    pub const PAGE_MAKER: u8 = 1;
    /// The compliance level of IEEE 1394a.
    pub const COMPLIANCE_1394A: u8 = 1;
    /// The compliance level of IEEE 1394b.
    pub const COMPLIANCE_1394B: u8 = 2;
}

/// What writing a register makes a PHY do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PhyEffect {
    /// Nothing on the bus.
    None,
    /// Reset the bus after arbitration.
    ShortReset,
    /// Reset the bus at once.
    LongReset,
}

/// The registers of a PHY, as far as they do not mirror the bus.
///
/// Always on: the cable's power. Never seen: events, disabled and suspended ports. Without
/// effect: the gap count, which comes with configuration packets, and the enables of 1394a.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PhyRegisters {
    root_hold_off: bool,
    link: u8,
    enables: u8,
    select: u8,
    vendor: u32,
    product: u32,
}

impl PhyRegisters {
    /// A PHY after power-on: it says that its link is on, and contends for nothing. `vendor` is
    /// an OUI of 24 bits, `product` a number of 24 bits that its maker gave.
    #[must_use]
    pub const fn new(power_class: u8, vendor: u32, product: u32) -> Self {
        Self {
            root_hold_off: false,
            link: register::LINK_ACTIVE | power_class & register::POWER_CLASS,
            enables: 0,
            select: 0,
            vendor,
            product,
        }
    }

    /// What the register says. `own` is what the PHY said of itself after the last reset; an
    /// address above 15 reads as 0.
    #[must_use]
    pub fn read(&self, address: u8, own: &SelfId) -> u8 {
        match address {
            register::PHYSICAL_ID => {
                let root = if own.is_root() { register::ROOT } else { 0 };
                own.phy << 2 | root | register::CABLE_POWER
            }
            register::RESET_AND_GAP => {
                let hold_off = if self.root_hold_off {
                    register::ROOT_HOLD_OFF
                } else {
                    0
                };
                hold_off | own.gap_count & 0x3f
            }
            register::PORTS => register::EXTENDED | own.ports.len() as u8 & 0x1f,
            register::SPEED => speed_code(own.speed) << 5,
            register::LINK => self.link,
            register::EVENTS_AND_ENABLES => self.enables,
            register::SELECT => self.select,
            register::PAGED..=15 => self.read_page(address - register::PAGED, own),
            _ => 0,
        }
    }

    fn read_page(&self, offset: u8, own: &SelfId) -> u8 {
        let port = usize::from(self.select & 0xf);
        match (self.select >> 5, offset) {
            (register::PAGE_PORT, 0) => match own.ports.get(port) {
                Some(PortStatus::Parent) => register::PORT_CONNECTED | register::PORT_BIAS,
                Some(PortStatus::Child) => {
                    register::PORT_CHILD | register::PORT_CONNECTED | register::PORT_BIAS
                }
                Some(PortStatus::NotConnected | PortStatus::NotPresent) | None => 0,
            },
            (register::PAGE_PORT, 1) => match own.ports.get(port) {
                Some(PortStatus::Parent | PortStatus::Child) => {
                    own.speed.min(Speed::S800).code() << 5
                }
                Some(PortStatus::NotConnected | PortStatus::NotPresent) | None => 0,
            },
            (register::PAGE_MAKER, 0) if own.speed > Speed::S400 => register::COMPLIANCE_1394B,
            (register::PAGE_MAKER, 0) => register::COMPLIANCE_1394A,
            (register::PAGE_MAKER, 2..=4) => byte(self.vendor, offset - 2),
            (register::PAGE_MAKER, 5..=7) => byte(self.product, offset - 5),
            _ => 0,
        }
    }

    /// Writes the register, and says what that makes the PHY do. What cannot be written stays as
    /// it is.
    pub fn write(&mut self, address: u8, value: u8) -> PhyEffect {
        match address {
            register::RESET_AND_GAP => {
                self.root_hold_off = value & register::ROOT_HOLD_OFF != 0;
                if value & register::LONG_RESET != 0 {
                    return PhyEffect::LongReset;
                }
            }
            register::LINK => {
                let writable = register::LINK_ACTIVE | register::CONTENDER | register::POWER_CLASS;
                self.link = value & writable;
            }
            register::EVENTS_AND_ENABLES => {
                let kept =
                    register::RESUME_INTERRUPT | register::ACCELERATION | register::MULTI_SPEED;
                self.enables = value & kept;
                if value & register::SHORT_RESET != 0 {
                    return PhyEffect::ShortReset;
                }
            }
            register::SELECT => self.select = value,
            _ => {}
        }
        PhyEffect::None
    }

    /// What the PHY is to say of itself after the next reset.
    #[must_use]
    pub const fn traits(&self) -> PhyTraits {
        PhyTraits {
            link_active: self.link & register::LINK_ACTIVE != 0,
            contender: self.link & register::CONTENDER != 0,
            power_class: self.link & register::POWER_CLASS,
        }
    }

    /// Whether the PHY is to be root after the next reset.
    #[must_use]
    pub const fn root_hold_off(&self) -> bool {
        self.root_hold_off
    }

    /// Has the PHY be root after the next reset or not, as a configuration packet does.
    pub const fn set_root_hold_off(&mut self, hold_off: bool) {
        self.root_hold_off = hold_off;
    }
}

/// As [`register::SPEED`] has it.
const fn speed_code(speed: Speed) -> u8 {
    match speed {
        Speed::S100 | Speed::S200 | Speed::S400 => speed.code(),
        Speed::S800 | Speed::S1600 | Speed::S3200 => 7,
    }
}

/// Byte `number` of a number of 24 bits, the most significant one first.
const fn byte(value: u32, number: u8) -> u8 {
    value.to_be_bytes()[(number + 1) as usize & 3]
}
