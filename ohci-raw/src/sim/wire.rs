//! How long a packet keeps the bus busy.

use core::time::Duration;

use crate::bus::Speed;

/// Whether the virtual bus takes time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timing {
    /// A packet arrives at the instant at which it is sent.
    #[default]
    Immediate,
    /// A packet arrives when it would on a short cable, and one packet is on the bus at a time.
    ///
    /// Up to S400 the bus is a data/strobe bus of IEEE 1394a with gap count 5, accelerated
    /// arbitration and a running cycle master; above, a beta bus of IEEE 1394b. That bounds a
    /// stream of 2048-byte writes at S400 by 44.3 MB/s, and one of 4096 bytes at S800 by
    /// 95.8 MB/s.
    Wire,
}

/// Header, header CRC, and of packets with a data block its CRC (IEEE 1394-1995 6.2.2).
pub(super) const QUADLET_READ_REQUEST: usize = 16;
pub(super) const QUADLET_PACKET: usize = 20;
pub(super) const BLOCK_READ_REQUEST: usize = 20;
pub(super) const BLOCK_OVERHEAD: usize = 24;
pub(super) const WRITE_RESPONSE: usize = 16;

/// A packet with a data block of `payload` bytes, which is padded to quadlets.
pub(super) const fn block_packet(payload: usize) -> usize {
    payload.next_multiple_of(4).saturating_add(BLOCK_OVERHEAD)
}

/// A packet on a data/strobe bus, apart from its bits: arbitration 250 ns, data prefix and speed
/// signal 240, data end 250, acknowledge gap 50, round trip 300, prefix and end of the
/// acknowledge packet 390, and with gap count 5 the subaction gap 1088 and arbitration delay 203.
const DATA_STROBE_FIXED_NS: u64 = 250 + 240 + 250 + 50 + 300 + 390 + 1088 + 203;
/// A packet on a beta bus, apart from its bits: prefix, end, acknowledge and one turnaround.
const BETA_FIXED_NS: u64 = 600;
const ACKNOWLEDGE_BITS: u64 = 8;
const CYCLE_NS: u64 = 125_000;
/// What the cycle start packet takes of each cycle on a data/strobe bus: 20 bytes at S100 and
/// its gaps.
const DATA_STROBE_CYCLE_START_NS: u64 = 3_500;
const CYCLE_START_BITS: u64 = 20 * 8;

/// How long a packet of `bytes` bytes and its acknowledgement keep the bus, with this packet's
/// share of the cycle starts.
pub(super) fn occupancy(speed: Speed, bytes: usize) -> Duration {
    let bits = |count: u64| count.saturating_mul(1_000_000_000) / speed.bits_per_second();
    let packet = bits((bytes as u64).saturating_mul(8));
    let (busy, cycle_start) = if speed <= Speed::S400 {
        (
            packet + DATA_STROBE_FIXED_NS + bits(ACKNOWLEDGE_BITS),
            DATA_STROBE_CYCLE_START_NS,
        )
    } else {
        (
            packet + BETA_FIXED_NS,
            bits(CYCLE_START_BITS) + BETA_FIXED_NS,
        )
    };
    Duration::from_nanos(busy.saturating_mul(CYCLE_NS) / (CYCLE_NS - cycle_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Megabytes of data per second in a stream of blocks.
    fn rate(speed: Speed, payload: usize) -> f64 {
        payload as f64 / occupancy(speed, block_packet(payload)).as_secs_f64() / 1e6
    }

    #[test]
    fn streams_reach_the_bounds_derived_from_headers_and_gaps() {
        for (speed, payload, bound) in [
            (Speed::S100, 512, 10.7),
            (Speed::S200, 1024, 21.9),
            (Speed::S400, 512, 36.3),
            (Speed::S400, 2048, 44.3),
            (Speed::S800, 4096, 95.8),
            (Speed::S1600, 4096, 189.0),
            (Speed::S3200, 4096, 367.7),
        ] {
            let rate = rate(speed, payload);
            assert!(
                (rate - bound).abs() / bound < 0.01,
                "{speed} {payload}: {rate} MB/s, derived {bound}"
            );
        }
    }

    #[test]
    fn blocks_are_padded_to_quadlets() {
        assert_eq!(block_packet(5), 8 + 24);
        assert_eq!(block_packet(8), 8 + 24);
    }
}
