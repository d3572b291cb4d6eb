//! Linux's own FireWire stack as the judge: Debian's kernels in virtual machines, on the
//! laboratory's controller and bus.
//!
//! | module | initiator | target |
//! |---|---|---|
//! | `firewire_sbp2` | kernel | our bridge |
//! | `login` | `fwshare login` on a real `/dev/fw*` | our bridge |
//! | `sbp_target` | `fwshare login` | kernel |
//!
//! `recordings` records the first and the last of them.
//!
//! `docs/lab.md` tells what each of them shows, and how to do the same by hand.

mod disk;
mod firewire_sbp2;
mod login;
mod recordings;
mod sbp_target;
