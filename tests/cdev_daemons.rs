//! Two hosts, each with a process of its own, share a disk over the real ioctl path.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fwshare_tests::{
    Attached, Daemon, Lab, Said, attach, fwshare, judge, pattern, python_with, run, verifying_fio,
};

const BRIDGE: &str = "profile=oxfw911,size=64M";
const MIB: u64 = 1 << 20;

/// Longer than any recovery takes, also where tests share two processors: the bridge keeps a login
/// for 3 s after a reset, and a node's file outlives the node by 2 s.
const SOON: Duration = Duration::from_secs(20);

fn stop_well(daemon: Daemon) {
    let ended = daemon.stop("INT");
    assert!(ended.status.success(), "{ended:?}");
}

fn started(command: &mut Command) -> Child {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    piped.spawn().unwrap()
}

fn ended_well(child: Child) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
}

#[test]
fn leases_and_messages_of_one_host_are_read_by_the_other() {
    let (Some(sanlock), Some(sbd)) = (judge("sanlock"), judge("sbd")) else {
        return;
    };
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let daemons = [lab.login(0), lab.login(1)];
    let attached: Vec<Attached> = daemons
        .iter()
        .filter_map(|one| attach(&one.uri(0)))
        .collect();
    let [a, b] = &attached[..] else {
        return;
    };
    let (a, b) = (a.device(), b.device());

    let space = |device: &str| format!("LS:1:{device}:0");
    sanlock.run(["direct", "init", "-s", &space(a)]);
    sanlock.run(["direct", "acquire_id", "-s", &space(a)]);
    let lease = format!("LS:RES:{a}:{MIB}");
    sanlock.run(["direct", "init", "-r", &lease]);
    let seen = sanlock.run(["direct", "dump", &format!("{b}:0:2M")]);
    let held = |line: &str| line.starts_with("00000000") && line.contains("0001 0001");
    assert!(seen.stdout.lines().any(held), "host 1 holds its id: {seen}");
    assert!(seen.stdout.contains("RES"), "{seen}");
    let seen = sanlock.run(["direct", "read_leader", "-r", &format!("LS:RES:{b}:{MIB}")]);
    assert!(seen.stdout.contains("resource_name RES"), "{seen}");

    // Without real-time priority, which containers do not give.
    let sbd = |device: &str, command: &[&str]| {
        sbd.run(
            ["-R", "-d", device, "-1", "5", "-4", "10"]
                .iter()
                .chain(command),
        )
    };
    sbd(a, &["create"]);
    assert!(
        sbd(b, &["dump"])
            .stdout
            .contains("Number of slots    : 255")
    );
    sbd(a, &["allocate", "alpha"]);
    sbd(b, &["allocate", "beta"]);
    sbd(a, &["message", "beta", "test"]);
    let seen = sbd(b, &["list"]);
    let told = |line: &str| line.contains("beta") && line.contains("test");
    assert!(seen.stdout.lines().any(told), "{seen}");
    assert!(seen.stdout.contains("alpha"), "{seen}");

    for attached in attached {
        attached.detach();
    }
    daemons.into_iter().for_each(stop_well);
}

#[test]
fn both_hosts_write_through_two_hundred_bus_resets_and_lose_nothing() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let daemons = [lab.login(0), lab.login(1)];
    let mut resets = lab.meddler(&["reset", "--count", "200", "--interval", "60"]);
    let mut resets = resets.spawn().unwrap();
    // The resets are to hit the work, so there is work as long as there are resets.
    let mut rounds = 0;
    while resets.try_wait().unwrap().is_none() {
        let halves: Vec<Child> = daemons
            .iter()
            .zip(["0", "32M"])
            .map(|(daemon, start)| {
                let start = format!("--offset={start}");
                let seed = format!("--randseed={}", 77 + rounds);
                let options = ["--size=8M", &start, &seed];
                started(&mut verifying_fio(&judge, &daemon.uri(0), &options))
            })
            .collect();
        halves.into_iter().for_each(ended_well);
        rounds += 1;
    }
    assert!(resets.wait().unwrap().success());
    assert!(lab.show()["bus"]["resets"].as_u64().unwrap() >= 200);
    assert_eq!(
        lab.bridge_counter("bridge0", "logins"),
        2,
        "every reset was survived"
    );
    daemons.into_iter().for_each(stop_well);
}

