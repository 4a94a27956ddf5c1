//! How a bulk route tells what became of its calls.

use actors::call::EndReason;
use actors::campaign::RecipientState;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::campaigns::Origin;
use crate::store::RecipientRow;

/// What became of all calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkCallsDone, example = json!({
    "message": "Bulk calls processed sequentially",
    "totalCalls": 2,
    "callResults": [
        {
            "phoneNumber": "+1234567890", "status": "completed",
            "callSid": "CA123...", "joinUrl": "https://ultravox.call/join/123"
        },
        {
            "phoneNumber": "Ann", "status": "failed", "callSid": null, "joinUrl": null,
            "error": "phoneNumber must be 8 to 18 characters: a plus sign, then digits"
        }
    ]
}))]
pub(crate) struct DoneBody {
    /// The same words whatever became of the calls.
    message: &'static str,
    /// How many numbers there were.
    total_calls: usize,
    /// Every number of the request, in its order.
    call_results: Vec<ResultBody>,
    /// Those of `callResults` that were not reached, once more. `intelligent-bulk-calls` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_calls: Option<Vec<ResultBody>>,
}

/// What became of one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkCallResult)]
pub(crate) struct ResultBody {
    /// As it was called; as it was given, where it was not.
    phone_number: String,
    /// How the call ended, in Twilio's words.
    #[schema(pattern = "^(completed|busy|no-answer|failed|canceled)$")]
    status: &'static str,
    /// Twilio's id of the call; null when none was placed.
    call_sid: Option<String>,
    /// The agent's WebSocket, a credential while the call lived; null where there was no agent.
    join_url: Option<String>,
    /// Why the number was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether the call was ended because it lasted for `maxCallDuration`.
    /// `intelligent-bulk-calls` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<bool>,
}

/// That the calls go on without the client.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkCallsAccepted, example = json!({
    "message": "Bulk calls are being processed",
    "campaignId": "0198c2a4-7d1e-7cc3-98c4-dc0c0c07398f",
    "totalCalls": 3
}))]
pub(crate) struct AcceptedBody {
    /// Always the same words.
    pub(super) message: &'static str,
    /// The campaign under `/api/v1/campaigns` that places the calls; `Location` names it too.
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub(super) campaign_id: String,
    /// How many numbers there were.
    pub(super) total_calls: usize,
}

impl DoneBody {
    pub(super) fn new(origin: Origin, call_results: Vec<ResultBody>) -> Self {
        let is_intelligent = origin == Origin::IntelligentBulk;
        let failed = call_results.iter().filter(|result| result.status != COMPLETED).cloned();
        DoneBody {
            message: match origin {
                Origin::BulkSequential => "Bulk calls processed sequentially",
                Origin::IntelligentBulk => "Intelligent bulk calls processed",
                Origin::Bulk | Origin::Campaign => "Bulk calls processed",
            },
            total_calls: call_results.len(),
            failed_calls: is_intelligent.then(|| failed.collect()),
            call_results,
        }
    }
}

const COMPLETED: &str = "completed";
const FAILED: &str = "failed";
const CANCELED: &str = "canceled";

impl ResultBody {
    /// Of a number that was not called.
    pub(super) fn refused(origin: Origin, phone_number: String, why: String) -> Self {
        ResultBody {
            phone_number,
            status: FAILED,
            call_sid: None,
            join_url: None,
            error: Some(in_our_words(why)),
            terminated: (origin == Origin::IntelligentBulk).then_some(false),
        }
    }

    pub(super) fn of(origin: Origin, row: RecipientRow) -> Self {
        let status = status(row.state);
        let is_over_time = row.reason.as_deref() == Some(EndReason::MaxDuration.as_str());
        let why = || row.detail.or(row.reason).unwrap_or_else(|| words(row.state).to_owned());
        ResultBody {
            phone_number: row.number,
            status,
            call_sid: row.call_sid,
            join_url: row.join_url.map(|url| url.expose_secret().to_owned()),
            terminated: (origin == Origin::IntelligentBulk).then_some(is_over_time),
            error: (status != COMPLETED).then(why).map(in_our_words),
        }
    }
}

