//! Figures as people and programs read them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::load::Outcome;

/// What was measured over one database.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) database: String,
    pub(crate) calls: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    /// The first is the yardstick.
    pub(crate) routes: Vec<RouteReport>,
    /// What the simulated vendors did not like.
    pub(crate) complaints: Vec<String>,
}

/// What was measured of one route.
#[derive(Debug, Serialize)]
pub(crate) struct RouteReport {
    pub(crate) name: &'static str,
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of a request's time, on average, what the vendors took.
    vendors_mean_ms: Option<f64>,
    /// The first thing that went wrong.
    pub(crate) first_error: Option<String>,
}

impl RouteReport {
    pub(super) fn of(name: &'static str, outcomes: &[Outcome], vendors: Option<f64>) -> Self {
        let mut times: Vec<Duration> = outcomes.iter().map(|outcome| outcome.took).collect();
        times.sort_unstable();
        let mut errors = outcomes.iter().filter_map(|outcome| outcome.error.clone());
        let first_error = errors.next();
        let requests = outcomes.len();
        RouteReport {
            name,
            requests,
            errors: usize::from(first_error.is_some()) + errors.count(),
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
            max_ms: percentile(&times, 100),
            vendors_mean_ms: vendors.map(|seconds| seconds * 1_000.0 / requests.max(1) as f64),
            first_error,
        }
    }
}

/// The time, in milliseconds, that this share of the requests did not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

impl Report {
    /// Whether a route did not do what it should.
    pub(crate) fn has_errors(&self) -> bool {
        !self.complaints.is_empty() || self.routes.iter().any(|route| route.errors > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { database, calls, rate, .. } = self;
        writeln!(f, "\n{database}, {calls} calls, {rate} requests a second; times in ms")?;
        writeln!(
            f,
            "{:<38}{:>9}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "", "requests", "errors", "p50", "p99", "max", "vendors", "p99 of 1"
        )?;
        let yardstick = self.routes.first().map_or(0.0, |route| route.p99_ms);
        for route in &self.routes {
            let vendors = route.vendors_mean_ms.map(|ms| format!("{ms:.2}")).unwrap_or_default();
            writeln!(
                f,
                "{:<38}{:>9}{:>8}{:>9.2}{:>9.2}{:>9.2}{vendors:>9}{:>9.1}",
                route.name,
                route.requests,
                route.errors,
                route.p50_ms,
                route.p99_ms,
                route.max_ms,
                route.p99_ms / yardstick,
            )?;
            if let Some(error) = &route.first_error {
                writeln!(f, "    {error}")?;
            }
        }
        writeln!(f, "vendors: their part of the time, on average, where a call is placed")?;
        writeln!(f, "p99 of 1: p99 as a multiple of the first line's")?;
        self.complaints.iter().try_for_each(|complaint| writeln!(f, "a vendor: {complaint}"))
    }
}
