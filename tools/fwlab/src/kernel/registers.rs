//! A host's registers, as `handle_registers` in `drivers/firewire/core-transaction.c` and the
//! controller behind it (`ohci.c`) serve them.
//!
//! They keep what is written. Nothing else follows from it: the virtual bus has its own split
//! timeout, and no cycles to be master of.

use ohci_raw::bus::{Instant, LockKind, NodeId, Operation, RCode, Response, Speed};

const STATE_CLEAR: u64 = 0x000;
const STATE_SET: u64 = 0x004;
const NODE_IDS: u64 = 0x008;
const RESET_START: u64 = 0x00c;
const SPLIT_TIMEOUT_HI: u64 = 0x018;
const SPLIT_TIMEOUT_LO: u64 = 0x01c;
const CYCLE_TIME: u64 = 0x200;
const BUS_TIME: u64 = 0x204;
const BUSY_TIMEOUT: u64 = 0x210;
const BUS_MANAGER_ID: u64 = 0x21c;
const BANDWIDTH_AVAILABLE: u64 = 0x220;
const CHANNELS_AVAILABLE_HI: u64 = 0x224;
const CHANNELS_AVAILABLE_LO: u64 = 0x228;
const MAINT_UTILITY: u64 = 0x230;
const BROADCAST_CHANNEL: u64 = 0x234;

const STATE_CMSTR: u32 = 1 << 8;
const BROADCAST_CHANNEL_INITIAL: u32 = 1 << 31 | 31;
const BROADCAST_CHANNEL_VALID: u32 = 1 << 30;
/// Nobody is the bus manager.
const NO_MANAGER: u32 = 0x3f;

/// How the node stands on its bus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) id: NodeId,
    pub(super) generation: u32,
    pub(super) nodes: u8,
    pub(super) speed: Speed,
}

impl Standing {
    const fn root(self) -> u8 {
        self.nodes.saturating_sub(1)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    split_timeout: [u32; 2],
    busy_timeout: u32,
    bus_time: u32,
    maint_utility: u32,
    broadcast_channel: u32,
    /// BUS_MANAGER_ID, BANDWIDTH_AVAILABLE, CHANNELS_AVAILABLE_HI and _LO.
    resources: [u32; 4],
}

/// What the resource manager has to give after a reset.
const RESOURCES: [u32; 4] = [NO_MANAGER, 4915, 0xffff_fffe, 0xffff_ffff];

impl Registers {
    pub(super) const fn new() -> Self {
        Self {
            // Two seconds; the low register counts cycles in its upper 13 bits.
            split_timeout: [2, 0],
            busy_timeout: 0,
            bus_time: 0,
            maint_utility: 0,
            broadcast_channel: BROADCAST_CHANNEL_INITIAL,
            resources: RESOURCES,
        }
    }

    pub(super) const fn bus_reset(&mut self) {
        self.resources = RESOURCES;
        self.broadcast_channel = BROADCAST_CHANNEL_INITIAL;
    }

    /// The manager's physical id, if a node has made itself one here.
    pub(super) fn manager(&self) -> Option<u8> {
        let [manager, ..] = self.resources;
        u8::try_from(manager)
            .ok()
            .filter(|id| u32::from(*id) != NO_MANAGER)
    }

    /// Serves a request to the register at `offset`.
    pub(super) fn serve(
        &mut self,
        offset: u64,
        operation: &Operation,
        standing: Standing,
        now: Instant,
    ) -> Response {
        if let Some(at) = resource(offset) {
            return self.resource(at, operation);
        }
        match operation {
            Operation::ReadQuadlet => match self.read(offset, standing, now) {
                Ok(value) => Response::data(value.to_be_bytes().to_vec()),
                Err(rcode) => Response::error(rcode),
            },
            Operation::WriteQuadlet { data } => {
                Response::error(self.write(offset, u32::from_be_bytes(*data)))
            }
            _ if self.read(offset, standing, now) == Err(RCode::ADDRESS_ERROR) => {
                Response::error(RCode::ADDRESS_ERROR)
            }
            _ => Response::error(RCode::TYPE_ERROR),
        }
    }

