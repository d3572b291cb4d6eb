//! The memory of the process that is in an ioctl.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Once;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::kernel::Caller;

/// A thread that is in an ioctl: it waits there, so its memory is still.
#[derive(Debug)]
pub(super) struct Process(pub(super) Pid);

impl Process {
    fn remote(address: u64, len: usize) -> Result<[RemoteIoVec; 1], Errno> {
        let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
        Ok([RemoteIoVec { base, len }])
    }
}

impl Caller for Process {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        if buffer.is_empty() {
            return Ok(());
        }
        let length = buffer.len();
        let remote = Self::remote(address, length)?;
        let copied = process_vm_readv(self.0, &mut [IoSliceMut::new(buffer)], &remote);
        whole(copied, length)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let remote = Self::remote(address, bytes.len())?;
        let copied = process_vm_writev(self.0, &[IoSlice::new(bytes)], &remote);
        whole(copied, bytes.len())
    }

    fn clock(&mut self, id: i32) -> Result<(i64, i32), Errno> {
        let clocks = [
            ClockId::CLOCK_REALTIME,
            ClockId::CLOCK_MONOTONIC,
            ClockId::CLOCK_MONOTONIC_RAW,
        ];
        let clock = clocks.into_iter().find(|clock| clock.as_raw() == id);
        let time = clock_gettime(clock.ok_or(Errno::EINVAL)?)?;
        let nanoseconds = i32::try_from(time.tv_nsec()).map_err(|_| Errno::EINVAL)?;
        Ok((time.tv_sec(), nanoseconds))
    }
}

fn whole(copied: Result<usize, Errno>, wanted: usize) -> Result<(), Errno> {
    static TOLD: Once = Once::new();
    match copied {
        Ok(length) if length == wanted => Ok(()),
        Ok(_) => Err(Errno::EFAULT),
        Err(error) => {
            if error == Errno::EPERM {
                TOLD.call_once(|| {
                    tracing::warn!(
                        "this process may not reach into the memory of a program that uses the \
                         bus: run both as the same user, and see kernel.yama.ptrace_scope"
                    );
                });
            }
            Err(Errno::EFAULT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_copied_whole_or_not_at_all() {
        let mut own = Process(nix::unistd::getpid());
        let bytes = *b"firewire";
        let mut copy = [0; 8];
        own.read(bytes.as_ptr() as u64, &mut copy).unwrap();
        assert_eq!(copy, bytes);
        let target = [0_u8; 4];
        own.write(target.as_ptr() as u64, b"1394").unwrap();
        assert_eq!(std::hint::black_box(&target), b"1394");
        for address in [0, 8, u64::MAX] {
            assert_eq!(own.read(address, &mut copy), Err(Errno::EFAULT));
            assert_eq!(own.write(address, &copy), Err(Errno::EFAULT));
        }
        own.read(0, &mut []).unwrap();
        assert_eq!(own.clock(99), Err(Errno::EINVAL));
        assert!(own.clock(1).is_ok());
    }
}
