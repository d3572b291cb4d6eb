//! Linux's own FireWire stack as the judge: Debian's kernels in virtual machines, on the
//! laboratory's controller and bus.
//!
//! | module | initiator | target |
//! |---|---|---|
//! | `firewire_sbp2` | kernel | our bridge |
//! | `login` | `fwshare login` on a real `/dev/fw*` | our bridge |
//! | `nbd_device` | `fwshare login`, and the kernel's nbd driver | our bridge |
//! | `sbp_target` | `fwshare login` | kernel |
//! | `company` | kernel and `fwshare login` | our bridge |
//! | `cluster` | `fwshare login` in two guests with OCFS2, one of which is killed | our bridge |
//! | `resets` | `fwshare login` twice, and kernel | our bridge |
//! | `control` | `fwshare login`, and resets while it is used | our bridge, kernel |
//! | `serve` | kernel | `fwshare serve` on a real `/dev/fw0` |
//! | `service` | `fwshare@.service` under systemd, with an nbd device | our bridge |
//! | `ublk` | `fwshare login --export ublk` on a real `/dev/fw*` | our bridge |
//! | `upgrade` | `fwshare login` that starts itself anew under nbd and ublk devices | our bridge |
//! | `setup` | kernel, as `fwshare setup-initramfs --now` tells it | our bridge |
//!
//! `recordings` records `firewire_sbp2` and `sbp_target`.
//!
//! `docs/lab.md` tells what each of them shows, and how to do the same by hand.

mod cluster;
mod company;
mod control;
mod disk;
mod firewire_sbp2;
mod login;
mod nbd_device;
mod recordings;
mod resets;
mod sbp_target;
mod serve;
mod service;
mod setup;
mod ublk;
mod upgrade;
