//! Keys of the REST API. Only their hashes are kept.

use std::fmt;

use actors::ids::CompanyId;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::Row;

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
    /// What it is revoked by, and its name in logs.
    pub id: String,
    /// What people call it; may be empty.
    pub name: String,
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
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ApiKey {
    /// What it is revoked by, and its name in logs.
    pub id: String,
    /// What people call it; may be empty.
    pub name: String,
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

/// A key as lists show it, good or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// What it is revoked by, and its name in logs.
    pub id: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// Whose it is; `None` for an admin key.
    pub company: Option<CompanyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is good for nothing.
    pub revoked_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct RawKey {
    id: String,
    name: String,
    prefix: String,
    company_id: Option<i64>,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl RawKey {
    fn read(self) -> Result<KeyRow, StoreError> {
        let row = Row { kind: "API key", id: &self.id };
        let created_at = row.time("created_at", self.created_at)?;
        let revoked_at = self.revoked_at.map(|ms| row.time("revoked_at", ms)).transpose()?;
        let company = self.company_id.map(CompanyId);
        let (id, name, prefix) = (self.id, self.name, self.prefix);
        Ok(KeyRow { id, name, prefix, company, created_at, revoked_at })
    }
}

/// `$1` is the company or null for all, `$2` the last key of the page before or null.
const LIST: &str = "SELECT id, name, prefix, company_id, created_at, revoked_at FROM api_keys \
     WHERE ($1 IS NULL OR company_id = $1) AND ($2 IS NULL OR (created_at, id) < \
     (SELECT last.created_at, last.id FROM api_keys AS last WHERE last.id = $2)) \
     ORDER BY created_at DESC, id DESC LIMIT $3";

impl Store {
    /// Stores a key. False when it is stored already; one that was revoked stays revoked.
    pub async fn insert_api_key(&self, key: &NewApiKey) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let done = sqlx::query(
                "INSERT INTO api_keys (id, name, hash, prefix, company_id, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING",
            )
            .bind(&key.id)
            .bind(&key.name)
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
                "SELECT id, name, prefix, company_id FROM api_keys \
                 WHERE hash = $1 AND revoked_at IS NULL",
            );
            Ok(query.bind(&hash.0).fetch_optional(db).await?)
        })
    }

    /// Keys, the newest first: a company's, or with `None` everybody's. A page begins after the key
    /// that is named; when there is no such key, it is empty.
    pub async fn api_keys(
        &self,
        company: Option<CompanyId>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let raw: Vec<RawKey> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(LIST).bind(company.map(|company| company.0)).bind(after);
            Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawKey::read).collect()
    }

    /// One key, good or revoked.
    pub async fn api_key(&self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let raw: Option<RawKey> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(
                "SELECT id, name, prefix, company_id, created_at, revoked_at FROM api_keys \
                 WHERE id = $1",
            );
            Ok(query.bind(id).fetch_optional(db).await?)
        })?;
        raw.map(RawKey::read).transpose()
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
