//! `fwshare reset`: resets of a logical unit, its target or its bus.

use ohci_raw::port::ResetKind;
use serde::Serialize;

use crate::bus::{self, BusSpec, Taping};
use crate::cli::ResetArgs;
use crate::control::{self, Ended};
use crate::device::{self, TargetSpec};
use crate::error::{Exit, Failure};
use crate::output;
use crate::session::Reset;

#[derive(Serialize)]
struct Shown {
    schema: u32,
    reset: Reset,
    resets: Vec<One>,
}

#[derive(Serialize)]
struct One {
    target: String,
    /// Of the login that has done it; `None` if there was none.
    pid: Option<u32>,
    #[serde(flatten)]
    ended: Ended,
}

/// Resets. `chatty`: what it means for others goes to standard error.
pub(crate) fn run(args: &ResetArgs, chatty: bool, taping: &Taping) -> Result<(), Failure> {
    let reset = args.what();
    if chatty {
        output::complain(&format!("fwshare: {}", consequences(reset)));
    }
    let run_dir = args.run_dir.run_dir.as_deref();
    let running = match (&args.bus, control::running(run_dir, Some(&args.target))) {
        // Named, or the only way.
        (Some(Some(bus)), _) => return on_the_bus(args, bus, taping),
        (Some(None), Err(failure)) if failure.code() == Exit::NothingFound as u8 => {
            return on_the_bus(args, &BusSpec::Folder("/dev".into()), taping);
        }
        (_, running) => running.map_err(|failure| {
            failure.advise("a logical unit and its target are reset by a login: fwshare login")
        })?,
    };
    let mut resets = Vec::new();
    for running in running {
        let ended = running.reset(reset).unwrap_or_else(|failure| Ended {
            exit_code: failure.code(),
            message: Some(failure.to_string()),
        });
        resets.push(One {
            target: running.status.target,
            pid: Some(running.status.pid),
            ended,
        });
    }
    show(args, reset, resets)
}

/// Resets the bus that the target is on, with no login to it.
fn on_the_bus(args: &ResetArgs, bus: &BusSpec, taping: &Taping) -> Result<(), Failure> {
    let target: TargetSpec = args.target.parse().map_err(|error| {
        let message = format!("{}: {error}", args.target);
        Failure::new(Exit::Usage, message)
    })?;
    let mut buses = bus::open(bus, taping)?;
    let found = device::survey(&mut buses)?;
    let place = device::logical_unit(&found, Some(&target), bus)?;
    let name = place.name();
    let port = buses[place.found.bus].port();
    port.reset_bus(ResetKind::Short).map_err(|error| {
        let message = format!("the bus of {name} was not reset: {error}");
        Failure::new(Exit::Error, message)
    })?;
    let done = One {
        target: name,
        pid: None,
        ended: Ended {
            exit_code: 0,
            message: None,
        },
    };
    show(args, Reset::Bus, vec![done])
}

fn show(args: &ResetArgs, reset: Reset, resets: Vec<One>) -> Result<(), Failure> {
    let failed = resets.iter().find_map(|one| {
        let message = one.ended.message.as_ref()?;
        let message = format!("{}: no reset: {message}", one.target);
        Some(Failure::with_code(one.ended.exit_code, message))
    });
    if args.json {
        output::print_json(&Shown {
            schema: 1,
            reset,
            resets,
        })?;
        return failed.map_or(Ok(()), |failure| Err(failure.with_data_shown()));
    }
    for one in resets.iter().filter(|one| one.ended.exit_code == 0) {
        output::print(&format!("{}: {}\n", one.target, done(reset)))?;
    }
    failed.map_or(Ok(()), Err)
}

/// What the others notice of it.
const fn consequences(reset: Reset) -> &'static str {
    match reset {
        Reset::LogicalUnit => {
            "LOGICAL UNIT RESET aborts the commands of all hosts that use this logical unit; each \
             has to repeat its own"
        }
        Reset::Target => {
            "TARGET RESET aborts the commands of all hosts and ends all their logins, on every \
             logical unit of the target; writes that were not flushed make the next flush fail"
        }
        Reset::Bus => "a bus reset interrupts every node on the bus; logins are reconnected",
    }
}

const fn done(reset: Reset) -> &'static str {
    match reset {
        Reset::LogicalUnit => "the logical unit was reset",
        Reset::Target => "the target was reset; the login is taken anew",
        Reset::Bus => "the bus was reset",
    }
}
