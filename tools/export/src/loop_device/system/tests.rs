//! Compares every number and every offset with the header of the machine that runs the test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const HEADER: &str = "/usr/include/linux/loop.h";

/// A C expression and what it is here.
type Fact = (String, u64);

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

fn program(facts: &[Fact]) -> String {
    let lines = facts
        .iter()
        .map(|(c, _)| format!("    printf(\"%llu\\n\", (unsigned long long)({c}));\n"));
    format!(
        "#include <linux/close_range.h>\n#include <linux/loop.h>\n#include <stddef.h>\n\
         #include <stdio.h>\nint main(void) {{\n{}    return 0;\n}}\n",
        lines.collect::<String>()
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
fn every_number_and_offset_is_that_of_the_systems_header() {
    if !Path::new(HEADER).exists() {
        return skip("there is no such file");
    }
    let facts = facts();
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
    let mut source = compiler.stdin.take().unwrap();
    source.write_all(program(&facts).as_bytes()).unwrap();
    drop(source);
    assert!(compiler.wait().unwrap().success(), "cc failed");
    let output = Command::new(&binary).output().unwrap();
    assert!(output.status.success());
    let values = String::from_utf8(output.stdout).unwrap();
    let values: Vec<u64> = values.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(values.len(), facts.len());
    for ((expression, ours), theirs) in facts.iter().zip(values) {
        assert_eq!(*ours, theirs, "{expression}");
    }
}
