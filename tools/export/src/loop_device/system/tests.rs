//! Compares every number and every offset with the header of the machine that runs the test.

use super::*;
use crate::c_header::Fact;

macro_rules! layout {
    ($facts:ident: $($rust:ident = $c:literal { $($field:ident = $c_field:literal),* })*) => {$(
        $facts.push((format!("sizeof(struct {})", $c), size_of::<$rust>() as u64));
        $($facts.push((
            format!("offsetof(struct {}, {})", $c, $c_field),
            offset_of!($rust, $field) as u64,
        ));)*
    )*};
}

fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    layout! { facts:
        Info = "loop_info64" {
            device = "lo_device", inode = "lo_inode", rdevice = "lo_rdevice",
            offset = "lo_offset", size_limit = "lo_sizelimit", number = "lo_number",
            encrypt_type = "lo_encrypt_type", encrypt_key_size = "lo_encrypt_key_size",
            flags = "lo_flags", file_name = "lo_file_name", crypt_name = "lo_crypt_name",
            encrypt_key = "lo_encrypt_key", init = "lo_init"
        }
        Config = "loop_config" {
            fd = "fd", block_size = "block_size", info = "info", reserved = "__reserved"
        }
    }
    for (value, c) in [
        (READ_ONLY, "LO_FLAGS_READ_ONLY"),
        (PARTSCAN, "LO_FLAGS_PARTSCAN"),
        (DIRECT_IO, "LO_FLAGS_DIRECT_IO"),
        (CLR_FD, "LOOP_CLR_FD"),
        (GET_STATUS64, "LOOP_GET_STATUS64"),
        (CONFIGURE, "LOOP_CONFIGURE"),
        (CTL_GET_FREE, "LOOP_CTL_GET_FREE"),
        (CLOSE_RANGE_UNSHARE as u32, "CLOSE_RANGE_UNSHARE"),
    ] {
        facts.push((c.to_owned(), u64::from(value)));
    }
    facts
}

#[test]
fn every_number_and_offset_is_that_of_the_systems_header() {
    crate::c_header::compare("linux/loop.h", &["linux/close_range.h"], &facts());
}
