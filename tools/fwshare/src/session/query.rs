use std::time::Duration;

use ohci_raw::port::{Port, drive};
use sbp2::initiator::{Initiator, Logins, Notice};

use super::worker::announce;
use super::{Options, SessionError, Target};

/// Asks a logical unit who is logged in, without logging in.
///
/// # Errors
/// [`SessionError::Query`] where the target does not tell; not every target can.
pub(crate) fn query_logins(port: &mut dyn Port, target: &Target) -> Result<Logins, SessionError> {
    let config = target.config(&Options::default())?;
    let patience = config.login_timeout + Duration::from_secs(5);
    let range = port.allocate(Initiator::range_length(&config))?;
    let result = Initiator::new(config, range)
        .map_err(SessionError::from)
        .and_then(|mut initiator| ask(port, &mut initiator, patience));
    port.deallocate(range)?;
    result
}

fn ask(
    port: &mut dyn Port,
    initiator: &mut Initiator,
    patience: Duration,
) -> Result<Logins, SessionError> {
    use ohci_raw::bus::Machine;

    announce(port, initiator)?;
    initiator.query_logins(port.now());
    let deadline = port.now() + patience;
    loop {
        drive(port, initiator)?;
        while let Some(notice) = initiator.poll_notice() {
            if let Notice::Logins(result) = notice {
                return result.map_err(SessionError::Query);
            }
        }
        let left = deadline.saturating_since(port.now());
        if left.is_zero() {
            return Err(SessionError::TimedOut(patience));
        }
        let due = initiator
            .poll_timeout()
            .map_or(left, |due| (due - port.now()).min(left));
        if let Some(event) = port.next_event(Some(due))? {
            let now = port.now();
            initiator.handle(event, now);
        }
        let now = port.now();
        initiator.handle_timeout(now);
    }
}
