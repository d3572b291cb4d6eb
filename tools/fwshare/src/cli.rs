//! The command line.

// The comments on arguments are their help texts, in which brackets are no links.
#![allow(rustdoc::broken_intra_doc_links)]

mod login;

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use fwlab::bridge::SECTORS;
use sbp2::target::BridgeProfile;

pub(crate) use self::login::{LoginArgs, Wait, wait};
use crate::bus::BusSpec;
use crate::device::TargetSpec;
use crate::error::EXIT_CODES;
use crate::rom::RomArgs;
use crate::session::Reset;
use crate::setup::{SetupInitramfsArgs, SetupUdevArgs};

/// What the command is used for.
pub(crate) const EXAMPLES: &str = "  See what is on the bus:
      fwshare scan
  Log in without shutting other hosts out, and serve the disk:
      fwshare login --shared --export nbd:unix:/tmp/disk.sock
  The same without FireWire, over an image:
      fwshare login --shared --bus emulated:image=disk.img \\
          --export nbd:unix:/tmp/disk.sock
  Two hosts share one emulated disk, each with a socket of its own:
      fwshare login --shared --bus emulated:hosts=2 \\
          --export nbd:unix:/tmp/host1.sock --export nbd:unix:/tmp/host2.sock
  Make this host a disk for the others on the bus:
      fwshare serve --image disk.img
";

fn after_help() -> String {
    let codes = EXIT_CODES.iter();
    let codes = codes.map(|(code, meaning)| format!("  {code:>2}  {meaning}\n"));
    format!(
        "Examples:\n{EXAMPLES}\nExit codes:\n{}",
        codes.collect::<String>()
    )
}

const BUS_HELP: &str = "\
Where the bus is: a folder of nodes, emulated[:KEY=VALUE,...] or replay:FILE

The folder of FireWire nodes is /dev on a host with FireWire. `emulated` is a virtual bus inside \
this process, with one bridge and one disk, for which there are these keys:

  image=FILE    what is on the disk, a file or block device
  size=64M      or a disk in memory: a number and K, M, G, T
  profile=NAME  the bridge: oxfw911 (default), oxuf922, generic
  sector=512    or 2048 or 4096 bytes
  logins=N      how many logins the bridge has room for
  hosts=1       how many hosts this process plays, up to 62
  bad=LBA-LBA   blocks that can be neither read nor written
  guid=GUID     the bridge's GUID
  record=FILE   a new file for what the bridge is told and does, as fwshare trace has it
  script=FILE   what the first host does, in virtual time: lines of read OFFSET LENGTH,
                write OFFSET LENGTH BYTE, flush, reset, stop
  speed=S400    or S100, S200, S800, S1600, S3200

A comma in the name of a file is written twice.

replay:FILE runs the command on a recording instead, byte by byte; replay:FILE,mode=relaxed is \
less strict about node ids and order.";

/// Share a FireWire (SBP-2) disk between hosts.
///
/// SBP-2 bridges that take several logins, such as Oxford Semiconductor's, can give one disk to
/// several hosts at once. fwshare logs in without exclusivity, serves the disk to this host, and
/// gives it back in good order. What is on the disk has to be made for several hosts: a cluster
/// file system, or partitions of which each host uses its own.
#[derive(Parser, Debug)]
#[command(name = "fwshare", version, after_long_help = after_help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Record all that goes over the bus into a new file, to be shown and replayed with trace
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) record: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

const LOG: &str = "Logging";

