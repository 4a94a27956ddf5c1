//! Twilio's REST API: placing, finding and ending calls.
//!
//! A call is placed once, never twice. Twilio has no idempotency key, so `place` is repeated only
//! when the request never left or Twilio says it was never processed; after anything else the
//! caller has to look the call up with `find`.

use std::sync::Arc;
use std::time::Duration;

use actors::ids::{CallSid, PhoneNumber};
use actors::ports::{
    Detection, NewPhoneCall, PhoneCall, Telephony, TwilioAccount, Vendor, VendorError,
};
use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use url::Url;

use super::http::{Answer, ClientSetupError, HttpSettings, Operation, VendorHttp};
use super::retry::Repeat;
use super::{RequestObserver, problem};
use crate::webhooks::twiml::{self, Verb};

mod wire;

use wire::{AccountWire, CallWire, PageWire};

const PLACE: Operation =
    Operation { label: "place", phrase: "place the call", repeat: Repeat::Harmful };
const FIND: Operation =
    Operation { label: "find", phrase: "look the call up", repeat: Repeat::Idempotent };
const FETCH: Operation =
    Operation { label: "fetch", phrase: "fetch the call", repeat: Repeat::Idempotent };
const HANG_UP: Operation =
    Operation { label: "hang_up", phrase: "end the call", repeat: Repeat::Idempotent };
/// A second copy would be said from its beginning.
const SAY: Operation = Operation { label: "say", phrase: "say a message", repeat: Repeat::Harmful };
const VERIFY: Operation =
    Operation { label: "verify", phrase: "read the account", repeat: Repeat::Idempotent };

/// "Invalid call state": the call is over.
const INVALID_CALL_STATE: i64 = 21220;

/// The range of `Timeout`, in seconds.
const RING_SECONDS: (u64, u64) = (1, 600);

/// The range of `TimeLimit`, in seconds: a minute to a day. An account may allow less (4 hours
/// unless more was asked for), which Twilio applies by itself.
const CALL_SECONDS: (u64, u64) = (60, 86_400);

/// Calls to one number from one number within a few minutes fit on one page many times over; the
/// bound is for a server that never stops naming a next one.
const MOST_PAGES: usize = 10;

/// Twilio's REST API. Cheap to share behind an `Arc`; connections are pooled.
pub struct TwilioClient {
    http: VendorHttp,
    base: Url,
}

/// An account as Twilio describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwilioAccountInfo {
    /// `active`, `suspended` or `closed`; empty when Twilio does not say.
    pub status: String,
    /// `Trial` or `Full`; empty when Twilio does not say. A trial account calls verified numbers
    /// only.
    pub kind: String,
    /// The name its owner gave it.
    pub friendly_name: String,
}

impl std::fmt::Debug for TwilioClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwilioClient").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

