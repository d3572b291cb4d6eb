//! A process whose system calls fail, or that ends at one.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::system::Deed;

/// The calls that have to do with files. Memory is not among them: without it Rust programs end.
/// Neither is fcntl, with which the standard library checks itself before it closes.
const CALLS: &str = "openat,openat2,read,pread64,write,pwrite64,lseek,close,fsync,fdatasync,\
    rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,\
    fchmod,fchmodat,chown,fchown,fchownat,ftruncate,stat,lstat,fstat,newfstatat,statx,readlink,\
    readlinkat,access,faccessat,faccessat2,flock,getdents64,flistxattr,fgetxattr,fsetxattr,\
    fremovexattr";

/// The variables that tell the process what to do.
pub(crate) const DEED: &str = "FWSHARE_TEST_DEED";
pub(crate) const ROOT: &str = "FWSHARE_TEST_ROOT";

/// Files that are not there. Looking for them marks where the deed begins and ends.
pub(crate) const BEGIN: &str = "/fwshare-test-begins";
pub(crate) const END: &str = "/fwshare-test-ends";

/// How a process says that it failed in good order.
pub(crate) const FAILED: i32 = 3;

/// A system call of the deed.
pub(crate) struct Call {
    pub(crate) name: String,
    /// Its number among all of its thread that have this name, as strace counts them.
    pub(crate) number: usize,
    /// How many there are of each name before this one, or in the test harness if more.
    before: BTreeMap<String, usize>,
    /// The call as strace writes it.
    pub(crate) text: String,
}

impl Call {
    /// Whether it changes anything, or waits for that. A process that ends at another call might
    /// as well have ended at the next one that does.
    pub(crate) fn is_change(&self) -> bool {
        const LOOKS: &[&str] = &[
            "openat",
            "openat2",
            "read",
            "lseek",
            "close",
            "fstat",
            "newfstatat",
            "statx",
            "readlinkat",
            "faccessat",
            "faccessat2",
            "flock",
            "getdents64",
            "flistxattr",
            "fgetxattr",
        ];
        self.text.contains("O_CREAT") || !LOOKS.contains(&&*self.name)
    }
}

/// strace counts for each thread on its own. What meets a call of the deed must not meet one
/// with which the test harness starts, so the deed's have higher numbers.
pub(crate) fn lead() {
    for _ in 0..60 {
        nix::sys::stat::stat("/dev/null").unwrap();
        fs::write("/dev/null", fs::read("/dev/null").unwrap()).unwrap();
        fs::write("/dev/null", ".").unwrap();
    }
}

/// What the call meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It fails.
    Error(&'static str),
    /// It fails, and all later ones do.
    From(&'static str),
    /// The process ends there.
    Kill,
}

/// The calls of a deed that nothing happens to.
pub(crate) fn calls(strace: &Path, deed: Deed, root: &Path) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = traced(strace, CALLS, deed, root);
    let (end, said) = run(command.arg("-o").arg(log.path()));
    assert!(end.success(), "{deed:?}: {end} {said}");
    let log = fs::read_to_string(log.path()).unwrap();
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    let lines = lines.map(|(thread, call)| (thread, call.trim()));
    let lines = lines.filter(|(_, call)| !call.starts_with('<'));
    let (deeds, _) = lines
        .clone()
        .find(|(_, call)| call.contains(BEGIN))
        .unwrap();
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for (_, call) in lines.clone().filter(|(thread, _)| *thread != deeds) {
        *others.entry(name(call).to_owned()).or_default() += 1;
    }
    let mut own: BTreeMap<String, usize> = BTreeMap::new();
    let calls = lines.filter(|(thread, _)| *thread == deeds);
    let calls = calls.map(|(_, text)| {
        let name = name(text).to_owned();
        let mut before = others.clone();
        for (name, count) in &own {
            let most = before.entry(name.clone()).or_default();
            *most = (*most).max(*count);
        }
        let number = own.entry(name.clone()).or_default();
        *number += 1;
        Call {
            number: *number,
            before,
            text: text.to_owned(),
            name,
        }
    });
    let calls = calls.skip_while(|call| !call.text.contains(BEGIN)).skip(1);
    let calls: Vec<_> = calls.take_while(|call| !call.text.contains(END)).collect();
    for call in &calls {
        let others = others.get(&call.name).copied().unwrap_or(0);
        assert!(
            call.number > others,
            "{}: the harness has {others}",
            call.text
        );
    }
    calls
}

/// The same, with something happening to one call.
pub(crate) fn with(
    strace: &Path,
    deed: Deed,
    root: &Path,
    call: &Call,
    fault: Fault,
) -> ExitStatus {
    let log = tempfile::NamedTempFile::new().unwrap();
    // Each call that is stopped at takes its time.
    let stops = match fault {
        Fault::Error(_) | Fault::Kill => &call.name,
        Fault::From(_) => CALLS,
    };
    let mut command = traced(strace, stops, deed, root);
    // With a filter strace 6.1 forgets about signals.
    if !matches!(fault, Fault::Kill) {
        command.arg("--seccomp-bpf");
    }
    command.arg("-o").arg(log.path());
    let mut inject = |name: &str, what: String| {
        command.args(["-e", &format!("inject={name}:{what}")]);
    };
    let number = call.number;
    match fault {
        Fault::Error(error) => inject(&call.name, format!("error={error}:when={number}")),
        Fault::Kill => inject(&call.name, format!("signal=KILL:when={number}")),
        Fault::From(error) => {
            for name in CALLS.split(',').map(str::trim) {
                let before = call.before.get(name).copied().unwrap_or(0);
                inject(name, format!("error={error}:when={}+", before + 1));
            }
        }
    }
    let (end, said) = run(&mut command);
    let log = fs::read_to_string(log.path()).unwrap();
    let has_met = match fault {
        Fault::Kill => was_killed(end),
        Fault::Error(_) | Fault::From(_) => log.contains("(INJECTED)"),
    };
    assert!(
        has_met,
        "{log}{said}nothing happened to {} {number}: {end}",
        call.text
    );
    end
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

fn traced(strace: &Path, calls: &str, deed: Deed, root: &Path) -> Command {
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-e", "signal=none"]);
    command.args(["-e", &format!("trace={calls}")]);
    command.env(DEED, deed.name()).env(ROOT, root);
    // Cargo's folders would be searched for each library, in more ways the younger the processor is.
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// How it ended, and what it said on its standard error.
fn run(command: &mut Command) -> (ExitStatus, String) {
    command.arg(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "in_another_process", "--nocapture"]);
    command.args(["--test-threads", "1"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Whether a process was ended by the fault.
pub(crate) fn was_killed(end: ExitStatus) -> bool {
    end.signal() == Some(9)
}
