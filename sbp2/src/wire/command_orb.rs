use bitflags::bitflags;
use ohci_raw::bus::Speed;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Pointer, Quadlet};

/// rq_fmt (5.1.2): what kind of request an ORB is. Two bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestFormat(pub u8);

impl RequestFormat {
    /// As the standard lays it out.
    pub const NORMAL: Self = Self(0);
    /// As the vendor lays it out.
    pub const VENDOR: Self = Self(2);
    /// Nothing is to be done (NOP).
    pub const DUMMY: Self = Self(3);
}

/// Which way data goes, seen from the medium.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The target reads the initiator's memory: a SCSI WRITE.
    ToTarget,
    /// The target writes the initiator's memory: a SCSI READ.
    FromTarget,
}

/// max_payload (5.1.2): data packets carry at most 2^(n+2) bytes. Four bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MaxPayload(u8);

impl MaxPayload {
    /// From the field's value; higher bits are dropped.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code & 0xf)
    }

    /// The largest that fits both the speed and what the initiator's controller can take.
    ///
    /// `max_rec` is the *initiator's* (bytes = 2^(max_rec+1)). The target's own max_rec does not
    /// matter: data packets go towards the initiator or are fetched by the target, and Oxford
    /// bridges that tell 64 bytes move 2048 (`drivers/firewire/sbp2.c`, "Do not clamp").
    #[must_use]
    pub fn negotiate(speed: Speed, max_rec: u8) -> Self {
        Self((speed.code() + 7).min(10).min(max_rec.saturating_sub(1)))
    }

    /// The field's value.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Bytes in a packet.
    #[must_use]
    pub const fn bytes(self) -> usize {
        4 << self.0
    }
}

bitflags! {
    /// The single bits of a command ORB's fifth quadlet (5.1.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct CommandFlags: u32 {
        /// The initiator wants a status block also after success.
        const NOTIFY = 1 << 31;
        /// The target is to write to the initiator's memory.
        const FROM_TARGET = 1 << 27;
        /// The data descriptor points to a page table.
        const PAGE_TABLE = 1 << 19;
    }
}

/// A command block ORB (5.1.2) with room for a 16-byte CDB: 36 bytes.
///
/// A target fetches as many bytes as its configuration ROM says (ORB_size), 32 in most.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct CommandOrb {
    /// The ORB to fetch after this one, or null.
    pub next_orb: Pointer,
    /// The data or its page table. The one pointer whose node id always counts.
    pub data_descriptor: Pointer,
    control: Quadlet,
    /// The CDB, left-justified, zeros after it.
    pub command_block: [u8; 16],
}

impl CommandOrb {
    /// The bytes before the command block.
    pub const HEADER_LENGTH: usize = 20;
    /// The whole.
    pub const LENGTH: usize = Self::HEADER_LENGTH + 16;

    /// A command without data.
    #[must_use]
    pub fn new(command_block: [u8; 16]) -> Self {
        Self {
            next_orb: Pointer::NULL,
            data_descriptor: Pointer::ZERO,
            control: Quadlet::new(CommandFlags::NOTIFY.bits()),
            command_block,
        }
    }

    /// Adds data: `data_size` is in bytes, or in page table entries if `page_table`.
    #[must_use]
    pub fn with_data(
        mut self,
        direction: Direction,
        descriptor: Pointer,
        data_size: u16,
        page_table: bool,
        speed: Speed,
        max_payload: MaxPayload,
    ) -> Self {
        let mut flags = CommandFlags::NOTIFY;
        flags.set(
            CommandFlags::FROM_TARGET,
            direction == Direction::FromTarget,
        );
        flags.set(CommandFlags::PAGE_TABLE, page_table);
        self.data_descriptor = descriptor;
        self.control = Quadlet::new(
            flags.bits()
                | u32::from(speed.code()) << 24
                | u32::from(max_payload.code()) << 20
                | u32::from(data_size),
        );
        self
    }

    /// A dummy ORB in the place of a command that was given up.
    pub fn make_dummy(&mut self) {
        self.control |= Quadlet::new(u32::from(RequestFormat::DUMMY.0) << 29);
    }

