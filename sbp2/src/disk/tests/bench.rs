use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Address, AddressRange, Machine, RCode, Transaction, csr};
use zerocopy::{FromBytes, IntoBytes};

use crate::disk::{Disk, Notice, Request, RequestError, RequestTag};
use crate::initiator::Config;
use crate::initiator::tests::rig::{AGENT, LOGIN_ID, MANAGEMENT_AGENT, Rig, Subject, pointer};
use crate::scsi::{
    Cdb, Completion, DeviceServer, Execution, Identity, MemoryMedium, Nexus, UnitAttention,
};
use crate::target::BridgeProfile;
use crate::unit::Quirks;
use crate::wire::{
    AgentRegister, CommandFlags, CommandOrb, Function, LoginResponse, ManagementOrb,
    PageTableEntry, Resp, Sbp2Status, StatusSource,
};

impl Subject for Disk {
    fn on(config: Config, range: AddressRange) -> Self {
        Self::new(config, Quirks::empty(), range).unwrap()
    }
}

/// What the device does with a command for blocks.
pub(super) enum Answer {
    /// What it should.
    Well,
    /// Nothing, and says this.
    Instead(Completion),
    /// What it should, and says this all the same.
    ButSays(Completion),
    /// Sends so many bytes of what was to be read, and says that all is well.
    Short(usize),
    /// Takes it and falls silent.
    Silence,
    /// The bus fails.
    TransportFailure,
}

/// A disk, and a device behind a target that is played by hand.
pub(super) struct Bench {
    pub(super) rig: Rig<Disk>,
    pub(super) device: DeviceServer,
    pub(super) nexus: Nexus,
    /// For the next commands for blocks; then all goes well again.
    pub(super) script: VecDeque<Answer>,
    /// The commands that have come, but for those that only ask.
    pub(super) commands: Vec<Cdb>,
    /// What RECONNECT is answered with.
    pub(super) reconnect: Sbp2Status,
    /// ORBs are not fetched.
    pub(super) hold: bool,
    /// ORBs are fetched and never answered.
    pub(super) mute: bool,
    /// So many commands that only ask get a good status and no data.
    pub(super) swallow: u32,
    pub(super) notices: Vec<Notice>,
    /// How each request has ended.
    ended: BTreeMap<RequestTag, Option<Result<Vec<u8>, RequestError>>>,
    /// The next ORB, and the last one that was fetched.
    next: Option<Address>,
    tail: Option<Address>,
    pub(super) management: Vec<Function>,
}

pub(super) fn identity() -> Identity {
    BridgeProfile::generic().identity
}

impl Bench {
    /// Nobody is logged in yet.
    pub(super) fn new(
        identity: Identity,
        medium: MemoryMedium,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self {
            rig: Rig::with(change),
            device: DeviceServer::new(identity, Box::new(medium)),
            nexus: Nexus::new(),
            script: VecDeque::new(),
            commands: Vec::new(),
            reconnect: Sbp2Status::OK,
            hold: false,
            mute: false,
            swallow: 0,
            notices: Vec::new(),
            ended: BTreeMap::new(),
            next: None,
            tail: None,
            management: Vec::new(),
        }
    }

    /// A disk of 8192 blocks of 512 bytes that is ready.
    pub(super) fn ready(change: impl FnOnce(&mut Config)) -> Self {
        let medium = MemoryMedium::new(512, 8192).unwrap();
        Self::ready_with(identity(), medium, change)
    }

    pub(super) fn ready_with(
        identity: Identity,
        medium: MemoryMedium,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut bench = Self::new(identity, medium, change);
        bench.login();
        assert!(bench.was_told(|notice| matches!(notice, Notice::Ready { .. })));
        bench
    }

    pub(super) fn login(&mut self) {
        let now = self.rig.now;
        self.rig.host.login(now);
        self.serve();
    }

    /// Another disk is put into the place of this one.
    pub(super) fn replace_device(&mut self, identity: Identity, blocks: u64) {
        let medium = MemoryMedium::new(512, blocks).unwrap();
        self.device = DeviceServer::new(identity, Box::new(medium));
    }

    /// A bus reset after which the target has forgotten the login. A new one follows.
    pub(super) fn lose_login(&mut self) {
        self.reconnect = Sbp2Status::LOGIN_ID_NOT_RECOGNIZED;
        self.bus_reset(true);
        self.reconnect = Sbp2Status::OK;
    }

