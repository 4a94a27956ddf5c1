//! `POST …/Calls.json`

use std::sync::Arc;
use std::time::Duration;

use super::error::ApiError;
use super::params::Params;
use crate::twilio::account::Account;
use crate::twilio::call::{Call, CallPlan, Detection, LateVerdict, Source};
use crate::twilio::world::World;

const KNOWN: &[&str] = &[
    "To",
    "From",
    "Url",
    "Method",
    "Twiml",
    "ApplicationSid",
    "FallbackUrl",
    "FallbackMethod",
    "StatusCallback",
    "StatusCallbackMethod",
    "StatusCallbackEvent",
    "Timeout",
    "TimeLimit",
    "SendDigits",
    "MachineDetection",
    "MachineDetectionTimeout",
    "MachineDetectionSpeechThreshold",
    "MachineDetectionSpeechEndThreshold",
    "MachineDetectionSilenceTimeout",
    "AsyncAmd",
    "AsyncAmdStatusCallback",
    "AsyncAmdStatusCallbackMethod",
    "Record",
    "RecordingChannels",
    "RecordingTrack",
    "RecordingStatusCallback",
    "RecordingStatusCallbackMethod",
    "RecordingStatusCallbackEvent",
    "Trim",
    "SipAuthUsername",
    "SipAuthPassword",
    "CallerId",
    "CallReason",
    "CallToken",
    "Byoc",
    "ClientNotificationUrl",
];

const EVENTS: &[&str] = &["initiated", "ringing", "answered", "completed"];

/// Checks a request for a call and places it.
pub(crate) fn create(
    world: &Arc<World>,
    account: &Arc<Account>,
    params: &Params,
) -> Result<Arc<Call>, ApiError> {
    for strange in params.strange(KNOWN, &["StatusCallbackEvent", "RecordingStatusCallbackEvent"]) {
        world.violation(None, format!("create call: {strange}"));
    }
    let to = check_to(params)?;
    let from = check_from(params, account)?;
    if let Some(refusal) = world.refusal_of(to) {
        return Err(ApiError::new(refusal.status, refusal.code, refusal.message));
    }
    let plan = plan(world, params)?;
    if let Some(max) = account.options.max_concurrent_calls
        && world.live_calls_of(&account.options.sid) >= max
    {
        return Err(ApiError::new(429, 10_004, "Call concurrency limit exceeded"));
    }
    Ok(world.place_call(account, (from, to), plan))
}

fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or("");
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
}

fn check_to(params: &Params) -> Result<&str, ApiError> {
    let to = params
        .get("To")
        .ok_or_else(|| ApiError::bad_request(21_201, "No 'To' number is specified"))?;
    let bad = |code, message: String| Err(ApiError::bad_request(code, message));
    match to {
        "+15005550001" => bad(21_217, format!("Phone number does not appear to be valid: {to}")),
        "+15005550002" => bad(21_214, format!("'To' phone number cannot be reached: {to}")),
        "+15005550003" => bad(
            21_215,
            format!(
                "Account not authorized to call {to}. Perhaps you need to enable some international \
             permissions: https://www.twilio.com/console/voice/calls/geo-permissions/low-risk"
            ),
        ),
        "+15005550004" => bad(21_216, format!("Account not allowed to call {to}")),
        _ if is_e164(to) || to.starts_with("sip:") || to.starts_with("client:") => Ok(to),
        _ => {
            bad(21_211, format!("The phone number you are attempting to call, {to}, is not valid."))
        }
    }
}

fn check_from<'a>(params: &'a Params, account: &Account) -> Result<&'a str, ApiError> {
    let from = params
        .get("From")
        .ok_or_else(|| ApiError::bad_request(21_213, "No 'From' number is specified"))?;
    if !is_e164(from) || from == "+15005550001" {
        let message = format!("From is not a valid phone number: {from}");
        return Err(ApiError::bad_request(21_212, message));
    }
    if !account.options.numbers.iter().any(|number| number == from) {
        return Err(ApiError::bad_request(
            21_210,
            format!(
                "The source phone number provided, {from}, is not yet verified for your account. You \
             may only make calls from phone numbers that you've verified or purchased from Twilio."
            ),
        ));
    }
    Ok(from)
}

