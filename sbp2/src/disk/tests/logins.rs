use alloc::vec;
use core::time::Duration;

use super::bench::{Bench, identity};
use crate::disk::{Failure, Notice, Request, RequestError};
use crate::initiator::CommandError;
use crate::scsi::{Cdb, MemoryMedium, Text};
use crate::wire::Function;

const LOST: RequestError = RequestError::WritesMayBeLost { deferred: false };

fn write(lba: u64) -> Request {
    Request::Write {
        lba,
        data: vec![1; 512],
        fua: false,
    }
}

#[test]
fn a_disk_is_ready_when_it_has_said_what_it_is() {
    let medium = MemoryMedium::new(2048, 1000).unwrap();
    let mut bench = Bench::new(identity(), medium, |_| {});
    bench.login();
    let Some(Notice::Ready { login, info }) = bench.notices.pop() else {
        panic!("not ready");
    };
    assert!(!login.again);
    assert_eq!((info.blocks, info.block_length), (1000, 2048));
    assert_eq!(bench.rig.host.info(), Some(&info));
    assert_eq!(bench.management, [Function::LOGIN]);
}

#[test]
fn something_else_than_a_disk_is_given_up_and_logged_out() {
    let mut tape = identity();
    tape.device_type = crate::scsi::DeviceType(1);
    let medium = MemoryMedium::new(512, 64).unwrap();
    let mut bench = Bench::new(tape, medium, |_| {});
    bench.login();
    assert!(bench.was_told(|it| matches!(it, Notice::Failed(Failure::BringUp(_)))));
    assert_eq!(bench.management, [Function::LOGIN, Function::LOGOUT]);
    let given_up = bench.read(0, 1);
    assert!(matches!(given_up, Err(RequestError::GivenUp(_))));
}

#[test]
fn a_bus_reset_is_not_seen_by_requests() {
    let mut bench = Bench::ready(|config| config.depth = 2);
    bench.hold = true;
    let tags = [1, 2, 3].map(|lba| bench.submit(write(lba)));
    bench.hold = false;
    bench.bus_reset(true);
    assert!(bench.was_told(|notice| matches!(notice, Notice::Reconnected)));
    for tag in tags {
        assert_eq!(bench.result(tag), Some(Ok(vec![])));
    }
    assert_eq!(bench.flush(), Ok(vec![]));
}

#[test]
fn a_lost_login_with_unflushed_writes_fails_the_next_flush_once() {
    let mut bench = Bench::ready(|_| {});
    bench.perform(write(1)).unwrap();
    bench.lose_login();
    assert_eq!(bench.flush(), Err(LOST));
    assert!(bench.was_told(|notice| matches!(notice, Notice::Ready { .. })));
    assert_eq!(bench.flush(), Ok(vec![]));
}

#[test]
fn a_lost_login_without_unflushed_writes_fails_nothing() {
    let mut bench = Bench::ready(|_| {});
    bench.lose_login();
    assert_eq!(bench.flush(), Ok(vec![]), "nothing was written");
    bench.perform(write(1)).unwrap();
    bench.flush().unwrap();
    bench.lose_login();
    assert_eq!(bench.flush(), Ok(vec![]), "all was flushed");
    let durable = Request::Write {
        lba: 1,
        data: vec![1; 512],
        fua: true,
    };
    bench.perform(durable).unwrap();
    bench.lose_login();
    assert_eq!(bench.flush(), Ok(vec![]), "all was on the medium");
}

#[test]
fn a_write_that_ends_while_a_flush_is_under_way_is_not_covered_by_it() {
    let mut bench = Bench::ready(|config| config.depth = 2);
    bench.hold = true;
    let write = bench.submit(write(1));
    let flush = bench.submit(Request::Flush);
    bench.hold = false;
    bench.serve();
    assert_eq!(bench.result(write), Some(Ok(vec![])));
    assert_eq!(bench.result(flush), Some(Ok(vec![])));
    bench.lose_login();
    assert_eq!(bench.flush(), Err(LOST));
}

/// Several clients may share a disk, each with a flush of its own.
#[test]
fn all_flushes_fail_that_were_asked_for_before_anybody_was_told() {
    let mut bench = Bench::ready(|_| {});
    bench.perform(write(1)).unwrap();
    bench.hold = true;
    let flushes = [(); 3].map(|()| bench.submit(Request::Flush));
    bench.lose_login();
    bench.hold = false;
    bench.wait(Duration::from_secs(2));
    for flush in flushes {
        assert_eq!(bench.result(flush), Some(Err(LOST)));
    }
    assert_eq!(bench.flush(), Ok(vec![]));
}

