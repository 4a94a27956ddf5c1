//! Calls as they are written in requests and answers.

use actors::call::{CallStatus, Speaker};
use actors::machine::AnsweredBy;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use crate::api::agents::{variables, word, word_or_null};
use crate::api::time::milliseconds;
use crate::store::{CallRow, Direction, EventRow};

/// The id of a call.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("id"))]
pub(crate) struct CallIdParam(
    /// Twilio's id of the call (`CA…`), or ours (a UUID)
    #[expect(dead_code, reason = "only described")]
    String,
);

/// A call that is asked for.
#[derive(ToSchema)]
#[schema(as = CallRequest, example = json!({
    "phone_number": "+1234567890",
    "template_context": {
        "customer_name": "John Doe",
        "order_id": "ORD-12345",
        "issue_type": "billing"
    },
    "agent_id": "agent_123456"
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CallRequestBody {
    /// International format: `+`, country code, number; 8 to 18 characters.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    phone_number: String,
    /// What the names in the agent's prompt stand for in this call; overrides the agent's
    /// defaults. Strings have at most 1,000 characters.
    #[schema(required = false, schema_with = anything_by_name)]
    template_context: Object,
    /// The agent of the path again.
    #[schema(required = false, nullable, pattern = "^[A-Za-z0-9_-]{1,100}$")]
    agent_id: String,
}

/// A call that Twilio has accepted.
#[derive(Serialize, ToSchema)]
#[schema(as = DialledCall, example = json!({
    "call_sid": "CA1234567890abcdef1234567890abcdef",
    "join_url": "wss://api.ultravox.ai/calls/call_789/join",
    "status": "initiated",
    "created_at": "2024-01-01T12:00:00Z",
    "agent_id": "agent_123456",
    "phone_number": "+1234567890"
}))]
pub(crate) struct DialledBody<'a> {
    /// Twilio's id of the call.
    pub(crate) call_sid: &'a str,
    /// The agent's WebSocket. A credential: whoever holds it can take the call.
    pub(crate) join_url: &'a str,
    /// How the call stands.
    #[schema(schema_with = any_status)]
    pub(crate) status: &'a str,
    /// When it was asked for (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// The agent.
    pub(crate) agent_id: &'a str,
    /// Who is called.
    pub(crate) phone_number: &'a str,
}

/// A call.
#[derive(Serialize, ToSchema)]
#[schema(as = Call)]
pub(crate) struct CallBody<'a> {
    /// Our id.
    id: String,
    /// Twilio's id, once Twilio has accepted the call.
    call_sid: Option<&'a str>,
    /// How it stands.
    #[schema(schema_with = any_status)]
    status: &'static str,
    /// Who called whom.
    #[schema(schema_with = any_direction)]
    direction: &'static str,
    /// The agent, where the call has one of its own.
    agent_id: Option<&'a str>,
    /// The person: who is called, or who called.
    phone_number: &'a str,
    /// Who calls.
    from: &'a str,
    /// Who is called.
    to: &'a str,
    /// When it was asked for or came in (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was answered.
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// From answer to end.
    duration_seconds: Option<f64>,
    /// Why it is over, as a word.
    end_reason: Option<&'static str>,
    /// Who or what took it, in Twilio's words, where Twilio was asked to find out and has.
    #[schema(schema_with = anybody_or_null)]
    answered_by: Option<&'static str>,
    /// What went wrong, in the vendor's words.
    detail: Option<&'a str>,
    /// Ultravox's id of the conversation.
    ultravox_call_id: Option<&'a str>,
}

