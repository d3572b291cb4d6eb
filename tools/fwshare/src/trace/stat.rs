//! How long things took in a recording.

use std::collections::BTreeMap;

use ohci_raw::bus::Address;
use ohci_raw::trace::{Op, Recording, What};

use super::observe::{Meaning, Observer};
use crate::output::Table;

#[derive(Default)]
struct Port {
    observer: Observer,
    sent: BTreeMap<u64, (u64, &'static str)>,
    came: BTreeMap<u64, Op>,
    /// When the target was told of each ORB.
    told: BTreeMap<Address, u64>,
}

/// Transactions by kind, then commands from ORB_POINTER to status.
pub(super) fn text(recording: &Recording) -> String {
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    let mut transactions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut commands: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (_, line) in &recording.lines {
        let port = ports.entry(line.port).or_default();
        port.observer.observe(&line.what);
        match &line.what {
            What::Send { id, op, .. } => {
                let meaning = port.observer.sent(op);
                if matches!(meaning, Meaning::Agent(_, Some(_)))
                    && let Some(orb) = Observer::pointed(op)
                {
                    port.told.insert(orb, line.at);
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
            What::Request { id, op, .. } => {
                port.came.insert(*id, op.clone());
            }
            What::Respond { id, data, .. } => {
                let Some(op) = port.came.remove(id) else {
                    continue;
                };
                let (_, ended) = port.observer.came(&op, Some(data));
                let Some(orb) = ended else {
                    continue;
                };
                if let (Some(command), Some(at)) =
                    (port.observer.command(orb), port.told.remove(&orb))
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