    pub(super) fn bus_reset(&mut self, target_is_there: bool) {
        (self.next, self.tail) = (None, None);
        self.rig.bus_reset(target_is_there);
        self.serve();
    }

    /// Whether there was such a notice, and forgets everything that was told.
    pub(super) fn was_told(&mut self, wanted: impl Fn(&Notice) -> bool) -> bool {
        core::mem::take(&mut self.notices).iter().any(wanted)
    }

    pub(super) fn submit(&mut self, request: Request) -> RequestTag {
        let now = self.rig.now;
        let tag = self.rig.host.submit(request, now);
        assert!(self.ended.insert(tag, None).is_none(), "a new tag");
        self.serve();
        tag
    }

    /// Submits a request and stops serving when its WRITE has ended.
    pub(super) fn submit_and_stop_before_sync(&mut self, request: Request) -> RequestTag {
        self.hold = true;
        let tag = self.submit(request);
        let orb = self.next.take().expect("an ORB");
        self.carry_out(orb);
        self.serve();
        tag
    }

    /// How a request has ended, if it has.
    pub(super) fn result(&self, tag: RequestTag) -> Option<Result<Vec<u8>, RequestError>> {
        self.ended[&tag].clone()
    }

    /// Hands over a request and waits for its end.
    pub(super) fn perform(&mut self, request: Request) -> Result<Vec<u8>, RequestError> {
        let tag = self.submit(request);
        for _ in 0..2000 {
            if let Some(result) = self.result(tag) {
                return result;
            }
            self.wait(Duration::from_millis(100));
        }
        panic!("it does not end");
    }

    pub(super) fn write(&mut self, lba: u64, data: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        let fua = false;
        self.perform(Request::Write { lba, data, fua })
    }

    pub(super) fn read(&mut self, lba: u64, blocks: u32) -> Result<Vec<u8>, RequestError> {
        self.perform(Request::Read { lba, blocks })
    }

    pub(super) fn flush(&mut self) -> Result<Vec<u8>, RequestError> {
        self.perform(Request::Flush)
    }

    /// What the medium holds.
    pub(super) fn on_medium(&mut self, lba: u64, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        self.device.read(lba, &mut buffer).unwrap();
        buffer
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.rig.now + duration;
        while let Some(due) = self.rig.host.poll_timeout().filter(|due| *due <= end) {
            self.rig.wait(due.saturating_since(self.rig.now));
            self.serve();
        }
        self.rig.now = end;
    }

    /// Plays the target until the disk wants nothing more now.
    pub(super) fn serve(&mut self) {
        loop {
            while let Some(notice) = self.rig.host.poll_notice() {
                self.take_in(notice);
            }
            if let Some(write) = self.rig.sent() {
                self.register(&write);
            } else if let Some(orb) = self.next.take_if(|_| !self.hold) {
                self.carry_out(orb);
            } else {
                return;
            }
        }
    }

    fn take_in(&mut self, notice: Notice) {
        let Notice::Completed { tag, result } = notice else {
            self.notices.push(notice);
            return;
        };
        // A request may end before its tag is known here.
        let known = self.ended.insert(tag, Some(result));
        assert!(matches!(known, None | Some(None)), "{tag:?} ends once");
    }

    fn register(&mut self, write: &Transaction) {
        if write.address == MANAGEMENT_AGENT {
            self.rig.answer(write, RCode::COMPLETE);
            self.manage(pointer(write).address());
            return;
        }
        if write.address == csr::BUSY_TIMEOUT {
            self.rig.answer(write, RCode::COMPLETE);
            return;
        }
        let offset = write.address.get() - AGENT.get();
        if offset == AgentRegister::AgentReset.offset() {
            (self.next, self.tail) = (None, None);
        } else if offset == AgentRegister::OrbPointer.offset() {
            assert_eq!(self.next, None, "the agent is active");
            self.next = Some(pointer(write).address());
        } else if offset == AgentRegister::Doorbell.offset() {
            if let (None, Some(tail)) = (self.next, self.tail) {
                let next = self.rig.orb_at(tail).next_orb;
                self.next = (!next.is_null()).then(|| next.address());
            }
        } else {
            panic!("a write to {}", write.address);
        }
        self.rig.answer(write, RCode::COMPLETE);
    }

