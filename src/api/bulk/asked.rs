//! What the body of a bulk route asks for.

use actors::ids::CompanyId;
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::{compat, rules};
use crate::campaigns::{CampaignSettings, Origin, Retries};

/// Numbers of one request. For more there is `POST /api/v1/campaigns`, which is not kept open.
const MAX_NUMBERS: usize = 10_000;
/// Calls at the same time, where the body does not say.
const DEFAULT_CONCURRENT_CALLS: u32 = 5;
const MAX_CONCURRENT_CALLS: u32 = 1_000;
/// How long a call of `intelligent-bulk-calls` may last, where the body does not say.
const DEFAULT_CALL_SECONDS: u32 = 180;
const MAX_CALL_SECONDS: u32 = 86_400;
const MAX_URL_CHARS: usize = 4_000;

/// Numbers to be called one after another.
#[derive(ToSchema)]
#[schema(as = SequentialBulkCalls, rename_all = "camelCase", example = json!({
    "companyId": 123,
    "phoneNumbers": ["+1234567890", "+0987654321", "+918123456789"]
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct SequentialBody {
    /// The company for which the calls are placed.
    #[schema(minimum = 1)]
    company_id: i64,
    /// Phone numbers to call. One that is no number fails in its own row.
    #[schema(min_items = 1, max_items = 10_000)]
    phone_numbers: Vec<String>,
    /// TwiML that Twilio follows in these calls, in the place of an agent: they are tracked only.
    #[schema(pattern = "^https://", max_length = 4_000)]
    twiml_url: Option<String>,
}

/// Numbers to be called some at a time.
#[derive(ToSchema)]
#[schema(as = BulkCalls, rename_all = "camelCase", example = json!({
    "companyId": 123, "phoneNumbers": ["+1234567890"], "maxConcurrentCalls": 5
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct BulkBody {
    /// The company for which the calls are placed.
    #[schema(minimum = 1)]
    company_id: i64,
    /// Phone numbers to call. One that is no number fails in its own row.
    #[schema(min_items = 1, max_items = 10_000)]
    phone_numbers: Vec<String>,
    /// TwiML that Twilio follows in these calls, in the place of an agent: they are tracked only.
    #[schema(pattern = "^https://", max_length = 4_000)]
    twiml_url: Option<String>,
    /// Calls at the same time.
    #[schema(minimum = 1, maximum = 1_000, default = 5)]
    max_concurrent_calls: Option<u32>,
}

/// Numbers to be called some at a time, none for too long.
#[derive(ToSchema)]
#[schema(as = IntelligentBulkCalls, rename_all = "camelCase", example = json!({
    "companyId": 123, "phoneNumbers": ["+1234567890"],
    "maxConcurrentCalls": 5, "maxCallDuration": 180
}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct IntelligentBody {
    /// The company for which the calls are placed.
    #[schema(minimum = 1)]
    company_id: i64,
    /// Phone numbers to call. One that is no number fails in its own row.
    #[schema(min_items = 1, max_items = 10_000)]
    phone_numbers: Vec<String>,
    /// TwiML that Twilio follows in these calls, in the place of an agent: they are tracked only.
    #[schema(pattern = "^https://", max_length = 4_000)]
    twiml_url: Option<String>,
    /// Calls at the same time.
    #[schema(minimum = 1, maximum = 1_000, default = 5)]
    max_concurrent_calls: Option<u32>,
    /// How long a call may last, in seconds. One that lasts longer is ended on both legs.
    #[schema(minimum = 1, maximum = 86_400, default = 180)]
    max_call_duration: Option<u32>,
}

/// A checked body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) company: CompanyId,
    /// As they were given: each is checked for itself.
    pub(super) numbers: Vec<String>,
    pub(super) settings: CampaignSettings,
}

