//! `fwshare logins`: who is logged in to a logical unit.

use serde::Serialize;

use crate::bus::{self, Taping};
use crate::cli::LoginsArgs;
use crate::company::Company;
use crate::device::{self, Found};
use crate::error::Failure;
use crate::output::{self, Table};
use crate::session;

#[derive(Serialize)]
struct Logins {
    schema: u32,
    target: String,
    max: u16,
    active: usize,
    logins: Vec<Login>,
}

#[derive(Serialize)]
struct Login {
    login_id: u16,
    guid: String,
    /// The initiator's node id when it logged in or last reconnected.
    node_id: String,
    this_host: bool,
    /// The node that has this GUID now, and what its ROM says.
    node: Option<String>,
    name: Option<String>,
}

pub(crate) fn run(args: &LoginsArgs, taping: &Taping) -> Result<(), Failure> {
    let mut buses = bus::open(&args.bus.bus, taping)?;
    let found = device::survey(&mut buses)?;
    let place = device::logical_unit(&found, args.target.target.as_ref(), &args.bus.bus)?;
    let bus = &mut buses[place.found.bus];
    let company = Company::join(bus.take_others(), &place);
    let answer = session::query_logins(bus.port(), &place.target());
    company.leave();
    let answer = answer.map_err(|error| {
        let name = place.name();
        let code = error.exit_code();
        Failure::with_code(
            code,
            format!("{name} does not tell who is logged in: {error}"),
        )
        .advise("not every bridge can; fwshare login finds out whether there is room")
    })?;
    let logins = answer.entries.iter().map(|entry| {
        let neighbour =
            |found: &&Found| found.bus == place.found.bus && found.node.eui64 == entry.eui64;
        let node = found.iter().find(neighbour);
        Login {
            login_id: entry.login_id,
            guid: entry.eui64.to_string(),
            node_id: format!("0x{}", entry.node),
            this_host: node.is_some_and(|node| node.node.is_local),
            node: node.map(|node| node.node.name.clone()),
            name: node.map(Found::texts).filter(|name| !name.is_empty()),
        }
    });
    let logins = Logins {
        schema: 1,
        target: place.name(),
        max: answer.max,
        active: answer.active,
        logins: logins.collect(),
    };
    if args.json {
        output::print_json(&logins)
    } else {
        output::print(&text(&logins))
    }
}

fn text(logins: &Logins) -> String {
    let mut text = format!(
        "{}: {} of {} logins are taken\n",
        logins.target, logins.active, logins.max
    );
    if logins.logins.is_empty() {
        return text;
    }
    let mut table = Table::new(["LOGIN", "HOST", "NODE", "ID", "NAME"]);
    for login in &logins.logins {
        let name = login.name.clone().unwrap_or_default();
        let name = match (login.this_host, name.is_empty()) {
            (true, true) => "this host".to_owned(),
            (true, false) => format!("{name} (this host)"),
            (false, _) => name,
        };
        table.row([
            login.login_id.to_string(),
            login.guid.clone(),
            login.node.clone().unwrap_or_else(|| "-".to_owned()),
            login.node_id.trim_start_matches("0x").to_owned(),
            name,
        ]);
    }
    text.push_str(&table.render());
    text
}
