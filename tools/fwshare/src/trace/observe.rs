//! What the transactions of a recording mean in SBP-2.
//!
//! The initiator chooses where its ORBs, buffers and status FIFO are, so the meaning of an
//! address is known only to who has seen the pointers that led there. An [`Observer`] follows
//! them: from the write to a management agent to the management ORB, from the login response to
//! the agent's registers, from ORB_POINTER and next_ORB to command ORBs, and from those to page
//! tables and data.

use std::collections::BTreeMap;
use std::fmt;

use ohci_raw::bus::{Address, csr};
use ohci_raw::trace::{Op, Payload, Symbols, What};
use sbp2::scsi::{Cdb, Completion};
use sbp2::wire::{
    AgentRegister, CommandOrb, Function, LoginResponse, ManagementOrb, PageTableEntry, Pointer,
    Resp, StatusBlock, StatusSource,
};
use zerocopy::FromBytes as _;

/// Bytes of a management ORB.
const MANAGEMENT_ORB: u64 = 32;
/// The registers of a command block agent.
const AGENT_LENGTH: u64 = 0x20;

/// What a transaction is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// A read of a configuration ROM.
    Rom,
    /// A write to a core register.
    Core(&'static str),
    /// A write to a management agent: where the ORB is.
    ManagementAgent(String),
    /// An access to a command block agent.
    Agent(AgentRegister, Option<String>),
    /// The target reads a management ORB.
    ManagementOrb(String),
    /// The target writes the response to one.
    ManagementResponse(String),
    /// The target reads a command ORB.
    CommandOrb(String),
    /// The target reads a page table.
    PageTable,
    /// The target moves data.
    Data {
        /// Of which command.
        command: String,
        /// The data is that of sectors.
        sectors: bool,
    },
    /// The target writes a status block.
    Status(String),
    /// Nothing that is known.
    Unknown,
}

impl Meaning {
    /// A short name of the kind.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Rom => "ROM",
            Self::Core(name) => name,
            Self::ManagementAgent(_) => "MANAGEMENT_AGENT",
            Self::Agent(register, _) => match register {
                AgentRegister::AgentState => "AGENT_STATE",
                AgentRegister::AgentReset => "AGENT_RESET",
                AgentRegister::OrbPointer => "ORB_POINTER",
                AgentRegister::Doorbell => "DOORBELL",
                AgentRegister::UnsolicitedStatusEnable => "UNSOLICITED_STATUS_ENABLE",
            },
            Self::ManagementOrb(_) => "management ORB",
            Self::ManagementResponse(_) => "management response",
            Self::CommandOrb(_) => "command ORB",
            Self::PageTable => "page table",
            Self::Data { .. } => "data",
            Self::Status(_) => "status",
            Self::Unknown => "",
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::ManagementAgent(orb) | Self::Agent(_, Some(orb)) => write!(f, ": ORB at {orb}"),
            Self::ManagementOrb(text)
            | Self::ManagementResponse(text)
            | Self::CommandOrb(text)
            | Self::Status(text) => write!(f, ": {text}"),
            Self::Data { command, .. } => write!(f, " of {command}"),
            _ => Ok(()),
        }
    }
}

/// A command that the target was given.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) text: String,
    pub(super) name: String,
    sectors: bool,
    data: Vec<(Address, u64)>,
    page_table: Option<(Address, u64)>,
}

/// Follows the pointers of one port's transactions.
#[derive(Debug, Default)]
pub(super) struct Observer {
    pub(super) symbols: Symbols,
    agents: Vec<Address>,
    management: BTreeMap<Address, Option<Function>>,
    /// Where the target was told that a command ORB is, and what it was when it was read.
    commands: BTreeMap<Address, Option<Command>>,
    responses: BTreeMap<Address, Function>,
    fifos: Vec<Address>,
}

impl Observer {
    /// What a request that this host sends means.
    pub(super) fn sent(&mut self, op: &Op) -> Meaning {
        let Some(address) = self.symbols.resolve(&op.addr) else {
            return Meaning::Unknown;
        };
        if is_rom(address) {
            return Meaning::Rom;
        }
        if address == csr::BUSY_TIMEOUT {
            return Meaning::Core("BUSY_TIMEOUT");
        }
        let pointer = op
            .data
            .bytes()
            .and_then(|bytes| Pointer::read_from_bytes(&bytes).ok());
        let agent = self.agents.iter().find_map(|agent| {
            let offset = address.get().checked_sub(agent.get())?;
            AgentRegister::at(offset).filter(|_| offset < AGENT_LENGTH)
        });
        if let Some(register) = agent {
            let orb = pointer
                .filter(|_| register == AgentRegister::OrbPointer)
                .map(|pointer| {
                    let orb = pointer.address();
                    self.commands.insert(orb, None);
                    self.symbols.name(orb)
                });
            return Meaning::Agent(register, orb);
        }
        match pointer {
            Some(pointer) if address > csr::CONFIG_ROM => {
                let orb = pointer.address();
                self.management.insert(orb, None);
                Meaning::ManagementAgent(self.symbols.name(orb))
            }
            _ => Meaning::Unknown,
        }
    }

