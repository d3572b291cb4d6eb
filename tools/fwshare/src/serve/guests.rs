//! Who comes and goes.

use sbp2::target::{Bridge, LoggedIn};
use serde::Serialize;

/// Something that a host did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Guest {
    schema: u32,
    pub(super) event: Did,
    pub(super) initiator: String,
    pub(super) lun: u16,
    pub(super) login_id: u16,
    pub(super) exclusive: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Did {
    /// It has logged in.
    Login,
    /// It has logged out, or was ended by somebody's TARGET RESET.
    Logout,
    /// It has not come back after a bus reset.
    Lost,
}

impl Guest {
    fn new(event: Did, login: &LoggedIn) -> Self {
        Self {
            schema: 1,
            event,
            initiator: login.initiator.to_string(),
            lun: login.lun,
            login_id: login.login_id,
            exclusive: login.exclusive,
        }
    }
}

/// Who was there when it was last looked.
#[derive(Default)]
pub(super) struct Guests {
    present: Vec<LoggedIn>,
    /// What the bridge had counted then. Without a change nobody has come or gone.
    counted: [usize; 4],
}

impl Guests {
    /// Who has come and gone since the last look, those who went first.
    pub(super) fn look(&mut self, bridge: &Bridge) -> Vec<Guest> {
        let counters = bridge.counters();
        let counted = [
            counters.management_orbs(),
            counters.logins(),
            counters.logins_expired(),
            counters.bus_resets(),
        ];
        if std::mem::replace(&mut self.counted, counted) == counted {
            return Vec::new();
        }
        self.change_to(bridge.logins())
    }

    fn change_to(&mut self, now: Vec<LoggedIn>) -> Vec<Guest> {
        let same = |a: &LoggedIn, b: &LoggedIn| {
            (a.login_id, a.lun, a.initiator) == (b.login_id, b.lun, b.initiator)
        };
        let gone = self
            .present
            .iter()
            .filter(|one| !now.iter().any(|other| same(one, other)));
        let gone = gone.map(|login| match login.connected {
            true => Guest::new(Did::Logout, login),
            false => Guest::new(Did::Lost, login),
        });
        let come = now
            .iter()
            .filter(|one| !self.present.iter().any(|other| same(one, other)));
        let come = come.map(|login| Guest::new(Did::Login, login));
        let changes = gone.chain(come).collect();
        self.present = now;
        changes
    }
}

#[cfg(test)]
mod tests {
    use ohci_raw::bus::Eui64;

    use super::*;

    fn login(login_id: u16, connected: bool) -> LoggedIn {
        LoggedIn {
            login_id,
            lun: 0,
            initiator: Eui64(0x10 + u64::from(login_id)),
            exclusive: false,
            connected,
        }
    }

    fn told(guests: &mut Guests, now: &[LoggedIn]) -> Vec<(Did, u16)> {
        let changes = guests.change_to(now.to_vec());
        changes
            .iter()
            .map(|guest| (guest.event, guest.login_id))
            .collect()
    }

    #[test]
    fn who_leaves_is_told_from_who_does_not_come_back() {
        let mut guests = Guests::default();
        let both = [login(0, true), login(1, true)];
        assert_eq!(told(&mut guests, &both), [(Did::Login, 0), (Did::Login, 1)]);
        assert_eq!(told(&mut guests, &[login(0, false), login(1, false)]), []);
        assert_eq!(told(&mut guests, &[login(0, true), login(1, false)]), []);
        let third = [login(2, true)];
        assert_eq!(
            told(&mut guests, &third),
            [(Did::Logout, 0), (Did::Lost, 1), (Did::Login, 2)]
        );
    }

    #[test]
    fn a_login_id_that_is_given_to_somebody_else_is_another_login() {
        let mut guests = Guests::default();
        told(&mut guests, &[login(0, true)]);
        let other = LoggedIn {
            initiator: Eui64(0x99),
            ..login(0, true)
        };
        assert_eq!(
            told(&mut guests, &[other]),
            [(Did::Logout, 0), (Did::Login, 0)]
        );
    }
}
