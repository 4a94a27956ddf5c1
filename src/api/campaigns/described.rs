//! What requests about campaigns may have, for the document. Nothing here is ever filled in: the
//! rules are in `order`, and the fuzzer holds both against each other.

use utoipa::openapi::schema::{
    ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::{IntoParams, ToSchema};

use crate::api::agents::word;
use crate::api::calls::anything_by_name;

/// A campaign that is asked for.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignRequest, example = json!({
    "name": "Reminders of Monday",
    "agent_id": "agent_123456",
    "max_concurrent_calls": 10,
    "hours": {
        "timezone": "Europe/Berlin", "zone": "recipient",
        "windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "20:00"}]
    },
    "retries": {"max_attempts": 3, "on": ["busy", "no-answer"], "backoff_seconds": 900},
    "recipients": [
        {"phone_number": "+12125550123", "template_context": {"name": "Ann"}},
        "+12125550124"
    ]
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CampaignRequestBody {
    /// What people call it.
    #[schema(max_length = 100, pattern = "^[ -~]*[!-~][ -~]*$")]
    name: String,
    /// Who is called: 1 to 200,000 recipients. One that is not as it must be is reported, and
    /// spoils no other.
    #[schema(schema_with = recipients)]
    recipients: Vec<Object>,
    /// Who takes the calls; without it the company's own configuration.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    agent_id: Option<String>,
    /// Calls at the same time; 1 is strictly one after another.
    #[schema(minimum = 1, maximum = 1_000, default = 5)]
    max_concurrent_calls: Option<u32>,
    /// Calls begun in a second; without it the company's limit, which counts in any case.
    #[schema(minimum = 0.01, maximum = 100.0)]
    max_cps: Option<f64>,
    /// How long a call may last; at most the service's own limit, which it is without this.
    #[schema(minimum = 60)]
    max_call_seconds: Option<u32>,
    /// How long a phone rings; without it the service's limit.
    #[schema(minimum = 5, maximum = 600)]
    ring_timeout_seconds: Option<u32>,
    /// Who is dialled again; without it nobody.
    retries: Option<RetriesBody>,
    /// Nobody is dialled later than this after the campaign began.
    #[schema(minimum = 60, maximum = 2_592_000)]
    time_to_live_seconds: Option<u32>,
    /// When people may be called; without it always.
    hours: Option<HoursBody>,
    /// What is done about answering machines; without it they are not told from people.
    answering_machine: Option<MachineBody>,
    /// Template variables of everybody; a recipient's own go before them.
    #[schema(schema_with = anything_by_name)]
    template_context: Option<Object>,
    /// Everything is checked, and nothing stored or dialled.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// The same for a CSV file: `hours`, `retries`, `answering_machine` and `template_context` are
/// written as JSON.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CampaignQuery {
    /// Needed with a CSV file; with a JSON body, all settings are in the body.
    #[param(required = false, max_length = 100)]
    name: Option<String>,
    /// As in the JSON body.
    #[param(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    agent_id: Option<String>,
    /// As in the JSON body.
    #[param(minimum = 1, maximum = 1_000)]
    max_concurrent_calls: Option<u32>,
    /// As in the JSON body.
    #[param(minimum = 0.01, maximum = 100.0)]
    max_cps: Option<f64>,
    /// As in the JSON body.
    #[param(minimum = 60)]
    max_call_seconds: Option<u32>,
    /// As in the JSON body.
    #[param(minimum = 5, maximum = 600)]
    ring_timeout_seconds: Option<u32>,
    /// As in the JSON body, as JSON.
    retries: Option<String>,
    /// As in the JSON body.
    #[param(minimum = 60, maximum = 2_592_000)]
    time_to_live_seconds: Option<u32>,
    /// As in the JSON body, as JSON.
    hours: Option<String>,
    /// As in the JSON body, as JSON.
    answering_machine: Option<String>,
    /// As in the JSON body, as JSON.
    template_context: Option<String>,
    /// As in the JSON body.
    dry_run: Option<bool>,
}

/// Which campaigns to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct ListQuery {
    /// Only campaigns that stand so.
    #[param(schema_with = super::schema::any_state)]
    state: Option<String>,
    /// At most so many campaigns.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9a-f]{43}$")]
    cursor: Option<String>,
}

/// Which recipients to list, and how.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct ResultsQuery {
    /// Only recipients that stand so.
    #[param(schema_with = super::schema::any_recipient_state)]
    state: Option<String>,
    /// At most so many recipients.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(minimum = 0)]
    cursor: Option<u32>,
    /// `json` or `csv`; without it what `Accept` says.
    #[param(schema_with = format)]
    format: Option<String>,
}

