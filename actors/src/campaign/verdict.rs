//! What the end of a call means to the campaign it was placed for.

use crate::call::{CallEnd, EndReason};
use crate::call_session::DialError;
use crate::ports::{Vendor, VendorError};

use super::refusal::Refusal;
use super::scheduler::Input;
use super::terms::Outcome;

/// Turns the end of a recipient's call into what the scheduler is told. `failure` is why dialling
/// came to nothing, where it did.
pub(crate) fn verdict(seq: u32, failure: Option<&DialError>, end: &CallEnd) -> Input {
    let refusal = match (end.reason, failure) {
        (EndReason::NeverPlaced | EndReason::NotAccepted, _)
        | (_, Some(DialError::Ended(EndReason::ShutDown)))
        // It was ended while it waited for its turn.
        | (
            EndReason::HungUp | EndReason::ShutDown,
            Some(DialError::Vendor(VendorError::Unreachable { .. })),
        ) => Some(Refusal::NotDialled),
        // It may ring, whatever we know of it.
        (_, Some(DialError::Vendor(VendorError::OutcomeUnknown { vendor, .. })))
            if *vendor == Vendor::Twilio =>
        {
            None
        }
        (_, Some(DialError::Vendor(error))) => Some(Refusal::of(error)),
        (_, Some(DialError::Ended(_)) | None) => None,
    };
    match refusal {
        Some(refusal) => Input::Refused(seq, refusal),
        None => Input::Ended(seq, Outcome::of(end.status, end.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallStatus;

    fn end(status: CallStatus, reason: EndReason) -> CallEnd {
        CallEnd { status, reason, detail: None, duration: None, answered_by: None }
    }

    fn unknown(vendor: Vendor) -> DialError {
        let (operation, cause) = ("place the call", "timed out".to_owned());
        DialError::Vendor(VendorError::OutcomeUnknown { vendor, operation, cause })
    }

    #[test]
    fn only_what_was_never_dialled_is_no_attempt() {
        let failed = |reason| end(CallStatus::Failed, reason);
        let never = verdict(1, None, &failed(EndReason::NeverPlaced));
        assert_eq!(never, Input::Refused(1, Refusal::NotDialled));
        let shut_down = DialError::Ended(EndReason::ShutDown);
        let never = verdict(1, Some(&shut_down), &failed(EndReason::ShutDown));
        assert_eq!(never, Input::Refused(1, Refusal::NotDialled));

        let lost = failed(EndReason::DialOutcomeUnknown);
        let may_ring = verdict(1, Some(&unknown(Vendor::Twilio)), &lost);
        let outcome = Outcome::Failed(EndReason::DialOutcomeUnknown);
        assert_eq!(may_ring, Input::Ended(1, outcome));
        let no_agent = failed(EndReason::AgentCreateFailed);
        let rings_nobody = verdict(1, Some(&unknown(Vendor::Ultravox)), &no_agent);
        assert!(matches!(rings_nobody, Input::Refused(1, Refusal::NotNow { .. })));

        let busy = verdict(1, None, &end(CallStatus::Busy, EndReason::Busy));
        assert_eq!(busy, Input::Ended(1, Outcome::Busy));
    }
}
