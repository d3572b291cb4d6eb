use super::*;

const PERM: u32 = 1;
const IO: u32 = 5;
const INVAL: u32 = 22;
const NOSPC: u32 = 28;
const NOTSUP: u32 = 95;
const SHUTDOWN: u32 = 108;

/// Each refusal, over a fresh peer, in both reply styles; afterwards the stream is in step.
fn refused(export: impl Fn() -> Export, bytes: &[u8], errno: u32) {
    let mut peer = Peer::transmitting(export(), false);
    let before = peer.contents(0, SIZE as u32);
    assert_eq!(peer.ask(bytes), simple(errno));
    assert_eq!(peer.contents(0, SIZE as u32), before);
    assert_eq!(peer.ask(&request(FLUSH, 0, 0, 0)), simple(0));

    let mut peer = Peer::transmitting(export(), true);
    let heard = peer.ask(bytes);
    let text = heard[26..].to_vec();
    let mut payload = errno.to_be_bytes().to_vec();
    payload.extend((text.len() as u16).to_be_bytes());
    payload.extend(&text);
    assert_eq!(heard, chunk(0x8001, &payload));
    assert!(std::str::from_utf8(&text).unwrap().len() > 5);
    assert_eq!(peer.ask(&request(FLUSH, 0, 0, 0)), simple(0));
}

#[test]
fn requests_past_the_end_are_refused() {
    let end = SIZE as u64;
    for (offset, length) in [
        (end, 512),
        (end - 512, 1024),
        (u64::MAX, 1),
        (u64::MAX - 511, 512),
    ] {
        refused(export, &request(READ, 0, offset, length), INVAL);
        refused(export, &request(ZEROES, 0, offset, length), NOSPC);
        refused(export, &write(0, offset, &vec![1; length as usize]), NOSPC);
    }
    refused(export, &request(READ, 0, 0, u32::MAX), INVAL);
    refused(export, &request(ZEROES, 0, 0, u32::MAX), NOSPC);
}

#[test]
fn requests_longer_than_the_maximum_are_refused() {
    let longer = MAX_REQUEST + 512;
    refused(export, &request(READ, 0, 0, longer), INVAL);
    refused(export, &write(0, 0, &vec![1; longer as usize]), INVAL);
    // One block more than the maximum once it is widened.
    refused(export, &request(READ, 0, 1, MAX_REQUEST), INVAL);
}

#[test]
fn unaligned_writes_are_refused() {
    refused(export, &write(0, 1, &[1; 512]), INVAL);
    refused(export, &write(0, 512, &[1; 511]), INVAL);
    refused(export, &request(ZEROES, 0, 511, 1), INVAL);
    refused(export, &request(ZEROES, 0, 0, 513), INVAL);
}

#[test]
fn writes_to_a_read_only_export_are_refused() {
    let read_only = || export().read_only();
    refused(read_only, &write(0, 0, &[1; 512]), PERM);
    refused(read_only, &request(ZEROES, 0, 0, 512), PERM);
}

#[test]
fn unknown_commands_and_flags_are_refused() {
    for command in [4, 5, 7, 8, 0xffff] {
        refused(export, &request(command, 0, 0, 512), INVAL);
    }
    refused(export, &request(READ, 1 << 1, 0, 512), INVAL);
    refused(export, &request(READ, 1 << 15, 0, 512), INVAL);
    refused(export, &write(1 << 1, 0, &[1; 512]), INVAL);
    refused(export, &request(FLUSH, 1 << 4, 0, 0), INVAL);
    refused(export, &request(FLUSH, 0, 512, 0), INVAL);
    refused(export, &request(FLUSH, 0, 0, 512), INVAL);
}

#[test]
fn fast_zeroes_are_not_supported() {
    refused(export, &request(ZEROES, 1 << 4, 0, 512), NOTSUP);
}

#[test]
fn the_do_not_fragment_flag_needs_structured_replies() {
    let mut peer = Peer::transmitting(export(), false);
    assert_eq!(peer.ask(&request(READ, DF, 0, 512)), simple(INVAL));
    let mut peer = Peer::transmitting(export(), true);
    let mut payload = 0_u64.to_be_bytes().to_vec();
    payload.extend(peer.contents(0, 512));
    assert_eq!(peer.ask(&request(READ, DF, 0, 512)), chunk(1, &payload));
}

#[test]
fn what_was_written_is_read() {
    for structured in [false, true] {
        let mut peer = Peer::transmitting(export(), structured);
        let data: Vec<u8> = (0..1024).map(|at| (at % 251) as u8).collect();
        assert_eq!(peer.ask(&write(0, 2048, &data)), simple(0));
        assert_eq!(peer.contents(2048, 1024), data);
        let expected = if structured {
            let mut payload = 2048_u64.to_be_bytes().to_vec();
            payload.extend(&data);
            chunk(1, &payload)
        } else {
            [simple(0), data].concat()
        };
        assert_eq!(peer.ask(&request(READ, 0, 2048, 1024)), expected);
    }
}

