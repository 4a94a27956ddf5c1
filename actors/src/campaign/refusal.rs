//! Why an attempt came to no call, and what that means for the rest of the campaign.

use std::time::Duration;

use crate::ports::{Vendor, VendorError};

use super::terms::RecipientState;

/// Twilio's codes for a number that cannot be called, whoever calls: not valid (21211), not
/// reachable from the caller's number (21214), not a mobile or not dialable (21217), no such number
/// (13224).
const NUMBER_IS_BAD: [i64; 4] = [13_224, 21_211, 21_214, 21_217];

/// Twilio's codes for an account that cannot place this campaign's calls until somebody changes it:
/// not active (10001), wrong credentials (20003), forbidden or suspended (20005, 20006), the
/// caller's number not the account's (21210, 21212, 21213), the country not permitted (21215,
/// 21216).
const ACCOUNT_IS_BAD: [i64; 9] =
    [10_001, 20_003, 20_005, 20_006, 21_210, 21_212, 21_213, 21_215, 21_216];

/// An attempt that came to no call: nobody's phone rang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A vendor is busy or away. The recipient waits with all others.
    NotNow {
        /// In the vendor's words.
        cause: String,
        /// When it says to come back.
        retry_after: Option<Duration>,
    },
    /// This node has no room for one more call.
    NoRoom,
    /// It was begun, and given up before anything was dialled.
    NotDialled,
    /// Nobody can be called until somebody has done something about this.
    Hopeless {
        /// In the vendor's words.
        cause: String,
    },
    /// This recipient is not called, and ends like this.
    NotThisOne(RecipientState),
    /// This recipient's call was refused for a cause of its own.
    Failed {
        /// In the vendor's words.
        cause: String,
    },
}

impl Refusal {
    /// What a vendor's refusal means.
    pub fn of(error: &VendorError) -> Self {
        let cause = error.to_string();
        match error {
            VendorError::Refused { vendor: Vendor::Twilio, code: Some(code), .. }
                if NUMBER_IS_BAD.contains(code) =>
            {
                Refusal::NotThisOne(RecipientState::Invalid)
            }
            VendorError::Refused { vendor: Vendor::Twilio, code: Some(code), .. }
                if ACCOUNT_IS_BAD.contains(code) =>
            {
                Refusal::Hopeless { cause }
            }
            // Wrong key, no money, not allowed.
            VendorError::Refused { status: 401..=403, .. } => Refusal::Hopeless { cause },
            VendorError::Refused { status: 429 | 500..=599, retry_after, .. } => {
                Refusal::NotNow { cause, retry_after: *retry_after }
            }
            VendorError::Unreachable { .. } => Refusal::NotNow { cause, retry_after: None },
            // An agent that may have been made, and rings nobody.
            VendorError::OutcomeUnknown { vendor: Vendor::Ultravox, .. } => {
                Refusal::NotNow { cause, retry_after: None }
            }
            VendorError::Refused { .. } | VendorError::OutcomeUnknown { .. } => {
                Refusal::Failed { cause }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(vendor: Vendor, status: u16, code: Option<i64>) -> Refusal {
        let retry_after = (status == 429).then_some(Duration::from_secs(7));
        Refusal::of(&VendorError::Refused {
            vendor,
            operation: "place the call",
            status,
            code,
            message: "no".to_owned(),
            retry_after,
        })
    }

    #[test]
    fn every_refusal_stops_what_it_should_and_no_more() {
        let invalid = Refusal::NotThisOne(RecipientState::Invalid);
        assert_eq!(refused(Vendor::Twilio, 400, Some(21_211)), invalid);
        for (vendor, status, code) in [
            (Vendor::Twilio, 400, Some(21_215)),
            (Vendor::Twilio, 401, Some(20_003)),
            (Vendor::Twilio, 401, None),
            (Vendor::Ultravox, 403, None),
            (Vendor::Ultravox, 402, None),
        ] {
            let refusal = refused(vendor, status, code);
            assert!(matches!(refusal, Refusal::Hopeless { .. }), "{vendor} {status}: {refusal:?}");
        }
        let busy = refused(Vendor::Twilio, 429, Some(20_429));
        let Refusal::NotNow { retry_after, .. } = busy else { panic!("{busy:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
        assert!(matches!(refused(Vendor::Ultravox, 503, None), Refusal::NotNow { .. }));
        assert!(matches!(refused(Vendor::Twilio, 400, Some(21_219)), Refusal::Failed { .. }));
    }
}