impl Asked {
    /// Reads a body of the route that makes campaigns of this origin.
    pub(super) fn parse(origin: Origin, body: &Map<String, Value>) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::bad_request("validation_error", message);
        let company = compat::company(body)?;
        let numbers = numbers(body.get("phoneNumbers")).map_err(invalid)?;
        let given = |name: &str| body.get(name).filter(|value| !value.is_null());
        let twiml_url = given("twimlUrl")
            .map(|url| https_url(url).map_err(|why| invalid(format!("twimlUrl {why}"))))
            .transpose()?;
        let count = |name: &str, max: u32, default: u32| match given(name) {
            None => Ok(default),
            Some(value) => rules::integer(value)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| (1..=max).contains(number))
                .ok_or_else(|| invalid(format!("{name} must be a whole number from 1 to {max}"))),
        };
        let concurrent =
            || count("maxConcurrentCalls", MAX_CONCURRENT_CALLS, DEFAULT_CONCURRENT_CALLS);
        let (max_concurrent_calls, max_call_seconds) = match origin {
            Origin::IntelligentBulk => {
                let seconds = count("maxCallDuration", MAX_CALL_SECONDS, DEFAULT_CALL_SECONDS)?;
                (concurrent()?, Some(seconds))
            }
            Origin::Bulk => (concurrent()?, None),
            Origin::BulkSequential | Origin::Campaign => (1, None),
        };
        let settings = CampaignSettings {
            origin,
            max_concurrent_calls,
            max_cps: None,
            max_call_seconds,
            ring_timeout_seconds: None,
            retries: Retries::default(),
            time_to_live_seconds: None,
            hours: None,
            answering_machine: None,
            template_context: Map::new(),
            twiml_url,
        };
        Ok(Asked { company, numbers, settings })
    }
}

fn numbers(given: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = || {
        format!("phoneNumbers must be an array of 1 to {MAX_NUMBERS} strings, each a phone number")
    };
    let given = given.and_then(Value::as_array).ok_or_else(wrong)?;
    if !(1..=MAX_NUMBERS).contains(&given.len()) {
        return Err(wrong());
    }
    let numbers = given.iter().map(|number| number.as_str().map(str::to_owned));
    numbers.collect::<Option<_>>().ok_or_else(wrong)
}

/// Twilio sends what it knows of a call to this address, so nobody may listen on the way.
fn https_url(value: &Value) -> Result<String, String> {
    let wrong = "must be an https:// URL";
    let text = value.as_str().filter(|text| text.len() <= MAX_URL_CHARS).ok_or(wrong)?;
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https").ok_or(wrong)?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(origin: Origin, body: Value) -> Result<Asked, ApiError> {
        Asked::parse(origin, body.as_object().expect("an object"))
    }

    fn error_of(body: Value) -> String {
        parse(Origin::IntelligentBulk, body).expect_err("wrong").to_string()
    }

    #[test]
    fn reads_the_documented_example() {
        let body = json!({
            "companyId": 123,
            "phoneNumbers": ["+1234567890", "+0987654321", "+918123456789"],
            "maxConcurrentCalls": 50
        });
        let asked = parse(Origin::BulkSequential, body).expect("valid");
        assert_eq!((asked.company, asked.numbers.len()), (CompanyId(123), 3));
        assert_eq!(asked.settings.max_concurrent_calls, 1, "strictly one at a time");
        assert_eq!(asked.settings.retries.max_attempts, 1);
    }

    #[test]
    fn what_is_left_out_has_its_documented_default() {
        let body = json!({"companyId": 1, "phoneNumbers": ["x"], "maxConcurrentCalls": null});
        let bulk = parse(Origin::Bulk, body.clone()).expect("valid").settings;
        assert_eq!((bulk.max_concurrent_calls, bulk.max_call_seconds), (5, None));
        let intelligent = parse(Origin::IntelligentBulk, body).expect("valid").settings;
        let limits = (intelligent.max_concurrent_calls, intelligent.max_call_seconds);
        assert_eq!(limits, (5, Some(180)));
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        assert_eq!(error_of(json!({"phoneNumbers": ["+1234567890"]})), "Company ID is required");
        let many: Vec<&str> = std::iter::repeat_n("+1234567890", MAX_NUMBERS + 1).collect();
        for numbers in [json!(null), json!([]), json!("+1"), json!(["+1234567890", 7]), json!(many)]
        {
            let said = error_of(json!({"companyId": 1, "phoneNumbers": numbers}));
            assert!(said.starts_with("phoneNumbers must be an array of 1 to 10000 strings"));
        }
        for (name, most) in [("maxConcurrentCalls", 1_000), ("maxCallDuration", 86_400)] {
            for bad in [json!(0), json!(-1), json!(1.5), json!("5"), json!(most + 1), json!(1e300)]
            {
                let said = error_of(json!({"companyId": 1, "phoneNumbers": ["x"], name: bad}));
                assert_eq!(said, format!("{name} must be a whole number from 1 to {most}"));
            }
        }
        for bad in [json!("http://demo.twilio.com/"), json!("demo"), json!(1), json!("")] {
            let said = error_of(json!({"companyId": 1, "phoneNumbers": ["x"], "twimlUrl": bad}));
            assert_eq!(said, "twimlUrl must be an https:// URL");
        }
    }
}
