//! A login's loop device as udev itself deals with it: its daemon, the kernel's events, and blkid.
//!
//! The daemon is one of the test's own, with a `/run`, a `/dev` and rules of its own.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use fwshare_tests::{Judge, fwshare, judge, needs_fuse, needs_root, run, skipped};

/// Logs in to a disk with a member of an array on it. `$1` is a folder, `$2` the command, `$3` the
/// folder of the rules, `$4` udev's daemon. Prints what came of it as KEY=VALUE.
const SCRIPT: &str = r#"
within() {
  left=200
  until "$@"; do
    left=$((left - 1))
    [ $left -gt 0 ] || return 1
    sleep 0.05
  done
}
mkdir "$1/rules" "$1/dev" "$1/none"
cp /usr/lib/udev/rules.d/60-persistent-storage.rules "$3"/*.rules "$1/rules"
cat > "$1/rules/64-assembling.rules" <<END
KERNEL=="null", RUN+="/bin/touch /run/heard"
SUBSYSTEM=="block", ENV{ID_FS_TYPE}=="linux_raid_member", RUN+="/bin/touch /run/assembled"
END
mount -t tmpfs none /run
mount --bind "$1/rules" /usr/lib/udev/rules.d
[ ! -d /etc/udev/rules.d ] || mount --bind "$1/none" /etc/udev/rules.d
mount -t tmpfs none "$1/dev"
for node in null zero urandom fuse loop-control; do cp -a "/dev/$node" "$1/dev"; done
for number in $(seq 0 63); do mknod -m 600 "$1/dev/loop$number" b 7 "$number"; done
mount --move "$1/dev" /dev
"$4" --daemon --resolve-names=never 2> /dev/null
echo change > /sys/class/mem/null/uevent
within [ -e /run/heard ] || { echo "in vain=events of the kernel"; exit; }

# A member's superblock, of version 1.2: magic, version, UUID, and where it is.
put() { printf "$2" | dd of="$image" bs=1 seek="$1" conv=notrunc status=none; }
image=$1/image
truncate -s 16M "$image"
put 4096 '\374\116\053\251\001'
put 4112 '0123456789abcdef'
put 4240 '\010'

ready() { grep -q ready "$1/said"; }
login() {
  folder=$1
  command=$2
  shift 2
  "$command" login --shared --bus "emulated:image=$image,guid=00a0b0c0d0e0f000" "$@" \
    > "$folder/said" 2>&1 &
  login=$!
  within ready "$folder" || { cat "$folder/said"; exit 1; }
}
serve() { login "$1" "$2" --export "file:$1/disk,loop"; }
logout() {
  kill "$login"
  wait "$login" || { cat "$1/said"; exit 1; }
}
linked() { [ -b /dev/disk/by-id/firewire-00a0b0c0d0e0f000-0 ]; }
unlinked() { ! linked; }

serve "$@"
! within linked || echo linked=yes
udevadm settle
for file in /run/fwshare/devices/*; do
  udevadm info --query=property "/sys/block/${file##*/}"
done
logout "$1"
! within unlinked || echo unlinked=yes
udevadm settle

# One that is killed says nothing, and its device keeps its name until the next login.
serve "$@"
within linked
kill -KILL "$login"
wait "$login" || :
losetup --detach "/dev/$(ls /run/fwshare/devices)"
udevadm settle
! linked || echo left=yes
login "$1" "$2"
! within unlinked || echo tidied=yes
logout "$1"

[ ! -e /run/assembled ] || echo assembled=with
rm "$1/rules/60-zz-fwshare-disks.rules"
udevadm control --reload
serve "$@"
! within [ -e /run/assembled ] || echo assembled=without
logout "$1"
udevadm control --exit
"#;

/// udev's daemon. `None`: skip the test, the user has been told.
fn daemon() -> Option<&'static str> {
    let places = [
        "/usr/lib/systemd/systemd-udevd",
        "/lib/systemd/systemd-udevd",
    ];
    let found = places.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        skipped("needs systemd-udevd (Debian package udev)");
    }
    found
}

/// What the test needs. `None`: skip it, the user has been told.
fn needed() -> Option<(Judge, &'static str)> {
    judge("udevadm")?;
    judge("losetup")?;
    let unshare = judge("unshare")?;
    if !needs_root() || !needs_fuse() {
        return None;
    }
    if !Path::new("/dev/loop-control").exists() {
        skipped("needs /dev/loop-control (the kernel's loop driver)");
        return None;
    }
    Some((unshare, daemon()?))
}

#[test]
fn the_first_event_of_a_disk_finds_who_it_is_and_the_last_takes_its_name_away() {
    let Some((unshare, daemon)) = needed() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fwshare/system");
    let mut command = unshare.command();
    command.args(["--mount", "--propagation", "private"]);
    // Whatever happens, nothing of it outlives the shell.
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-euc",
        SCRIPT,
        "sh",
    ]);
    command.arg(folder.path()).arg(fwshare().get_program());
    command.arg(rules.canonicalize().unwrap()).arg(daemon);
    let said = run(&mut command, &[]);
    assert!(said.success(), "{said}");
    let has = |line: &str| said.stdout.lines().any(|found| found == line);
    if has("in vain=events of the kernel") {
        return skipped("needs the kernel's events");
    }
    for line in [
        "linked=yes",
        "FWSHARE_GUID=00a0b0c0d0e0f000",
        "ID_BUS=ieee1394",
        "FWSHARE_FS_TYPE=linux_raid_member",
        "ID_FS_TYPE=fwshare_hidden",
        "ID_FS_UUID=30313233-3435-3637-3839-616263646566",
        "unlinked=yes",
        "left=yes",
        "tidied=yes",
        "assembled=without",
    ] {
        assert!(has(line), "{line}: {said}");
    }
    assert!(!has("assembled=with"), "{said}");
}
