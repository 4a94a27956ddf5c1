//! Who may ask: the `X-API-Key` header, checked by hash.

use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, ResponseError as _, web};
use actors::ids::CompanyId;
use ipnet::IpNet;
use jiff::Timestamp;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::client_address::client_address;
use crate::config::RateLimits;
use crate::startup::Context;
use crate::store::{KeyHash, NewApiKey, Store, StoreError};

use super::error::ApiError;
use super::limits::{Exceeded, Limiter, Verdict};
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
async fn caller(context: &Context, headers: &HeaderMap) -> Result<Caller, ApiError> {
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

/// Whose requests are counted together.
pub(crate) struct RateLimiters {
    keys: Limiter<Arc<str>>,
    strangers: Limiter<IpAddr>,
    trusted_proxies: Vec<IpNet>,
}

impl RateLimiters {
    pub(crate) fn new(limits: &RateLimits, trusted_proxies: Vec<IpNet>) -> Self {
        RateLimiters {
            keys: Limiter::new(limits),
            strangers: Limiter::new(limits),
            trusted_proxies,
        }
    }

    /// Where a request comes from. An IPv6 network of 64 bits is one household, so it counts once.
    fn address(&self, request: &ServiceRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded = request.headers().get_all("X-Forwarded-For");
        let forwarded = forwarded.filter_map(|value| value.to_str().ok());
        match client_address(peer, forwarded, &self.trusted_proxies) {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        }
    }
}

/// The middleware before every route that needs a key: finds out who asks, counts the request,
/// and writes how the limits stand on the answer, whatever it is.
pub(crate) async fn gate(
    context: web::Data<Context>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limiters = &context.rate_limiters;
    let who = caller(&context, request.headers()).await;
    let now = Instant::now();
    let (verdict, who) = match who {
        Ok(caller) => (limiters.keys.check(caller.key(), now), Ok(caller)),
        Err(refusal) if refusal.status_code() == StatusCode::UNAUTHORIZED => {
            (limiters.strangers.check(&limiters.address(&request), now), Err(refusal))
        }
        Err(error) => (Verdict { standing: None, exceeded: None }, Err(error)),
    };
    let pass = match verdict.exceeded {
        None => who,
        Some(exceeded) => Err(too_many(exceeded)),
    };
    let mut response = match pass {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await?.map_into_boxed_body()
        }
        Err(refusal) => request.into_response(refusal.error_response()),
    };
    if let Some(standing) = verdict.standing {
        standing.write(response.headers_mut(), Timestamp::now());
    }
    Ok(response)
}

fn too_many(Exceeded { which, retry_after }: Exceeded) -> ApiError {
    let seconds = retry_after.as_secs() + 1;
    let message = format!("Rate limit exceeded: {which}; try again in {seconds} s");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message)
        .detail("limit", which)
        .retry_after(retry_after)
}
