//! The metrics routes of the integration API: totals, recent events, recent requests.
//!
//! A company's key sees its company's figures; an admin key sees everybody's, or those of the
//! company it names.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::startup::Context;
use crate::store::Scope;

use super::auth::Seeing;
use super::error::ApiError;
use super::fields::Fields;
use super::rules;
use super::time::whole_seconds;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// Totals since the first start.
#[derive(Serialize, ToSchema)]
#[schema(as = Metrics, example = json!({
    "requests": {"total": 1250, "success": 1200, "errors": 50},
    "calls": {"total": 45, "successful": 42, "failed": 3},
    "agents": {"total": 5, "active": 5},
    "response_times": {"avg_ms": 150, "p95_ms": 300, "p99_ms": 500}
}))]
pub(crate) struct MetricsBody {
    requests: Requests,
    calls: Calls,
    agents: Agents,
    response_times: ResponseTimes,
}

/// Requests of this API; errors are answers of 400 and above.
#[derive(Serialize, ToSchema)]
struct Requests {
    total: u64,
    success: u64,
    errors: u64,
}

/// Calls; successful ones were completed, failed ones ended otherwise, and live ones are neither.
#[derive(Serialize, ToSchema)]
struct Calls {
    total: u64,
    successful: u64,
    failed: u64,
}

/// Agents that are not deleted.
#[derive(Serialize, ToSchema)]
struct Agents {
    total: u64,
    active: u64,
}

/// Of the newest 1,000 requests, in milliseconds.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ResponseTimes {
    avg_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

impl ResponseTimes {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let average = times.iter().sum::<Duration>().checked_div(count).unwrap_or_default();
        ResponseTimes {
            avg_ms: milliseconds(average),
            p95_ms: milliseconds(percentile(&times, 95)),
            p99_ms: milliseconds(percentile(&times, 99)),
        }
    }
}

/// The smallest time that so many of a hundred requests did not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// To a hundredth.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Recent events, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Events, example = json!({
    "events": [{
        "timestamp": "2024-01-01T12:00:00Z",
        "type": "call_initiated",
        "agent_id": "agent_123456",
        "call_sid": "CA1234567890abcdef1234567890abcdef"
    }],
    "count": 1,
    "limit": 100
}))]
pub(crate) struct EventsBody<'a> {
    events: Vec<EventBody<'a>>,
    /// How many there are here.
    count: usize,
    /// How many were asked for.
    limit: i64,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventBody<'a> {
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    timestamp: String,
    /// `call_initiated`, `call_answered`, `call_completed`, `call_failed`, `agent_created`,
    /// `agent_updated` or `agent_deleted`.
    r#type: &'static str,
    /// The agent, where there is one.
    agent_id: Option<&'a str>,
    /// The call, where there is one.
    call_sid: Option<&'a str>,
}

/// Recent requests, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiCalls, example = json!({
    "api_calls": [{
        "timestamp": "2024-01-01T12:00:00Z",
        "method": "POST",
        "endpoint": "/api/v1/calls/agent_123456",
        "status_code": 201,
        "response_time_ms": 150
    }],
    "count": 1,
    "limit": 100
}))]
pub(crate) struct ApiCallsBody<'a> {
    api_calls: Vec<ApiCallBody<'a>>,
    /// How many there are here.
    count: usize,
    /// How many were asked for.
    limit: i64,
}

/// A request of this API.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiCall)]
struct ApiCallBody<'a> {
    /// When it came (RFC 3339, UTC).
    #[schema(format = DateTime)]
    timestamp: String,
    method: &'a str,
    /// Its path.
    endpoint: &'a str,
    status_code: u16,
    response_time_ms: f64,
}

/// Totals, which survive a restart, and true percentiles of the newest 1,000 requests.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "metrics",
    responses((status = 200, description = "The totals", body = MetricsBody))
)]
pub(crate) async fn metrics(
    seeing: Seeing,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (scope, store) = (scope(seeing), &context.store);
    let totals = store.totals(scope).await?;
    let agents = store.count_agents(seeing.0).await?;
    let times = store.response_times(scope).await?;
    Ok(HttpResponse::Ok().json(MetricsBody {
        requests: Requests {
            total: totals.requests_success + totals.requests_errors,
            success: totals.requests_success,
            errors: totals.requests_errors,
        },
        calls: Calls {
            total: totals.calls_total,
            successful: totals.calls_successful,
            failed: totals.calls_failed,
        },
        agents: Agents { total: agents.total, active: agents.active },
        response_times: ResponseTimes::of(times),
    }))
}

/// What happened to calls and agents, newest first.
#[utoipa::path(
    get, path = "/api/v1/metrics/events", tag = "metrics",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000,
        description = "Maximum number of events to return; 100 when it is absent")),
    responses((status = 200, description = "The events", body = EventsBody))
)]
pub(crate) async fn events(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(&request)?;
    let rows = context.store.recent_events(scope(seeing), count(limit)).await?;
    let events: Vec<EventBody> = rows
        .iter()
        .map(|row| EventBody {
            timestamp: whole_seconds(row.at),
            r#type: row.kind.as_str(),
            agent_id: row.agent.as_ref().map(|id| id.as_str()),
            call_sid: row.call_sid.as_ref().map(|sid| sid.as_str()),
        })
        .collect();
    Ok(HttpResponse::Ok().json(EventsBody { count: events.len(), events, limit }))
}

/// Requests of this API, newest first.
#[utoipa::path(
    get, path = "/api/v1/metrics/api-calls", tag = "metrics",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000,
        description = "Maximum number of API calls to return; 100 when it is absent")),
    responses((status = 200, description = "The API calls", body = ApiCallsBody))
)]
pub(crate) async fn api_calls(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(&request)?;
    let rows = context.store.recent_api_calls(scope(seeing), count(limit)).await?;
    let api_calls: Vec<ApiCallBody> = rows
        .iter()
        .map(|row| ApiCallBody {
            timestamp: whole_seconds(row.at),
            method: &row.method,
            endpoint: &row.endpoint,
            status_code: row.status,
            response_time_ms: milliseconds(row.duration),
        })
        .collect();
    Ok(HttpResponse::Ok().json(ApiCallsBody { count: api_calls.len(), api_calls, limit }))
}

fn scope(Seeing(company): Seeing) -> Scope {
    company.map_or(Scope::All, Scope::Company)
}

fn limit(request: &HttpRequest) -> Result<i64, ApiError> {
    let mut query = Fields::of_query(request.query_string());
    let limit = query.optional("limit", |value| rules::whole_number(value, 1, MAX_LIMIT));
    query.finish()?;
    Ok(limit.unwrap_or(DEFAULT_LIMIT))
}

fn count(limit: i64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let said = ResponseTimes::of(times);
        assert_eq!(said, ResponseTimes { avg_ms: 100.5, p95_ms: 190.0, p99_ms: 198.0 });
        let one = ResponseTimes::of(vec![Duration::from_micros(1_234)]);
        assert_eq!(one, ResponseTimes { avg_ms: 1.23, p95_ms: 1.23, p99_ms: 1.23 });
        let none = ResponseTimes::of(Vec::new());
        assert_eq!(none, ResponseTimes { avg_ms: 0.0, p95_ms: 0.0, p99_ms: 0.0 });
    }
}
