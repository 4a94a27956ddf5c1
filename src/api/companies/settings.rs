//! What a request sets of a company, with its rules.
//!
//! Nobody reads these settings before they are needed on a call, so a typing mistake must not go
//! unseen: unknown fields are refused.

use actors::ids::{AccountSid, AgentId};
use actors::ports::FirstSpeaker;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use crate::api::error::ApiError;
use crate::api::fields::{Fields, Ruled};
use crate::api::rules;
use crate::store::{CompanySettings, Medium, NumberRoute, TwilioSettings, UltravoxSettings};

/// Numbers of one company.
const MAX_NUMBERS: usize = 1_000;
/// Beginnings of numbers that a company may call.
const MAX_PREFIXES: usize = 1_000;
/// Calls a second that Twilio gives to anybody.
const MAX_CPS: f64 = 1_000.0;

/// Whether there is a company to change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    New,
    Known,
}

pub(super) fn parse(body: Map<String, Value>, whose: Whose) -> Result<CompanySettings, ApiError> {
    let mut fields = Fields::of(body);
    let name = match whose {
        Whose::New => fields.required("name", name),
        Whose::Known => fields.optional("name", name),
    };
    let settings = CompanySettings {
        name,
        inbound_agent: fields.clearable("inbound_agent_id", rules::agent_id),
        numbers: fields.optional("numbers", numbers),
        twilio: twilio(&mut fields, whose),
        ultravox: ultravox(&mut fields, whose),
    };
    fields.refuse_unknown();
    fields.finish()?;
    Ok(settings)
}

fn twilio(outer: &mut Fields, whose: Whose) -> Option<TwilioSettings> {
    let mut fields = outer.object("twilio", "twilio.")?;
    let (account_sid, auth_token, phone_number) = match whose {
        Whose::New => (
            fields.required("account_sid", account_sid),
            fields.required("auth_token", secret),
            fields.required("phone_number", rules::phone_number),
        ),
        Whose::Known => (
            fields.optional("account_sid", account_sid),
            fields.optional("auth_token", secret),
            fields.optional("phone_number", rules::phone_number),
        ),
    };
    let settings = TwilioSettings {
        account_sid,
        auth_token,
        phone_number,
        max_cps: fields.clearable("max_cps", calls_a_second),
        fallback_number: fields.clearable("fallback_number", rules::phone_number),
        allowed_prefixes: fields.clearable("allowed_prefixes", prefixes),
    };
    fields.refuse_unknown();
    outer.absorb(fields);
    Some(settings)
}

fn ultravox(outer: &mut Fields, whose: Whose) -> Option<UltravoxSettings> {
    let mut fields = outer.object("ultravox", "ultravox.")?;
    let settings = UltravoxSettings {
        api_key: match whose {
            Whose::New => fields.required("apikey", secret),
            Whose::Known => fields.optional("apikey", secret),
        },
        api_url: fields.clearable("apiurl", api_url),
        system_prompt: fields.optional("system_prompt", |value| rules::text(value, 0, 10_000)),
        model: fields.optional("model", |value| rules::text(value, 1, 200)),
        voice: fields.optional("voice", rules::voice),
        first_speaker: fields.optional("firstspeaker", first_speaker),
        medium: fields.optional("medium", medium),
    };
    fields.refuse_unknown();
    outer.absorb(fields);
    Some(settings)
}

/// What people call a company; any words.
fn name(value: &Value) -> Ruled<String> {
    let name = rules::text(value, 1, 200)?;
    match name.trim().is_empty() {
        true => Err("must not be only spaces".to_owned()),
        false => Ok(name),
    }
}

fn account_sid(value: &Value) -> Ruled<AccountSid> {
    let wrong = || "must be Twilio's id of the account: AC and 32 hex digits".to_owned();
    let hex = value.as_str().and_then(|sid| sid.strip_prefix("AC")).ok_or_else(wrong)?;
    match hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => rules::parsed(value),
        false => Err(wrong()),
    }
}

/// Something that is sent in a header and never shown again.
fn secret(value: &Value) -> Ruled<SecretString> {
    let text = rules::text(value, 1, 1_000)?;
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("must have visible ASCII characters only".to_owned()),
    }
}

fn numbers(value: &Value) -> Ruled<Vec<NumberRoute>> {
    let wrong = || {
        format!(
            "must be a list of at most {MAX_NUMBERS} objects such as \
             {{\"number\": \"+12125550123\", \"agent_id\": null}}"
        )
    };
    let list = value.as_array().filter(|list| list.len() <= MAX_NUMBERS).ok_or_else(wrong)?;
    let routes = list.iter().map(|item| {
        let item = item.as_object().ok_or_else(wrong)?;
        if item.keys().any(|name| name != "number" && name != "agent_id") {
            return Err(wrong());
        }
        let number = rules::phone_number(item.get("number").unwrap_or(&Value::Null))?;
        let agent: Option<AgentId> = match item.get("agent_id") {
            None | Some(Value::Null) => None,
            Some(id) => Some(rules::agent_id(id)?),
        };
        Ok(NumberRoute { number, agent })
    });
    let routes: Vec<NumberRoute> = routes.collect::<Result<_, String>>()?;
    let mut seen: Vec<&str> = routes.iter().map(|route| route.number.as_str()).collect();
    seen.sort_unstable();
    match seen.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err("must name each number once".to_owned()),
        false => Ok(routes),
    }
}