    /// Reads an ORB of which `bytes` were fetched.
    ///
    /// Missing bytes of the command block count as zero; bytes past 36 are dropped. `None` if
    /// not even the header is there.
    #[must_use]
    pub fn from_fetched(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::HEADER_LENGTH {
            return None;
        }
        let mut whole = [0; Self::LENGTH];
        let known = bytes.len().min(Self::LENGTH);
        whole[..known].copy_from_slice(&bytes[..known]);
        Self::read_from_bytes(&whole).ok()
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> CommandFlags {
        CommandFlags::from_bits_truncate(self.control.get())
    }

    /// What kind of request it is.
    #[must_use]
    pub fn request_format(&self) -> RequestFormat {
        RequestFormat((self.control.get() >> 29 & 3) as u8)
    }

    /// Which way data goes, if there is any.
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.flags().contains(CommandFlags::FROM_TARGET) {
            Direction::FromTarget
        } else {
            Direction::ToTarget
        }
    }

    /// The code of the speed at which data is to be moved, 0..=7 ([`Speed::from_code`]).
    #[must_use]
    pub fn speed_code(&self) -> u8 {
        (self.control.get() >> 24 & 7) as u8
    }

    /// The most that a data packet may carry.
    #[must_use]
    pub fn max_payload(&self) -> MaxPayload {
        MaxPayload::from_code((self.control.get() >> 20) as u8)
    }

    /// The page size code; 0 is an unrestricted page table.
    #[must_use]
    pub fn page_size(&self) -> u8 {
        (self.control.get() >> 16 & 7) as u8
    }

    /// Bytes of data, or entries of the page table.
    #[must_use]
    pub fn data_size(&self) -> u16 {
        self.control.get() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohci_raw::bus::{Address, NodeId};

    #[test]
    fn a_read_10_is_laid_out_as_the_drivers_do() {
        let mut cdb = [0; 16];
        cdb[..10].copy_from_slice(&[0x28, 0, 0, 0, 1, 0, 0, 0, 8, 0]);
        let buffer = Pointer::new(NodeId::local(1), Address::new(0x1_0001_0000));
        let orb = CommandOrb::new(cdb).with_data(
            Direction::FromTarget,
            buffer,
            0x1000,
            false,
            Speed::S400,
            MaxPayload::negotiate(Speed::S400, 11),
        );
        let expected = [
            0x8000_0000u32,
            0,
            0xffc1_0001,
            0x0001_0000,
            0x8a90_1000,
            0x2800_0000,
            0x0100_0000,
            0x0800_0000,
            0,
        ];
        for (chunk, quadlet) in orb.as_bytes().chunks_exact(4).zip(expected) {
            assert_eq!(chunk, quadlet.to_be_bytes());
        }
        assert_eq!(orb.direction(), Direction::FromTarget);
        assert_eq!(orb.max_payload().bytes(), 2048);
        assert!(orb.next_orb.is_null());
    }

    #[test]
    fn payload_follows_speed_and_the_initiators_own_max_rec() {
        let bytes = |speed, max_rec| MaxPayload::negotiate(speed, max_rec).bytes();
        assert_eq!(bytes(Speed::S100, 11), 512);
        assert_eq!(bytes(Speed::S800, 11), 4096);
        assert_eq!(bytes(Speed::S3200, 11), 4096);
        assert_eq!(bytes(Speed::S400, 8), 512);
        assert_eq!(bytes(Speed::S400, 0), 4);
    }

    #[test]
    fn a_short_fetch_reads_as_zeros_and_a_cut_header_as_nothing() {
        let orb = CommandOrb::new([0xff; 16]);
        let short = CommandOrb::from_fetched(&orb.as_bytes()[..32]).unwrap();
        assert_eq!(short.command_block[..12], [0xff; 12]);
        assert_eq!(short.command_block[12..], [0; 4]);
        assert_eq!(CommandOrb::from_fetched(&orb.as_bytes()[..19]), None);
        assert!(CommandOrb::from_fetched(&[0x5a; 200]).is_some());
    }

    #[test]
    fn a_dummy_keeps_its_place_in_the_list() {
        let mut orb = CommandOrb::new([0; 16]);
        orb.next_orb = Pointer::next_orb(Address::new(0x1_0000_0040));
        orb.make_dummy();
        assert_eq!(orb.request_format(), RequestFormat::DUMMY);
        assert!(!orb.next_orb.is_null());
    }
}
