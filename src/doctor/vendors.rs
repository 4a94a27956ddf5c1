//! The accounts at Twilio and Ultravox: are the credentials good, and may they call?

use std::sync::Arc;

use actors::ids::{CompanyId, PhoneNumber};
use actors::ports::{TwilioAccount, UltravoxAccount, VendorError};

use crate::clients::twilio::TwilioAccountInfo;
use crate::clients::ultravox::UltravoxAccountInfo;
use crate::clients::{NoObserver, TwilioClient, UltravoxClient};
use crate::config::Config;

use super::clock::Clock;
use super::finding::Finding;

const TWILIO: &str = "Twilio";
const ULTRAVOX: &str = "Ultravox";

/// Gives Twilio's clock.
pub(super) async fn twilio(
    config: &Config,
    company: CompanyId,
    account: Option<&TwilioAccount>,
    findings: &mut Vec<Finding>,
) -> Option<Clock> {
    let Some(account) = account else {
        findings.push(no_account(
            TWILIO,
            company,
            "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and \
             TWILIO_PHONE_NUMBER",
        ));
        return None;
    };
    let client = match TwilioClient::new(&config.twilio_api_url, Arc::new(NoObserver)) {
        Ok(client) => client,
        Err(error) => {
            let advice = "correct CALLSPAN_TWILIO_API_URL";
            findings.push(Finding::failed(TWILIO, error.to_string(), advice));
            return None;
        }
    };
    findings.push(match client.verify(account).await {
        Ok(info) => judge_twilio(&info),
        Err(error) => refused(TWILIO, &error, "the account SID and the primary auth token"),
    });
    findings.push(judge_number(&account.phone_number));
    client.clock_ahead().map(|ahead| Clock { of: TWILIO, ahead })
}

/// Gives Ultravox's clock.
pub(super) async fn ultravox(
    config: &Config,
    company: CompanyId,
    account: Option<&UltravoxAccount>,
    findings: &mut Vec<Finding>,
) -> Option<Clock> {
    let Some(account) = account else {
        findings.push(no_account(ULTRAVOX, company, "ULTRAVOX_API_KEY"));
        return None;
    };
    let client = match UltravoxClient::new(&config.ultravox_api_url, Arc::new(NoObserver)) {
        Ok(client) => client,
        Err(error) => {
            let advice = "correct CALLSPAN_ULTRAVOX_API_URL";
            findings.push(Finding::failed(ULTRAVOX, error.to_string(), advice));
            return None;
        }
    };
    findings.push(match client.account_me(account).await {
        Ok(info) => judge_ultravox(&info),
        Err(error) => refused(ULTRAVOX, &error, "the API key"),
    });
    client.clock_ahead().map(|ahead| Clock { of: ULTRAVOX, ahead })
}

fn no_account(check: &'static str, company: CompanyId, settings: &str) -> Finding {
    let detail = format!("company {company} has no configuration");
    Finding::failed(check, detail, format!("give it one; company 1 takes {settings}"))
}

fn judge_twilio(info: &TwilioAccountInfo) -> Finding {
    if !matches!(info.status.as_str(), "active" | "") {
        let detail = format!("the account is {}", info.status);
        return Finding::failed(TWILIO, detail, "see Twilio's console for the reason");
    }
    if info.kind == "Trial" {
        let advice = "upgrade it to call any number; callees also hear a message of Twilio's first";
        return Finding::warning(TWILIO, "a trial account calls verified numbers only", advice);
    }
    Finding::ok(TWILIO, "the credentials are good and the account is active")
}

/// E.164: a plus, and up to 15 digits of which the first is not 0. What is stored may be wider,
/// and Twilio would refuse it call by call.
fn judge_number(number: &PhoneNumber) -> Finding {
    let digits = number.as_str().trim_start_matches('+');
    let is_e164 = digits.len() <= 15
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    match is_e164 {
        true => Finding::ok(TWILIO, format!("calls come from {number}")),
        false => Finding::failed(
            TWILIO,
            format!("{number}, which calls come from, is not E.164"),
            "write it as Twilio's console shows it: +, country code, number",
        ),
    }
}

fn judge_ultravox(info: &UltravoxAccountInfo) -> Finding {
    if info.has_active_subscription == Some(false) {
        let advice = "subscribe before the free minutes are used up: after that every call is \
                      refused";
        return Finding::warning(ULTRAVOX, "the key is good, but there is no subscription", advice);
    }
    match info.allowed_concurrent_calls {
        Some(most) => Finding::ok(ULTRAVOX, format!("the key is good; {most} calls at a time")),
        None => Finding::ok(ULTRAVOX, "the key is good"),
    }
}

fn refused(check: &'static str, error: &VendorError, credentials: &str) -> Finding {
    let advice = match error {
        VendorError::Refused { status: 401 | 403, .. } => {
            format!("check {credentials}, and whether they have been changed at the vendor's")
        }
        VendorError::Refused { .. } => "see the vendor's console".to_owned(),
        _ => "check that this machine reaches the vendor: DNS, firewall, certificates".to_owned(),
    };
    Finding::failed(check, error.to_string(), advice)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_account_that_may_not_call_fails_and_a_limited_one_warns() {
        let judge = |status: &str, kind: &str| {
            let info = TwilioAccountInfo {
                status: status.into(),
                kind: kind.into(),
                friendly_name: String::new(),
            };
            judge_twilio(&info).verdict
        };
        assert_eq!(judge("active", "Full"), Verdict::Ok);
        assert_eq!(judge("", ""), Verdict::Ok);
        assert_eq!(judge("active", "Trial"), Verdict::Warning);
        assert_eq!(judge("suspended", "Full"), Verdict::Failed);
        assert_eq!(judge("closed", "Trial"), Verdict::Failed);
    }

    #[test]
    fn a_number_that_twilio_would_refuse_fails() {
        let judge = |number: &str| judge_number(&number.parse().expect("a number")).verdict;
        assert_eq!(judge("+15017122661"), Verdict::Ok);
        assert_eq!(judge("+0987654321"), Verdict::Failed);
        assert_eq!(judge("+12345678901234567"), Verdict::Failed);
    }

    #[test]
    fn an_account_that_does_not_pay_warns() {
        let judge = |has_active_subscription| {
            let info = UltravoxAccountInfo {
                name: None,
                active_calls: None,
                allowed_concurrent_calls: Some(5),
                has_active_subscription,
            };
            judge_ultravox(&info).verdict
        };
        assert_eq!(judge(Some(true)), Verdict::Ok);
        assert_eq!(judge(None), Verdict::Ok);
        assert_eq!(judge(Some(false)), Verdict::Warning);
    }
}
