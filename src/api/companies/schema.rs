//! Companies as they are written in requests and answers.

use actors::ports::FirstSpeaker;
use serde::Serialize;
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use crate::api::agents::word;
use crate::api::time::whole_seconds;
use crate::store::{CompanyRow, Medium, NumberRoute, TwilioView, UltravoxView};

/// The number of a company.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("company_id"))]
pub(crate) struct CompanyIdParam(
    /// The company's number
    #[expect(dead_code, reason = "only described")]
    #[param(minimum = 1)]
    i64,
);

/// A company that is to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCompany, example = json!({
    "name": "Acme Corp",
    "twilio": {
        "account_sid": "AC00000000000000000000000000000001",
        "auth_token": "an auth token",
        "phone_number": "+12125550100"
    },
    "ultravox": {"apikey": "an API key", "system_prompt": "You are a helpful phone agent."}
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct NewCompanyBody {
    /// What people call it.
    #[schema(max_length = 200, pattern = "^[ -~]*[!-~][ -~]*$")]
    name: String,
    /// Its phone side; `account_sid`, `auth_token` and `phone_number` belong together.
    twilio: Option<TwilioBody>,
    /// Its agent side; `apikey` is needed.
    ultravox: Option<UltravoxBody>,
    /// Who answers its numbers where the number names nobody.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    inbound_agent_id: Option<String>,
    /// Numbers that reach it besides the one it calls from.
    #[schema(max_items = 1_000)]
    numbers: Option<Vec<NumberBody>>,
}

/// What is to change of a company. What is absent stays; null clears what may be empty.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CompanyPatch, example = json!({
    "twilio": {"max_cps": 5, "allowed_prefixes": ["+1", "+44"]},
    "inbound_agent_id": "agent_123456"
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CompanyPatchBody {
    /// What people call it.
    #[schema(max_length = 200, pattern = "^[ -~]*[!-~][ -~]*$")]
    name: Option<String>,
    /// Its phone side.
    twilio: Option<TwilioBody>,
    /// Its agent side.
    ultravox: Option<UltravoxBody>,
    /// Who answers its numbers where the number names nobody.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    inbound_agent_id: Option<String>,
    /// All the numbers that reach it besides the one it calls from.
    #[schema(max_items = 1_000)]
    numbers: Option<Vec<NumberBody>>,
}

/// How a company reaches Twilio.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TwilioSettings)]
#[expect(dead_code, reason = "only described")]
struct TwilioBody {
    /// The account calls are made from and billed to.
    #[schema(pattern = "^AC[0-9a-fA-F]{32}$")]
    account_sid: Option<String>,
    /// Stored encrypted, and never shown again.
    #[schema(write_only, pattern = "^[!-~]{1,1000}$")]
    auth_token: Option<String>,
    /// The number calls come from.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    phone_number: Option<String>,
    /// Calls a second; null for the service's default.
    #[schema(minimum = 0.01, maximum = 1_000.0)]
    max_cps: Option<f64>,
    /// Who takes a call when no agent can.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    fallback_number: Option<String>,
    /// Beginnings of the numbers that may be called; null for all.
    #[schema(min_items = 1, max_items = 1_000)]
    allowed_prefixes: Option<Vec<String>>,
}

/// How a company reaches Ultravox, and its own agent configuration.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UltravoxSettings)]
#[expect(dead_code, reason = "only described")]
struct UltravoxBody {
    /// Stored encrypted, and never shown again.
    #[schema(write_only, pattern = "^[!-~]{1,1000}$")]
    apikey: Option<String>,
    /// An endpoint of the company's own; null for the service's default.
    #[schema(max_length = 500)]
    apiurl: Option<String>,
    /// What the agent is told about its task.
    #[schema(max_length = 10_000, pattern = "^[^\\u0000]*$")]
    system_prompt: Option<String>,
    /// Ultravox's model name.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    model: Option<String>,
    /// Ultravox's voice name or id.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    voice: Option<String>,
    /// Who opens the conversation.
    #[schema(schema_with = first_speakers)]
    firstspeaker: Option<String>,
    /// Who carries the audio.
    #[schema(schema_with = media)]
    medium: Option<String>,
}

