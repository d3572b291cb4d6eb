//! The line to the service manager: sd_notify(3), its datagrams and variables.
//!
//! The crate `sd-notify` knows no abstract names, which managers of containers use.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Tells the manager, if there is one. Lines of `KEY=VALUE`.
pub(super) fn tell(lines: &[&str]) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&name, lines.join("\n").as_bytes()) {
        tracing::debug!(socket = %name.display(), %error, "the service manager does not hear");
    }
}

fn send(name: &OsStr, datagram: &[u8]) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let sent = UnixDatagram::unbound()?.send_to_addr(datagram, &address)?;
    debug_assert_eq!(sent, datagram.len(), "a datagram is sent as one");
    Ok(())
}

/// How long the manager waits for a sign of life, if it does so for this process.
pub(super) fn watchdog() -> Option<Duration> {
    patience(
        env::var_os("WATCHDOG_USEC"),
        env::var_os("WATCHDOG_PID"),
        process::id(),
    )
}

fn patience(limit: Option<OsString>, meant: Option<OsString>, own: u32) -> Option<Duration> {
    if meant.is_some_and(|meant| meant != *own.to_string()) {
        return None;
    }
    let limit = limit?.to_str()?.parse().ok()?;
    (limit > 0).then(|| Duration::from_micros(limit))
}

/// Now, as Type=notify-reload wants to have it.
pub(super) fn monotonic_usec() -> String {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    format!("MONOTONIC_USEC={}", now.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_this_processs_own_and_nonsense_is_none() {
        let of = |limit: &str, meant: Option<&str>| {
            patience(Some(limit.into()), meant.map(Into::into), 7)
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(of("1000000", None), second);
        assert_eq!(of("1000000", Some("7")), second);
        assert_eq!(of("1000000", Some("8")), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("x", None), None);
        assert_eq!(patience(None, None, 7), None);
    }
}
