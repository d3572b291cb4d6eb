use std::sync::Arc;
use std::sync::mpsc::Sender;

use fwshare_export::{Completion, Disk, DiskError, Geometry, MAX_REQUEST_LIMIT, Request};
use ohci_raw::port::Waker;
use sbp2::disk::RequestError;
use sbp2::scsi::DiskInfo;

use super::Order;
use super::meter::Meter;

/// The smallest request that serves a disk well: a page.
const PAGE: u32 = 4096;

/// The disk as exports see it.
pub(super) struct ExportedDisk {
    geometry: Geometry,
    orders: Sender<Order>,
    waker: Waker,
    meter: Arc<Meter>,
}

impl ExportedDisk {
    pub(super) fn new(
        info: &DiskInfo,
        read_only: bool,
        orders: Sender<Order>,
        waker: Waker,
        meter: Arc<Meter>,
    ) -> Self {
        let block_size = info.block_length;
        Self {
            geometry: Geometry {
                size: info.blocks.saturating_mul(u64::from(block_size)),
                block_size,
                preferred_block_size: block_size.max(PAGE),
                max_request: MAX_REQUEST_LIMIT - MAX_REQUEST_LIMIT % block_size,
                read_only: read_only || info.write_protected,
            },
            orders,
            waker,
            meter,
        }
    }
}

impl Disk for ExportedDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, request: Request, done: Completion) {
        let writes = !matches!(request, Request::Read { .. } | Request::Flush);
        if writes && self.geometry.read_only {
            done(Err(DiskError::ReadOnly));
            return;
        }
        let begun = self.meter.begin(&request);
        let done: Completion = Box::new(move |result| {
            begun.ended(result.is_ok());
            done(result);
        });
        match self.orders.send(Order::Request(request, done)) {
            Ok(()) => self.waker.wake(),
            Err(unsent) => {
                if let Order::Request(_, done) = unsent.0 {
                    let why = "the session has ended".into();
                    done(Err(DiskError::ShuttingDown(why)));
                }
            }
        }
    }
}

/// Whether a request begins and ends at a block boundary.
pub(super) fn is_whole_blocks(request: &Request, block_length: u32) -> bool {
    let (offset, length) = match request {
        Request::Read { offset, length } | Request::WriteZeroes { offset, length, .. } => {
            (*offset, u64::from(*length))
        }
        Request::Write { offset, data, .. } => (*offset, data.len() as u64),
        Request::Flush => return true,
    };
    let block = u64::from(block_length);
    offset.is_multiple_of(block) && length.is_multiple_of(block)
}

/// An export's request in blocks.
pub(super) fn in_blocks(request: Request, block_length: u32) -> sbp2::disk::Request {
    use sbp2::disk::Request as Blocks;
    let bytes = u64::from(block_length);
    match request {
        Request::Read { offset, length } => Blocks::Read {
            lba: offset / bytes,
            blocks: length / block_length,
        },
        Request::Write { offset, data, fua } => Blocks::Write {
            lba: offset / bytes,
            data,
            fua,
        },
        Request::WriteZeroes {
            offset,
            length,
            fua,
        } => Blocks::WriteZeroes {
            lba: offset / bytes,
            blocks: length / block_length,
            fua,
        },
        Request::Flush => Blocks::Flush,
    }
}

/// A request's failure in an export's words.
pub(super) fn in_words(error: &RequestError) -> DiskError {
    match error {
        RequestError::WriteProtected => DiskError::ReadOnly,
        RequestError::OutOfRange { .. } => DiskError::NoSpace,
        RequestError::NotWholeBlocks { .. } | RequestError::TooLong { .. } => {
            DiskError::Invalid(error.to_string())
        }
        RequestError::NotReady | RequestError::GivenUp(_) => {
            DiskError::ShuttingDown(error.to_string())
        }
        _ => DiskError::Io(error.to_string()),
    }
}
