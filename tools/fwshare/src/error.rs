//! How a verb fails.

use std::fmt;

use serde::Serialize;

/// The exit codes, which scripts rely on. The man page lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Anything that has no code of its own.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The device that was named is not there, or is none for this.
    NoSuchDevice = 3,
    /// The operating system does not let this user.
    Permission = 4,
    /// Somebody else holds it: the kernel's driver, or a file system.
    Held = 6,
    /// The controller went away.
    LostBus = 7,
    /// What was checked is not as wanted.
    NotAsWanted = 10,
    /// Somebody else's configuration says otherwise, or the system is none to be written to.
    Conflict = 11,
    /// An image was not made, or is not as wanted. The old one is in its place.
    NoImage = 12,
    /// Nothing that could make an image was found.
    NoTool = 13,
    /// Done, and something is left for the user to do.
    Partly = 14,
    /// No device was named, and there is none. `iscsiadm` has the same number for it.
    NothingFound = 21,
}

/// Every exit code and its meaning, for the manual.
pub(crate) const EXIT_CODES: [(u8, &str); 15] = [
    (0, "done"),
    (1, "an error that has no code of its own"),
    (2, "the command line makes no sense"),
    (
        3,
        "no such device, or the device is not one for this; no kernel with a driver",
    ),
    (4, "the operating system denied access to a device"),
    (5, "the target refused the login, or a reset"),
    (
        6,
        "another initiator, the kernel's driver or a file system holds the logical unit",
    ),
    (7, "the target did not answer in time, or the bus was lost"),
    (8, "a SCSI command failed, or the medium did"),
    (10, "setup: it was checked, and is not as wanted"),
    (
        11,
        "setup: somebody else's configuration is in the way; nothing was changed",
    ),
    (
        12,
        "setup: an image was not made, or is not as wanted; the old one is in place",
    ),
    (
        13,
        "setup: the files are written, and no tool to make an image was found",
    ),
    (
        14,
        "setup: done as far as could be, and something is left to do",
    ),
    (21, "nothing was found"),
];

/// Why a verb came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The process's exit code.
    code: u8,
    /// What was tried, on which device, and what came back.
    message: String,
    /// What to do next, a paragraph each.
    advice: Vec<String>,
    /// The verb has printed its data.
    data_shown: bool,
}

/// A failure as `--json` shows it.
#[derive(Serialize)]
struct Shown<'a> {
    exit_code: u8,
    message: &'a str,
    advice: &'a [String],
}

#[derive(Serialize)]
struct Object<'a> {
    schema: u32,
    error: Shown<'a>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::with_code(exit as u8, message)
    }

    /// A failure whose code was decided elsewhere: by a session.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            advice: Vec::new(),
            data_shown: false,
        }
    }

    /// Says that the verb has printed its data all the same, so that `--json` prints no second
    /// object.
    #[must_use]
    pub(crate) fn with_data_shown(self) -> Self {
        Self {
            data_shown: true,
            ..self
        }
    }

    pub(crate) const fn is_data_shown(&self) -> bool {
        self.data_shown
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn advice(&self) -> &[String] {
        &self.advice
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }

    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    /// The object that `--json` prints in place of the data.
    pub(crate) fn to_json(&self) -> impl Serialize {
        Object {
            schema: 1,
            error: Shown {
                exit_code: self.code,
                message: &self.message,
                advice: &self.advice,
            },
        }
    }
}

impl fmt::Display for Failure {
    /// The message, then a line for each piece of advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for advice in &self.advice {
            for line in advice.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Error, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_manual() {
        for exit in [
            Exit::Error,
            Exit::Usage,
            Exit::NoSuchDevice,
            Exit::Permission,
            Exit::Held,
            Exit::LostBus,
            Exit::NotAsWanted,
            Exit::Conflict,
            Exit::NoImage,
            Exit::NoTool,
            Exit::Partly,
            Exit::NothingFound,
        ] {
            assert!(EXIT_CODES.iter().any(|(code, _)| *code == exit as u8));
        }
    }

    #[test]
    fn advice_follows_the_message_on_lines_of_its_own() {
        let failure = Failure::new(Exit::Error, "no disk").advise("plug one in\nor two");
        assert_eq!(failure.to_string(), "no disk\n  plug one in\n  or two");
        let json = serde_json::to_value(failure.to_json()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["error"]["exit_code"], 1);
        assert_eq!(json["error"]["advice"][0], "plug one in\nor two");
    }
}
