use std::io;
use std::time::Duration;

use ohci_raw::port::PortError;
use sbp2::disk::{Failure, RequestError};
use sbp2::initiator::{Logins, ManagementError, RangeTooShort};
use sbp2::wire::Sbp2Status;

/// Why a session could not be had, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SessionError {
    /// The bus cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The unit directory names no management agent, so nobody can log in.
    #[error("the unit's configuration ROM names no management agent")]
    NoManagementAgent,
    /// The address range that the bus gave is too short.
    #[error(transparent)]
    Range(#[from] RangeTooShort),
    /// The thread of the session could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
    /// There is no login, or no disk behind it.
    #[error("{failure}")]
    Failed {
        /// Why not.
        failure: Failure,
        /// Who is logged in instead, if the target told.
        logins: Option<Logins>,
    },
    /// QUERY LOGINS came to nothing.
    #[error(transparent)]
    Query(ManagementError),
    /// The target did not carry a reset out.
    #[error(transparent)]
    Reset(ManagementError),
    /// The last flush failed: what was written may not be on the medium.
    #[error("the last flush failed: {0}")]
    Flush(RequestError),
    /// The login was not given back in good order. It lapses at the next bus reset.
    #[error("the login was not given back: {0}")]
    Logout(ManagementError),
    /// The session's thread has ended in disorder.
    #[error("the session has ended unexpectedly")]
    Died,
    /// The target has not answered in time.
    #[error("no end within {0:?}")]
    TimedOut(Duration),
}

impl SessionError {
    /// The exit code of a command that fails with this.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Port(PortError::Os { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                4
            }
            Self::Port(PortError::Claimed { .. }) => 6,
            Self::Port(PortError::Gone { .. }) | Self::TimedOut(_) => 7,
            Self::Failed { failure, .. } => match failure {
                Failure::Login(error) => login_code(error),
                _ => 8,
            },
            Self::Query(error) | Self::Reset(error) | Self::Logout(error) => login_code(error),
            Self::Flush(_) => 8,
            _ => 1,
        }
    }
}

fn login_code(error: &ManagementError) -> u8 {
    match error {
        ManagementError::NotOnBus { .. } => 3,
        ManagementError::Refused { .. } => match error.sbp_status() {
            Some(Sbp2Status::ACCESS_DENIED) => 6,
            _ => 5,
        },
        _ => 7,
    }
}
