use ohci_raw::bus::Address;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Pointer, Quadlet, RequestFormat};

/// How many bytes a management ORB has. Targets fetch it with one block read.
pub const MANAGEMENT_ORB_LENGTH: usize = 32;

/// What a management ORB asks for (5.1.3). Unknown codes are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Function(pub u8);

impl Function {
    /// Become one of the logical unit's initiators (5.1.3.1).
    pub const LOGIN: Self = Self(0x0);
    /// Tell who is logged in (5.1.3.2).
    pub const QUERY_LOGINS: Self = Self(0x1);
    /// Keep a login across a bus reset (5.1.3.3).
    pub const RECONNECT: Self = Self(0x3);
    /// Set the password of logins to come (5.1.3.4).
    pub const SET_PASSWORD: Self = Self(0x4);
    /// Give the login back (5.1.3.5).
    pub const LOGOUT: Self = Self(0x7);
    /// Abort one ORB (5.1.3.6).
    pub const ABORT_TASK: Self = Self(0xb);
    /// Abort every ORB of the login.
    pub const ABORT_TASK_SET: Self = Self(0xc);
    /// Abort every ORB of every login and put the logical unit into its initial state.
    pub const LOGICAL_UNIT_RESET: Self = Self(0xe);
    /// As [`Self::LOGICAL_UNIT_RESET`] for the whole target; logins are lost.
    pub const TARGET_RESET: Self = Self(0xf);

    /// The name that the standard gives it, where it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::LOGIN => "LOGIN",
            Self::QUERY_LOGINS => "QUERY LOGINS",
            Self::RECONNECT => "RECONNECT",
            Self::SET_PASSWORD => "SET PASSWORD",
            Self::LOGOUT => "LOGOUT",
            Self::ABORT_TASK => "ABORT TASK",
            Self::ABORT_TASK_SET => "ABORT TASK SET",
            Self::LOGICAL_UNIT_RESET => "LOGICAL UNIT RESET",
            Self::TARGET_RESET => "TARGET RESET",
            _ => return None,
        })
    }
}

impl core::fmt::Display for Function {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "management function {:#x}", self.0),
        }
    }
}

/// A management ORB (5.1.3), 32 bytes, the same shape for every function.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct ManagementOrb {
    /// LOGIN: the password or where it lies. ABORT TASK: the ORB to abort. Else reserved.
    pub argument: Pointer,
    /// LOGIN and QUERY LOGINS: where the response goes. Else reserved.
    pub response: Pointer,
    control: Quadlet,
    lengths: Quadlet,
    /// Where the status block goes.
    pub status_fifo: Pointer,
}

const NOTIFY: u32 = 1 << 31;
const EXCLUSIVE: u32 = 1 << 28;

impl ManagementOrb {
    fn with(function: Function, subject: u16, status_fifo: Pointer) -> Self {
        Self {
            argument: Pointer::ZERO,
            response: Pointer::ZERO,
            control: Quadlet::new(NOTIFY | u32::from(function.0 & 0xf) << 16 | u32::from(subject)),
            lengths: Quadlet::ZERO,
            status_fifo,
        }
    }

    /// LOGIN without a password.
    ///
    /// `reconnect_hold` asks the target to keep the login for 2^n seconds after a bus reset
    /// (0..=15); `response_length` is the room for the response, 12 or 16 bytes.
    #[must_use]
    pub fn login(
        lun: u16,
        exclusive: bool,
        reconnect_hold: u8,
        response: Pointer,
        response_length: u16,
        status_fifo: Pointer,
    ) -> Self {
        let mut orb = Self::with(Function::LOGIN, lun, status_fifo);
        let flags = if exclusive { EXCLUSIVE } else { 0 };
        orb.control |= Quadlet::new(flags | u32::from(reconnect_hold & 0xf) << 20);
        orb.response = response;
        orb.lengths = Quadlet::new(u32::from(response_length));
        orb
    }

    /// QUERY LOGINS of a logical unit.
    #[must_use]
    pub fn query_logins(
        lun: u16,
        response: Pointer,
        response_length: u16,
        status_fifo: Pointer,
    ) -> Self {
        let mut orb = Self::with(Function::QUERY_LOGINS, lun, status_fifo);
        orb.response = response;
        orb.lengths = Quadlet::new(u32::from(response_length));
        orb
    }

    /// RECONNECT, LOGOUT, ABORT TASK SET, LOGICAL UNIT RESET or TARGET RESET of a login.
    #[must_use]
    pub fn for_login(function: Function, login_id: u16, status_fifo: Pointer) -> Self {
        Self::with(function, login_id, status_fifo)
    }

