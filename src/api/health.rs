//! Health as the integration API documents it: basic from memory, detailed by asking the vendors.
//!
//! Anybody may ask, as often as they like, so neither lets a stranger cause work: what basic health
//! says of the configuration is looked up beside it, and the vendors are asked at most once in a
//! few seconds, whoever asks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use actors::ports::Vendor;
use jiff::Timestamp;
use serde::Serialize;
use tracing::warn;
use utoipa::ToSchema;

use crate::startup::Context;
use crate::store::{Configured, StoreError};

use super::time::whole_seconds;

/// The documented name of the service.
const SERVICE: &str = "ultravox-twilio-integration";
/// The documented version of the API.
pub(crate) const API_VERSION: &str = "1.0.0";
/// How often the configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long what a vendor said stands.
const VENDOR_NEWS: Duration = Duration::from_secs(5);
/// How long a vendor may take to answer.
const VENDOR_LIMIT: Duration = Duration::from_secs(3);

const OK: &str = "ok";

/// How the service is.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "healthy",
    "service": "ultravox-twilio-integration",
    "version": "1.0.0",
    "timestamp": "2024-01-01T12:00:00Z",
    "uptime": {"startup_complete": true, "config_validated": true, "ongoing_calls": 2},
    "checks": {
        "configuration": "ok",
        "ultravox_config": "ok",
        "twilio_config": "ok",
        "ultravox_api": "ok",
        "twilio_api": "ok"
    }
}))]
pub(crate) struct Health {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    service: &'static str,
    /// Of this API.
    version: &'static str,
    /// When it was asked (RFC 3339, UTC).
    #[schema(format = DateTime)]
    timestamp: String,
    uptime: Uptime,
    checks: Checks,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Uptime {
    startup_complete: bool,
    config_validated: bool,
    /// Live calls of this node.
    ongoing_calls: usize,
}

/// Each is `ok`, or says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// The database can be read.
    configuration: String,
    /// A company has an Ultravox configuration.
    ultravox_config: String,
    /// A company has a Twilio configuration.
    twilio_config: String,
    /// Detailed only: Ultravox accepts the first configured company's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    ultravox_api: Option<String>,
    /// Detailed only: Twilio accepts the first configured company's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    twilio_api: Option<String>,
}

impl Checks {
    fn of(configured: &Result<Configured, String>) -> Self {
        let missing = |vendor: Vendor| format!("missing: no company is configured for {vendor}");
        let (configuration, found) = match configured {
            Ok(found) => (OK.to_owned(), *found),
            Err(why) => (why.clone(), Configured::NONE),
        };
        let said = |is_there: bool, vendor| match (is_there, configured) {
            (true, _) => OK.to_owned(),
            (false, Ok(_)) => missing(vendor),
            (false, Err(_)) => "unknown: the database is not available".to_owned(),
        };
        Checks {
            configuration,
            ultravox_config: said(found.any_ultravox, Vendor::Ultravox),
            twilio_config: said(found.any_twilio, Vendor::Twilio),
            ultravox_api: None,
            twilio_api: None,
        }
    }

    fn are_good(&self) -> bool {
        let always = [&self.configuration, &self.ultravox_config, &self.twilio_config];
        let detailed = [&self.ultravox_api, &self.twilio_api].into_iter().flatten();
        always.into_iter().chain(detailed).all(|said| said == OK)
    }
}

/// What health is answered from.
pub(crate) struct Vitals {
    configured: Mutex<Result<Configured, String>>,
    vendors: tokio::sync::Mutex<Option<(Instant, VendorNews)>>,
}

#[derive(Clone)]
struct VendorNews {
    ultravox: String,
    twilio: String,
}

impl Vitals {
    /// To be made before anybody can ask.
    pub(crate) fn new(configured: Configured) -> Self {
        Vitals { configured: Mutex::new(Ok(configured)), vendors: tokio::sync::Mutex::new(None) }
    }

    fn configured(&self) -> Result<Configured, String> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, found: Result<Configured, StoreError>) {
        let found = found.map_err(|error| {
            warn!(%error, "the configuration cannot be looked at");
            "failed: the database is not available".to_owned()
        });
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// Looks at the configuration for as long as the service runs.
pub(crate) async fn watch(context: web::Data<Context>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&context).await;
    }
}

