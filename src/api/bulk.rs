//! The bulk routes of the call routes document: many numbers in one request, which stays open until
//! the last call has ended.
//!
//! Underneath each is a campaign, so nothing depends on the request: a client that goes away stops
//! no call, and one that does not want to wait says so with `Prefer`.

mod answer;
mod asked;

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::{CallId, CampaignId};
use actors::registry::NotAccepted;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;

use crate::campaigns::Origin;
use crate::campaigns::intake::{GivenRecipient, Intake, IntakeError, RowRules};
use crate::startup::Context;
use crate::store::{CampaignState, NewCampaign, StoreError};

use super::auth::Caller;
use super::body::JsonObject;
use super::error::ApiError;
use super::idempotency::{IdempotencyKey, IdempotencyKeyParam, Wish, once_resumed};
use super::prefer::{APPLIED, Prefer, PreferParam};
use super::{compat, detached};

use answer::{AcceptedBody, DoneBody, ResultBody};
use asked::{Asked, BulkBody, IntelligentBody, SequentialBody};

/// How often a campaign is looked at whose end a client waits for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Results that are read at a time.
const PAGE: u32 = 1_000;

/// Calls numbers strictly one after another: the next one only when the call before has really
/// ended. The answer comes when the last one has, unless `Prefer` asks for an earlier one.
#[utoipa::path(
    post, path = "/api/ultravox-calls/bulk-calls-sequential", tag = "call routes",
    params(IdempotencyKeyParam, PreferParam),
    request_body = SequentialBody,
    responses(
        (status = 200, description = "All calls are over", body = DoneBody),
        (status = 202, description = "The calls go on; `Location` names their campaign",
            body = AcceptedBody,
            headers(
                ("Location" = String, description = "The campaign"),
                ("Preference-Applied" = String, description = "What of `Prefer` was honoured"),
            )),
    )
)]
pub(crate) async fn sequential(
    caller: Caller,
    how: How,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    carry_out(Origin::BulkSequential, caller, how, request, body, context).await
}

/// The same as `/api/ultravox-calls/bulk-calls-sequential`.
#[utoipa::path(
    post, path = "/bulk-calls-sequential", tag = "call routes",
    params(IdempotencyKeyParam, PreferParam),
    request_body = SequentialBody,
    responses(
        (status = 200, description = "All calls are over", body = DoneBody),
        (status = 202, description = "The calls go on; `Location` names their campaign",
            body = AcceptedBody,
            headers(
                ("Location" = String, description = "The campaign"),
                ("Preference-Applied" = String, description = "What of `Prefer` was honoured"),
            )),
    )
)]
pub(crate) async fn sequential_at_root(
    caller: Caller,
    how: How,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    carry_out(Origin::BulkSequential, caller, how, request, body, context).await
}

/// Calls numbers, some at a time. The answer comes when the last call has ended, unless `Prefer`
/// asks for an earlier one.
#[utoipa::path(
    post, path = "/api/ultravox-calls/bulk-calls", tag = "call routes",
    params(IdempotencyKeyParam, PreferParam),
    request_body = BulkBody,
    responses(
        (status = 200, description = "All calls are over", body = DoneBody),
        (status = 202, description = "The calls go on; `Location` names their campaign",
            body = AcceptedBody,
            headers(
                ("Location" = String, description = "The campaign"),
                ("Preference-Applied" = String, description = "What of `Prefer` was honoured"),
            )),
    )
)]
pub(crate) async fn bulk(
    caller: Caller,
    how: How,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    carry_out(Origin::Bulk, caller, how, request, body, context).await
}

/// Calls numbers, some at a time, and ends calls that last too long: `terminated` says which.
/// Those that were not reached are listed once more in `failedCalls`.
#[utoipa::path(
    post, path = "/api/ultravox-calls/intelligent-bulk-calls", tag = "call routes",
    params(IdempotencyKeyParam, PreferParam),
    request_body = IntelligentBody,
    responses(
        (status = 200, description = "All calls are over", body = DoneBody),
        (status = 202, description = "The calls go on; `Location` names their campaign",
            body = AcceptedBody,
            headers(
                ("Location" = String, description = "The campaign"),
                ("Preference-Applied" = String, description = "What of `Prefer` was honoured"),
            )),
    )
)]
pub(crate) async fn intelligent(
    caller: Caller,
    how: How,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    carry_out(Origin::IntelligentBulk, caller, how, request, body, context).await
}