    fn read(&self, offset: u64, standing: Standing, now: Instant) -> Result<u32, RCode> {
        let [hi, lo] = self.split_timeout;
        Ok(match offset {
            STATE_CLEAR | STATE_SET if standing.id.phy() == standing.root() => STATE_CMSTR,
            STATE_CLEAR | STATE_SET => 0,
            NODE_IDS => u32::from(standing.id.0) << 16,
            RESET_START => return Err(RCode::TYPE_ERROR),
            SPLIT_TIMEOUT_HI => hi,
            SPLIT_TIMEOUT_LO => lo,
            CYCLE_TIME => cycle_time(now),
            BUS_TIME => {
                let seconds = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
                self.bus_time & !0x7f | seconds & 0x7f
            }
            BUSY_TIMEOUT => self.busy_timeout,
            MAINT_UTILITY => self.maint_utility,
            BROADCAST_CHANNEL => self.broadcast_channel,
            _ => return Err(RCode::ADDRESS_ERROR),
        })
    }

    fn write(&mut self, offset: u64, value: u32) -> RCode {
        match offset {
            STATE_CLEAR | STATE_SET | NODE_IDS | RESET_START | CYCLE_TIME => {}
            SPLIT_TIMEOUT_HI => self.split_timeout[0] = value & 7,
            SPLIT_TIMEOUT_LO => self.split_timeout[1] = value & 0xfff8_0000,
            BUS_TIME => self.bus_time = value,
            BUSY_TIMEOUT => self.busy_timeout = value & 0xf,
            MAINT_UTILITY => self.maint_utility = value,
            BROADCAST_CHANNEL => {
                self.broadcast_channel =
                    value & BROADCAST_CHANNEL_VALID | BROADCAST_CHANNEL_INITIAL;
            }
            _ => return RCode::ADDRESS_ERROR,
        }
        RCode::COMPLETE
    }

