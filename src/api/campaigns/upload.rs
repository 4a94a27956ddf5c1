//! Bodies that are lists of recipients: larger than any other, and read so that nobody else waits.
//!
//! A JSON body is read at one go, away from the threads that carry audio; a CSV file is read as it
//! comes in. A client whose upload is refused half way is heard out first, since otherwise it would
//! see a broken connection and not the reason.

use std::time::Duration;

use actix_web::web::{self, Payload};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use crate::api::body::{parse, too_large};
use crate::api::error::ApiError;
use crate::api::idempotency::hash;
use crate::campaigns::intake::{GivenRecipient, Intake, IntakeError, MAX_RECIPIENTS};
use crate::upload::CsvUpload;

use super::rows::{self, Columns};

/// Largest JSON body: some 300 bytes for each recipient that there may be.
pub(super) const JSON_BYTES: usize = 64 * 1024 * 1024;
/// Largest CSV file: over a kilobyte for each recipient that there may be.
const CSV_BYTES: usize = 256 * 1024 * 1024;
/// How long the next part of a body is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A JSON body: its recipients, and the rest.
pub(super) struct JsonUpload {
    pub(super) recipients: Vec<GivenRecipient>,
    /// Where there was a list of recipients, an empty one stands for it.
    pub(super) fields: Map<String, Value>,
    /// Tells a body from another, where asked for.
    pub(super) digest: Option<String>,
}

impl JsonUpload {
    pub(super) async fn read(payload: Payload, with_digest: bool) -> Result<Self, ApiError> {
        let mut parts = Parts::new(payload, JSON_BYTES);
        let mut bytes = BytesMut::new();
        while let Some(part) = parts.next().await? {
            bytes.extend_from_slice(&part);
        }
        let read = web::block(move || Self::parse(&bytes, with_digest)).await;
        read.map_err(|_| ApiError::internal("Internal server error"))?
    }

    fn parse(bytes: &[u8], with_digest: bool) -> Result<Self, ApiError> {
        let mut fields = parse(bytes)?;
        let digest = with_digest.then(|| hash(&fields));
        let recipients = match fields.get_mut("recipients") {
            Some(Value::Array(list)) => {
                if list.is_empty() {
                    return Err(IntakeError::Empty.into());
                }
                if u32::try_from(list.len()).map_or(true, |count| count > MAX_RECIPIENTS) {
                    return Err(IntakeError::TooMany.into());
                }
                rows::of_list(std::mem::take(list))
            }
            _ => Vec::new(),
        };
        Ok(JsonUpload { recipients, fields, digest })
    }
}

/// Reads a CSV file into a campaign. Gives what should be known of the file.
pub(super) async fn read_csv(
    payload: Payload,
    intake: &mut Intake,
) -> Result<Option<String>, ApiError> {
    let mut parts = Parts::new(payload, CSV_BYTES);
    let read = add_rows(&mut parts, intake).await;
    if read.is_err() {
        parts.hear_out().await;
    }
    read
}

async fn add_rows(parts: &mut Parts, intake: &mut Intake) -> Result<Option<String>, ApiError> {
    let (mut csv, mut columns) = (CsvUpload::new(), None);
    while let Some(part) = parts.next().await? {
        let rows = csv.push(&part)?;
        add(&csv, &mut columns, rows, intake).await?;
    }
    let last = csv.finish()?;
    add(&csv, &mut columns, last, intake).await?;
    Ok(csv.note())
}

async fn add(
    csv: &CsvUpload,
    columns: &mut Option<Columns>,
    rows: impl IntoIterator<Item = Result<crate::upload::Row, crate::upload::BadRow>>,
    intake: &mut Intake,
) -> Result<(), ApiError> {
    if columns.is_none() {
        *columns = Columns::of(csv)?;
    }
    if let Some(columns) = columns {
        intake.add(rows.into_iter().map(|row| columns.recipient(row))).await?;
    }
    Ok(())
}

/// A body as it comes in.
struct Parts {
    payload: Payload,
    limit: usize,
    left: usize,
    is_over: bool,
}

impl Parts {
    fn new(payload: Payload, limit: usize) -> Self {
        Parts { payload, limit, left: limit, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let unreadable = |why: String| {
            let message = format!("The request body cannot be read: {why}");
            ApiError::bad_request("unreadable_body", message)
        };
        match tokio::time::timeout(PATIENCE, self.payload.next()).await {
            Ok(Some(Ok(part))) => match self.left.checked_sub(part.len()) {
                Some(left) => {
                    self.left = left;
                    Ok(Some(part))
                }
                None => {
                    self.left = 0;
                    Err(too_large(self.limit))
                }
            },
            Ok(None) => {
                self.is_over = true;
                Ok(None)
            }
            Ok(Some(Err(error))) => {
                self.is_over = true;
                Err(unreadable(error.to_string()))
            }
            Err(_) => {
                self.is_over = true;
                let waited = PATIENCE.as_secs();
                Err(unreadable(format!("nothing came of it for {waited} s")))
            }
        }
    }

    /// Reads what is left, as far as it may go.
    async fn hear_out(&mut self) {
        while !self.is_over && self.left > 0 {
            // What goes wrong now is no news: the client is told of something else.
            let _ = self.next().await;
        }
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Store(error) => error.into(),
            IntakeError::Deleted => ApiError::conflict("campaign_deleted", error.to_string()),
            IntakeError::NobodyToCall(ref accepted) => {
                let rejected = accepted.rejected.iter();
                let rejected = rejected.map(|row| format!("line {}: {}", row.line, row.reason));
                let rejected: Vec<Value> = rejected.take(10).map(Value::from).collect();
                ApiError::invalid_field("recipients", error.to_string())
                    .detail("rejected", rejected)
            }
            IntakeError::Empty | IntakeError::TooMany => {
                ApiError::invalid_field("recipients", error.to_string())
            }
        }
    }
}
