use super::*;
use crate::memory::MemoryDisk;

fn geometry() -> Geometry {
    let mut geometry = MemoryDisk::new(1 << 20, 4096).geometry();
    geometry.max_request = 65_536;
    geometry
}

fn descriptor(operation: u32, start: u64, sectors: u32) -> Descriptor {
    Descriptor {
        operation,
        sectors,
        start,
        address: 0,
    }
}

#[test]
fn a_request_is_what_its_descriptor_says() {
    let parse = |operation, start, sectors| {
        parse(&descriptor(operation, start, sectors), &geometry()).unwrap()
    };
    let (offset, length) = (8192, 4096);
    assert_eq!(parse(0, 16, 8), Request::Read { offset, length });
    let data = vec![0; 4096];
    let fua = true;
    let write = Request::Write { offset, data, fua };
    assert_eq!(parse(1 | 1 << 13 | 1 << 11, 16, 8), write);
    let fua = false;
    let zeroes = Request::WriteZeroes {
        offset,
        length,
        fua,
    };
    assert_eq!(parse(5 | 1 << 15, 16, 8), zeroes);
    assert_eq!(parse(2, 0, 0), Request::Flush);
}

#[test]
fn what_is_no_blocks_of_the_disk_is_refused() {
    for (operation, start, sectors) in [
        (0, 16, 0),
        (0, 16, 1),
        (1, 1, 8),
        (1, 0, 136),
        (5, 2048, 8),
        (0, u64::MAX, 8),
        (0, u64::MAX / 512, 8),
        (3, 16, 8),
        (4, 16, 8),
        (15, 16, 8),
    ] {
        let descriptor = descriptor(operation, start, sectors);
        let parsed = parse(&descriptor, &geometry());
        assert!(
            matches!(parsed, Err(DiskError::Invalid(_))),
            "{descriptor:?}"
        );
    }
}