/// How the answer is wanted.
type How = (IdempotencyKey, Prefer);

/// What is done under one key.
#[derive(Clone)]
struct Work {
    context: web::Data<Context>,
    origin: Origin,
    numbers: usize,
    prefer: Prefer,
}

/// What became of an upload.
enum Upload {
    Campaign,
    /// None of the numbers can be called.
    Nobody(Vec<ResultBody>),
}

async fn carry_out(
    origin: Origin,
    caller: Caller,
    (key, prefer): How,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::parse(origin, &body.object)?;
    let company = asked.company;
    compat::configurations(&context, &caller, company).await?;
    if context.registry.is_draining() {
        return Err(NotAccepted::Draining.into());
    }
    let prefixes = context.store.allowed_prefixes(company).await?;
    let rules = RowRules { prefixes, ..RowRules::default() };
    let work = Work { context: context.clone(), origin, numbers: asked.numbers.len(), prefer };
    let answer = if key.is_given() {
        let wish = Wish { key, company, route: request.path().to_owned(), body: &body.object };
        let again = work.clone();
        let begin = move |call| async move {
            let campaign = campaign_of(call);
            match work.begin(campaign, asked, rules).await? {
                Upload::Campaign => work.answer(campaign).await,
                Upload::Nobody(results) => Ok(work.done(results)),
            }
        };
        let resume = move |call| async move { again.resume(campaign_of(call)).await };
        once_resumed(&context, wish, Duration::ZERO, begin, resume).await?
    } else {
        let campaign = CampaignId::generate();
        let here = work.clone();
        let begun = async move { here.begin(campaign, asked, rules).await };
        match detached::run(begun).await? {
            // Nobody needs the answer when the client has gone.
            Upload::Campaign => work.answer(campaign).await?,
            Upload::Nobody(results) => work.done(results),
        }
    };
    located(answer, prefer)
}