/// The bridge of this profile refuses a second login of the same initiator.
#[test]
fn a_host_whose_daemon_was_killed_is_back_at_once_and_the_other_host_goes_on() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let [first, other] = [lab.login(0), lab.login(1)];
    let options = ["--size=4M", "--offset=32M", "--loops=4"];
    let work = started(&mut verifying_fio(&judge, &other.uri(0), &options));
    let ended = first.stop("KILL");
    assert!(!ended.status.success());
    let start = Instant::now();
    let again = lab.login(0);
    let took = start.elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!(
        again.shown()["hosts"][0]["logins"]["active"]
            .as_u64()
            .unwrap_or(2),
        2
    );
    let mut check = verifying_fio(&judge, &again.uri(0), &["--size=4M"]);
    ended_well(started(&mut check));
    ended_well(work);

    // In the other order, too.
    stop_well(again);
    assert!(!other.stop("KILL").status.success());
    let [other, first] = [lab.login(1), lab.login(0)];
    [first, other].into_iter().for_each(stop_well);
}

/// As Linux's target does: such a bridge cannot be asked whose login is in the way.
#[test]
fn a_killed_daemons_login_is_found_where_the_bridge_does_not_tell_who_is_logged_in() {
    let Some(lab) = Lab::start(2, &["size=1M,query=off"]) else {
        return;
    };
    let [first, other] = [lab.login(0), lab.login(1)];
    lab.ctl(&["reset"]);
    // Until both have reconnected and noted it: the kernel tells eight bits of the generation.
    let generation = lab.show()["generation"].as_u64().unwrap() & 0xff;
    let noted = || {
        let notes = in_run_dir(&lab, "held-").into_iter();
        let notes = notes.filter_map(|name| fs::read_to_string(lab.run_dir().join(name)).ok());
        let expected = format!("\"generation\":{generation}}}");
        notes.filter(|note| note.ends_with(&expected)).count()
    };
    let start = Instant::now();
    while noted() < 2 {
        assert!(start.elapsed() < SOON, "they do not reconnect");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!first.stop("KILL").status.success());
    let again = lab.login(0);
    [again, other].into_iter().for_each(stop_well);
    assert_eq!(in_run_dir(&lab, "held-"), Vec::<String>::new());
}

/// Two disks, of which the one in use comes back last: its file has another number then, and its
/// old one is the other disk's.
#[test]
fn a_disk_that_is_unplugged_in_the_middle_of_a_write_is_known_again_by_its_guid() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let other = "profile=oxuf922,size=64M";
    let Some(lab) = Lab::start(2, &[BRIDGE, other]) else {
        return;
    };
    let mut arguments = lab.login_arguments(0);
    arguments.push("0030e000000001fa".to_owned());
    let daemon = Daemon::login(arguments);
    assert_eq!(daemon.shown()["node"], "fw1");
    let work = started(&mut verifying_fio(&judge, &daemon.uri(0), &["--size=8M"]));
    while lab.bridge_counter("bridge0", "commands") < 100 {
        std::thread::yield_now();
    }
    lab.ctl(&["unplug", "bridge0"]);
    lab.ctl(&["unplug", "bridge1"]);
    let exists = |number| lab.host(0).join(format!("fw{number}")).exists();
    let wait_for = |number, wanted| {
        let start = Instant::now();
        while exists(number) != wanted {
            assert!(start.elapsed() < SOON, "fw{number}: {}", exists(number));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for(1, false);
    wait_for(2, false);
    lab.ctl(&["renumber", "host1"]);
    lab.ctl(&["replug", "bridge1"]);
    wait_for(1, true);
    lab.ctl(&["replug", "bridge0"]);
    ended_well(work);
    wait_for(2, true);
    assert_eq!(
        lab.bridge_counter("bridge1", "logins"),
        0,
        "the other disk is left alone"
    );
    stop_well(daemon);
}

#[test]
fn a_disk_that_stays_away_ends_in_an_error_within_the_stated_time() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let mut arguments = lab.login_arguments(0);
    arguments.extend(["--replacement-timeout", "3"].map(str::to_owned));
    let daemon = Daemon::login(arguments);
    let work = started(&mut verifying_fio(&judge, &daemon.uri(0), &["--size=8M"]));
    while lab.bridge_counter("bridge0", "commands") < 100 {
        std::thread::yield_now();
    }
    lab.ctl(&["unplug", "bridge0"]);
    let start = Instant::now();
    let output = work.wait_with_output().unwrap();
    let took = start.elapsed();
    assert!(!output.status.success(), "fio is told");
    assert!(took < SOON, "{took:?}");
    // The daemon goes on looking for it.
    lab.ctl(&["replug", "bridge0"]);
    let start = Instant::now();
    while lab.bridge_counter("bridge0", "logins") < 2 {
        assert!(start.elapsed() < SOON, "no new login");
        std::thread::sleep(Duration::from_millis(20));
    }
    ended_well(started(&mut verifying_fio(
        &judge,
        &daemon.uri(0),
        &["--size=1M"],
    )));
    // What was written before is not known to be on the disk, and that is not passed over.
    let ended = daemon.stop("INT");
    assert_eq!(ended.status.code(), Some(8), "{ended:?}");
    assert!(ended.stderr.contains("check the file system"), "{ended:?}");
}

