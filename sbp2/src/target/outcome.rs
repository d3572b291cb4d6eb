use ohci_raw::bus::{Address, RCode};

use crate::scsi::{AdditionalSense, Completion, SenseKey};
use crate::wire::{Resp, Sbp2Status, SerialBusError, StatusBlock, StatusSource, TransportObject};

/// How a command ORB ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The device server has ended it.
    Completed(Completion),
    /// The target did not begin it, or gave it up.
    Refused(Sbp2Status),
    /// The bus failed.
    Transport(TransportObject, Option<SerialBusError>),
    /// The ORB contradicts itself.
    Illegal,
}

impl Outcome {
    /// What a response other than the wanted one makes of a command.
    pub(super) const fn transport(object: TransportObject, rcode: RCode) -> Self {
        Self::Transport(object, serial_bus_error(rcode))
    }

    /// After this the fetch agent is dead: the initiator's memory is not as its ORBs say, so the
    /// later ones are not to be trusted either.
    pub(super) const fn kills(&self) -> bool {
        matches!(self, Self::Transport(..))
    }

    /// The status block for the ORB at `orb`.
    ///
    /// Whatever is not a success carries CHECK CONDITION or a `resp` other than "request
    /// complete". Linux's initiator takes two quadlets with `resp` 0 for GOOD, whatever their
    /// sbp_status (`complete_command_orb` in `drivers/firewire/sbp2.c`), and would report a
    /// write as done that never was. A dummy ORB is the exception: nobody waits for it.
    pub(super) fn to_status_block(
        &self,
        source: StatusSource,
        dead: bool,
        orb: Address,
    ) -> StatusBlock {
        let block = |resp, status, completion: &Completion| {
            let sense = completion.to_status_block();
            let sense = sense.as_ref().map_or(&[][..], |sense| &sense[..]);
            StatusBlock::new(source, resp, dead, status, orb, sense)
        };
        let good = &Completion::GOOD;
        match self {
            Self::Completed(completion) => block(Resp::RequestComplete, 0, completion),
            Self::Refused(status @ Sbp2Status::DUMMY_ORB_COMPLETED) => {
                block(Resp::RequestComplete, status.0, good)
            }
            Self::Refused(status @ Sbp2Status::REQUEST_ABORTED) => block(
                Resp::RequestComplete,
                status.0,
                &Completion::check_with(SenseKey::AbortedCommand, AdditionalSense::NONE),
            ),
            Self::Refused(status) => block(
                Resp::RequestComplete,
                status.0,
                &Completion::check_with(SenseKey::IllegalRequest, AdditionalSense::NONE),
            ),
            Self::Transport(object, Some(error)) => block(
                Resp::TransportFailure,
                (*object as u8) << 6 | error.0 & 0xf,
                good,
            ),
            Self::Transport(_, None) => block(
                Resp::TransportFailure,
                Sbp2Status::UNSPECIFIED_ERROR.0,
                good,
            ),
            Self::Illegal => block(Resp::IllegalRequest, Sbp2Status::UNSPECIFIED_ERROR.0, good),
        }
    }
}

/// How SBP-2 says what a transaction ended with (5.3). A response that was complete and all the
/// same no use had the wrong length.
pub(super) const fn serial_bus_error(rcode: RCode) -> Option<SerialBusError> {
    Some(match rcode {
        RCode::NO_ACK => SerialBusError::MISSING_ACKNOWLEDGE,
        RCode::CANCELLED => SerialBusError::TIME_OUT,
        RCode::BUSY => SerialBusError::BUSY_X,
        RCode::CONFLICT_ERROR => SerialBusError::CONFLICT_ERROR,
        RCode::DATA_ERROR | RCode::COMPLETE => SerialBusError::DATA_ERROR,
        RCode::TYPE_ERROR => SerialBusError::TYPE_ERROR,
        RCode::ADDRESS_ERROR => SerialBusError::ADDRESS_ERROR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(outcome: &Outcome) -> StatusBlock {
        let dead = outcome.kills();
        let orb = Address::new(0x1_0000_0040);
        outcome.to_status_block(StatusSource::OrbNextNull, dead, orb)
    }

    #[test]
    fn nothing_but_success_and_dummies_looks_like_good_to_who_ignores_sbp_status() {
        let failures = [
            Outcome::Refused(Sbp2Status::REQUEST_ABORTED),
            Outcome::Refused(Sbp2Status::SPEED_NOT_SUPPORTED),
            Outcome::transport(TransportObject::DataBuffer, RCode::ADDRESS_ERROR),
            Outcome::transport(TransportObject::Orb, RCode(0x99)),
            Outcome::Illegal,
        ];
        for failure in &failures {
            let block = block(failure);
            let completion = Completion::from_status_block(&block.command_set_dependent).unwrap();
            let looks_good = block.resp() == Resp::RequestComplete && completion.is_good();
            assert!(!looks_good, "{failure:?}");
            assert_ne!(block.status, 0);
        }
        let good = block(&Outcome::Completed(Completion::GOOD));
        assert_eq!(good.to_bytes().len(), 8);
        assert_eq!(good.to_bytes()[..2], [0x41, 0]);
        let dummy = block(&Outcome::Refused(Sbp2Status::DUMMY_ORB_COMPLETED));
        assert_eq!(dummy.to_bytes()[..2], [0x41, 0x0b]);
    }

    #[test]
    fn a_transport_failure_says_what_failed_and_how() {
        let outcome = Outcome::transport(TransportObject::PageTable, RCode::ADDRESS_ERROR);
        let block = block(&outcome);
        assert!(block.dead());
        assert_eq!(
            block.serial_bus_error(),
            Some((TransportObject::PageTable, SerialBusError::ADDRESS_ERROR))
        );
    }
}
