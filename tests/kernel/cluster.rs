//! OCFS2, a file system for several hosts at once, on a disk that two guests have by
//! `fwshare login --shared`, with the kernel's own cluster stack (o2cb) between them: heartbeats
//! on the disk, locks over the network.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fwlab::vm::{Guest, GuestSpec, Running};
use fwshare_tests::{Guests, InGuest, PRELUDE, Said, judge, pattern};

use crate::disk;
use crate::login::{LOGIN, LOGOUT, with_fwshare};

/// How long a step may take.
const STEP: Duration = Duration::from_secs(240);
/// How often each guest takes the lock.
const TURNS: usize = 20;
/// Files that a guest has made safe on the disk before its plug is pulled.
const SAFE: usize = 12;
/// Bytes of the file that goes from each guest to the other.
const LENGTH: usize = 4 << 20;

/// Who is in the cluster, as o2cb wants it told.
const CLUSTER: &str = "cluster:
\tname = fwshare
\tnode_count = 2
\theartbeat_mode = local

node:
\tname = guest1
\tcluster = fwshare
\tnumber = 1
\tip_address = 10.87.0.1
\tip_port = 7777

node:
\tname = guest2
\tcluster = fwshare
\tnumber = 2
\tip_address = 10.87.0.2
\tip_port = 7777
";

/// Joins the cluster and mounts the disk.
///
/// A guest whose heartbeat has not come to the disk for 16 s is dead to the other one, and ends
/// itself. It must be longer than what fwshare needs to be back after a bus reset.
const MOUNT: &str = "
o2cb register-cluster fwshare
echo 9 > /sys/kernel/config/cluster/fwshare/heartbeat/dead_threshold
echo 10000 > /sys/kernel/config/cluster/fwshare/idle_timeout_ms
mkdir -p /mnt
mount.ocfs2 /dev/nbd0 /mnt
mkdir /mnt/$(hostname)
";

/// Takes the lock many times, and each time adds one to a number and a line to a list; and tries to
/// be the first to make a folder, and says when it was. Does not begin before the other one is there.
const CONTEND: &str = r#"
me=$(hostname)
touch /mnt/$me/ready
await 60 test -e /mnt/guest1/ready
await 60 test -e /mnt/guest2/ready
turn=0
while [ $turn -lt $TURNS ]; do
  turn=$((turn + 1))
  ! mkdir /mnt/race/$turn 2> /dev/null || echo "$turn"
  (
    flock 9
    number=$(cat /mnt/number)
    echo $((number + 1)) > /mnt/number
    echo "$me $turn" >> /mnt/list
  ) 9> /mnt/lock
done
"#;

/// Writes file after file, and says so of each that is safe on the disk. Ends when it is told to.
const WRITE: &str = r#"
me=$(hostname)
file=0
until [ -e /tmp/enough ]; do
  file=$((file + 1))
  dd if=/host/guest1.data of=/mnt/$me/$file bs=64k count=1 skip=$((file % 64)) conv=fsync 2> /dev/null
  echo "$file"
done
"#;

/// Compares them, as many as it says.
const COMPARE: &str = r#"
compare() {
  local file=0
  while [ $file -lt $2 ]; do
    file=$((file + 1))
    dd if=/host/guest1.data bs=64k count=1 skip=$((file % 64)) > /tmp/expected 2> /dev/null
    cmp /tmp/expected /mnt/$1/$file
  done
}
"#;

fn member(guests: &Guests, number: u8, cluster: &Path) -> GuestSpec {
    let programs = [
        "mkfs.ocfs2",
        "mount.ocfs2",
        "ocfs2_hb_ctl",
        "o2cb",
        "flock",
        "cmp",
        "dd",
    ];
    let spec = with_fwshare(guests.spec(number));
    programs
        .into_iter()
        .fold(spec, |spec, program| spec.program(program))
        .module("ocfs2")
        .module("ocfs2_stack_o2cb")
        .file(cluster, Path::new("/etc/ocfs2/cluster.conf"))
}

/// Two guests with OCFS2 on one disk, who have each other's data in their `/host`.
fn cluster(guests: &Guests, folder: &Path) -> [Guest; 2] {
    let file = folder.join("cluster.conf");
    std::fs::write(&file, CLUSTER).expect("a file");
    let members =
        [1, 2].map(|number| Guest::launch(&member(guests, number, &file)).expect("a guest"));
    for guest in &members {
        guest.wait_until_up().expect("up");
        for (name, seed) in [("guest1.data", 1), ("guest2.data", 2)] {
            let data = pattern(LENGTH, seed);
            std::fs::write(guest.folder().join(name), data).expect("the data");
        }
    }
    both(&members, LOGIN);
    members[0].sh("mkfs.ocfs2 -q -N 2 -b 4096 -C 4096 -J size=4M /dev/nbd0");
    both(&members, MOUNT);
    members
}

/// Runs the same in both guests at the same time; what each of them says.
#[track_caller]
fn both(members: &[Guest; 2], script: &str) -> [String; 2] {
    let script = format!("{PRELUDE}{script}");
    let running = members
        .each_ref()
        .map(|guest| guest.spawn(&script).expect("a command"));
    running.map(|running| {
        let output = running.wait(STEP).expect("an end");
        assert_eq!(output.status, 0, "{script}\nsaid {}", output.text);
        output.text
    })
}

