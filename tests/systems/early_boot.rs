//! The driver as early boot loads it, by the modalias of a unit on the bus.

use crate::inside::{has_driver, judge_image, listed};
use crate::observed::Observed;
use crate::setup::{done, from_outside};
use crate::system::System;

/// What the distribution's image does with a disk, and what the same image does once the command
/// has been there.
fn becomes_shared(name: &str, driver_was_there: Option<bool>) {
    let Some(system) = System::new(name) else {
        return;
    };
    let has_driver = has_driver(&listed(&system));
    assert_eq!(has_driver, driver_was_there.unwrap_or(has_driver));
    let Some(before) = Observed::boot(&system, "size=1M", "") else {
        return;
    };
    before.judge(has_driver.then_some("Y"));

    done(&from_outside(&system, &[]));
    judge_image(&system, "exclusive_login=0");
    let after = Observed::boot(&system, "size=1M", "").expect("what was there before");
    after.judge(Some("N"));
}

#[test]
fn debian_12_with_initramfs_tools() {
    becomes_shared("bookworm-initramfs-tools", Some(true));
}

#[test]
fn debian_13_with_dracut() {
    becomes_shared("trixie-dracut", Some(true));
}

/// Whether dracut takes the driver unasked has changed and may change again.
#[test]
fn debian_testing_with_dracut() {
    becomes_shared("testing-dracut", None);
}

/// dracut makes an image for any machine without what is in /etc.
#[test]
fn an_option_in_modprobe_d_alone_does_not_reach_dracuts_image() {
    let Some(system) = System::new("trixie-dracut") else {
        return;
    };
    system.sh("echo options firewire-sbp2 exclusive_login=0 > /etc/modprobe.d/fwshare.conf");
    system.rebuild();
    if let Some(seen) = Observed::boot(&system, "size=1M", "") {
        seen.judge(Some("Y"));
    }
}
