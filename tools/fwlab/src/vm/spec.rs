//! What a guest is to have.

use std::path::{Path, PathBuf};

use super::error::VmError;
use super::kernel::Kernel;
use super::qemu::Qemu;

/// A file for the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where it is on this machine.
    pub from: PathBuf,
    /// Where the guest is to have it.
    pub to: PathBuf,
}

/// A virtual machine to be started. See [`Guest::start`](super::Guest::start).
///
/// It has the modules `firewire-core` and `firewire-ohci` loaded, and nothing else unless it is
/// asked for.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    pub(super) qemu: Qemu,
    pub(super) kernel: Kernel,
    pub(super) number: u8,
    pub(super) memory: u32,
    pub(super) controllers: Vec<PathBuf>,
    pub(super) network: Option<PathBuf>,
    pub(super) modules: Vec<String>,
    pub(super) at_hand: Vec<String>,
    pub(super) programs: Vec<String>,
    pub(super) files: Vec<Place>,
    pub(super) kernel_arguments: Vec<String>,
}

impl GuestSpec {
    /// A guest with this kernel, 512 MiB of memory, and no FireWire controller yet.
    #[must_use]
    pub fn new(qemu: Qemu, kernel: Kernel) -> Self {
        Self {
            qemu,
            kernel,
            number: 1,
            memory: 512,
            controllers: Vec::new(),
            network: None,
            modules: vec!["firewire-ohci".into()],
            at_hand: Vec::new(),
            programs: Vec::new(),
            files: Vec::new(),
            kernel_arguments: Vec::new(),
        }
    }

    /// Which of several guests it is, from 1 on: guestN by name, 10.87.0.N on the network.
    #[must_use]
    pub fn number(mut self, number: u8) -> Self {
        self.number = number;
        self
    }

    /// How much memory it has, in MiB.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// A FireWire controller: the socket of a [`Seat`](crate::seat::Seat). It can be called again.
    #[must_use]
    pub fn controller(mut self, socket: &Path) -> Self {
        self.controllers.push(socket.to_owned());
        self
    }

    /// Puts it on a network with other guests: the socket of a [`Hub`](super::Hub).
    #[must_use]
    pub fn network(mut self, socket: &Path) -> Self {
        self.network = Some(socket.to_owned());
        self
    }

    /// A module that is loaded before the guest is ready, with its parameters:
    /// `nbd nbds_max=2`. They are loaded in the order in which they are named.
    #[must_use]
    pub fn module(mut self, module: &str) -> Self {
        self.modules.push(module.to_owned());
        self
    }

    /// A module that the guest can load with `modprobe`.
    #[must_use]
    pub fn module_at_hand(mut self, module: &str) -> Self {
        self.at_hand.push(module.to_owned());
        self
    }

    /// A program of this machine, by name or path, with the libraries that it needs. What is in
    /// the folders of the system is at the same place in the guest, anything else in `/usr/bin`.
    #[must_use]
    pub fn program(mut self, program: &str) -> Self {
        self.programs.push(program.to_owned());
        self
    }

    /// A file of this machine.
    #[must_use]
    pub fn file(mut self, from: &Path, to: &Path) -> Self {
        self.files.push(Place {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        self
    }

    /// More for the kernel's command line.
    #[must_use]
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.kernel_arguments.push(argument.to_owned());
        self
    }

    pub(super) fn name(&self) -> String {
        format!("guest{}", self.number)
    }

    /// Says what cannot be.
    pub(super) fn check(&self) -> Result<(), VmError> {
        let wrong = |what: String| Err(VmError::Spec(what));
        if !(1..=254).contains(&self.number) {
            return wrong(format!("guest {}: they are counted from 1 to 254", self.number));
        }
        if self.memory < 128 {
            return wrong(format!("{} MiB of memory: Linux needs 128", self.memory));
        }
        for argument in self.modules.iter().chain(&self.kernel_arguments) {
            if argument.contains('\n') {
                return wrong(format!("{argument:?} is more than one line"));
            }
        }
        for place in &self.files {
            if !place.to.is_absolute() {
                return wrong(format!("{}: not an absolute path", place.to.display()));
            }
        }
        Ok(())
    }

    /// The names of the modules without their parameters, those to be loaded first.
    pub(super) fn module_names(&self) -> Vec<&str> {
        let names = self.modules.iter().chain(&self.at_hand);
        names
            .filter_map(|module| module.split_whitespace().next())
            .collect()
    }
}
