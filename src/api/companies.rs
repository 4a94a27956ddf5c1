//! Companies: whose calls they are, and how each reaches its vendors. For administrators.
//!
//! Secrets go in and never come out: an answer says which accounts are used, not with what.

mod changes;
mod schema;
mod settings;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::CompanyId;

use crate::startup::Context;

use super::auth::Caller;
use super::body::JsonObject;
use super::error::ApiError;
use super::fields::Fields;
use super::{health, rules};

pub(crate) use changes::{add, change, find, remove};
pub(crate) use schema::{CompanyBody, CompanyPage, CompanyPatchBody, NewCompanyBody};

/// Companies on a page.
const MAX_LIMIT: i64 = 1_000;

/// Makes a company.
#[utoipa::path(
    post, path = "/api/v1/companies", tag = "companies",
    request_body = NewCompanyBody,
    responses(
        (status = 201, description = "The company", body = CompanyBody),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
        (status = 409, description = "A number belongs to another company",
            body = super::error::ErrorBody),
    )
)]
pub(crate) async fn create(
    caller: Caller,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let row = add(&context.store, body.object).await?;
    health::look(&context).await;
    Ok(HttpResponse::Created().json(CompanyBody::from(&row)))
}

/// All companies, by number.
#[utoipa::path(
    get, path = "/api/v1/companies", tag = "companies",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000,
            description = "At most so many; 100 when it is absent"),
        ("after" = Option<i64>, Query, minimum = 0, maximum = 9_223_372_036_854_775_807_i64,
            description = "Only companies with a greater number: `next_after` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of companies", body = CompanyPage),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
    )
)]
pub(crate) async fn list(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let mut query = Fields::of_query(request.query_string());
    let limit = query.optional("limit", |value| rules::whole_number(value, 1, MAX_LIMIT));
    let after = query.optional("after", |value| rules::whole_number(value, 0, i64::MAX));
    query.finish()?;
    let limit = u32::try_from(limit.unwrap_or(100)).unwrap_or(u32::MAX);
    let rows = context.store.companies(after.map(CompanyId), limit).await?;
    let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_after = rows.last().filter(|_| is_full).map(|row| row.id.0);
    let companies = rows.iter().map(CompanyBody::from).collect();
    Ok(HttpResponse::Ok().json(CompanyPage { companies, next_after }))
}

/// One company.
#[utoipa::path(
    get, path = "/api/v1/companies/{company_id}", tag = "companies",
    params(schema::CompanyIdParam),
    responses(
        (status = 200, description = "The company", body = CompanyBody),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
    )
)]
pub(crate) async fn read(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let row = find(&context.store, path_id(&request)?).await?;
    Ok(HttpResponse::Ok().json(CompanyBody::from(&row)))
}

/// Changes the fields that are given; null clears what may be empty.
#[utoipa::path(
    patch, path = "/api/v1/companies/{company_id}", tag = "companies",
    params(schema::CompanyIdParam),
    request_body = CompanyPatchBody,
    responses(
        (status = 200, description = "The company as it is now", body = CompanyBody),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
        (status = 409, description = "A number belongs to another company",
            body = super::error::ErrorBody),
    )
)]
pub(crate) async fn update(
    caller: Caller,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let row = change(&context.store, path_id(&request)?, body.object).await?;
    health::look(&context).await;
    Ok(HttpResponse::Ok().json(CompanyBody::from(&row)))
}

/// Deletes a company with its agents, calls and keys. Refused while it has live calls.
#[utoipa::path(
    delete, path = "/api/v1/companies/{company_id}", tag = "companies",
    params(schema::CompanyIdParam),
    responses(
        (status = 204, description = "There is no such company any more"),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
        (status = 409, description = "It has live calls", body = super::error::ErrorBody),
    )
)]
pub(crate) async fn delete(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    remove(&context.store, path_id(&request)?).await?;
    health::look(&context).await;
    Ok(HttpResponse::NoContent().finish())
}

fn path_id(request: &HttpRequest) -> Result<CompanyId, ApiError> {
    let raw = request.match_info().get("company_id").unwrap_or_default();
    let id = raw.parse().ok().filter(|id| *id > 0).map(CompanyId);
    id.ok_or_else(|| ApiError::not_found("company_not_found", "There is no such company"))
}
