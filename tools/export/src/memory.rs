//! Disks that are not there: one in memory and one that forgets, for tests and measurements.

use std::sync::{Mutex, PoisonError};

use crate::disk::{Completion, Disk, DiskError, Geometry, Request};

/// A disk in memory. Requests end before `submit` returns.
#[derive(Debug)]
pub struct MemoryDisk {
    geometry: Geometry,
    bytes: Mutex<Vec<u8>>,
}

impl MemoryDisk {
    /// A disk of `size` zero bytes in blocks of `block_size`, with requests of up to 32 MiB.
    #[must_use]
    pub fn new(size: usize, block_size: u32) -> Self {
        Self::with_contents(vec![0; size], block_size)
    }

    /// A disk that holds `bytes`.
    #[must_use]
    pub fn with_contents(bytes: Vec<u8>, block_size: u32) -> Self {
        Self {
            geometry: geometry(bytes.len() as u64, block_size),
            bytes: Mutex::new(bytes),
        }
    }

    /// The same disk with other limits. Its size stays.
    #[must_use]
    pub fn with_geometry(self, geometry: Geometry) -> Self {
        let size = self.geometry.size;
        Self {
            geometry: Geometry { size, ..geometry },
            ..self
        }
    }

    /// A copy of all that is on the disk.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn run(&self, request: Request) -> Result<Vec<u8>, DiskError> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            Request::Read { offset, length } => {
                part(&mut bytes, offset, length as usize).map(|part| part.to_vec())
            }
            Request::Write { offset, data, .. } => {
                part(&mut bytes, offset, data.len())?.copy_from_slice(&data);
                Ok(Vec::new())
            }
            Request::WriteZeroes { offset, length, .. } => {
                part(&mut bytes, offset, length as usize)?.fill(0);
                Ok(Vec::new())
            }
            Request::Flush => Ok(Vec::new()),
        }
    }
}

impl Disk for MemoryDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, request: Request, done: Completion) {
        done(self.run(request));
    }
}

/// A disk that reads as zeroes and forgets what is written: it measures whatever is around it.
#[derive(Debug)]
pub struct NullDisk {
    geometry: Geometry,
}

impl NullDisk {
    /// A disk of `size` bytes in blocks of `block_size`, with requests of up to 32 MiB.
    #[must_use]
    pub fn new(size: u64, block_size: u32) -> Self {
        Self {
            geometry: geometry(size, block_size),
        }
    }
}

impl Disk for NullDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, request: Request, done: Completion) {
        done(Ok(match request {
            Request::Read { length, .. } => vec![0; length as usize],
            _ => Vec::new(),
        }));
    }
}

fn geometry(size: u64, block_size: u32) -> Geometry {
    Geometry {
        size,
        block_size,
        preferred_block_size: block_size.max(4096),
        max_request: crate::disk::MAX_REQUEST_LIMIT,
        read_only: false,
    }
}

fn part(bytes: &mut [u8], offset: u64, length: usize) -> Result<&mut [u8], DiskError> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get_mut(start..start.checked_add(length)?))
        .ok_or(DiskError::NoSpace)
}
