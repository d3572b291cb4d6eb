use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Address, Eui64, Generation, Instant, NodeId, Speed};

use super::fetch_agent::FetchAgent;
use super::profile::SameInitiator;
use crate::scsi::Nexus;
use crate::wire::Sbp2Status;

/// How much longer than promised a login is kept after a bus reset. Initiators read the promised
/// value as seconds, as seconds less one and as a power of two; the longest reading wins.
const SLACK: Duration = Duration::from_secs(1);

/// Where a login's initiator is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// It has logged in or reconnected in this generation.
    Connected {
        node: NodeId,
        generation: Generation,
    },
    /// A bus reset came, and it has until then to reconnect.
    Held { until: Instant },
}

/// One login to one logical unit.
pub(super) struct Login {
    pub(super) id: u16,
    /// Which logical unit.
    pub(super) unit: usize,
    pub(super) eui64: Eui64,
    pub(super) exclusive: bool,
    pub(super) link: Link,
    /// In seconds.
    pub(super) hold: u16,
    pub(super) status_fifo: Address,
    pub(super) agent: FetchAgent,
    pub(super) nexus: Nexus,
    /// At which the initiator asked for data last; ORBs and status go at the same speed.
    pub(super) speed: Speed,
    pub(super) unsolicited_status: bool,
    /// False until the initiator was told of the login.
    pub(super) confirmed: bool,
}

impl Login {
    /// The initiator's node id, if it holds in this generation.
    pub(super) fn node(&self, generation: Option<Generation>) -> Option<NodeId> {
        match self.link {
            Link::Connected {
                node,
                generation: own,
            } if Some(own) == generation => Some(node),
            _ => None,
        }
    }
}

/// What a LOGIN asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoginRequest {
    pub(super) lun: u16,
    pub(super) eui64: Eui64,
    pub(super) exclusive: bool,
    /// 2^n seconds.
    pub(super) reconnect_hold: u8,
    pub(super) node: NodeId,
    pub(super) generation: Generation,
    pub(super) status_fifo: Address,
}

/// What the logins of a target have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) units: usize,
    pub(super) max_logins: usize,
    pub(super) max_reconnect_hold: u16,
    pub(super) same_initiator: SameInitiator,
    /// In bytes.
    pub(super) orb_size: usize,
}

/// Everybody who is logged in. A login has a slot, whose index places its command block agent.
pub(super) struct Logins {
    slots: Vec<Option<Login>>,
    rules: Rules,
    next_id: u16,
    next_epoch: u64,
}

impl Logins {
    pub(super) fn new(rules: Rules) -> Self {
        let slots = rules.units.saturating_mul(rules.max_logins);
        Self {
            slots: (0..slots).map(|_| None).collect(),
            rules,
            next_id: 0,
            next_epoch: 0,
        }
    }

    pub(super) const fn rules(&self) -> Rules {
        self.rules
    }