#[derive(Args, Debug)]
pub(crate) struct Verbosity {
    /// Log more to standard error: -v what happens, -vv how, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = LOG)]
    pub(crate) verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = LOG)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    Scan(ScanArgs),
    Login(LoginArgs),
    Serve(ServeArgs),
    Logins(LoginsArgs),
    Status(StatusArgs),
    Logout(LogoutArgs),
    Reset(ResetArgs),
    Rom(RomVerbArgs),
    Trace(TraceArgs),
    SetupInitramfs(SetupInitramfsArgs),
    SetupUdev(SetupUdevArgs),
    Man(ManArgs),
    Completions(CompletionsArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BusArgs {
    /// Where the bus is: a folder of nodes, emulated[:KEY=VALUE,...] or replay:FILE
    #[arg(long, value_name = "BUS", default_value = "/dev", long_help = BUS_HELP)]
    pub(crate) bus: BusSpec,
}

#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    /// The logical unit: GUID[:LUN], fwN[:LUN] or /dev/fwN[:LUN]
    ///
    /// Of a GUID the first digits are enough, as long as only one device has them; `eui.` or `0x`
    /// may stand before it. Without :LUN it is the device's only disk. With only one disk on the
    /// bus, TARGET may be left out.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<TargetSpec>,
}

/// List the nodes and logical units on the bus
///
/// Shows each node with its GUID, the vendor and model that its configuration ROM names, speed
/// and bridge, and each of its logical units with device type, firmware revision and, where the
/// bridge tells, how many hosts are logged in. Nothing is changed, and nobody is logged in to.
#[derive(Args, Debug)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    #[command(flatten)]
    pub(crate) sysfs: SysfsArgs,
    /// Read the ROMs only; do not ask the bridges who is logged in
    #[arg(long)]
    pub(crate) no_query: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make this host a FireWire disk
///
/// Other hosts on the bus find a disk at this host's own node, as with Apple's target disk mode:
/// Linux's and other systems' own drivers use it, and `fwshare login`. Its contents are an image,
/// a file or a block device that nothing else uses meanwhile. Several images are several logical
/// units, LUN 0 first.
///
/// Stays in the foreground, and prints a line when a host logs in, logs out, or does not come back
/// after a bus reset. SIGINT (Ctrl-C), SIGTERM and SIGHUP end it in good order: nobody is let in
/// any more, the disk disappears from the bus, and what was written is flushed to the images. The
/// hosts that were logged in are told with the bus reset that follows; unmount there first. A
/// second signal ends it at once.
///
/// A Linux host gives the disk back with echo fwN.M > /sys/bus/firewire/drivers/firewire_sbp2/unbind.
/// With rmmod alone it logs out before it flushes, and waits four minutes for an answer.
///
/// The disk is in the configuration ROMs of all of this host's controllers, because Linux knows
/// no other way, but it is served on one of them only. One process can do so at a time, and not
/// beside the kernel's own target (sbp_target).
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// What is on the disk: a file or a block device; may be repeated
    #[arg(long = "image", value_name = "FILE", required = true)]
    pub(crate) images: Vec<std::path::PathBuf>,
    /// The bridge that the disk seems to be behind
    ///
    /// `generic` has the whole command set, many logins and large disks. The others are as in
    /// old enclosures, for hosts that want nothing else.
    #[arg(long, value_name = "NAME", default_value = "generic", value_parser = PossibleValuesParser::new(BridgeProfile::NAMES))]
    pub(crate) profile: String,
    /// Bytes in a sector: 512, 2048 or 4096
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = sector)]
    pub(crate) sector: u32,
    /// How many hosts can be logged in to a logical unit, if not as many as the profile says
    #[arg(long, value_name = "N", value_parser = logins)]
    pub(crate) logins: Option<usize>,
    /// Refuse writes; the images are opened for reading only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// The controller of this host: fwN, /dev/fwN or the first digits of its GUID
    ///
    /// With only one it may be left out.
    #[arg(long, value_name = "CONTROLLER")]
    pub(crate) host: Option<TargetSpec>,
    /// Where the bus is: a folder of FireWire nodes
    #[arg(long, value_name = "FOLDER", default_value = "/dev")]
    pub(crate) bus: BusSpec,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show who is logged in to a logical unit
