//! What the journal is told, where standard error is it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fwshare_tests::{Lab, run};

use crate::manager::Manager;
use crate::{BRIDGE, Running, login};

/// An entry's fields, as journald reads them.
fn fields(datagram: &[u8]) -> Vec<(String, String)> {
    let mut rest = datagram;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
                rest = after;
            }
            None => {
                let length = u64::from_le_bytes(after[..8].try_into().unwrap());
                let end = 8 + usize::try_from(length).unwrap();
                fields.push((text(line), text(&after[8..end])));
                assert_eq!(after[end], b'\n');
                rest = &after[end + 1..];
            }
        }
    }
    fields
}

fn with_journal(command: &mut Command, stderr: &Path, socket: &Path, is_journal: bool) {
    let file = File::create(stderr).unwrap();
    let metadata = file.metadata().unwrap();
    let inode = metadata.ino() + u64::from(!is_journal);
    command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()));
    command.env("FWSHARE_JOURNAL_SOCKET", socket);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
}

#[test]
fn the_journal_is_told_of_which_disk_and_generation_a_message_is() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let socket = lab.path("journal");
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal
        .set_read_timeout(Some(fwshare_tests::TIME_LIMIT))
        .unwrap();
    let manager = Manager::at(&lab.path("notify"));
    let mut command = login(&lab);
    command.arg("-v");
    manager.of(&mut command, None);
    with_journal(&mut command, &lab.path("stderr"), &socket, true);
    let service = Running(Some(command.spawn().unwrap()));
    manager.wait_for("READY=1");
    let generation = || lab.show()["generation"].as_u64().unwrap() & 0xff;
    let entry = |wanted: &str| {
        let mut buffer = [0; 1 << 16];
        loop {
            let length = journal.recv(&mut buffer).unwrap();
            let fields = fields(&buffer[..length]);
            let value = |name: &str| {
                let found = fields.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            if value("MESSAGE").contains(wanted) {
                return [
                    "PRIORITY",
                    "FWSHARE_GUID",
                    "FWSHARE_LUN",
                    "FWSHARE_GENERATION",
                    "SYSLOG_IDENTIFIER",
                ]
                .map(value);
            }
        }
    };
    let before = generation().to_string();
    let expected = |priority: &str, generation: &str| {
        [priority, "0030e000000001fa", "0", generation, "fwshare"].map(str::to_owned)
    };
    assert_eq!(entry("ready;"), expected("5", &before));
    lab.ctl(&["reset"]);
    let after = generation().to_string();
    assert_ne!(before, after);
    assert_eq!(
        entry("reconnected after a bus reset"),
        expected("6", &after)
    );
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(fs::read_to_string(lab.path("stderr")).unwrap(), "");
}

#[test]
fn a_variable_that_means_another_stream_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("journal");
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let stderr = folder.path().join("stderr");
    for is_journal in [false, true] {
        let mut command = fwshare_tests::fwshare();
        command
            .args(["scan", "--bus"])
            .arg(folder.path().join("none"));
        with_journal(&mut command, &stderr, &socket, is_journal);
        assert_eq!(command.status().unwrap().code(), Some(1));
        let heard = journal.recv(&mut [0; 4096]).is_ok();
        let said = fs::read_to_string(&stderr).unwrap().contains("cannot");
        assert_eq!((heard, said), (is_journal, !is_journal));
    }
    // A journal that is not there loses nothing.
    drop(journal);
    fs::remove_file(&socket).unwrap();
    let mut command = fwshare_tests::fwshare();
    command
        .args(["scan", "--bus"])
        .arg(folder.path().join("none"));
    command
        .env("JOURNAL_STREAM", "1:1")
        .env("FWSHARE_JOURNAL_SOCKET", &socket);
    assert!(run(&mut command, &[]).stderr.contains("cannot"));
}
