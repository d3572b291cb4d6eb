//! All logins, a line for each host.

use super::{export, refused};
use crate::control::{HostStatus, Status};
use crate::output::Table;
use crate::session::{Flow, Latency};
use crate::words::{micros, per_second};

pub(super) fn text(logins: &[Status]) -> String {
    let mut table = Table::new([
        "TARGET", "HOST", "LOGIN", "PROCESS", "RESETS", "ORBS", "REPEATED", "REFUSED",
    ]);
    for login in logins {
        for host in &login.hosts {
            table.row([
                login.target.clone(),
                host.guid.clone().unwrap_or_else(|| "-".to_owned()),
                host.login_id
                    .map_or_else(|| "lost".to_owned(), |id| id.to_string()),
                login.pid.to_string(),
                host.bus_resets.to_string(),
                host.orbs.to_string(),
                host.reissued.to_string(),
                host.refused.values().sum::<u64>().to_string(),
            ]);
            for name in &host.exports {
                table.note(export(host, name));
            }
            table.note(traffic(host));
            let refused = refused(host);
            if !refused.is_empty() {
                table.note(format!("refused: {refused}"));
            }
            if let Some(error) = &host.last_error {
                table.note(format!("last error, {}: {}", error.at, error.message));
            }
        }
    }
    table.render()
}

/// What goes over the bus now. Empty where nobody has asked for anything yet.
fn traffic(host: &HostStatus) -> String {
    let traffic = &host.traffic;
    let (reads, writes) = (&traffic.reads, &traffic.writes);
    if traffic.in_flight == 0 && reads.done == 0 && writes.done == 0 {
        return String::new();
    }
    let slowest = [reads, writes].map(|flow: &Flow| flow.latency_us.map(|Latency { p99, .. }| p99));
    let slowest = slowest.into_iter().flatten().max();
    format!(
        "reads {}, writes {}, {} in flight, p99 {}",
        per_second(reads.bytes_per_s),
        per_second(writes.bytes_per_s),
        traffic.in_flight,
        slowest.map_or_else(|| "-".to_owned(), micros)
    )
}
