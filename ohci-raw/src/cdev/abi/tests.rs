//! Compares every number and every offset with the header of the machine that runs the test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const HEADER: &str = "/usr/include/linux/firewire-cdev.h";

/// A C expression and what it is here.
type Fact = (String, u64);

macro_rules! layout {
    ($facts:ident: $($rust:ident = $c:literal $size:literal { $($field:ident = $c_field:literal),* })*) => {$(
        $facts.push((format!("sizeof(struct {})", $c), $size));
        $($facts.push((
            format!("offsetof(struct {}, {})", $c, $c_field),
            offset_of!($rust, $field) as u64,
        ));)*
    )*};
}

macro_rules! values {
    ($facts:ident: $($value:expr => $c:literal)*) => {
        $($facts.push(($c.to_owned(), u64::from($value)));)*
    };
}

/// What the header of every supported kernel has.
fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    layout! { facts:
        GetInfo = "fw_cdev_get_info" 40 {
            version = "version", rom_length = "rom_length", rom = "rom", bus_reset = "bus_reset",
            bus_reset_closure = "bus_reset_closure", card = "card"
        }
        SendRequest = "fw_cdev_send_request" 40 {
            tcode = "tcode", length = "length", offset = "offset", closure = "closure",
            data = "data", generation = "generation"
        }
        SendResponse = "fw_cdev_send_response" 24 {
            rcode = "rcode", length = "length", data = "data", handle = "handle"
        }
        Allocate = "fw_cdev_allocate" 32 {
            offset = "offset", closure = "closure", length = "length", handle = "handle",
            region_end = "region_end"
        }
        Deallocate = "fw_cdev_deallocate" 4 { handle = "handle" }
        InitiateBusReset = "fw_cdev_initiate_bus_reset" 4 { reset_type = "type" }
        AddDescriptor = "fw_cdev_add_descriptor" 24 {
            immediate = "immediate", key = "key", data = "data", length = "length",
            handle = "handle"
        }
        GetCycleTimer2 = "fw_cdev_get_cycle_timer2" 24 {
            tv_sec = "tv_sec", tv_nsec = "tv_nsec", clk_id = "clk_id", cycle_timer = "cycle_timer"
        }
        BusResetEvent = "fw_cdev_event_bus_reset" 40 {
            closure = "closure", event_type = "type", node_id = "node_id",
            local_node_id = "local_node_id", bm_node_id = "bm_node_id",
            irm_node_id = "irm_node_id", root_node_id = "root_node_id", generation = "generation"
        }
        ResponseEvent = "fw_cdev_event_response" 24 {
            closure = "closure", event_type = "type", rcode = "rcode", length = "length"
        }
        RequestEvent = "fw_cdev_event_request" 32 {
            closure = "closure", event_type = "type", tcode = "tcode", offset = "offset",
            handle = "handle", length = "length"
        }
        Request2Event = "fw_cdev_event_request2" 48 {
            closure = "closure", event_type = "type", tcode = "tcode", offset = "offset",
            source_node_id = "source_node_id", destination_node_id = "destination_node_id",
            card = "card", generation = "generation", handle = "handle", length = "length"
        }
    }
    for (c, size) in [
        ("response", size_of::<ResponseEvent>()),
        ("request", size_of::<RequestEvent>()),
        ("request2", size_of::<Request2Event>()),
    ] {
        facts.push((
            format!("offsetof(struct fw_cdev_event_{c}, data)"),
            size as u64,
        ));
    }
    values! { facts:
        number::GET_INFO => "FW_CDEV_IOC_GET_INFO"
        number::SEND_REQUEST => "FW_CDEV_IOC_SEND_REQUEST"
        number::ALLOCATE => "FW_CDEV_IOC_ALLOCATE"
        number::DEALLOCATE => "FW_CDEV_IOC_DEALLOCATE"
        number::SEND_RESPONSE => "FW_CDEV_IOC_SEND_RESPONSE"
        number::INITIATE_BUS_RESET => "FW_CDEV_IOC_INITIATE_BUS_RESET"
        number::ADD_DESCRIPTOR => "FW_CDEV_IOC_ADD_DESCRIPTOR"
        number::REMOVE_DESCRIPTOR => "FW_CDEV_IOC_REMOVE_DESCRIPTOR"
        number::GET_SPEED => "FW_CDEV_IOC_GET_SPEED"
        number::SEND_BROADCAST_REQUEST => "FW_CDEV_IOC_SEND_BROADCAST_REQUEST"
        number::GET_CYCLE_TIMER2 => "FW_CDEV_IOC_GET_CYCLE_TIMER2"
        event_type::BUS_RESET => "FW_CDEV_EVENT_BUS_RESET"
        event_type::RESPONSE => "FW_CDEV_EVENT_RESPONSE"
        event_type::REQUEST => "FW_CDEV_EVENT_REQUEST"
        event_type::ISO_INTERRUPT => "FW_CDEV_EVENT_ISO_INTERRUPT"
        event_type::ISO_RESOURCE_ALLOCATED => "FW_CDEV_EVENT_ISO_RESOURCE_ALLOCATED"
        event_type::ISO_RESOURCE_DEALLOCATED => "FW_CDEV_EVENT_ISO_RESOURCE_DEALLOCATED"
        event_type::REQUEST2 => "FW_CDEV_EVENT_REQUEST2"
        event_type::PHY_PACKET_SENT => "FW_CDEV_EVENT_PHY_PACKET_SENT"
        event_type::PHY_PACKET_RECEIVED => "FW_CDEV_EVENT_PHY_PACKET_RECEIVED"
        event_type::ISO_INTERRUPT_MULTICHANNEL => "FW_CDEV_EVENT_ISO_INTERRUPT_MULTICHANNEL"
        reset_type::LONG => "FW_CDEV_LONG_RESET"
        reset_type::SHORT => "FW_CDEV_SHORT_RESET"
        tcode::WRITE_QUADLET => "TCODE_WRITE_QUADLET_REQUEST"
        tcode::WRITE_BLOCK => "TCODE_WRITE_BLOCK_REQUEST"
        tcode::READ_QUADLET => "TCODE_READ_QUADLET_REQUEST"
        tcode::READ_BLOCK => "TCODE_READ_BLOCK_REQUEST"
        tcode::LOCK => "TCODE_LOCK_REQUEST"
        tcode::LOCK_MASK_SWAP => "TCODE_LOCK_MASK_SWAP"
        tcode::LOCK_FETCH_ADD => "TCODE_LOCK_FETCH_ADD"
        tcode::LOCK_LITTLE_ADD => "TCODE_LOCK_LITTLE_ADD"
        tcode::LOCK_VENDOR => "TCODE_LOCK_VENDOR_DEPENDENT"
    }
    facts
}

