//! `fwshare login`.

use std::time::Duration;

use clap::Args;

use super::{BusArgs, OnOff, RunDirArgs, SysfsArgs, seconds};
use crate::export_spec::ExportChoice;

/// Log in to a disk, serve it, and log out at the end
///
/// Stays in the foreground. SIGINT (Ctrl-C), SIGTERM and SIGHUP end it in good order: requests
/// that are under way end, the disk's cache is flushed, the login is given back, exit code 0. A
/// second signal ends it at once; the bridge then keeps the login until the next bus reset.
///
/// What it found, the login ID, the size and the addresses of its exports are printed as soon as
/// the disk can be used; with --json as one line. Without --export the login is held and nothing
/// else.
///
/// With --config what is to be done stands in a file, fwshare.toml(5), for one disk by its name or
/// GUID, or for all of them. Of several disks each has a process of its own; the first signal ends
/// all of them in good order.
///
/// Under systemd it tells when the disk can be used, and how things are. SIGUSR2 makes it start
/// itself anew, from the file that it was started from, for an upgrade: requests under way end,
/// the disk is flushed and given back, and the block devices stay for the new process. It is
/// refused, and nothing happens, if there is an export that cannot be left.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["shared", "exclusive", "config"]))]
pub(crate) struct LoginArgs {
    /// The logical unit: GUID[:LUN], fwN[:LUN] or /dev/fwN[:LUN]; with --config a disk's name, too
    ///
    /// Of a GUID the first digits are enough, as long as only one device has them; `eui.` or `0x`
    /// may stand before it. Without :LUN it is the device's only disk. With only one disk on the
    /// bus, TARGET may be left out. With --config it may be left out for all disks of the file.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Do what stands in a file; without =FILE in /etc/fwshare/fwshare.toml
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = crate::config::PATH,
        conflicts_with_all = [
            "exports", "read_only", "serialize_io", "replacement_timeout", "unbind_kernel",
            "assemble",
        ],
    )]
    pub(crate) config: Option<std::path::PathBuf>,
    /// Let other hosts log in too
    ///
    /// They write to the same disk at the same time. Only a file system made for that, or a
    /// partition for each host, survives it.
    #[arg(long)]
    pub(crate) shared: bool,
    /// Shut other hosts out
    #[arg(long)]
    pub(crate) exclusive: bool,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Serve the disk: auto, nbd:unix:PATH, nbd:tcp:HOST:PORT, file:PATH[,loop],
    /// nbd-device[:/dev/nbdN] or ublk[:N]; may be repeated
    ///
    /// `auto` is the best of those that this machine has, and it is told which and why nothing
    /// better. Its files are where running logins can be reached.
    ///
    /// `file:` makes the disk a file of this user's (needs FUSE), for programs that know nothing
    /// of NBD. Writes to it must be whole blocks. `,loop` makes a block device of it, /dev/loopN,
    /// with its partitions (needs root and the loop driver); fsync is a flush of the disk. At the
    /// end the device is detached. If it is mounted then, or open, it is served until it is not
    /// any more: nothing is lost. A second signal does not wait. A comma in PATH is written twice.
    ///
    /// nbd-device is a block device by the kernel's nbd driver, /dev/nbdN, with its partitions
    /// (needs root, modprobe nbd, and Linux 5.14 or newer). It is detached as a loop device is. If
    /// this process is killed, who uses the device waits for the next one with the same export,
    /// for --replacement-timeout and a minute; it goes on with the device, also while it is
    /// mounted. What was under way waits ten seconds at least.
    ///
    /// `ublk` makes a block device of it with nothing in between, /dev/ublkbN (needs root, Linux
    /// 6.5 or newer and its ublk driver, and an fwshare that was built with it). It ends as a loop
    /// device does. If this process is killed the device stays, and what uses it waits; the next
    /// login with `ublk` for the same disk takes it over, and nothing is lost.
    ///
    /// A Unix socket can be opened by this user only. A TCP port can be opened by anybody who
    /// reaches it: there is no password. Port 0 lets the system choose. With --bus
    /// emulated:hosts=N the first export is that of the first host, the second that of the
    /// second, and so on in turn.
    #[arg(long = "export", value_name = "EXPORT")]
    pub(crate) exports: Vec<ExportChoice>,
    /// Refuse writes
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Give the disk one command at a time
    ///
    /// `off` gives it several at once, which is faster. Some disks corrupt data then.
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub(crate) serialize_io: OnOff,
    /// How long requests wait for a login that was lost before they fail
    ///
    /// 0 fails them at once. A host that was shut out must not wake up later and write, so there
    /// is no "for ever".
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) replacement_timeout: Duration,
    /// Take the disk away from the kernel's driver for the time of the login
    ///
    /// The kernel's driver and fwshare are one host to the bridge, so only one of them can be
    /// logged in. The kernel gets the disk back at the end. A disk that is mounted, or that
    /// something is built on, is not taken away. After SIGKILL or a second signal: echo fwN.M >
    /// /sys/bus/firewire/drivers/firewire_sbp2/bind
    #[arg(long)]
    pub(crate) unbind_kernel: bool,
    /// Wait for a disk that is not plugged in yet, at most so long
    ///
    /// Without =SECONDS as long as it takes. What is on the bus is looked at when a node comes or
    /// goes. Once logged in, an unplugged disk is waited for in any case: requests wait for
    /// --replacement-timeout and fail then, and the disk is served again when it is back.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "infinity",
        value_parser = wait,
    )]
    pub(crate) wait: Option<Wait>,
    /// Let LVM, md, bcache, multipath and desktops assemble and mount what is on the disk
    ///
    /// Unless asked they are kept from it, because other hosts write to it, too.
    #[arg(long)]
    pub(crate) assemble: bool,
    #[command(flatten)]
    pub(crate) sysfs: SysfsArgs,
    #[command(flatten)]
    pub(crate) run_dir: RunDirArgs,
    /// Print one JSON object, on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long a disk is waited for that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    Forever,
    AtMost(Duration),
}

/// What stands behind `--wait=`.
pub(crate) fn wait(text: &str) -> Result<Wait, String> {
    match text {
        "infinity" => Ok(Wait::Forever),
        _ => seconds(text).map(Wait::AtMost),
    }
}
