//! Whom a company must not call: its list, which is asked before every number is dialled.
//!
//! A number that is on the list stays as it is when it is sent again, so that every request here is
//! safe to repeat; of a file that was not taken to its end, what came before stays on the list.

mod import;
mod schema;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::call::Direction;
use actors::ids::PhoneNumber;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::startup::Context;
use crate::store::{DncSource, NewDoNotCall};

use super::auth::{Acting, Seeing};
use super::body::{CsvBody, JsonOrCsv};
use super::calls::{self, CallIdParam};
use super::error::ApiError;
use super::fields::{Fields, Ruled};
use super::{companies, rules};

pub(crate) use import::{Import, ImportError, Imported, MAX_NOTE_CHARS};
pub(crate) use schema::{AddedBody, NewNumbersBody, NumberBody, NumberPage};

/// Numbers of one JSON body; a CSV file may have more.
const MAX_NUMBERS: usize = 10_000;

/// Numbers on a page when the query does not say.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// Puts numbers on the list: one or many as JSON, or a CSV file of at most 32 MiB whose first line
/// names a column `phone_number`, and if need be a column `note`. A row that cannot be used is told
/// by its line and spoils no other.
#[utoipa::path(
    post, path = "/api/v1/do-not-call", tag = "do not call",
    request_body(content(
        (NewNumbersBody = "application/json"),
        (String = "text/csv", example = json!("phone_number,note\n+12125550123,asked by letter\n")),
    )),
    responses(
        (status = 200, description = "What became of the numbers", body = AddedBody),
        (status = 413, description = "The body has more than 1 MiB, or as CSV more than 32 MiB",
            body = super::error::ErrorBody),
        (status = 415, description = "The body is sent neither as JSON nor as CSV",
            body = super::error::ErrorBody),
    )
)]
pub(crate) async fn add(
    acting: Acting,
    body: JsonOrCsv,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let Acting(company) = acting;
    let store = &context.store;
    let done = match body {
        JsonOrCsv::Json(object) => {
            let numbers = wanted(object)?;
            companies::find(store, company).await?;
            let numbers = store.add_do_not_call(company, &numbers, Timestamp::now()).await?;
            Imported { numbers, ..Imported::default() }
        }
        JsonOrCsv::Csv(file) => {
            companies::find(store, company).await?;
            take_over(file, Import::new(store, company, DncSource::Upload)).await?
        }
    };
    Ok(HttpResponse::Ok().json(AddedBody::from(done)))
}

/// The list, by number. `next_cursor` of one page asks for the next.
#[utoipa::path(
    get, path = "/api/v1/do-not-call", tag = "do not call",
    params(schema::ListQuery),
    responses((status = 200, description = "A page of the list", body = NumberPage))
)]
pub(crate) async fn list(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Fields::of_query(request.query_string());
    let limit = query.optional("limit", |value| rules::whole_number(value, 1, MAX_LIMIT));
    let after = query.optional("cursor", cursor);
    query.finish()?;
    let limit = u32::try_from(limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(u32::MAX);
    let mut rows = context.store.do_not_call(acting.0, after.as_ref(), limit + 1).await?;
    let is_more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    // Without the `+`, which means a space in a query.
    let digits = |number: &PhoneNumber| number.as_str().trim_start_matches('+').to_owned();
    let next_cursor = rows.last().filter(|_| is_more).map(|row| digits(&row.number));
    let numbers = rows.into_iter().map(NumberBody::from).collect();
    Ok(HttpResponse::Ok().json(NumberPage { numbers, next_cursor }))
}

/// What the list says of a number; 404 when it may be called.
#[utoipa::path(
    get, path = "/api/v1/do-not-call/{phone_number}", tag = "do not call",
    params(schema::NumberParam),
    responses((status = 200, description = "It must not be called", body = NumberBody))
)]
pub(crate) async fn read(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = context.store.is_do_not_call(acting.0, &path_number(&request)?).await?;
    Ok(HttpResponse::Ok().json(NumberBody::from(row.ok_or_else(not_listed)?)))
}