impl<'a> From<&'a CallRow> for CallBody<'a> {
    fn from(row: &'a CallRow) -> Self {
        CallBody {
            id: row.id.to_string(),
            call_sid: row.call_sid.as_ref().map(|sid| sid.as_str()),
            status: row.status.as_str(),
            direction: row.direction.as_str(),
            agent_id: row.agent.as_ref().map(|id| id.as_str()),
            phone_number: match row.direction {
                Direction::Inbound => row.from.as_str(),
                Direction::Outbound => row.to.as_str(),
            },
            from: row.from.as_str(),
            to: row.to.as_str(),
            created_at: milliseconds(row.created_at),
            answered_at: row.answered_at.map(milliseconds),
            ended_at: row.ended_at.map(milliseconds),
            duration_seconds: row.duration.map(|duration| duration.as_secs_f64()),
            end_reason: row.end_reason.map(|reason| reason.as_str()),
            answered_by: row.answered_by.map(AnsweredBy::as_str),
            detail: row.detail.as_deref(),
            ultravox_call_id: row.ultravox_call_id.as_deref(),
        }
    }
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallPage<'a> {
    /// Newest first.
    pub(crate) calls: Vec<CallBody<'a>>,
    /// Asks for the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// Everything that happened to a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Timeline)]
pub(crate) struct TimelineBody<'a> {
    /// Our id of the call.
    pub(crate) id: String,
    /// Twilio's id.
    pub(crate) call_sid: Option<&'a str>,
    /// In order.
    pub(crate) events: Vec<EventBody>,
}

/// One line of a timeline. Beside these fields it has those of its kind.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineEvent)]
pub(crate) struct EventBody {
    /// Counts the lines of one call, from 1.
    seq: i64,
    /// When it happened (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// What happened: `initiated`, `ringing`, `answered`, `transcript`, `ended` and others.
    kind: String,
    /// What is told beside it.
    #[schema(value_type = Object)]
    details: serde_json::Map<String, Value>,
}

impl From<&EventRow> for EventBody {
    fn from(row: &EventRow) -> Self {
        let event = serde_json::to_value(&row.event).expect("an event is plain data");
        let mut details = event.as_object().cloned().unwrap_or_default();
        let kind = details.remove("kind").and_then(|kind| Some(kind.as_str()?.to_owned()));
        EventBody {
            seq: row.seq,
            at: milliseconds(row.at),
            kind: kind.unwrap_or_default(),
            details,
        }
    }
}

/// What was said in a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Transcript)]
pub(crate) struct TranscriptBody<'a> {
    /// Our id of the call.
    pub(crate) id: String,
    /// Twilio's id.
    pub(crate) call_sid: Option<&'a str>,
    /// In order.
    pub(crate) transcript: Vec<SaidBody<'a>>,
}

/// One thing that was said.
#[derive(Serialize, ToSchema)]
#[schema(as = Said)]
pub(crate) struct SaidBody<'a> {
    /// When it was complete (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// `phone` or `agent`.
    #[schema(value_type = String)]
    speaker: Speaker,
    /// The words.
    text: &'a str,
}

impl<'a> SaidBody<'a> {
    pub(super) fn new(at: Timestamp, speaker: Speaker, text: &'a str) -> Self {
        SaidBody { at: milliseconds(at), speaker, text }
    }
}

/// Something to tell the agent.
#[derive(ToSchema)]
#[schema(as = Message, example = json!({"text": "The delivery is due tomorrow.", "urgency": "soon"}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct MessageBody {
    /// The words.
    #[schema(min_length = 1, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    text: String,
    /// `immediate` interrupts, `soon` waits for a pause, `later` for the person's next turn.
    #[schema(required = false, schema_with = urgency)]
    urgency: String,
}

pub(super) fn any_status() -> Object {
    word(CallStatus::ALL.map(CallStatus::as_str))
}

pub(super) fn any_direction() -> Object {
    word(["inbound", "outbound"])
}

fn anybody_or_null() -> Object {
    word_or_null(AnsweredBy::ALL.map(AnsweredBy::as_str))
}

fn urgency() -> Object {
    word_or_null(["immediate", "soon", "later"])
}

/// The variables of one call.
pub(crate) fn anything_by_name() -> Object {
    let kinds = [Type::String, Type::Number, Type::Boolean, Type::Array, Type::Object];
    let value = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter(kinds))
        .max_length(Some(1_000))
        .build();
    variables(value).build()
}
