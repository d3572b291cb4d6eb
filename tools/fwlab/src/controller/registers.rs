//! The registers that stand for themselves, and the cycle timer.

use ohci_raw::bus::{Eui64, Instant, csr};
use ohci_raw::regs::{HcControl, IntEvent, LinkControl};

/// Release 1.1, no GUID ROM.
pub(super) const VERSION: u32 = 0x0001_0010;
/// "1394".
pub(super) const BUS_ID: u32 = 0x3133_3934;
/// How many isochronous contexts of each kind are reported.
pub(super) const ISO_CONTEXTS: u32 = 0xf;
/// The physical response unit's bound where software sets none: 4 GiB.
const PHY_UPPER_BOUND: u32 = 0x1_0000;
/// The node takes requests from everybody.
const ALL_NODES: u64 = 1 << 63;

/// Registers without behaviour.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    pub(super) at_retries: u32,
    pub(super) config_rom_header: u32,
    pub(super) bus_options: u32,
    pub(super) guid: Eui64,
    /// What counts from the next bus reset on.
    pub(super) config_rom_map_next: u32,
    pub(super) config_rom_map: u32,
    pub(super) posted_write_address: u64,
    pub(super) posted_write_source: u16,
    pub(super) hc_control: HcControl,
    pub(super) self_id_buffer: u32,
    pub(super) self_id_count: u32,
    pub(super) ir_multi_channels: [u32; 2],
    pub(super) int_event: IntEvent,
    pub(super) int_mask: IntEvent,
    pub(super) iso_xmit_mask: u32,
    pub(super) iso_recv_mask: u32,
    pub(super) initial_bandwidth: u32,
    pub(super) initial_channels: [u32; 2],
    pub(super) fairness: u32,
    pub(super) link_control: LinkControl,
    pub(super) phy_control: u32,
    pub(super) as_req_filter: u64,
    pub(super) phy_req_filter: u64,
    pub(super) phy_upper_bound: u32,
    pub(super) csrs: Csrs,
    pub(super) cycle_timer: CycleTimer,
}

impl Registers {
    /// After power-on and after a soft reset.
    pub(super) fn new(guid: Eui64, bus_options: u32) -> Self {
        Self {
            at_retries: 0,
            config_rom_header: 0,
            bus_options,
            guid,
            config_rom_map_next: 0,
            config_rom_map: 0,
            posted_write_address: 0,
            posted_write_source: 0,
            hc_control: HcControl::empty(),
            self_id_buffer: 0,
            self_id_count: 0,
            ir_multi_channels: [0; 2],
            int_event: IntEvent::empty(),
            int_mask: IntEvent::empty(),
            iso_xmit_mask: 0,
            iso_recv_mask: 0,
            initial_bandwidth: Csrs::BANDWIDTH,
            initial_channels: [u32::MAX; 2],
            fairness: 0,
            link_control: LinkControl::empty(),
            phy_control: 0,
            as_req_filter: 0,
            phy_req_filter: 0,
            phy_upper_bound: PHY_UPPER_BOUND,
            csrs: Csrs::default(),
            cycle_timer: CycleTimer::default(),
        }
    }

    /// What becomes of the registers at a bus reset.
    pub(super) fn bus_reset(&mut self) {
        self.as_req_filter &= ALL_NODES;
        self.phy_req_filter = 0;
        self.config_rom_map = self.config_rom_map_next;
        let [hi, lo] = self.initial_channels;
        self.csrs = Csrs([Csrs::NO_MANAGER, self.initial_bandwidth, hi, lo]);
    }

    /// Whether requests of this node are taken.
    pub(super) const fn takes_requests_of(&self, phy: u8) -> bool {
        self.as_req_filter & (ALL_NODES | 1 << (phy & 0x3f)) != 0
    }

    /// Whether the physical response unit serves this node.
    pub(super) const fn serves_physically(&self, phy: u8) -> bool {
        self.phy_req_filter & 1 << (phy & 0x3f) != 0
    }

    /// The first address that the physical response unit leaves alone.
    pub(super) const fn physical_end(&self) -> u64 {
        let bound = if self.phy_upper_bound == 0 {
            PHY_UPPER_BOUND
        } else {
            self.phy_upper_bound
        };
        (bound as u64) << 16
    }

    /// The unmasked events.
    pub(super) fn pending(&self) -> u32 {
        if self.int_mask.contains(IntEvent::MASTER_INT_ENABLE) {
            (self.int_event & self.int_mask).bits()
        } else {
            0
        }
    }
}

/// The four CSRs that the hardware keeps for the isochronous resource manager: BUS_MANAGER_ID,
/// BANDWIDTH_AVAILABLE, CHANNELS_AVAILABLE_HI and _LO (IEEE 1394, 8.3.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Csrs([u32; 4]);

impl Default for Csrs {
    fn default() -> Self {
        Self([Self::NO_MANAGER, Self::BANDWIDTH, u32::MAX, u32::MAX])
    }
}

impl Csrs {
    const NO_MANAGER: u32 = 0x3f;
    const BANDWIDTH: u32 = 0x1333;
    /// Where other nodes find the first one.
    const START: u64 = csr::REGISTER_SPACE.get() + 0x21c;

    /// Which of them is at an address, if any.
    pub(super) fn at(address: u64) -> Option<usize> {
        let offset = address.checked_sub(Self::START)?;
        (offset < 16 && offset % 4 == 0).then_some((offset / 4) as usize)
    }

