//! `fwshare status`: the logins that run on this host.

use serde::Serialize;

use crate::cli::StatusArgs;
use crate::control::{self, HostStatus, Running, Status};
use crate::error::Failure;
use crate::output::{self, Table};

#[derive(Serialize)]
struct Shown {
    schema: u32,
    logins: Vec<Status>,
}

pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let running = control::running(args.run_dir.run_dir.as_deref(), args.target.as_deref())?;
    let logins: Vec<Status> = running
        .into_iter()
        .map(|Running { status, .. }| status)
        .collect();
    if args.json {
        output::print_json(&Shown { schema: 1, logins })
    } else {
        output::print(&text(&logins))
    }
}

fn text(logins: &[Status]) -> String {
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
            table.note(refused(host));
            for export in &host.exports {
                table.note(control::with_device(export, &host.devices));
            }
        }
    }
    table.render()
}

/// What was refused, by kind. Empty on a healthy bus.
fn refused(host: &HostStatus) -> String {
    let kinds = host.refused.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    match kinds[..] {
        [] => String::new(),
        _ => format!("refused: {}", kinds.join(", ")),
    }
}
