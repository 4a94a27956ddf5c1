//! Campaigns: made, looked at, paused, changed, canceled, repeated.
//!
//! Nothing here dials. A request reads and writes the database and then has the campaign looked at
//! by whoever runs it, on this node or another.

pub(crate) mod create;
mod described;
mod order;
mod progress;
mod results;
mod rows;
mod schema;
mod upload;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::campaign::RecipientState;
use actors::ids::{CampaignId, CompanyId};
use jiff::Timestamp;
use serde_json::Value;

use crate::startup::Context;
use crate::store::{CallCursor, CampaignCounts, CampaignRow, CampaignState};

use super::auth::Acting;
use super::body::{JsonObject, MaybeJsonObject};
use super::error::ApiError;
use super::fields::{Fields, Ruled};
use super::rules;
use order::Changes;
use schema::{CampaignBody, CampaignIdParam, CampaignPage, HeadBody, settings_of};

pub(crate) use create::{__path_create, __path_retry, create, retry};
pub(crate) use progress::{__path_events, Watchers, events};
pub(crate) use results::{__path_results, results};

/// How recipients may have ended that can be called again in another campaign.
const REPEATABLE: [RecipientState; 9] = [
    RecipientState::Completed,
    RecipientState::Busy,
    RecipientState::NoAnswer,
    RecipientState::Failed,
    RecipientState::Canceled,
    RecipientState::Machine,
    RecipientState::DoNotCall,
    RecipientState::Expired,
    RecipientState::Skipped,
];
/// Campaigns on a page when the query does not say.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;
/// How often a change is tried whose campaign somebody else changes too.
const ATTEMPTS: usize = 5;

/// Campaigns, newest first. `next_cursor` of one page asks for the next.
#[utoipa::path(
    get, path = "/api/v1/campaigns", tag = "campaigns",
    params(described::ListQuery),
    responses((status = 200, description = "A page of campaigns", body = CampaignPage))
)]
pub(crate) async fn list(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Fields::of_query(request.query_string());
    let state = query.optional("state", rules::parsed::<CampaignState>);
    let limit = query.optional("limit", limit);
    let cursor = query.optional("cursor", rules::parsed::<CallCursor>);
    query.finish()?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut rows = context.store.campaigns(acting.0, state, cursor.as_ref(), asked).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| is_more).map(|row| {
        let id = row.id.to_string().parse().expect("both are UUIDs");
        CallCursor { created_at: row.created_at, id }.to_string()
    });
    let heads = rows.iter().map(|row| Ok(HeadBody::new(row, &settings_of(row)?)));
    let campaigns = heads.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(HttpResponse::Ok().json(CampaignPage { campaigns, next_cursor }))
}

/// One campaign, and how its recipients stand.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(CampaignIdParam),
    responses((status = 200, description = "The campaign", body = CampaignBody))
)]
pub(crate) async fn read(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&request)?;
    Ok(HttpResponse::Ok().json(shown(&context, acting.0, id).await?))
}

/// Changes a campaign that is not over: at once, for calls that are yet to be placed.
#[utoipa::path(
    patch, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(CampaignIdParam),
    request_body = described::CampaignPatchBody,
    responses((status = 200, description = "The campaign as it is now", body = CampaignBody))
)]
pub(crate) async fn update(
    acting: Acting,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of(body.object);
    let changes = Changes::read(&mut fields);
    fields.refuse_unknown();
    fields.finish()?;
    for _ in 0..ATTEMPTS {
        let row = find(&context, acting.0, &request).await?;
        if row.state.is_final() {
            return Err(conflict(&row, "one that is not over can be changed"));
        }
        let mut settings = settings_of(&row)?;
        changes.apply(&mut settings);
        let settings = serde_json::to_string(&settings).expect("settings are plain data");
        let (name, seen) = (changes.name.as_deref(), row.settings.as_str());
        let set = context.store.set_campaign_settings(row.id, name, seen, &settings, now());
        if set.await? {
            context.campaigns.poke(row.id);
            return Ok(HttpResponse::Ok().json(shown(&context, acting.0, row.id).await?));
        }
    }
    let message = "Others change this campaign at the same time; try again";
    Err(ApiError::conflict("campaign_changed", message))
}