fn plan(world: &World, params: &Params) -> Result<CallPlan, ApiError> {
    let source = params.source()?;
    if let Some(sid) = params.get("ApplicationSid")
        && (!sid.starts_with("AP") || sid.len() != 34)
    {
        return Err(ApiError::bad_request(21_218, format!("ApplicationSid is not valid: {sid}")));
    }
    if source.is_none() {
        // The simulator has no applications, so an ApplicationSid leads nowhere.
        return Err(ApiError::bad_request(21_205, "Url is not a valid URL: it is missing"));
    }
    if matches!(source, Some(Source::Url { .. })) && params.get("Twiml").is_some() {
        world.violation(None, "create call: Twiml is ignored when there is a Url");
    }
    check_digits(params)?;
    let detection = detection(world, params)?;
    Ok(CallPlan {
        source,
        fallback: params.fallback()?,
        // The code of this refusal is not documented; 21609 is Twilio's for such URLs elsewhere.
        status_callback: params.url("StatusCallback", 21_609)?,
        status_callback_method: params.method("StatusCallbackMethod")?,
        status_events: events(world, params),
        timeout: Duration::from_secs(params.number("Timeout", (1, 600), 21_208)?.unwrap_or(60)),
        time_limit: params.number("TimeLimit", (1, 86_400), 20_001)?.map(Duration::from_secs),
        detection,
    })
}

fn check_digits(params: &Params) -> Result<(), ApiError> {
    let Some(digits) = params.get("SendDigits") else { return Ok(()) };
    let valid = digits.len() <= 32 && digits.chars().all(|c| "0123456789ABCD#*wW".contains(c));
    if valid { Ok(()) } else { Err(ApiError::bad_request(21_206, "SendDigits is not valid")) }
}

fn events(world: &World, params: &Params) -> Vec<String> {
    let wanted = params.all("StatusCallbackEvent");
    if wanted.is_empty() {
        return vec!["completed".to_owned()];
    }
    for event in &wanted {
        if !EVENTS.contains(event) {
            let hint = if event.contains(' ') { ": repeat the parameter" } else { "" };
            world.violation(Some(21_626), format!("StatusCallbackEvent is {event:?}{hint}"));
        }
    }
    wanted.into_iter().filter(|event| EVENTS.contains(event)).map(str::to_owned).collect()
}

fn detection(world: &World, params: &Params) -> Result<Option<Detection>, ApiError> {
    params.number("MachineDetectionTimeout", (3, 59), 20_001)?;
    params.number("MachineDetectionSpeechThreshold", (1_000, 6_000), 20_001)?;
    params.number("MachineDetectionSpeechEndThreshold", (500, 5_000), 20_001)?;
    params.number("MachineDetectionSilenceTimeout", (2_000, 10_000), 20_001)?;
    let is_async = match params.get("AsyncAmd") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            world.violation(None, format!("AsyncAmd is {other:?}"));
            false
        }
    };
    let callback = params.url("AsyncAmdStatusCallback", 21_609)?;
    let method = params.method("AsyncAmdStatusCallbackMethod")?;
    let awaits_end = match params.get("MachineDetection") {
        Some("Enable") => false,
        Some("DetectMessageEnd") => true,
        Some(other) => {
            world.violation(None, format!("MachineDetection is {other:?}"));
            return Ok(None);
        }
        None => {
            if is_async || callback.is_some() {
                world.violation(Some(21_263), "async AMD parameters without MachineDetection");
            }
            return Ok(None);
        }
    };
    if params.get("SendDigits").is_some() {
        return Ok(None);
    }
    if callback.is_some() && !is_async {
        world.violation(None, "AsyncAmdStatusCallback without AsyncAmd");
    }
    Ok(Some(Detection { awaits_end, later: is_async.then_some(LateVerdict { callback, method }) }))
}
