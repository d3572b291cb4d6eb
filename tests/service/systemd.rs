//! The unit under systemd itself: a manager of the test's own, in namespaces of its own, that knows
//! no other units.

use std::fs;
use std::path::Path;

use fwshare_tests::{Lab, Said, fwshare, judge, needs_root, run, skipped, units};

use crate::BRIDGE;

/// Has the manager run the steps, passes on what they say, and has all of it end with them. `$1` is
/// the test's folder, `$2` the manager, `$3` the steps, and the rest is for those.
///
/// The manager has a control group to itself, because it moves all processes that it finds in its
/// own, and makes groups in it.
const OUTSIDE: &str = r#"
mkfifo "$1/said"
mkdir "$1/groups"
mount -t cgroup2 none "$1/groups"
group=$1/groups$(sed -n 's/^0:://p' /proc/self/cgroup)/fwshare-test-$$
mkdir "$group"
sh -euc 'echo $$ > "$1"; shift; exec "$@"' sh "$group/cgroup.procs" \
  unshare --fork --kill-child --pid --mount-proc --mount --cgroup --uts --ipc \
  sh -euc '
    folder=$1
    manager=$2
    steps=$3
    shift 3
    mount -t tmpfs none /run
    mount -t cgroup2 none /sys/fs/cgroup
    touch "$folder/console"
    mount --bind "$folder/console" /dev/console
    sh -uc "$steps" sh "$@" > "$folder/said" 2>&1 &
    SYSTEMD_UNIT_PATH=$folder/units container=test exec "$manager" --system --unit=test.target \
      --log-target=console --show-status=no
  ' sh "$@" &
manager=$!
cat "$1/said"
kill -KILL "$manager"
cat "$1/console" >&2
left=200
while grep -q "populated 1" "$group/cgroup.events" && [ $left -gt 0 ]; do
  left=$((left - 1))
  sleep 0.05
done
find "$group" -depth -type d -exec rmdir {} +
"#;

/// What is done with the unit; says KEY=VALUE. `$1` meddles with the bus.
const STEPS: &str = r#"
unit=fwshare@archive.service
within() {
  left=600
  until "$@" > /dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || { echo "in vain: $*"; systemctl status --lines=50 "$unit"; exit; }
    sleep 0.05
  done
}
shows() { systemctl show --property "$1" --value "$unit"; }
is() { [ "$(shows "$1")" = "$2" ]; }
has_said() { journalctl --unit "$unit" --output cat | grep "$1"; }
within test -S /run/systemd/private
within systemctl is-active systemd-journald.service

eval "$1 unplug bridge0"
systemctl start --no-block "$unit"
waits() { shows StatusText | grep "waiting for the disk: no device"; }
within waits
echo "without a disk=$(shows SubState)"
eval "$1 replug bridge0"
within is SubState running
device=$(has_said '^Export' | sed 's/.* //')
echo "with a disk=$(shows StatusText | sed "s $device DEVICE ")"
grep -E '^(CapEff|NoNewPrivs|Seccomp):' "/proc/$(shows MainPID)/status" | tr -d '\t' | tr : =

mkfs.ext4 -q "$device" && mkdir /run/mnt && mount "$device" /run/mnt || echo "mount=no"
echo something > /run/mnt/file
systemctl reload "$unit"
within has_said "not started anew, and nothing has changed"
fields() { journalctl --unit "$unit" --output json | grep '"FWSHARE_GUID":"0030e000000001fa"'; }
within fields
echo "fields=yes"

systemctl stop --no-block "$unit"
within has_said "is mounted on /run/mnt"
echo "stopping while mounted=$(shows SubState)"
umount /run/mnt
within is ActiveState inactive
echo "stopped=$(shows Result)"

systemctl start "$unit"
mount "$device" /run/mnt && echo "kept=$(cat /run/mnt/file)"
umount /run/mnt
killed=$(shows MainPID)
kill -KILL "$killed"
is_another() { is SubState running && ! is MainPID "$killed"; }
within is_another
echo "restarted=$(shows NRestarts)"
systemctl stop "$unit"
echo "ended=$(shows Result)"
"#;

/// Has the shipped unit use the program and the bus of the test.
fn prepare(lab: &Lab) {
    let folder = lab.path("units");
    units::write(&folder);
    let configuration = lab.path("fwshare.toml");
    let here = format!(
        "[Service]\nExecStart=\nExecStart={} login --config={} --bus {} --wait %i\n",
        fwshare().get_program().display(),
        configuration.display(),
        lab.host(0).display()
    );
    let drop_in = folder.join("fwshare@.service.d");
    fs::create_dir(&drop_in).unwrap();
    fs::write(drop_in.join("here.conf"), here).unwrap();
    let disk = units::configuration("file:/run/fwshare/archive,loop");
    fs::write(configuration, disk).unwrap();
}

/// Runs the steps. `None`: skip the test, the user has been told.
fn under_systemd(lab: &Lab) -> Option<Said> {
    let unshare = judge("unshare")?;
    for name in ["systemctl", "journalctl", "mkfs.ext4"] {
        judge(name)?;
    }
    if !needs_root() {
        return None;
    }
    if !Path::new(units::MANAGER).exists() {
        skipped("needs systemd (Debian package systemd)");
        return None;
    }
    if !Path::new("/dev/loop-control").exists() {
        skipped("needs /dev/loop-control (the kernel's loop driver)");
        return None;
    }
    prepare(lab);
    let meddler = format!("{:?}", lab.meddler(&[]));
    let mut command = unshare.command();
    command.args(["--mount", "sh", "-euc", OUTSIDE, "sh"]);
    command
        .arg(lab.path(""))
        .args([units::MANAGER, STEPS, &meddler]);
    Some(run(&mut command, &[]))
}

#[test]
fn a_disk_is_waited_for_served_kept_while_it_is_mounted_and_served_again_after_a_crash() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let Some(said) = under_systemd(&lab) else {
        return;
    };
    assert!(said.success(), "{said}");
    for line in [
        "without a disk=start",
        "with a disk=0030e000000001fa:0: served at DEVICE",
        // CAP_SYS_ADMIN, and a filter.
        "CapEff=0000000000200000",
        "NoNewPrivs=1",
        "Seccomp=2",
        "fields=yes",
        "stopping while mounted=stop-sigterm",
        "stopped=success",
        "kept=something",
        "restarted=1",
        "ended=success",
    ] {
        let has = said.stdout.lines().any(|found| found == line);
        assert!(has, "{line}: {said}");
    }
}