/// Takes a number off the list.
#[utoipa::path(
    delete, path = "/api/v1/do-not-call/{phone_number}", tag = "do not call",
    params(schema::NumberParam),
    responses((status = 204, description = "It may be called again"))
)]
pub(crate) async fn remove(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    match context.store.remove_do_not_call(acting.0, &path_number(&request)?).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(not_listed()),
    }
}

/// Puts the person of a call on the list, whoever called whom: for the agent's tools, and for
/// whoever listens.
#[utoipa::path(
    post, path = "/api/v1/calls/{id}/do-not-call", tag = "do not call",
    params(CallIdParam),
    responses((status = 200, description = "The person must not be called", body = NumberBody))
)]
pub(crate) async fn add_person(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let call = calls::find(&context, seeing, &request).await?;
    let person = match call.direction {
        Direction::Inbound => &call.from,
        Direction::Outbound => &call.to,
    };
    let number = person.phone_number().ok_or_else(|| {
        ApiError::conflict("number_withheld", "The person of this call has shown no phone number")
    })?;
    let id = call.call_sid.map_or(call.id.to_string(), |sid| sid.to_string());
    let note = Some(format!("asked for in call {id}"));
    let new = NewDoNotCall { number: number.clone(), source: DncSource::Agent, note };
    context.store.add_do_not_call(call.company, &[new], Timestamp::now()).await?;
    let row = context.store.is_do_not_call(call.company, &number).await?;
    // Somebody may have taken it off since.
    Ok(HttpResponse::Ok().json(NumberBody::from(row.ok_or_else(not_listed)?)))
}

/// What a JSON body asks for.
fn wanted(body: Map<String, Value>) -> Result<Vec<NewDoNotCall>, ApiError> {
    if body.contains_key("phone_number") && body.contains_key("phone_numbers") {
        let why = "must not be given beside phone_number";
        return Err(ApiError::invalid_field("phone_numbers", why));
    }
    let mut fields = Fields::of(body);
    let one = fields.optional("phone_number", rules::phone_number);
    let many = fields.optional("phone_numbers", phone_numbers);
    let note = fields.optional("note", |value| rules::text(value, 0, MAX_NOTE_CHARS));
    fields.refuse_unknown();
    fields.finish()?;
    let numbers = many.or(one.map(|number| vec![number]));
    let numbers = numbers.ok_or_else(|| ApiError::invalid_field("phone_number", "is required"))?;
    let note = note.filter(|note| !note.is_empty());
    let new = |number| NewDoNotCall { number, source: DncSource::Api, note: note.clone() };
    Ok(numbers.into_iter().map(new).collect())
}

fn phone_numbers(value: &Value) -> Ruled<Vec<PhoneNumber>> {
    let given = value.as_array().ok_or("must be an array")?;
    if !(1..=MAX_NUMBERS).contains(&given.len()) {
        return Err(format!("must have 1 to {MAX_NUMBERS} numbers; a CSV file may have more"));
    }
    let number = |(index, value)| {
        rules::phone_number(value).map_err(|why| format!("has at place {}: {why}", index + 1))
    };
    given.iter().enumerate().map(number).collect()
}

async fn take_over(mut file: CsvBody, mut import: Import<'_>) -> Result<Imported, ApiError> {
    while let Some(chunk) = file.next().await? {
        import.push(&chunk).await?;
    }
    Ok(import.finish().await?)
}

fn cursor(value: &Value) -> Ruled<PhoneNumber> {
    let digits = value.as_str().unwrap_or_default();
    let number = format!("+{digits}").parse();
    number.map_err(|_| "must be the next_cursor of an earlier page".to_owned())
}

/// The router leaves an encoded `+` as it is.
fn path_number(request: &HttpRequest) -> Result<PhoneNumber, ApiError> {
    let raw = request.match_info().get("phone_number").unwrap_or_default();
    let decoded = raw.replace("%2B", "+").replace("%2b", "+");
    let invalid = |why| ApiError::invalid_field("phone_number", format!("{why}"));
    decoded.parse().map_err(|why: actors::ids::InvalidPhoneNumber| invalid(why))
}

fn not_listed() -> ApiError {
    let message = "This number is not on the do-not-call list";
    ApiError::not_found("number_not_listed", message)
}
