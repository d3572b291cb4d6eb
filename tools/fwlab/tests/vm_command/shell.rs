//! A shell at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::process::{Fwlab, Place, expect_input, text};
use crate::support::spec;

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
