//! A file system that is one file.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyOpen, ReplyWrite, Request as Call,
    TimeOrNow, WriteFlags,
};
use nix::fcntl::{FallocateFlags, OFlag};
use nix::unistd::{getegid, geteuid};

use crate::disk::{Disk, DiskError, Geometry, Request};

/// How long the kernel may believe the file's attributes, which never change.
const TTL: Duration = Duration::from_secs(3600);

/// How many requests the disk has, and how often the file is open.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    under_way: Mutex<usize>,
    ended: Condvar,
    open: AtomicUsize,
}

impl Traffic {
    fn begin(self: &Arc<Self>) -> UnderWay {
        *self.lock() += 1;
        UnderWay(Arc::clone(self))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the file is open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Waits until there are none, at most so long. Gives how many are left.
    pub(super) fn wait(&self, grace: Duration) -> usize {
        let waited = self
            .ended
            .wait_timeout_while(self.lock(), grace, |under_way| *under_way > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A request that the disk has.
struct UnderWay(Arc<Traffic>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.0.lock();
        *under_way = under_way.saturating_sub(1);
        self.0.ended.notify_all();
    }
}

pub(super) struct DiskFile {
    disk: Arc<dyn Disk>,
    geometry: Geometry,
    traffic: Arc<Traffic>,
}

fn errno(error: &DiskError) -> Errno {
    match error {
        DiskError::Io(_) => Errno::EIO,
        DiskError::ReadOnly => Errno::EROFS,
        DiskError::NoSpace => Errno::ENOSPC,
        DiskError::Invalid(_) => Errno::EINVAL,
        DiskError::ShuttingDown(_) => Errno::ENODEV,
    }
}

impl DiskFile {
    pub(super) fn new(disk: Arc<dyn Disk>, traffic: Arc<Traffic>) -> Self {
        let geometry = disk.geometry();
        Self {
            disk,
            geometry,
            traffic,
        }
    }

    fn submit(&self, request: Request, done: impl FnOnce(Result<Vec<u8>, Errno>) + Send + 'static) {
        let under_way = self.traffic.begin();
        self.disk.submit(
            request,
            Box::new(move |result| {
                done(result.map_err(|error| errno(&error)));
                drop(under_way);
            }),
        );
    }

    /// Whether an access is made of whole blocks and inside the disk.
    fn check(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let block = u64::from(self.geometry.block_size);
        let aligned = offset.is_multiple_of(block) && length.is_multiple_of(block);
        if !aligned || length > u64::from(self.geometry.max_request) {
            return Err(Errno::EINVAL);
        }
        if offset.saturating_add(length) > self.geometry.size {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    fn attributes(&self) -> FileAttr {
        FileAttr {
            ino: INodeNo::ROOT,
            size: self.geometry.size,
            blocks: self.geometry.size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: if self.geometry.read_only {
                0o400
            } else {
                0o600
            },
            nlink: 1,
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            rdev: 0,
            blksize: self.geometry.preferred_block_size,
            flags: 0,
        }
    }
}

impl Filesystem for DiskFile {
    fn getattr(&self, _: &Call, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes());
    }

    fn setattr(
        &self,
        _: &Call,
        _: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(Errno::EPERM);
        }
        // A disk keeps its size, as a block device does when it is truncated.
        reply.attr(&TTL, &self.attributes());
    }

    fn open(&self, _: &Call, _: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.0 & (OFlag::O_WRONLY | OFlag::O_RDWR).bits() != 0;
        if writes && self.geometry.read_only {
            return reply.error(Errno::EROFS);
        }
        self.traffic.open.fetch_add(1, Relaxed);
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn release(
        &self,
        _: &Call,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.traffic.open.fetch_sub(1, Relaxed);
        reply.ok();
    }

    fn read(
        &self,
        _: &Call,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = offset.saturating_add(size.into()).min(self.geometry.size);
        if offset >= end {
            return reply.data(&[]);
        }
        // The blocks around what is wanted.
        let block = u64::from(self.geometry.block_size);
        let first = offset - offset % block;
        let last = end.next_multiple_of(block);
        let (Ok(length), Ok(skip), Ok(wanted)) = (
            u32::try_from(last - first),
            usize::try_from(offset - first),
            usize::try_from(end - offset),
        ) else {
            return reply.error(Errno::EINVAL);
        };
        if let Err(error) = self.check(first, length.into()) {
            return reply.error(error);
        }
        let request = Request::Read {
            offset: first,
            length,
        };
        self.submit(request, move |result| {
            let part = result.map(|bytes| bytes.get(skip..skip + wanted).map(<[u8]>::to_vec));
            match part {
                Ok(Some(bytes)) => reply.data(&bytes),
                // The disk gave less than it was asked for.
                Ok(None) => reply.error(Errno::EIO),
                Err(error) => reply.error(error),
            }
        });
    }

    fn write(
        &self,
        _: &Call,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if let Err(error) = self.check(offset, data.len() as u64) {
            return reply.error(error);
        }
        let written = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let request = Request::Write {
            offset,
            data: data.to_vec(),
            // Part of O_SYNC.
            fua: flags.0 & OFlag::O_DSYNC.bits() != 0,
        };
        self.submit(request, move |result| match result {
            Ok(_) => reply.written(written),
            Err(error) => reply.error(error),
        });
    }

    fn fsync(&self, _: &Call, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.submit(Request::Flush, move |result| match result {
            Ok(_) => reply.ok(),
            Err(error) => reply.error(error),
        });
    }

    fn flush(&self, _: &Call, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // close(2) promises nothing of what is on the medium.
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Call,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_truncate(mode);
        // A hole is a discard of a loop device: a disk that discards nothing would write zeroes,
        // for hours where a whole disk is discarded. Who is refused long zeroes writes them
        // himself.
        let zeroes = mode.contains(FallocateFlags::FALLOC_FL_ZERO_RANGE);
        if !zeroes || length > u64::from(self.geometry.max_request) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let length = match (self.check(offset, length), u32::try_from(length)) {
            (Err(error), _) => return reply.error(error),
            (Ok(()), Err(_)) => return reply.error(Errno::EINVAL),
            (Ok(()), Ok(length)) => length,
        };
        let request = Request::WriteZeroes {
            offset,
            length,
            fua: false,
        };
        self.submit(request, move |result| match result {
            Ok(_) => reply.ok(),
            Err(error) => reply.error(error),
        });
    }
}
