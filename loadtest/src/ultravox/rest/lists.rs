//! Pages of results, and what an account can see.

use serde_json::{Value, json};

use super::{Answer, Asked};

/// Results on a page unless `pageSize` says otherwise.
const PAGE_SIZE: usize = 20;
/// Models that are accepted by name.
pub(super) const MODELS: [&str; 4] =
    ["ultravox-v0.7", "ultravox-v0.6", "ultravox-v0.6-llama3.3-70b", "ultravox-v0.6-gemma3-27b"];
const VOICES: [&str; 5] = ["Mark", "Jessica", "Tanya-English", "Terrence", "Emily-English"];

/// One page of `results`; the cursor is the number of results before it.
pub(super) fn page(asked: &Asked<'_>, path: &str, results: Vec<Value>) -> Result<Answer, Answer> {
    let bad = |what: &str| Answer::new(400, json!({"detail": format!("invalid {what}")}));
    let start: usize = match asked.parameter("cursor") {
        Some(cursor) => cursor.parse().map_err(|_| bad("cursor"))?,
        None => 0,
    };
    let size: usize = match asked.parameter("pageSize") {
        Some(size) => size.parse().ok().filter(|size| *size > 0).ok_or_else(|| bad("pageSize"))?,
        None => PAGE_SIZE,
    };
    let total = results.len();
    let link = |cursor: usize| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in asked.query.iter().filter(|(name, _)| name != "cursor") {
            query.append_pair(name, value);
        }
        query.append_pair("cursor", &cursor.to_string());
        format!("{}{path}?{}", asked.shared.rest_url(), query.finish())
    };
    let next = (start + size < total).then(|| link(start + size));
    let previous = (start > 0).then(|| link(start.saturating_sub(size)));
    let results: Vec<Value> = results.into_iter().skip(start).take(size).collect();
    let page = json!({"next": next, "previous": previous, "results": results, "total": total});
    Ok(Answer::new(200, page))
}

pub(super) fn account(asked: &Asked<'_>) -> Answer {
    let account = json!({
        "accountId": "6e9f1c5e-5b2f-4f0a-8b53-9f2d1f7d3a10",
        "name": "Simulated",
        "billingUrl": "https://example.invalid/billing",
        "freeTimeUsed": "0s",
        "freeTimeRemaining": "1800s",
        "hasActiveSubscription": false,
        "subscriptionTier": null,
        "subscriptionCadence": null,
        "subscriptionExpiration": null,
        "subscriptionScheduledUpdate": null,
        "subscriptionRenewal": null,
        "activeCalls": asked.shared.active_calls(),
        "allowedConcurrentCalls": asked.shared.options.concurrent_calls,
        "allowedVoices": null,
        "allowedCorpora": null,
    });
    Answer::new(200, account)
}

pub(super) fn models(asked: &Asked<'_>) -> Result<Answer, Answer> {
    let models = MODELS.iter().map(|name| json!({ "name": name })).collect();
    page(asked, "/api/models", models)
}

pub(super) fn voices(asked: &Asked<'_>) -> Result<Answer, Answer> {
    let wanted = asked.parameter("search").unwrap_or_default().to_lowercase();
    let voices = VOICES
        .iter()
        .enumerate()
        .filter(|(_, name)| name.to_lowercase().contains(&wanted))
        .map(|(n, name)| {
            json!({
                "voiceId": format!("00000000-0000-4000-8000-{n:012}"),
                "name": name,
                "description": null,
                "primaryLanguage": "en",
                "languageLabel": "English",
                "previewUrl": "https://example.invalid/preview.wav",
                "ownership": "public",
                "billingStyle": "VOICE_BILLING_STYLE_INCLUDED",
                "provider": null,
                "definition": {},
            })
        })
        .collect();
    page(asked, "/api/voices", voices)
}
