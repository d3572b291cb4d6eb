use alloc::vec::Vec;

use crate::initiator::{CommandError, Login, Logins, ManagementError, Refusal};
use crate::scsi::{BringUpError, Completion, DiskInfo};
use crate::wire::Function;

/// Names a request, until it has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestTag(pub u64);

/// Something to be done with a disk. Addresses and lengths are in logical blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Read `blocks` blocks from `lba` on.
    Read {
        /// The first block.
        lba: u64,
        /// How many.
        blocks: u32,
    },
    /// Write whole blocks from `lba` on.
    Write {
        /// The first block.
        lba: u64,
        /// The bytes, a multiple of the block length.
        data: Vec<u8>,
        /// Whether they have to be on the medium before the request ends.
        fua: bool,
    },
    /// Write zeros to `blocks` blocks from `lba` on.
    WriteZeroes {
        /// The first block.
        lba: u64,
        /// How many.
        blocks: u32,
        /// Whether they have to be on the medium before the request ends.
        fua: bool,
    },
    /// Bring everything that was written onto the medium.
    Flush,
}

/// Why a request failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The disk has no such blocks.
    #[error("{blocks} blocks from {lba} on pass the end of the disk, {capacity} blocks")]
    OutOfRange {
        /// The first block asked for.
        lba: u64,
        /// How many were.
        blocks: u64,
        /// How many the disk has.
        capacity: u64,
    },
    /// More bytes than a request may have.
    #[error("{length} bytes are more than a request may have, {limit}")]
    TooLong {
        /// How many bytes were asked for.
        length: u64,
        /// How many may be: [`MAX_REQUEST`](super::MAX_REQUEST).
        limit: u64,
    },
    /// What is to be written is not whole blocks.
    #[error("{length} bytes are not whole blocks of {block_length}")]
    NotWholeBlocks {
        /// How many bytes came.
        length: usize,
        /// Bytes in a block.
        block_length: u32,
    },
    /// The disk is write protected.
    #[error("the disk is write protected")]
    WriteProtected,
    /// The disk has not been brought up, or is being given back.
    #[error("the disk is not ready")]
    NotReady,
    /// The disk is of no use any more.
    #[error("the disk has been given up: {0}")]
    GivenUp(Failure),
    /// The disk refused.
    #[error("{command} of {blocks} blocks at {lba} ended with {completion}")]
    Scsi {
        /// Which command.
        command: &'static str,
        /// Its first block.
        lba: u64,
        /// Its number of blocks.
        blocks: u32,
        /// What the disk said.
        completion: Completion,
    },
    /// The disk said that all went well, but not all data has arrived.
    #[error("{received} of {expected} bytes arrived from block {lba} on, with good status")]
    Short {
        /// The first block.
        lba: u64,
        /// How many bytes were to come.
        expected: usize,
        /// How many came without a gap.
        received: usize,
    },
    /// The command came to nothing on its way.
    #[error("{command} of {blocks} blocks at {lba} came to nothing: {error}")]
    Command {
        /// Which command.
        command: &'static str,
        /// Its first block.
        lba: u64,
        /// Its number of blocks.
        blocks: u32,
        /// What became of it.
        error: CommandError,
    },
    /// Something that had been written, and reported as written, may not be on the medium.
    #[error(
        "writes that were not flushed may be lost: {}",
        if *.deferred { "the disk reported an error for an earlier write" }
        else { "the login was lost in between, or the disk's power" }
    )]
    WritesMayBeLost {
        /// Whether the disk told of an error of its own, afterwards.
        deferred: bool,
    },
}

/// Why a disk is of no use any more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no login.
    #[error(transparent)]
    Login(#[from] ManagementError),
    /// There is a login, but what is behind it is no disk, or does not get ready.
    #[error(transparent)]
    BringUp(#[from] BringUpError),
    /// After a new login there is another disk in the place of the old one.
    #[error("another disk is in its place: it was {was}, now it is {now}")]
    Changed {
        /// The old one in words.
        was: alloc::string::String,
        /// The new one.
        now: alloc::string::String,
    },
}

/// Something that the owner of a [`Disk`](super::Disk) may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The disk can be used: for the first time, or again after its login was lost.
    Ready {
        /// The login.
        login: Login,
        /// What the disk says of itself.
        info: DiskInfo,
    },
    /// A request of the target, or of somebody in its place, was refused, the first of its kind.
    Refused(Refusal),
    /// A bus reset was survived.
    Reconnected,
    /// The login was lost. Requests wait for a new one.
    LoginLost(ManagementError),
    /// An attempt to get the login back has failed; another one follows.
    LoginRetry(ManagementError),
    /// After a new login the disk could not be brought up; another attempt follows.
    BringUpRetry(BringUpError),
    /// The disk is of no use any more; every request fails.
    Failed(Failure),
    /// The login was given back, or has lapsed for the reason given.
    LoggedOut(Result<(), ManagementError>),
    /// A request has ended: with the data for a read, with nothing for everything else.
    Completed {
        /// Which one.
        tag: RequestTag,
        /// What came of it.
        result: Result<Vec<u8>, RequestError>,
    },
    /// QUERY LOGINS has ended.
    Logins(Result<Logins, ManagementError>),
    /// A task management function that was asked for has ended.
    TaskManagement {
        /// Which one.
        function: Function,
        /// What came of it.
        result: Result<(), ManagementError>,
    },
}