fn calls_a_second(value: &Value) -> Ruled<f64> {
    let number = value.as_f64().filter(|number| (0.01..=MAX_CPS).contains(number));
    number.ok_or_else(|| format!("must be a number from 0.01 to {MAX_CPS}"))
}

fn prefixes(value: &Value) -> Ruled<Vec<String>> {
    let wrong = || {
        format!(
            "must be a list of 1 to {MAX_PREFIXES} beginnings of numbers such as \"+1\" or \"+44\""
        )
    };
    let list = value.as_array().filter(|list| (1..=MAX_PREFIXES).contains(&list.len()));
    let prefixes = list.ok_or_else(wrong)?.iter().map(|prefix| {
        let prefix = prefix.as_str().ok_or_else(wrong)?;
        let digits = prefix.strip_prefix('+').ok_or_else(wrong)?;
        let good = (1..=17).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if good { Ok(prefix.to_owned()) } else { Err(wrong()) }
    });
    prefixes.collect()
}

fn api_url(value: &Value) -> Ruled<String> {
    let text = rules::text(value, 1, 500)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    match url {
        Some(_) => Ok(text),
        None => Err("must be a URL such as https://api.ultravox.ai, without a password".to_owned()),
    }
}

fn first_speaker(value: &Value) -> Ruled<FirstSpeaker> {
    match value.as_str() {
        Some("FIRST_SPEAKER_USER") => Ok(FirstSpeaker::User),
        Some("FIRST_SPEAKER_AGENT") => Ok(FirstSpeaker::Agent),
        _ => Err("must be 'FIRST_SPEAKER_USER' or 'FIRST_SPEAKER_AGENT'".to_owned()),
    }
}

fn medium(value: &Value) -> Ruled<Medium> {
    match value.as_str() {
        Some("serverWebSocket") => Ok(Medium::ServerWebSocket),
        _ => Err("must be 'serverWebSocket'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(body: Value) -> String {
        let body = body.as_object().expect("an object").clone();
        parse(body, Whose::Known).expect_err("refused").to_string()
    }

    #[test]
    fn every_setting_has_its_rule() {
        let cases = [
            (json!({"name": " "}), "name must not be only spaces"),
            (json!({"nmae": "x"}), "nmae is not known here"),
            (json!({"twilio": 1}), "twilio must be an object"),
            (json!({"twilio": {"account_sid": "XX"}}), "twilio.account_sid must be Twilio's id"),
            (json!({"twilio": {"max_cps": 0}}), "twilio.max_cps must be a number from 0.01"),
            (json!({"twilio": {"allowed_prefixes": ["1"]}}), "twilio.allowed_prefixes must be"),
            (json!({"twilio": {"allowed_prefixes": []}}), "twilio.allowed_prefixes must be"),
            (json!({"twilio": {"token": "x"}}), "twilio.token is not known here"),
            (json!({"ultravox": {"apikey": "a b"}}), "ultravox.apikey must have visible ASCII"),
            (json!({"ultravox": {"apiurl": "ftp://x"}}), "ultravox.apiurl must be a URL"),
            (json!({"ultravox": {"medium": "webRtc"}}), "ultravox.medium must be"),
            (json!({"ultravox": {"firstspeaker": "ME"}}), "ultravox.firstspeaker must be"),
            (json!({"numbers": ["+12125550123"]}), "numbers must be a list"),
            (json!({"numbers": [{"number": "+1"}]}), "numbers must be 8 to 18 characters"),
            (
                json!({"numbers": [{"number": "+12125550123"}, {"number": "+12125550123"}]}),
                "numbers must name each number once",
            ),
        ];
        for (body, expected) in cases {
            let said = said(body.clone());
            assert!(said.starts_with(expected), "{body}: {said}");
        }
    }

    #[test]
    fn null_clears_what_may_be_empty() {
        let body = json!({
            "inbound_agent_id": null,
            "twilio": {"max_cps": null, "allowed_prefixes": ["+1", "+49"]},
            "ultravox": {"apiurl": null}
        });
        let body = body.as_object().expect("an object").clone();
        let settings = parse(body, Whose::Known).expect("good");
        assert_eq!(settings.inbound_agent, Some(None));
        let twilio = settings.twilio.expect("given");
        assert_eq!((twilio.max_cps, twilio.fallback_number), (Some(None), None));
        assert_eq!(twilio.allowed_prefixes, Some(Some(vec!["+1".to_owned(), "+49".to_owned()])));
        assert_eq!(settings.ultravox.expect("given").api_url, Some(None));
    }

    #[test]
    fn a_new_company_needs_a_name_and_whole_configurations() {
        let body = json!({"twilio": {}, "ultravox": {}});
        let error = parse(body.as_object().expect("an object").clone(), Whose::New);
        let said = error.expect_err("refused").to_string();
        for field in ["name", "twilio.account_sid", "twilio.auth_token", "ultravox.apikey"] {
            assert!(said.contains(&format!("{field} is required")), "{said}");
        }
    }
}
