//! From inside it is the same as from outside, twice is the same as once, and all of it can be
//! undone.

use std::fs;

use fwshare_tests::judge;

use crate::inside::{open, paths};
use crate::setup::{done, from_inside, from_outside};
use crate::system::System;

/// No file in these two folders differs.
#[track_caller]
fn same_files(one: &System, other: &System, folder: &str) {
    let diff = judge("diff").expect("was there a moment ago");
    diff.run([
        "--recursive".as_ref(),
        "--no-dereference".as_ref(),
        one.at(folder).as_os_str(),
        other.at(folder).as_os_str(),
    ]);
}

#[track_caller]
fn same_paths(one: &System, other: &System) {
    let (one, other) = (paths(&open(one)), paths(&open(other)));
    let differences: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(differences.is_empty(), "{differences:?}");
}

fn is_the_same_both_ways(name: &str) {
    let systems = (System::new(name), System::new(name), System::new(name));
    let (Some(untouched), Some(outside), Some(inside)) = systems else {
        return;
    };
    done(&from_outside(&outside, &[]));
    done(&from_inside(&inside, &[]));
    same_files(&outside, &inside, "/etc");
    same_paths(&outside, &inside);

    let made = fs::read(inside.image()).expect("an image");
    done(&from_inside(&inside, &["--check"]));
    done(&from_inside(&inside, &[]));
    done(&from_outside(&inside, &["--check"]));
    assert!(
        made == fs::read(inside.image()).expect("an image"),
        "the image was made again"
    );
    same_files(&outside, &inside, "/etc");

    done(&from_inside(&inside, &["--remove"]));
    same_files(&untouched, &inside, "/etc");
    // The image of the installation may be another one: not all was there yet when it was made.
    untouched.rebuild();
    same_paths(&untouched, &inside);
}

#[test]
fn debian_12_with_initramfs_tools() {
    is_the_same_both_ways("bookworm-initramfs-tools");
}

#[test]
fn debian_13_with_dracut() {
    is_the_same_both_ways("trixie-dracut");
}

#[test]
fn debian_testing_with_dracut() {
    is_the_same_both_ways("testing-dracut");
}