    /// ABORT TASK of the ORB at `orb`.
    #[must_use]
    pub fn abort_task(login_id: u16, orb: Pointer, status_fifo: Pointer) -> Self {
        let mut this = Self::with(Function::ABORT_TASK, login_id, status_fifo);
        this.argument = orb;
        this
    }

    /// What is asked for.
    #[must_use]
    pub fn function(&self) -> Function {
        Function((self.control.get() >> 16 & 0xf) as u8)
    }

    /// Whether the initiator wants a status block; has to be set.
    #[must_use]
    pub fn notify(&self) -> bool {
        self.control.get() & NOTIFY != 0
    }

    /// rq_fmt; has to be [`RequestFormat::NORMAL`].
    #[must_use]
    pub fn request_format(&self) -> RequestFormat {
        RequestFormat((self.control.get() >> 29 & 3) as u8)
    }

    /// LOGIN: whether the initiator wants the logical unit for itself.
    #[must_use]
    pub fn exclusive(&self) -> bool {
        self.control.get() & EXCLUSIVE != 0
    }

    /// LOGIN: the wanted reconnect hold, 2^n seconds.
    #[must_use]
    pub fn reconnect_hold(&self) -> u8 {
        (self.control.get() >> 20 & 0xf) as u8
    }

    /// LOGIN and QUERY LOGINS: the logical unit. Same bits as [`Self::login_id`].
    #[must_use]
    pub fn lun(&self) -> u16 {
        self.control.get() as u16
    }

    /// Other functions: the login. Same bits as [`Self::lun`].
    #[must_use]
    pub fn login_id(&self) -> u16 {
        self.control.get() as u16
    }

    /// LOGIN and SET PASSWORD: how long the password is, in bytes.
    #[must_use]
    pub fn password_length(&self) -> u16 {
        (self.lengths.get() >> 16) as u16
    }

    /// LOGIN and QUERY LOGINS: the room for the response, in bytes.
    #[must_use]
    pub fn response_length(&self) -> u16 {
        self.lengths.get() as u16
    }

    /// ABORT TASK: where the ORB to abort lies.
    #[must_use]
    pub fn orb_to_abort(&self) -> Address {
        self.argument.orb_address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohci_raw::bus::NodeId;

    fn quadlets(bytes: &[u8]) -> [u32; 8] {
        let mut out = [0; 8];
        for (quadlet, chunk) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *quadlet = u32::from_be_bytes(chunk.try_into().unwrap());
        }
        out
    }

    /// The examples are worked from the layouts in four drivers.
    #[test]
    fn a_login_orb_is_laid_out_as_the_drivers_do() {
        let response = Pointer::new(NodeId(0), Address::new(0x1_0000_1000));
        let fifo = Pointer::new(NodeId(0), Address::new(0x1_0000_2000));
        let shared = ManagementOrb::login(0, false, 2, response, 16, fifo);
        assert_eq!(
            quadlets(shared.as_bytes()),
            [0, 0, 1, 0x1000, 0x8020_0000, 0x10, 1, 0x2000]
        );
        let exclusive = ManagementOrb::login(0, true, 2, response, 16, fifo);
        assert_eq!(quadlets(exclusive.as_bytes())[4], 0x9020_0000);
        assert!(exclusive.exclusive() && !shared.exclusive());
        assert_eq!(shared.reconnect_hold(), 2);
        assert_eq!(shared.response_length(), 16);
        assert!(shared.notify());
    }

    #[test]
    fn task_management_names_login_and_orb() {
        let fifo = Pointer::new(NodeId(0xffc0), Address::new(0x1_0000_2000));
        let orb = Pointer::new(NodeId(0xffc0), Address::new(0x1_0000_0123));
        let abort = ManagementOrb::abort_task(0x1234, orb, fifo);
        assert_eq!(
            quadlets(abort.as_bytes()),
            [
                0xffc0_0001,
                0x123,
                0,
                0,
                0x800b_1234,
                0,
                0xffc0_0001,
                0x2000
            ]
        );
        assert_eq!(abort.orb_to_abort(), Address::new(0x1_0000_0120));
        assert_eq!(abort.login_id(), 0x1234);
    }

    #[test]
    fn unknown_functions_survive() {
        let orb = ManagementOrb::for_login(Function(0xd), 1, Pointer::ZERO);
        let read = ManagementOrb::read_from_bytes(orb.as_bytes()).unwrap();
        assert_eq!(read.function(), Function(0xd));
        assert_eq!(read.function().name(), None);
    }
}