/// A number, and who answers it.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CompanyNumber)]
pub(crate) struct NumberBody {
    /// International format.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    number: String,
    /// The agent that answers; null for the company's.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    agent_id: Option<String>,
}

impl From<&NumberRoute> for NumberBody {
    fn from(route: &NumberRoute) -> Self {
        NumberBody {
            number: route.number.as_str().to_owned(),
            agent_id: route.agent.as_ref().map(|id| id.as_str().to_owned()),
        }
    }
}

/// A company. Its secrets are not shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Company)]
pub(crate) struct CompanyBody<'a> {
    /// Its number.
    id: i64,
    /// What people call it.
    name: &'a str,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// Who answers its numbers where the number names nobody.
    inbound_agent_id: Option<&'a str>,
    /// Numbers that reach it besides the one it calls from.
    numbers: Vec<NumberBody>,
    /// Its phone side; null when it has none.
    twilio: Option<TwilioShown<'a>>,
    /// Its agent side; null when it has none.
    ultravox: Option<UltravoxShown<'a>>,
}

/// How a company reaches Twilio, without the token.
#[derive(Serialize, ToSchema)]
#[schema(as = TwilioConfiguration)]
struct TwilioShown<'a> {
    account_sid: &'a str,
    phone_number: &'a str,
    max_cps: Option<f64>,
    fallback_number: Option<&'a str>,
    allowed_prefixes: Option<&'a [String]>,
}

impl<'a> From<&'a TwilioView> for TwilioShown<'a> {
    fn from(view: &'a TwilioView) -> Self {
        TwilioShown {
            account_sid: view.account_sid.as_str(),
            phone_number: view.phone_number.as_str(),
            max_cps: view.max_cps,
            fallback_number: view.fallback_number.as_ref().map(|number| number.as_str()),
            allowed_prefixes: view.allowed_prefixes.as_deref(),
        }
    }
}

/// How a company reaches Ultravox, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = UltravoxConfiguration)]
struct UltravoxShown<'a> {
    apiurl: Option<&'a str>,
    system_prompt: &'a str,
    model: &'a str,
    voice: &'a str,
    firstspeaker: &'static str,
    medium: &'static str,
}

impl<'a> From<&'a UltravoxView> for UltravoxShown<'a> {
    fn from(view: &'a UltravoxView) -> Self {
        UltravoxShown {
            apiurl: view.apiurl.as_deref(),
            system_prompt: &view.system_prompt,
            model: &view.model,
            voice: &view.voice,
            firstspeaker: match view.firstspeaker {
                FirstSpeaker::User => "FIRST_SPEAKER_USER",
                FirstSpeaker::Agent => "FIRST_SPEAKER_AGENT",
            },
            medium: view.medium.as_str(),
        }
    }
}

impl<'a> From<&'a CompanyRow> for CompanyBody<'a> {
    fn from(row: &'a CompanyRow) -> Self {
        CompanyBody {
            id: row.id.0,
            name: &row.name,
            created_at: whole_seconds(row.created_at),
            inbound_agent_id: row.inbound_agent.as_ref().map(|id| id.as_str()),
            numbers: row.numbers.iter().map(NumberBody::from).collect(),
            twilio: row.twilio.as_ref().map(TwilioShown::from),
            ultravox: row.ultravox.as_ref().map(UltravoxShown::from),
        }
    }
}

/// A page of companies.
#[derive(Serialize, ToSchema)]
pub(crate) struct CompanyPage<'a> {
    /// By number.
    pub(crate) companies: Vec<CompanyBody<'a>>,
    /// Asks for the next page as `after`; null on the last.
    pub(crate) next_after: Option<i64>,
}

fn first_speakers() -> Object {
    word(["FIRST_SPEAKER_USER", "FIRST_SPEAKER_AGENT"])
}

fn media() -> Object {
    word([Medium::ServerWebSocket.as_str()])
}