impl TwilioClient {
    /// `base_url` is `https://api.twilio.com`, or where a stand-in listens.
    pub fn new(
        base_url: &str,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ClientSetupError> {
        Self::with_settings(base_url, observer, HttpSettings::default())
    }

    /// The same with other time limits.
    pub fn with_settings(
        base_url: &str,
        observer: Arc<dyn RequestObserver>,
        settings: HttpSettings,
    ) -> Result<Self, ClientSetupError> {
        let bad = |why: String| ClientSetupError::BaseUrl { vendor: Vendor::Twilio, why };
        let base = Url::parse(base_url.trim()).map_err(|error| bad(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad("it must start with https:// (or http://)".into()));
        }
        if base.query().is_some() || base.fragment().is_some() || !base.username().is_empty() {
            return Err(bad("it must be a host and at most a path".into()));
        }
        Ok(TwilioClient { http: VendorHttp::new(Vendor::Twilio, settings, observer)?, base })
    }

    /// Reads the account, to learn whether its credentials are good. A wrong token is
    /// [`VendorError::Refused`] with status 401.
    pub async fn verify(&self, account: &TwilioAccount) -> Result<TwilioAccountInfo, VendorError> {
        let url = self.url(&format!("/2010-04-01/Accounts/{}.json", account.account_sid));
        let answer = self.send(&VERIFY, account, |http| http.get(url.clone())).await?;
        let wire: AccountWire = answer.json()?;
        Ok(TwilioAccountInfo {
            status: wire.status.0.unwrap_or_default(),
            kind: wire.kind.0.unwrap_or_default(),
            friendly_name: wire.friendly_name.0.unwrap_or_default(),
        })
    }

    /// How far Twilio's clock was ahead of ours at its last answer, to a second or so; `None` when no
    /// answer had a date.
    pub fn clock_ahead(&self) -> Option<jiff::SignedDuration> {
        self.http.clock_ahead()
    }

    async fn send(
        &self,
        operation: &Operation,
        account: &TwilioAccount,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Answer, VendorError> {
        let token = account.auth_token.expose_secret();
        let request =
            |http: &Client| request(http).basic_auth(account.account_sid.as_str(), Some(token));
        self.http.send(operation, token, request).await
    }

    /// `path` starts with a slash, so it cannot change the host.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    fn calls_url(&self, account: &TwilioAccount) -> Url {
        self.url(&format!("/2010-04-01/Accounts/{}/Calls.json", account.account_sid))
    }

    fn call_url(&self, account: &TwilioAccount, sid: &CallSid) -> Url {
        self.url(&format!("/2010-04-01/Accounts/{}/Calls/{sid}.json", account.account_sid))
    }

    /// The page after this one. It is on the same host or it is refused: the request carries the
    /// account's credentials.
    fn next_page(&self, uri: &str) -> Option<Url> {
        if uri.starts_with('/') {
            return Some(self.url(uri));
        }
        let url = Url::parse(uri).ok()?;
        (url.origin() == self.base.origin()).then_some(url)
    }
}

#[async_trait]
impl Telephony for TwilioClient {
    async fn place(
        &self,
        account: &TwilioAccount,
        call: &NewPhoneCall,
    ) -> Result<PhoneCall, VendorError> {
        let ring_seconds = whole_seconds(call.ring_timeout, RING_SECONDS).to_string();
        let call_seconds = whole_seconds(call.time_limit, CALL_SECONDS).to_string();
        // One parameter for each event: joined by spaces they are misread (warning 21626).
        let mut form = vec![
            ("To", call.to.as_str()),
            ("From", account.phone_number.as_str()),
            ("Url", call.answer_url.as_str()),
            ("StatusCallback", call.status_url.as_str()),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", ring_seconds.as_str()),
            ("TimeLimit", call_seconds.as_str()),
        ];
        if let Some(Detection { mode, url }) = &call.detection {
            form.extend([
                ("MachineDetection", mode.as_str()),
                // Or Twilio would keep a person waiting in silence for its verdict.
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", url.as_str()),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        let url = self.calls_url(account);
        let answer = self.send(&PLACE, account, |http| http.post(url.clone()).form(&form)).await?;
        let placed: CallWire = answer.json()?;
        placed.into_call().ok_or_else(|| answer.unusable("the answer names no call"))
    }

    async fn find(
        &self,
        account: &TwilioAccount,
        to: &PhoneNumber,
        max_age: Duration,
    ) -> Result<Vec<PhoneCall>, VendorError> {
        let mut url = self.calls_url(account);
        // No filter by start time: a call that waits in Twilio's queue has none.
        url.query_pairs_mut()
            .append_pair("To", to.as_str())
            .append_pair("From", account.phone_number.as_str())
            .append_pair("PageSize", "50");
        let mut found: Vec<(Option<Timestamp>, PhoneCall)> = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = self.send(&FIND, account, |http| http.get(url.clone())).await?;
            let page: PageWire = answer.json()?;
            // Ages are judged by Twilio's clock (`Date`), not by ours.
            let mut all_old = true;
            for call in page.calls {
                let created = call.date_created.0.as_deref().and_then(problem::date);
                // Without a date the call is newer than any other.
                let old =
                    created.is_some_and(|at| answer.at.duration_since(at) > as_signed(max_age));
                all_old &= old;
                // A leg of a <Dial> has the same numbers and is none of ours.
                let ours = call.direction.0.as_deref().is_none_or(|d| d == "outbound-api");
                if let (false, true, Some(call)) = (old, ours, call.into_call()) {
                    found.push((created, call));
                }
            }
            // Newest first, so a page of old calls is followed by older ones.
            match page.next_page_uri.0 {
                Some(next) if !all_old => {
                    url = self
                        .next_page(&next)
                        .ok_or_else(|| answer.unusable("the next page is on another host"))?;
                }
                _ => break,
            }
        }
        found.sort_by_key(|(created, _)| std::cmp::Reverse(created.unwrap_or(Timestamp::MAX)));
        Ok(found.into_iter().map(|(_, call)| call).collect())
    }

    async fn fetch(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        let url = self.call_url(account, sid);
        match self.send(&FETCH, account, |http| http.get(url.clone())).await {
            Ok(answer) => {
                let call = answer.json::<CallWire>()?.into_call();
                call.map(Some).ok_or_else(|| answer.unusable("the answer names no call"))
            }
            Err(VendorError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        let url = self.call_url(account, sid);
        // `completed` ends a call in any state; `canceled` would leave an answered one alone.
        let request = |http: &Client| {
            http.request(Method::POST, url.clone()).form(&[("Status", "completed")])
        };
        match self.send(&HANG_UP, account, request).await {
            // The call is ended, whatever the answer looks like.
            Ok(answer) => Ok(answer.json::<CallWire>().ok().and_then(CallWire::into_call)),
            Err(VendorError::Refused { code: Some(INVALID_CALL_STATE), .. }) => {
                // It was over before. How it ended is nice to know, and no reason to fail.
                Ok(self.fetch(account, sid).await.unwrap_or(None))
            }
            Err(VendorError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn say_and_hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
        text: &str,
    ) -> Result<(), VendorError> {
        let url = self.call_url(account, sid);
        let form = [("Twiml", message_and_end(text))];
        self.send(&SAY, account, |http| http.post(url.clone()).form(&form)).await.map(drop)
    }
}

/// Says a text once, then hangs up.
fn message_and_end(text: &str) -> String {
    twiml::document(&[Verb::Say { text, language: None, voice: None }, Verb::Hangup])
}

fn whole_seconds(duration: Duration, (least, most): (u64, u64)) -> u64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(up).clamp(least, most)
}

fn as_signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::NoObserver;

    fn client(base: &str) -> TwilioClient {
        TwilioClient::new(base, Arc::new(NoObserver)).expect("a client")
    }

    #[test]
    fn seconds_are_rounded_up_and_kept_within_the_documented_range() {
        let ring = |ms| whole_seconds(Duration::from_millis(ms), RING_SECONDS);
        assert_eq!([ring(0), ring(1_001), ring(60_000), ring(700_000)], [1, 2, 60, 600]);
        let call = |s| whole_seconds(Duration::from_secs(s), CALL_SECONDS);
        assert_eq!([call(1), call(180), call(u64::MAX)], [60, 180, 86_400]);
    }

    #[test]
    fn the_next_page_never_leaves_the_host() {
        let twilio = client("https://api.twilio.com/");
        let next = |uri| twilio.next_page(uri).map(String::from);
        let page = "/2010-04-01/Accounts/AC1/Calls.json?Page=1&To=%2B1";
        assert_eq!(next(page), Some(format!("https://api.twilio.com{page}")));
        let absolute = format!("https://api.twilio.com{page}");
        assert_eq!(next(&absolute), Some(absolute.clone()));
        for outside in
            ["https://evil.example/x", "http://api.twilio.com/x", "evil.example/x", "x:y"]
        {
            assert_eq!(next(outside), None, "{outside}");
        }
        for tricky in ["//evil.example/x", "/\\evil.example/x", "/@evil.example/x"] {
            let url = twilio.next_page(tricky).expect("a path");
            assert_eq!(url.host_str(), Some("api.twilio.com"), "{tricky}");
        }
    }

    #[test]
    fn a_base_url_may_have_a_path_and_nothing_after_it() {
        let behind_a_gateway = client("http://localhost:9000/twilio/");
        assert_eq!(
            behind_a_gateway.url("/2010-04-01/x").as_str(),
            "http://localhost:9000/twilio/2010-04-01/x"
        );
        for bad in ["", "api.twilio.com", "ftp://x", "https://u:s3cret@x", "https://x?y=s3cret"] {
            let error = TwilioClient::new(bad, Arc::new(NoObserver)).expect_err(bad);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
