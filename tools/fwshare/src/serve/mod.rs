//! `fwshare serve`: makes this host a disk for others.
//!
//! | part | what it does |
//! |---|---|
//! | `media` | opens the images |
//! | `target` | shows the bridge on the bus, and takes it away again |
//! | `guests` | who comes and goes |
//! | `shown` | what is printed |
//! | `failure` | what to do when something fails |

mod failure;
mod guests;
mod media;
mod shown;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ohci_raw::port::Waker;
use sbp2::target::{Bridge, BridgeProfile};

use self::media::Opened;
use self::shown::{Printer, Serving};
use self::target::Target;
use crate::bus::{self, BusSpec, Taping};
use crate::cli::ServeArgs;
use crate::device::{self, Found};
use crate::error::{Exit, Failure};
use crate::output;
use crate::signals::Stop;

/// How many bytes of data are asked for at a time. Linux's controller has 32 KiB for answers
/// (`AR_BUFFER_SIZE` in `drivers/firewire/ohci.c`), with up to 20 bytes around the data of each. What
/// has no room is sent again a few times and then lost, and a ring that is exactly full stops the
/// kernel for ever (`docs/lab.md`): this stays below the six pages from which on it can be.
const ASKED_FOR: usize = 20 << 10;

/// How long to wait for a signal at a time; it is waited for again and again.
const ROUND: Duration = Duration::from_secs(3600);

/// Serves until a signal. `chatty`: progress goes to standard error.
pub(crate) fn run(args: &ServeArgs, chatty: bool, taping: &Taping) -> Result<(), Failure> {
    match args.bus {
        BusSpec::Folder(_) => {}
        BusSpec::Emulated(_) | BusSpec::Replay { .. } => return Err(failure::of_bus(&args.bus)),
    }
    let stop = Stop::on_signals("flushing")?;
    let mut profile = BridgeProfile::by_name(&args.profile).ok_or_else(|| {
        let message = format!("there is no profile {}", args.profile);
        Failure::new(Exit::Usage, message)
    })?;
    if let Some(logins) = args.logins {
        profile.max_logins = logins;
    }
    let Opened { disks, media } = media::open(args, &profile)?;

    let mut buses = bus::open(&args.bus, taping)?;
    let found = device::survey(&mut buses)?;
    let controller = device::controller(&found, args.host.as_ref(), &args.bus)?;
    let profile = fitted(profile, controller, media.len());
    let mut ports = buses.swap_remove(controller.bus).into_ports();
    let port = ports.swap_remove(0);
    // The other buses are of no concern.
    drop(buses);

    let bridge = Bridge::new(profile, media).map_err(|error| failure::of_bridge(&error))?;
    let serving = Serving::new(args, controller, &bridge, disks);
    let name = serving.name();
    let stopping = wait_apart(stop, port.waker())?;
    let mut target = Target::show(port, bridge, &name)?;
    let mut printer = Printer::new(args.json);
    let served = target.run(&stopping, |event| match event {
        target::Event::Visible => {
            printer.print(&serving)?;
            if chatty {
                output::complain(
                    "fwshare: ready; SIGINT (Ctrl-C) or SIGTERM takes the disk away, flushes and ends",
                );
            }
            Ok(())
        }
        target::Event::Guest(guest) => printer.print(&guest),
        target::Event::Stopping => {
            if chatty {
                output::complain("fwshare: stopping; a second signal does not wait for the disk");
            }
            Ok(())
        }
    });
    // Whatever has happened, what was written is brought to the images.
    match (served, target.end()) {
        (Ok(()), ended) => printer.print(&ended?),
        (Err(failure), Ok(_)) => Err(failure),
        (Err(failure), Err(other)) => {
            output::complain(&format!("fwshare: {other}"));
            Err(failure)
        }
    }
}

/// The profile as this controller can carry it out: the node, its EUI-64 and its speed are the
/// host's. Initiators go by the node's speed, so the profile's own must not be less. Each of so many
/// logical units asks for data by itself.
fn fitted(profile: BridgeProfile, controller: &Found, units: usize) -> BridgeProfile {
    let mut profile = profile.with_eui64(controller.node.eui64);
    profile.speed = controller.node.speed;
    let limit = profile.max_payload;
    profile.max_payload = controller.host_max_payload().clamp(512, limit);
    profile.data_window = window(profile.data_window, profile.max_payload, units);
    profile
}

/// How many packets of data each logical unit may have under way, if all together ask for no more
/// than [`ASKED_FOR`]; at least one. `wanted` is the profile's own.
fn window(wanted: usize, max_payload: usize, units: usize) -> usize {
    let fitting = ASKED_FOR / max_payload.max(1) / units.max(1);
    fitting.clamp(1, wanted.max(1))
}

/// Waits for the signal in a thread of its own, and wakes the one that waits for the bus.
fn wait_apart(stop: Stop, waker: Waker) -> Result<Arc<AtomicBool>, Failure> {
    let stopping = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopping);
    let waiting = thread::Builder::new().name("stop".into()).spawn(move || {
        while !stop.wait(ROUND) {}
        flag.store(true, Ordering::Release);
        waker.wake();
        // The signals' thread still has something to say to a second one.
        loop {
            thread::park();
        }
    });
    match waiting {
        Ok(_) => Ok(stopping),
        Err(error) => Err(Failure::new(
            Exit::Error,
            format!("cannot wait for signals: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_the_controller_has_room_for() {
        for (wanted, max_payload, units, expected) in [
            (16, 2048, 1, 10),
            (16, 4096, 1, 5),
            (16, 512, 1, 16),
            (4, 2048, 1, 4),
            (16, 2048, 2, 5),
            (16, 4096, 8, 1),
        ] {
            let window = window(wanted, max_payload, units);
            assert_eq!(window, expected, "{max_payload} bytes, {units} units");
        }
    }
}
