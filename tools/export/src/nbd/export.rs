use std::fmt;
use std::sync::Arc;

use crate::disk::{Disk, Geometry, GeometryError, MAX_REQUEST_LIMIT};

use super::counters::Counters;
use super::wire::{MAX_STRING, TransmissionFlags};

/// What is served: a disk, under a name, within limits.
pub struct Export {
    disk: Arc<dyn Disk>,
    geometry: Geometry,
    name: String,
    description: Option<String>,
    limits: Limits,
    counters: Counters,
}

/// How much of this host one client, and all of them, may take.
///
/// At a limit nothing fails: no more is read from the client's socket until there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests of one client that the disk works on at a time, at least 1.
    pub requests: usize,
    /// Bytes held for one client: payloads of its requests and replies on their way to it. At
    /// least the disk's `max_request` is used.
    pub bytes: usize,
    /// Clients at a time. One more is hung up on.
    pub clients: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 64,
            bytes: 2 * MAX_REQUEST_LIMIT as usize,
            clients: 64,
        }
    }
}

/// What cannot be exported.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// The disk's geometry is impossible.
    #[error("the disk cannot be exported: {0}")]
    Geometry(#[from] GeometryError),
    /// A name or description that the protocol has no room for.
    #[error("a name or description of {length} bytes: at most 4096 bytes and no NUL are possible")]
    Text {
        /// Its length in bytes.
        length: usize,
    },
}

impl Export {
    /// Exports `disk` as the default export, whose name is empty.
    ///
    /// # Errors
    ///
    /// [`ExportError::Geometry`] if the disk describes itself impossibly.
    pub fn new(disk: Arc<dyn Disk>) -> Result<Self, ExportError> {
        let geometry = disk.geometry();
        geometry.check()?;
        Ok(Self {
            disk,
            geometry,
            name: String::new(),
            description: None,
            limits: Limits::default(),
            counters: Counters::default(),
        })
    }

    /// Gives it a name. The empty name stays valid too.
    ///
    /// # Errors
    ///
    /// [`ExportError::Text`].
    pub fn named(self, name: &str) -> Result<Self, ExportError> {
        let name = text(name)?;
        Ok(Self { name, ..self })
    }

    /// Gives it a description for people.
    ///
    /// # Errors
    ///
    /// [`ExportError::Text`].
    pub fn described(self, description: &str) -> Result<Self, ExportError> {
        let description = Some(text(description)?);
        Ok(Self {
            description,
            ..self
        })
    }

    /// Refuses writes, whatever the disk would do.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.geometry.read_only = true;
        self
    }

    /// Sets other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What clients are told of size and limits.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Its name, empty for the default export.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            requests: self.limits.requests.max(1),
            bytes: self.limits.bytes.max(self.geometry.max_request as usize),
            ..self.limits
        }
    }

    /// Whether a client that asks for `name` means this export.
    pub(super) fn answers_to(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.name.as_bytes()
    }

    pub(crate) fn transmission_flags(&self, structured: bool) -> TransmissionFlags {
        let mut flags = TransmissionFlags::HAS_FLAGS
            | TransmissionFlags::SEND_FLUSH
            | TransmissionFlags::SEND_FUA
            | TransmissionFlags::CAN_MULTI_CONN;
        flags.set(TransmissionFlags::READ_ONLY, self.geometry.read_only);
        flags.set(
            TransmissionFlags::SEND_WRITE_ZEROES,
            !self.geometry.read_only,
        );
        flags.set(TransmissionFlags::SEND_DF, structured);
        flags
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("name", &self.name)
            .field("geometry", &self.geometry)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn text(text: &str) -> Result<String, ExportError> {
    // An export's name is sent with a length of its own and a little more around it, so the
    // protocol's limit is the only one.
    if text.len() > MAX_STRING || text.contains('\0') {
        return Err(ExportError::Text { length: text.len() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    fn export() -> Export {
        Export::new(Arc::new(MemoryDisk::new(4096, 512))).unwrap()
    }

    #[test]
    fn an_impossible_disk_is_not_exported() {
        let disk = MemoryDisk::new(1000, 512);
        assert!(matches!(
            Export::new(Arc::new(disk)),
            Err(ExportError::Geometry(GeometryError::Size { .. }))
        ));
    }

    #[test]
    fn a_name_that_the_protocol_cannot_carry_is_refused() {
        assert!(export().named("disk").is_ok());
        assert!(export().named(&"x".repeat(4096)).is_ok());
        assert!(export().named(&"x".repeat(4097)).is_err());
        assert!(export().described("a\0b").is_err());
    }

    #[test]
    fn limits_of_nothing_still_let_one_request_through() {
        let none = Limits {
            requests: 0,
            bytes: 0,
            clients: 0,
        };
        let limits = export().limited(none).limits();
        assert_eq!(limits.requests, 1);
        assert_eq!(limits.bytes, MAX_REQUEST_LIMIT as usize);
    }
}
