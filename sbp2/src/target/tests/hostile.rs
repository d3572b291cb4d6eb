//! Hosts that do anything at all, from a seed.

use super::lab::{BLOCKS, DATA, Lab, MEMORY, RESPONSE, TABLE, orb_at, read_10, write_10};
use crate::target::BridgeProfile;
use crate::wire::{
    AgentRegister, CommandOrb, Direction, Function, MaxPayload, PageTableEntry, Pointer,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use ohci_raw::bus::{Address, LockKind, NodeId, Operation, RCode, Speed, csr};
use zerocopy::IntoBytes;

/// Splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn rcode(&mut self) -> Option<RCode> {
        const FAULTS: [RCode; 7] = [
            RCode::BUSY,
            RCode::CANCELLED,
            RCode::NO_ACK,
            RCode::SEND_ERROR,
            RCode::DATA_ERROR,
            RCode::COMPLETE,
            RCode(0x99),
        ];
        (self.below(200) == 0).then(|| self.one_of(&FAULTS))
    }

    fn operation(&mut self) -> Operation {
        let length = self.one_of(&[0, 1, 4, 8, 8, 12, 32, 64]);
        match self.below(5) {
            0 => Operation::ReadQuadlet,
            1 => Operation::ReadBlock { length },
            2 => Operation::WriteQuadlet {
                data: (self.next() as u32).to_be_bytes(),
            },
            3 => Operation::Lock {
                kind: LockKind::CompareSwap,
                data: self.bytes(length),
            },
            _ => Operation::WriteBlock {
                data: self.bytes(length),
            },
        }
    }
}

/// Puts something into a host's memory that has the places of ORBs, tables and addresses right
/// often enough to get far, and everything else wrong.
fn scribble(lab: &mut Lab, chance: &mut Chance, host: usize) {
    for index in 0..4 {
        let mut orb = chance.bytes(36);
        if chance.below(4) != 0 {
            let next = match chance.below(3) {
                0 => Pointer::NULL,
                _ => Pointer::next_orb(orb_at(chance.below(4))),
            };
            orb[..8].copy_from_slice(next.as_bytes());
            let at = chance.one_of(&[DATA, TABLE, RESPONSE, 0x10, MEMORY + (1 << 20) - 8]);
            let node = lab.hosts[chance.below(lab.hosts.len() as u64) as usize].node;
            let data = Pointer::new(node, Address::new(at));
            orb[8..16].copy_from_slice(data.as_bytes());
            // Normal format, any speed up to S800, any payload.
            orb[16] = orb[16] & 0x9f & !0x04;
            orb[20] = chance.one_of(&[0x28, 0x2a, 0x12, 0x88, 0x8a, 0x35, 0x1a, 0x25, 0, 0xff]);
            if chance.below(2) == 0 {
                orb[21..29].fill(0);
            }
        }
        lab.hosts[host].poke(orb_at(index).get(), &orb);
    }
    let mut table = chance.bytes(1024);
    for entry in table.chunks_exact_mut(8) {
        if chance.below(4) != 0 {
            let base = Address::new(DATA + chance.below(0x8000));
            let length = chance.below(3000) as u16;
            entry.copy_from_slice(PageTableEntry::new(base, length).as_bytes());
        }
    }
    lab.hosts[host].poke(TABLE, &table);
}

fn anything(lab: &mut Lab, chance: &mut Chance) {
    let hosts = lab.hosts.len() as u64;
    let host = chance.below(hosts) as usize;
    scribble(lab, chance, host);
    let logged_in = lab.hosts[host].login.is_some();
    match chance.below(16) {
        0 => {
            let claims = lab.bridge.claims();
            let claim = chance.one_of(&claims);
            let offset = chance.below(claim.length()) & !(chance.below(2) * 3);
            let address = Address::new(claim.start().get() + offset);
            // RESET_START would end most rounds before they begin.
            if address != csr::RESET_START || chance.below(8) == 0 {
                let operation = chance.operation();
                lab.request(host, address, operation);
            }
        }
        1 => {
            let source = NodeId(chance.next() as u16);
            let generation = lab.generation;
            let address = Address::new(lab.management_agent().get() + 4 * chance.below(64));
            let operation = chance.operation();
            lab.request_from(source, generation, address, operation);
        }
        2 => {
            let mut orb = lab.login_orb(host, false);
            let bytes = orb.as_mut_bytes();
            bytes[chance.below(32) as usize] = chance.next() as u8;
            bytes[17] = bytes[17] & 0xf0 | chance.below(16) as u8;
            lab.start_management(host, &orb);
        }
        3 if logged_in => {
            let orb = crate::wire::ManagementOrb::for_login(
                Function(chance.below(16) as u8),
                lab.login_id(host),
                lab.fifo(host),
            );
            lab.start_management(host, &orb);
        }
        4 if chance.below(4) == 0 => lab.reset_bus(),
        5 => {
            let later = lab.now + Duration::from_millis(chance.below(700));
            lab.advance_to(later);
        }
        6..=8 if logged_in => {
            let register = chance.one_of(&[
                AgentRegister::AgentReset,
                AgentRegister::Doorbell,
                AgentRegister::UnsolicitedStatusEnable,
                AgentRegister::Doorbell,
            ]);
            lab.write_quadlet(host, register);
        }
        9..=14 if logged_in => {
            let orb = orb_at(chance.below(4));
            lab.write_orb_pointer(host, orb);
        }
        _ => {
            let mut again = chance.clone();
            lab.hold = Some(Box::new(move |_| again.below(3) == 0));
            if chance.below(2) == 0 {
                lab.release();
            }
        }
    }
}