/// Power comes back, and the bridge has forgotten who was logged in.
#[test]
fn a_bridge_whose_power_fails_for_a_moment_is_used_further() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let daemons = [lab.login(0), lab.login(1)];
    lab.ctl(&["power-cycle", "bridge0"]);
    for daemon in &daemons {
        ended_well(started(&mut verifying_fio(
            &judge,
            &daemon.uri(0),
            &["--size=1M"],
        )));
    }
    assert_eq!(lab.bridge_counter("bridge0", "logins"), 4);
    daemons.into_iter().for_each(stop_well);
}

#[test]
fn lost_late_and_doubled_packets_change_nothing() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    for meddling in [
        &[
            "packets",
            "drop",
            "--count",
            "1",
            "--from",
            "host0",
            "--kind",
            "write-block",
        ][..],
        &[
            "packets",
            "drop",
            "--count",
            "1",
            "--from",
            "bridge0",
            "--kind",
            "read-block",
        ],
        &[
            "packets", "delay", "--by", "30", "--count", "5", "--from", "bridge0",
        ],
        &["packets", "duplicate", "--count", "20", "--from", "bridge0"],
        &["packets", "lose-ack", "--count", "1", "--to", "bridge0"],
    ] {
        lab.ctl(meddling);
        ended_well(started(&mut verifying_fio(
            &judge,
            &daemon.uri(0),
            &["--size=256K"],
        )));
    }
    let shown = lab.show();
    assert!(shown["bus"]["faults"].as_u64().unwrap() >= 28, "{shown}");
    assert_eq!(shown["rules"], 0, "{shown}");
    stop_well(daemon);
}

fn asked(lab: &Lab, verb: &str, arguments: &[&str]) -> Said {
    let mut command = fwshare();
    command
        .arg(verb)
        .arg("--run-dir")
        .arg(lab.run_dir())
        .args(arguments);
    run(&mut command, &[])
}

