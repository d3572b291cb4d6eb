//! The bytes are those that a kernel writes on x86_64, by the layout tables of the header.

use super::*;

/// Bytes of an event under construction: host byte order, as the kernel writes it.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(closure: u64, event_type: u32) -> Self {
        Self(closure.to_ne_bytes().to_vec()).word(event_type)
    }

    fn word(mut self, word: u32) -> Self {
        self.0.extend(word.to_ne_bytes());
        self
    }

    fn long(mut self, long: u64) -> Self {
        self.0.extend(long.to_ne_bytes());
        self
    }

    fn payload(mut self, payload: &[u8]) -> Self {
        self.0.extend(payload);
        self
    }
}

/// An Oxford bridge at ffc0 writes a status block to the host at ffc1.
fn request2(tcode: u32, length: u32, data: &[u8]) -> Vec<u8> {
    Bytes::new(0x55, event_type::REQUEST2)
        .word(tcode)
        .long(0x0001_0000_1000)
        .word(0xffc0)
        .word(0xffc1)
        .word(0)
        .word(7)
        .word(0x21)
        .word(length)
        .payload(data)
        .0
}

fn request3(tcode: u32, length: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = request2(tcode, length, &[]);
    bytes[8..12].copy_from_slice(&event_type::REQUEST3.to_ne_bytes());
    Bytes(bytes).word(0x4711).word(0).payload(data).0
}

fn expected_request(tcode: u32, length: usize, data: &[u8]) -> CdevEvent {
    CdevEvent::Request(Request {
        closure: 0x55,
        tcode,
        address: Address::new(0x0001_0000_1000),
        origin: Some(Origin {
            source: NodeId(0xffc0),
            destination: NodeId(0xffc1),
            card: 0,
            generation: Generation(7),
        }),
        handle: 0x21,
        length,
        data: data.to_vec(),
    })
}

fn response(closure: u64, rcode: RCode, data: &[u8]) -> CdevEvent {
    CdevEvent::Response {
        closure,
        rcode,
        data: data.to_vec(),
    }
}

fn bus_reset() -> Vec<u8> {
    Bytes::new(0, event_type::BUS_RESET)
        .word(0xffc0)
        .word(0xffc1)
        .word(0xffff)
        .word(0xffc1)
        .word(0xffc1)
        .word(7)
        .word(0)
        .0
}

#[test]
fn a_bus_reset_tells_who_is_who() {
    let bytes = bus_reset();
    assert_eq!(bytes.len(), 40);
    let state = BusState {
        node: NodeId(0xffc0),
        local: NodeId(0xffc1),
        generation: Generation(7),
    };
    assert_eq!(parse(&bytes, 4), Ok(CdevEvent::BusReset(state)));
    assert_eq!(parse(&bytes[..36], 4), Ok(CdevEvent::BusReset(state)));
    assert!(parse(&bytes[..35], 4).is_err());
}

#[test]
fn a_short_response_is_taken_from_byte_20_although_the_kernel_repeats_it_at_24() {
    let quadlet = [0x31, 0x33, 0x39, 0x34];
    let bytes = Bytes::new(9, event_type::RESPONSE)
        .word(0)
        .word(4)
        .payload(&quadlet)
        .payload(&quadlet)
        .0;
    assert_eq!(bytes.len(), 28);
    assert_eq!(parse(&bytes, 5), Ok(response(9, RCode::COMPLETE, &quadlet)));
}

#[test]
fn a_response_without_data_still_has_24_bytes() {
    let bytes = Bytes::new(9, event_type::RESPONSE)
        .word(0x13)
        .word(0)
        .word(0xdead_beef)
        .0;
    assert_eq!(bytes.len(), 24);
    assert_eq!(parse(&bytes, 5), Ok(response(9, RCode::GENERATION, &[])));
}

#[test]
fn a_long_response_is_cut_by_its_length_not_by_the_number_of_bytes_read() {
    // 24 + 8 bytes come, of which 8 at byte 20 are payload and the last 4 are nothing.
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    let bytes = Bytes::new(9, event_type::RESPONSE)
        .word(0)
        .word(8)
        .payload(&data)
        .payload(&[0xee; 4])
        .0;
    assert_eq!(bytes.len(), 32);
    assert_eq!(parse(&bytes, 5), Ok(response(9, RCode::COMPLETE, &data)));
}

#[test]
fn a_time_stamped_response_has_its_data_at_byte_32() {
    let bytes = Bytes::new(9, event_type::RESPONSE2)
        .word(0)
        .word(4)
        .word(0x1000)
        .word(0x1001)
        .word(0)
        .payload(&[1, 2, 3, 4])
        .0;
    assert_eq!(bytes.len(), 36);
    assert_eq!(
        parse(&bytes, 6),
        Ok(response(9, RCode::COMPLETE, &[1, 2, 3, 4]))
    );
}

#[test]
fn a_write_brings_its_bytes_as_they_were_on_the_bus() {
    let status = [0x40, 0x00, 0, 1, 0, 0, 0x10, 0x00];
    let expected = Ok(expected_request(tcode::WRITE_BLOCK, 8, &status));
    let bytes = request2(tcode::WRITE_BLOCK, 8, &status);
    assert_eq!(bytes.len(), 56);
    assert_eq!(parse(&bytes, 4), expected);
    let bytes = request3(tcode::WRITE_BLOCK, 8, &status);
    assert_eq!(bytes.len(), 64);
    assert_eq!(parse(&bytes, 6), expected);
}

