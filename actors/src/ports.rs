//! What the actors ask of the outside world.
//!
//! Everything here is a trait or plain data: the service implements the traits over HTTP, a
//! WebSocket and a database, and tests may implement them over nothing at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::call::{CallEvent, CallStatus, CallUpdate, Direction};
use crate::ids::{AccountSid, CallId, CallSid, CompanyId, PhoneNumber};
use crate::machine::DetectionMode;

/// How to reach Twilio for one company. `Debug` hides the token.
#[derive(Clone, Debug)]
pub struct TwilioAccount {
    /// The account calls are made from and billed to.
    pub account_sid: AccountSid,
    /// The primary auth token: REST password and key of webhook signatures.
    pub auth_token: SecretString,
    /// The number calls come from.
    pub phone_number: PhoneNumber,
}

/// How to reach Ultravox for one company. `Debug` hides the key.
#[derive(Clone, Debug)]
pub struct UltravoxAccount {
    /// Sent as `X-API-Key`.
    pub api_key: SecretString,
    /// The company's own endpoint; `None` means the service's default.
    pub api_url: Option<String>,
}

/// A call to be placed at Twilio: `POST …/Calls.json`.
#[derive(Clone, Debug)]
pub struct NewPhoneCall {
    /// Who is called.
    pub to: PhoneNumber,
    /// Where Twilio fetches TwiML once the call is answered.
    pub answer_url: String,
    /// Where Twilio reports initiated, ringing, answered and completed.
    pub status_url: String,
    /// How long it rings. Twilio's `Timeout`, whole seconds, at most 600.
    pub ring_timeout: Duration,
    /// How long it may last. Twilio's `TimeLimit`, whole seconds, at least 60.
    pub time_limit: Duration,
    /// Whose call it is.
    pub company: CompanyId,
    /// Who goes first when calls have to wait for their turn.
    pub urgency: Urgency,
    /// Withdrawn when the call is ended before it is dialled.
    pub wish: Wish,
    /// Whether Twilio is to find out who took the call.
    pub detection: Option<Detection>,
}

/// Whether somebody still wants a call that waits for its turn to be dialled.
#[derive(Clone, Debug, Default)]
pub struct Wish(Arc<AtomicBool>);

impl Wish {
    /// Nobody wants it any more. What was dialled already is hung up by whoever withdraws.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether nobody wants it any more.
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who goes first when a company's calls have to wait for their turn to be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// Somebody waits for this call to be placed.
    Single,
    /// One of many, whenever there is room.
    Campaign,
}

/// That Twilio is to find out who took a call, while the call goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// How long it listens.
    pub mode: DetectionMode,
    /// Where it reports the verdict.
    pub url: String,
}

/// A call as Twilio describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneCall {
    /// Twilio's id.
    pub sid: CallSid,
    /// `queued` counts as initiated.
    pub status: CallStatus,
    /// How long it lasted, once it is over.
    pub duration: Option<Duration>,
}

/// Who opens the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSpeaker {
    /// The agent greets.
    Agent,
    /// The agent waits for the person.
    User,
}

/// Which agent takes a call.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentSource {
    /// One described on the spot: `POST /api/calls`.
    Inline {
        /// What the agent is told about its task.
        system_prompt: String,
        /// Ultravox's model name.
        model: String,
        /// Ultravox's voice name or id.
        voice: String,
        /// Who opens the conversation.
        first_speaker: FirstSpeaker,
    },
    /// One that Ultravox keeps: `POST /api/agents/{id}/calls`.
    Stored {
        /// Ultravox's id of the agent.
        ultravox_agent_id: String,
        /// What its template's variables stand for in this call.
        template_context: Map<String, Value>,
        /// Who opens the conversation, where that differs from the agent's template.
        first_speaker: Option<FirstSpeaker>,
    },
}

/// An agent to be made ready for one call.
#[derive(Clone, Debug)]
pub struct NewAgentCall {
    /// Sent along as metadata, so that a call can be found from Ultravox's side.
    pub call_id: CallId,
    /// Which agent.
    pub agent: AgentSource,
    /// How long the join URL stays good.
    pub join_timeout: Duration,
    /// How long the conversation may last.
    pub max_duration: Duration,
    /// Whether it is given [`DO_NOT_CALL_TOOL`](crate::protocol::ultravox::DO_NOT_CALL_TOOL).
    pub offers_do_not_call: bool,
}

/// An agent that is ready to be joined. `Debug` hides the join URL, which is a credential.
#[derive(Clone, Debug)]
pub struct AgentCall {
    /// Ultravox's call id.
    pub ultravox_call_id: String,
    /// The WebSocket to join. Whoever holds it can take the call.
    pub join_url: SecretString,
}

/// Which vendor an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// The phone side.
    Twilio,
    /// The agent side.
    Ultravox,
}

impl Vendor {
    /// Lower case, as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Vendor::Twilio => "twilio",
            Vendor::Ultravox => "ultravox",
        }
    }
}

impl std::fmt::Display for Vendor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Vendor::Twilio => "Twilio",
            Vendor::Ultravox => "Ultravox",
        })
    }
}

