use super::*;

const ERR: u32 = 1 << 31;

#[test]
fn a_client_flag_that_was_not_offered_ends_the_connection() {
    for flags in [4_u32, 1 << 31, u32::MAX] {
        let mut peer = Peer::fresh(export());
        peer.say(&flags.to_be_bytes());
        assert!(peer.connection.is_finished());
        assert_eq!(peer.heard, []);
    }
}

#[test]
fn an_option_without_its_magic_number_ends_the_connection() {
    let mut peer = Peer::haggling(export());
    let mut wrong = option(3, &[]);
    wrong[0] ^= 1;
    peer.say(&wrong);
    assert!(peer.connection.is_finished());
}

#[test]
fn only_a_fixed_newstyle_client_may_do_more_than_name_an_export() {
    let mut peer = Peer::fresh(export());
    peer.say(&0_u32.to_be_bytes());
    peer.say(&option(3, &[]));
    assert!(peer.connection.is_finished());

    let mut peer = Peer::fresh(export());
    peer.say(&0_u32.to_be_bytes());
    peer.say(&option(1, b""));
    assert_eq!(peer.heard.len(), 10 + 124);
    assert_eq!(peer.heard[..8], (SIZE as u64).to_be_bytes());
    assert_eq!(peer.heard[10..], [0; 124]);
    assert!(!peer.connection.is_finished());
}

#[test]
fn the_zeroes_are_left_out_for_clients_that_say_so() {
    let mut peer = Peer::haggling(export());
    peer.say(&option(1, b""));
    assert_eq!(peer.heard.len(), 10);
}

#[test]
fn naming_another_export_by_export_name_ends_the_connection() {
    let mut peer = Peer::haggling(export().named("disk").unwrap());
    peer.say(&option(1, b"disc"));
    assert!(peer.connection.is_finished());
    assert_eq!(peer.heard, []);
}

#[test]
fn go_tells_size_flags_and_block_sizes_and_starts() {
    let mut peer = Peer::haggling(export());
    peer.say(&option(7, &inform(b"", &[])));
    let mut info = vec![0, 0];
    info.extend((SIZE as u64).to_be_bytes());
    info.extend(0x014d_u16.to_be_bytes());
    assert_eq!(option_reply(&mut peer.heard), (7, 3, info));
    let mut info = vec![0, 3];
    info.extend(512_u32.to_be_bytes());
    info.extend(4096_u32.to_be_bytes());
    info.extend(MAX_REQUEST.to_be_bytes());
    assert_eq!(option_reply(&mut peer.heard), (7, 3, info));
    assert_eq!(option_reply(&mut peer.heard), (7, 1, vec![]));
    assert_eq!(peer.heard, []);
    assert_eq!(peer.ask(&request(FLUSH, 0, 0, 0)), simple(0));
}

#[test]
fn the_flags_tell_of_read_only_and_of_structured_replies() {
    let flags = |export: Export, structured| {
        let mut peer = Peer::haggling(export);
        if structured {
            peer.say(&option(8, &[]));
            assert_eq!(option_reply(&mut peer.heard), (8, 1, vec![]));
        }
        peer.say(&option(6, &inform(b"", &[])));
        let (_, _, info) = option_reply(&mut peer.heard);
        u16::from_be_bytes(info[10..].try_into().unwrap())
    };
    assert_eq!(flags(export(), false), 0b1_0100_1101);
    assert_eq!(flags(export(), true), 0b1_1100_1101);
    assert_eq!(flags(export().read_only(), false), 0b1_0000_1111);
}

#[test]
fn info_gives_name_and_description_when_asked_and_goes_on_haggling() {
    let named = export().named("disk").unwrap().described("a disk").unwrap();
    let mut peer = Peer::haggling(named);
    for name in [&b""[..], b"disk"] {
        peer.say(&option(6, &inform(name, &[1, 2, 77])));
        let replies: Vec<_> = (0..5).map(|_| option_reply(&mut peer.heard)).collect();
        assert_eq!(replies[2], (6, 3, b"\0\x01disk".to_vec()));
        assert_eq!(replies[3], (6, 3, b"\0\x02a disk".to_vec()));
        assert_eq!(replies[4], (6, 1, vec![]));
    }
    peer.say(&option(3, &[]));
    assert_eq!(
        option_reply(&mut peer.heard),
        (3, 2, b"\0\0\0\x04disk".to_vec())
    );
    assert_eq!(option_reply(&mut peer.heard), (3, 1, vec![]));
}

#[test]
fn each_option_that_cannot_be_answered_is_refused_and_haggling_goes_on() {
    let mut bad_count = inform(b"", &[1]);
    bad_count.pop();
    let mut long_name = inform(b"abc", &[]);
    long_name[3] = 200;
    let mut peer = Peer::haggling(export());
    for (code, data, error) in [
        (4, vec![], 1),
        (10, vec![0; 8], 1),
        (11, vec![0; 8], 1),
        (0xffff_ffff, vec![1, 2, 3], 1),
        (5, vec![], 2),
        (3, vec![0], 3),
        (8, vec![0], 3),
        (7, vec![], 3),
        (6, bad_count, 3),
        (6, [inform(b"", &[1]), vec![0, 3]].concat(), 3),
        (7, long_name, 3),
        (7, u32::MAX.to_be_bytes().to_vec(), 3),
        (7, inform(&[b'x'; 4097], &[]), 3),
        (7, inform(b"other", &[]), 6),
        (99, vec![0; MAX_OPTION_DATA], 1),
        (7, vec![0; MAX_OPTION_DATA + 1], 9),
        (99, vec![0; MAX_OPTION_SKIP as usize], 9),
    ] {
        peer.say(&option(code, &data));
        let (option, reply, text) = option_reply(&mut peer.heard);
        assert_eq!((option, reply), (code, ERR + error), "{}", data.len());
        assert!(!text.is_empty());
        assert_eq!(peer.heard, []);
    }
    peer.say(&option(7, &inform(b"", &[])));
    assert_eq!(peer.ask(&request(FLUSH, 0, 0, 0)).len() % 16, 0);
}

#[test]
fn an_option_of_hostile_length_ends_the_connection_and_takes_no_memory() {
    for (code, length) in [
        (7, MAX_OPTION_SKIP + 1),
        (99, u32::MAX),
        (1, MAX_OPTION_DATA as u32 + 1),
    ] {
        let mut peer = Peer::haggling(export());
        let mut header = option(code, &[]);
        header[12..].copy_from_slice(&length.to_be_bytes());
        peer.say(&header);
        assert!(peer.connection.is_finished(), "{code} {length}");
        assert_eq!(peer.connection.header.capacity(), 0);
    }
}

#[test]
fn abort_is_acknowledged_and_ends_the_connection() {
    let mut peer = Peer::haggling(export());
    peer.say(&option(2, &[]));
    assert_eq!(option_reply(&mut peer.heard), (2, 1, vec![]));
    assert!(peer.connection.is_finished());
}

#[test]
fn while_stopping_options_are_refused() {
    let mut peer = Peer::haggling(export());
    peer.connection.stop();
    peer.say(&option(7, &inform(b"", &[])));
    let (option, reply, _) = option_reply(&mut peer.heard);
    assert_eq!((option, reply), (7, ERR + 7));
    assert!(peer.connection.is_finished());
}