/// What headers have since Linux 6.5.
fn facts_of_version_6() -> Vec<Fact> {
    let mut facts = Vec::new();
    layout! { facts:
        Response2Event = "fw_cdev_event_response2" 32 {
            rcode = "rcode", length = "length", request_tstamp = "request_tstamp",
            response_tstamp = "response_tstamp"
        }
        Request3Event = "fw_cdev_event_request3" 56 {
            tcode = "tcode", offset = "offset", source_node_id = "source_node_id",
            destination_node_id = "destination_node_id", card = "card",
            generation = "generation", handle = "handle", length = "length", tstamp = "tstamp"
        }
    }
    for (c, size) in [
        ("response2", size_of::<Response2Event>()),
        ("request3", size_of::<Request3Event>()),
    ] {
        facts.push((
            format!("offsetof(struct fw_cdev_event_{c}, data)"),
            size as u64,
        ));
    }
    values! { facts:
        event_type::REQUEST3 => "FW_CDEV_EVENT_REQUEST3"
        event_type::RESPONSE2 => "FW_CDEV_EVENT_RESPONSE2"
        event_type::PHY_PACKET_SENT2 => "FW_CDEV_EVENT_PHY_PACKET_SENT2"
        event_type::PHY_PACKET_RECEIVED2 => "FW_CDEV_EVENT_PHY_PACKET_RECEIVED2"
    }
    facts
}

fn program(always: &[Fact], version_6: &[Fact]) -> String {
    let print = |facts: &[Fact]| -> String {
        facts
            .iter()
            .map(|(c, _)| format!("    printf(\"%llu\\n\", (unsigned long long)({c}));\n"))
            .collect()
    };
    format!(
        "#include <linux/firewire-cdev.h>\n#include <stddef.h>\n#include <stdio.h>\n\
         int main(void) {{\n{}#ifdef FW_CDEV_EVENT_REQUEST3\n{}#endif\n    return 0;\n}}\n",
        print(always),
        print(version_6)
    )
}

/// Says on the terminal what was not tested. The test harness swallows `eprintln!`.
fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}, and this is CI");
    writeln!(
        std::io::stderr(),
        "skipped: comparison with {HEADER}: {what}"
    )
    .unwrap();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn every_number_and_offset_is_that_of_the_systems_header() {
    if !Path::new(HEADER).exists() {
        return skip("there is no such file");
    }
    let (always, version_6) = (facts(), facts_of_version_6());
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("facts");
    let compiler = Command::new("cc")
        .args(["-x", "c", "-", "-o"])
        .arg(&binary)
        .stdin(Stdio::piped())
        .spawn();
    let mut compiler = match compiler {
        Ok(compiler) => compiler,
        Err(error) => return skip(&format!("cc: {error}")),
    };
    compiler
        .stdin
        .take()
        .unwrap()
        .write_all(program(&always, &version_6).as_bytes())
        .unwrap();
    assert!(compiler.wait().unwrap().success(), "cc failed");

    let output = Command::new(&binary).output().unwrap();
    assert!(output.status.success());
    let values: Vec<u64> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    if values.len() == always.len() {
        writeln!(
            std::io::stderr(),
            "skipped: {} facts of version 6: {HEADER} is older than Linux 6.5",
            version_6.len()
        )
        .unwrap();
    } else {
        assert_eq!(values.len(), always.len() + version_6.len());
    }
    for ((expression, ours), theirs) in always.iter().chain(&version_6).zip(values) {
        assert_eq!(*ours, theirs, "{expression}");
    }
}
