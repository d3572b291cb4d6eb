//! A process in another system's tree.
//!
//! The tool runs with that tree as its root, in a mount namespace of its own: with /proc, /sys
//! that cannot be written, and a /dev with nothing in it but what programs take for granted.
//! Nothing of that can be seen from outside, and it is gone with the process.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{chdir, chroot, close, symlinkat};

use crate::root::Root;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// bash's `<(…)` goes by /dev/fd. Without it mkinitcpio does not begin, and dracut goes on without
/// what it did not get.
const LINKS: [(&str, &CStr); 4] = [
    ("fd", c"/proc/self/fd"),
    ("stdin", c"/proc/self/fd/0"),
    ("stdout", c"/proc/self/fd/1"),
    ("stderr", c"/proc/self/fd/2"),
];

/// All that is needed after the fork, where memory is no longer to be asked for.
pub(super) struct Inside {
    root: CString,
    proc: CString,
    sys: CString,
    dev: CString,
    /// Each with its place.
    devices: Vec<(CString, CString)>,
    /// Where each leads, and its place.
    links: Vec<(&'static CStr, CString)>,
}

impl Inside {
    pub(super) fn of(root: &Root) -> io::Result<Self> {
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
        for folder in ["/proc", "/sys", "/dev"] {
            let stat = root.stat_link(Path::new(folder))?;
            let is_folder = stat.is_some_and(|stat| {
                SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
            });
            if !is_folder {
                return Err(io::Error::other(format!(
                    "{} is no folder, and the tool needs it",
                    root.outside(Path::new(folder)).display()
                )));
            }
        }
        let dev = root.outside(Path::new("/dev"));
        let mut devices = Vec::new();
        for device in DEVICES {
            devices.push((
                path(&Path::new("/dev").join(device))?,
                path(&dev.join(device))?,
            ));
        }
        let links = LINKS.iter().map(|(link, target)| {
            let place = path(&dev.join(link))?;
            Ok((*target, place))
        });
        Ok(Self {
            links: links.collect::<io::Result<_>>()?,
            root: path(root.path())?,
            proc: path(&root.outside(Path::new("/proc")))?,
            sys: path(&root.outside(Path::new("/sys")))?,
            dev: path(&dev)?,
            devices,
        })
    }

    /// Has the process begin in the tree.
    #[expect(
        unsafe_code,
        reason = "the one thing that has to be done between fork and exec"
    )]
    pub(super) fn enter(self, process: &mut Command) {
        // SAFETY: between fork and exec only functions that are safe in a signal handler may be
        // called. `begin` makes system calls with strings that are there already (nix takes a
        // `CStr` as it is), and asks for no memory.
        unsafe {
            process.pre_exec(move || self.begin().map_err(io::Error::from));
        }
    }

    fn begin(&self) -> Result<(), Errno> {
        const NONE: Option<&CStr> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NONE, c"/", NONE, private, NONE)?;
        let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some(c"proc"),
            self.proc.as_c_str(),
            Some(c"proc"),
            plain,
            NONE,
        )?;
        // Without it tools work that make an image for any machine.
        let read_only = plain | MsFlags::MS_RDONLY;
        let _ = mount(
            Some(c"sysfs"),
            self.sys.as_c_str(),
            Some(c"sysfs"),
            read_only,
            NONE,
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(
            Some(c"tmpfs"),
            self.dev.as_c_str(),
            Some(c"tmpfs"),
            flags,
            Some(c"mode=755"),
        )?;
        for (device, place) in &self.devices {
            let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let file = open(place.as_c_str(), flags, Mode::from_bits_truncate(0o644))?;
            close(file)?;
            mount(
                Some(device.as_c_str()),
                place.as_c_str(),
                NONE,
                MsFlags::MS_BIND,
                NONE,
            )?;
        }
        for (target, place) in &self.links {
            symlinkat(*target, AT_FDCWD, place.as_c_str())?;
        }
        chroot(self.root.as_c_str())?;
        chdir(c"/")
    }
}
