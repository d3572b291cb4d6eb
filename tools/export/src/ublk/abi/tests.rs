//! Compares every number and every offset with the header of the machine that runs the test, as
//! far as that has it.

use super::*;
use crate::c_header;

const HEADER: &str = "linux/ublk_cmd.h";

/// What a header has that is as new as Linux 6.5.
const NEW: &str = "UBLK_U_CMD_GET_FEATURES";

/// A C expression, a macro without which the header does not have it, and what it is here.
struct Fact {
    c: String,
    needs: Option<String>,
    value: u64,
}

impl Fact {
    fn always(c: impl Into<String>, value: impl Into<u64>) -> Self {
        let (c, value) = (c.into(), value.into());
        let needs = None;
        Self { c, needs, value }
    }

    fn number(c: &str, value: impl Into<u64>) -> Self {
        let needs = Some(c.to_owned());
        Self {
            needs,
            ..Self::always(c, value)
        }
    }
}

macro_rules! layout {
    ($facts:ident: $($rust:ident = $c:literal, $needs:expr => {
        $($field:ident = $c_field:literal),*
    })*) => {$(
        $($facts.push(Fact {
            c: format!("offsetof(struct {}, {})", $c, $c_field),
            needs: $needs.map(str::to_owned),
            value: offset_of!($rust, $field) as u64,
        });)*
    )*};
}

fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    layout! { facts:
        Control = "ublksrv_ctrl_cmd", None::<&str> => {
            number = "dev_id", queue = "queue_id", length = "len", address = "addr", data = "data"
        }
        Control = "ublksrv_ctrl_cmd", Some(NEW) => {
            path_length = "dev_path_len", padding = "pad", reserved = "reserved"
        }
        Info = "ublksrv_ctrl_dev_info", None::<&str> => {
            queues = "nr_hw_queues", depth = "queue_depth", state = "state",
            max_request = "max_io_buf_bytes", number = "dev_id", pid = "ublksrv_pid",
            flags = "flags", server_flags = "ublksrv_flags", reserved1 = "reserved1",
            reserved2 = "reserved2"
        }
        Info = "ublksrv_ctrl_dev_info", Some(NEW) => { uid = "owner_uid", gid = "owner_gid" }
        Descriptor = "ublksrv_io_desc", None::<&str> => {
            operation = "op_flags", sectors = "nr_sectors", start = "start_sector",
            address = "addr"
        }
        Io = "ublksrv_io_cmd", None::<&str> => {
            queue = "q_id", tag = "tag", result = "result", address = "addr"
        }
        Basic = "ublk_param_basic", None::<&str> => {
            attributes = "attrs", logical_shift = "logical_bs_shift",
            physical_shift = "physical_bs_shift", optimal_shift = "io_opt_shift",
            minimal_shift = "io_min_shift", max_sectors = "max_sectors",
            chunk_sectors = "chunk_sectors", sectors = "dev_sectors",
            boundary_mask = "virt_boundary_mask"
        }
        Discard = "ublk_param_discard", None::<&str> => {
            alignment = "discard_alignment", granularity = "discard_granularity",
            max_sectors = "max_discard_sectors",
            max_write_zeroes_sectors = "max_write_zeroes_sectors",
            max_segments = "max_discard_segments", reserved = "reserved0"
        }
        Parameters = "ublk_params", None::<&str> => {
            length = "len", types = "types", basic = "basic", discard = "discard"
        }
    }
    for (name, size) in [
        ("ublksrv_ctrl_cmd", size_of::<Control>()),
        ("ublksrv_ctrl_dev_info", size_of::<Info>()),
        ("ublksrv_io_desc", size_of::<Descriptor>()),
        ("ublksrv_io_cmd", size_of::<Io>()),
        ("ublk_param_basic", size_of::<Basic>()),
        ("ublk_param_discard", size_of::<Discard>()),
    ] {
        facts.push(Fact::always(format!("sizeof(struct {name})"), size as u64));
    }
    for (c, value) in [
        ("UBLK_CMD_GET_DEV_INFO", GET_DEV_INFO),
        ("UBLK_CMD_ADD_DEV", ADD_DEV),
        ("UBLK_CMD_DEL_DEV", DEL_DEV),
        ("UBLK_CMD_START_DEV", START_DEV),
        ("UBLK_CMD_STOP_DEV", STOP_DEV),
        ("UBLK_CMD_SET_PARAMS", SET_PARAMS),
        ("UBLK_CMD_GET_PARAMS", GET_PARAMS),
        ("UBLK_CMD_START_USER_RECOVERY", START_USER_RECOVERY),
        ("UBLK_CMD_END_USER_RECOVERY", END_USER_RECOVERY),
        ("UBLK_IO_FETCH_REQ", FETCH_REQ),
        ("UBLK_IO_COMMIT_AND_FETCH_REQ", COMMIT_AND_FETCH_REQ),
    ] {
        facts.push(Fact::always(c, value & 0xff));
        facts.push(Fact::number(&c.replacen("_", "_U_", 1), value));
    }
    for (c, value) in [
        ("UBLK_U_CMD_GET_FEATURES", GET_FEATURES),
        ("UBLK_U_CMD_TRY_STOP_DEV", TRY_STOP_DEV),
        ("UBLK_ATTR_READ_ONLY", READ_ONLY),
        ("UBLK_ATTR_VOLATILE_CACHE", VOLATILE_CACHE),
        ("UBLK_ATTR_FUA", FUA),
        ("UBLK_PARAM_TYPE_BASIC", PARAM_BASIC),
        ("UBLK_PARAM_TYPE_DISCARD", PARAM_DISCARD),
        ("UBLK_IO_F_FUA", IO_FUA),
        ("UBLK_TAG_OFF", TAG_OFF),
        ("UBLK_S_DEV_DEAD", DEV_DEAD.into()),
        ("UBLK_IO_OP_READ", OP_READ.into()),
        ("UBLK_IO_OP_WRITE", OP_WRITE.into()),
        ("UBLK_IO_OP_FLUSH", OP_FLUSH.into()),
        ("UBLK_IO_OP_WRITE_ZEROES", OP_WRITE_ZEROES.into()),
        ("UBLK_IO_RES_OK", RES_OK.unsigned_abs()),
    ] {
        facts.push(Fact::number(c, value));
    }
    for (c, value) in [
        ("UBLK_F_USER_RECOVERY", USER_RECOVERY),
        ("UBLK_F_USER_RECOVERY_REISSUE", USER_RECOVERY_REISSUE),
        ("UBLK_F_CMD_IOCTL_ENCODE", CMD_IOCTL_ENCODE),
        ("UBLK_F_USER_COPY", USER_COPY),
        ("UBLK_F_SAFE_STOP_DEV", SAFE_STOP_DEV),
        ("UBLKSRV_IO_BUF_OFFSET", IO_BUF_OFFSET),
    ] {
        facts.push(Fact::number(c, value));
    }
    facts.push(Fact::always(
        "-(UBLK_IO_RES_ABORT)",
        RES_ABORT.unsigned_abs(),
    ));
    facts
}

