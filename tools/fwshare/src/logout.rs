//! `fwshare logout`: ends logins that run on this host.

use serde::Serialize;

use crate::cli::LogoutArgs;
use crate::control::{self, Ended, Status};
use crate::error::Failure;
use crate::output;

#[derive(Serialize)]
struct Shown {
    schema: u32,
    logins: Vec<One>,
}

#[derive(Serialize)]
struct One {
    target: String,
    pid: u32,
    #[serde(flatten)]
    ended: Ended,
}

/// Ends logins. `chatty`: what may be lost goes to standard error.
pub(crate) fn run(args: &LogoutArgs, chatty: bool) -> Result<(), Failure> {
    let target = args.target.as_deref();
    let running = control::running(args.run_dir.run_dir.as_deref(), target)?;
    let mut logins = Vec::new();
    for running in running {
        if args.force && chatty {
            warn(&running.status);
        }
        // Whatever becomes of one, the others are to end, too.
        let ended = running.end(args.force).unwrap_or_else(|failure| Ended {
            exit_code: failure.code(),
            message: Some(failure.to_string()),
        });
        logins.push(One {
            target: running.status.target,
            pid: running.status.pid,
            ended,
        });
    }
    let failed = logins.iter().find_map(|login| {
        let message = login.ended.message.clone()?;
        Some(Failure::with_code(login.ended.exit_code, message))
    });
    if args.json {
        output::print_json(&Shown { schema: 1, logins })?;
        return failed.map_or(Ok(()), |failure| Err(failure.with_data_shown()));
    }
    for login in &logins {
        if login.ended.exit_code == 0 {
            output::print(&format!("{}: flushed and logged out\n", login.target))?;
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Says what an end by force means for those who use the devices.
fn warn(status: &Status) {
    let devices = status.hosts.iter().flat_map(|host| &host.devices);
    for device in devices.filter(|device| device.is_in_use()) {
        output::complain(&format!(
            "fwshare: {} is {}: what is not written to it yet is lost, and its file system fails \
             from now on; unmount it, and check it before it is used again",
            device.path,
            device.use_in_words()
        ));
    }
}
