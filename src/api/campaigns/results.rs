//! What became of each recipient: as JSON, a page at a time, or as one CSV file.

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::campaign::RecipientState;
use actors::ids::{CampaignId, PhoneNumber};
use bytes::Bytes;
use csv_core::{WriteResult, Writer};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::auth::Acting;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, Ruled};
use crate::api::rules;
use crate::api::time::milliseconds;
use crate::startup::Context;
use crate::store::{RecipientRow, Store, StoreError};

use super::schema::{CampaignIdParam, any_recipient_state};
use super::{DEFAULT_LIMIT, find, limit};

/// Rows of a CSV file that are read at once.
const CSV_PAGE: u32 = 1_000;

/// A recipient of a campaign.
#[derive(Serialize, ToSchema)]
#[schema(as = Recipient)]
pub(crate) struct RecipientBody<'a> {
    /// Its place in the upload, from 1.
    seq: u32,
    /// Who is called; what stood in its place, where it is no number.
    phone_number: &'a str,
    /// How it stands.
    #[schema(schema_with = any_recipient_state)]
    state: &'static str,
    /// How often it was dialled.
    attempts: u8,
    /// Not dialled earlier (RFC 3339, UTC); null when it could be at once.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// Our id of its latest call.
    call_id: Option<String>,
    /// Twilio's id of it.
    call_sid: Option<&'a str>,
    /// Why that call is over, as a word.
    end_reason: Option<&'a str>,
    /// What went wrong, or why it is not called.
    detail: Option<&'a str>,
    /// Who took the call, in Twilio's words.
    answered_by: Option<&'a str>,
    /// From answer to end.
    duration_seconds: Option<f64>,
    /// Its own zone.
    timezone: Option<&'a str>,
    /// The higher, the sooner.
    priority: i32,
    /// When this last changed (RFC 3339, UTC).
    #[schema(format = DateTime)]
    updated_at: String,
    /// Its own template variables.
    #[schema(value_type = Object)]
    template_context: Map<String, Value>,
}

impl<'a> From<&'a RecipientRow> for RecipientBody<'a> {
    fn from(row: &'a RecipientRow) -> Self {
        let context = row.context.as_deref().and_then(|text| serde_json::from_str(text).ok());
        RecipientBody {
            seq: row.seq,
            phone_number: &row.number,
            state: row.state.as_str(),
            attempts: row.attempts,
            due_at: row.due.map(milliseconds),
            call_id: row.call.map(|id| id.to_string()),
            call_sid: row.call_sid.as_deref(),
            end_reason: row.reason.as_deref(),
            detail: row.detail.as_deref(),
            answered_by: row.answered_by.as_deref(),
            duration_seconds: row.duration.map(|duration| duration.as_secs_f64()),
            timezone: row.timezone.as_deref(),
            priority: row.priority,
            updated_at: milliseconds(row.updated_at),
            template_context: context.unwrap_or_default(),
        }
    }
}

/// A page of recipients.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecipientPage<'a> {
    /// In the upload's order.
    recipients: Vec<RecipientBody<'a>>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// What became of each recipient, in the upload's order. As JSON it comes in pages; as CSV