    /// The controller serves these by itself: reads, and compare-swaps of one quadlet.
    fn resource(&mut self, at: usize, operation: &Operation) -> Response {
        let register = &mut self.resources[at];
        let old = Response::data(register.to_be_bytes().to_vec());
        match operation {
            Operation::ReadQuadlet => old,
            Operation::Lock {
                kind: LockKind::CompareSwap,
                data,
            } => {
                let [a0, a1, a2, a3, d0, d1, d2, d3] = data[..] else {
                    return Response::error(RCode::TYPE_ERROR);
                };
                if u32::from_be_bytes([a0, a1, a2, a3]) == *register {
                    *register = u32::from_be_bytes([d0, d1, d2, d3]);
                }
                old
            }
            _ => Response::error(RCode::TYPE_ERROR),
        }
    }
}

const fn resource(offset: u64) -> Option<usize> {
    Some(match offset {
        BUS_MANAGER_ID => 0,
        BANDWIDTH_AVAILABLE => 1,
        CHANNELS_AVAILABLE_HI => 2,
        CHANNELS_AVAILABLE_LO => 3,
        _ => return None,
    })
}

/// The cycle timer: 7 bits of seconds, 13 of cycles of 125 µs, 12 of offsets of 1/24.576 MHz.
pub(super) fn cycle_time(now: Instant) -> u32 {
    let nanos = now.as_nanos();
    let seconds = nanos / 1_000_000_000 % 128;
    let within = nanos % 1_000_000_000;
    let cycles = within / 125_000;
    let offset = within % 125_000 * 3072 / 125_000;
    (seconds << 25 | cycles << 12 | offset) as u32
}

/// A time stamp of an event: 3 bits of seconds, 13 of cycles.
pub(super) fn time_stamp(now: Instant) -> u32 {
    cycle_time(now) >> 12 & 0xffff
}

/// Serves a read of the topology map: all nodes in one row of cables, as the bus has none.
pub(super) fn topology_map(offset: u64, operation: &Operation, standing: Standing) -> Response {
    let length = match operation {
        Operation::ReadQuadlet => 4,
        Operation::ReadBlock { length } => *length,
        _ => return Response::error(RCode::TYPE_ERROR),
    };
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    if !start.is_multiple_of(4) || !length.is_multiple_of(4) {
        return Response::error(RCode::ADDRESS_ERROR);
    }
    let self_ids = (0..standing.nodes).map(|phy| self_id(phy, standing));
    let count = u32::from(standing.nodes);
    let mut map = vec![0, standing.generation, count << 16 | count];
    map.extend(self_ids);
    let crc = ohci_raw::config_rom::crc16(&map[1..]);
    map[0] = (count + 2) << 16 | u32::from(crc);
    map.resize(256, 0);
    let bytes: Vec<u8> = map.into_iter().flat_map(u32::to_be_bytes).collect();
    match bytes.get(start..start.saturating_add(length)) {
        Some(bytes) => Response::data(bytes.to_vec()),
        None => Response::error(RCode::ADDRESS_ERROR),
    }
}

/// A node's self-identification packet.
fn self_id(phy: u8, standing: Standing) -> u32 {
    const IDENTIFIER: u32 = 0b10 << 30;
    const LINK_ACTIVE: u32 = 1 << 22;
    const GAP_COUNT: u32 = 5 << 16;
    const NOT_CONNECTED: u32 = 1;
    const TO_PARENT: u32 = 2;
    const TO_CHILD: u32 = 3;
    let speed = u32::from(standing.speed.code().min(2));
    let child = if phy > 0 { TO_CHILD } else { NOT_CONNECTED };
    let parent = if phy < standing.root() {
        TO_PARENT
    } else {
        NOT_CONNECTED
    };
    IDENTIFIER
        | u32::from(phy) << 24
        | LINK_ACTIVE
        | GAP_COUNT
        | speed << 14
        | child << 6
        | parent << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDING: Standing = Standing {
        id: NodeId(0xffc1),
        generation: 7,
        nodes: 3,
        speed: Speed::S400,
    };

    fn serve(
        registers: &mut Registers,
        offset: u64,
        operation: &Operation,
    ) -> (RCode, Option<u32>) {
        let now = Instant::from_nanos(3_000_250_000);
        let response = registers.serve(offset, operation, STANDING, now);
        let value = response.data.try_into().ok().map(u32::from_be_bytes);
        (response.rcode, value)
    }

    fn swap(arg: u32, data: u32) -> Operation {
        Operation::Lock {
            kind: LockKind::CompareSwap,
            data: [arg.to_be_bytes(), data.to_be_bytes()].concat(),
        }
    }

    #[test]
    fn what_is_no_register_or_no_quadlet_is_refused() {
        let mut registers = Registers::new();
        let block = Operation::ReadBlock { length: 8 };
        for (offset, operation, expected) in [
            (0x10, Operation::ReadQuadlet, RCode::ADDRESS_ERROR),
            (0x218, Operation::ReadQuadlet, RCode::ADDRESS_ERROR),
            (RESET_START, Operation::ReadQuadlet, RCode::TYPE_ERROR),
            (BUSY_TIMEOUT, block.clone(), RCode::TYPE_ERROR),
            (0x10, block.clone(), RCode::ADDRESS_ERROR),
            (BUS_MANAGER_ID, block, RCode::TYPE_ERROR),
            (
                BUS_MANAGER_ID,
                Operation::WriteQuadlet { data: [0; 4] },
                RCode::TYPE_ERROR,
            ),
        ] {
            let (rcode, _) = serve(&mut registers, offset, &operation);
            assert_eq!(rcode, expected, "{offset:x} {operation:?}");
        }
    }

    #[test]
    fn a_compare_swap_changes_what_it_compares_and_tells_what_was_there() {
        let mut registers = Registers::new();
        let first = serve(&mut registers, BUS_MANAGER_ID, &swap(0x3f, 1));
        assert_eq!(first, (RCode::COMPLETE, Some(0x3f)));
        let second = serve(&mut registers, BUS_MANAGER_ID, &swap(0x3f, 2));
        assert_eq!(second, (RCode::COMPLETE, Some(1)));
        assert_eq!(registers.manager(), Some(1));
        registers.bus_reset();
        assert_eq!(registers.manager(), None);
    }

    #[test]
    fn time_and_place_can_be_read() {
        let mut registers = Registers::new();
        let mut read = |offset| serve(&mut registers, offset, &Operation::ReadQuadlet).1;
        assert_eq!(read(NODE_IDS), Some(0xffc1_0000));
        assert_eq!(read(CYCLE_TIME), Some(3 << 25 | 2 << 12));
        assert_eq!(read(SPLIT_TIMEOUT_HI), Some(2));
    }

    #[test]
    fn the_topology_map_has_a_self_id_for_each_node_and_a_crc() {
        let block = topology_map(0, &Operation::ReadBlock { length: 24 }, STANDING);
        let quadlets: Vec<u32> = block
            .data
            .chunks_exact(4)
            .map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(quadlets[0] >> 16, 5);
        assert_eq!(
            quadlets[0] as u16,
            ohci_raw::config_rom::crc16(&quadlets[1..])
        );
        assert_eq!(quadlets[1..3], [7, 3 << 16 | 3]);
        let phys: Vec<_> = quadlets[3..].iter().map(|id| id >> 24 & 0x3f).collect();
        assert_eq!(phys, [0, 1, 2]);
        let beyond = topology_map(0x3fc, &Operation::ReadBlock { length: 8 }, STANDING);
        assert_eq!(beyond.rcode, RCode::ADDRESS_ERROR);
    }
}