    /// A number that no agent has had before.
    pub(super) fn new_epoch(&mut self) -> u64 {
        self.next_epoch = self.next_epoch.wrapping_add(1);
        self.next_epoch
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Login> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Login> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Everybody, with the slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Login)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, login)| Some((slot, login.as_ref()?)))
    }

    pub(super) fn of_unit(&self, unit: usize) -> impl Iterator<Item = (usize, &Login)> {
        self.iter().filter(move |(_, login)| login.unit == unit)
    }

    pub(super) fn find(&self, id: u16) -> Option<usize> {
        self.iter()
            .find_map(|(slot, login)| (login.id == id).then_some(slot))
    }

    /// The slots of all logins, for loops that change them.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.iter().map(|(slot, _)| slot).collect()
    }

    /// The logical unit that a number names.
    ///
    /// # Errors
    /// "Logical unit not supported".
    pub(super) fn unit(&self, lun: u16) -> Result<usize, Sbp2Status> {
        let unit = usize::from(lun);
        if unit < self.rules.units {
            Ok(unit)
        } else {
            Err(Sbp2Status::LOGICAL_UNIT_NOT_SUPPORTED)
        }
    }

    /// Whose login a LOGIN would replace, if it may be granted apart from that.
    ///
    /// Logins that wait to be reconnected count like all others: a newcomer must not take what
    /// was promised to somebody else (the kernel's target does the same).
    ///
    /// # Errors
    /// The status that refuses it.
    pub(super) fn admit(&self, request: &LoginRequest) -> Result<Option<usize>, Sbp2Status> {
        let unit = self.unit(request.lun)?;
        let own = self
            .of_unit(unit)
            .find_map(|(slot, login)| (login.eui64 == request.eui64).then_some(slot));
        if own.is_some() && self.rules.same_initiator == SameInitiator::Refuse {
            return Err(Sbp2Status::ACCESS_DENIED);
        }
        let others = || self.of_unit(unit).filter(|(slot, _)| Some(*slot) != own);
        if others().any(|(_, login)| request.exclusive || login.exclusive) {
            return Err(Sbp2Status::ACCESS_DENIED);
        }
        if others().count() >= self.rules.max_logins {
            return Err(Sbp2Status::RESOURCES_UNAVAILABLE);
        }
        Ok(own)
    }

    /// Enters a login that [`Self::admit`] has admitted. Returns its slot.
    ///
    /// # Errors
    /// "Resources unavailable".
    pub(super) fn enter(&mut self, request: &LoginRequest) -> Result<usize, Sbp2Status> {
        let unit = self.unit(request.lun)?;
        // A logical unit has its own slots, so that one does not take another's.
        let first = unit * self.rules.max_logins;
        let slot = (first..first + self.rules.max_logins)
            .find(|slot| self.get(*slot).is_none())
            .ok_or(Sbp2Status::RESOURCES_UNAVAILABLE)?;
        let hold = 1_u16
            .checked_shl(u32::from(request.reconnect_hold))
            .unwrap_or(u16::MAX)
            .min(self.rules.max_reconnect_hold)
            .max(1);
        let login = Login {
            id: self.new_id(),
            unit,
            eui64: request.eui64,
            exclusive: request.exclusive,
            link: Link::Connected {
                node: request.node,
                generation: request.generation,
            },
            hold,
            status_fifo: request.status_fifo,
            agent: FetchAgent::new(self.rules.orb_size, self.new_epoch()),
            nexus: Nexus::new(),
            speed: Speed::S100,
            unsolicited_status: false,
            confirmed: false,
        };
        self.slots[slot] = Some(login);
        Ok(slot)
    }

    /// An id that nobody has. There are fewer logins than ids, so there is one.
    fn new_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            self.next_id = self.next_id.wrapping_add(1);
            if self.find(id).is_none() {
                return id;
            }
        }
    }

    /// Gives a login back to its initiator after a bus reset. Asked for twice in a generation, it
    /// is granted twice.
    ///
    /// # Errors
    /// "Access denied" unless id and EUI-64 belong to one login.
    pub(super) fn reconnect(
        &mut self,
        id: u16,
        eui64: Eui64,
        node: NodeId,
        generation: Generation,
    ) -> Result<usize, Sbp2Status> {
        let slot = self.find(id).ok_or(Sbp2Status::ACCESS_DENIED)?;
        match self.get_mut(slot) {
            Some(login) if login.eui64 == eui64 => {
                login.link = Link::Connected { node, generation };
                Ok(slot)
            }
            _ => Err(Sbp2Status::ACCESS_DENIED),
        }
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Login> {
        self.slots.get_mut(slot)?.take()
    }

    /// Bus reset: everybody has to reconnect. Returns the slots of logins that nobody was told of
    /// yet; they are gone.
    pub(super) fn hold_all(&mut self, now: Instant) -> Vec<usize> {
        let mut gone = Vec::new();
        for slot in self.slots() {
            if let Some(login) = self.get_mut(slot) {
                if login.confirmed {
                    let hold = Duration::from_secs(u64::from(login.hold)) + SLACK;
                    login.link = Link::Held { until: now + hold };
                } else {
                    gone.push(slot);
                }
            }
        }
        gone
    }

    /// The slots of logins whose time to reconnect is over.
    pub(super) fn expired(&self, now: Instant) -> Vec<usize> {
        self.iter()
            .filter_map(|(slot, login)| match login.link {
                Link::Held { until } if until <= now => Some(slot),
                _ => None,
            })
            .collect()
    }

    /// When [`Self::expired`] has somebody.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.iter()
            .filter_map(|(_, login)| match login.link {
                Link::Held { until } => Some(until),
                Link::Connected { .. } => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests;
