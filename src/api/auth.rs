//! Who may ask: the `X-API-Key` header, checked by hash.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actors::ids::CompanyId;
use jiff::Timestamp;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::startup::Context;
use crate::store::{KeyHash, NewApiKey, Store, StoreError};

use super::CompatError;

const HEADER: &str = "X-API-Key";
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
        name: "admin".to_owned(),
        hash: KeyHash::of(&key),
        prefix: key.expose_secret().chars().take(8).collect(),
        company: None,
        at: Timestamp::now(),
    };
    let is_stored = store.insert_api_key(&new).await?;
    Ok(is_stored.then_some(NewAdminKey(key)))
}

/// 256 random bits with our prefix, so that a leaked key is recognised for what it is.
fn random_key() -> SecretString {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("csk_{}", URL_SAFE_NO_PAD.encode(bytes)).into()
}

/// Whom a request speaks for.
pub(crate) enum Caller {
    /// Any company.
    Admin,
    /// This one.
    Company(CompanyId),
}

impl Caller {
    /// Whether the caller may act for this company.
    pub(crate) fn may_use(&self, company: CompanyId) -> bool {
        match self {
            Caller::Admin => true,
            Caller::Company(own) => *own == company,
        }
    }
}

/// Finds out who is asking.
pub(crate) async fn caller(
    context: &Context,
    request: &HttpRequest,
) -> Result<Caller, CompatError> {
    let refuse = |message| Err(CompatError::new(StatusCode::UNAUTHORIZED, message));
    let Some(value) = request.headers().get(HEADER) else {
        return refuse("An API key is required in the X-API-Key header");
    };
    let key = match value.to_str() {
        Ok(key) if KEY_CHARS.contains(&key.len()) && !key.trim().is_empty() => key,
        _ => return refuse("The API key must have 10 to 200 characters"),
    };
    let hash = KeyHash::of(&SecretString::from(key));
    // Comparing hashes leaks nothing of use: their bits cannot be chosen.
    if context.admin_key.0.as_ref() == Some(&hash) {
        return Ok(Caller::Admin);
    }
    match context.store.find_api_key(&hash).await? {
        Some(key) => Ok(key.company().map_or(Caller::Admin, Caller::Company)),
        None => refuse("The API key is not valid"),
    }
}