/// Who is dialled again, how often and when.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignRetries)]
#[expect(dead_code, reason = "only described")]
struct RetriesBody {
    /// How often a recipient is dialled at most.
    #[schema(minimum = 1, maximum = 10, default = 1)]
    max_attempts: Option<u32>,
    /// The outcomes that are tried again: without it `busy` and `no-answer`.
    #[schema(schema_with = retriable)]
    on: Option<Vec<String>>,
    /// From the end of the first attempt to the second.
    #[schema(minimum = 0, maximum = 604_800, default = 900)]
    backoff_seconds: Option<u32>,
    /// How much longer each further wait is than the one before.
    #[schema(minimum = 1.0, maximum = 10.0, default = 2.0)]
    backoff_factor: Option<f64>,
}

/// When people may be called.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallingHours)]
#[expect(dead_code, reason = "only described")]
struct HoursBody {
    /// The campaign's zone, by its IANA name.
    timezone: String,
    /// Whose clock counts: the campaign's, or the recipient's, as its row says or its number tells.
    #[schema(schema_with = clock)]
    zone: Option<String>,
    /// The open times of a week.
    #[schema(min_items = 1, max_items = 50)]
    windows: Vec<WindowBody>,
}

/// The same time on some days.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallingWindow)]
#[expect(dead_code, reason = "only described")]
struct WindowBody {
    /// `mon` to `sun`.
    #[schema(schema_with = days)]
    days: Vec<String>,
    /// When it begins, `00:00` to `23:59`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// When it ends, later on the same day, `24:00` at the latest.
    #[schema(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
    to: String,
}

/// What is done when an answering machine takes a call. A person never waits for it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AnsweringMachine)]
#[expect(dead_code, reason = "only described")]
struct MachineBody {
    /// End the call, leave a message after the greeting, or let the agent go on.
    #[schema(schema_with = action)]
    action: String,
    /// What is left: the very words for `twilio`, what to say for the `agent`.
    #[schema(min_length = 1, max_length = 1_000, pattern = "^[^\\u0000]*$")]
    message: Option<String>,
    /// Who speaks the message; without it the agent.
    #[schema(schema_with = speaker)]
    spoken_by: Option<String>,
}

/// What is to change of a campaign that is not over. What is absent stays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignPatch, example = json!({"max_concurrent_calls": 20, "max_cps": null}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CampaignPatchBody {
    /// What people call it.
    #[schema(max_length = 100, pattern = "^[ -~]*[!-~][ -~]*$")]
    name: Option<String>,
    /// Calls at the same time.
    #[schema(minimum = 1, maximum = 1_000)]
    max_concurrent_calls: Option<u32>,
    /// Calls begun in a second; null for the company's limit.
    #[schema(minimum = 0.01, maximum = 100.0)]
    max_cps: Option<f64>,
    /// When people may be called; null for always.
    hours: Option<HoursBody>,
    /// Who is dialled again; what is absent in it has its default.
    retries: Option<RetriesBody>,
}

/// How a campaign is to be canceled. May be left out.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelCampaign)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CancelBody {
    /// Whether calls that are under way end too.
    #[schema(default = false)]
    end_live_calls: Option<bool>,
}

/// Whom to call again. May be left out.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryCampaign)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct RetryBody {
    /// How they ended; without it `busy`, `no-answer`, `failed`, `canceled` and `machine`.
    #[schema(schema_with = to_retry)]
    states: Option<Vec<String>>,
    /// What the new campaign is called.
    #[schema(max_length = 100, pattern = "^[ -~]*[!-~][ -~]*$")]
    name: Option<String>,
}

fn text(description: &str) -> Object {
    let kind = SchemaType::Type(Type::String);
    ObjectBuilder::new().schema_type(kind).description(Some(description)).build()
}

fn recipients() -> Schema {
    let priority = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .description(Some("The higher, the sooner: -1000 to 1000"));
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property("phone_number", text("International format"))
        .required("phone_number")
        .property("template_context", anything_by_name())
        .property("timezone", text("The recipient's own zone, by its IANA name"))
        .property("priority", priority)
        .property("not_before", text("Not dialled earlier (RFC 3339)"));
    let either = OneOfBuilder::new().item(text("A phone number")).item(object);
    ArrayBuilder::new().items(either).min_items(Some(1)).max_items(Some(200_000)).build().into()
}

fn words_of<const N: usize>(words: [&str; N]) -> Schema {
    ArrayBuilder::new().items(word(words)).build().into()
}

fn days() -> Schema {
    let days = word(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    ArrayBuilder::new().items(days).min_items(Some(1)).build().into()
}

fn retriable() -> Schema {
    words_of(["busy", "no-answer", "failed", "canceled", "machine"])
}

fn to_retry() -> Schema {
    words_of(super::REPEATABLE.map(actors::campaign::RecipientState::as_str))
}

fn format() -> Object {
    word(["json", "csv"])
}

fn clock() -> Object {
    word(["campaign", "recipient"])
}

fn action() -> Object {
    word(["hang_up", "leave_message", "go_on"])
}

fn speaker() -> Object {
    word(["agent", "twilio"])
}
