//! `fwlab vm` and the controllers of `fwlab bus`, as their users have them.

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use tempfile::TempDir;

use support::{spec, tell};

/// The longest that anything takes here that ends at all, on a machine that is busy.
const SOON: Duration = Duration::from_secs(120);

fn fwlab() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fwlab"))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command with a folder for its temporary files, in which nothing else is.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn vm(&self) -> Command {
        let mut command = fwlab();
        command.arg("vm").env("TMPDIR", self.0.path());
        command.stdin(Stdio::null());
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the guest has as /host.
    fn host(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.0.path()).expect("a folder");
        let found = entries.find_map(|entry| {
            let host = entry.expect("an entry").path().join("host");
            host.is_dir().then_some(host)
        });
        found.expect("a guest's folder")
    }

    fn is_empty(&self) -> bool {
        let mut entries = fs::read_dir(self.0.path()).expect("a folder");
        entries.next().is_none()
    }

    /// The QEMU that was told of this folder, if it runs.
    fn machine(&self) -> Option<Pid> {
        let place = self.0.path().to_string_lossy().into_owned();
        let mut processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes.find_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let line = text(&fs::read(entry.path().join("cmdline")).ok()?);
            let is_it = line.contains("vfio-user-pci") && line.contains(&place);
            is_it.then(|| Pid::from_raw(process))
        })
    }

    fn has_machine(&self) -> bool {
        self.machine().is_some()
    }
}

/// Waits until there is something to read, which has to come.
fn expect_input(from: impl AsFd, what: &str) {
    let mut ends = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(SOON).expect("a time");
    assert!(
        poll(&mut ends, patience).expect("a descriptor") > 0,
        "{what}"
    );
}

/// The next line, which comes in one piece.
fn line(from: &mut BufReader<ChildStdout>) -> String {
    if from.buffer().is_empty() {
        expect_input(from.get_ref(), "a line");
    }
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line
}

/// `fwlab`, which does not outlive a test that fails.
struct Fwlab(Child);

impl Fwlab {
    fn start(command: &mut Command) -> (Self, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fwlab");
        let stdout = child.stdout.take().expect("a pipe");
        (Self(child), BufReader::new(stdout))
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("a process");
    }

    /// Waits for its end: its exit code.
    fn end(&mut self) -> Option<i32> {
        self.0.wait().expect("an end").code()
    }
}

