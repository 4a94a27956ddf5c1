//! API keys: who may ask. For administrators.
//!
//! A key is shown once, when it is made; only its hash is kept. A revoked key is refused from the
//! next request on.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::CompanyId;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::startup::Context;
use crate::store::{KeyHash, KeyRow, NewApiKey, Store};

use super::auth::{Caller, prefix_of, random_key};
use super::body::JsonObject;
use super::error::ApiError;
use super::fields::Fields;
use super::rules;
use super::time::whole_seconds;

/// A key that is to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey,
    example = json!({"name": "web shop", "company_id": 1}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct NewKeyBody {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    name: String,
    /// Whose it is; null or absent makes an admin key, which is good for every company.
    #[schema(minimum = 1)]
    company_id: Option<i64>,
}

/// A key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyBody {
    /// What it is revoked by.
    id: String,
    /// What people call it.
    name: String,
    /// Its first characters.
    prefix: String,
    /// Whose it is; null for an admin key.
    company_id: Option<i64>,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was revoked; null while it is good.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey, example = json!({
    "id": "key_0198c2a47d1e7cc398c4dc0c0c07398f",
    "name": "web shop",
    "key": "csk_an-example-of-a-key",
    "prefix": "csk_an-e",
    "company_id": 1,
    "created_at": "2024-01-01T12:00:00Z"
}))]
pub(crate) struct MadeKeyBody<'a> {
    /// What it is revoked by.
    id: &'a str,
    /// What people call it.
    name: &'a str,
    /// The key itself, shown this once.
    key: &'a str,
    /// Its first characters, by which people tell keys apart.
    prefix: &'a str,
    /// Whose it is; null for an admin key.
    company_id: Option<i64>,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyPage)]
pub(crate) struct KeyPage {
    /// Newest first, revoked ones too.
    pub(crate) api_keys: Vec<KeyBody>,
    /// Asks for the next page as `after`; null on the last.
    pub(crate) next_after: Option<String>,
}

/// The id of a key.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("key_id"))]
pub(crate) struct KeyIdParam(
    /// What lists call `id`
    #[expect(dead_code, reason = "only described")]
    String,
);

/// Makes a key, which is shown this once.
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "api keys",
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key", body = MadeKeyBody),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
    )
)]
pub(crate) async fn create(
    caller: Caller,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let (new, key) = make(&context.store, body.object).await?;
    Ok(HttpResponse::Created().json(MadeKeyBody {
        id: &new.id,
        name: &new.name,
        key: key.expose_secret(),
        prefix: &new.prefix,
        company_id: new.company.map(|company| company.0),
        created_at: whole_seconds(new.at),
    }))
}

/// All keys, newest first, without the keys themselves.
#[utoipa::path(
    get, path = "/api/v1/api-keys", tag = "api keys",
    params(
        ("company_id" = Option<i64>, Query, minimum = 1, maximum = 9_223_372_036_854_775_807_i64,
            description = "Only this company's"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000,
            description = "At most so many; 100 when it is absent"),
        ("after" = Option<String>, Query, max_length = 200, pattern = "^[^\\u0000]*$",
            description = "`next_after` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of keys", body = KeyPage),
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
    let company = query.optional("company_id", |value| rules::whole_number(value, 1, i64::MAX));
    let limit = query.optional("limit", |value| rules::whole_number(value, 1, 1_000));
    let after = query.optional("after", |value| rules::text(value, 0, 200));
    query.finish()?;
    let limit = u32::try_from(limit.unwrap_or(100)).unwrap_or(u32::MAX);
    let rows = context.store.api_keys(company.map(CompanyId), after.as_deref(), limit).await?;
    let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_after = rows.last().filter(|_| is_full).map(|row| row.id.clone());
    let api_keys = rows.into_iter().map(KeyBody::from).collect();
    Ok(HttpResponse::Ok().json(KeyPage { api_keys, next_after }))
}

/// Makes a key useless from the next request on.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{key_id}", tag = "api keys",
    params(KeyIdParam),
    responses(
        (status = 204, description = "The key is good for nothing any more"),
        (status = 403, description = "The key is no admin key", body = super::error::ErrorBody),
    )
)]
pub(crate) async fn revoke(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    caller.must_be_admin()?;
    let id = request.match_info().get("key_id").unwrap_or_default();
    annul(&context.store, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes the key that is described: what is stored of it, and the key itself. The command line does
/// the same.
pub(crate) async fn make(
    store: &Store,
    wanted: Map<String, Value>,
) -> Result<(NewApiKey, SecretString), ApiError> {
    let mut fields = Fields::of(wanted);
    let name = fields.required("name", |value| rules::text(value, 1, 100));
    let company = fields.optional("company_id", |value| rules::whole_number(value, 1, i64::MAX));
    fields.refuse_unknown();
    fields.finish()?;
    let company = company.map(CompanyId);
    if let Some(company) = company
        && store.company_name(company).await?.is_none()
    {
        return Err(ApiError::invalid_field("company_id", "must be the number of a company"));
    }
    let key = random_key();
    let new = NewApiKey {
        id: format!("key_{}", Uuid::now_v7().simple()),
        name: name.expect("no problem was found"),
        hash: KeyHash::of(&key),
        prefix: prefix_of(&key),
        company,
        at: Timestamp::now(),
    };
    store.insert_api_key(&new).await?;
    Ok((new, key))
}

/// Makes a key useless from the next request on. The command line does the same.
pub(crate) async fn annul(store: &Store, id: &str) -> Result<(), ApiError> {
    match store.revoke_api_key(id, Timestamp::now()).await? {
        true => Ok(()),
        false => Err(ApiError::not_found("api_key_not_found", "There is no such key in use")),
    }
}

impl From<KeyRow> for KeyBody {
    fn from(row: KeyRow) -> Self {
        KeyBody {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            company_id: row.company.map(|company| company.0),
            created_at: whole_seconds(row.created_at),
            revoked_at: row.revoked_at.map(whole_seconds),
        }
    }
}