/// A vendor did not do what it was asked. The text carries no secret and may be shown to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VendorError {
    /// It answered, with an error.
    #[error("{vendor} refused to {operation}: {message} (HTTP {status}{})", code.map(|c| format!(", code {c}")).unwrap_or_default())]
    Refused {
        /// Who.
        vendor: Vendor,
        /// What was asked, as a phrase: `create the call`.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// The vendor's own error code, where it has one.
        code: Option<i64>,
        /// The vendor's own words, cut to a sensible length.
        message: String,
        /// When it says to come back.
        retry_after: Option<Duration>,
    },
    /// The request never left: safe to repeat.
    #[error("{vendor} cannot be reached to {operation}: {cause}")]
    Unreachable {
        /// Who.
        vendor: Vendor,
        /// What was asked.
        operation: &'static str,
        /// What went wrong, without URL or secret.
        cause: String,
    },
    /// The request was sent and no readable answer came: it may have been carried out.
    #[error("{vendor} gave no usable answer when asked to {operation}: {cause}")]
    OutcomeUnknown {
        /// Who.
        vendor: Vendor,
        /// What was asked.
        operation: &'static str,
        /// What went wrong, without URL or secret.
        cause: String,
    },
}

impl VendorError {
    /// The vendor is over a limit (429) or has no capacity (503); the time is its `Retry-After`.
    pub fn busy(&self) -> Option<Option<Duration>> {
        match self {
            VendorError::Refused { status: 429 | 503, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// The phone side: Twilio's REST API.
#[async_trait]
pub trait Telephony: Send + Sync {
    /// Places a call. Never repeats a request that may have been carried out: after
    /// [`VendorError::OutcomeUnknown`] look the call up with [`find`](Self::find).
    async fn place(
        &self,
        account: &TwilioAccount,
        call: &NewPhoneCall,
    ) -> Result<PhoneCall, VendorError>;

    /// Calls from this account's number to `to` created within `max_age`, newest first.
    async fn find(
        &self,
        account: &TwilioAccount,
        to: &PhoneNumber,
        max_age: Duration,
    ) -> Result<Vec<PhoneCall>, VendorError>;

    /// How the call stands now; `None` when Twilio does not know it.
    async fn fetch(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError>;

    /// Ends the call whatever its state. A call that is already over is a success; the answer says
    /// how it ended where Twilio tells.
    async fn hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError>;

    /// Has Twilio say a text in a call that is in progress, whatever goes on there, and then end
    /// the call. Its media stream is over then. The text has at most 3,000 characters or so: Twilio
    /// takes 4,000 with all that goes around it.
    async fn say_and_hang_up(
        &self,
        account: &TwilioAccount,
        sid: &CallSid,
        text: &str,
    ) -> Result<(), VendorError>;
}

/// The agent side: Ultravox's REST API.
#[async_trait]
pub trait VoiceAgents: Send + Sync {
    /// Makes an agent ready for one call.
    async fn create(
        &self,
        account: &UltravoxAccount,
        call: &NewAgentCall,
    ) -> Result<AgentCall, VendorError>;

    /// Tells an agent that is joined something it is to react to at once. Sent once: after
    /// [`VendorError::OutcomeUnknown`] it may have heard.
    async fn tell(
        &self,
        account: &UltravoxAccount,
        agent: &AgentCall,
        text: &str,
    ) -> Result<(), VendorError>;

    /// Gives back an agent nobody will talk to, so that it does not hold a slot until its join
    /// timeout: joins and closes at once. Best effort.
    async fn release(&self, agent: &AgentCall);
}

/// Where the state of calls is kept.
#[async_trait]
pub trait CallLog: Send + Sync {
    /// Writes behind: returns at once, keeps the order per call, and tries again while the
    /// database is away.
    fn record(&self, id: CallId, update: CallUpdate);

    /// Adds a line to the call's timeline, written behind as well.
    fn event(&self, id: CallId, event: CallEvent);

    /// The person of this call is not to be called any more by the company whose call it is. Written
    /// behind as well, and never lost for want of room.
    fn do_not_call(&self, id: CallId);

    /// Which of these calls of Twilio's are not ours yet.
    async fn unclaimed(&self, sids: Vec<CallSid>) -> Result<Vec<CallSid>, String>;
}

/// Who counts calls.
pub trait CallObserver: Send + Sync {
    /// A call was accepted and is now live.
    fn started(&self);

    /// A live call is over; the duration runs from its answer.
    fn ended(&self, direction: Direction, status: CallStatus, duration: Option<Duration>);

    /// The agent was first heard this long after the answer.
    fn first_audio(&self, after_answer: Duration);
}

/// The whole outside world of a call.
#[derive(Clone)]
pub struct Ports {
    /// The phone side.
    pub telephony: Arc<dyn Telephony>,
    /// The agent side.
    pub agents: Arc<dyn VoiceAgents>,
    /// Where state is kept.
    pub log: Arc<dyn CallLog>,
    /// Who counts.
    pub observer: Arc<dyn CallObserver>,
}
