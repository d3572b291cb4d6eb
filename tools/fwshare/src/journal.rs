//! The journal, where standard error is it: by its own protocol, with fields for the disk.
//!
//! A line on standard error would reach the journal as well, but not of which disk it speaks. The
//! protocol is a datagram of fields (systemd.io, "Native Journal Protocol").

use std::env;
use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use ohci_raw::bus::{Eui64, Generation};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Another place for it, for tests.
const SOCKET_VARIABLE: &str = "FWSHARE_JOURNAL_SOCKET";
/// A datagram of this length arrives; beyond it is the kernel's limit. Nothing said here is as
/// long.
const MESSAGE_MAX: usize = 48 << 10;

static JOURNAL: OnceLock<Journal> = OnceLock::new();
/// The logical unit that this process serves.
static UNIT: OnceLock<(Eui64, u16)> = OnceLock::new();
/// The bus's generation now, or negative if it is not known.
static GENERATION: AtomicI64 = AtomicI64::new(-1);

struct Journal(UnixDatagram);

/// How grave it is, as syslog(3) has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Priority {
    /// LOG_ERR.
    Error = 3,
    /// LOG_WARNING.
    Warning = 4,
    /// LOG_NOTICE.
    Notice = 5,
    /// LOG_INFO.
    Info = 6,
    /// LOG_DEBUG.
    Debug = 7,
}

/// Opens the journal, if it is what standard error is. Whether it is open now.
pub(crate) fn open() -> bool {
    if !is_behind_stderr() {
        return false;
    }
    let path = env::var_os(SOCKET_VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from);
    let socket = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(path)?;
        Ok(socket)
    });
    // Standard error is as good, but for the fields.
    socket.is_ok_and(|socket| JOURNAL.set(Journal(socket)).is_ok())
}

/// Whether the variable that the service manager sets means this process's standard error, and
/// not that of one that it was inherited from.
fn is_behind_stderr() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Names the logical unit of all that is said from here on.
pub(crate) fn is_about(guid: Eui64, lun: u16) {
    // One process serves one.
    let _ = UNIT.set((guid, lun));
}

/// Tells the generation in which all is said from here on.
pub(crate) fn is_in(generation: Generation) {
    GENERATION.store(generation.0.into(), Ordering::Relaxed);
}

/// Says something, if the journal is open. Whether it has arrived there.
pub(crate) fn say(priority: Priority, message: &str) -> bool {
    JOURNAL.get().is_some_and(|journal| {
        let unit = UNIT.get().copied();
        let generation = u32::try_from(GENERATION.load(Ordering::Relaxed)).ok();
        let entry = entry(priority, message, unit, generation);
        journal.0.send(&entry).is_ok()
    })
}

/// The datagram.
fn entry(
    priority: Priority,
    message: &str,
    unit: Option<(Eui64, u16)>,
    generation: Option<u32>,
) -> Vec<u8> {
    let mut message = message;
    while message.len() > MESSAGE_MAX {
        let mut end = MESSAGE_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message = &message[..end];
    }
    let mut fields = format!("PRIORITY={}\nSYSLOG_IDENTIFIER=fwshare\n", priority as u8);
    // Writing to a string cannot fail.
    if let Some((guid, lun)) = unit {
        let _ = write!(fields, "FWSHARE_GUID={guid}\nFWSHARE_LUN={lun}\n");
    }
    if let Some(generation) = generation {
        let _ = writeln!(fields, "FWSHARE_GENERATION={generation}");
    }
    let mut entry = fields.into_bytes();
    // With its length, because it may have several lines.
    entry.extend_from_slice(b"MESSAGE\n");
    entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
    entry.extend_from_slice(message.as_bytes());
    entry.push(b'\n');
    entry
}

/// Sends what is logged to the journal.
pub(crate) struct Layer;

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let priority = match *event.metadata().level() {
            Level::ERROR => Priority::Error,
            Level::WARN => Priority::Warning,
            Level::INFO => Priority::Info,
            _ => Priority::Debug,
        };
        let mut words = Words::default();
        event.record(&mut words);
        say(priority, &crate::output::harmless(&words.text()));
    }
}

/// An event in words: the message, and the other values behind it.
#[derive(Default)]
struct Words {
    message: String,
    values: String,
}

impl Words {
    fn text(self) -> String {
        match self.message.is_empty() {
            true => self.values.trim_start().to_owned(),
            false => self.message + &self.values,
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.values, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one_field_and_a_long_one_is_cut_between_letters() {
        let unit = Some((Eui64(0x0030_e000_0000_01fa), 2));
        let told = entry(Priority::Warning, "a\nFWSHARE_LUN=9", unit, Some(7));
        let expected = b"PRIORITY=4\nSYSLOG_IDENTIFIER=fwshare\nFWSHARE_GUID=0030e000000001fa\n\
            FWSHARE_LUN=2\nFWSHARE_GENERATION=7\nMESSAGE\n\x0f\0\0\0\0\0\0\0a\nFWSHARE_LUN=9\n";
        assert_eq!(
            String::from_utf8_lossy(&told),
            String::from_utf8_lossy(expected)
        );
        let long = entry(
            Priority::Info,
            &format!("x{}", "ä".repeat(MESSAGE_MAX)),
            None,
            None,
        );
        assert!(long.len() < MESSAGE_MAX + 100, "{}", long.len());
        assert!(String::from_utf8_lossy(&long).ends_with("ää\n"));
    }
}
