//! A transmit context: walks the program that software appends to, block by block (OHCI 1.1,
//! chapter 7).

use ohci_raw::bus::Token;
use ohci_raw::descriptor::{Branch, Command, DESCRIPTOR_LENGTH, Descriptor};
use ohci_raw::packet::{DATA_MAX, HEADER_MAX, Outgoing};
use ohci_raw::regs::{ContextControl, EventCode};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::Memory;
use super::context::Context;

/// A block of descriptors that was read, and waits for what becomes of its packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// What it says, or with which event it ends for not saying anything.
    pub(super) packet: Result<Outgoing, EventCode>,
    /// Where its last descriptor is, and what it says.
    last: (u64, Descriptor),
}

impl Block {
    /// Whether software wants an interrupt if the packet ends so.
    pub(super) fn interrupts(&self, event: EventCode) -> bool {
        self.last.1.interrupts(event)
    }
}

/// What of a program cannot be walked on: the context dies of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken(pub(super) EventCode);

/// A block whose packet was sent, and is not acknowledged yet.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sent {
    token: Token,
    block: Block,
    /// Software has stopped the context meanwhile: its program does not go on from here.
    is_last: bool,
}

/// A transmit context.
#[derive(Clone, Debug, Default)]
pub(super) struct Transmit {
    pub(super) context: Context,
    /// The next block, if software has named one.
    next: Branch,
    /// The last descriptor that was done, whose branch software fills in later.
    last: Option<u64>,
    sent: Option<Sent>,
}

impl Transmit {
    /// Software has written the control register's set address.
    pub(super) fn set(&mut self, value: u32) {
        if self.context.set(value) {
            self.next = self.context.command_ptr;
            self.last = None;
        }
    }

    /// Software has written the control register's clear address. A packet on its way is not
    /// called back: the context is active until it has ended.
    pub(super) fn clear(&mut self, value: u32) {
        self.context.clear(value);
        if let Some(sent) = &mut self.sent
            && !self.context.control.contains(ContextControl::RUN)
        {
            sent.is_last = true;
            self.context.set_active(true);
        }
    }

    /// Whether there may be a block to send now.
    pub(super) fn is_due(&self) -> bool {
        let woken = self.context.control.contains(ContextControl::WAKE);
        self.sent.is_none() && self.context.runs() && (self.next.z() != 0 || woken)
    }

    /// The block's packet was sent, and is not acknowledged yet.
    pub(super) fn wait(&mut self, token: Token, block: Block) {
        self.sent = Some(Sent {
            token,
            block,
            is_last: false,
        });
    }

    /// The block that waits for this packet to be acknowledged; now it does not any more.
    pub(super) fn take_sent(&mut self, token: Token) -> Option<(Block, bool)> {
        let sent = self.sent.take_if(|sent| sent.token == token)?;
        Some((sent.block, sent.is_last))
    }

    /// The next block to send, if there is one.
    pub(super) fn fetch(&mut self, memory: &dyn Memory) -> Result<Option<Block>, Broken> {
        if !self.context.runs() {
            return Ok(None);
        }
        if self.next.z() == 0
            && self.context.take_wake()
            && let Some(last) = self.last
        {
            self.next = read_descriptor(memory, last)?.branch();
        }
        if self.next.z() == 0 {
            self.context.set_active(false);
            return Ok(None);
        }
        self.context.set_active(true);
        read_block(memory, self.next).map(Some)
    }

    /// The block's packet has ended so: tells software, and goes on to the next block unless it was
    /// the last one.
    pub(super) fn retire(
        &mut self,
        memory: &dyn Memory,
        block: &Block,
        (event, timestamp): (EventCode, u16),
        is_last: bool,
    ) -> Result<(), Broken> {
        let (address, mut last) = block.last;
        self.context.end_with(event);
        last.res_count.set(timestamp);
        last.transfer_status.set(self.context.status());
        // Software may have appended to the branch in the meantime: only the status is written.
        let status = last.as_bytes().get(12..).unwrap_or_default();
        memory
            .write(address + 12, status)
            .map_err(|_| Broken(EventCode::DataWrite))?;
        if !is_last {
            self.next = last.branch();
            self.last = Some(address);
        }
        let goes_on = self.context.runs() && self.next.z() != 0;
        self.context.set_active(goes_on);
        Ok(())
    }

    /// The context has met a program that cannot be walked.
    pub(super) fn die(&mut self, broken: Broken) {
        self.context.end_with(broken.0);
        self.context.control |= ContextControl::DEAD;
        self.context.set_active(false);
    }
}

fn read_descriptor(memory: &dyn Memory, address: u64) -> Result<Descriptor, Broken> {
    let mut bytes = [0; DESCRIPTOR_LENGTH as usize];
    memory
        .read(address, &mut bytes)
        .map_err(|_| Broken(EventCode::DescriptorRead))?;
    Descriptor::read_from_bytes(&bytes).map_err(|_| Broken(EventCode::DescriptorRead))
}

/// An immediate descriptor with the header, which takes the place of two, and then as many with
/// data as Z says.
fn read_block(memory: &dyn Memory, branch: Branch) -> Result<Block, Broken> {
    let unknown = Broken(EventCode::Unknown);
    let start = branch.address();
    let first = read_descriptor(memory, start)?;
    if !first.is_immediate() || branch.z() < 2 {
        return Err(unknown);
    }
    let mut header = [0; HEADER_MAX];
    let header = header
        .get_mut(..usize::from(first.req_count.get()))
        .ok_or(unknown)?;
    memory
        .read(start + DESCRIPTOR_LENGTH, header)
        .map_err(|_| Broken(EventCode::DescriptorRead))?;
    if first.command() == Some(Command::OutputLast) {
        return Ok(Block {
            packet: Outgoing::parse(header, Vec::new()).map_err(|_| EventCode::TcodeError),
            last: (start, first),
        });
    }
    let mut data = Vec::new();
    let mut is_readable = true;
    for number in 2..u64::from(branch.z()) {
        let address = start + number * DESCRIPTOR_LENGTH;
        let descriptor = read_descriptor(memory, address)?;
        let length = usize::from(descriptor.req_count.get());
        let from = data.len();
        if from + length > DATA_MAX {
            return Err(unknown);
        }
        data.resize(from + length, 0);
        let part = data.get_mut(from..).unwrap_or_default();
        is_readable &= memory
            .read(u64::from(descriptor.data_address.get()), part)
            .is_ok();
        match descriptor.command() {
            Some(Command::OutputMore) => {}
            Some(Command::OutputLast) => {
                let packet = if is_readable {
                    Outgoing::parse(header, data).map_err(|_| EventCode::TcodeError)
                } else {
                    Err(EventCode::DataRead)
                };
                let last = (address, descriptor);
                return Ok(Block { packet, last });
            }
            _ => return Err(unknown),
        }
    }
    Err(unknown)
}