impl Drop for Fwlab {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.send(Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

#[test]
fn a_command_has_its_files_is_heard_while_it_runs_and_its_status_is_passed_on() {
    if spec().is_none() {
        return;
    }
    let (place, files) = (Place::new(), Place::new());
    fs::write(files.file("note"), "from outside\n").expect("a file");
    let mut command = place.vm();
    command
        .arg("--file")
        .arg(files.file("note"))
        .args(["--module", "sd_mod", "--module", "firewire-sbp2"])
        .arg("--fetch")
        .arg(format!("/root/out:{}", files.file("fetched").display()))
        .args(["--with", "sha256sum"])
        .arg("--run")
        .arg(
            "cat /root/note; until [ -e /host/go ]; do sleep 0.1; done
             mkdir -p /root/out/deep && echo result > /root/out/deep/file
             sha256sum --version | head -n 1 >&2
             until [ -b /dev/sda ]; do sleep 0.1; done; cat /sys/block/sda/size; exit 7",
        );
    let (mut vm, mut said) = Fwlab::start(&mut command);
    // It goes on when this has been heard.
    assert_eq!(line(&mut said), "from outside\n");
    fs::write(place.host().join("go"), "").expect("a file");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("its output");
    assert!(rest.contains("GNU coreutils"), "{rest}");
    // A bridge was there without being asked for: 64 MiB.
    assert!(rest.ends_with("\n131072\n"), "{rest}");
    assert_eq!(vm.end(), Some(7));
    let fetched = fs::read_to_string(files.file("fetched/deep/file"));
    assert_eq!(fetched.expect("a file"), "result\n");
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_command_that_takes_too_long_is_left_and_what_it_has_is_fetched() {
    if spec().is_none() {
        return;
    }
    let (place, files) = (Place::new(), Place::new());
    let output = place
        .vm()
        .current_dir(files.0.path())
        .args(["--console", "--memory", "256", "--timeout", "3"])
        .args(["--kernel-argument", "loglevel=7"])
        .args(["--fetch", "/root/part", "--fetch", "/root/none"])
        .args(["--run", "echo part > /root/part; sleep 1000"])
        .output()
        .expect("fwlab");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("Linux version"), "{said}");
    assert!(said.contains("nothing after 3 s"), "{said}");
    assert!(
        said.contains("cannot fetch: ") && said.contains("/root/none"),
        "{said}"
    );
    let part = fs::read_to_string(files.file("part"));
    assert_eq!(part.expect("a file"), "part\n");
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_kernel_that_crashes_is_told_from_a_command_that_fails() {
    if spec().is_none() {
        return;
    }
    let place = Place::new();
    let output = place
        .vm()
        .args(["--memory", "256", "--bridge", "size=1M"])
        .args(["--run", "echo c > /proc/sysrq-trigger; sleep 1000"])
        .output()
        .expect("fwlab");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(
        said.contains("guest1 has ended") && said.contains("not syncing: sysrq"),
        "{said}"
    );
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_killed_command_leaves_nothing_behind() {
    if spec().is_none() {
        return;
    }
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(143))] {
        let place = Place::new();
        let mut command = place.vm();
        command.args(["--memory", "256", "--run", "echo up; sleep 1000"]);
        let (mut vm, mut said) = Fwlab::start(&mut command);
        assert_eq!(line(&mut said), "up\n");
        // It cannot end by itself, as it would on hearing that its host is gone.
        kill(place.machine().expect("QEMU"), Signal::SIGSTOP).expect("a process");
        vm.send(signal);
        assert_eq!(vm.end(), code);
        if code.is_none() {
            // Somebody else has to tidy up.
            until("QEMU ends", || !place.has_machine());
            until("the files go", || place.is_empty());
        }
        assert!(place.is_empty() && !place.has_machine());
    }
}

/// A terminal with `fwlab vm --shell` in it.
struct Terminal {
    ours: File,
    theirs: File,
    heard: String,
    vm: Fwlab,
}

impl Terminal {
    fn open(command: &mut Command) -> Self {
        let pty = openpty(None, None).expect("a terminal");
        let theirs = File::from(pty.slave);
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        // What is said on standard error is not the guest's.
        command.stdin(end()).stdout(end()).stderr(Stdio::null());
        Self {
            ours: pty.master.into(),
            vm: Fwlab(command.spawn().expect("fwlab")),
            theirs,
            heard: String::new(),
        }
    }

    fn key(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Reads until this has come, and forgets what came up to there.
    fn expect(&mut self, expected: &str) {
        let mut part = [0; 1024];
        loop {
            if let Some(at) = self.heard.find(expected) {
                self.heard.drain(..at + expected.len());
                return;
            }
            let missing = format!("{expected:?} does not come, but {:?}", self.heard);
            expect_input(&self.ours, &missing);
            let length = self.ours.read(&mut part).expect("a terminal");
            self.heard.push_str(&text(&part[..length]));
        }
    }

    fn is_raw(&self) -> bool {
        let terminal = tcgetattr(&self.theirs).expect("a terminal");
        !terminal
            .local_flags
            .contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Waits for the end, after which the terminal has to be as it was.
    fn end(mut self) -> Option<i32> {
        let status = self.vm.end();
        assert!(!self.is_raw());
        status
    }
}

#[test]
fn a_shell_at_a_terminal_has_all_its_keys_and_its_status_is_passed_on() {
    if spec().is_none() {
        return;
    }
    let place = Place::new();
    let mut command = place.vm();
    // No --shell: that is what a terminal gets.
    let mut terminal = Terminal::open(command.args(["--number", "9", "--memory", "256"]));
    terminal.expect("guest9:~# ");
    assert!(terminal.is_raw());
    terminal.key("until [ -e /dev/fw1 ]; do sleep 0.1; done; ls /dev/fw1; sleep 1000\r");
    terminal.expect("\r\n/dev/fw1\r\n");
    // The guest's sleep is interrupted, and not fwlab.
    terminal.key("\x03");
    terminal.expect("guest9:~# ");
    terminal.key("echo $((6 * 7)) $TERM; exit 5\r");
    terminal.expect("\r\n42 ");
    assert_eq!(terminal.end(), Some(5));
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_shell_can_be_left_by_force_and_the_terminal_is_as_before() {
    if spec().is_none() {
        return;
    }
    let place = Place::new();
    let open = || {
        let mut terminal = Terminal::open(place.vm().args(["--shell", "--memory", "256"]));
        terminal.expect("guest1:~# ");
        assert!(terminal.is_raw());
        terminal
    };
    let mut terminal = open();
    terminal.key("\x1d\x1d\x1d");
    assert_eq!(terminal.end(), Some(125));
    let terminal = open();
    terminal.vm.send(Signal::SIGTERM);
    assert_eq!(terminal.end(), Some(143));
    assert!(place.is_empty() && !place.has_machine());
}

/// `fwlab bus`, until it is stopped.
struct Bus {
    files: Place,
    process: Fwlab,
    said: String,
}

impl Bus {
    /// `None`: there is no FUSE here, and the user has been told.
    fn start(arguments: &[&str]) -> Option<Self> {
        if !Path::new("/dev/fuse").exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "this test needs /dev/fuse"
            );
            tell("skipped: needs /dev/fuse");
            return None;
        }
        let files = Place::new();
        let mut command = fwlab();
        command.current_dir(files.0.path());
        let (process, mut stdout) =
            Fwlab::start(command.args(["bus", "lab", "--json"]).args(arguments));
        let said = line(&mut stdout);
        Some(Self {
            files,
            process,
            said,
        })
    }

    fn stop(&mut self) -> Option<i32> {
        self.process.send(Signal::SIGTERM);
        self.process.end()
    }
}

#[test]
fn two_machines_and_a_bridge_are_on_one_bus_and_on_one_network() {
    if spec().is_none() {
        return;
    }
    let arguments = "--hosts 0 --bridge size=1M --topology star --controller vm0 --controller vm1 \
                     --network net";
    let arguments: Vec<_> = arguments.split(' ').collect();
    let Some(mut bus) = Bus::start(&arguments) else {
        return;
    };
    let expected = "\"controllers\":[\"vm0\",\"vm1\"]";
    assert!(bus.said.contains(expected), "{}", bus.said);
    assert!(bus.said.contains("\"network\":\"net\""), "{}", bus.said);

    let places = [Place::new(), Place::new()];
    let machines = [(1, "vm0", 2), (2, "vm1", 1)];
    let mut machines: Vec<_> = places
        .iter()
        .zip(machines)
        .map(|(place, (number, controller, other))| {
            let mut command = place.vm();
            command
                .args(["--memory", "256", "--number", &number.to_string()])
                .arg("--controller")
                .arg(bus.files.file(controller))
                .arg("--network")
                .arg(bus.files.file("net"))
                .arg("--run")
                .arg(format!(
                    "until [ -e /dev/fw2 ]; do sleep 0.1; done; echo /dev/fw*
                     until ping -c 1 -w 1 10.87.0.{other} > /dev/null; do :; done; echo reached
                     until [ -e /host/go ]; do sleep 0.1; done"
                ));
            Fwlab::start(&mut command)
        })
        .collect();
    for (_, said) in &mut machines {
        assert_eq!(line(said), "/dev/fw0 /dev/fw1 /dev/fw2\n");
        assert_eq!(line(said), "reached\n");
    }
    let output = fwlab()
        .arg("ctl")
        .arg(bus.files.file("lab"))
        .arg("show")
        .output();
    let shown = text(&output.expect("fwlab").stdout);
    for node in ["vm0", "vm1", "bridge0"] {
        assert!(shown.contains(node), "{shown}");
    }
    // A third one finds both in use.
    let mut third = Place::new().vm();
    third
        .arg("--controller")
        .arg(bus.files.file("vm1"))
        .args(["--run", "true"]);
    let refused = third.output().expect("fwlab");
    let said = text(&refused.stderr);
    assert!(said.contains("in use by another virtual machine"), "{said}");
    assert_eq!(refused.status.code(), Some(125));

    for (place, (vm, _)) in places.iter().zip(&mut machines) {
        fs::write(place.host().join("go"), "").expect("a file");
        assert_eq!(vm.end(), Some(0));
    }
    assert_eq!(bus.stop(), Some(0));
    assert!(bus.files.is_empty(), "the sockets and the folder are gone");
}

/// What fwlab says of what cannot be.
fn refused(arguments: &[&str], code: i32) -> String {
    let mut command = fwlab();
    let Output { status, stderr, .. } = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("fwlab");
    let said = text(&stderr);
    assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn sockets_that_cannot_be_had_are_named_with_what_to_do() {
    let files = Place::new();
    let path = |name: &str| files.file(name).display().to_string();
    let said = refused(&["bus", &path("lab"), "--hosts", "0"], 2);
    assert!(said.contains("--controller SOCKET"), "{said}");
    fs::write(path("file"), "precious").expect("a file");
    let long = path(&"x".repeat(108));
    for option in ["--controller", "--network"] {
        for (socket, expected) in [
            (path("no/such"), format!("mkdir -p {}", path("no"))),
            (long.clone(), "107 bytes at most".to_owned()),
            (
                path("file"),
                "not a socket, so it was left alone".to_owned(),
            ),
            (path("lab/inside"), "beside that folder".to_owned()),
        ] {
            let said = refused(&["bus", &path("lab"), option, &socket], 1);
            assert!(said.contains(&expected), "{said}");
            assert!(!files.file("lab").exists());
        }
    }
    let twice = [
        "bus",
        &path("lab"),
        "--controller",
        &path("a"),
        "--network",
        &path("a"),
    ];
    let said = refused(&twice, 1);
    assert!(
        said.contains("in use") && !files.file("a").exists(),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(path("file")).expect("a file"),
        "precious"
    );
}

#[test]
fn sockets_that_a_dead_bus_has_left_are_taken_over() {
    let sockets = ["--controller", "vm0", "--network", "net"];
    let Some(mut dead) = Bus::start(&sockets) else {
        return;
    };
    let folder = dead.files.file("lab");
    dead.process.send(Signal::SIGKILL);
    assert_eq!(dead.process.end(), None);
    assert!(dead.files.file("vm0").exists() && dead.files.file("net").exists());
    let unmounted = Command::new("fusermount3").arg("-u").arg(&folder).status();
    assert!(unmounted.expect("fusermount3").success());
    let mut command = fwlab();
    command.current_dir(dead.files.0.path());
    let (process, mut stdout) = Fwlab::start(command.args(["bus", "lab", "--json"]).args(sockets));
    assert!(line(&mut stdout).contains("\"controllers\":[\"vm0\"]"));
    dead.process = process;
    assert_eq!(dead.stop(), Some(0));
    assert!(!dead.files.file("vm0").exists() && !dead.files.file("net").exists());
}

#[test]
fn a_machine_that_cannot_be_had_is_refused_with_what_to_do() {
    let said = refused(&["vm"], 2);
    assert!(said.contains("--run COMMAND"), "{said}");
    let said = refused(&["vm", "--shell"], 2);
    assert!(said.contains("standard input is no terminal"), "{said}");
    refused(&["vm", "--shell", "--run", "true"], 2);
    refused(&["vm", "--controller", "a", "--bridge", "size=1M"], 2);
    refused(&["vm", "--run", "true", "--fetch", "relative"], 2);
    let said = refused(&["vm", "--run", "true", "--qemu", "/bin/true"], 125);
    assert!(
        said.contains("no QEMU") && said.contains("vm/prepare"),
        "{said}"
    );
    if spec().is_none() {
        return;
    }
    let said = refused(&["vm", "--run", "true", "--kernel", "no-such"], 125);
    assert!(said.contains("no kernel no-such"), "{said}");
    let files = Place::new();
    let path = |name: &str| files.file(name).display().to_string();
    let socket = path("vm0");
    let said = refused(&["vm", "--run", "true", "--controller", &socket], 125);
    assert!(
        said.contains(&format!("fwlab bus DIR --controller {socket}")),
        "{said}"
    );
    // Something that is no controller.
    let _other = UnixDatagram::bind(path("net")).expect("a socket");
    let said = refused(&["vm", "--run", "true", "--controller", &path("net")], 125);
    assert!(said.contains("no controller at"), "{said}");
    let missing = path("nothing");
    let said = refused(&["vm", "--run", "true", "--network", &missing], 125);
    assert!(said.contains(&format!("--network {missing}")), "{said}");
}
