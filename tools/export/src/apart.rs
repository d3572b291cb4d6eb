//! Waiting for a device that this process serves itself.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::loop_device::leave_descriptors;

/// How long udev may look at a device that is to be detached.
const LOOKERS: Duration = Duration::from_secs(3);

/// How often it is looked whether a device is detached.
const ROUND: Duration = Duration::from_millis(20);

/// Has a thread without a descriptor of this process do something with a device. Nothing that it
/// opens may leave it.
///
/// # Errors
/// Those of the system when there is no such thread; `work` was not done then.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("device".into());
        let thread = thread.spawn_scoped(scope, || {
            leave_descriptors()?;
            Ok(work())
        });
        let ended = thread?.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread has died")))
    })
}

/// Waits until a device is detached, as long as it may be that it is only looked at: udev opens
/// what changes. Whether it is attached then.
pub(crate) fn wait_for_lookers<E>(is_attached: impl Fn() -> Result<bool, E>) -> Result<bool, E> {
    let start = Instant::now();
    while is_attached()? {
        if start.elapsed() > LOOKERS {
            return Ok(true);
        }
        thread::sleep(ROUND);
    }
    Ok(false)
}