    /// What a request of another node means; `answer` is what it was given, if it reads. Of a
    /// status block also where the ORB is that it says has ended.
    pub(super) fn came(&mut self, op: &Op, answer: Option<&Payload>) -> (Meaning, Option<Address>) {
        let Some(address) = self.symbols.resolve(&op.addr) else {
            return (Meaning::Unknown, None);
        };
        if op.tcode.starts_with("read") {
            return (self.read(address, op, answer), None);
        }
        if self.fifos.contains(&address)
            && let Some(block) = op
                .data
                .bytes()
                .and_then(|bytes| StatusBlock::parse(&bytes).ok())
        {
            return (Meaning::Status(self.status(&block)), Some(block.orb));
        }
        if let Some(function) = self.responses.get(&address).copied() {
            return (self.response(function, &op.data), None);
        }
        (self.data(address), None)
    }

    fn read(&mut self, address: Address, op: &Op, answer: Option<&Payload>) -> Meaning {
        // Targets look there who has logged in.
        if is_rom(address) {
            return Meaning::Rom;
        }
        let bytes = answer.and_then(Payload::bytes).unwrap_or_default();
        let asked = op.len.unwrap_or(4) as u64;
        if self.management.contains_key(&address) && asked == MANAGEMENT_ORB {
            let orb = ManagementOrb::read_from_bytes(&bytes).ok();
            return Meaning::ManagementOrb(match orb {
                Some(orb) => self.management_orb(address, &orb),
                None => "not served".to_owned(),
            });
        }
        if self.commands.contains_key(&address) && asked >= 20 {
            return Meaning::CommandOrb(match CommandOrb::from_fetched(&bytes) {
                Some(orb) => self.command_orb(address, &orb),
                None => "not served".to_owned(),
            });
        }
        let inside = |place: &(Address, u64)| {
            let offset = address.get().checked_sub(place.0.get());
            offset.is_some_and(|offset| offset < place.1)
        };
        let mut known = self.commands.values_mut().flatten();
        if let Some(command) = known.find(|command| command.page_table.as_ref().is_some_and(inside))
        {
            let entries = bytes.chunks_exact(8);
            let entries = entries.filter_map(|entry| PageTableEntry::read_from_bytes(entry).ok());
            command
                .data
                .extend(entries.map(|entry| (entry.base(), entry.length().into())));
            return Meaning::PageTable;
        }
        self.data(address)
    }

    fn data(&self, address: Address) -> Meaning {
        let known = self.commands.values().flatten();
        let found = known.into_iter().find(|command| {
            command.data.iter().any(|(start, length)| {
                let offset = address.get().checked_sub(start.get());
                offset.is_some_and(|offset| offset < *length)
            })
        });
        match found {
            Some(command) => Meaning::Data {
                command: command.text.clone(),
                sectors: command.sectors,
            },
            None => Meaning::Unknown,
        }
    }

    fn management_orb(&mut self, address: Address, orb: &ManagementOrb) -> String {
        let function = orb.function();
        self.management.insert(address, Some(function));
        self.fifos.push(orb.status_fifo.address());
        match function {
            Function::LOGIN | Function::QUERY_LOGINS => {
                self.responses.insert(orb.response.address(), function);
                let kind = match (function, orb.exclusive()) {
                    (Function::LOGIN, true) => ", exclusive",
                    (Function::LOGIN, false) => ", shared",
                    _ => "",
                };
                format!("{function}, LUN {}{kind}", orb.lun())
            }
            Function::ABORT_TASK => {
                let task = self.symbols.name(orb.orb_to_abort());
                format!("{function}, login {}, ORB at {task}", orb.login_id())
            }
            _ => format!("{function}, login {}", orb.login_id()),
        }
    }

    fn response(&mut self, function: Function, data: &Payload) -> Meaning {
        let bytes = data.bytes().unwrap_or_default();
        Meaning::ManagementResponse(match function {
            Function::LOGIN => match LoginResponse::read_from_prefix(&bytes) {
                Ok((response, _)) => {
                    let agent = response.command_block_agent();
                    self.agents.push(agent);
                    format!("login ID {}, agent at {agent}", response.login_id())
                }
                Err(_) => "cut short".to_owned(),
            },
            other => format!("to {other}"),
        })
    }

