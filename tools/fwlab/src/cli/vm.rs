//! `fwlab vm`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use fwlab::bridge::BridgeSpec;

/// Run a virtual machine on a bus: a Linux kernel with its own FireWire drivers
///
/// The machine has the modules firewire-core and firewire-ohci loaded and busybox's programs,
/// and beside these what it is told to have. The folder /host is shared with this machine, until
/// the end. Nothing is installed, and nothing stays behind.
///
/// Without --controller it is on a bus of its own, with a bridge or those that --bridge says; no
/// FUSE is needed for that. It needs QEMU 10.1 or newer, a kernel with modules, and busybox;
/// tools/fwlab/vm/prepare in the sources fetches the first two, and installs nothing. KVM is used
/// where it works.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub(crate) struct VmArgs {
    /// A FireWire controller: a socket of `fwlab bus --controller`. For a machine with several
    /// controllers it is given several times.
    #[arg(long, value_name = "SOCKET", help_heading = "Bus")]
    pub(crate) controller: Vec<PathBuf>,
    /// A bus of the machine's own, with this bridge; as in `fwlab bus`.
    ///
    /// Without this and --controller it has one, which is profile=oxfw911,size=64M.
    #[arg(
        long,
        value_name = "KEY=VALUE,...",
        conflicts_with = "controller",
        help_heading = "Bus"
    )]
    pub(crate) bridge: Vec<BridgeSpec>,
    /// A network with other machines: the socket of `fwlab bus --network`. This one has the
    /// address 10.87.0.NUMBER.
    #[arg(long, value_name = "SOCKET", help_heading = "Bus")]
    pub(crate) network: Option<PathBuf>,

    /// Run this in the machine, with sh, and end with its exit status.
    ///
    /// What it says, on standard output and standard error, is shown on standard output as it
    /// comes. It has nothing on its standard input.
    #[arg(long, value_name = "COMMAND", help_heading = "What runs")]
    pub(crate) run: Option<String>,
    /// Have a shell in the machine, at this terminal. Nothing else said, that is what a terminal
    /// gets.
    ///
    /// Its end (exit, Ctrl-D) is the machine's; Ctrl-] three times in a row ends a machine that
    /// does not answer.
    #[arg(long, conflicts_with = "run", help_heading = "What runs")]
    pub(crate) shell: bool,
    /// For --run: how many seconds the command may take; 0 is for ever.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, requires = "run", help_heading = "What runs")]
    pub(crate) timeout: Duration,
    /// Show the machine's console on standard error, from its start on.
    #[arg(long, help_heading = "What runs")]
    pub(crate) console: bool,

    /// Load a module, with its parameters: 'nbd nbds_max=2'.
    #[arg(
        long,
        value_name = "NAME [PARAMETER=VALUE...]",
        help_heading = "What it has"
    )]
    pub(crate) module: Vec<String>,
    /// Have a module at hand for modprobe.
    #[arg(long, value_name = "NAME", help_heading = "What it has")]
    pub(crate) at_hand: Vec<String>,
    /// Have a program of this machine, a name or a path, with the libraries that it needs.
    #[arg(long, value_name = "PROGRAM", help_heading = "What it has")]
    pub(crate) with: Vec<String>,
    /// Have a file of this machine; in /root unless a path of the virtual machine is said.
    #[arg(long, value_name = "HOST[:GUEST]", help_heading = "What it has")]
    pub(crate) file: Vec<Given>,
    /// Copy a file or folder of the virtual machine here at the end, whatever the end of --run
    /// or the shell is. What is a folder here already gets it inside.
    #[arg(long, value_name = "GUEST[:HOST]", help_heading = "What it has")]
    pub(crate) fetch: Vec<Wanted>,

    /// The kernel: one that was fetched (bookworm, trixie, backports), an installed release, or
    /// the path of a vmlinuz-RELEASE.
    ///
    /// Unless it is said: trixie if that was fetched, or else the kernel that runs here.
    #[arg(long, value_name = "NAME|RELEASE|PATH", help_heading = "Machine")]
    pub(crate) kernel: Option<String>,
    /// More for the kernel's command line.
    #[arg(long, value_name = "ARGUMENT", help_heading = "Machine")]
    pub(crate) kernel_argument: Vec<String>,
    /// The QEMU to take; unless it is said, that in the PATH, or the one that was fetched.
    #[arg(long, value_name = "PATH", help_heading = "Machine")]
    pub(crate) qemu: Option<PathBuf>,
    /// How much memory it has.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 512,
        help_heading = "Machine"
    )]
    pub(crate) memory: u32,
    /// Which one of several it is: its name is guestNUMBER.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=254), help_heading = "Machine")]
    pub(crate) number: u8,
}

