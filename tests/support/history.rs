//! Whether what several hosts saw of one register can have happened.

use std::collections::BTreeSet;

/// Something that happened to the register, in the order in which it was seen to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// A write of this value was asked for, by the operation with this number.
    Write(usize, u64),
    /// A read was asked for.
    Read(usize),
    /// The write ended well.
    Written(usize),
    /// The write failed: it may have been carried out, but never later than this.
    Failed(usize),
    /// The read ended with this value.
    Got(usize, u64),
}

/// A state in which the register may be: its value, the writes under way that were carried out at
/// least once, and for each read under way whether it may be answered with what it will get.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Possible {
    value: u64,
    carried_out: BTreeSet<usize>,
    answered: BTreeSet<usize>,
}

/// Whether the register can have behaved like one, from 0 on: each operation takes effect at one
/// moment between its beginning and its end.
///
/// With `repeated`, a write may take effect several times in that time, as it does when a host
/// issues a command again because it does not know what became of it.
///
/// # Errors
/// The number of events up to the one that cannot be.
pub fn check(history: &[Seen], repeated: bool) -> Result<(), usize> {
    let mut states = BTreeSet::from([Possible {
        value: 0,
        carried_out: BTreeSet::new(),
        answered: BTreeSet::new(),
    }]);
    let mut writes: Vec<(usize, u64)> = Vec::new();
    let mut reads: Vec<(usize, u64)> = Vec::new();
    for (index, seen) in history.iter().enumerate() {
        match *seen {
            Seen::Write(id, value) => writes.push((id, value)),
            Seen::Read(id) => {
                let got = history[index..].iter().find_map(|later| match *later {
                    Seen::Got(own, value) if own == id => Some(value),
                    _ => None,
                });
                reads.extend(got.map(|value| (id, value)));
            }
            _ => {}
        }
        spread(&mut states, &writes, &reads, repeated);
        match *seen {
            Seen::Written(id) => {
                states.retain(|state| state.carried_out.contains(&id));
                writes.retain(|(own, _)| *own != id);
            }
            Seen::Failed(id) => writes.retain(|(own, _)| *own != id),
            Seen::Got(id, _) => {
                states.retain(|state| state.answered.contains(&id));
                reads.retain(|(own, _)| *own != id);
            }
            Seen::Write(..) | Seen::Read(_) => {}
        }
        // What has ended makes no difference any more.
        states = std::mem::take(&mut states)
            .into_iter()
            .map(|mut state| {
                state
                    .carried_out
                    .retain(|id| writes.iter().any(|(own, _)| own == id));
                state
                    .answered
                    .retain(|id| reads.iter().any(|(own, _)| own == id));
                state
            })
            .collect();
        if states.is_empty() {
            return Err(index + 1);
        }
    }
    Ok(())
}

/// Adds every state that can be reached by operations under way.
fn spread(
    states: &mut BTreeSet<Possible>,
    writes: &[(usize, u64)],
    reads: &[(usize, u64)],
    repeated: bool,
) {
    let mut new: Vec<Possible> = states.iter().cloned().collect();
    while let Some(state) = new.pop() {
        let mut next = Vec::new();
        for (id, value) in writes {
            if repeated || !state.carried_out.contains(id) {
                let mut after = state.clone();
                after.value = *value;
                after.carried_out.insert(*id);
                next.push(after);
            }
        }
        for (id, value) in reads {
            if *value == state.value {
                let mut after = state.clone();
                after.answered.insert(*id);
                next.push(after);
            }
        }
        for after in next {
            if states.insert(after.clone()) {
                new.push(after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen::{Failed, Got, Read, Write, Written};
    use super::*;

    #[test]
    fn what_is_read_was_written_before_or_meanwhile() {
        let during = [
            Write(1, 7),
            Read(2),
            Got(2, 7),
            Read(3),
            Got(3, 7),
            Written(1),
        ];
        assert_eq!(check(&during, false), Ok(()));
        let before = [Write(1, 7), Read(2), Got(2, 0), Written(1)];
        assert_eq!(check(&before, false), Ok(()));
        assert_eq!(check(&[Read(1), Got(1, 7)], true), Err(2));
    }

    #[test]
    fn an_old_value_does_not_come_back() {
        let stale = [Write(1, 7), Written(1), Read(2), Got(2, 0)];
        assert_eq!(check(&stale, true), Err(4));
        let backwards = [
            Write(1, 7),
            Read(2),
            Got(2, 7),
            Read(3),
            Got(3, 0),
            Written(1),
        ];
        assert_eq!(check(&backwards, true), Err(5));
        let late = [
            Write(1, 7),
            Failed(1),
            Write(2, 8),
            Written(2),
            Read(3),
            Got(3, 7),
        ];
        assert_eq!(check(&late, true), Err(6));
    }

    #[test]
    fn a_lost_write_is_found() {
        let lost = [
            Write(1, 7),
            Write(2, 8),
            Written(1),
            Written(2),
            Read(3),
            Got(3, 0),
        ];
        assert_eq!(check(&lost, true), Err(6));
    }

    #[test]
    fn a_write_takes_effect_twice_only_where_that_is_allowed() {
        let twice = [
            Write(1, 7),
            Read(2),
            Got(2, 7),
            Write(3, 8),
            Written(3),
            Read(4),
            Got(4, 7),
            Written(1),
        ];
        assert_eq!(check(&twice, true), Ok(()));
        assert_eq!(check(&twice, false), Err(7));
    }

    #[test]
    fn a_failed_write_may_have_happened() {
        for value in [0, 7] {
            let failed = [Write(1, 7), Failed(1), Read(2), Got(2, value)];
            assert_eq!(check(&failed, false), Ok(()));
        }
    }
}