#[test]
fn whatever_hosts_do_the_bridge_answers_and_stays_within_its_bounds() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let mut profile = BridgeProfile::by_name(BridgeProfile::NAMES[seed as usize % 3]).unwrap();
        profile.max_logins = 3;
        profile.fetch_ahead = 4;
        let bound = 3 * (4 + 4) + profile.data_window * 2 + 64;
        let mut lab = Lab::logged_in_with(3, profile);
        let mut judge = chance.clone();
        lab.judge = Some(Box::new(move |_| judge.rcode()));
        for _ in 0..300 {
            lab.endless_lists_end_after(2000);
            anything(&mut lab, &mut chance);
            assert!(lab.bridge.outbox.under_way() <= bound, "seed {seed}");
            for host in &mut lab.hosts {
                host.status.clear();
            }
            lab.sent.clear();
        }
        // Afterwards it is as good as new.
        lab.judge = None;
        lab.release();
        lab.reset_bus();
        lab.advance_to(lab.now + Duration::from_secs(60));
        let host = lab.hosts.len() - 1;
        assert_eq!(lab.log_in(host, true).status, 0, "seed {seed}");
    }
}

#[test]
fn a_host_that_starts_over_and_over_and_never_answers_does_not_fill_the_bridge() {
    let mut lab = Lab::logged_in(2);
    let silent = lab.hosts[0].node;
    lab.hold = Some(Box::new(move |sent| sent.destination == silent));
    for _ in 0..5000 {
        lab.write_orb_pointer(0, orb_at(0));
        lab.write_quadlet(0, AgentRegister::AgentReset);
    }
    let under_way = lab.bridge.outbox.under_way();
    assert!(under_way < 1000, "{under_way}");
    // What it has asked for ends at the latest with the split timeout, and then all is well.
    lab.judge = Some(Box::new(|_| Some(RCode::CANCELLED)));
    lab.release();
    lab.judge = None;
    assert!(lab.command(1, &[0; 6], None).is_good());
}

#[test]
fn nothing_outside_of_what_commands_name_is_ever_changed() {
    const WINDOW: u64 = 0x4000;
    let mut writes = 0;
    for seed in 0..40 {
        let mut chance = Chance(0x5eed << 16 | seed);
        let mut lab = Lab::logged_in(1);
        lab.hosts[0].poke(DATA, &chance.bytes(WINDOW as usize));
        let disk = lab.disk.read(0, BLOCKS as usize);
        let mut judge = chance.clone();
        lab.judge = Some(Box::new(move |_| judge.rcode()));
        for _ in 0..100 {
            lab.write_quadlet(0, AgentRegister::AgentReset);
            let (lba, blocks) = (100 + chance.below(50) as u32, chance.below(50) as u16);
            let direction = chance.one_of(&[Direction::FromTarget, Direction::ToTarget]);
            let cdb = chance.one_of(&[read_10(lba, blocks), write_10(lba, blocks)]);
            let mut block = [0; 16];
            block[..10].copy_from_slice(&cdb);
            let entries: Vec<_> = (0..chance.below(80))
                .map(|_| {
                    let offset = chance.below(WINDOW);
                    let length = chance.below((WINDOW - offset).min(900)) as u16;
                    PageTableEntry::new(Address::new(DATA + offset), length)
                })
                .collect();
            lab.hosts[0].poke(TABLE, entries.as_bytes());
            let is_table = chance.below(2) == 0;
            let offset = chance.below(WINDOW);
            let (at, size) = if is_table {
                (TABLE, entries.len() as u64)
            } else {
                (DATA + offset, chance.below(WINDOW - offset))
            };
            let orb = CommandOrb::new(block).with_data(
                direction,
                Pointer::new(lab.hosts[0].node, Address::new(at)),
                size as u16,
                is_table,
                chance.one_of(&Speed::ALL),
                MaxPayload::from_code(chance.next() as u8),
            );
            lab.hosts[0].poke(orb_at(0).get(), orb.as_bytes());
            let below = lab.hosts[0].peek(MEMORY, (DATA - MEMORY) as usize).to_vec();
            let above = lab.hosts[0].peek(DATA + WINDOW, 0x8000).to_vec();
            lab.write_orb_pointer(0, orb_at(0));
            lab.advance_to(lab.now + Duration::from_secs(1));
            assert!(
                lab.hosts[0].peek(MEMORY, below.len()) == below,
                "seed {seed}"
            );
            assert!(
                lab.hosts[0].peek(DATA + WINDOW, 0x8000) == above,
                "seed {seed}"
            );
            lab.hosts[0].status.clear();
        }
        let after = lab.disk.read(0, BLOCKS as usize);
        assert!(after[..100 * 512] == disk[..100 * 512], "seed {seed}");
        assert!(after[200 * 512..] == disk[200 * 512..], "seed {seed}");
        writes += lab.disk.writes();
    }
    assert!(writes > 100, "only {writes} got through");
}
