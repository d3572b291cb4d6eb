//! The lines to a guest's interrupt controller.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Interrupts to a guest: INTx or MSI, whichever it has switched on. MSI goes first.
///
/// Any thread may call. None waits for the guest.
#[derive(Debug, Default)]
pub struct Interrupts {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    pending: u32,
    intx: Option<EventFd>,
    /// By the client, or by a trigger that it has not answered with an unmask yet.
    masked: bool,
    msi: Option<EventFd>,
}

/// The kinds of interrupts that a function of ours has, by VFIO's index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `VFIO_PCI_INTX_IRQ_INDEX`
    Intx = 0,
    /// `VFIO_PCI_MSI_IRQ_INDEX`
    Msi = 1,
}

impl Kind {
    pub(super) fn from_index(index: u32) -> Option<Self> {
        [Self::Intx, Self::Msi]
            .into_iter()
            .find(|kind| *kind as u32 == index)
    }
}

impl Interrupts {
    /// Tells which events wait for the guest: those that have happened and that it wants to be
    /// interrupted for, 0 when it wants none. To be called after each step of the device.
    ///
    /// INTx is a level: it is raised while anything is pending, once until the guest's side has
    /// heard it. MSI is a message for each call that brings a bit that was not there before.
    pub fn update(&self, pending: u32) {
        let mut lines = self.lines();
        let new = pending & !lines.pending;
        lines.pending = pending;
        lines.raise(new);
    }

    /// What the last [`update`](Self::update) said.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.lines().pending
    }

    /// Gives a line its eventfd, or takes it away.
    pub(super) fn connect(
        &self,
        kind: Kind,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), NotAnEventFd> {
        let event = descriptor.map(EventFd::new).transpose()?;
        let mut lines = self.lines();
        match kind {
            Kind::Intx => {
                lines.intx = event;
                lines.masked = false;
            }
            Kind::Msi => lines.msi = event,
        }
        // What came while nobody listened is told now.
        let pending = lines.pending;
        lines.raise(pending);
        Ok(())
    }

    /// Masks INTx, or ends the mask that the client or a trigger has set.
    pub(super) fn mask(&self, masked: bool) {
        let mut lines = self.lines();
        lines.masked = masked;
        lines.raise(0);
    }

    /// Both lines end, with the guest.
    pub(super) fn clear(&self) {
        *self.lines() = Lines::default();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// `new` are the bits that MSI has not told yet.
    fn raise(&mut self, new: u32) {
        // PCI 3.0, 6.8.1: a function with MSI enabled must not use INTx.
        if let Some(msi) = &self.msi {
            if new != 0 {
                msi.trigger();
            }
        } else if let Some(intx) = &self.intx
            && self.pending != 0
            && !self.masked
        {
            intx.trigger();
            self.masked = true;
        }
    }
}

/// A descriptor for a line that is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnEventFd {
    /// It is something else, which a write of ours could block on or spoil.
    #[error("the descriptor is no eventfd")]
    Other,
    /// The system does not say what it is.
    #[error("cannot tell what the descriptor is: {0}")]
    Unknown(#[source] io::Error),
}

#[derive(Debug)]
struct EventFd(File);

impl EventFd {
    fn new(descriptor: OwnedFd) -> Result<Self, NotAnEventFd> {
        let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        let what = fs::read_link(link).map_err(NotAnEventFd::Unknown)?;
        if what.as_os_str() != "anon_inode:[eventfd]" {
            return Err(NotAnEventFd::Other);
        }
        Ok(Self(descriptor.into()))
    }

    /// Adds 1, unless the counter is full: then there is an interrupt that nobody has taken yet, and
    /// a write would wait for that if the client made the eventfd a blocking one.
    fn trigger(&self) {
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        let done = match poll(&mut ready, PollTimeout::ZERO) {
            Ok(0) => return,
            Ok(_) => (&self.0).write_all(&1_u64.to_ne_bytes()),
            Err(Errno::EINTR) => (&self.0).write_all(&1_u64.to_ne_bytes()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "an interrupt did not reach the guest");
        }
    }
}
