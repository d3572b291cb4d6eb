//! The numbers and structures of the protocol, each with the heading of proto.md it is from.
//!
//! All integers are big-endian. Codes that this server does not know are kept as they came.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::disk::DiskError;

/// `NBDMAGIC`, first in the greeting ("Newstyle negotiation").
pub const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`, second in the greeting and first in each option ("Newstyle negotiation").
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// First in each reply to an option ("Fixed newstyle negotiation").
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// First in each request ("Request message").
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// First in a simple reply ("Simple reply message").
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// First in a chunk of a structured reply ("Structured reply chunk message").
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// The longest string of the protocol in bytes, names of exports included ("Conventions").
pub const MAX_STRING: usize = 4096;
/// The reserved zeroes after the reply to `NBD_OPT_EXPORT_NAME` ("Newstyle negotiation").
pub const EXPORT_NAME_ZEROES: usize = 124;

bitflags::bitflags! {
    /// What the server can do ("Handshake flags").
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct HandshakeFlags: u16 {
        /// `NBD_FLAG_FIXED_NEWSTYLE`: options are answered.
        const FIXED_NEWSTYLE = 1;
        /// `NBD_FLAG_NO_ZEROES`: the 124 zeroes may be left out.
        const NO_ZEROES = 1 << 1;
    }

    /// What the client can do ("Client flags").
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ClientFlags: u32 {
        /// `NBD_FLAG_C_FIXED_NEWSTYLE`: it understands answers to options.
        const FIXED_NEWSTYLE = 1;
        /// `NBD_FLAG_C_NO_ZEROES`: leave the 124 zeroes out.
        const NO_ZEROES = 1 << 1;
    }

    /// What the export can do ("Transmission flags").
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct TransmissionFlags: u16 {
        /// `NBD_FLAG_HAS_FLAGS`: always set.
        const HAS_FLAGS = 1;
        /// `NBD_FLAG_READ_ONLY`.
        const READ_ONLY = 1 << 1;
        /// `NBD_FLAG_SEND_FLUSH`.
        const SEND_FLUSH = 1 << 2;
        /// `NBD_FLAG_SEND_FUA`.
        const SEND_FUA = 1 << 3;
        /// `NBD_FLAG_SEND_WRITE_ZEROES`.
        const SEND_WRITE_ZEROES = 1 << 6;
        /// `NBD_FLAG_SEND_DF`: only with structured replies.
        const SEND_DF = 1 << 7;
        /// `NBD_FLAG_CAN_MULTI_CONN`: flush and FUA hold across connections.
        const CAN_MULTI_CONN = 1 << 8;
    }

    /// Modifiers of a request ("Command flags").
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct CommandFlags: u16 {
        /// `NBD_CMD_FLAG_FUA`: answer when it is on the medium.
        const FUA = 1;
        /// `NBD_CMD_FLAG_NO_HOLE`: write zeroes without deallocating.
        const NO_HOLE = 1 << 1;
        /// `NBD_CMD_FLAG_DF`: one content chunk at most.
        const DF = 1 << 2;
        /// `NBD_CMD_FLAG_FAST_ZERO`: only if that is faster than writing.
        const FAST_ZERO = 1 << 4;
    }
}

/// Gives an enum over codes that keeps those it does not know.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident: $int:ty { $($(#[$doc:meta])* $variant:ident = $value:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A code that this server does not know.
            Unknown($int),
        }

        impl From<$int> for $name {
            fn from(code: $int) -> Self {
                match code {
                    $($value => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }

        impl From<$name> for $int {
            fn from(code: $name) -> Self {
                match code {
                    $($name::$variant => $value,)*
                    $name::Unknown(other) => other,
                }
            }
        }
    };
}

codes! {
    /// What a client asks for while haggling ("Option types").
    OptionCode: u32 {
        /// `NBD_OPT_EXPORT_NAME`: choose the export and start, without a way to say no.
        ExportName = 1,
        /// `NBD_OPT_ABORT`: leave.
        Abort = 2,
        /// `NBD_OPT_LIST`: name the exports.
        List = 3,
        /// `NBD_OPT_STARTTLS`: encrypt.
        StartTls = 5,
        /// `NBD_OPT_INFO`: describe an export.
        Info = 6,
        /// `NBD_OPT_GO`: describe an export and start.
        Go = 7,
        /// `NBD_OPT_STRUCTURED_REPLY`: answer reads in chunks.
        StructuredReply = 8,
    }
}

codes! {
    /// How an option was received ("Option reply types"). Bit 31 marks an error.
    OptionReplyCode: u32 {
        /// `NBD_REP_ACK`: accepted, and the last reply to this option.
        Ack = 1,
        /// `NBD_REP_SERVER`: an export.
        Server = 2,
        /// `NBD_REP_INFO`: a piece of information on an export.
        Info = 3,
        /// `NBD_REP_ERR_UNSUP`: an option not known here.
        Unsupported = 0x8000_0001,
        /// `NBD_REP_ERR_POLICY`: known, and not wanted here.
        Policy = 0x8000_0002,
        /// `NBD_REP_ERR_INVALID`: known, and malformed.
        Invalid = 0x8000_0003,
        /// `NBD_REP_ERR_UNKNOWN`: no such export.
        UnknownExport = 0x8000_0006,
        /// `NBD_REP_ERR_SHUTDOWN`: the server is stopping.
        Shutdown = 0x8000_0007,
        /// `NBD_REP_ERR_TOO_BIG`: too long to process.
        TooBig = 0x8000_0009,
    }
}

codes! {
    /// Pieces of information on an export ("Option reply types", `NBD_REP_INFO`).
    InfoCode: u16 {
        /// `NBD_INFO_EXPORT`: size and transmission flags.
        Export = 0,
        /// `NBD_INFO_NAME`: its canonical name.
        Name = 1,
        /// `NBD_INFO_DESCRIPTION`: a text for people.
        Description = 2,
        /// `NBD_INFO_BLOCK_SIZE`: minimum, preferred and maximum.
        BlockSize = 3,
    }
}

codes! {
    /// What a request asks for ("Request types").
    Command: u16 {
        /// `NBD_CMD_READ`.
        Read = 0,
        /// `NBD_CMD_WRITE`: the only one that data follows.
        Write = 1,
        /// `NBD_CMD_DISC`: finish what is under way, then close. Not answered.
        Disconnect = 2,
        /// `NBD_CMD_FLUSH`.
        Flush = 3,
        /// `NBD_CMD_WRITE_ZEROES`.
        WriteZeroes = 6,
    }
}

codes! {
    /// What a chunk of a structured reply holds ("Structured reply types"). Bit 15 marks an error.
    ChunkType: u16 {
        /// `NBD_REPLY_TYPE_NONE`: the end.
        None = 0,
        /// `NBD_REPLY_TYPE_OFFSET_DATA`: 8 bytes of offset, then data.
        OffsetData = 1,
        /// `NBD_REPLY_TYPE_ERROR`: an error and a text.
        Error = 0x8001,
    }
}

/// `NBD_REPLY_FLAG_DONE`: the last chunk of a reply ("Structured reply flags").
pub const REPLY_FLAG_DONE: u16 = 1;

/// Why a request was refused ("Error values").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Errno {
    /// `NBD_EPERM`: a write to a read-only export.
    Perm = 1,
    /// `NBD_EIO`.
    Io = 5,
    /// `NBD_ENOMEM`.
    NoMemory = 12,
    /// `NBD_EINVAL`.
    Invalid = 22,
    /// `NBD_ENOSPC`: also a write past the end.
    NoSpace = 28,
    /// `NBD_ENOTSUP`: zeroes that cannot be written faster than data.
    NotSupported = 95,
    /// `NBD_ESHUTDOWN`: the server is stopping.
    Shutdown = 108,
}

impl From<&DiskError> for Errno {
    fn from(error: &DiskError) -> Self {
        match error {
            DiskError::Io(_) => Self::Io,
            DiskError::ReadOnly => Self::Perm,
            DiskError::NoSpace => Self::NoSpace,
            DiskError::Invalid(_) => Self::Invalid,
            DiskError::ShuttingDown(_) => Self::Shutdown,
        }
    }
}

/// What the server sends first ("Newstyle negotiation").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Greeting {
    /// [`GREETING_MAGIC`].
    pub magic: U64,
    /// [`OPTION_MAGIC`].
    pub option_magic: U64,
    /// [`HandshakeFlags`].
    pub flags: U16,
}

/// The header of an option ("Newstyle negotiation").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct OptionHeader {
    /// [`OPTION_MAGIC`].
    pub magic: U64,
    /// [`OptionCode`].
    pub option: U32,
    /// Bytes of data that follow.
    pub length: U32,
}

/// The header of a reply to an option ("Fixed newstyle negotiation").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct OptionReply {
    /// [`OPTION_REPLY_MAGIC`].
    pub magic: U64,
    /// The option that this answers, as the client sent it.
    pub option: U32,
    /// [`OptionReplyCode`].
    pub reply: U32,
    /// Bytes of data that follow.
    pub length: U32,
}

/// The answer to `NBD_OPT_EXPORT_NAME`, before the reserved zeroes ("Newstyle negotiation").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExportNameReply {
    /// Size of the export in bytes.
    pub size: U64,
    /// [`TransmissionFlags`].
    pub flags: U16,
}

/// `NBD_INFO_EXPORT` ("Option reply types").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InfoExport {
    /// [`InfoCode::Export`].
    pub info: U16,
    /// Size of the export in bytes.
    pub size: U64,
    /// [`TransmissionFlags`].
    pub flags: U16,
}

/// `NBD_INFO_BLOCK_SIZE` ("Option reply types", "Block size constraints").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InfoBlockSize {
    /// [`InfoCode::BlockSize`].
    pub info: U16,
    /// What offsets and lengths must be multiples of, in bytes.
    pub minimum: U32,
    /// What is best, in bytes.
    pub preferred: U32,
    /// The largest payload of a request or reply, in bytes.
    pub maximum: U32,
}

/// The header of a request ("Request message").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RequestHeader {
    /// [`REQUEST_MAGIC`].
    pub magic: U32,
    /// [`CommandFlags`].
    pub flags: U16,
    /// [`Command`].
    pub command: U16,
    /// The client's number for this request, returned in the reply.
    pub cookie: U64,
    /// Where on the export, in bytes.
    pub offset: U64,
    /// How many bytes.
    pub length: U32,
}

/// The header of a simple reply ("Simple reply message").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SimpleReply {
    /// [`SIMPLE_REPLY_MAGIC`].
    pub magic: U32,
    /// 0 or an [`Errno`].
    pub error: U32,
    /// The cookie of the request.
    pub cookie: U64,
}

/// The header of a chunk of a structured reply ("Structured reply chunk message").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ChunkHeader {
    /// [`STRUCTURED_REPLY_MAGIC`].
    pub magic: U32,
    /// 0 or [`REPLY_FLAG_DONE`].
    pub flags: U16,
    /// [`ChunkType`].
    pub kind: U16,
    /// The cookie of the request.
    pub cookie: U64,
    /// Bytes that follow.
    pub length: U32,
}

/// The start of the payload of an error chunk; a text follows ("Structured reply types").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ErrorChunk {
    /// An [`Errno`].
    pub error: U32,
    /// Bytes of text that follow.
    pub text_length: U16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_the_protocol() {
        assert_eq!(size_of::<Greeting>(), 18);
        assert_eq!(size_of::<OptionHeader>(), 16);
        assert_eq!(size_of::<OptionReply>(), 20);
        assert_eq!(size_of::<ExportNameReply>(), 10);
        assert_eq!(size_of::<InfoExport>(), 12);
        assert_eq!(size_of::<InfoBlockSize>(), 14);
        assert_eq!(size_of::<RequestHeader>(), 28);
        assert_eq!(size_of::<SimpleReply>(), 16);
        assert_eq!(size_of::<ChunkHeader>(), 20);
        assert_eq!(size_of::<ErrorChunk>(), 6);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=u16::MAX {
            assert_eq!(u16::from(Command::from(code)), code);
            assert_eq!(u16::from(InfoCode::from(code)), code);
            assert_eq!(u16::from(ChunkType::from(code)), code);
        }
        for code in (0..64).chain((1 << 31)..(1 << 31) + 64) {
            assert_eq!(u32::from(OptionCode::from(code)), code);
            assert_eq!(u32::from(OptionReplyCode::from(code)), code);
        }
    }
}
