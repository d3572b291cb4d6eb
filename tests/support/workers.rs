//! Workers that write to a shared disk and read back what they have written, and believe nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use sbp2::disk::{Notice, Request, RequestError, RequestTag};

use crate::world::{HostIndex, World};
use crate::{Random, pattern};

const BLOCK: usize = 512;
/// How many blocks each worker has for itself.
const REGION: u64 = 700;

/// What a worker waits for.
enum Doing {
    Nothing,
    Write { at: u64, data: Vec<u8> },
    Read { at: u64, blocks: u32 },
}

struct Worker {
    first: u64,
    /// What each block may hold: one content after a write that ended well, more after one that
    /// failed, as it may have been carried out in part.
    blocks: Vec<BTreeSet<Vec<u8>>>,
    doing: Doing,
    request: Option<(HostIndex, RequestTag)>,
}

/// What the workers of a world have seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Writes that ended well.
    pub written: usize,
    /// Reads that ended well, with the right data.
    pub read: usize,
    /// Requests that failed.
    pub failed: Vec<RequestError>,
    /// Whatever else the hosts were told.
    pub notices: Vec<Notice>,
}

/// Workers with a region each. Every request of a worker goes to a host by chance, so one host
/// reads what another has written.
pub struct Workers {
    hosts: Vec<HostIndex>,
    workers: Vec<Worker>,
    random: Random,
    tally: Tally,
}

impl Workers {
    /// So many workers on these hosts, on a disk that holds zeros.
    #[must_use]
    pub fn new(hosts: &[HostIndex], count: usize, seed: u64) -> Self {
        let workers = (0..count as u64).map(|index| Worker {
            first: index * REGION,
            blocks: vec![BTreeSet::from([vec![0; BLOCK]]); REGION as usize],
            doing: Doing::Nothing,
            request: None,
        });
        Self {
            hosts: hosts.to_vec(),
            workers: workers.collect(),
            random: Random::new(seed),
            tally: Tally::default(),
        }
    }

    /// What they have seen so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets them work until they have ended `requests` further requests in all, and then until
    /// nothing is under way. `disturb` may do something to the world at each step.
    ///
    /// # Panics
    /// If a read brings what was never there, or a request does not end within `patience`.
    pub fn work(
        &mut self,
        world: &mut World,
        requests: usize,
        patience: Duration,
        mut disturb: impl FnMut(&mut World),
    ) {
        let goal = self.ended() + requests;
        let mut last = (self.ended(), world.now);
        loop {
            world.run_quiet();
            self.take_in(world);
            if self.ended() != last.0 {
                last = (self.ended(), world.now);
            }
            if self.ended() < goal {
                self.begin(world);
            } else if self.workers.iter().all(|worker| worker.request.is_none()) {
                return;
            }
            disturb(world);
            let more = world.step(last.1 + patience);
            assert!(more, "no request ends within {patience:?}");
        }
    }

    fn ended(&self) -> usize {
        self.tally.written + self.tally.read + self.tally.failed.len()
    }

    fn begin(&mut self, world: &mut World) {
        for worker in &mut self.workers {
            if worker.request.is_some() {
                continue;
            }
            let host = self.hosts[self.random.below(self.hosts.len() as u64) as usize];
            let blocks = match self.random.below(4) {
                0 => 1 + self.random.below(REGION - 1),
                _ => 1 + self.random.below(16),
            };
            let at = self.random.below(REGION - blocks + 1);
            let lba = worker.first + at;
            let request = if self.random.below(2) == 0 {
                let data = pattern(blocks as usize * BLOCK, self.random.next_u64());
                worker.doing = Doing::Write {
                    at,
                    data: data.clone(),
                };
                let fua = self.random.below(8) == 0;
                Request::Write { lba, data, fua }
            } else {
                let blocks = blocks as u32;
                worker.doing = Doing::Read { at, blocks };
                Request::Read { lba, blocks }
            };
            let tag = world.submit(host, request);
            worker.request = Some((host, tag));
        }
    }

    fn take_in(&mut self, world: &mut World) {
        for host in self.hosts.clone() {
            for notice in world.notices(host) {
                if let Notice::Completed { tag, result } = notice {
                    let worker = self
                        .workers
                        .iter_mut()
                        .find(|worker| worker.request == Some((host, tag)))
                        .expect("a request ends once");
                    worker.end(result, &mut self.tally);
                } else {
                    self.tally.notices.push(notice);
                }
            }
        }
    }
}

impl Worker {
    fn end(&mut self, result: Result<Vec<u8>, RequestError>, tally: &mut Tally) {
        self.request = None;
        match (std::mem::replace(&mut self.doing, Doing::Nothing), result) {
            (Doing::Nothing, _) => panic!("nothing was asked for"),
            (Doing::Write { at, data }, Ok(_)) => {
                tally.written += 1;
                for (block, bytes) in self.blocks_from(at).zip(data.chunks(BLOCK)) {
                    *block = BTreeSet::from([bytes.to_vec()]);
                }
            }
            (Doing::Write { at, data }, Err(error)) => {
                tally.failed.push(error);
                for (block, bytes) in self.blocks_from(at).zip(data.chunks(BLOCK)) {
                    block.insert(bytes.to_vec());
                }
            }
            (Doing::Read { .. }, Err(error)) => tally.failed.push(error),
            (Doing::Read { at, blocks }, Ok(data)) => {
                tally.read += 1;
                assert_eq!(data.len(), blocks as usize * BLOCK);
                let lba = self.first + at;
                for (index, (block, bytes)) in
                    self.blocks_from(at).zip(data.chunks(BLOCK)).enumerate()
                {
                    assert!(
                        block.contains(bytes),
                        "block {} holds what it must not",
                        lba + index as u64
                    );
                    // What was there once is there until the next write.
                    *block = BTreeSet::from([bytes.to_vec()]);
                }
            }
        }
    }

    fn blocks_from(&mut self, at: u64) -> impl Iterator<Item = &mut BTreeSet<Vec<u8>>> {
        self.blocks[at as usize..].iter_mut()
    }
}
