use core::time::Duration;

use crate::scsi::{AdditionalSense, Completion, SenseKey, Status};

/// What to make of the end of a command for blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It was done.
    Done,
    /// It was not, and another try may help.
    Retry(Patience),
    /// It was not, because somebody stopped the disk: it has to be brought up again.
    Stopped,
    /// It was not, because the disk has lost its power, or its medium: what was in its cache may
    /// be gone, and it may be another one.
    Restarted,
    /// It was not, and will not be.
    Failed,
}

/// How often, or for how long, to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// Some times, at once.
    Often,
    /// A few times, at once: it costs the disk an effort each time.
    FewTimes,
    /// After this time, for a while.
    Later(Duration),
}

/// Reads status and sense of READ, WRITE and SYNCHRONIZE CACHE as Linux's
/// `drivers/scsi/scsi_error.c` and `sd.c` do.
pub(super) fn verdict(completion: &Completion) -> Verdict {
    let busy = Duration::from_millis(100);
    match completion.status {
        Status::GOOD | Status::CONDITION_MET => Verdict::Done,
        Status::BUSY | Status::TASK_SET_FULL => Verdict::Retry(Patience::Later(busy)),
        Status::TASK_ABORTED | Status::COMMAND_TERMINATED => Verdict::Retry(Patience::Often),
        Status::CHECK_CONDITION => {
            completion
                .sense
                .as_ref()
                .map_or(Verdict::Retry(Patience::FewTimes), |sense| {
                    if sense.deferred {
                        // It speaks of an earlier command; this one was not carried out.
                        return Verdict::Retry(Patience::Often);
                    }
                    judge(sense.key, sense.code)
                })
        }
        _ => Verdict::Failed,
    }
}

fn judge(key: SenseKey, code: AdditionalSense) -> Verdict {
    match key {
        SenseKey::NoSense | SenseKey::RecoveredError => Verdict::Done,
        SenseKey::UnitAttention
            if code.asc == AdditionalSense::MEDIUM_MAY_HAVE_CHANGED.asc
                || code == AdditionalSense::POWER_ON_OR_RESET
                || code == AdditionalSense::POWER_ON =>
        {
            Verdict::Restarted
        }
        SenseKey::UnitAttention | SenseKey::AbortedCommand => Verdict::Retry(Patience::Often),
        SenseKey::NotReady if code == AdditionalSense::INITIALIZING_COMMAND_REQUIRED => {
            Verdict::Stopped
        }
        SenseKey::NotReady if code == AdditionalSense::BECOMING_READY => {
            Verdict::Retry(Patience::Later(Duration::from_millis(500)))
        }
        SenseKey::MediumError | SenseKey::HardwareError => Verdict::Retry(Patience::FewTimes),
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::Sense;

    #[test]
    fn an_error_is_an_error_and_recovered_is_done() {
        let check = |key| Completion::check_with(key, AdditionalSense::NONE);
        assert_eq!(verdict(&Completion::GOOD), Verdict::Done);
        assert_eq!(verdict(&check(SenseKey::RecoveredError)), Verdict::Done);
        for key in [
            SenseKey::IllegalRequest,
            SenseKey::DataProtect,
            SenseKey::NotReady,
            SenseKey::BlankCheck,
            SenseKey::VolumeOverflow,
            SenseKey::Miscompare,
        ] {
            assert_eq!(verdict(&check(key)), Verdict::Failed, "{key:?}");
        }
        let conflict = Completion::of(Status::RESERVATION_CONFLICT);
        assert_eq!(verdict(&conflict), Verdict::Failed);
        assert_eq!(verdict(&Completion::of(Status(0x3e))), Verdict::Failed);
    }

    #[test]
    fn an_error_of_an_earlier_command_does_not_pass_for_the_end_of_this_one() {
        let mut sense = Sense::new(SenseKey::RecoveredError, AdditionalSense::NONE);
        sense.deferred = true;
        let again = Verdict::Retry(Patience::Often);
        assert_eq!(verdict(&Completion::check(sense)), again);
    }
}
