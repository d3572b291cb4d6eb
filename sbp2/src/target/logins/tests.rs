use super::*;

const GENERATION: Generation = Generation(3);

fn logins(max_logins: usize, same_initiator: SameInitiator) -> Logins {
    Logins::new(Rules {
        units: 2,
        max_logins,
        max_reconnect_hold: 5,
        same_initiator,
        orb_size: 32,
    })
}

fn request(eui64: u64) -> LoginRequest {
    LoginRequest {
        lun: 0,
        eui64: Eui64(eui64),
        exclusive: false,
        reconnect_hold: 2,
        node: NodeId::local(1),
        generation: GENERATION,
        status_fifo: Address::new(0x1_0000_0000),
    }
}

fn exclusive(eui64: u64) -> LoginRequest {
    LoginRequest {
        exclusive: true,
        ..request(eui64)
    }
}

impl Logins {
    fn admit_and_enter(&mut self, request: &LoginRequest) -> Result<usize, Sbp2Status> {
        if let Some(old) = self.admit(request)? {
            self.remove(old);
        }
        let slot = self.enter(request)?;
        self.get_mut(slot).unwrap().confirmed = true;
        Ok(slot)
    }
}

#[test]
fn as_many_as_the_unit_has_room_for_get_in_and_each_unit_has_its_own_room() {
    let mut logins = logins(2, SameInitiator::Refuse);
    assert_eq!(logins.admit_and_enter(&request(1)), Ok(0));
    assert_eq!(logins.admit_and_enter(&request(2)), Ok(1));
    assert_eq!(
        logins.admit_and_enter(&request(3)),
        Err(Sbp2Status::RESOURCES_UNAVAILABLE)
    );
    let other = |lun| LoginRequest { lun, ..request(1) };
    assert_eq!(logins.admit_and_enter(&other(1)), Ok(2));
    assert_eq!(
        logins.admit_and_enter(&other(2)),
        Err(Sbp2Status::LOGICAL_UNIT_NOT_SUPPORTED)
    );
    logins.remove(0);
    assert_eq!(logins.admit_and_enter(&request(3)), Ok(0));
}

#[test]
fn who_wants_it_alone_gets_in_only_alone_and_keeps_others_out() {
    let mut logins = logins(4, SameInitiator::Refuse);
    let denied = Err(Sbp2Status::ACCESS_DENIED);
    logins.admit_and_enter(&request(1)).unwrap();
    assert_eq!(logins.admit_and_enter(&exclusive(2)), denied);
    logins.remove(0);
    logins.admit_and_enter(&exclusive(2)).unwrap();
    assert_eq!(logins.admit_and_enter(&request(1)), denied);
    assert_eq!(logins.admit_and_enter(&exclusive(1)), denied);
    logins.remove(0);
    assert!(logins.admit_and_enter(&request(1)).is_ok());
}

#[test]
fn exclusivity_is_told_before_lack_of_room() {
    let mut logins = logins(1, SameInitiator::Refuse);
    logins.admit_and_enter(&exclusive(1)).unwrap();
    assert_eq!(
        logins.admit_and_enter(&request(2)),
        Err(Sbp2Status::ACCESS_DENIED)
    );
}

#[test]
fn an_initiator_that_is_in_is_refused_or_replaced_as_the_profile_says() {
    let mut strict = logins(2, SameInitiator::Refuse);
    strict.admit_and_enter(&request(1)).unwrap();
    assert_eq!(
        strict.admit_and_enter(&request(1)),
        Err(Sbp2Status::ACCESS_DENIED)
    );
    let mut kind = logins(1, SameInitiator::Replace);
    let old = kind.admit_and_enter(&request(1)).unwrap();
    let old = kind.get(old).unwrap().id;
    let new = kind.admit_and_enter(&exclusive(1)).unwrap();
    assert_ne!(kind.get(new).unwrap().id, old);
    assert_eq!(kind.find(old), None);
    assert_eq!(kind.iter().count(), 1);
}

#[test]
fn the_hold_is_what_was_asked_for_up_to_what_the_bridge_grants() {
    let mut logins = logins(4, SameInitiator::Refuse);
    for (eui64, reconnect_hold, granted) in [(1, 0, 1), (2, 2, 4), (3, 3, 5), (4, 15, 5)] {
        let request = LoginRequest {
            reconnect_hold,
            ..request(eui64)
        };
        let slot = logins.admit_and_enter(&request).unwrap();
        assert_eq!(logins.get(slot).unwrap().hold, granted);
    }
}

#[test]
fn a_held_login_counts_until_its_time_is_over() {
    let mut logins = logins(1, SameInitiator::Refuse);
    let slot = logins.admit_and_enter(&request(1)).unwrap();
    let reset = Instant::ZERO + Duration::from_secs(10);
    assert!(logins.hold_all(reset).is_empty());
    assert_eq!(logins.get(slot).unwrap().node(Some(GENERATION)), None);
    assert_eq!(
        logins.admit_and_enter(&request(2)),
        Err(Sbp2Status::RESOURCES_UNAVAILABLE)
    );
    // Four seconds granted and one of slack.
    let end = reset + Duration::from_secs(5);
    assert_eq!(logins.poll_timeout(), Some(end));
    assert!(
        logins
            .expired(Instant::from_nanos(end.as_nanos() - 1))
            .is_empty()
    );
    assert_eq!(logins.expired(end), [slot]);
    // Another reset starts the time anew.
    logins.hold_all(end);
    assert_eq!(logins.poll_timeout(), Some(end + Duration::from_secs(5)));
}

#[test]
fn only_the_owner_reconnects() {
    let mut logins = logins(2, SameInitiator::Refuse);
    let slot = logins.admit_and_enter(&request(1)).unwrap();
    let id = logins.get(slot).unwrap().id;
    logins.hold_all(Instant::ZERO);
    let (node, generation) = (NodeId::local(7), Generation(4));
    let denied = Err(Sbp2Status::ACCESS_DENIED);
    assert_eq!(logins.reconnect(id, Eui64(2), node, generation), denied);
    assert_eq!(logins.reconnect(id + 1, Eui64(1), node, generation), denied);
    assert_eq!(
        logins.poll_timeout(),
        Some(Instant::ZERO + Duration::from_secs(5))
    );
    for _ in 0..2 {
        assert_eq!(logins.reconnect(id, Eui64(1), node, generation), Ok(slot));
    }
    let login = logins.get(slot).unwrap();
    assert_eq!(login.node(Some(generation)), Some(node));
    assert_eq!(login.node(Some(GENERATION)), None);
    assert_eq!(logins.poll_timeout(), None);
}

#[test]
fn a_login_that_nobody_was_told_of_does_not_survive_a_bus_reset() {
    let mut logins = logins(1, SameInitiator::Refuse);
    let slot = logins.enter(&request(1)).unwrap();
    assert_eq!(logins.hold_all(Instant::ZERO), [slot]);
}

#[test]
fn ids_go_round_without_meeting_one_in_use() {
    let mut logins = logins(2, SameInitiator::Refuse);
    let first = logins.admit_and_enter(&request(1)).unwrap();
    let id = logins.get(first).unwrap().id;
    logins.next_id = id;
    let second = logins.admit_and_enter(&request(2)).unwrap();
    assert_ne!(logins.get(second).unwrap().id, id);
}
