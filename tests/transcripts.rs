//! What a user sees on the terminal: the happy path and common faults, word by word.
//!
//! The transcripts are in `fixtures/transcripts`. After a change of words, look at the difference,
//! and keep it with `SNAPSHOTS=overwrite cargo test -p fwshare-tests --test transcripts`.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fwshare_tests::{Lab, fwshare, judge, needs_root, skipped};

const BRIDGE: &str = "profile=oxfw911,size=64M";

/// A terminal, and all that was seen on it.
struct Terminal {
    /// Where its user is.
    folder: PathBuf,
    /// What the commands are run by, if not directly.
    wrapper: Vec<String>,
    seen: String,
}

/// A command that runs in the background.
struct Job {
    child: Child,
    said: BufReader<PipeReader>,
}

impl Terminal {
    fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            wrapper: Vec::new(),
            seen: String::new(),
        }
    }

    fn at(lab: &Lab) -> Self {
        Self::in_folder(&lab.path(""))
    }

    /// `fwshare` with these words, after the prompt.
    fn start(&mut self, words: &str) -> Job {
        self.seen += &format!("$ fwshare {words}\n");
        let program = fwshare().get_program().to_owned();
        let mut command = match &self.wrapper[..] {
            [] => Command::new(program),
            [wrapper, arguments @ ..] => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
        };
        let (said, says) = std::io::pipe().unwrap();
        command
            .args(words.split(' '))
            .current_dir(&self.folder)
            .env("FWSHARE_RUN_DIR", self.folder.join("run"))
            .env_remove("FWSHARE_LOG")
            .stdin(Stdio::null())
            .stdout(says.try_clone().unwrap())
            .stderr(says);
        Job {
            child: command.spawn().unwrap(),
            said: BufReader::new(said),
        }
    }

    /// Waits until a command in the background has said something.
    fn see(&mut self, job: &mut Job, words: &str) {
        loop {
            let mut line = String::new();
            let length = job.said.read_line(&mut line).unwrap();
            assert!(length > 0, "\"{words}\" was not said:\n{}", self.seen);
            self.seen += &line;
            if line.contains(words) {
                return;
            }
        }
    }

    /// Waits for a command's end.
    fn end(&mut self, mut job: Job) {
        let mut line = String::new();
        while job.said.read_line(&mut line).unwrap() > 0 {
            self.seen += &std::mem::take(&mut line);
        }
        let status = job.child.wait().unwrap();
        if !status.success() {
            self.seen += &format!("[{status}]\n");
        }
    }

    fn run(&mut self, words: &str) {
        let job = self.start(words);
        self.end(job);
    }

    fn interrupt(&mut self, job: Job) {
        self.seen += "^C\n";
        let id = job.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        self.end(job);
    }

    /// Compares it with the transcript of this name.
    fn is(self, name: &str) {
        let folder = self.folder.canonicalize().unwrap();
        let folder = folder.display().to_string();
        let seen = self.seen.replace(folder.trim_end_matches('/'), "/tmp/lab");
        let seen = without_number(&seen, "/dev/loop");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures/transcripts")
            .join(name);
        let expected = snapbox::Data::read_from(&path, Some(snapbox::data::DataFormat::Text));
        snapbox::Assert::new()
            .action_env(snapbox::assert::DEFAULT_ACTION_ENV)
            .eq(seen, expected.raw());
    }
}

/// Which number the kernel gives is its own affair.
fn without_number(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let number = if rest.len() < part.len() { "N" } else { "" };
        text + before + number + rest
    })
}

/// Whether there can be loop devices.
fn can_loop() -> bool {
    let driver = Path::new("/dev/loop-control").exists();
    if !driver {
        skipped("needs /dev/loop-control (the kernel's loop driver)");
    }
    driver && needs_root()
}

const LOGIN: &str = "login --shared --bus bus/host0";

#[test]
fn the_happy_path() {
    if !can_loop() {
        return;
    }
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    terminal.run("scan --bus bus/host0");
    let mut login = terminal.start(&format!(
        "{LOGIN} --export file:disk,loop --export nbd:unix:disk.sock"
    ));
    terminal.see(&mut login, "ready");
    terminal.interrupt(login);
    terminal.is("happy-path.txt");
}