///
/// Asks the bridge with QUERY LOGINS, without logging in. Not every bridge can tell. With --bus
/// emulated:hosts=N all hosts but the first are logged in.
#[derive(Args, Debug)]
pub(crate) struct LoginsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SysfsArgs {
    /// Where the kernel tells of its devices, if not in /sys: for tests
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) sysfs: Option<std::path::PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunDirArgs {
    /// Where running logins can be reached
    ///
    /// Without it /run/fwshare for root, and fwshare in $XDG_RUNTIME_DIR for others. The folder
    /// is for its owner alone.
    #[arg(long, value_name = "FOLDER", env = "FWSHARE_RUN_DIR")]
    pub(crate) run_dir: Option<std::path::PathBuf>,
}

/// Show the logins that run on this host
///
/// Each `fwshare login` is shown with its target, whether it is logged in now, what it serves to
/// whom, and what has happened: bus resets, commands that were repeated, and what it refused. A
/// bridge that asks for memory it was not given, or tells of commands it did not get, gets nothing;
/// how often that was is shown by kind. With TARGET all is shown that is known of it.
#[derive(Args, Debug)]
#[command(after_long_help = STATUS_JSON)]
pub(crate) struct StatusArgs {
    /// Only this logical unit, in full: the first digits of its GUID, and :LUN
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Show it again every so many seconds, 1 to 3600, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = interval)]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    pub(crate) run_dir: RunDirArgs,
    /// Print one JSON object; with --watch one on a line each time
    #[arg(long)]
    pub(crate) json: bool,
}

const STATUS_JSON: &str = "\
JSON: \"logins\" has one object for each process.

  target description bus node speed   what it is logged in to, and how it is reached
  max_payload                         bytes in a data packet at most
  exclusive serialize_io quirks       how it is logged in, and what is worked around
  pid started uptime_s                the process; times are RFC 3339
  hosts                               an object for each host that it plays, usually one:
    guid login_id                     login_id is null while the login is lost
    node_id generation                of the target now; null while it is not on the bus
    exports devices                   what is served; a device has path, export, and what uses it
                                      now: mounts and holders
    clients                           how many use each export, for those that can tell
    traffic                           in_flight, and for reads, writes and flushes: done, failed,
                                      bytes, bytes_per_s (of the last second), and latency_us
                                      (p50, p99, p99.9; null before the first)
    bus_resets reconnects logins      what happened to the login
    orbs reissued timeouts            commands that the target was given
    stale_status unsolicited_status   statuses that belonged to none of them
    refused                           what was refused, by kind
    last_error                        at and message, or null";