/// Campaigns call a number what the integration API calls it; the call routes have another spelling.
fn in_our_words(why: String) -> String {
    match why.strip_prefix("phone_number ") {
        Some(rest) => format!("phoneNumber {rest}"),
        None => why,
    }
}

/// Twilio's word for how a recipient's call ended, or for why there was none.
fn status(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Completed | RecipientState::Machine => COMPLETED,
        RecipientState::Busy => "busy",
        RecipientState::NoAnswer => "no-answer",
        RecipientState::Canceled | RecipientState::Skipped => CANCELED,
        RecipientState::Failed
        | RecipientState::Invalid
        | RecipientState::Duplicate
        | RecipientState::DoNotCall
        | RecipientState::Expired
        | RecipientState::Waiting
        | RecipientState::Calling => FAILED,
    }
}

/// Why a number was not reached, where nobody has said more.
fn words(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Busy => "the line was busy",
        RecipientState::NoAnswer => "nobody answered",
        RecipientState::Canceled => "the call was canceled before it was answered",
        RecipientState::Skipped => "the campaign was canceled before this number was called",
        RecipientState::DoNotCall => "this number is not to be called",
        RecipientState::Duplicate => "this number stands in the list a second time",
        RecipientState::Expired => "its time was over before it could be called",
        _ => "the call could not be connected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn row(number: &str, state: RecipientState) -> RecipientRow {
        RecipientRow {
            seq: 1,
            number: number.to_owned(),
            context: None,
            timezone: None,
            priority: 0,
            state,
            attempts: 1,
            due: None,
            call: None,
            call_sid: None,
            join_url: None,
            reason: None,
            detail: None,
            answered_by: None,
            duration: None,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn answer(origin: Origin, rows: Vec<RecipientRow>) -> Value {
        let results = rows.into_iter().map(|row| ResultBody::of(origin, row)).collect();
        serde_json::to_value(DoneBody::new(origin, results)).expect("plain data")
    }

    #[test]
    fn the_answer_is_the_documented_one() {
        let reached = RecipientRow {
            call_sid: Some("CA123".to_owned()),
            join_url: Some("wss://join".into()),
            reason: Some("agent_hung_up".to_owned()),
            ..row("+1234567890", RecipientState::Completed)
        };
        let bad = RecipientRow {
            detail: Some("phone_number must be a number".to_owned()),
            ..row("Ann", RecipientState::Invalid)
        };
        assert_eq!(
            answer(Origin::BulkSequential, vec![reached, bad]),
            json!({
                "message": "Bulk calls processed sequentially",
                "totalCalls": 2,
                "callResults": [
                    {
                        "phoneNumber": "+1234567890", "status": "completed",
                        "callSid": "CA123", "joinUrl": "wss://join"
                    },
                    {
                        "phoneNumber": "Ann", "status": "failed", "callSid": null,
                        "joinUrl": null, "error": "phoneNumber must be a number"
                    }
                ]
            })
        );
        assert_eq!(answer(Origin::Bulk, vec![])["message"], "Bulk calls processed");
    }

    #[test]
    fn an_intelligent_answer_tells_failures_apart_and_who_talked_too_long() {
        let long = RecipientRow {
            reason: Some("max_duration".to_owned()),
            ..row("+1234567890", RecipientState::Completed)
        };
        let busy = row("+1234567891", RecipientState::Busy);
        let said = answer(Origin::IntelligentBulk, vec![long, busy]);
        assert_eq!(said["message"], "Intelligent bulk calls processed");
        let terminated: Vec<&Value> =
            (0..2).map(|n| &said["callResults"][n]["terminated"]).collect();
        assert_eq!(terminated, [&json!(true), &json!(false)]);
        assert_eq!(said["failedCalls"].as_array().map(Vec::len), Some(1));
        assert_eq!(said["failedCalls"][0], said["callResults"][1]);
        assert_eq!(said["failedCalls"][0]["error"], "the line was busy");
    }

    #[test]
    fn every_state_has_a_word_of_twilios() {
        for state in RecipientState::ALL {
            let said = ResultBody::of(Origin::Bulk, row("+1234567890", state));
            let known = ["completed", "busy", "no-answer", "failed", "canceled"];
            assert!(known.contains(&said.status), "{state}");
            assert_eq!(said.error.is_none(), said.status == "completed", "{state}");
        }
    }
}