#[test]
fn it_is_ended_from_elsewhere() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    let mut login = terminal.start(&format!("{LOGIN} --export nbd:unix:disk.sock"));
    terminal.see(&mut login, "ready");
    terminal.run("logout --all");
    terminal.end(login);
    terminal.run("status");
    terminal.is("logout.txt");
}

#[test]
fn no_permission() {
    let Some(setpriv) = judge("setpriv") else {
        return;
    };
    if !needs_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bus = folder.path().join("dev");
    fs::create_dir(&bus).unwrap();
    let node = File::create(bus.join("fw0")).unwrap();
    let nobodys = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    node.set_permissions(nobodys).unwrap();
    let mut terminal = Terminal::in_folder(folder.path());
    let setpriv = setpriv.command().get_program().to_str().unwrap().to_owned();
    // Root without the right to open whatever it wants.
    let without = "--bounding-set=-dac_override,-dac_read_search";
    terminal.wrapper = vec![setpriv, without.to_owned()];
    terminal.run("login --shared --bus dev");
    terminal.is("no-permission.txt");
}

#[test]
fn no_disk() {
    let Some(lab) = Lab::start(2, &[]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    terminal.run(LOGIN);
    terminal.is("no-disk.txt");
}

#[test]
fn held_exclusively() {
    let Some(lab) = Lab::start(2, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    let mut other = terminal.start("login --exclusive --bus bus/host1");
    terminal.see(&mut other, "ready");
    terminal.run(LOGIN);
    terminal.interrupt(other);
    terminal.is("held-exclusively.txt");
}

#[test]
fn wrong_guid() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    terminal.run("login --shared 00a0b8 --bus bus/host0");
    terminal.is("wrong-guid.txt");
}

#[test]
fn socket_in_use() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let _other = std::os::unix::net::UnixListener::bind(lab.path("disk.sock")).unwrap();
    let mut terminal = Terminal::at(&lab);
    terminal.run(&format!("{LOGIN} --export nbd:unix:disk.sock"));
    terminal.is("socket-in-use.txt");
}

/// A terminal on a system that has these devices only.
fn with_devices_only(lab: &Lab, devices: &[&str]) -> Option<Terminal> {
    let unshare = judge("unshare")?;
    if !needs_root() {
        return None;
    }
    let mut script = "set -e\nmkdir -p dev\nmount -t tmpfs dev dev\n".to_owned();
    for device in devices {
        script += &format!("touch dev/{device}\nmount --bind /dev/{device} dev/{device}\n");
    }
    script += "mount --move dev /dev\nexec \"$@\"\n";
    let unshare = unshare.command().get_program().to_str().unwrap().to_owned();
    let mut terminal = Terminal::at(lab);
    terminal.wrapper = [&unshare, "--mount", "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .to_vec();
    Some(terminal)
}

#[test]
fn no_loop_module() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let Some(mut terminal) = with_devices_only(&lab, &["null", "fuse"]) else {
        return;
    };
    terminal.run(&format!("{LOGIN} --export file:disk,loop"));
    terminal.is("no-loop-module.txt");
}

#[test]
fn no_fuse() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let Some(mut terminal) = with_devices_only(&lab, &["null"]) else {
        return;
    };
    terminal.run(&format!("{LOGIN} --export file:disk,loop"));
    terminal.is("no-fuse.txt");
}

#[test]
fn image_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::in_folder(folder.path());
    terminal.run("login --shared --bus emulated:image=disk.img");
    terminal.run("serve --image disk.img");
    terminal.is("image-gone.txt");
}

#[test]
fn bridge_unplugged() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    let mut login = terminal.start(&format!("{LOGIN} --export nbd:unix:disk.sock"));
    terminal.see(&mut login, "ready");
    lab.ctl(&["unplug", "bridge0"]);
    terminal.see(&mut login, "lost");
    lab.ctl(&["replug", "bridge0"]);
    terminal.see(&mut login, "again");
    terminal.interrupt(login);
    terminal.is("bridge-unplugged.txt");
}

#[test]
fn two_daemons_for_one_disk() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let mut terminal = Terminal::at(&lab);
    let mut first = terminal.start(&format!("{LOGIN} --export nbd:unix:disk.sock"));
    terminal.see(&mut first, "ready");
    terminal.run(&format!("{LOGIN} --export nbd:unix:other.sock"));
    terminal.interrupt(first);
    terminal.is("two-daemons.txt");
}