    /// The value of one of them.
    pub(super) fn get(&self, select: usize) -> u32 {
        self.0.get(select).copied().unwrap_or_default()
    }

    /// Puts `new` into one of them if it holds `compare`. What it held.
    pub(super) fn compare_swap(&mut self, select: usize, compare: u32, new: u32) -> u32 {
        let Some(value) = self.0.get_mut(select) else {
            return 0;
        };
        let old = *value;
        if old == compare {
            *value = new;
        }
        old
    }
}

/// The cycle timer: 24.576 MHz since the start of the bus's clock, which all nodes share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct CycleTimer {
    /// What software has put it ahead by, in ticks.
    ahead: u64,
}

impl CycleTimer {
    const TICKS_PER_CYCLE: u64 = 3072;
    const CYCLES_PER_SECOND: u64 = 8000;
    const NANOS_PER_SECOND: u128 = 1_000_000_000;
    const TICKS_PER_SECOND: u64 = Self::TICKS_PER_CYCLE * Self::CYCLES_PER_SECOND;
    /// The seconds have 7 bits.
    const WRAP: u64 = 128 * Self::TICKS_PER_SECOND;

    /// Ticks since the start of the bus's clock.
    fn elapsed(now: Instant) -> u128 {
        let nanos = u128::from(now.as_nanos());
        nanos * u128::from(Self::TICKS_PER_SECOND) / Self::NANOS_PER_SECOND
    }

    fn ticks(self, now: Instant) -> u64 {
        (Self::elapsed(now) as u64).wrapping_add(self.ahead) % Self::WRAP
    }

    /// What the register says.
    pub(super) fn read(self, now: Instant) -> u32 {
        let ticks = self.ticks(now);
        let seconds = ticks / Self::TICKS_PER_SECOND;
        let cycles = ticks / Self::TICKS_PER_CYCLE % Self::CYCLES_PER_SECOND;
        ((seconds << 25) | (cycles << 12) | (ticks % Self::TICKS_PER_CYCLE)) as u32
    }

    /// Sets the register. Fields that are too large count as they are.
    pub(super) fn write(&mut self, value: u32, now: Instant) {
        let value = u64::from(value);
        let ticks = (value >> 25) * Self::TICKS_PER_SECOND
            + (value >> 12 & 0x1fff) * Self::TICKS_PER_CYCLE
            + (value & 0xfff);
        let base = Self { ahead: 0 }.ticks(now);
        self.ahead = (ticks + Self::WRAP - base) % Self::WRAP;
    }

    /// The time in descriptors and trailers: three bits of seconds, and the cycle.
    pub(super) fn stamp(self, now: Instant) -> u16 {
        (self.read(now) >> 12) as u16
    }

    /// When the topmost bit of the seconds changes next.
    pub(super) fn next_64_seconds(self, now: Instant) -> Instant {
        self.next_multiple_of(Self::WRAP / 2, now)
    }

    /// When the next cycle begins.
    pub(super) fn next_cycle(self, now: Instant) -> Instant {
        self.next_multiple_of(Self::TICKS_PER_CYCLE, now)
    }

    fn next_multiple_of(self, ticks: u64, now: Instant) -> Instant {
        let left = ticks - self.ticks(now) % ticks;
        let due = Self::elapsed(now) + u128::from(left);
        // The first nanosecond at which so many have elapsed.
        let nanos = (due * Self::NANOS_PER_SECOND).div_ceil(Self::TICKS_PER_SECOND.into());
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_cycle_timer_counts_seconds_cycles_and_ticks() {
        let timer = CycleTimer::default();
        let at = |nanos| timer.read(Instant::from_nanos(nanos));
        assert_eq!(at(0), 0);
        assert_eq!(at(125_000), 1 << 12);
        assert_eq!(at(999_999_999), 7999 << 12 | 3071);
        assert_eq!(at(3_000_000_000), 3 << 25);
        assert_eq!(at(128_000_000_000), 0);
        assert_eq!(timer.stamp(Instant::from_nanos(9_000_125_000)), 1 << 13 | 1);
    }

    #[test]
    fn the_cycle_timer_goes_on_from_what_is_written() {
        let now = Instant::from_nanos(77_777_777_777);
        let mut timer = CycleTimer::default();
        timer.write(127 << 25 | 7999 << 12, now);
        assert_eq!(timer.read(now), 127 << 25 | 7999 << 12);
        assert_eq!(timer.read(now + Duration::from_micros(125)), 0);
        let due = timer.next_64_seconds(now);
        assert!(due > now && due - now <= Duration::from_micros(126));
        assert_eq!(timer.read(due) >> 25, 0);
        assert_eq!(timer.next_64_seconds(due) - due, Duration::from_secs(64));
    }

    #[test]
    fn a_csr_is_swapped_only_for_what_it_holds() {
        let mut csrs = Csrs::default();
        assert_eq!(Csrs::at(0xffff_f000_021c), Some(0));
        assert_eq!(Csrs::at(0xffff_f000_0228), Some(3));
        assert_eq!(Csrs::at(0xffff_f000_022c), None);
        assert_eq!(Csrs::at(0xffff_f000_021e), None);
        assert_eq!(csrs.compare_swap(0, 0, 1), 0x3f);
        assert_eq!(csrs.compare_swap(0, 0x3f, 1), 0x3f);
        assert_eq!(csrs.compare_swap(0, 0x3f, 2), 1);
        assert_eq!(csrs.compare_swap(7, 0, 1), 0);
    }
}
