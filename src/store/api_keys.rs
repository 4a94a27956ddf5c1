//! Keys of the REST API. Only their hashes are kept.

use std::fmt;

use actors::ids::CompanyId;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;

/// The SHA-256 of an API key. Keys are long and random, so a fast hash gives nothing away.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash(String);

impl KeyHash {
    /// The hash of a key as its user sends it.
    pub fn of(key: &SecretString) -> Self {
        let digest = Sha256::digest(key.expose_secret().as_bytes());
        KeyHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({}…)", &self.0[..8])
    }
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its name in lists and logs.
    pub id: String,
    /// What it is found by.
    pub hash: KeyHash,
    /// Its first characters, by which people tell keys apart.
    pub prefix: String,
    /// Whose it is; `None` for an admin key.
    pub company: Option<CompanyId>,
    /// When it was made.
    pub at: Timestamp,
}

/// A key that is good.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKey {
    /// Its name in lists and logs.
    pub id: String,
    /// Its first characters.
    pub prefix: String,
    company_id: Option<i64>,
}

impl ApiKey {
    /// Whose it is; `None` for an admin key, which is good for every company.
    pub fn company(&self) -> Option<CompanyId> {
        self.company_id.map(CompanyId)
    }
}

impl Store {
    /// Stores a key. False when it is stored already; one that was revoked stays revoked.
    pub async fn insert_api_key(&self, key: &NewApiKey) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let done = sqlx::query(
                "INSERT INTO api_keys (id, hash, prefix, company_id, created_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING",
            )
            .bind(&key.id)
            .bind(&key.hash.0)
            .bind(&key.prefix)
            .bind(key.company.map(|company| company.0))
            .bind(key.at.as_millisecond())
            .execute(db)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// The key with this hash, unless it was revoked.
    pub async fn find_api_key(&self, hash: &KeyHash) -> Result<Option<ApiKey>, StoreError> {
        on_pool!(self.reader, |db| {
            let query = sqlx::query_as(
                "SELECT id, prefix, company_id FROM api_keys \
                 WHERE hash = $1 AND revoked_at IS NULL",
            );
            Ok(query.bind(&hash.0).fetch_optional(db).await?)
        })
    }

    /// Makes a key useless from now on. False when there is no such key, or it was revoked before.
    pub async fn revoke_api_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(
                "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
            );
            let done = query.bind(id).bind(now.as_millisecond()).execute(db).await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Whether anybody can administer the service.
    pub async fn has_admin_key(&self) -> Result<bool, StoreError> {
        let one: Option<String> = on_pool!(self.reader, |db| {
            let query = sqlx::query_scalar(
                "SELECT id FROM api_keys WHERE company_id IS NULL AND revoked_at IS NULL LIMIT 1",
            );
            Ok(query.fetch_optional(db).await?)
        })?;
        Ok(one.is_some())
    }
}
