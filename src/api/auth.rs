//! Who may ask: the `X-API-Key` header, checked by hash.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use actors::ids::CompanyId;
use jiff::Timestamp;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::startup::Context;
use crate::store::{KeyHash, NewApiKey, Store, StoreError};

use super::error::ApiError;
use super::rules;

const KEY_HEADER: &str = "X-API-Key";
/// Where an admin key says for whom it acts.
pub(crate) const COMPANY_HEADER: &str = "X-Company-Id";
/// What the admin key of the configuration is called.
const CONFIGURED_KEY: &str = "configured-admin";
/// A key has this many characters.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 10..=200;

/// The admin key from the configuration, as its hash.
pub(crate) struct AdminKey(Option<KeyHash>);

impl AdminKey {
    pub(crate) fn new(configured: Option<&SecretString>) -> Self {
        AdminKey(configured.map(KeyHash::of))
    }
}

/// A key that was made at first start. It is shown to the operator once and stored as a hash only.
pub(crate) struct NewAdminKey(pub(crate) SecretString);

/// Makes an admin key if nobody has one.
pub(crate) async fn ensure_admin_key(
    store: &Store,
    configured: Option<&SecretString>,
) -> Result<Option<NewAdminKey>, StoreError> {
    if configured.is_some() || store.has_admin_key().await? {
        return Ok(None);
    }
    let key = random_key();
    let new = NewApiKey {
        id: "admin".to_owned(),
        hash: KeyHash::of(&key),
        prefix: prefix_of(&key),
        name: "made at first start".to_owned(),
        company: None,
        at: Timestamp::now(),
    };
    let is_stored = store.insert_api_key(&new).await?;
    Ok(is_stored.then_some(NewAdminKey(key)))
}

/// What people tell keys apart by.
pub(crate) fn prefix_of(key: &SecretString) -> String {
    key.expose_secret().chars().take(8).collect()
}

/// 256 random bits with our prefix, so that a leaked key is recognised for what it is.
pub(crate) fn random_key() -> SecretString {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("csk_{}", URL_SAFE_NO_PAD.encode(bytes)).into()
}

/// Whom a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The key's name, by which its requests are counted.
    key: Arc<str>,
    /// Its company; `None` for an admin key, which is good for every company.
    company: Option<CompanyId>,
}

impl Caller {
    /// The key's name.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Whose objects the caller sees; `None` is everybody's.
    pub(crate) fn company(&self) -> Option<CompanyId> {
        self.company
    }

    /// Whether the caller may act for this company.
    pub(crate) fn may_use(&self, company: CompanyId) -> bool {
        self.company.is_none_or(|own| own == company)
    }

    /// Refuses everybody but an administrator.
    pub(crate) fn must_be_admin(&self) -> Result<(), ApiError> {
        match self.company {
            None => Ok(()),
            Some(_) => Err(ApiError::forbidden("This needs an admin key")),
        }
    }
}

/// The gate has let every request through that reaches a handler.
impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Caller>().cloned();
        ready(caller.ok_or_else(|| ApiError::unauthorized("An API key is required")))
    }
}

/// For which company a request acts: a company key's own, or the one an admin key chooses by
/// `X-Company-Id`, 1 when it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acting(pub(crate) CompanyId);

/// The same, where not choosing means all companies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeing(pub(crate) Option<CompanyId>);

/// The company of an admin key that names none.
const DEFAULT_COMPANY: CompanyId = CompanyId(1);

impl FromRequest for Acting {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(chosen(request).map(|company| Acting(company.unwrap_or(DEFAULT_COMPANY))))
    }
}

impl FromRequest for Seeing {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(chosen(request).map(Seeing))
    }
}

fn chosen(request: &HttpRequest) -> Result<Option<CompanyId>, ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::unauthorized("An API key is required"))?;
    let Some(named) = request.headers().get(COMPANY_HEADER) else { return Ok(caller.company()) };
    let named = Value::from(named.to_str().unwrap_or_default());
    let company = rules::whole_number(&named, 1, i64::MAX)
        .map(CompanyId)
        .map_err(|why| ApiError::invalid_field(COMPANY_HEADER, why))?;
    match caller.may_use(company) {
        true => Ok(Some(company)),
        false => Err(ApiError::not_found("company_not_found", "There is no such company")),
    }
}

/// Finds out who is asking.
pub(crate) async fn caller(context: &Context, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let refuse = |message| Err(ApiError::unauthorized(message));
    let Some(value) = headers.get(KEY_HEADER) else {
        return refuse("An API key is required in the X-API-Key header");
    };
    let key = match value.to_str() {
        Ok(key) if KEY_CHARS.contains(&key.len()) && !key.trim().is_empty() => key,
        _ => return refuse("The API key must have 10 to 200 characters"),
    };
    let hash = KeyHash::of(&SecretString::from(key));
    // Comparing hashes leaks nothing of use: their bits cannot be chosen.
    if context.admin_key.0.as_ref() == Some(&hash) {
        return Ok(Caller { key: CONFIGURED_KEY.into(), company: None });
    }
    match context.store.find_api_key(&hash).await? {
        Some(key) => Ok(Caller { company: key.company(), key: key.id.into() }),
        None => refuse("The API key is not valid"),
    }
}
