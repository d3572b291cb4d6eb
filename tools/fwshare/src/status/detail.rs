//! A login with all that is known of it.

use std::fmt::Write as _;

use fwlab::size::Readable;

use super::{export, refused};
use crate::control::{HostStatus, Status};
use crate::session::Flow;
use crate::words::{count, micros, per_second, seconds};

pub(super) fn text(logins: &[Status]) -> String {
    let blocks: Vec<_> = logins.iter().map(block).collect();
    blocks.join("\n")
}

fn block(login: &Status) -> String {
    let mut lines = Lines(String::new());
    lines.add("Target", &format!("{} {}", login.target, login.description));
    lines.add(
        "Process",
        &format!(
            "{}, for {}, since {}",
            login.pid,
            seconds(login.uptime_s),
            login.started
        ),
    );
    lines.add(
        "Node",
        &format!(
            "{} on {}, {}, packets of up to {} bytes",
            login.node, login.bus, login.speed, login.max_payload
        ),
    );
    lines.add(
        "Quirks",
        match login.quirks.join(", ").as_str() {
            "" => "none",
            quirks => quirks,
        },
    );
    for host in &login.hosts {
        of_host(&mut lines, login, host);
    }
    lines.0
}

fn of_host(lines: &mut Lines, login: &Status, host: &HostStatus) {
    let guid = host.guid.as_deref().unwrap_or("-");
    let place = match (&host.node_id, host.generation) {
        (Some(node), Some(generation)) => {
            format!("the target is node {node} in generation {generation}")
        }
        _ => "the target is not on the bus".to_owned(),
    };
    lines.add("Host", &format!("{guid}, {place}"));
    let kind = match login.exclusive {
        true => "exclusive",
        false => "shared",
    };
    let serialised = match login.serialize_io {
        true => "one command at a time",
        false => "several commands at a time",
    };
    let id = host
        .login_id
        .map_or_else(|| "lost".to_owned(), |id| format!("ID {id}"));
    lines.add("Login", &format!("{id}, {kind}, {serialised}"));
    for name in &host.exports {
        lines.add("Export", &export(host, name));
    }
    lines.add("Now", &format!("{} in flight", host.traffic.in_flight));
    lines.add("Reads", &flow(&host.traffic.reads));
    lines.add("Writes", &flow(&host.traffic.writes));
    lines.add("Flushes", &flow(&host.traffic.flushes));
    lines.add(
        "Bus",
        &format!(
            "{}, {}, {}",
            count(size(host.bus_resets), "reset"),
            count(size(host.reconnects), "reconnect"),
            count(size(host.logins), "login")
        ),
    );
    lines.add(
        "Commands",
        &format!(
            "{}, {} issued again, {} timed out",
            count(size(host.orbs), "ORB"),
            host.reissued,
            host.timeouts
        ),
    );
    lines.add(
        "Refused",
        match refused(host).as_str() {
            "" => "nothing",
            refused => refused,
        },
    );
    match &host.last_error {
        Some(error) => lines.add("Error", &format!("{}: {}", error.at, error.message)),
        None => lines.add("Error", "none yet"),
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn flow(flow: &Flow) -> String {
    let mut text = flow.done.to_string();
    // Writing to a string cannot fail.
    if flow.bytes > 0 {
        let _ = write!(
            text,
            ", {}, {} now",
            Readable(flow.bytes),
            per_second(flow.bytes_per_s)
        );
    }
    if let Some(latency) = flow.latency_us {
        let _ = write!(
            text,
            "; p50 {}, p99 {}, p99.9 {}",
            micros(latency.p50),
            micros(latency.p99),
            micros(latency.p999)
        );
    }
    if flow.failed > 0 {
        let _ = write!(text, "; {} failed", flow.failed);
    }
    text
}

/// Lines with a title in front.
struct Lines(String);

impl Lines {
    fn add(&mut self, title: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{title:<10}{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Latency;

    #[test]
    fn a_flow_says_what_there_is_to_say() {
        assert_eq!(flow(&Flow::default()), "0");
        let full = Flow {
            done: 3,
            failed: 1,
            bytes: 3 << 20,
            bytes_per_s: 1 << 20,
            latency_us: Some(Latency {
                p50: 900,
                p99: 4200,
                p999: 1_500_000,
            }),
        };
        let shown = "3, 3.0 MiB, 1.0 MiB/s now; p50 900 µs, p99 4.2 ms, p99.9 1.5 s; 1 failed";
        assert_eq!(flow(&full), shown);
    }
}
