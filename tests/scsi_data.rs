//! What the emulated disk says of itself, read by the tools that read real disks: `sg_inq`,
//! `sg_vpd` and `sg_decode_sense` of sg3_utils, and `sdparm` for mode pages.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use ohci_raw::bus::Eui64;
use sbp2::scsi::{
    AdditionalSense, Cdb, Completion, DeviceServer, DeviceType, Execution, Identity, MemoryMedium,
    ModePageSelect, Nexus, Sense, Text, UnitAttention, mode_page, read_blocks, write_blocks,
};

/// Runs a judge with `input` on its standard input and returns what it prints. `None` if it is
/// not installed, which is an error where the environment has `CI` set.
fn judge(tool: &str, arguments: &[&str], input: &str) -> Option<String> {
    let spawned = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
            eprintln!("SKIPPED: {tool} is not installed");
            return None;
        }
        Err(error) => panic!("{tool}: {error}"),
    };
    let mut stdin = child.stdin.take().expect("stdin is piped");
    match stdin.write_all(input.as_bytes()) {
        // A tool that takes its data from the command line need not read.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{tool}: {error}"),
        _ => drop(stdin),
    }
    let output = child.wait_with_output().expect("the judge ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {text}{errors}");
    Some(text)
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands `data` in hexadecimal to a judge; all of `expected` must be among the lines it prints,
/// compared word by word.
fn judged(tool: &str, arguments: &[&str], data: &[u8], expected: &[&str]) {
    let Some(text) = judge(tool, arguments, &hex(data).join(" ")) else {
        return;
    };
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = text.lines().map(words).collect();
    for line in expected {
        assert!(
            lines.iter().any(|printed| printed == line),
            "{tool} does not say {line:?}:\n{text}"
        );
    }
}

/// The same for sense data, which `sg_decode_sense` takes from its command line.
fn sense_judged(bytes: &[u8], expected: &[&str]) {
    let bytes = hex(bytes);
    let arguments: Vec<_> = bytes.iter().map(String::as_str).collect();
    judged("sg_decode_sense", &arguments, &[], expected);
}

fn disk(device_type: DeviceType, read_only: bool) -> DeviceServer {
    let medium = MemoryMedium::new(2048, 0x1234)
        .expect("a size that disks have")
        .with_read_only(read_only);
    let identity = Identity {
        vendor: Text::new("OXFORD").expect("it fits"),
        product: Text::new("IDE Device").expect("it fits"),
        revision: Text::new("0037").expect("it fits"),
        serial: Text::new("WD-WCAL1234").expect("it fits"),
        eui64: Eui64(0x0030_e001_0203_0405),
        device_type,
        version: 4,
        vital_product_data: true,
        fua: true,
        write_cache: true,
        long_commands: true,
        lun: 0,
        luns: vec![0],
    };
    DeviceServer::new(identity, Box::new(medium))
}

fn data(disk: &mut DeviceServer, cdb: Cdb) -> Vec<u8> {
    match disk.execute(&mut Nexus::new(), cdb.encode().padded()) {
        Execution::DataIn(data) => data,
        other => panic!("{cdb:?}: {other:?}"),
    }
}

/// The sense data of a refused command, as an initiator has it: through the status block.
fn sense(disk: &mut DeviceServer, nexus: &mut Nexus, cdb: &[u8]) -> Sense {
    let Execution::Complete(completion) = disk.execute(nexus, cdb) else {
        panic!("{cdb:02x?} was not refused");
    };
    let block = completion.to_status_block().expect("not good");
    Completion::from_status_block(&block)
        .expect("a known format")
        .sense
        .expect("sense data")
}

fn vital_product_data(page_code: u8) -> Cdb {
    Cdb::Inquiry {
        vital_product_data: true,
        page_code,
        allocation_length: 252,
    }
}

#[test]
fn sg_inq_reads_what_the_disk_is() {
    for (device_type, name) in [
        (DeviceType::DISK, "disk"),
        (
            DeviceType::SIMPLIFIED_DISK,
            "simplified direct access device",
        ),
    ] {
        let inquiry = Cdb::Inquiry {
            vital_product_data: false,
            page_code: 0,
            allocation_length: 36,
        };
        judged(
            "sg_inq",
            &["--inhex=-"],
            &data(&mut disk(device_type, false), inquiry),
            &[
                &format!("length=36 (0x24) Peripheral device type: {name}"),
                "Vendor identification: OXFORD",
                "Product identification: IDE Device",
                "Product revision level: 0037",
                "[AERC=0] [TrmTsk=0] NormACA=0 HiSUP=0 Resp_data_format=2",
            ],
        );
    }
}

