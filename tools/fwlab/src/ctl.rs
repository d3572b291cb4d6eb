//! `fwlab ctl`: meddles with a bus.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fwlab::lab::Fate;
use fwlab::lab::command::{Answer, Command, NodeReport, PacketRule, Report};

use crate::cli::{CtlArgs, Deed, FateName, PacketArgs};
use crate::failure::Failure;

pub(crate) fn run(args: &CtlArgs) -> Result<(), Failure> {
    let mut bus = Bus::open(&args.dir)?;
    let command = match &args.deed {
        Deed::Show { json } => {
            let report = bus.report()?;
            return crate::print(&if *json {
                as_json(&report)?
            } else {
                as_text(&report)
            });
        }
        Deed::Reset {
            kind,
            count,
            interval,
        } => {
            for number in 0..*count {
                if number > 0 {
                    thread::sleep(Duration::from_millis(*interval));
                }
                bus.order(&Command::Reset { kind: *kind })?;
            }
            return Ok(());
        }
        Deed::Unplug { node } => Command::Unplug { node: node.clone() },
        Deed::Replug { node } => Command::Replug { node: node.clone() },
        Deed::Renumber { node, phy } => Command::Renumber {
            node: node.clone(),
            phy: *phy,
        },
        Deed::Packets(args) => Command::Packets(rule(args)),
        Deed::Mute { node } => Command::Mute { node: node.clone() },
        Deed::Unmute { node } => Command::Unmute { node: node.clone() },
        Deed::Clear => Command::Clear,
        Deed::CorruptStatus { bridge, count } => Command::CorruptStatus {
            bridge: bridge.clone(),
            count: *count,
        },
        Deed::PowerCycle { bridge } => Command::PowerCycle {
            bridge: bridge.clone(),
        },
    };
    bus.order(&command).map(|_| ())
}

fn rule(args: &PacketArgs) -> PacketRule {
    PacketRule {
        fate: match args.fate {
            FateName::Drop => Fate::Drop,
            FateName::Ignore => Fate::Ignore,
            FateName::Busy => Fate::Busy,
            FateName::LoseAck => Fate::LoseAck,
            FateName::Delay => Fate::Delay(args.by),
            FateName::Duplicate => Fate::Duplicate,
        },
        count: args.count,
        from: args.from.clone(),
        to: args.to.clone(),
        direction: args.direction,
        kind: args.kind,
        addresses: args.address,
    }
}

/// The meddler's file of a bus.
struct Bus {
    file: File,
    name: String,
}

impl Bus {
    fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("ctl");
        let name = path.display().to_string();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| {
            Failure::new(format!("{name}: {error}"))
                .advise("name the folder that \"fwlab bus\" was given, while it runs")
        })?;
        Ok(Self { file, name })
    }

    fn order(&mut self, command: &Command) -> Result<Answer, Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", self.name));
        let mut line = serde_json::to_vec(command).map_err(Failure::new)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)?;
        let mut answer = Vec::new();
        self.file.read_to_end(&mut answer).map_err(failed)?;
        match serde_json::from_slice(&answer) {
            Ok(Answer::Refused(why)) => Err(Failure::new(why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::new(format!(
                "{} answered something else: {error}",
                self.name
            ))),
        }
    }

    fn report(&mut self) -> Result<Report, Failure> {
        match self.order(&Command::Show)? {
            Answer::Report(report) => Ok(report),
            _ => Err(Failure::new(format!("{} told nothing", self.name))),
        }
    }
}

fn as_json(report: &Report) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(report).map_err(Failure::new)?;
    Ok(text + "\n")
}

fn as_text(report: &Report) -> String {
    let mut text = format!("{:<9} {:<16}  ID  SPEED  WHAT\n", "NODE", "GUID");
    for node in &report.nodes {
        let id = node
            .phy
            .map_or_else(|| "-".to_owned(), |phy| phy.to_string());
        text.push_str(&format!(
            "{:<9} {}  {id:>2}  {:<5}  {}\n",
            node.name,
            node.guid,
            node.speed,
            what(node),
        ));
    }
    let bus = &report.bus;
    text.push_str(&format!(
        "\ngeneration {}, {} resets, {} packets, {} bytes of data\n\
         {} refused, {} split time-outs, {} late responses, {} interfered with; {} rules in force\n",
        report.generation,
        bus.resets,
        bus.packets,
        bus.bytes,
        bus.refused,
        bus.split_timeouts,
        bus.late_responses,
        bus.faults,
        report.rules,
    ));
    text
}

fn what(node: &NodeReport) -> String {
    let mut text = node.profile.clone();
    if let Some(counters) = &node.bridge {
        text.push_str(&format!(
            ": {} logins, {} refused, {} expired; {} commands, {} outstanding at most",
            counters.logins,
            counters.logins_refused,
            counters.logins_expired,
            counters.commands,
            counters.max_outstanding,
        ));
    }
    if node.phy.is_none() {
        text.push_str("; unplugged");
    }
    if node.muted {
        text.push_str("; muted");
    }
    text
}
