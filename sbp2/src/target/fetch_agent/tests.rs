use super::*;
use zerocopy::IntoBytes;

const A: Address = Address::new(0x1_0000_0000);
const B: Address = Address::new(0x1_0000_0040);
const ROOM: usize = 4;

fn agent() -> FetchAgent {
    FetchAgent::new(32, 0)
}

fn orb(next: Option<Address>) -> Vec<u8> {
    let mut orb = CommandOrb::new([0; 16]);
    orb.next_orb = next.map_or(Pointer::NULL, Pointer::next_orb);
    Vec::from(&orb.as_bytes()[..32])
}

/// An agent in this state; SUSPENDED after having seen the ORB at A, ACTIVE while fetching it.
fn agent_in(state: AgentState) -> FetchAgent {
    let mut agent = agent();
    match state {
        AgentState::Reset => {}
        AgentState::Active | AgentState::Suspended => {
            agent.write_orb_pointer(A).unwrap();
            agent.poll_fetch(ROOM).unwrap();
            if state == AgentState::Suspended {
                agent.fetched(RCode::COMPLETE, &orb(None));
            }
        }
        AgentState::Dead => {
            agent.kill(1);
        }
    }
    assert_eq!(agent.state(), state);
    agent
}

#[test]
fn every_register_in_every_state_does_what_the_standard_says() {
    use AgentState::{Active, Dead, Reset, Suspended};
    for (from, pointer, doorbell) in [
        (Reset, Ok(Active), Reset),
        (Active, Err(Active), Active),
        (Suspended, Ok(Active), Active),
        (Dead, Err(Dead), Dead),
    ] {
        let mut agent = agent_in(from);
        let written = agent.write_orb_pointer(B);
        match pointer {
            Ok(state) => assert_eq!((written, agent.state()), (Ok(()), state)),
            Err(state) => assert_eq!((written, agent.state()), (Err(Conflict), state)),
        }
        let mut agent = agent_in(from);
        agent.ring_doorbell();
        assert_eq!(agent.state(), doorbell, "doorbell in {from:?}");
        let mut agent = agent_in(from);
        agent.reset(1);
        assert_eq!(agent.state(), Reset, "reset in {from:?}");
        assert_eq!(agent.outstanding(), 0);
    }
}

#[test]
fn a_list_is_followed_to_its_end_and_queued_in_order() {
    let mut agent = agent();
    agent.write_orb_pointer(A).unwrap();
    let fetch = agent.poll_fetch(ROOM).unwrap();
    assert_eq!((fetch.address, fetch.length), (A, 32));
    assert_eq!(agent.poll_fetch(ROOM), None, "one fetch at a time");
    agent.fetched(RCode::COMPLETE, &orb(Some(B)));
    assert_eq!(agent.state(), AgentState::Active);
    assert_eq!(agent.outstanding(), 2, "one queued, one known of");
    assert_eq!(agent.poll_fetch(ROOM).unwrap().address, B);
    agent.fetched(RCode::COMPLETE, &orb(None));
    assert_eq!(agent.state(), AgentState::Suspended);
    let first = agent.take().unwrap();
    assert_eq!((first.id.address, first.id.last), (A, false));
    let second = agent.take().unwrap();
    assert_eq!((second.id.address, second.id.last), (B, true));
    assert_eq!(agent.take(), None);
}

#[test]
fn no_more_orbs_are_fetched_than_there_is_room_for() {
    let mut agent = agent();
    agent.write_orb_pointer(A).unwrap();
    for _ in 0..ROOM {
        agent.poll_fetch(ROOM).unwrap();
        agent.fetched(RCode::COMPLETE, &orb(Some(B)));
    }
    assert_eq!(agent.poll_fetch(ROOM), None);
    assert_eq!(agent.outstanding(), ROOM + 1);
    agent.take();
    assert!(agent.poll_fetch(ROOM).is_some());
}

