//! `fwlab vm`: has a virtual machine for as long as something runs in it.

mod fetch;
mod own_bus;
mod terminal;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};

use fwlab::vfio::ProbeError;
use fwlab::vm::{Guest, GuestSpec, Kernel, Qemu, VmError};

use self::own_bus::OwnBus;
use self::watch::{Tail, Watch};
use crate::cli::VmArgs;
use crate::failure::Failure;
use crate::signals::signals;

/// As timeout(1) has them.
const TOO_LONG: u8 = 124;
const NO_MACHINE: u8 = 125;
/// clap's own.
const USAGE: u8 = 2;

const PREPARE: &str = "tools/fwlab/vm/prepare in fwshare's sources fetches a QEMU and Debian's kernels \
with the packages\nof this machine's apt, into ~/.cache/fwlab/vm, and installs nothing";

/// What the virtual machine is for.
enum Purpose<'a> {
    Command(&'a str),
    Shell,
}

/// The exit status of what ran.
pub(crate) fn run(args: &VmArgs) -> Result<u8, Failure> {
    live(args).map_err(|failure| failure.or_code(NO_MACHINE))
}

fn live(args: &VmArgs) -> Result<u8, Failure> {
    let stop = signals()?;
    let purpose = purpose(args)?;
    let mut spec = spec(args).map_err(no_machine)?;
    let own_bus = if args.controller.is_empty() {
        let bus = OwnBus::new(&args.bridge)?;
        spec = spec.controller(bus.controller());
        Some(bus)
    } else {
        None
    };
    let guest = Guest::launch(&spec).map_err(no_machine)?;
    let mut watch = Watch::new(&stop);
    if args.console {
        watch.follow(Tail::new(guest.console_file(), Box::new(io::stderr())));
    } else if matches!(purpose, Purpose::Shell) {
        let name = guest.name();
        tell(&format!(
            "{name} is starting; exit or Ctrl-D will end it, Ctrl-] three times pull its plug\n"
        ));
    }
    let up = watch.until(Some(Guest::BOOT), |round| {
        Ok(guest.is_up_within(round)?.then_some(()))
    })?;
    up.ok_or_else(|| no_machine(guest.timed_out("its start", Guest::BOOT)))?;
    let ended = match purpose {
        Purpose::Command(command) => execute(args, &guest, command, &mut watch),
        Purpose::Shell => terminal::shell(&guest, &stop),
    };
    // What a command has left is wanted even if it has not come to its end.
    let is_there = match &ended {
        Ok(_) => true,
        Err(failure) => failure.code() == TOO_LONG,
    };
    let fetched = if is_there {
        fetch::all(&args.fetch, &guest, &mut watch)
    } else {
        Ok(())
    };
    if ended.is_err() {
        guest.kill();
    } else if let Err(error) = guest.power_off() {
        tracing::warn!(%error, "it had to be killed");
    }
    drop(own_bus);
    match (ended, fetched) {
        (Ok(0), Err(failure)) => Err(failure),
        (ended, Err(failure)) => {
            tell(&format!("fwlab: {failure}\n"));
            ended
        }
        (ended, Ok(())) => ended,
    }
}

fn purpose(args: &VmArgs) -> Result<Purpose<'_>, Failure> {
    if let Some(command) = &args.run {
        return Ok(Purpose::Command(command));
    }
    if io::stdin().is_terminal() {
        return Ok(Purpose::Shell);
    }
    let what = if args.shell {
        "no shell: standard input is no terminal"
    } else {
        "nothing to do, and no terminal for a shell"
    };
    Err(Failure::new(what)
        .advise("--run COMMAND runs commands of the shell; \"fwlab vm --help\" has examples")
        .or_code(USAGE))
}

fn spec(args: &VmArgs) -> Result<GuestSpec, VmError> {
    let qemu = Qemu::find(args.qemu.as_deref())?;
    let kernel = Kernel::find(args.kernel.as_deref())?;
    let mut spec = GuestSpec::new(qemu, kernel)
        .number(args.number)
        .memory(args.memory);
    for controller in &args.controller {
        spec = spec.controller(controller);
    }
    if let Some(network) = &args.network {
        spec = spec.network(network);
    }
    for module in &args.module {
        spec = spec.module(module);
    }
    for module in &args.at_hand {
        spec = spec.module_at_hand(module);
    }
    for program in &args.with {
        spec = spec.program(program);
    }
    for given in &args.file {
        spec = spec.file(&given.host, &given.guest);
    }
    for argument in &args.kernel_argument {
        spec = spec.kernel_argument(argument);
    }
    Ok(spec)
}

/// Runs a command, and shows what it says as it comes.
fn execute(
    args: &VmArgs,
    guest: &Guest,
    command: &str,
    watch: &mut Watch<'_>,
) -> Result<u8, Failure> {
    let running = guest.spawn(command).map_err(no_machine)?;
    watch.follow(Tail::new(running.output_file(), Box::new(io::stdout())));
    let limit = Some(args.timeout).filter(|limit| !limit.is_zero());
    match watch.until(limit, |round| running.has_ended_within(round))? {
        Some(status) => Ok(code(status)),
        None => {
            let error = guest.timed_out("the end of the command", args.timeout);
            Err(Failure::new(error).or_code(TOO_LONG))
        }
    }
}

/// A shell gives 0 to 255.
fn code(status: i32) -> u8 {
    u8::try_from(status).unwrap_or(NO_MACHINE)
}

/// A line beside the results. There is nobody to tell if that fails.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn no_machine(error: VmError) -> Failure {
    let failure = Failure::new(&error);
    match error {
        VmError::NoQemu(_) => failure.advise(PREPARE),
        VmError::NoKernel { .. } => match &Kernel::all_fetched()[..] {
            [] => failure.advise(PREPARE),
            names => failure.advise(format!("there are {}", names.join(", "))),
        },
        VmError::Controller(ProbeError::Nobody { path, .. }) => failure.advise(format!(
            "have a bus with it first: fwlab bus DIR --controller {}",
            path.display()
        )),
        VmError::Controller(ProbeError::InUse(_)) => failure.advise(
            "each virtual machine needs its own: fwlab bus takes --controller several times",
        ),
        VmError::Controller(ProbeError::NotADevice(_)) => {
            failure.advise("name a socket that \"fwlab bus --controller\" was given")
        }
        VmError::NoNetwork { path, .. } => failure.advise(format!(
            "have it first: fwlab bus DIR --controller SOCKET --network {}",
            path.display()
        )),
        VmError::NoProgram(program) if program == "busybox" => {
            failure.advise("apt-get install busybox")
        }
        _ => failure,
    }
}
