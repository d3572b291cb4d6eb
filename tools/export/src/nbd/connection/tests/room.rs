use super::*;
use crate::nbd::Limits;

fn narrow(requests: usize, bytes: usize) -> Export {
    export().limited(Limits {
        requests,
        bytes,
        clients: 1,
    })
}

#[test]
fn no_more_requests_than_the_limit_are_with_the_disk() {
    let mut peer = Peer::transmitting(narrow(4, 1 << 20), false);
    let stream = request(READ, 0, 0, 512).repeat(9);
    let taken = peer.say(&stream);
    assert_eq!(taken, 5 * 28, "four under way and one that waits");
    assert!(peer.connection.is_blocked());
    assert_eq!(peer.say(&stream[taken..]), 0);

    let mut tickets = Vec::new();
    while let Some((ticket, _)) = peer.connection.poll_request() {
        tickets.push(ticket);
    }
    assert_eq!(tickets.len(), 4);
    peer.connection.complete(tickets[0], Ok(vec![0; 512]));
    assert!(!peer.connection.is_blocked());
    assert!(
        peer.connection.poll_request().is_some(),
        "the one that waited"
    );
}

#[test]
fn no_more_bytes_than_the_limit_are_held() {
    let limit = 2 * MAX_REQUEST as usize;
    let mut peer = Peer::transmitting(narrow(64, limit), false);
    let data = vec![1; MAX_REQUEST as usize];
    let stream = write(0, 0, &data).repeat(4);
    let taken = peer.say(&stream);
    assert_eq!(
        taken,
        2 * (28 + data.len()),
        "two whole, and the third not begun"
    );
    assert_eq!(peer.connection.held(), limit);
    peer.work();
    assert_eq!(peer.say(&stream[taken..]), stream.len() - taken);
}

#[test]
fn replies_that_the_client_does_not_read_count_as_held() {
    let limit = 2 * MAX_REQUEST as usize;
    let mut peer = Peer::transmitting(narrow(64, limit), false);
    let stream = request(READ, 0, 0, MAX_REQUEST).repeat(10);
    let mut rest = &stream[..];
    let mut asked = 0;
    loop {
        let taken = peer.connection.receive(rest);
        rest = &rest[taken..];
        let mut idle = true;
        while let Some((ticket, _)) = peer.connection.poll_request() {
            let data = vec![0; MAX_REQUEST as usize];
            peer.connection.complete(ticket, Ok(data));
            (idle, asked) = (false, asked + 1);
        }
        if idle && taken == 0 {
            break;
        }
    }
    assert!(peer.connection.held() < limit + 100);
    assert_eq!(asked, 2);

    // Polled, and still not sent: no room yet.
    let outgoing = peer.connection.poll_output().unwrap();
    assert!(peer.connection.is_blocked());
    peer.connection.sent(outgoing.len());
    assert!(!peer.connection.is_blocked());
}

#[test]
fn refusals_that_the_client_does_not_read_count_as_held() {
    let mut peer = Peer::transmitting(narrow(64, 0), true);
    let stream = request(99, 0, 0, 0).repeat(100);
    // Each is answered with more than 16 bytes, so this is more than enough.
    for _ in 0..MAX_REQUEST as usize / stream.len() * 2 {
        peer.connection.receive(&stream);
    }
    assert!(peer.connection.is_blocked());
    assert!(peer.connection.held() < MAX_REQUEST as usize + 100);
}

#[test]
fn the_largest_request_passes_however_narrow_the_limits_are() {
    let mut peer = Peer::transmitting(narrow(0, 0), false);
    let data = vec![1; MAX_REQUEST as usize];
    assert_eq!(peer.ask(&write(0, 0, &data).repeat(3)), simple(0).repeat(3));
    assert_eq!(
        peer.ask(&request(READ, 0, 0, MAX_REQUEST)).len(),
        16 + data.len()
    );
}

#[test]
fn the_data_of_a_refused_write_is_not_kept() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(WRITE, 0, SIZE as u64, MAX_DRAIN));
    let piece = vec![1; 1 << 20];
    for _ in 0..MAX_DRAIN as usize / piece.len() {
        assert_eq!(peer.heard, []);
        assert_eq!(peer.say(&piece), piece.len());
        assert_eq!(peer.connection.held(), 0);
    }
    assert_eq!(peer.heard, simple(28));
}

#[test]
fn a_write_of_hostile_length_ends_the_connection() {
    for length in [MAX_DRAIN + 1, u32::MAX] {
        let mut peer = Peer::transmitting(export(), false);
        peer.say(&request(WRITE, 0, 0, length));
        assert!(peer.connection.is_finished());
        assert_eq!(peer.connection.held(), 0);
    }
}