#[test]
fn a_doorbell_in_suspended_reads_the_last_next_orb_again() {
    let mut agent = agent_in(AgentState::Suspended);
    agent.ring_doorbell();
    let fetch = agent.poll_fetch(ROOM).unwrap();
    assert_eq!((fetch.address, fetch.length), (A, 8));
    agent.fetched(RCode::COMPLETE, Pointer::next_orb(B).as_bytes());
    assert_eq!(agent.poll_fetch(ROOM).unwrap().address, B);
}

#[test]
fn a_doorbell_for_nothing_suspends_again() {
    let mut agent = agent_in(AgentState::Suspended);
    agent.ring_doorbell();
    agent.poll_fetch(ROOM).unwrap();
    agent.fetched(RCode::COMPLETE, Pointer::NULL.as_bytes());
    assert_eq!(agent.state(), AgentState::Suspended);
    assert_eq!(agent.poll_fetch(ROOM), None);
}

#[test]
fn a_doorbell_during_the_fetch_of_the_old_end_is_not_lost() {
    let mut agent = agent_in(AgentState::Active);
    agent.ring_doorbell();
    agent.fetched(RCode::COMPLETE, &orb(None));
    assert_eq!(agent.state(), AgentState::Active);
    let again = agent.poll_fetch(ROOM).unwrap();
    assert_eq!((again.address, again.length), (A, 8));
    agent.ring_doorbell();
    agent.fetched(RCode::COMPLETE, Pointer::NULL.as_bytes());
    let once_more = agent.poll_fetch(ROOM).unwrap();
    assert_eq!((once_more.address, once_more.length), (A, 8));
    agent.fetched(RCode::COMPLETE, Pointer::NULL.as_bytes());
    assert_eq!(agent.state(), AgentState::Suspended);
}

#[test]
fn a_failed_fetch_kills_the_agent_and_is_told_in_its_place() {
    for (rcode, length) in [
        (RCode::ADDRESS_ERROR, 0),
        (RCode::COMPLETE, 31),
        (RCode::COMPLETE, 33),
    ] {
        let mut agent = agent();
        agent.write_orb_pointer(A).unwrap();
        agent.poll_fetch(ROOM).unwrap();
        agent.fetched(RCode::COMPLETE, &orb(Some(B)));
        agent.poll_fetch(ROOM).unwrap();
        agent.fetched(rcode, &[0; 33][..length]);
        assert_eq!(agent.state(), AgentState::Dead);
        assert!(agent.take().unwrap().content.is_ok());
        let failed = agent.take().unwrap();
        assert_eq!((failed.id.address, failed.content), (B, Err(rcode)));
        assert_eq!(agent.poll_fetch(ROOM), None);
    }
}

#[test]
fn a_long_command_block_is_fetched_to_its_end() {
    let mut cdb = [0x5a; 16];
    cdb[0] = 0x88;
    let whole = CommandOrb::new(cdb);
    let mut agent = agent();
    agent.write_orb_pointer(A).unwrap();
    agent.poll_fetch(ROOM).unwrap();
    let tail = agent
        .fetched(RCode::COMPLETE, &whole.as_bytes()[..32])
        .unwrap();
    assert_eq!((tail.address, tail.length), (Address::new(A.get() + 32), 4));
    assert_eq!(agent.poll_fetch(ROOM), None);
    assert_eq!(
        agent.fetched(RCode::COMPLETE, &whole.as_bytes()[32..]),
        None
    );
    assert_eq!(agent.take().unwrap().content, Ok(whole));

    let mut agent = FetchAgent::new(36, 0);
    agent.write_orb_pointer(A).unwrap();
    agent.poll_fetch(ROOM).unwrap();
    assert_eq!(agent.fetched(RCode::COMPLETE, whole.as_bytes()), None);
    assert_eq!(agent.take().unwrap().content, Ok(whole));
}

#[test]
fn an_orb_in_the_queue_can_be_taken_out() {
    let mut agent = agent_in(AgentState::Suspended);
    assert_eq!(agent.remove(B), None);
    assert_eq!(agent.remove(A).unwrap().id.address, A);
    assert!(!agent.has_work());
}
