//! A campaign of the service's own, followed from its recipients to its end.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::caller::number;
use super::outcome::CampaignFigures;
use super::scenario::{Scenario, Shape};
use super::watch::View;
use crate::twilio::{CallStatus, SimTwilio};

/// How often live calls are counted.
const COUNT_EVERY: Duration = Duration::from_millis(50);
/// How many counts there are between two looks at the campaign.
const COUNTS_A_LOOK: u32 = 10;
/// How long a campaign may take beyond what its limits explain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The campaigns of a service.
pub(crate) struct Campaigns<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) url: String,
    pub(crate) key: &'a str,
    pub(crate) view: &'a View,
}

impl Campaigns<'_> {
    /// Makes a campaign and waits for its end; says what was wrong with it, if anything.
    pub(crate) async fn run(&self, scenario: &Scenario) -> (CampaignFigures, Vec<String>) {
        let Shape::Campaign { call_length, calls_per_second, .. } = scenario.shape else {
            return (CampaignFigures::default(), Vec::new());
        };
        let recipients = scenario.recipients();
        let mut figures = CampaignFigures {
            recipients: recipients.into(),
            concurrent: scenario.calls.into(),
            ..CampaignFigures::default()
        };
        let began = Instant::now();
        let created = match self.create(scenario.calls, calls_per_second, recipients).await {
            Ok(created) => created,
            Err(why) => return (figures, vec![format!("the campaign was refused: {why}")]),
        };
        figures.accepted_ms = began.elapsed().as_secs_f64() * 1e3;
        let mut problems = Vec::new();
        let accepted = created["accepted"].as_u64().unwrap_or_default();
        if accepted != u64::from(recipients) {
            problems.push(format!("only {accepted} of {recipients} recipients were accepted"));
        }
        let rounds = f64::from(recipients) / f64::from(scenario.calls);
        let dialling = Duration::from_secs_f64(f64::from(recipients) / f64::from(calls_per_second));
        let limit = (call_length.mul_f64(rounds) + dialling) * 3 + PATIENCE;
        let accepted_at = Instant::now();
        let id = created["id"].as_str().unwrap_or_default().to_owned();
        let live = match self.follow(&id, limit, &mut figures).await {
            Ok(live) => live,
            Err(why) => {
                problems.push(why);
                Vec::new()
            }
        };
        figures.lasted_seconds = accepted_at.elapsed().as_secs_f64();
        if figures.completed < u64::from(recipients) {
            problems
                .push(format!("the campaign reached {} of {recipients} people", figures.completed));
        }
        figures.mean_occupancy = mean_once_full(&live, scenario.calls) / f64::from(scenario.calls);
        (figures.dispatched_per_second_at_first, figures.dispatched_per_second) =
            dispatch_rates(&dialled(&self.view.twilio), scenario.calls);
        (figures, problems)
    }

    /// Counts live calls for as long as anybody is waiting, and waits for the end.
    async fn follow(
        &self,
        id: &str,
        limit: Duration,
        figures: &mut CampaignFigures,
    ) -> Result<Vec<u64>, String> {
        let mut live = Vec::new();
        let mut anybody_waits = true;
        let began = Instant::now();
        while began.elapsed() < limit {
            let state = self.read(id).await?;
            anybody_waits &= state["counts"]["waiting"].as_u64() != Some(0);
            figures.completed = state["counts"]["completed"].as_u64().unwrap_or_default();
            if state["state"] == "completed" {
                return Ok(live);
            }
            for _ in 0..COUNTS_A_LOOK {
                if anybody_waits {
                    live.push(self.view.twilio.live_calls() as u64);
                }
                sleep(COUNT_EVERY).await;
            }
        }
        Err(format!("the campaign was not over after {} s", limit.as_secs()))
    }

    async fn create(&self, calls: u32, rate: u32, recipients: u32) -> Result<Value, String> {
        let mut csv = String::from("phone_number\n");
        for n in 0..recipients {
            csv.push_str(&number(n));
            csv.push('\n');
        }
        let query = format!("name=loadtest&max_concurrent_calls={calls}&max_cps={rate}");
        let request = self.http.post(format!("{}?{query}", self.url));
        self.json(request.header("Content-Type", "text/csv").body(csv)).await
    }

    async fn read(&self, id: &str) -> Result<Value, String> {
        self.json(self.http.get(format!("{}/{id}", self.url))).await
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let request = request.header("X-API-Key", self.key);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        match status.is_success() {
            true => serde_json::from_str(&body).map_err(|error| error.to_string()),
            false => Err(format!("{status}: {body}")),
        }
    }
}

/// When each call was dialled, in order.
fn dialled(twilio: &SimTwilio) -> Vec<Instant> {
    let since = |call: crate::twilio::SimCall| call.status_since(CallStatus::Queued);
    let mut times: Vec<_> = twilio.calls().into_iter().filter_map(since).collect();
    times.sort_unstable();
    times
}

/// Calls dialled a second until the limit could be reached, and over all.
fn dispatch_rates(dialled: &[Instant], limit: u32) -> (f64, f64) {
    let rate = |times: &[Instant]| match times {
        [first, .., last] if last > first => {
            (times.len() - 1) as f64 / (*last - *first).as_secs_f64()
        }
        _ => 0.0,
    };
    let first = &dialled[..dialled.len().min(limit as usize)];
    (rate(first), rate(dialled))
}

/// The mean of the counts since one was nearly the limit; since it may never be, of the later half
/// then.
fn mean_once_full(live: &[u64], limit: u32) -> f64 {
    let nearly = u64::from(limit) * 9 / 10;
    let full_at = live.iter().position(|count| *count >= nearly).unwrap_or(live.len() / 2);
    let counts = &live[full_at..];
    counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupancy_counts_from_when_the_limit_is_nearly_reached() {
        assert_eq!(mean_once_full(&[0, 4, 9, 10, 8], 10), 9.0);
        assert_eq!(mean_once_full(&[1, 1, 3, 5], 10), 4.0);
        assert_eq!(mean_once_full(&[], 10), 0.0);
    }

    #[test]
    fn the_first_calls_and_all_of_them_have_rates_of_their_own() {
        let start = Instant::now();
        let times = [0, 100, 200, 1_200].map(|ms| start + Duration::from_millis(ms));
        let (first, all) = dispatch_rates(&times, 3);
        assert!((first - 10.0).abs() < 1e-9 && (all - 2.5).abs() < 1e-9, "{first} {all}");
        assert_eq!(dispatch_rates(&times[..1], 3), (0.0, 0.0));
    }
}