/// End logins that run on this host
///
/// As SIGTERM does: requests that are under way end, the disk's cache is flushed, and the login
/// is given back. Returns when that is done, with the exit code of that `fwshare login`. While a
/// file system is mounted on a device of the login, or something is built on it, it goes on, and
/// the exit code is 6.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["target", "all"]))]
pub(crate) struct LogoutArgs {
    /// Of this logical unit: the first digits of its GUID, and :LUN
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
    /// Do not wait for file systems to be unmounted
    ///
    /// What a mounted file system has not written yet is lost, and it fails from then on. What has
    /// reached fwshare is written and flushed.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) run_dir: RunDirArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reset a logical unit, its target, or the bus
///
/// For a disk that does not answer any more. The login that runs on this host does it; commands
/// that are aborted by it are issued again, and none is reported as done that was not. Other hosts
/// notice it: it is said how, and not asked.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["lun", "whole_target", "bus"]))]
pub(crate) struct ResetArgs {
    /// The logical unit of a login: the first digits of its GUID, and :LUN
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// LOGICAL UNIT RESET: aborts the commands of all hosts for this logical unit
    #[arg(long)]
    pub(crate) lun: bool,
    /// TARGET RESET: aborts all commands of all hosts, and ends their logins
    #[arg(long = "target")]
    pub(crate) whole_target: bool,
    /// A short bus reset
    ///
    /// By the login if there is one, and otherwise by the controller that TARGET is seen through.
    /// With BUS always by the latter, with TARGET as for the other verbs.
    #[arg(long, value_name = "BUS", num_args = 0..=1, require_equals = true)]
    pub(crate) bus: Option<Option<BusSpec>>,
    #[command(flatten)]
    pub(crate) run_dir: RunDirArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl ResetArgs {
    pub(crate) fn what(&self) -> Reset {
        match (self.lun, self.whole_target) {
            (true, _) => Reset::LogicalUnit,
            (_, true) => Reset::Target,
            _ => Reset::Bus,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct RomVerbArgs {
    #[command(flatten)]
    pub(crate) rom: RomArgs,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
}

/// Record what goes over the bus, look at it, and replay it
///
/// A recording is JSON Lines: one transaction, event or input per line. It has all the data that
/// went over the bus, that of files too: scrub it before you give it away. A recording of your
/// disk makes a test for everybody.
#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    #[command(subcommand)]
    pub(crate) what: TraceVerb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TraceVerb {
    /// Run a command and record it: fwshare trace record FILE -- scan
    Record {
        /// The new file
        file: std::path::PathBuf,
        /// What is to be run, without the name fwshare
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show a recording, a line per transaction
    Show {
        /// The recording
        file: std::path::PathBuf,
        /// How long things took instead, by kind
        #[arg(long)]
        stat: bool,
    },
    /// Run the recorded command again on its recording
    ///
    /// Every byte that it sends must be as recorded, in the same order. At the first that is not,
    /// the line, what it has and what came instead are told, and the exit code is 1.
    ///
    /// If a bridge was recorded (fwlab bus --bridge record=FILE), a new one with an empty disk is
    /// told the same at the same times, and what it does is compared.
    Replay {
        /// The recording
        file: std::path::PathBuf,
        /// Let node ids, generations, speeds, and the order of what stands together be others
        #[arg(long)]
        relaxed: bool,
    },
    /// Take the data of the disk's sectors out of a recording
    ///
    /// Their lengths and SHA-256 stay, and so does all else: commands, INQUIRY data, sense data.
    /// What is left can still be replayed.
    Scrub {
        /// The recording
        file: std::path::PathBuf,
        /// The new file
        output: std::path::PathBuf,
    },
    /// Write a recording for Wireshark
    Export {
        /// The recording
        file: std::path::PathBuf,
        /// The new file, of type pcapng; packets are of LINKTYPE_USER0 as IEEE 1394 has them
        #[arg(long, value_name = "FILE")]
        pcapng: std::path::PathBuf,
    },
    /// Make a recording of what the kernel's tracepoints say
    ///
    /// For disks that the kernel's own driver uses (Linux 6.10 and later). As root:
    ///
    /// cd /sys/kernel/tracing; echo 1 > events/firewire/enable; cat trace_pipe > FILE
    #[command(verbatim_doc_comment)]
    Import {
        /// What trace or trace_pipe gave
        #[arg(long, value_name = "FILE")]
        ftrace: std::path::PathBuf,
        /// The new file
        output: std::path::PathBuf,
    },
}

/// Write the manual pages
#[derive(Args, Debug)]
#[command(hide = true)]
pub(crate) struct ManArgs {
    /// The folder to write one page per verb to; without it, the main page goes to standard
    /// output
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<std::path::PathBuf>,
}

/// Write the completions for a shell to standard output
#[derive(Args, Debug)]
#[command(hide = true)]
pub(crate) struct CompletionsArgs {
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// A size of a logical block that disks have.
fn sector(text: &str) -> Result<u32, String> {
    let sector = SECTORS.into_iter().find(|size| size.to_string() == text);
    sector.ok_or_else(|| "must be 512, 2048 or 4096".to_owned())
}

/// How many logins a logical unit can have room for.
fn logins(text: &str) -> Result<usize, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(logins @ 1..=BridgeProfile::MAX_LOGINS) if digits => Ok(logins),
        _ => Err(format!("must be from 1 to {}", BridgeProfile::MAX_LOGINS)),
    }
}

/// A number of seconds up to a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds @ 0..=DAY) if digits => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("must be a number of seconds from 0 to {DAY}")),
    }
}

/// A number of seconds from one to an hour.
fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds @ 1..=3600) if digits => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests;