    fn command_orb(&mut self, address: Address, orb: &CommandOrb) -> String {
        let (text, name, sectors) = match Cdb::parse(&orb.command_block) {
            Ok(cdb) => described(&cdb),
            Err(_) => ("an unknown command".to_owned(), "unknown".to_owned(), true),
        };
        let place = orb.data_descriptor.address();
        let size = u64::from(orb.data_size());
        let has_table = orb.flags().contains(sbp2::wire::CommandFlags::PAGE_TABLE);
        let command = Command {
            text: text.clone(),
            name,
            sectors,
            data: if has_table {
                Vec::new()
            } else {
                vec![(place, size)]
            },
            page_table: has_table.then_some((place, size * 8)),
        };
        self.commands.insert(address, Some(command));
        if orb.next_orb.is_null() {
            return text;
        }
        let next = orb.next_orb.orb_address();
        self.commands.entry(next).or_insert(None);
        format!("{text}, next ORB at {}", self.symbols.name(next))
    }

    fn status(&self, block: &StatusBlock) -> String {
        let of = match (
            block.source(),
            self.command(block.orb),
            self.management.get(&block.orb),
        ) {
            (StatusSource::Unsolicited, ..) => "unsolicited".to_owned(),
            (_, Some(command), _) => command.name.clone(),
            (_, None, Some(Some(function))) => function.to_string(),
            _ => format!("ORB at {}", self.symbols.name(block.orb)),
        };
        let dead = if block.dead() { ", agent dead" } else { "" };
        let how = match block.resp() {
            Resp::RequestComplete if block.status != 0 => block.sbp_status().to_string(),
            Resp::RequestComplete => {
                match Completion::from_status_block(&block.command_set_dependent) {
                    Ok(completion) => completion.to_string(),
                    Err(_) => "sense data of an unknown format".to_owned(),
                }
            }
            other => format!("{other:?} (status {:#x})", block.status),
        };
        format!("{of}: {how}{dead}")
    }

    /// The command whose ORB is there, once it was read.
    pub(super) fn command(&self, orb: Address) -> Option<&Command> {
        self.commands.get(&orb)?.as_ref()
    }

    /// The ORB that a pointer in this payload leads to.
    pub(super) fn pointed(op: &Op) -> Option<Address> {
        let pointer = Pointer::read_from_bytes(&op.data.bytes()?).ok()?;
        Some(pointer.address())
    }

    /// Takes in what a line says of addresses.
    pub(super) fn observe(&mut self, what: &What) {
        self.symbols.observe(what);
    }
}

fn is_rom(address: Address) -> bool {
    let start = csr::CONFIG_ROM.get();
    (start..start + csr::CONFIG_ROM_LENGTH).contains(&address.get())
}

/// A command in words, its name, and whether its data is that of sectors.
fn described(cdb: &Cdb) -> (String, String, bool) {
    let debug = format!("{cdb:?}");
    let name: String = debug
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let name = match cdb {
        Cdb::Other(raw) => format!("opcode {:#04x}", raw.as_bytes().first().unwrap_or(&0)),
        _ => spaced(&name),
    };
    let text = match cdb.transfer() {
        Some(transfer) => {
            let fua = if transfer.force_unit_access {
                ", FUA"
            } else {
                ""
            };
            format!(
                "{name}, {} blocks at {}{fua}",
                transfer.blocks, transfer.lba
            )
        }
        None => name.clone(),
    };
    // A command that is not known may move anything.
    let sectors = cdb.transfer().is_some() || matches!(cdb, Cdb::Other(_) | Cdb::Verify10 { .. });
    (text, name, sectors)
}

/// `ReadCapacity10` as the standard writes it: `READ CAPACITY (10)`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    let mut digits = String::new();
    for character in name.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(character.to_ascii_uppercase());
    }
    if !digits.is_empty() {
        text = format!("{text} ({digits})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_as_the_standards_name_them() {
        for (name, expected) in [
            ("TestUnitReady", "TEST UNIT READY"),
            ("ReadCapacity10", "READ CAPACITY (10)"),
            ("Read6", "READ (6)"),
        ] {
            assert_eq!(spaced(name), expected);
        }
        let read = sbp2::scsi::read_blocks(100, 8);
        let (text, name, sectors) = described(&read);
        assert_eq!(
            (text.as_str(), sectors),
            ("READ (10), 8 blocks at 100", true)
        );
        assert_eq!(name, "READ (10)");
    }
}