impl Work {
    /// Stores the campaign, whole or not at all.
    async fn begin(
        &self,
        campaign: CampaignId,
        asked: Asked,
        rules: RowRules,
    ) -> Result<Upload, ApiError> {
        let new = NewCampaign {
            id: campaign,
            company: asked.company,
            agent: None,
            name: self.name().to_owned(),
            settings: serde_json::to_string(&asked.settings).expect("settings are plain data"),
            node: self.context.node,
            at: Timestamp::now(),
        };
        let mut intake = Intake::begin(&self.context, &new, rules.clone()).await?;
        if let Err(error) = intake.add(given(&asked.numbers)).await {
            intake.abandon().await;
            return Err(refusal(error));
        }
        match intake.finish().await {
            Ok(_) => Ok(Upload::Campaign),
            Err(IntakeError::NobodyToCall(_)) => {
                let mut results = Vec::new();
                for number in asked.numbers {
                    let why = why_not(&rules, &number).await;
                    results.push(ResultBody::refused(self.origin, number, why));
                }
                Ok(Upload::Nobody(results))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    /// Goes on for a node that is gone, whose campaign has gone to another.
    async fn resume(&self, campaign: CampaignId) -> Result<HttpResponse, ApiError> {
        let row = self.context.store.campaign(campaign).await?;
        match row.map(|row| row.state) {
            Some(CampaignState::Loading) | None => {
                let message = "The request was cut short before its first call; send it again";
                Err(ApiError::unavailable("upload_interrupted", message, None))
            }
            Some(_) => self.answer(campaign).await,
        }
    }

    /// Waits until a campaign is over, or as long as the client wants to, and tells how it stands.
    async fn answer(&self, campaign: CampaignId) -> Result<HttpResponse, ApiError> {
        let wait = self.prefer.wait();
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        loop {
            match self.context.store.campaign(campaign).await {
                Ok(Some(row)) if row.state.is_final() => return self.results(campaign).await,
                Ok(Some(_)) => {}
                Ok(None) => {
                    let message = "The campaign of these calls was deleted";
                    return Err(ApiError::not_found("campaign_not_found", message));
                }
                Err(error) if error.is_unavailable() => {
                    warn!(%error, "whether campaign {campaign} is over is not known: {error}");
                }
                Err(error) => return Err(unreadable(campaign, &error)),
            }
            // A node that stops answers what it can.
            let is_time = until.is_some_and(|until| Instant::now() >= until);
            if is_time || self.context.registry.is_draining() {
                return Ok(HttpResponse::Accepted().json(AcceptedBody {
                    message: "Bulk calls are being processed",
                    campaign_id: campaign.to_string(),
                    total_calls: self.numbers,
                }));
            }
            let next = Instant::now() + LOOK_EVERY;
            tokio::time::sleep_until(until.map_or(next, |until| next.min(until))).await;
        }
    }

    async fn results(&self, campaign: CampaignId) -> Result<HttpResponse, ApiError> {
        let (mut results, mut after) = (Vec::with_capacity(self.numbers), 0);
        loop {
            let rows = match self.context.store.recipients(campaign, None, after, PAGE).await {
                Ok(rows) => rows,
                Err(error) if error.is_unavailable() => {
                    warn!(%error, "results of campaign {campaign} cannot be read yet: {error}");
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) => return Err(unreadable(campaign, &error)),
            };
            let Some(last) = rows.last() else { return Ok(self.done(results)) };
            after = last.seq;
            results.extend(rows.into_iter().map(|row| ResultBody::of(self.origin, row)));
        }
    }

    fn done(&self, results: Vec<ResultBody>) -> HttpResponse {
        HttpResponse::Ok().json(DoneBody::new(self.origin, results))
    }

    /// What the campaign is called among others.
    fn name(&self) -> &'static str {
        match self.origin {
            Origin::BulkSequential => "bulk-calls-sequential",
            Origin::IntelligentBulk => "intelligent-bulk-calls",
            Origin::Bulk | Origin::Campaign => "bulk-calls",
        }
    }
}

/// The campaign of a request is found again by the id that its key was claimed with.
fn campaign_of(call: CallId) -> CampaignId {
    call.to_string().parse().expect("both are UUIDs")
}

fn given(numbers: &[String]) -> impl Iterator<Item = GivenRecipient> {
    (1..).zip(numbers).map(|(line, number)| GivenRecipient {
        line,
        number: number.clone(),
        ..GivenRecipient::default()
    })
}

/// What is wrong with a number that cannot be called.
async fn why_not(rules: &RowRules, number: &String) -> String {
    let mut alone = Intake::dry_run(rules.clone());
    let refused = match alone.add(given(std::slice::from_ref(number))).await {
        Ok(()) => alone.finish().await.err(),
        Err(error) => Some(error),
    };
    match refused {
        Some(IntakeError::NobodyToCall(mut accepted)) => {
            accepted.rejected.pop().map(|rejected| rejected.reason).unwrap_or_default()
        }
        other => other.map(|error| error.to_string()).unwrap_or_default(),
    }
}

fn unreadable(campaign: CampaignId, error: &StoreError) -> ApiError {
    warn!(%error, "the answer about campaign {campaign} cannot be made: {error}");
    ApiError::interrupted_campaign(campaign)
}

/// Says where calls are to be found that go on, however often the answer is given.
fn located(answer: HttpResponse, prefer: Prefer) -> Result<HttpResponse, ApiError> {
    if answer.status() != StatusCode::ACCEPTED {
        return Ok(answer);
    }
    let unreadable = || ApiError::internal("The answer could not be read");
    let (parts, body) = answer.into_parts();
    let body = body.try_into_bytes().map_err(|_| unreadable())?;
    let said: Value = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    let mut answer = parts.set_body(BoxBody::new(body));
    let campaign = said["campaignId"].as_str().unwrap_or_default();
    let mut put = |name, value: String| {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    };
    put(LOCATION, format!("/api/v1/campaigns/{campaign}"));
    if let Some(applied) = prefer.applied() {
        put(APPLIED, applied);
    }
    Ok(answer)
}

/// Why nothing was begun.
fn refusal(error: IntakeError) -> ApiError {
    match error {
        IntakeError::Store(error) => error.into(),
        IntakeError::Deleted => ApiError::conflict("campaign_deleted", error.to_string()),
        IntakeError::TooMany | IntakeError::Empty | IntakeError::NobodyToCall(_) => {
            ApiError::invalid_field("phoneNumbers", error.to_string())
        }
    }
}