#[test]
fn sg_vpd_reads_its_names() {
    let mut disk = disk(DeviceType::SIMPLIFIED_DISK, false);
    judged(
        "sg_vpd",
        &["--inhex=-"],
        &data(&mut disk, vital_product_data(0x00)),
        &[
            "Supported VPD pages [sv]",
            "Unit serial number [sn]",
            "Device identification [di]",
        ],
    );
    judged(
        "sg_vpd",
        &["--inhex=-"],
        &data(&mut disk, vital_product_data(0x80)),
        &["Unit serial number: WD-WCAL1234"],
    );
    judged(
        "sg_vpd",
        &["--inhex=-"],
        &data(&mut disk, vital_product_data(0x83)),
        &[
            "Addressed logical unit:",
            "designator type: T10 vendor identification, code set: ASCII",
            "vendor id: OXFORD",
            "vendor specific: IDE Device WD-WCAL1234",
            "designator type: EUI-64 based, code set: Binary",
            "0x0030e00102030405",
        ],
    );
}

#[test]
fn sg_decode_sense_reads_why_a_command_was_refused() {
    let mut nexus = Nexus::new();
    let mut disk = disk(DeviceType::DISK, true);
    let past_the_end = read_blocks(0x1230, 16).encode();
    let write = write_blocks(0, 1, false).encode();
    let relative = [0x28, 1, 0, 0, 0, 0, 0, 0, 1, 0];
    let unknown = [0xd8, 0, 0, 0, 0, 0];
    for (cdb, expected) in [
        (
            past_the_end.as_bytes(),
            &[
                "Fixed format, current; Sense key: Illegal Request",
                "Additional sense: Logical block address out of range",
                "Info fld=0x1234 [4660]",
            ][..],
        ),
        (
            write.as_bytes(),
            &[
                "Fixed format, current; Sense key: Data Protect",
                "Additional sense: Write protected",
            ],
        ),
        (
            &relative,
            &[
                "Additional sense: Invalid field in cdb",
                "Sense Key Specific: Error in Command: byte 1 bit 0",
            ],
        ),
        (
            &unknown,
            &["Additional sense: Invalid command operation code"],
        ),
    ] {
        sense_judged(&sense(&mut disk, &mut nexus, cdb).to_fixed(), expected);
    }
    for (attention, expected) in [
        (
            UnitAttention::PowerOn,
            "Additional sense: Power on, reset, or bus device reset occurred",
        ),
        (
            UnitAttention::Reset,
            "Additional sense: Bus device reset function occurred",
        ),
        (
            UnitAttention::CommandsCleared,
            "Additional sense: Commands cleared by another initiator",
        ),
        (
            UnitAttention::CapacityChanged,
            "Additional sense: Capacity data has changed",
        ),
    ] {
        nexus.establish_unit_attention(attention);
        let sense = sense(&mut disk, &mut nexus, &[0; 6]);
        let key = "Fixed format, current; Sense key: Unit Attention";
        sense_judged(&sense.to_fixed(), &[key, expected]);
    }
}

#[test]
fn each_name_of_a_sense_code_is_the_one_that_sg_decode_sense_knows() {
    for pair in 0..=u16::MAX {
        let [asc, ascq] = pair.to_be_bytes();
        let code = AdditionalSense::new(asc, ascq);
        let Some(name) = code.name() else { continue };
        let sense = Sense::new(sbp2::scsi::SenseKey::IllegalRequest, code);
        let bytes = hex(&sense.to_fixed());
        let arguments: Vec<_> = bytes.iter().map(String::as_str).collect();
        let Some(text) = judge("sg_decode_sense", &arguments, "") else {
            return;
        };
        let line = format!("additional sense: {}", name.to_lowercase());
        let said = text.to_lowercase().lines().any(|said| said == line);
        assert!(said, "{name}:\n{text}");
    }
}

#[test]
fn sdparm_reads_the_mode_pages_of_both_command_sets() {
    let pages = ModePageSelect {
        page: mode_page::ALL,
        ..ModePageSelect::default()
    };
    let six = Cdb::ModeSense6 {
        pages,
        allocation_length: 255,
    };
    let ten = Cdb::ModeSense10 {
        pages,
        long_lba_accepted: false,
        allocation_length: 255,
    };
    let mut sbc = disk(DeviceType::DISK, false);
    let caching = ["Caching (SBC) mode page:", "WCE 1", "RCD 0"];
    judged(
        "sdparm",
        &["--inhex=-", "--six", "--pdt=0"],
        &data(&mut sbc, six),
        &caching,
    );
    judged(
        "sdparm",
        &["--inhex=-", "--pdt=0"],
        &data(&mut sbc, ten),
        &caching,
    );
    let mut rbc = disk(DeviceType::SIMPLIFIED_DISK, true);
    let parameters = [
        "RBC device parameters (RBC) mode page:",
        "WCD 0",
        "LBS 2048",
        "NLBS 0x1234",
        "READD 0",
        "WRITED 1",
    ];
    judged(
        "sdparm",
        &["--inhex=-", "--six", "--pdt=14"],
        &data(&mut rbc, six),
        &parameters,
    );
    judged(
        "sdparm",
        &["--inhex=-", "--pdt=14"],
        &data(&mut rbc, ten),
        &parameters,
    );
}
