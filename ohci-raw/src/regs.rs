//! The registers of a 1394 Open Host Controller (OHCI release 1.1, chapters 4 to 7).
//!
//! Offsets are bytes from the start of the controller's first memory region. All registers have 32
//! bits, are little-endian, and take accesses of 32 bits only. Registers in pairs, named `…_SET` and
//! `…_CLEAR`, are one: what is written to the first sets bits, to the second clears them.
//!
//! Only definitions are here, for a driver as for a model of the hardware.

use bitflags::bitflags;

/// Version of the interface. Bits 23:16 major, 7:0 minor, in BCD; bit 24: a GUID ROM.
pub const VERSION: u32 = 0x000;
/// Access to the GUID ROM.
pub const GUID_ROM: u32 = 0x004;
/// How often packets that are answered with ack_busy are sent again. Bits 3:0 requests, 7:4
/// responses, 11:8 responses of the physical response unit; 31:16 time limit of dual-phase retries.
pub const AT_RETRIES: u32 = 0x008;
/// Data for, and result of, an access to one of the four CSRs that the controller keeps.
pub const CSR_DATA: u32 = 0x00c;
/// What a compare-swap of such a CSR compares with.
pub const CSR_COMPARE: u32 = 0x010;
/// Starts such a compare-swap: bits 1:0 select the CSR, bit 31 tells that it is done.
pub const CSR_CONTROL: u32 = 0x014;
/// The first quadlet of the configuration ROM.
pub const CONFIG_ROM_HEADER: u32 = 0x018;
/// The second one: "1394".
pub const BUS_ID: u32 = 0x01c;
/// The third one: capabilities, max_rec (bits 15:12), link speed (2:0).
pub const BUS_OPTIONS: u32 = 0x020;
/// The fourth: the upper half of the EUI-64.
pub const GUID_HI: u32 = 0x024;
/// The fifth: the lower half.
pub const GUID_LO: u32 = 0x028;
/// Where in memory the configuration ROM is from the next bus reset on; 1 KiB aligned.
pub const CONFIG_ROM_MAP: u32 = 0x034;
/// Where a posted write failed: low 32 bits of the address.
pub const POSTED_WRITE_ADDRESS_LO: u32 = 0x038;
/// Where a posted write failed: who sent it, and the high 16 bits of the address.
pub const POSTED_WRITE_ADDRESS_HI: u32 = 0x03c;
/// Company id of the vendor.
pub const VENDOR_ID: u32 = 0x040;
/// [`HcControl`], set.
pub const HC_CONTROL_SET: u32 = 0x050;
/// [`HcControl`], clear.
pub const HC_CONTROL_CLEAR: u32 = 0x054;
/// Where self-ID packets are written to; 2 KiB aligned.
pub const SELF_ID_BUFFER: u32 = 0x064;
/// Bit 31: error; 23:16: generation; 10:2: quadlets in the buffer, its first one included.
pub const SELF_ID_COUNT: u32 = 0x068;
/// Channels 63 to 32 of the multi-channel receive context, set.
pub const IR_MULTI_CHAN_MASK_HI_SET: u32 = 0x070;
/// The last of the four registers of that mask.
pub const IR_MULTI_CHAN_MASK_LO_CLEAR: u32 = 0x07c;
/// [`IntEvent`], set. Reads give all events.
pub const INT_EVENT_SET: u32 = 0x080;
/// [`IntEvent`], clear. Reads give the events that are not masked.
pub const INT_EVENT_CLEAR: u32 = 0x084;
/// [`IntEvent`] of which interrupts are made, set.
pub const INT_MASK_SET: u32 = 0x088;
/// The same, clear.
pub const INT_MASK_CLEAR: u32 = 0x08c;
/// Isochronous transmit contexts with an event, set.
pub const ISO_XMIT_INT_EVENT_SET: u32 = 0x090;
/// The same, clear.
pub const ISO_XMIT_INT_EVENT_CLEAR: u32 = 0x094;
/// Their mask, set; what can be set is what contexts there are.
pub const ISO_XMIT_INT_MASK_SET: u32 = 0x098;
/// The same, clear.
pub const ISO_XMIT_INT_MASK_CLEAR: u32 = 0x09c;
/// Isochronous receive contexts with an event, set.
pub const ISO_RECV_INT_EVENT_SET: u32 = 0x0a0;
/// The same, clear.
pub const ISO_RECV_INT_EVENT_CLEAR: u32 = 0x0a4;
/// Their mask, set; what can be set is what contexts there are.
pub const ISO_RECV_INT_MASK_SET: u32 = 0x0a8;
/// The same, clear.
pub const ISO_RECV_INT_MASK_CLEAR: u32 = 0x0ac;
/// What BANDWIDTH_AVAILABLE becomes at a bus reset.
pub const INITIAL_BANDWIDTH_AVAILABLE: u32 = 0x0b0;
/// What CHANNELS_AVAILABLE_HI becomes at a bus reset.
pub const INITIAL_CHANNELS_AVAILABLE_HI: u32 = 0x0b4;
/// What CHANNELS_AVAILABLE_LO becomes at a bus reset.
pub const INITIAL_CHANNELS_AVAILABLE_LO: u32 = 0x0b8;
/// Priority requests in a fairness interval.
pub const FAIRNESS_CONTROL: u32 = 0x0dc;
/// [`LinkControl`], set.
pub const LINK_CONTROL_SET: u32 = 0x0e0;
/// [`LinkControl`], clear.
pub const LINK_CONTROL_CLEAR: u32 = 0x0e4;
/// The node's id: see [`node_id`].
pub const NODE_ID: u32 = 0x0e8;
/// Access to the registers of the PHY: see [`phy_control`].
pub const PHY_CONTROL: u32 = 0x0ec;
/// The cycle timer. Bits 31:25 seconds, 24:12 cycles of 125 µs, 11:0 ticks of 24.576 MHz.
pub const ISOCHRONOUS_CYCLE_TIMER: u32 = 0x0f0;
/// From which nodes requests are taken, node ids 63 to 32, set. Bit 31: from all nodes.
pub const AS_REQ_FILTER_HI_SET: u32 = 0x100;
/// The same, clear.
pub const AS_REQ_FILTER_HI_CLEAR: u32 = 0x104;
/// Node ids 31 to 0, set.
pub const AS_REQ_FILTER_LO_SET: u32 = 0x108;
/// The same, clear.
pub const AS_REQ_FILTER_LO_CLEAR: u32 = 0x10c;
/// Whose requests the physical response unit serves, node ids 63 to 32, set.
pub const PHY_REQ_FILTER_HI_SET: u32 = 0x110;
/// The same, clear.
pub const PHY_REQ_FILTER_HI_CLEAR: u32 = 0x114;
/// Node ids 31 to 0, set.
pub const PHY_REQ_FILTER_LO_SET: u32 = 0x118;
/// The same, clear.
pub const PHY_REQ_FILTER_LO_CLEAR: u32 = 0x11c;
/// Upper 32 of the 48 bits of the first address that the physical response unit leaves alone.
pub const PHY_UPPER_BOUND: u32 = 0x120;
/// Asynchronous transmit context for requests; see [`context`].
pub const AT_REQUEST: u32 = 0x180;
/// Asynchronous transmit context for responses.
pub const AT_RESPONSE: u32 = 0x1a0;
/// Asynchronous receive context for requests.
pub const AR_REQUEST: u32 = 0x1c0;
/// Asynchronous receive context for responses.
pub const AR_RESPONSE: u32 = 0x1e0;
/// The first isochronous transmit context; 32 of 16 bytes each.
pub const ISO_XMIT: u32 = 0x200;
/// The first isochronous receive context; 32 of 32 bytes each.
pub const ISO_RECV: u32 = 0x400;
/// The first offset behind the registers.
pub const END: u32 = 0x800;

