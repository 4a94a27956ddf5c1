//! A telephony in which every call waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use actors::ids::{CallSid, PhoneNumber};
use actors::ports::{NewPhoneCall, PhoneCall, Telephony, TwilioAccount, Vendor, VendorError};
use async_trait::async_trait;

use super::Pacer;

/// Places calls no faster than their companies may; does everything else at once.
#[derive(Debug)]
pub struct PacedTelephony<T> {
    pacer: Pacer,
    inner: Arc<T>,
}

impl<T: Telephony> PacedTelephony<T> {
    /// Has the calls of `inner` wait for their turn.
    pub fn new(pacer: Pacer, inner: Arc<T>) -> Self {
        PacedTelephony { pacer, inner }
    }
}

#[async_trait]
impl<T: Telephony> Telephony for PacedTelephony<T> {
    async fn place(
        &self,
        account: &TwilioAccount,
        call: &NewPhoneCall,
    ) -> Result<PhoneCall, VendorError> {
        let not_placed = |cause: String| VendorError::Unreachable {
            vendor: Vendor::Twilio,
            operation: "place the call",
            cause,
        };
        let turn = self.pacer.turn(call.company, call.urgency).await;
        let _turn = turn.map_err(|why| not_placed(why.to_string()))?;
        if call.wish.is_withdrawn() {
            return Err(not_placed("the call was ended while it waited for its turn".to_owned()));
        }
        self.inner.place(account, call).await
    }

    async fn find(
        &self,
        account: &TwilioAccount,
        to: &PhoneNumber,
        max_age: Duration,
    ) -> Result<Vec<PhoneCall>, VendorError> {
        self.inner.find(account, to, max_age).await
    }

    async fn fetch(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        self.inner.fetch(account, sid).await
    }

    async fn say_and_hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
        text: &str,
    ) -> Result<(), VendorError> {
        self.inner.say_and_hang_up(account, sid, text).await
    }

    async fn hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        self.inner.hang_up(account, sid).await
    }
}
