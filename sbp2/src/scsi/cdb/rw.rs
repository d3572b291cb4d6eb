use super::Cdb;

/// Blocks that a 10-byte READ or WRITE can move: split what is larger, unless it lies behind
/// LBA 2^32 − 1, where only the 16-byte commands reach.
pub const MAX_BLOCKS_10: u32 = 0xffff;

/// The 10-byte forms if they reach: they are all that RBC disks and most bridges know.
fn ten(lba: u64, blocks: u32) -> Option<(u32, u16)> {
    Some((u32::try_from(lba).ok()?, u16::try_from(blocks).ok()?))
}

/// The command that reads `blocks` blocks from `lba` on: READ(10) wherever that reaches.
#[must_use]
pub fn read_blocks(lba: u64, blocks: u32) -> Cdb {
    let (disable_page_out, force_unit_access) = (false, false);
    match ten(lba, blocks) {
        Some((lba, blocks)) => Cdb::Read10 {
            lba,
            blocks,
            disable_page_out,
            force_unit_access,
        },
        None => Cdb::Read16 {
            lba,
            blocks,
            disable_page_out,
            force_unit_access,
        },
    }
}

/// The command that writes `blocks` blocks from `lba` on: WRITE(10) wherever that reaches.
///
/// Set `force_unit_access` only on a disk that said it supports it
/// ([`DiskInfo::fua`](crate::scsi::DiskInfo::fua)).
#[must_use]
pub fn write_blocks(lba: u64, blocks: u32, force_unit_access: bool) -> Cdb {
    let disable_page_out = false;
    match ten(lba, blocks) {
        Some((lba, blocks)) => Cdb::Write10 {
            lba,
            blocks,
            disable_page_out,
            force_unit_access,
        },
        None => Cdb::Write16 {
            lba,
            blocks,
            disable_page_out,
            force_unit_access,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_byte_commands_are_used_as_far_as_they_reach() {
        let last = u64::from(u32::MAX);
        for (lba, blocks, length) in [
            (0, 1, 10),
            (last, MAX_BLOCKS_10, 10),
            (last + 1, 1, 16),
            (0, MAX_BLOCKS_10 + 1, 16),
        ] {
            for cdb in [read_blocks(lba, blocks), write_blocks(lba, blocks, true)] {
                assert_eq!(cdb.encode().as_bytes().len(), length, "{cdb:?}");
                let transfer = cdb.transfer().unwrap();
                assert_eq!((transfer.lba, transfer.blocks), (lba, blocks));
                assert_eq!(transfer.force_unit_access, transfer.write);
            }
        }
    }
}
