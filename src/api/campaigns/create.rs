//! Makes campaigns: of a JSON body, of a CSV file, of those who were not reached.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::campaign::RecipientState;
use actors::ids::{AgentId, CampaignId, CompanyId};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api::agents;
use crate::api::auth::Acting;
use crate::api::body::{self, MaybeJsonObject};
use crate::api::detached;
use crate::api::dial::twilio_of;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::fields::Fields;
use crate::api::idempotency::{IdempotencyKey, IdempotencyKeyParam, Wish, once};
use crate::campaigns::intake::{Accepted, GivenRecipient, Intake, RowRules};
use crate::campaigns::{CampaignSettings, Origin};
use crate::startup::Context;
use crate::store::{AgentRow, NewCampaign, RecipientRow};

use super::order::{self, Order};
use super::schema::{AcceptedBody, CampaignBody, CampaignIdParam, CreatedBody, settings_of};
use super::upload::{JsonUpload, read_csv};
use super::{REPEATABLE, described, find};

/// Settings of a query that are written as JSON.
const JSON_PARAMETERS: [&str; 4] = ["hours", "retries", "answering_machine", "template_context"];
/// Recipients that are read at once for another campaign.
const PAGE: u32 = 1_000;

/// Makes a campaign of a list of recipients, and begins to call them.
///
/// The list comes as JSON, or as a CSV file with the settings in the query. The file's first line
/// names its columns: `phone_number`, if need be `timezone`, `priority` and `not_before`; every other
/// column is a template variable of that name. Fields are separated by commas, semicolons or tabs;
/// an empty one is not given. A bad row is reported and spoils no other. The campaign is there
/// when its whole list is, or not at all. With an `Idempotency-Key`, which needs a JSON body, a
/// repeated request makes no second campaign.
#[utoipa::path(
    post, path = "/api/v1/campaigns", tag = "campaigns",
    params(described::CampaignQuery, IdempotencyKeyParam),
    request_body(content(
        (described::CampaignRequestBody = "application/json"),
        (String = "text/csv", example = "phone_number,name\n+12125550123,Ann\n"),
    )),
    responses(
        (status = 200, description = "A dry run: nothing was stored", body = AcceptedBody),
        (status = 201, description = "The campaign runs", body = CreatedBody),
        (status = 413, description = "The body has more than 64 MiB of JSON or 256 MiB of CSV",
            body = ErrorBody<'static>),
        (status = 415, description = "The body is sent neither as JSON nor as CSV",
            body = ErrorBody<'static>),
    )
)]
pub(crate) async fn create(
    acting: Acting,
    key: IdempotencyKey,
    request: HttpRequest,
    payload: Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    match body::content_type(&request) {
        None => of_json(acting.0, key, &request, payload, context).await,
        Some(kind) if body::is_json(&kind) => {
            of_json(acting.0, key, &request, payload, context).await
        }
        Some(kind) if matches!(kind.as_str(), "text/csv" | "application/csv") => {
            of_csv(acting.0, &key, &request, payload, context).await
        }
        Some(_) => Err(body::unsupported("application/json or text/csv")),
    }
}

async fn of_json(
    company: CompanyId,
    key: IdempotencyKey,
    request: &HttpRequest,
    payload: Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    if !request.query_string().is_empty() {
        let message = "With a JSON body all settings are in the body; the query must be empty";
        return Err(ApiError::bad_request("validation_error", message));
    }
    let upload = JsonUpload::read(payload, key.is_given()).await?;
    let mut fields = Fields::of(upload.fields);
    fields.required("recipients", |value| match value.is_array() {
        true => Ok(()),
        false => Err("must be a list of phone numbers and objects".to_owned()),
    });
    let order = ordered(fields, &context)?;
    let plan = Plan::of(&context, company, order).await?;
    let recipients = upload.recipients;
    if plan.dry_run {
        let mut intake = Intake::dry_run(plan.rules);
        intake.add(recipients).await?;
        return Ok(checked(intake.finish().await?, None));
    }
    let digest = Map::from_iter([("digest".to_owned(), Value::from(upload.digest))]);
    let wish = Wish { key, company, route: request.path().to_owned(), body: &digest };
    let here = context.clone();
    once(&context, wish, move |id| async move {
        // Whoever repeats a request whose answer was lost is told this id.
        let id = id.to_string().parse().expect("both are UUIDs");
        let mut intake = plan.begin(&here, id).await?;
        if let Err(error) = intake.add(recipients).await {
            intake.abandon().await;
            return Err(error.into());
        }
        let accepted = intake.finish().await?;
        created(&here, company, id, accepted, None).await
    })
    .await
}

async fn of_csv(
    company: CompanyId,
    key: &IdempotencyKey,
    request: &HttpRequest,
    payload: Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    if key.is_given() {
        let why = "needs a JSON body: a CSV file is not kept to be compared with another";
        return Err(ApiError::invalid_field("Idempotency-Key", why));
    }
    let mut fields = Fields::of_query(request.query_string());
    fields.read_json(&JSON_PARAMETERS);
    let order = ordered(fields, &context)?;
    let plan = Plan::of(&context, company, order).await?;
    // What is stored when a client goes away has to be taken back.
    let made = detached::run(async move {
        if plan.dry_run {
            let mut intake = Intake::dry_run(plan.rules);
            let note = read_csv(payload, &mut intake).await?;
            return Ok(checked(intake.finish().await?, note));
        }
        let id = CampaignId::generate();
        let mut intake = plan.begin(&context, id).await?;
        let note = match read_csv(payload, &mut intake).await {
            Ok(note) => note,
            Err(error) => {
                intake.abandon().await;
                return Err(error);
            }
        };
        let accepted = intake.finish().await?;
        created(&context, company, id, accepted, note).await
    });
    made.await
}

