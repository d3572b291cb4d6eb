//! How long things took in a recording.

use std::collections::BTreeMap;

use ohci_raw::bus::Address;
use ohci_raw::trace::{Op, Recording, What};

use super::observe::{Meaning, Observer};
use super::sides::Observers;
use crate::output::Table;

#[derive(Default)]
struct Port {
    observers: Observers,
    sent: BTreeMap<u64, (u64, &'static str)>,
    came: BTreeMap<u64, (String, Op)>,
    /// When the target was told of each ORB, by its initiator.
    told: BTreeMap<(String, Address), u64>,
}

/// Transactions by kind, then commands from ORB_POINTER to status.
pub(super) fn text(recording: &Recording) -> String {
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    let mut transactions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut commands: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (_, line) in &recording.lines {
        let port = ports.entry(line.port).or_insert_with(|| Port {
            observers: Observers::new(&recording.header, line.port),
            ..Port::default()
        });
        port.observers.observe(&line.what);
        let what = port.observers.as_initiator(&line.what);
        match &*what {
            What::Send { id, dest, op, .. } => {
                let meaning = port.observers.of(dest).sent(op);
                if matches!(meaning, Meaning::Agent(_, Some(_)))
                    && let Some(orb) = Observer::pointed(op)
                {
                    port.told.insert((dest.clone(), orb), line.at);
                }
                port.sent.insert(*id, (line.at, meaning.kind()));
            }
            What::Response { id, .. } => {
                if let Some((at, kind)) = port.sent.remove(id) {
                    let kind = if kind.is_empty() { "other" } else { kind };
                    let took = line.at.saturating_sub(at);
                    transactions.entry(kind.to_owned()).or_default().push(took);
                }
            }
            What::Request { id, src, op, .. } => {
                port.came.insert(*id, (src.clone(), op.clone()));
            }
            What::Respond { id, data, .. } => {
                let Some((src, op)) = port.came.remove(id) else {
                    continue;
                };
                let observer = port.observers.of(&src);
                let (_, ended) = observer.came(&op, Some(data));
                let Some(orb) = ended else {
                    continue;
                };
                if let (Some(command), Some(at)) =
                    (observer.command(orb), port.told.remove(&(src, orb)))
                {
                    let took = line.at.saturating_sub(at);
                    commands.entry(command.name.clone()).or_default().push(took);
                }
            }
            _ => {}
        }
    }
    let mut table = Table::new(["WHAT", "COUNT", "MIN us", "MEDIAN us", "P99 us", "MAX us"]);
    for (name, mut times) in transactions.into_iter().chain(commands) {
        times.sort_unstable();
        let at = |per_cent: usize| {
            let index = (times.len() * per_cent / 100).min(times.len().saturating_sub(1));
            micros(times.get(index).copied().unwrap_or_default())
        };
        table.row([
            name,
            times.len().to_string(),
            at(0),
            at(50),
            at(99),
            at(100),
        ]);
    }
    table.render()
}

fn micros(nanos: u64) -> String {
    format!("{}.{}", nanos / 1000, nanos / 100 % 10)
}