/// What prints a line for each of them.
fn body(facts: &[Fact]) -> String {
    let lines = facts.iter().map(|Fact { c, needs, .. }| {
        let printed = format!("printf(\"%llu\\n\", (unsigned long long)({c}));\n");
        match needs {
            None => printed,
            Some(needs) => format!("#ifdef {needs}\n{printed}#else\nputs(\"-\");\n#endif\n"),
        }
    });
    lines.collect()
}

#[test]
fn every_number_and_offset_is_that_of_the_systems_header() {
    let facts = facts();
    let others = ["errno.h", "linux/ioctl.h"];
    let Some(values) = c_header::said(HEADER, &others, &body(&facts)) else {
        return;
    };
    assert_eq!(values.len(), facts.len());
    let mut missing = 0;
    for (fact, theirs) in facts.iter().zip(&values) {
        if theirs == "-" {
            missing += 1;
        } else {
            assert_eq!(&fact.value.to_string(), theirs, "{}", fact.c);
        }
    }
    if missing > 0 {
        let all = facts.len();
        c_header::tell(HEADER, &format!("it is older than {missing} of {all}"));
    }
}

/// Headers older than Linux 6.5 do not have these.
#[test]
fn commands_are_encoded_as_ioctls_are() {
    for (command, number) in [
        (ADD_DEV, 0xc020_7504),
        (GET_DEV_INFO, 0x8020_7502),
        (GET_FEATURES, 0x8020_7513),
        (TRY_STOP_DEV, 0xc020_7517),
        (FETCH_REQ, 0xc010_7520),
        (COMMIT_AND_FETCH_REQ, 0xc010_7521),
    ] {
        assert_eq!(command, number);
    }
}