/// Stops new calls; calls that are under way go on.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/pause", tag = "campaigns",
    params(CampaignIdParam),
    responses(
        (status = 200, description = "It is paused", body = CampaignBody),
        (status = 409, description = "It does not run", body = super::error::ErrorBody<'static>),
    )
)]
pub(crate) async fn pause(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, acting.0, &request).await?;
    let (from, to) = (CampaignState::Running, CampaignState::Paused);
    moved(&context, row, from, to, "one that is running can be paused").await
}

/// Lets a paused campaign go on.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/resume", tag = "campaigns",
    params(CampaignIdParam),
    responses(
        (status = 200, description = "It runs", body = CampaignBody),
        (status = 409, description = "It is not paused", body = super::error::ErrorBody<'static>),
    )
)]
pub(crate) async fn resume(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, acting.0, &request).await?;
    let (from, to) = (CampaignState::Paused, CampaignState::Running);
    moved(&context, row, from, to, "one that is paused can be resumed").await
}

/// Ends a campaign for good: nobody is dialled any more. With `end_live_calls`, calls that are
/// under way end too, now or when it is said later. A campaign that is canceled stays so.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/cancel", tag = "campaigns",
    params(CampaignIdParam),
    request_body = Option<described::CancelBody>,
    responses(
        (status = 200, description = "It is canceled, and its last call is over",
            body = CampaignBody),
        (status = 202, description = "It is being canceled", body = CampaignBody),
    )
)]
pub(crate) async fn cancel(
    acting: Acting,
    request: HttpRequest,
    body: MaybeJsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of(body.object);
    let end_calls = fields.optional("end_live_calls", yes_or_no);
    fields.refuse_unknown();
    fields.finish()?;
    let row = find(&context, acting.0, &request).await?;
    let end_calls = end_calls.unwrap_or_default();
    if context.store.cancel_campaign(row.id, end_calls, now()).await? {
        context.campaigns.poke(row.id);
    }
    // It may have ended meanwhile, by itself or not.
    let (row, counts) = look(&context, acting.0, row.id).await?;
    let mut answer = match row.state {
        CampaignState::Canceled => HttpResponse::Ok(),
        CampaignState::Canceling => HttpResponse::Accepted(),
        _ => return Err(conflict(&row, "one that runs or is paused can be canceled")),
    };
    Ok(answer.json(CampaignBody::new(&row, &counts)?))
}

async fn moved(
    context: &Context,
    row: CampaignRow,
    from: CampaignState,
    to: CampaignState,
    rule: &str,
) -> Result<HttpResponse, ApiError> {
    if context.store.move_campaign(row.id, &[from], to, None, now()).await? {
        context.campaigns.poke(row.id);
        return Ok(HttpResponse::Ok().json(shown(context, row.company, row.id).await?));
    }
    let (row, _) = look(context, row.company, row.id).await?;
    Err(conflict(&row, rule))
}

fn conflict(row: &CampaignRow, rule: &str) -> ApiError {
    let message = format!("The campaign is {}; only {rule}", row.state);
    ApiError::conflict("campaign_state_conflict", message).detail("state", row.state.as_str())
}

/// The campaign of a path, if it is this company's.
async fn find(
    context: &Context,
    company: CompanyId,
    request: &HttpRequest,
) -> Result<CampaignRow, ApiError> {
    row(context, company, path_id(request)?).await
}

fn path_id(request: &HttpRequest) -> Result<CampaignId, ApiError> {
    let raw = request.match_info().get("id").unwrap_or_default();
    raw.parse().map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::not_found("campaign_not_found", "There is no such campaign")
}

async fn row(
    context: &Context,
    company: CompanyId,
    id: CampaignId,
) -> Result<CampaignRow, ApiError> {
    let row = context.store.campaign(id).await?;
    row.filter(|row| row.company == company).ok_or_else(unknown)
}

/// A campaign and how its recipients stand.
async fn look(
    context: &Context,
    company: CompanyId,
    id: CampaignId,
) -> Result<(CampaignRow, CampaignCounts), ApiError> {
    let row = row(context, company, id).await?;
    Ok((row, context.store.campaign_counts(id).await?))
}

async fn shown(
    context: &Context,
    company: CompanyId,
    id: CampaignId,
) -> Result<CampaignBody, ApiError> {
    let (row, counts) = look(context, company, id).await?;
    CampaignBody::new(&row, &counts)
}

fn limit(value: &Value) -> Ruled<i64> {
    rules::whole_number(value, 1, MAX_LIMIT)
}

fn yes_or_no(value: &Value) -> Ruled<bool> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

fn now() -> Timestamp {
    Timestamp::now()
}
