//! Lines of others that are in the way.

use crate::system::System;
use crate::tools::debian;
use crate::{OPTIONS, case, changes, tools};

const HOOK: &str = "+/etc/initramfs-tools/hooks/fwshare";

/// The line stops the command; with `--force` it is commented out, and `--remove` brings it back.
#[track_caller]
fn in_the_way(file: &str, content: &str, said: &str) {
    let system = debian(&[&format!("{file}={content}")]);
    let advice = "--force comments it out";
    case(
        &system,
        &["--no-rebuild"],
        11,
        &[said, advice, "nothing was changed"],
        &[],
    );
    let changed = [file, &format!("+{OPTIONS}"), HOOK];
    let said = case(&system, &["--no-rebuild", "--force"], 0, &[], &changed);
    // Nobody says otherwise any longer.
    assert!(!said.stdout.contains("says otherwise"), "{}", said.stdout);
    assert_eq!(system.read(file), content);
}

#[test]
fn a_later_line_that_says_otherwise() {
    in_the_way(
        "/etc/modprobe.d/zz.conf",
        "# site\noptions firewire_sbp2 exclusive_login=Y workarounds=1\n",
        "/etc/modprobe.d/zz.conf:2: sets firewire_sbp2 to exclusive logins, and it wins over ours",
    );
}

#[test]
fn one_that_goes_on_in_the_next_line() {
    in_the_way(
        "/etc/modprobe.d/zz.conf",
        "options firewire-sbp2 \\\n  exclusive_login=1",
        "/etc/modprobe.d/zz.conf:1: ",
    );
}

#[test]
fn a_hardening_guide_and_blacklists() {
    in_the_way(
        "/etc/modprobe.d/stig.conf",
        "install firewire-core /bin/false\n",
        "/etc/modprobe.d/stig.conf:1: runs \"/bin/false\" in the place of firewire_core",
    );
    in_the_way(
        "/etc/modprobe.d/blacklist-firewire.conf",
        "blacklist ohci1394\nblacklist firewire-sbp2\n",
        "blacklist-firewire.conf:2: keeps firewire_sbp2 from being loaded for a disk",
    );
}

#[test]
fn a_value_with_which_the_driver_would_not_be_loaded_at_all() {
    for value in ["2", ""] {
        in_the_way(
            "/etc/modprobe.d/aa.conf",
            &format!("options firewire-sbp2 exclusive_login={value}\n"),
            "/etc/modprobe.d/aa.conf:1: gives firewire_sbp2 a value that the kernel refuses",
        );
    }
}

#[test]
fn all_of_them_are_told_at_once() {
    let system = debian(&[
        "/etc/modprobe.d/zz.conf=options firewire-sbp2 exclusive_login=1\noptions firewire-sbp2 exclusive_login=Y\n",
        "/etc/modprobe.d/stig.conf=blacklist firewire-sbp2\n",
    ]);
    let said = ["zz.conf:1: ", "zz.conf:2: ", "stig.conf:1: "];
    case(&system, &["--no-rebuild"], 11, &said, &[]);
    let json = system.run(&["--no-rebuild", "--json"]).expect(11, &[]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["outcome"], "conflict");
    assert_eq!(json["conflicts"].as_array().unwrap().len(), 3);
}

#[test]
fn a_line_that_comes_earlier_is_beaten_and_told() {
    let system = debian(&["/etc/modprobe.d/aa.conf=options firewire-sbp2 exclusive_login=Y\n"]);
    let said =
        ["/etc/modprobe.d/aa.conf:1: says otherwise to firewire_sbp2; what is written comes later"];
    case(
        &system,
        &["--no-rebuild"],
        0,
        &said,
        &[&format!("+{OPTIONS}"), HOOK],
    );
}

#[test]
fn the_kernels_command_line_is_nobodys_to_change() {
    let grub = "/etc/default/grub=GRUB_CMDLINE_LINUX=\"quiet firewire_sbp2.exclusive_login=Y\"\n";
    let system = debian(&[grub]);
    let said = [
        "/etc/default/grub:1: ",
        "the kernel's command line beats every file",
        "take it out there",
    ];
    case(&system, &["--no-rebuild"], 11, &said, &[]);
    let said = [
        "done, but for this:",
        "/etc/default/grub:1: still says otherwise",
    ];
    case(
        &system,
        &["--no-rebuild", "--force"],
        14,
        &said,
        &[&format!("+{OPTIONS}"), HOOK],
    );
}

#[test]
fn a_file_of_another_with_our_name_comes_back() {
    let mine = "options firewire-sbp2 exclusive_login=0 workarounds=4\n";
    let system = debian(&[&format!("{OPTIONS}={mine}")]);
    case(
        &system,
        &["--no-rebuild"],
        0,
        &["changed: "],
        &[OPTIONS, HOOK],
    );
    assert_eq!(system.read(OPTIONS), mine);
}

#[test]
fn the_old_recipe_is_told_what_it_does_today() {
    let system = debian(&[
        "/etc/modprobe.d/old.conf=options sbp2 exclusive_login=0 serialize_io=1\n",
        "/etc/modprobe.d/sbp2=options sbp2 exclusive_login=0\n",
        "/etc/modules=sd_mod\nieee1394\nohci1394\nsbp2 exclusive_login=0\n",
    ]);
    let said = [
        "/etc/modprobe.d/old.conf:1: ",
        "a disk asks for firewire-sbp2",
        "/etc/modprobe.d/sbp2:1: ",
        "only if their names end in .conf",
        "/etc/modules:2: ",
        "/etc/modules:4: ",
        "systemd takes no parameters here",
    ];
    case(
        &system,
        &["--no-rebuild"],
        0,
        &said,
        &[&format!("+{OPTIONS}"), HOOK],
    );
}

#[test]
fn words_of_dracut_that_run_together_are_told() {
    let system = System::new(&[
        &tools::dracut(),
        "/etc/modprobe.d/",
        "/etc/dracut.conf.d/10-site.conf=add_drivers+=\"nvme\"\n",
    ])
    .today("6.12");
    let before = system.snapshot();
    let said = ["/etc/dracut.conf.d/10-site.conf:1: without a blank at each end"];
    system.run(&["--no-rebuild"]).expect(0, &said);
    assert_eq!(changes(&before, &system.snapshot()).len(), 5);
}