/// (`format=csv`, or `Accept: text/csv`) it is one file, whatever `limit` and `cursor` say. In that
/// file, a text that begins as formulas of spreadsheets do has an apostrophe before it.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{id}/calls", tag = "campaigns",
    params(CampaignIdParam, super::described::ResultsQuery),
    responses((status = 200, description = "The recipients", content(
        (RecipientPage = "application/json"), (String = "text/csv"),
    )))
)]
pub(crate) async fn results(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Fields::of_query(request.query_string());
    let state = query.optional("state", state);
    let limit = query.optional("limit", limit);
    let after = query.optional("cursor", cursor);
    let format = query.optional("format", format);
    query.finish()?;
    let row = find(&context, acting.0, &request).await?;
    if format.unwrap_or_else(|| accepted(&request)) == Format::Csv {
        let name = format!("attachment; filename=\"campaign-{}.csv\"", row.id);
        return Ok(HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header((CONTENT_DISPOSITION, name))
            .streaming(file(context.store.clone(), row.id, state)));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let after = after.unwrap_or_default();
    let mut rows = context.store.recipients(row.id, state, after, asked).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| is_more).map(|row| row.seq.to_string());
    let recipients = rows.iter().map(RecipientBody::from).collect();
    Ok(HttpResponse::Ok().json(RecipientPage { recipients, next_cursor }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

fn format(value: &Value) -> Ruled<Format> {
    match value.as_str() {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        _ => Err("must be 'json' or 'csv'".to_owned()),
    }
}

/// What the client would rather have, when it does not say so in the query.
fn accepted(request: &HttpRequest) -> Format {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let first = accepted.unwrap_or_default().split([',', ';']).next().unwrap_or_default();
    match first.trim().eq_ignore_ascii_case("text/csv") {
        true => Format::Csv,
        false => Format::Json,
    }
}

fn state(value: &Value) -> Ruled<RecipientState> {
    let word = value.as_str().unwrap_or_default();
    word.parse().map_err(|_| {
        let known = RecipientState::ALL.map(RecipientState::as_str).join(", ");
        format!("must be one of {known}")
    })
}

fn cursor(value: &Value) -> Ruled<u32> {
    let place = rules::whole_number(value, 0, u32::MAX.into());
    place.map(|place| u32::try_from(place).unwrap_or(u32::MAX))
}

const HEADER: [&str; 15] = [
    "seq",
    "phone_number",
    "state",
    "attempts",
    "due_at",
    "call_id",
    "call_sid",
    "end_reason",
    "detail",
    "answered_by",
    "duration_seconds",
    "timezone",
    "priority",
    "updated_at",
    "template_context",
];

/// The file, a page at a time. A page that cannot be read breaks the connection, so that nobody
/// takes a part for the whole.
fn file(
    store: Store,
    campaign: CampaignId,
    state: Option<RecipientState>,
) -> impl Stream<Item = Result<Bytes, StoreError>> {
    let header = lines([HEADER.map(str::to_owned)]);
    stream::try_unfold((store, Some(0), header), move |(store, after, mut text)| async move {
        let Some(after) = after else { return Ok(None) };
        let rows = store.recipients(campaign, state, after, CSV_PAGE).await?;
        let next = rows.last().map(|row| row.seq);
        text.extend(lines(rows.iter().map(|row| cells(&row.into(), row.context.as_deref()))));
        Ok(Some((Bytes::from(text), (store, next, Vec::new()))))
    })
}

fn lines<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> Vec<u8> {
    let (mut writer, mut text) = (Writer::new(), Vec::new());
    for row in rows {
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                all(&mut text, |out| writer.delimiter(out));
            }
            let mut rest = cell.as_bytes();
            all(&mut text, |out| {
                let (result, read, written) = writer.field(rest, out);
                rest = &rest[read..];
                (result, written)
            });
        }
        all(&mut text, |out| writer.terminator(out));
    }
    text
}

/// Has something written to its end, a part at a time.
fn all(text: &mut Vec<u8>, mut step: impl FnMut(&mut [u8]) -> (WriteResult, usize)) {
    let mut part = [0; 512];
    loop {
        let (result, written) = step(&mut part);
        text.extend_from_slice(&part[..written]);
        if result == WriteResult::InputEmpty {
            return;
        }
    }
}

fn cells(row: &RecipientBody<'_>, context: Option<&str>) -> [String; HEADER.len()] {
    let text = |text: Option<&str>| defused(text.unwrap_or_default());
    let is_number = row.phone_number.parse::<PhoneNumber>().is_ok();
    [
        row.seq.to_string(),
        if is_number { row.phone_number.to_owned() } else { defused(row.phone_number) },
        row.state.to_owned(),
        row.attempts.to_string(),
        row.due_at.clone().unwrap_or_default(),
        row.call_id.clone().unwrap_or_default(),
        text(row.call_sid),
        text(row.end_reason),
        text(row.detail),
        text(row.answered_by),
        row.duration_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
        text(row.timezone),
        row.priority.to_string(),
        row.updated_at.clone(),
        text(context),
    ]
}

/// A text that no spreadsheet takes for a formula. See OWASP, "CSV Injection".
fn defused(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use jiff::Timestamp;

    #[test]
    fn no_cell_is_a_formula_but_a_number_is_a_number() {
        let mut row = RecipientRow {
            seq: 1,
            number: "+12125550123".to_owned(),
            context: Some(r#"{"a":"=1+1, \"x\""}"#.to_owned()),
            timezone: None,
            priority: -5,
            state: RecipientState::Failed,
            attempts: 2,
            due: None,
            call: None,
            call_sid: None,
            join_url: None,
            reason: Some("phone_failed".to_owned()),
            detail: Some("=HYPERLINK(\"x\")".to_owned()),
            answered_by: None,
            duration: None,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let line = |row: &RecipientRow| {
            let line = lines([cells(&row.into(), row.context.as_deref())]);
            String::from_utf8(line).expect("text")
        };
        assert_eq!(
            line(&row),
            "1,+12125550123,failed,2,,,,phone_failed,\"'=HYPERLINK(\"\"x\"\")\",,,,-5,\
             1970-01-01T00:00:00.000Z,\"{\"\"a\"\":\"\"=1+1, \\\"\"x\\\"\"\"\"}\"\n"
        );
        row.number = "@SUM(A1)".to_owned();
        assert!(line(&row).starts_with("1,'@SUM(A1),failed"));
    }

    #[test]
    fn the_format_is_what_the_client_prefers() {
        let wants = |accept: &str| {
            let request = TestRequest::default().insert_header((ACCEPT, accept));
            accepted(&request.to_http_request()) == Format::Csv
        };
        assert!(wants("text/csv") && wants("Text/CSV;q=1, */*"));
        assert!(!wants("*/*") && !wants("application/json, text/csv") && !wants(""));
    }
}