#[test]
fn a_write_that_is_flushed_on_its_own_account_answers_for_itself_alone() {
    let mut identity = identity();
    identity.fua = false;
    let medium = MemoryMedium::new(512, 8192).unwrap();
    let mut bench = Bench::ready_with(identity, medium, |_| {});
    let durable = |lba| Request::Write {
        lba,
        data: vec![1; 512],
        fua: true,
    };
    bench.perform(write(1)).unwrap();
    bench.lose_login();
    assert_eq!(bench.perform(durable(2)), Ok(vec![]));
    assert_eq!(bench.flush(), Err(LOST), "it is still to be told");
    // The login is lost between its WRITE and its SYNCHRONIZE CACHE.
    let tag = bench.submit_and_stop_before_sync(durable(3));
    bench.lose_login();
    bench.hold = false;
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.result(tag), Some(Err(LOST)));
}

#[test]
fn another_disk_after_a_new_login_is_given_up_and_never_written_to() {
    let mut renamed = identity();
    renamed.serial = Text::new("another").unwrap();
    let mut other_product = identity();
    other_product.product = Text::new("another").unwrap();
    for (new, blocks) in [(identity(), 8191), (renamed, 8192), (other_product, 8192)] {
        let mut bench = Bench::ready(|_| {});
        bench.hold = true;
        let tags = [1, 2, 3].map(|lba| bench.submit(write(lba)));
        bench.replace_device(new, blocks);
        bench.lose_login();
        bench.hold = false;
        bench.wait(Duration::from_secs(2));
        let changed = |it: &Notice| matches!(it, Notice::Failed(Failure::Changed { .. }));
        assert!(bench.was_told(changed));
        for tag in tags {
            let result = bench.result(tag).expect("it ends");
            assert!(matches!(result, Err(RequestError::GivenUp(_))));
        }
        assert!(bench.commands.is_empty(), "{:?}", bench.commands);
        assert_eq!(bench.management.last(), Some(&Function::LOGOUT));
        assert!(matches!(
            bench.perform(write(1)),
            Err(RequestError::GivenUp(_))
        ));
    }
}

#[test]
fn requests_fail_when_the_login_does_not_come_back_in_time() {
    let mut bench = Bench::ready(|config| {
        config.replacement_timeout = Duration::from_secs(10);
    });
    bench.hold = true;
    let tags = [1, 2, 3].map(|lba| bench.submit(write(lba)));
    bench.bus_reset(false);
    bench.wait(Duration::from_secs(14));
    assert_eq!(bench.result(tags[0]), None);
    bench.wait(Duration::from_secs(2));
    for tag in tags {
        let result = bench.result(tag).expect("it ends");
        let Err(RequestError::Command { error, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error, CommandError::LoginLost(Duration::from_secs(10)));
    }
    // The disk comes back later, and none of them is written.
    bench.hold = false;
    bench.bus_reset(true);
    bench.wait(Duration::from_secs(2));
    assert!(bench.was_told(|notice| matches!(notice, Notice::Ready { .. })));
    assert!(bench.commands.is_empty());
    bench.perform(write(1)).unwrap();
}

#[test]
fn a_logout_fails_what_is_under_way() {
    let mut bench = Bench::ready(|_| {});
    bench.hold = true;
    let tags = [1, 2, 3].map(|lba| bench.submit(write(lba)));
    let now = bench.rig.now;
    bench.rig.host.logout(now);
    bench.serve();
    for tag in tags {
        let result = bench.result(tag).expect("it ends");
        assert!(result.is_err());
    }
    assert!(bench.was_told(|it| matches!(it, Notice::LoggedOut(Ok(())))));
    let stop = |cdb: &Cdb| matches!(cdb, Cdb::StartStopUnit { .. });
    assert!(!bench.commands.iter().any(stop));
}

#[test]
fn a_disk_that_does_not_get_ready_after_a_new_login_is_asked_again_and_requests_fail_in_time() {
    let mut bench = Bench::ready(|_| {});
    bench.mute = true;
    bench.lose_login();
    let tags = [1, 2, 3].map(|lba| bench.submit(write(lba)));
    bench.wait(Duration::from_secs(119));
    assert_eq!(tags.map(|tag| bench.result(tag)), [None, None, None]);
    bench.wait(Duration::from_secs(2));
    for tag in tags {
        let result = bench.result(tag).expect("it ends");
        assert!(matches!(result, Err(RequestError::Command { .. })));
    }
    bench.wait(Duration::from_secs(300));
    assert!(bench.was_told(|it| matches!(it, Notice::BringUpRetry(_))));
    bench.mute = false;
    bench.wait(Duration::from_secs(120));
    assert!(bench.was_told(|it| matches!(it, Notice::Ready { .. })));
    assert!(
        bench.commands.is_empty(),
        "what has failed is not written later"
    );
    bench.perform(write(1)).unwrap();
}

#[test]
fn good_status_without_data_is_no_answer_about_what_the_disk_is() {
    let medium = MemoryMedium::new(512, 64).unwrap();
    let mut bench = Bench::new(identity(), medium, |_| {});
    bench.swallow = 2;
    bench.login();
    let info = bench.rig.host.info().expect("it is ready");
    assert_eq!((info.blocks, info.block_length), (64, 512));
}