/// Registers of a DMA context, from its first one on.
pub mod context {
    /// [`ContextControl`](super::ContextControl), set.
    pub const CONTROL_SET: u32 = 0x0;
    /// The same, clear.
    pub const CONTROL_CLEAR: u32 = 0x4;
    /// The descriptor block to begin with: address, and in bits 3:0 how many descriptors it has.
    pub const COMMAND_PTR: u32 = 0xc;
}

/// Fields of [`NODE_ID`].
pub mod node_id {
    /// The id holds; not so from a bus reset to the end of the self-identification.
    pub const ID_VALID: u32 = 1 << 31;
    /// The node is the root.
    pub const ROOT: u32 = 1 << 30;
    /// The PHY has cable power.
    pub const CABLE_POWER: u32 = 1 << 27;
}

/// Fields of [`PHY_CONTROL`].
pub mod phy_control {
    /// A read is done.
    pub const READ_DONE: u32 = 1 << 31;
    /// Start a read.
    pub const READ: u32 = 1 << 15;
    /// Start a write.
    pub const WRITE: u32 = 1 << 14;

    /// Which register a command is for.
    #[must_use]
    pub const fn address(value: u32) -> u8 {
        (value >> 8 & 0xf) as u8
    }

    /// What a command writes.
    #[must_use]
    pub const fn data(value: u32) -> u8 {
        value as u8
    }

    /// The register's value after a read is done.
    #[must_use]
    pub const fn result(address: u8, data: u8) -> u32 {
        READ_DONE | (address as u32 & 0xf) << 24 | (data as u32) << 16
    }
}

