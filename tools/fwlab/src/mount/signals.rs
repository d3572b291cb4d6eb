//! Whether a thread that waits in a read has a signal to handle.

use std::fs;

use nix::unistd::Pid;

/// Whether the thread is to come back from where it waits: it is no more, or has a signal that
/// it neither blocks nor ignores.
pub(super) fn is_wanted(thread: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{thread}/status")) {
        Ok(status) => has_signal(&status),
        Err(_) => true,
    }
}

/// Reads the masks of proc(5).
fn has_signal(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    };
    let pending = mask("SigPnd:") | mask("ShdPnd:");
    pending & !mask("SigBlk:") & !mask("SigIgn:") != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_counts_unless_it_is_blocked_or_ignored() {
        let status = |pending, blocked, ignored| {
            format!(
                "Name:\tx\nSigPnd:\t0\nShdPnd:\t{pending}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n"
            )
        };
        assert!(has_signal(&status("100", "0", "0")));
        assert!(!has_signal(&status("100", "100", "0")));
        assert!(!has_signal(&status("100", "0", "100")));
        assert!(!has_signal(&status("0", "0", "0")));
        assert!(!is_wanted(nix::unistd::getpid()));
        assert!(is_wanted(Pid::from_raw(i32::MAX)));
    }
}