/// What is left there of sockets or notes.
fn in_run_dir(lab: &Lab, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(lab.run_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// What a host's daemon says that it has refused, by kind.
fn refused(lab: &Lab, host: &str, kind: &str) -> u64 {
    let said = asked(lab, "status", &["--json"]);
    assert!(said.success(), "{said}");
    let shown: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let logins = shown["logins"].as_array().unwrap();
    let mut hosts = logins
        .iter()
        .flat_map(|login| login["hosts"].as_array().unwrap());
    let host = hosts
        .find(|one| one["guid"] == host)
        .expect("the host's login");
    host["refused"][kind]
        .as_u64()
        .unwrap_or_else(|| panic!("{kind}: {said}"))
}

#[test]
fn running_logins_are_shown_and_ended_in_good_order() {
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    assert_eq!(asked(&lab, "status", &[]).status.code(), Some(21));
    let [mut first, other] = [lab.login(0), lab.login(1)];
    lab.ctl(&["reset"]);
    let said = asked(&lab, "status", &[]);
    assert!(said.success(), "{said}");
    let target = "0030e000000001fa:0";
    assert_eq!(said.stdout.matches(target).count(), 2, "{said}");
    assert!(
        said.stdout.contains("host0.sock") && said.stdout.contains("host1.sock"),
        "{said}"
    );
    assert!(asked(&lab, "status", &["0030e:0"]).success());
    assert_eq!(asked(&lab, "status", &["0030e:1"]).status.code(), Some(21));
    assert_eq!(asked(&lab, "logout", &["ff"]).status.code(), Some(21));

    // A killed one leaves its socket behind, and that is not taken for a login.
    assert!(!other.stop("KILL").status.success());
    assert_eq!(asked(&lab, "status", &[]).stdout.matches(target).count(), 1);
    let said = asked(&lab, "logout", &["--all"]);
    assert!(
        said.success() && said.stdout.contains("flushed and logged out"),
        "{said}"
    );
    let ended = first.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(asked(&lab, "status", &[]).status.code(), Some(21));
    assert_eq!(in_run_dir(&lab, "login-"), Vec::<String>::new());
}

/// A tree as sysfs has it, in which the kernel's driver has the disk's unit.
#[test]
fn a_disk_that_the_kernels_driver_has_is_told_and_taken_only_when_wanted() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let sysfs = lab.path("sys");
    let drivers = sysfs.join("bus/firewire/drivers/firewire_sbp2");
    let unit = sysfs.join("bus/firewire/devices/fw1.0");
    fs::create_dir_all(&drivers).unwrap();
    fs::create_dir_all(unit.join("host3/target3:0:0/3:0:0:0/block/sdz")).unwrap();
    let link = unit.join("driver");
    std::os::unix::fs::symlink(&drivers, &link).unwrap();
    for name in ["bind", "unbind"] {
        let made = Command::new("mkfifo").arg(drivers.join(name)).status();
        assert!(made.unwrap().success());
    }
    let sysfs = sysfs.to_str().unwrap();
    let bus = lab.host(0);
    let said = run(
        fwshare()
            .args(["scan", "--sysfs", sysfs, "--bus"])
            .arg(&bus),
        &[],
    );
    assert!(
        said.stdout
            .contains("driver firewire_sbp2 has fw1.0 (disk sdz)"),
        "{said}"
    );

    let mut arguments = lab.login_arguments(0);
    arguments.extend(["--sysfs", sysfs].map(str::to_owned));
    let said = run(fwshare().arg("login").args(&arguments), &[]);
    assert_eq!(said.status.code(), Some(6), "{said}");
    assert!(said.stderr.contains("--unbind-kernel"), "{said}");
    assert_eq!(lab.bridge_counter("bridge0", "logins"), 0);

    // In the place of the kernel: it lets go of the unit, and takes it again at the end.
    let unbind = drivers.join("unbind");
    let kernel = std::thread::spawn(move || {
        let name = fs::read_to_string(unbind).unwrap();
        fs::remove_file(link).unwrap();
        name
    });
    arguments.push("--unbind-kernel".to_owned());
    let daemon = Daemon::login(arguments);
    assert_eq!(kernel.join().unwrap(), "fw1.0");
    let bind = drivers.join("bind");
    let kernel = std::thread::spawn(move || fs::read_to_string(bind).unwrap());
    stop_well(daemon);
    assert_eq!(kernel.join().unwrap(), "fw1.0");
}

/// Another host writes into the memory of a login, by libhinawa.
#[test]
fn a_stranger_who_writes_into_a_logins_memory_gets_nothing_and_is_counted() {
    let module = "import gi; gi.require_version('Hinawa', '3.0')";
    let Some(python) = python_with(module, "gir1.2-hinawa-3.0 python3-gi") else {
        return;
    };
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    let victim = daemon.shown()["hosts"][0]["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/stranger.py");
    let mut command = python.command();
    command.arg(script).arg(lab.host(1)).arg(&victim);
    let said = run(&mut command, &[]);
    assert!(said.success(), "{said}");
    assert_eq!(refused(&lab, &victim, "wrong_node"), 20);
    let ended = daemon.stop("INT");
    assert!(ended.status.success(), "{ended:?}");
    let told = ended.stderr.matches("another node than the target").count();
    assert_eq!(told, 1, "in the log once: {ended:?}");
}

/// The command to which it belonged has no status then, and is asked for anew.
#[test]
fn a_garbled_status_block_ends_no_command_that_it_does_not_belong_to() {
    let Some(judge) = judge("fio") else {
        return;
    };
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    lab.ctl(&["corrupt-status", "bridge0", "--count", "1"]);
    ended_well(started(&mut verifying_fio(
        &judge,
        &daemon.uri(0),
        &["--size=256K"],
    )));
    let host = daemon.shown()["hosts"][0]["guid"].as_str().unwrap();
    assert_eq!(refused(&lab, host, "foreign_status"), 1);
    stop_well(daemon);
}

/// What was acknowledged is in the image, whoever is killed.
#[test]
fn the_end_of_the_bus_is_the_end_of_the_daemons_and_no_write_is_lost() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    for signal in ["TERM", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        fs::write(&image, vec![0; 4 * MIB as usize]).unwrap();
        let bridge = format!("image={}", image.display());
        let Some(mut lab) = Lab::start(2, &[&bridge]) else {
            return;
        };
        let mut daemons = [lab.login(0), lab.login(1)];
        let data = folder.path().join("data");
        fs::write(&data, pattern(4 * MIB as usize, 5)).unwrap();
        nbdcopy.run([
            "--flush".as_ref(),
            data.as_os_str(),
            daemons[0].uri(0).as_ref(),
        ]);
        let ended = lab.stop(signal);
        assert_eq!(ended.status.success(), signal == "TERM", "{ended:?}");
        for daemon in &mut daemons {
            let ended = daemon.wait();
            assert_eq!(ended.status.code(), Some(7), "{ended:?}");
            assert!(ended.stderr.contains("is gone"), "{ended:?}");
        }
        assert!(
            fs::read(&image).unwrap() == fs::read(&data).unwrap(),
            "{signal}"
        );
        if signal == "TERM" {
            assert!(!lab.bus().exists(), "it has taken the folder away again");
            continue;
        }
        // A second bus there says what is in the way.
        let mut command = fwshare_tests::fwlab();
        let said = run(command.arg("bus").arg(lab.bus()), &[]);
        assert!(
            !said.success() && said.stderr.contains("fusermount3 -u"),
            "{said}"
        );
        let unmounted = Command::new("fusermount3")
            .arg("-u")
            .arg(lab.bus())
            .status()
            .unwrap();
        assert!(unmounted.success());
    }
}
