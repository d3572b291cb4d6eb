use proptest::prelude::*;

use super::*;

/// A bound on what a connection over [`disk`] may hold, with one reply on top of the limit.
fn bound(peer: &Peer) -> usize {
    peer.connection.limits.bytes + MAX_REQUEST as usize
}

/// Feeds `bytes` in steps of `step`; returns all replies. The disk works only when it must, or
/// its replies would come between others according to `step`.
fn replies(bytes: &[u8], step: usize) -> Vec<u8> {
    let mut peer = Peer::fresh(export());
    for piece in bytes.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = peer.say(rest);
            rest = &rest[taken..];
            if taken == 0 {
                peer.work();
            }
        }
    }
    peer.work();
    peer.heard
}

/// A whole conversation that touches every state.
fn conversation() -> Vec<u8> {
    let mut bytes = 1_u32.to_be_bytes().to_vec();
    bytes.extend(option(3, &[]));
    bytes.extend(option(99, &[0; 10]));
    bytes.extend(option(99, &vec![0; MAX_OPTION_DATA + 1]));
    bytes.extend(option(8, &[]));
    bytes.extend(option(6, &inform(b"", &[1, 3])));
    bytes.extend(option(7, &inform(b"", &[])));
    bytes.extend(write(0, 512, &[7; 1536]));
    bytes.extend(write(0, 1, &[7; 700]));
    bytes.extend(request(READ, DF, 500, 1100));
    bytes.extend(request(ZEROES, FUA, 1024, 512));
    bytes.extend(request(77, 0, 0, 0));
    bytes.extend(request(READ, 0, 512, 1536));
    bytes.extend(request(FLUSH, 0, 0, 0));
    bytes.extend(request(DISC, 0, 0, 0));
    bytes
}

#[test]
fn bytes_that_come_one_at_a_time_are_answered_as_if_they_came_together() {
    let bytes = conversation();
    let whole = replies(&bytes, bytes.len());
    assert!(whole.len() > 2600);
    for step in [1, 2, 3, 7, 27, 29, 512] {
        assert!(replies(&bytes, step) == whole, "in steps of {step}");
    }
}

#[test]
fn a_request_without_its_magic_number_ends_the_connection_after_what_is_under_way() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(FLUSH, 0, 0, 0));
    let mut wrong = request(FLUSH, 0, 0, 0);
    wrong[3] ^= 1;
    peer.say(&wrong);
    assert!(!peer.connection.is_finished());
    assert_eq!(peer.work(), [Request::Flush]);
    assert_eq!(peer.heard, simple(0));
    assert!(peer.connection.is_finished());
}

fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let near = |at: u64| prop_oneof![Just(at), at.saturating_sub(600)..at.saturating_add(600)];
    let offset = prop_oneof![
        near(0),
        near(SIZE as u64),
        near(u64::MAX - 600),
        any::<u64>()
    ];
    let length = prop_oneof![0..2048_u32, Just(MAX_REQUEST), any::<u32>()];
    (0..9_u16, 0..32_u16, offset, length).prop_map(|(command, flags, offset, length)| {
        let mut bytes = request(command, flags, offset, length);
        if command == WRITE && length <= 2048 {
            bytes.resize(bytes.len() + length as usize, 0xa5);
        }
        bytes
    })
}

fn option_like() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        (
            prop::collection::vec(any::<u8>(), 0..8),
            prop::collection::vec(0..6_u16, 0..5)
        )
            .prop_map(|(name, wanted)| inform(&name, &wanted)),
    ];
    (0..12_u32, data).prop_map(|(code, data)| option(code, &data))
}

proptest! {
    #[test]
    fn whatever_a_client_sends_is_survived_in_bounded_memory(
        started in any::<bool>(),
        structured in any::<bool>(),
        pieces in prop::collection::vec(
            prop_oneof![
                4 => request_like(),
                2 => option_like(),
                1 => prop::collection::vec(any::<u8>(), 0..64),
            ],
            0..40,
        ),
        working in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut peer = if started {
            Peer::transmitting(export(), structured)
        } else {
            Peer::haggling(export())
        };
        for (piece, works) in pieces.iter().zip(working) {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let taken = peer.connection.receive(rest);
                rest = &rest[taken..];
                prop_assert!(peer.connection.held() <= bound(&peer));
                prop_assert!(peer.connection.header.capacity() <= 2 * MAX_OPTION_DATA);
                if works || taken == 0 {
                    peer.work();
                }
            }
        }
        peer.connection.input_ended();
        peer.work();
        prop_assert!(peer.connection.is_finished());
        prop_assert_eq!(peer.connection.held(), 0);
    }

    #[test]
    fn a_conversation_with_flipped_bits_is_survived(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
        step in 1..200_usize,
    ) {
        let mut bytes = conversation();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        replies(&bytes, step);
    }
}