#[test]
fn unaligned_reads_are_widened_and_cut() {
    let mut peer = Peer::transmitting(export(), true);
    for (offset, length) in [
        (1, 1),
        (511, 2),
        (513, 4096),
        (0, 100),
        (SIZE as u64 - 1, 1),
    ] {
        let mut payload = offset.to_be_bytes().to_vec();
        let all = peer.contents(0, SIZE as u32);
        payload.extend(&all[offset as usize..][..length as usize]);
        assert_eq!(
            peer.ask(&request(READ, 0, offset, length)),
            chunk(1, &payload)
        );
    }
    peer.say(&request(READ, 0, 513, 511));
    assert_eq!(
        peer.work(),
        [Request::Read {
            offset: 512,
            length: 512
        }]
    );
}

#[test]
fn requests_of_no_bytes_do_not_reach_the_disk() {
    for (structured, done) in [(false, simple(0)), (true, chunk(0, &[]))] {
        let mut peer = Peer::transmitting(export(), structured);
        for bytes in [
            request(READ, 0, 1, 0),
            write(FUA, 512, &[]),
            request(ZEROES, 0, SIZE as u64, 0),
        ] {
            peer.heard.clear();
            peer.say(&bytes);
            assert_eq!(peer.work(), []);
            assert_eq!(peer.heard, done);
        }
    }
}

#[test]
fn force_unit_access_reaches_the_disk_and_is_legal_everywhere() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&write(FUA, 0, &[1; 512]));
    peer.say(&request(ZEROES, FUA, 512, 512));
    peer.say(&request(READ, FUA, 0, 512));
    peer.say(&request(FLUSH, FUA, 0, 0));
    let asked = peer.work();
    assert!(matches!(asked[0], Request::Write { fua: true, .. }));
    assert!(matches!(asked[1], Request::WriteZeroes { fua: true, .. }));
    assert_eq!(asked[3], Request::Flush);
    assert_eq!(peer.heard.len(), 4 * 16 + 512);
    peer.say(&write(0, 0, &[1; 512]));
    assert!(matches!(peer.work()[0], Request::Write { fua: false, .. }));
}

#[test]
fn zeroes_are_written_in_pieces_and_answered_after_the_last() {
    let mut peer = Peer::transmitting(export(), false);
    let length = 3 * MAX_REQUEST + 512;
    peer.say(&request(ZEROES, FUA, 512, length));
    let mut expected = 512;
    for piece in [MAX_REQUEST, MAX_REQUEST, MAX_REQUEST, 512] {
        assert_eq!(peer.heard, []);
        let (ticket, request) = peer.connection.poll_request().unwrap();
        assert!(peer.connection.poll_request().is_none(), "one at a time");
        assert_eq!(
            request,
            Request::WriteZeroes {
                offset: expected,
                length: piece,
                fua: true
            }
        );
        expected += u64::from(piece);
        peer.connection.complete(ticket, Ok(vec![]));
        peer.listen();
    }
    assert_eq!(peer.heard, simple(0));
}

#[test]
fn zeroes_that_fail_half_way_are_answered_with_the_error_and_end_there() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(ZEROES, 0, 0, 2 * MAX_REQUEST));
    let (ticket, _) = peer.connection.poll_request().unwrap();
    peer.connection
        .complete(ticket, Err(DiskError::Io("medium error".into())));
    assert_eq!(peer.work(), []);
    assert_eq!(peer.heard, simple(IO));
}

#[test]
fn nothing_is_answered_before_the_disk_has_answered() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&write(0, 0, &[1; 512]));
    peer.say(&request(FLUSH, 0, 0, 0));
    peer.say(&request(READ, 0, 0, 512));
    assert_eq!(peer.heard, []);
    let (write, _) = peer.connection.poll_request().unwrap();
    let (flush, request) = peer.connection.poll_request().unwrap();
    assert_eq!(request, Request::Flush);
    peer.connection.complete(write, Ok(vec![]));
    peer.listen();
    assert_eq!(peer.heard, simple(0), "the write, not the flush");
    peer.connection.complete(flush, Ok(vec![]));
    peer.listen();
    assert_eq!(peer.heard, [simple(0), simple(0)].concat());
}

#[test]
fn each_flush_is_a_flush_of_the_disk() {
    let mut peer = Peer::transmitting(export(), false);
    for _ in 0..3 {
        peer.say(&request(FLUSH, 0, 0, 0));
    }
    assert_eq!(
        peer.work(),
        [Request::Flush, Request::Flush, Request::Flush]
    );
}

