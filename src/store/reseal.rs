//! Changing the key that secrets are sealed under.

use std::collections::BTreeSet;

use super::Store;
use super::calls::live;
use super::error::StoreError;
use super::idempotency::body_of;
use super::pools::{in_transaction, on_pool};
use super::rows::join_url_of;
use super::vendors::{api_key_of, auth_token_of};
use crate::secrets::{Place, sealed_under};

/// One column of secrets: how to list it (row, value), how to replace one value (`$1` the row,
/// `$2` what it was, `$3` what it becomes), and what its values are bound to.
pub(super) struct Column {
    pub(super) list: &'static str,
    replace: &'static str,
    place: fn(String) -> Place,
}

/// The row ids are cast because they are numbers in some tables and text in others.
pub(super) const COLUMNS: [Column; 4] = [
    Column {
        list: "SELECT CAST(company_id AS TEXT), auth_token FROM twilio_config",
        replace: "UPDATE twilio_config SET auth_token = $3 \
                  WHERE company_id = CAST($1 AS BIGINT) AND auth_token = $2",
        place: auth_token_of,
    },
    Column {
        list: "SELECT CAST(company_id AS TEXT), apikey FROM ultravox_config",
        replace: "UPDATE ultravox_config SET apikey = $3 \
                  WHERE company_id = CAST($1 AS BIGINT) AND apikey = $2",
        place: api_key_of,
    },
    Column {
        list: concat!("SELECT id, join_url FROM calls WHERE join_url IS NOT NULL AND ", live!()),
        replace: "UPDATE calls SET join_url = $3 WHERE id = $1 AND join_url = $2",
        place: join_url_of,
    },
    Column {
        list: "SELECT id, body FROM idempotency_keys WHERE body IS NOT NULL",
        replace: "UPDATE idempotency_keys SET body = $3 WHERE id = $1 AND body = $2",
        place: body_of,
    },
];

impl Store {
    /// Makes sure that every stored secret can be opened, and changes nothing. To be called before
    /// another secret is stored beside a running service, which must be able to open it.
    pub async fn check_secrets(&self) -> Result<(), StoreError> {
        self.under_old_keys().await.map(drop)
    }

    /// Makes sure that every stored secret can be opened, and seals those that are under an old
    /// key again under the first; says how many. To be called at start.
    ///
    /// [`StoreError::MissingKeys`] names every key that is missing, before anything is changed.
    pub async fn reseal(&self) -> Result<usize, StoreError> {
        let old = self.under_old_keys().await?;
        let mut fresh = Vec::new();
        for (column, row, sealed) in old {
            let place = (column.place)(row.clone());
            let secret = self.sealer.open(&place, &sealed)?;
            fresh.push((column.replace, row, sealed, self.sealer.seal(&place, &secret)));
        }
        in_transaction!(self, |tx| {
            // A value that another node has replaced meanwhile is left as it is.
            for (replace, row, before, after) in &fresh {
                let query = sqlx::query(*replace).bind(row).bind(before).bind(after);
                query.execute(&mut *tx).await?;
            }
        })?;
        Ok(fresh.len())
    }

    /// The secrets that are not under the first key: column, row, value. Those that are do open.
    async fn under_old_keys(&self) -> Result<Vec<(&'static Column, String, String)>, StoreError> {
        let known = self.sealer.key_ids();
        let mut missing = BTreeSet::new();
        let mut unopened = 0;
        let mut old = Vec::new();
        for column in &COLUMNS {
            let rows: Vec<(String, String)> = on_pool!(self.reader, |db| {
                Ok(sqlx::query_as(column.list).fetch_all(db).await?)
            })?;
            for (row, sealed) in rows {
                match sealed_under(&sealed) {
                    Some(id) if id == self.sealer.first_key_id() => {
                        self.sealer.open(&(column.place)(row), &sealed)?;
                    }
                    Some(id) if !known.iter().any(|known| known == id) => {
                        missing.insert(id.to_owned());
                        unopened += 1;
                    }
                    _ => old.push((column, row, sealed)),
                }
            }
        }
        if missing.is_empty() {
            return Ok(old);
        }
        let missing = missing.into_iter().collect();
        Err(StoreError::MissingKeys { missing, known, rows: unopened })
    }
}
