//! What the whole-system tests share.
//!
//! A test here asks a program that nobody here wrote: nbdinfo, fio, e2fsck, sg_inq. Such a
//! program is a [`Judge`]. Where one is not installed the test is skipped, and says so on the
//! terminal; in CI, where the variable `CI` is set, it fails and names the Debian package.
//!
//! ```no_run
//! use fwshare_tests::judge;
//!
//! let Some(nbdinfo) = judge("nbdinfo") else { return };
//! let said = nbdinfo.run(["--json", "nbd://localhost"]);
//! assert!(said.stdout.contains("exports"));
//! ```

// Helpers of tests: a wrong step ends the test, with a message that tells where.
#![allow(clippy::missing_panics_doc)]

#[path = "support/attach.rs"]
mod attach;
#[path = "support/cached_medium.rs"]
mod cached_medium;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/data.rs"]
mod data;
#[path = "support/files.rs"]
mod files;
#[path = "support/fio.rs"]
mod fio;
#[path = "support/guests.rs"]
mod guests;
#[path = "support/history.rs"]
pub mod history;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/run.rs"]
mod run;
#[path = "support/units.rs"]
pub mod units;
#[path = "support/workers.rs"]
mod workers;
#[path = "support/world.rs"]
pub mod world;

pub use attach::{Attached, attach};
pub use cached_medium::CachedMedium;
pub use daemon::{Daemon, Ended, fwlab, fwshare};
pub use data::{Random, pattern, seeds};
pub use files::{ext4_image, fill, same_files};
pub use fio::verifying_fio;
pub use guests::{Guests, InGuest, PRELUDE, fwshare_program};
pub use judge::{Judge, judge, needs_fuse, needs_root, python_with, skipped};
pub use lab::Lab;
pub use run::{Said, TIME_LIMIT, run};
pub use workers::{Tally, Workers};