/// Makes a campaign of those recipients of another one that were not reached, with the same
/// settings and the same agent. With an `Idempotency-Key` a repeated request makes no second one.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/retry", tag = "campaigns",
    params(CampaignIdParam, IdempotencyKeyParam),
    request_body = Option<described::RetryBody>,
    responses((status = 201, description = "The new campaign runs", body = CreatedBody))
)]
pub(crate) async fn retry(
    acting: Acting,
    key: IdempotencyKey,
    request: HttpRequest,
    body: MaybeJsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let company = acting.0;
    let mut fields = Fields::of(body.object.clone());
    let states = fields.optional("states", |value| order::states(value, &REPEATABLE));
    let name = fields.optional("name", order::name);
    fields.refuse_unknown();
    fields.finish()?;
    let states = states.unwrap_or_else(|| RecipientState::RETRIABLE.to_vec());
    let old = find(&context, company, &request).await?;
    let settings = CampaignSettings { origin: Origin::Campaign, ..settings_of(&old)? };
    let name = name.unwrap_or_else(|| {
        let name: String = old.name.chars().take(90).collect();
        format!("{name} (retry)")
    });
    let order = Order { name, agent: old.agent.clone(), settings, dry_run: false };
    let plan = Plan::of(&context, company, order).await?;
    let wish = Wish { key, company, route: request.path().to_owned(), body: &body.object };
    let here = context.clone();
    once(&context, wish, move |id| async move {
        let id = id.to_string().parse().expect("both are UUIDs");
        let mut intake = plan.begin(&here, id).await?;
        let added = add_again(&here, &mut intake, old.id, &states).await;
        match added {
            Ok(0) => {
                intake.abandon().await;
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                let message = format!("No recipient of it is {}", states.join(" or "));
                Err(ApiError::conflict("nobody_to_retry", message))
            }
            Ok(_) => {
                let accepted = intake.finish().await?;
                created(&here, company, id, accepted, None).await
            }
            Err(error) => {
                intake.abandon().await;
                Err(error)
            }
        }
    })
    .await
}

/// Adds the recipients of a campaign that ended like this. Says how many.
async fn add_again(
    context: &Context,
    intake: &mut Intake,
    old: CampaignId,
    states: &[RecipientState],
) -> Result<usize, ApiError> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = context.store.recipients(old, None, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = last.seq;
        let again = page.iter().filter(|row| states.contains(&row.state)).map(given);
        let again: Vec<GivenRecipient> = again.collect();
        count += again.len();
        intake.add(again).await?;
    }
}

fn given(row: &RecipientRow) -> GivenRecipient {
    let context = row.context.as_deref().and_then(|text| serde_json::from_str(text).ok());
    GivenRecipient {
        line: row.seq.into(),
        number: row.number.clone(),
        context: context.unwrap_or_default(),
        timezone: row.timezone.clone(),
        priority: row.priority.into(),
        ..GivenRecipient::default()
    }
}

fn ordered(mut fields: Fields, context: &Context) -> Result<Order, ApiError> {
    let order = order::order(&mut fields, context.max_call.as_secs());
    fields.refuse_unknown();
    fields.finish()?;
    Ok(order.expect("no problem was found"))
}

/// A campaign of which everything is checked but its recipients.
struct Plan {
    company: CompanyId,
    name: String,
    agent: Option<AgentId>,
    settings: CampaignSettings,
    rules: RowRules,
    dry_run: bool,
}

impl Plan {
    async fn of(context: &Context, company: CompanyId, order: Order) -> Result<Self, ApiError> {
        let Order { name, agent, settings, dry_run } = order;
        let row = match &agent {
            Some(id) => Some(agents::find(context, company, id).await?),
            None => None,
        };
        row.as_ref().map(agents::active).transpose()?;
        agents::ultravox_of(context, company).await?;
        twilio_of(context, company).await?;
        let rules = row_rules(context, company, row.as_ref(), &settings.template_context).await?;
        Ok(Plan { company, name, agent, settings, rules, dry_run })
    }

    async fn begin(self, context: &Context, id: CampaignId) -> Result<Intake, ApiError> {
        let campaign = NewCampaign {
            id,
            company: self.company,
            agent: self.agent,
            name: self.name,
            settings: serde_json::to_string(&self.settings).expect("settings are plain data"),
            node: context.node,
            at: Timestamp::now(),
        };
        Ok(Intake::begin(context, &campaign, self.rules).await?)
    }
}

/// What the recipients of a company's campaign must give, if this agent takes the calls and
/// everybody has these variables.
pub(crate) async fn row_rules(
    context: &Context,
    company: CompanyId,
    agent: Option<&AgentRow>,
    template_context: &Map<String, Value>,
) -> Result<RowRules, ApiError> {
    let mut given = agent.map(agents::defaults).unwrap_or_default();
    given.extend(template_context.clone());
    let prompt = agent.map_or("", |agent| &agent.config.prompt);
    Ok(RowRules {
        needed: agents::missing_variables(prompt, &given),
        given: given.into_iter().map(|(name, _)| name).collect(),
        prefixes: context.store.allowed_prefixes(company).await?,
    })
}

fn checked(accepted: Accepted, note: Option<String>) -> HttpResponse {
    HttpResponse::Ok().json(AcceptedBody::new(accepted, note))
}

async fn created(
    context: &Context,
    company: CompanyId,
    id: CampaignId,
    accepted: Accepted,
    note: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let (row, counts) = super::look(context, company, id).await?;
    let campaign = CampaignBody::new(&row, &counts)?;
    let accepted = AcceptedBody::new(accepted, note);
    Ok(HttpResponse::Created().json(CreatedBody { campaign, accepted }))
}