/// Looks at once, for whoever has just changed a configuration.
pub(crate) async fn look(context: &Context) {
    context.vitals.set(context.store.first_configured().await);
}

/// Whether the service runs and is configured. Touches neither the database nor a vendor.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "health", security(()),
    responses(
        (status = 200, description = "Healthy", body = Health),
        (status = 503, description = "Unhealthy: a check says why", body = Health),
    )
)]
pub(crate) async fn basic(context: web::Data<Context>) -> HttpResponse {
    answer(&context, Checks::of(&context.vitals.configured()))
}

/// The same, with a question to each vendor, whose answer stands for a few seconds.
#[utoipa::path(
    get, path = "/api/v1/health/detailed", tag = "health", security(()),
    responses(
        (status = 200, description = "Healthy", body = Health),
        (status = 503, description = "Unhealthy: a check says why", body = Health),
    )
)]
pub(crate) async fn detailed(context: web::Data<Context>) -> HttpResponse {
    let configured = context.vitals.configured();
    let news = vendors(&context, &configured).await;
    let checks = Checks {
        ultravox_api: Some(news.ultravox),
        twilio_api: Some(news.twilio),
        ..Checks::of(&configured)
    };
    answer(&context, checks)
}

fn answer(context: &Context, checks: Checks) -> HttpResponse {
    let is_good = checks.are_good();
    let status = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Health {
        status: if is_good { "healthy" } else { "unhealthy" },
        service: SERVICE,
        version: API_VERSION,
        timestamp: whole_seconds(Timestamp::now()),
        uptime: Uptime {
            startup_complete: true,
            config_validated: true,
            ongoing_calls: context.registry.count(),
        },
        checks,
    })
}

/// What the vendors said last, or say now. Whoever asks meanwhile waits for the same answer.
async fn vendors(context: &Context, configured: &Result<Configured, String>) -> VendorNews {
    let mut last = context.vitals.vendors.lock().await;
    if let Some((at, news)) = last.as_ref()
        && at.elapsed() < VENDOR_NEWS
    {
        return news.clone();
    }
    let news = ask(context, configured).await;
    *last = Some((Instant::now(), news.clone()));
    news
}

async fn ask(context: &Context, configured: &Result<Configured, String>) -> VendorNews {
    let company = configured.as_ref().ok().and_then(|configured| configured.company);
    let Some(company) = company else {
        let unasked = "unknown: no company is configured for both vendors".to_owned();
        return VendorNews { ultravox: unasked.clone(), twilio: unasked };
    };
    let ultravox = async {
        match context.store.ultravox_config(company).await {
            Ok(Some(config)) => match context.agents.account_me(&config.account).await {
                Ok(_) => OK.to_owned(),
                Err(error) => format!("failed: {error}"),
            },
            _ => "failed: its configuration cannot be read".to_owned(),
        }
    };
    let twilio = async {
        match context.store.twilio_account(company).await {
            Ok(Some(account)) => match context.telephony.verify(&account).await {
                Ok(_) => OK.to_owned(),
                Err(error) => format!("failed: {error}"),
            },
            _ => "failed: its configuration cannot be read".to_owned(),
        }
    };
    let (ultravox, twilio) = tokio::join!(
        tokio::time::timeout(VENDOR_LIMIT, ultravox),
        tokio::time::timeout(VENDOR_LIMIT, twilio)
    );
    let late = |_| format!("failed: no answer within {} s", VENDOR_LIMIT.as_secs());
    VendorNews { ultravox: ultravox.unwrap_or_else(late), twilio: twilio.unwrap_or_else(late) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let found = Configured { any_twilio: true, ..Configured::NONE };
        let checks = Checks::of(&Ok(found));
        assert_eq!((checks.configuration.as_str(), checks.twilio_config.as_str()), (OK, OK));
        assert_eq!(checks.ultravox_config, "missing: no company is configured for Ultravox");
        assert!(!checks.are_good());
        let gone = Checks::of(&Err("failed: gone".to_owned()));
        assert_eq!(gone.configuration, "failed: gone");
        assert!(gone.twilio_config.starts_with("unknown"));
    }
}