#[test]
fn a_read_has_a_length_and_no_data() {
    let event = parse(&request3(tcode::READ_BLOCK, 36, &[]), 6);
    assert_eq!(event, Ok(expected_request(tcode::READ_BLOCK, 36, &[])));
}

#[test]
fn answers_are_as_long_as_the_kernel_wants_them_for_every_transaction_code() {
    let of = |tcode, length, data: &[u8]| match parse(&request2(tcode, length, data), 4) {
        Ok(CdevEvent::Request(request)) => request.response_length(),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(tcode::WRITE_QUADLET, 4, &[0; 4]), 0);
    assert_eq!(of(tcode::WRITE_BLOCK, 8, &[0; 8]), 0);
    assert_eq!(of(tcode::READ_QUADLET, 4, &[]), 4);
    assert_eq!(of(tcode::READ_BLOCK, 36, &[]), 36);
    // mask swap … vendor dependent
    let locks: Vec<_> = (0x11..=0x17).map(|tcode| of(tcode, 8, &[0; 8])).collect();
    assert_eq!(locks, [4, 4, 8, 8, 4, 4, 4]);
}

#[test]
fn a_legacy_request_does_not_tell_who_asks() {
    let bytes = Bytes::new(0x55, event_type::REQUEST)
        .word(tcode::WRITE_QUADLET)
        .long(0x0001_0000_1000)
        .word(0x21)
        .word(4)
        .payload(&[1, 2, 3, 4])
        .0;
    assert_eq!(bytes.len(), 36);
    let Ok(CdevEvent::Request(request)) = parse(&bytes, 4) else {
        panic!("no request");
    };
    assert_eq!(request.origin, None);
    assert_eq!((request.handle, request.data), (0x21, vec![1, 2, 3, 4]));
}

#[test]
fn phy_packets_and_isochronous_events_are_recognised_and_left_alone() {
    for kind in [3, 4, 5, 7, 8, 9, 0xc, 0xd] {
        let bytes = Bytes::new(1, kind).word(0).word(0).0;
        let ignored = CdevEvent::Ignored {
            closure: 1,
            event_type: kind,
        };
        assert_eq!(parse(&bytes, 6), Ok(ignored));
    }
}

#[test]
fn an_event_newer_than_the_negotiated_version_survives_as_unknown() {
    let unknown = |closure, event_type, rest: &[u8]| {
        Ok(CdevEvent::Unknown {
            closure,
            event_type,
            rest: rest.to_vec(),
        })
    };
    let bytes = Bytes::new(1, 0x1234).payload(&[1, 2, 3]).0;
    assert_eq!(parse(&bytes, 6), unknown(1, 0x1234, &[1, 2, 3]));
    let bytes = request3(tcode::READ_QUADLET, 4, &[]);
    assert_eq!(parse(&bytes, 5), unknown(0x55, 0xa, &bytes[12..]));
}

#[test]
fn every_event_that_is_cut_off_is_an_error() {
    let whole = [
        bus_reset()[..36].to_vec(),
        Bytes::new(9, event_type::RESPONSE)
            .word(0)
            .word(4)
            .word(1)
            .0,
        Bytes::new(9, event_type::RESPONSE2)
            .word(0)
            .word(4)
            .long(0)
            .word(0)
            .word(1)
            .0,
        request2(tcode::WRITE_BLOCK, 8, &[0; 8]),
        request3(tcode::WRITE_BLOCK, 8, &[0; 8]),
    ];
    for bytes in whole {
        assert!(parse(&bytes, 6).is_ok());
        for length in 0..bytes.len() {
            let error = parse(&bytes[..length], 6).unwrap_err();
            assert!(
                matches!(error, EventError::Short { needed, got, .. } if got == length && needed > got),
                "{error}"
            );
        }
    }
}

#[test]
fn lengths_ids_and_addresses_out_of_range_are_errors() {
    let bytes = Bytes::new(9, event_type::RESPONSE)
        .word(0)
        .word(u32::MAX)
        .word(0)
        .0;
    assert!(matches!(parse(&bytes, 6), Err(EventError::Short { .. })));
    let bytes = request2(tcode::READ_BLOCK, 0x1_0000, &[]);
    assert_eq!(
        parse(&bytes, 6),
        Err(EventError::Length { length: 0x1_0000 })
    );
    let mut bytes = request2(tcode::READ_QUADLET, 4, &[]);
    bytes[24..28].copy_from_slice(&0x1_ffc0_u32.to_ne_bytes());
    assert!(matches!(
        parse(&bytes, 6),
        Err(EventError::NodeId { id: 0x1_ffc0, .. })
    ));
    let mut bytes = request2(tcode::READ_QUADLET, 4, &[]);
    bytes[16..24].copy_from_slice(&(1_u64 << 48).to_ne_bytes());
    assert!(matches!(parse(&bytes, 6), Err(EventError::Address { .. })));
}