#[test]
fn errors_of_the_disk_are_passed_on_with_their_text() {
    for (error, errno, text) in [
        (DiskError::Io("03/11/00".into()), IO, "03/11/00"),
        (DiskError::ReadOnly, PERM, "the disk is write-protected"),
        (DiskError::NoSpace, NOSPC, "no space left on the disk"),
        (DiskError::Invalid("no".into()), INVAL, "no"),
        (
            DiskError::ShuttingDown("login lost".into()),
            SHUTDOWN,
            "the disk is going away: login lost",
        ),
        (DiskError::Io("ö".repeat(1000)), IO, &"ö".repeat(256)),
        (
            DiskError::Io("x".to_owned() + &"ö".repeat(999)),
            IO,
            &("x".to_owned() + &"ö".repeat(255)),
        ),
    ] {
        let mut peer = Peer::transmitting(export(), true);
        peer.say(&request(READ, 0, 0, 512));
        let (ticket, _) = peer.connection.poll_request().unwrap();
        peer.connection.complete(ticket, Err(error));
        peer.listen();
        let mut payload = errno.to_be_bytes().to_vec();
        payload.extend((text.len() as u16).to_be_bytes());
        payload.extend(text.as_bytes());
        assert_eq!(peer.heard, chunk(0x8001, &payload));
    }
}

#[test]
fn a_read_of_another_length_than_asked_is_an_io_error() {
    let mut peer = Peer::transmitting(export(), false);
    for bytes in [vec![], vec![0; 511], vec![0; 513]] {
        peer.heard.clear();
        peer.say(&request(READ, 0, 0, 512));
        let (ticket, _) = peer.connection.poll_request().unwrap();
        peer.connection.complete(ticket, Ok(bytes));
        peer.listen();
        assert_eq!(peer.heard, simple(IO));
    }
}

#[test]
fn disconnect_finishes_what_is_under_way_and_reads_no_more() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(ZEROES, 0, 0, 2 * MAX_REQUEST));
    let late = [request(DISC, 0, 0, 0), write(0, 0, &[1; 512])].concat();
    assert_eq!(peer.say(&late), late.len());
    peer.connection.input_ended();
    assert!(!peer.connection.is_finished());
    assert_eq!(peer.work().len(), 2, "both pieces, and not the write");
    assert_eq!(peer.heard, simple(0));
    assert!(peer.connection.is_finished());
}

#[test]
fn a_client_that_vanishes_in_a_write_writes_nothing() {
    let mut peer = Peer::transmitting(export(), false);
    let bytes = write(0, 0, &[1; 512]);
    peer.say(&bytes[..bytes.len() - 1]);
    peer.connection.input_ended();
    assert_eq!(peer.work(), []);
    assert!(peer.connection.is_finished());
    assert_eq!(peer.connection.held(), 0);
}

#[test]
fn a_client_that_vanishes_ends_its_zeroes_after_the_piece() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(ZEROES, 0, 0, 2 * MAX_REQUEST));
    peer.connection.input_ended();
    assert_eq!(peer.work().len(), 1);
    assert_eq!(peer.heard, simple(SHUTDOWN));
    assert!(peer.connection.is_finished());
}

#[test]
fn completions_for_a_client_that_is_gone_are_dropped() {
    let mut peer = Peer::transmitting(export(), false);
    peer.say(&request(READ, 0, 0, 512));
    let (ticket, _) = peer.connection.poll_request().unwrap();
    peer.say(&request(READ, 0, 0, 512));
    peer.say(&write(0, 0, &[1; 512]));
    peer.connection.lost();
    assert!(peer.connection.is_finished());
    assert!(
        peer.connection.poll_request().is_none(),
        "not submitted yet"
    );
    for _ in 0..2 {
        peer.connection.complete(ticket, Ok(vec![0; 512]));
    }
    peer.listen();
    assert_eq!(peer.heard, []);
    assert_eq!(peer.connection.held(), 0);
}

#[test]
fn while_stopping_what_is_under_way_is_answered_and_the_rest_refused() {
    let mut peer = Peer::transmitting(export(), false);
    let late = write(0, 0, &[1; 512]);
    peer.say(&request(READ, 0, 0, 512));
    peer.say(&late[..100]);
    peer.connection.stop();
    assert!(!peer.connection.is_finished());
    peer.say(&late[100..]);
    peer.say(&late);
    peer.say(&request(FLUSH, 0, 0, 0));
    assert_eq!(
        peer.heard,
        [simple(SHUTDOWN), simple(SHUTDOWN), simple(SHUTDOWN)].concat()
    );
    peer.heard.clear();
    assert_eq!(peer.work().len(), 1, "the read alone");
    assert_eq!(peer.heard[..16], simple(0));
    assert!(peer.connection.is_finished());
}
