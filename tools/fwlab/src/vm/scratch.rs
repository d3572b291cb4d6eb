//! A folder that goes with this process, even if that is killed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::error::VmError;

/// The caretaker: hears what is to go as well, and that all is done. Its input ends without that
/// if its parent was killed.
const CARETAKER: &str = r#"
while read -r word process; do
  case $word in
    also) processes="$processes $process" ;;
    done) exit ;;
  esac
done
[ -z "$processes" ] || kill -KILL $processes
rm -rf -- "$1"
"#;

/// A temporary folder of this user's alone, removed when this is dropped. If this process ends
/// without that, a shell that waits for it does so.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    caretaker: Child,
}

impl Scratch {
    /// An empty folder.
    ///
    /// # Errors
    /// [`VmError::Os`].
    pub fn new() -> Result<Self, VmError> {
        let folder = tempfile::Builder::new().prefix("fwlab-").tempdir();
        let folder = folder.map_err(VmError::os("a temporary folder"))?;
        let caretaker = Command::new("sh")
            .args(["-c", CARETAKER, "fwlab"])
            .arg(folder.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What a terminal or a supervisor sends to this process's group is not for it.
            .process_group(0)
            .spawn()
            .map_err(VmError::os("sh"))?;
        Ok(Self { folder, caretaker })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Has a child process killed as well if this one is.
    pub(super) fn also_ends(&self, child: &Child) {
        self.say(&format!("also {}\n", child.id()));
    }

    fn say(&self, line: &str) {
        if let Some(mut input) = self.caretaker.stdin.as_ref() {
            // Somebody may have killed it.
            let _ = input.write_all(line.as_bytes());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.path().display(), %error, "not removed");
        }
        self.say("done\n");
        let _ = self.caretaker.wait();
    }
}
