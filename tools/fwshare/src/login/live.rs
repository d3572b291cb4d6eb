//! The line that shows what goes on while the login runs.

use super::hosts::Hosts;
use crate::session::{Latency, Traffic};
use crate::terminal::LiveLine;
use crate::words::{count, micros, per_second};

/// The line, if somebody looks.
pub(super) struct Live(Option<LiveLine>);

/// What all hosts of this process do together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum {
    read: u64,
    written: u64,
    in_flight: u64,
    /// The worst of all.
    p99: Option<u64>,
    /// The most that one has seen: they are on one bus.
    resets: u64,
    /// How many have no login now.
    lost: usize,
}

impl Live {
    /// Nothing is shown before the first [`Self::show`], and never unless `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(LiveLine::new).flatten())
    }

    pub(super) fn show(&self, hosts: &Hosts) {
        let Some(line) = &self.0 else {
            return;
        };
        let mut sum = Sum::default();
        for view in hosts.views() {
            let state = view.watch.state();
            sum.add(&view.watch.traffic());
            sum.resets = sum.resets.max(state.counters.bus_resets);
            sum.lost += usize::from(state.login_id.is_none());
        }
        line.show(&sum.text());
    }
}

impl Sum {
    fn add(&mut self, traffic: &Traffic) {
        self.read += traffic.reads.bytes_per_s;
        self.written += traffic.writes.bytes_per_s;
        self.in_flight += traffic.in_flight;
        for flow in [traffic.reads, traffic.writes, traffic.flushes] {
            let p99 = flow.latency_us.map(|Latency { p99, .. }| p99);
            self.p99 = self.p99.max(p99);
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "reads {}, writes {}, {} in flight",
            per_second(self.read),
            per_second(self.written),
            self.in_flight
        );
        if let Some(p99) = self.p99 {
            text += &format!(", p99 {}", micros(p99));
        }
        let resets = usize::try_from(self.resets).unwrap_or(usize::MAX);
        text += &format!(", {}", count(resets, "bus reset"));
        if self.lost > 0 {
            text += "; the login is lost";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Flow;

    #[test]
    fn the_line_says_what_all_hosts_do_and_how_the_slowest_fares() {
        assert_eq!(
            Sum::default().text(),
            "reads 0/s, writes 0/s, 0 in flight, 0 bus resets"
        );
        let flow = |bytes_per_s, p99| Flow {
            bytes_per_s,
            latency_us: Some(Latency {
                p50: 1,
                p99,
                p999: 9_000_000,
            }),
            ..Flow::default()
        };
        let mut sum = Sum {
            resets: 1,
            lost: 1,
            ..Sum::default()
        };
        for p99 in [4200, 900] {
            sum.add(&Traffic {
                in_flight: 2,
                reads: flow(1 << 20, p99),
                writes: flow(512, 100),
                flushes: Flow::default(),
            });
        }
        assert_eq!(
            sum.text(),
            "reads 2.0 MiB/s, writes 1.0 KiB/s, 4 in flight, p99 4.2 ms, 1 bus reset; the login is lost"
        );
    }
}
