use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A program that takes longer than this has hung.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);

/// What a program said and how it ended. Displays all of it.
#[derive(Clone, Debug)]
pub struct Said {
    /// The command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl Said {
    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            status,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{command}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Runs a command with `input` on its standard input, to its end.
///
/// # Panics
///
/// If it cannot be started, or has not ended after [`TIME_LIMIT`]: it is killed, and what it
/// said so far is in the message.
pub fn run(command: &mut Command, input: &[u8]) -> Said {
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let stdin = child.stdin.take();
    let input = input.to_vec();
    thread::spawn(move || {
        // A program that does not want its input closes the pipe.
        stdin.map(|mut stdin| stdin.write_all(&input))
    });

    let text = |bytes: &mpsc::Receiver<Vec<u8>>| {
        // A grandchild may hold the pipe open after a kill: then there is nothing more to wait for.
        let bytes = bytes.recv_timeout(Duration::from_secs(5));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (status, in_time) = wait(child, &line);
    let said = Said {
        command: line,
        status,
        stdout: text(&stdout),
        stderr: text(&stderr),
    };
    assert!(in_time, "killed after {TIME_LIMIT:?}: {said}");
    said
}

/// Waits for the child's end, which it brings about when the time is over.
fn wait(child: Child, line: &str) -> (ExitStatus, bool) {
    let id = child.id();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut child = child;
        let _ = tell.send(child.wait());
    });
    let ended = |waited: Result<ExitStatus, std::io::Error>| {
        waited.unwrap_or_else(|error| panic!("cannot wait for {line}: {error}"))
    };
    if let Ok(waited) = told.recv_timeout(TIME_LIMIT) {
        return (ended(waited), true);
    }
    // Not reaped yet, so the id is still the child's.
    let _ = Command::new("kill")
        .args(["-KILL", &id.to_string()])
        .status();
    let waited = told.recv().expect("the waiting thread reports");
    (ended(waited), false)
}

/// Reads a pipe to its end on a thread of its own: a program that fills one pipe while we read
/// the other would hang.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = tell.send(bytes);
    });
    told
}
