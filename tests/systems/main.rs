//! `fwshare setup-initramfs` and `setup-udev` on systems that nobody here made: Debian's releases,
//! each with its kernel and the tool that makes its images, and those images' boot in a virtual
//! machine.
//!
//! `tests/systems/prepare` makes the systems. A test works on a copy of one.
//!
//! | module | what is asked | who answers |
//! |---|---|---|
//! | `early_boot` | with which parameter is the driver loaded, and how does it log in | the image's own udev and kmod, and the kernel; the bridge |
//! | `inside` | what is in the image, and what does it make of it | lsinitramfs, lsinitrd, modprobe |
//! | `both_ways` | is it the same from inside of the system, and can it be undone | diff |
//! | `guards` | does LVM keep away from a shared disk | the image's own LVM |
//! | `disk_rules` | do LVM and mdadm keep off disks of logins | their own rules, read by the system's udev |

mod both_ways;
mod disk_rules;
mod early_boot;
mod guards;
mod inside;
mod observed;
mod setup;
mod system;