/// What one writes the other reads, also where it has read before.
fn exchange(members: &[Guest; 2]) {
    let [one, other] = members;
    one.sh("dd if=/host/guest1.data of=/mnt/guest1/data bs=64k");
    other.sh("cmp /host/guest1.data /mnt/guest1/data
         dd if=/host/guest2.data of=/mnt/guest2/data bs=64k");
    one.sh("cmp /host/guest2.data /mnt/guest2/data");
    other.sh("dd if=/host/guest2.data of=/mnt/guest1/data bs=64k count=8 seek=16 conv=notrunc");
    let mut expected = pattern(LENGTH, 1);
    let (from, length) = (16 << 16, 8 << 16);
    expected[from..from + length].copy_from_slice(&pattern(LENGTH, 2)[..length]);
    std::fs::write(one.folder().join("expected"), expected).expect("the data");
    one.sh("cmp /host/expected /mnt/guest1/data");
}

/// Nothing that is done under a lock is lost, and of two who make the same folder one is told that
/// it is there.
///
/// Appending without a lock is not asked for: the kernel's OCFS2 takes the end of the file for
/// `O_APPEND` before it has the cluster's lock (`generic_write_checks` in `ocfs2_file_write_iter`),
/// so that one of two lines is lost. Nor is creating a file, which answers `EEXIST` to the second
/// of two also without `O_EXCL`.
fn contend(members: &[Guest; 2]) {
    members[0].sh("mkdir /mnt/race; touch /mnt/lock /mnt/list; echo 0 > /mnt/number");
    let won = both(members, &CONTEND.replace("$TURNS", &TURNS.to_string()));
    let turns: BTreeSet<_> = (1..=TURNS).map(|turn| turn.to_string()).collect();
    let winners: Vec<_> = won.iter().flat_map(|won| won.lines()).collect();
    assert_eq!(winners.len(), TURNS, "{won:?}");
    assert!(
        turns.iter().all(|turn| winners.contains(&turn.as_str())),
        "{won:?}"
    );

    let expected: BTreeSet<_> = ["guest1", "guest2"]
        .iter()
        .flat_map(|guest| turns.iter().map(move |turn| format!("{guest} {turn}")))
        .collect();
    let [list, same] = both(members, "cat /mnt/list");
    assert_eq!(list, same);
    let lines: Vec<_> = list.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2 * TURNS, "{list}");
    assert_eq!(lines.iter().cloned().collect::<BTreeSet<_>>(), expected);
    let number = format!("{}\n", 2 * TURNS);
    assert_eq!(both(members, "cat /mnt/number"), [number.clone(), number]);
    let changes = lines
        .windows(2)
        .filter(|pair| pair[0][..6] != pair[1][..6])
        .count();
    assert!(changes > 2, "they did not contend: {list}");
}

/// Waits until it has made so many files safe; how many it has.
fn written(writer: &Running<'_>, at_least: usize) -> usize {
    let start = Instant::now();
    loop {
        let text = writer.text();
        let count = text.matches('\n').count();
        if count >= at_least {
            return count;
        }
        assert!(start.elapsed() < STEP, "{count} files: {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What `fsck.ocfs2 -fn` found. Its exit code is 0 and its passes have succeeded also where it
/// would have had to mend something, which it asks about and answers with no.
fn is_clean(fsck: &Said) -> bool {
    let (stdout, stderr) = (&fsck.stdout, &fsck.stderr);
    stdout.contains("All passes succeeded")
        && !stdout.contains("Skipping journal replay")
        && !stdout.lines().any(|line| line.ends_with("? n"))
        && stderr
            .lines()
            .all(|line| line.is_empty() || line.starts_with("fsck.ocfs2 "))
}

#[test]
fn a_cluster_file_system_outlives_one_of_its_two_hosts() {
    let Some(fsck) = judge("fsck.ocfs2") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.img");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(256 << 20).expect("its size");
    let Some(guests) = Guests::new(&[&disk::bridge("oxfw911", &image)]) else {
        return;
    };
    let members = cluster(&guests, folder.path());
    exchange(&members);
    contend(&members);

    // The first one is harder to do without: had both only lost their network, o2cb would have the
    // second one end itself.
    let [first, second] = members;
    let script = format!("{PRELUDE}{WRITE}");
    let dying = first.spawn(&script).expect("a command");
    let living = second.spawn(&script).expect("a command");
    written(&living, SAFE);
    let safe = written(&dying, SAFE);
    first.kill();
    let start = Instant::now();
    // This has to wait for the locks that the dead one had, and then for what its journal says.
    second.sh(&format!("{COMPARE}compare guest1 {safe}"));
    println!("recovered after {:.1} s", start.elapsed().as_secs_f32());
    let log = second.sh("dmesg | grep -E 'o2cb|o2dlm|ocfs2'");
    for expected in [
        "o2dlm has evicted node 1",
        "Begin replay journal (node 1",
        "End replay journal (node 1",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    let count = written(&living, 0);
    written(&living, count + SAFE);
    second.sh("touch /tmp/enough");
    let output = living.wait(STEP).expect("an end");
    assert_eq!(output.status, 0, "{}", output.text);
    let count = output.text.lines().count();
    second.sh(&format!(
        "{COMPARE}
         cp /host/guest2.data /mnt/guest1/after
         umount /mnt
         mount.ocfs2 /dev/nbd0 /mnt
         compare guest1 {safe}
         compare guest2 {count}
         cmp /host/guest2.data /mnt/guest1/after
         umount /mnt"
    ));
    let errors = second.sh("dmesg | grep -iE 'I/O error|blk_update_request' || true");
    assert_eq!(errors, "", "the kernel's log");
    let said = second.sh(LOGOUT);
    assert!(said.contains("logged out"), "{said}");
    second.power_off().expect("an end in good order");

    let shown = guests.show();
    let bridge = shown.nodes.iter().find_map(|node| node.bridge.as_ref());
    let bridge = bridge.expect("the bridge");
    assert_eq!((bridge.logins, bridge.logins_refused), (2, 0), "{bridge:?}");
    let said = fsck.run([Path::new("-fn"), &image]);
    assert!(is_clean(&said), "{said}");
}