    fn manage(&mut self, address: Address) {
        let orb = ManagementOrb::read_from_bytes(&self.rig.read(address, 32)).unwrap();
        self.management.push(orb.function());
        let status = match orb.function() {
            Function::LOGIN => {
                self.nexus = Nexus::new();
                self.nexus.establish_unit_attention(UnitAttention::PowerOn);
                let response = LoginResponse::new(LOGIN_ID, AGENT, 3);
                let place = orb.response.address();
                assert_eq!(self.rig.write(place, response.as_bytes()), RCode::COMPLETE);
                Sbp2Status::OK
            }
            Function::RECONNECT => self.reconnect,
            _ => Sbp2Status::OK,
        };
        self.rig.management_status(address, orb.status_fifo, status);
    }

    fn carry_out(&mut self, address: Address) {
        let orb = self.rig.orb_at(address);
        let cdb = Cdb::parse(&orb.command_block).unwrap();
        let for_blocks = cdb.transfer().is_some() || matches!(cdb, Cdb::SynchronizeCache10 { .. });
        let answer = if for_blocks {
            self.script.pop_front()
        } else {
            None
        };
        if for_blocks || matches!(cdb, Cdb::StartStopUnit { .. }) {
            self.commands.push(cdb);
        }
        let completion = match answer.unwrap_or(Answer::Well) {
            Answer::Well if self.mute => return,
            Answer::Well if self.swallow > 0 && orb.data_size() > 0 => {
                self.swallow -= 1;
                Some(self.execute(&orb, 0))
            }
            Answer::Well => Some(self.execute(&orb, usize::MAX)),
            Answer::Short(bytes) => Some(self.execute(&orb, bytes)),
            Answer::Instead(instead) => Some(instead),
            Answer::ButSays(says) => {
                self.execute(&orb, usize::MAX);
                Some(says)
            }
            Answer::Silence => return,
            Answer::TransportFailure => None,
        };
        self.tail = Some(address);
        self.rig.status(address, |status| {
            if !orb.next_orb.is_null() {
                status.source = StatusSource::OrbNextNotNull;
            }
            match completion {
                Some(completion) => {
                    let block = completion.to_status_block();
                    status.scsi = block.map_or_else(Vec::new, |block| block.to_vec());
                }
                None => {
                    status.resp = Resp::TransportFailure;
                    status.status = 0x42;
                }
            }
        });
        if !orb.next_orb.is_null() {
            self.next = Some(orb.next_orb.address());
        }
    }

    /// Does what the command says, but sends no more than so many bytes.
    fn execute(&mut self, orb: &CommandOrb, limit: usize) -> Completion {
        let length = self.device.medium().block_length() as usize;
        let mut data = match self.device.execute(&mut self.nexus, &orb.command_block) {
            Execution::Complete(completion) => return completion,
            Execution::DataIn(data) => data,
            Execution::Read { lba, blocks } => {
                let mut data = vec![0; blocks as usize * length];
                if let Err(completion) = self.device.read(lba, &mut data) {
                    return completion;
                }
                data
            }
            Execution::Write { lba, blocks, fua } => {
                let mut data = Vec::new();
                for (address, length) in self.segments(orb) {
                    data.extend(self.rig.read(address, length));
                }
                assert_eq!(data.len(), blocks as usize * length);
                let written = self.device.write(lba, &data);
                return written
                    .and_then(|()| self.device.finish_write(fua))
                    .err()
                    .unwrap_or(Completion::GOOD);
            }
        };
        data.truncate(limit);
        let mut rest = &data[..];
        for (address, length) in self.segments(orb) {
            let (now, later) = rest.split_at(length.min(rest.len()));
            if !now.is_empty() {
                assert_eq!(self.rig.write(address, now), RCode::COMPLETE);
            }
            rest = later;
        }
        Completion::GOOD
    }

    /// Where a command's data is.
    fn segments(&mut self, orb: &CommandOrb) -> Vec<(Address, usize)> {
        let address = orb.data_descriptor.address();
        let size = usize::from(orb.data_size());
        if !orb.flags().contains(CommandFlags::PAGE_TABLE) {
            return vec![(address, size)];
        }
        let table = self.rig.read(address, size * size_of::<PageTableEntry>());
        table
            .chunks(size_of::<PageTableEntry>())
            .map(|bytes| PageTableEntry::read_from_bytes(bytes).unwrap())
            .map(|entry| (entry.base(), usize::from(entry.length())))
            .collect()
    }
}
