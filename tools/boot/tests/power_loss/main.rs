//! A system whose files are being changed, while every single system call of that fails, or is
//! the last one before the power goes.

#![allow(clippy::unwrap_used)]

mod disk;
mod strace;
mod support;
mod system;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::exit;

use fwshare_boot::Root;

use crate::disk::Disk;
use crate::strace::{Call, FAILED, Fault};
use crate::support::{needs, needs_root};
use crate::system::{Deed, Ends, list, visible};

/// The process that something happens to. strace starts it, with what to do in its environment.
#[test]
#[ignore = "for the others to start"]
fn in_another_process() {
    let Some(deed) = env::var_os(strace::DEED) else {
        return;
    };
    let mut deeds = Deed::ALL.into_iter();
    let deed = deeds.find(|it| *it.name() == *deed).unwrap();
    let root = PathBuf::from(env::var_os(strace::ROOT).unwrap());
    let root = Root::open(&root).unwrap();
    strace::lead();
    let _ = Path::new(strace::BEGIN).symlink_metadata();
    let result = deed.run(&root);
    let _ = Path::new(strace::END).symlink_metadata();
    exit(match result {
        Ok(()) => 0,
        Err(error) => {
            // Which may fail as well.
            let _ = writeln!(std::io::stderr(), "{error}");
            FAILED
        }
    });
}

/// A system before a deed, and what it may be after it.
struct Case {
    folder: tempfile::TempDir,
    deed: Deed,
    ends: Ends,
    calls: Vec<Call>,
    strace: PathBuf,
}

/// A folder in memory if possible: nothing waits for a disk there. The tree has attributes, which
/// that has since Linux 6.6.
fn scratch() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    let memory = memory
        .ok()
        .filter(|it| xattr::set(it.path(), "user.x", b"").is_ok());
    memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

impl Case {
    fn new(strace: &Path, deed: Deed) -> Self {
        let folder = scratch();
        let before = folder.path().join("before");
        system::make(&before);
        let mut old = list(&before);
        if deed == Deed::Recover {
            // In the middle: one file is replaced, and the next is not.
            let apply = Self::new(strace, Deed::Apply);
            let is_second = |call: &&Call| {
                call.text.starts_with("renameat") && call.text.contains("90-fwshare")
            };
            let call = apply.calls.iter().find(is_second).unwrap();
            strace::with(strace, Deed::Apply, &before, call, Fault::Kill);
        } else {
            let root = Root::open(&before).unwrap();
            for earlier in deed.earlier() {
                earlier.run(&root).unwrap();
            }
            old = list(&before);
        }
        let after = folder.path().join("after");
        system::copy(&before, &after);
        let calls = strace::calls(strace, deed, &after);
        let new = list(&after);
        assert_ne!(visible(&old), visible(&new));
        Self {
            folder,
            deed,
            ends: Ends { old, new },
            calls,
            strace: strace.to_owned(),
        }
    }

    /// The calls at which something else happens than at the one before.
    fn calls(&self, fault: Fault) -> impl Iterator<Item = &Call> {
        let is_any = matches!(fault, Fault::Error("EIO"));
        let calls = self.calls.iter();
        calls.filter(move |call| is_any || call.is_change())
    }

    /// Lets something happen at each call, to a new copy of the system each time.
    fn each(&self, fault: Fault, check: impl Fn(&Path, &str, std::process::ExitStatus)) {
        for call in self.calls(fault) {
            let root = self.folder.path().join("root");
            system::copy(&self.folder.path().join("before"), &root);
            let end = strace::with(&self.strace, self.deed, &root, call, fault);
            let when = format!("{:?}, {fault:?}, {} {}", self.deed, call.number, call.text);
            check(&root, &when, end);
            std::fs::remove_dir_all(&root).unwrap();
        }
    }
}

fn each_deed(fault: Fault, check: impl Fn(&Case, &Path, &str, std::process::ExitStatus)) {
    let Some(strace) = needs("strace", "strace") else {
        return;
    };
    for deed in Deed::ALL {
        let case = Case::new(&strace, deed);
        case.each(fault, |root, when, end| check(&case, root, when, end));
    }
}

/// A call that fails: the error is reported, and all is as it was; or it did not matter.
fn fails(error: &'static str) {
    each_deed(Fault::Error(error), |case, root, when, end| {
        let found = list(root);
        match end.code() {
            Some(0) => assert_eq!(visible(&found), visible(&case.ends.new), "{when}"),
            Some(FAILED) if case.deed == Deed::Recover => case.ends.check_files(root, when),
            Some(FAILED) => {
                let found = visible(&found);
                let ends = [&case.ends.old, &case.ends.new].map(visible);
                assert!(ends.contains(&found), "{when}: {found:#?}");
            }
            _ => panic!("{when}: {end}"),
        }
        case.ends.check_whole(root, when);
    });
}

#[test]
fn a_call_that_fails_leaves_all_as_it_was() {
    fails("EIO");
}

#[test]
fn a_disk_that_is_full_leaves_all_as_it_was() {
    fails("ENOSPC");
}

#[test]
fn a_disk_that_fails_for_good_leaves_what_the_next_run_finishes() {
    each_deed(Fault::From("EIO"), |case, root, when, end| {
        assert!(matches!(end.code(), Some(0 | FAILED)), "{when}: {end}");
        case.ends.check_files(root, when);
        case.ends.check_whole(root, when);
    });
}

#[test]
fn a_run_that_is_killed_leaves_what_the_next_one_finishes() {
    each_deed(Fault::Kill, |case, root, when, _| {
        case.ends.check_files(root, when);
        case.ends.check_whole(root, when);
    });
}

#[test]
fn a_loss_of_power_leaves_what_the_next_run_finishes() {
    let (Some(strace), Some(_), true) = (
        needs("strace", "strace"),
        needs("mkfs.ext4", "e2fsprogs"),
        needs_root(),
    ) else {
        return;
    };
    let Some(_) = disk::needs_loop() else {
        return;
    };
    for deed in Deed::ALL {
        let case = Case::new(&strace, deed);
        let disk = Disk::new(&case.folder.path().join("before"));
        for call in case.calls(Fault::Kill) {
            let when = format!("{deed:?}, power lost, {} {}", call.number, call.text);
            let lost = disk.lose_power(|root| {
                strace::with(&strace, deed, root, call, Fault::Kill);
            });
            lost.look(|root| {
                case.ends.check_files(root, &when);
                case.ends.check_whole(root, &when);
            });
        }
    }
}
