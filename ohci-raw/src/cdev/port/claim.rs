//! One process of this host for each logical unit.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::cdev::error::DeviceError;
use crate::port::PortError;

/// Locks the byte of a node's file that stands for a logical unit.
///
/// The lock belongs to the opened file, so it ends with the process that holds it, however that
/// ends. It means something to programs that ask for it only.
pub(super) fn claim(file: impl AsFd, path: &Path, lun: u16) -> Result<(), PortError> {
    let byte = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(lun),
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&byte)) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(PortError::Claimed {
            device: path.display().to_string(),
            lun,
        }),
        Err(errno) => {
            let error = DeviceError::os(path, "fcntl(F_OFD_SETLK)", errno);
            Err(error.into_port_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_logical_unit_is_claimed_by_one_opener_until_it_closes() {
        let node = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(node.path());
        let (first, second) = (open().unwrap(), open().unwrap());
        claim(&first, node.path(), 0).unwrap();
        claim(&second, node.path(), 1).unwrap();
        let refused = claim(&second, node.path(), 0).unwrap_err();
        assert!(
            matches!(refused, PortError::Claimed { lun: 0, .. }),
            "{refused}"
        );
        claim(&first, node.path(), 0).unwrap();
        drop(first);
        claim(&second, node.path(), 0).unwrap();
    }
}
