//! The driver as early boot loads it, by the modalias of a unit on the bus.

use crate::observed::Observed;
use crate::setup;
use crate::system::System;

/// The image as its distribution makes it asks for an exclusive login, if it has the driver; with
/// our files it does not.
fn is_shared_with_our_files_only(name: &str, has_the_driver: bool) {
    let Some(system) = System::new(name) else {
        return;
    };
    let Some(before) = Observed::boot(&system, "size=1M", "") else {
        return;
    };
    if has_the_driver {
        assert_eq!(before.exclusive_login(), Some("Y"), "{before:?}");
        assert_eq!(before.logins(), [true], "{before:?}");
        assert!(before.disk().is_some(), "{before:?}");
    } else {
        assert_eq!(before.exclusive_login(), None, "{before:?}");
        assert!(before.logins().is_empty(), "{before:?}");
    }
    setup::shared(&system);
    let after = Observed::boot(&system, "size=1M", "").expect("what was there before");
    assert_eq!(after.exclusive_login(), Some("N"), "{after:?}");
    assert_eq!(after.logins(), [false], "{after:?}");
    assert!(after.disk().is_some(), "{after:?}");
}

#[test]
fn debian_12_with_initramfs_tools() {
    is_shared_with_our_files_only("bookworm-initramfs-tools", true);
}

#[test]
fn debian_13_with_dracut() {
    is_shared_with_our_files_only("trixie-dracut", true);
}

/// dracut makes this image for the machine that it runs on, which has no FireWire.
#[test]
fn debian_testing_with_dracut() {
    is_shared_with_our_files_only("testing-dracut", false);
}