bitflags! {
    /// HCControl (5.7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct HcControl: u32 {
        /// The configuration ROM's image is ready.
        const BIB_IMAGE_VALID = 1 << 31;
        /// Quadlets are not swapped.
        const NO_BYTE_SWAP = 1 << 30;
        /// ack_tardy may be sent.
        const ACK_TARDY_ENABLE = 1 << 29;
        /// Software is to set the PHY up, too.
        const PROGRAM_PHY_ENABLE = 1 << 23;
        /// The link uses IEEE 1394a's enhancements.
        const A_PHY_ENHANCE_ENABLE = 1 << 22;
        /// Power for the interface between link and PHY.
        const LPS = 1 << 19;
        /// Physical writes may be acknowledged as complete before they are done.
        const POSTED_WRITE_ENABLE = 1 << 18;
        /// The link is on.
        const LINK_ENABLE = 1 << 17;
        /// Puts everything into its first state; clears itself.
        const SOFT_RESET = 1 << 16;
    }

    /// LinkControl (5.10).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LinkControl: u32 {
        /// The cycle timer follows an external clock.
        const CYCLE_SOURCE = 1 << 22;
        /// Sends cycle starts while it is the root.
        const CYCLE_MASTER = 1 << 21;
        /// The cycle timer runs.
        const CYCLE_TIMER_ENABLE = 1 << 20;
        /// PHY packets go to the receive context for requests.
        const RCV_PHY_PKT = 1 << 10;
        /// Self-ID packets go to their buffer.
        const RCV_SELF_ID = 1 << 9;
        /// Filters isochronous packets by tag 1.
        const TAG1_SYNC_FILTER_LOCK = 1 << 6;
    }

    /// IntEvent and IntMask (6.1, 6.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct IntEvent: u32 {
        /// The transmit context for requests is done with a packet.
        const REQ_TX_COMPLETE = 1 << 0;
        /// The transmit context for responses is.
        const RESP_TX_COMPLETE = 1 << 1;
        /// The receive context for requests is done with a descriptor.
        const ARRQ = 1 << 2;
        /// The receive context for responses is.
        const ARRS = 1 << 3;
        /// A request packet was received.
        const RQ_PKT = 1 << 4;
        /// A response packet was received.
        const RS_PKT = 1 << 5;
        /// An isochronous transmit context has an event.
        const ISOCH_TX = 1 << 6;
        /// An isochronous receive context has one.
        const ISOCH_RX = 1 << 7;
        /// A posted write failed.
        const POSTED_WRITE_ERR = 1 << 8;
        /// The response to a lock that the controller answered was not acknowledged.
        const LOCK_RESP_ERR = 1 << 9;
        /// As [`Self::SELF_ID_COMPLETE`], but not cleared by a bus reset.
        const SELF_ID_COMPLETE2 = 1 << 15;
        /// The self-identification is over.
        const SELF_ID_COMPLETE = 1 << 16;
        /// The bus was reset.
        const BUS_RESET = 1 << 17;
        /// A register was accessed while the PHY's clock stood still.
        const REG_ACCESS_FAIL = 1 << 18;
        /// The PHY interrupts.
        const PHY = 1 << 19;
        /// A cycle begins.
        const CYCLE_SYNCH = 1 << 20;
        /// Bit 6 of the cycle timer's seconds has changed.
        const CYCLE_64_SECONDS = 1 << 21;
        /// A cycle start was missed.
        const CYCLE_LOST = 1 << 22;
        /// A cycle start did not agree with the timer.
        const CYCLE_INCONSISTENT = 1 << 23;
        /// A context is dead.
        const UNRECOVERABLE_ERROR = 1 << 24;
        /// A cycle took longer than 120 µs.
        const CYCLE_TOO_LONG = 1 << 25;
        /// A register of the PHY was received.
        const PHY_REG_RCVD = 1 << 26;
        /// ack_tardy was sent.
        const ACK_TARDY = 1 << 27;
        /// Set by software.
        const SOFT_INTERRUPT = 1 << 29;
        /// Only in the mask: whether there are interrupts at all.
        const MASTER_INT_ENABLE = 1 << 31;
    }

    /// The upper bits of a context's control register (3.1.1).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ContextControl: u32 {
        /// Software wants it to run.
        const RUN = 1 << 15;
        /// Software has appended descriptors.
        const WAKE = 1 << 12;
        /// Hardware met an error and has given up.
        const DEAD = 1 << 11;
        /// Hardware processes descriptors.
        const ACTIVE = 1 << 10;
    }
}

/// The event codes of a context, of which those from 0x10 on are acknowledgements (3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EventCode {
    /// Nothing yet.
    NoStatus = 0x0,
    /// Nobody acknowledged the packet.
    MissingAck = 0x3,
    /// A descriptor could not be read.
    DescriptorRead = 0x6,
    /// A packet's data could not be read.
    DataRead = 0x7,
    /// A packet could not be written to memory.
    DataWrite = 0x8,
    /// In the receive context for requests: the packet stands for a bus reset.
    BusReset = 0x9,
    /// The packet's transaction code is none, or does not belong here.
    TcodeError = 0xb,
    /// Anything else.
    Unknown = 0xe,
    /// The packet was not sent because of a bus reset.
    Flushed = 0xf,
    /// ack_complete.
    AckComplete = 0x11,
    /// ack_pending.
    AckPending = 0x12,
    /// ack_busy_X.
    AckBusyX = 0x14,
    /// ack_data_error.
    AckDataError = 0x1d,
    /// ack_type_error.
    AckTypeError = 0x1e,
}