const AFTER: &str = "\
Examples:
  A kernel's own view of an emulated Oxford bridge:
      fwlab vm --shell
  The kernel logs in and reads the disk; the result is the command's:
      fwlab vm --module sd_mod --module firewire-sbp2 \\
          --run 'until [ -b /dev/sda ]; do sleep 0.1; done; dd if=/dev/sda of=/dev/null bs=1M'
  A program of this machine on the kernel's /dev/fw*, with a file, and its report fetched:
      fwlab vm --with ./my-program --file settings.ini --fetch /root/report \\
          --run 'cd /root && my-program settings.ini > report'
  On a bus with other machines (see fwlab bus --help):
      fwlab vm --controller vm0 --network net --number 1 --shell

Exit codes:
    0 to 255  of the command, or of the shell
  124         --timeout was over
  125         there is no such machine, or it has ended before the command: its kernel has
              crashed, its plug was pulled. What is to be said of it is on standard error.
  128 + N     this program was ended by signal N
    2         wrong usage";

/// A file for the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon may be part of the host's name.
        if let Some((host, guest)) = text.rsplit_once(':')
            && guest.starts_with('/')
        {
            return Ok(Self {
                host: host.into(),
                guest: guest.into(),
            });
        }
        let host = Path::new(text);
        let name = host.file_name().ok_or("there is no name in it")?;
        Ok(Self {
            host: host.to_owned(),
            guest: Path::new("/root").join(name),
        })
    }
}

/// What is to be copied out of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) guest: String,
    pub(crate) host: PathBuf,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (guest, host) = match text.split_once(':') {
            Some((guest, host)) => (guest, Some(host)),
            None => (text, None),
        };
        if !guest.starts_with('/') {
            return Err("begin with an absolute path of the virtual machine".to_owned());
        }
        let name = Path::new(guest).file_name();
        let host = host.filter(|host| !host.is_empty()).map(Path::new);
        let host = host.or_else(|| name.map(Path::new));
        Ok(Self {
            guest: guest.to_owned(),
            host: host.ok_or("all of it: say where to")?.to_owned(),
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_to_root_unless_a_place_is_said() {
        let given = |text: &str| text.parse().map(|Given { host, guest }| (host, guest));
        let pair = |host: &str, guest: &str| Ok((host.into(), guest.into()));
        assert_eq!(given("a/b"), pair("a/b", "/root/b"));
        assert_eq!(given("a/b:/etc/c"), pair("a/b", "/etc/c"));
        assert_eq!(given("a:b"), pair("a:b", "/root/a:b"));
        assert_eq!(given("a:/b:/c"), pair("a:/b", "/c"));
        for text in ["", "/", ".."] {
            assert!(given(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_fetched_has_an_absolute_path_and_a_name() {
        let wanted = |text: &str| text.parse().map(|Wanted { guest, host }| (guest, host));
        assert_eq!(wanted("/a/b"), Ok(("/a/b".into(), "b".into())));
        assert_eq!(wanted("/a/b:c:d"), Ok(("/a/b".into(), "c:d".into())));
        assert_eq!(wanted("/a/b:"), Ok(("/a/b".into(), "b".into())));
        assert_eq!(wanted("/:all"), Ok(("/".into(), "all".into())));
        for text in ["", "a", ":b", "/", "/a/.."] {
            assert!(wanted(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_is_not_negative() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["-1", "", "x", "inf", "NaN", "1e30"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
