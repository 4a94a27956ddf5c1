//! Places calls and ends them on an absolute schedule, over the service's own API.
//!
//! A request's time counts from the moment it was due, not from when it was sent, so that waiting
//! for a slow service or a busy generator is part of it; by how much requests were sent too late is
//! told beside it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::figures::micros;
use super::plan::{Act, Due};
use super::probe::histogram;
use super::watch::View;
use crate::twilio::SimCall;

/// How long a phone is silent before it hangs up, so that what it said can arrive.
const LAST_SILENCE: Duration = Duration::from_millis(500);

/// Asks a service for calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) initiate_url: String,
    pub(crate) key: String,
    pub(crate) view: View,
    /// Calls asked for so far.
    pub(crate) next: u32,
}

/// How requests of one rate went.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// From when a request was due until its answer had been read.
    pub(crate) times: Histogram<u64>,
    /// From when it was due until it was sent.
    pub(crate) lateness: Histogram<u64>,
    pub(crate) refusals: Vec<String>,
    pub(crate) sent: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Asked { times: histogram(), lateness: histogram(), refusals: Vec::new(), sent: 0 }
    }
}

impl Asked {
    /// Counts another's requests with its own.
    pub(crate) fn add(&mut self, other: &Asked) {
        self.times.add(&other.times).expect("both have the same bounds");
        self.lateness.add(&other.lateness).expect("both have the same bounds");
        self.refusals.extend(other.refusals.iter().cloned());
        self.sent += other.sent;
    }
}

/// How one request went.
struct Outcome {
    rate: usize,
    late: Duration,
    answer: Result<Duration, String>,
}

impl Caller {
    /// Carries a schedule out; what was asked at each rate is told apart.
    pub(crate) async fn carry_out(&mut self, schedule: &[Due], began: Instant) -> Vec<Asked> {
        let mut requests = JoinSet::new();
        let mut endings = JoinSet::new();
        let mut youngest: Vec<SimCall> = Vec::new();
        for due in schedule {
            let at = began + due.at;
            sleep_until(at.into()).await;
            match due.what {
                Act::Place { rate } => {
                    youngest.clear();
                    let request = self.request();
                    requests.spawn(outcome(request, rate, at, self.view.clone()));
                }
                Act::HangUp => {
                    if youngest.is_empty() {
                        youngest = self.view.twilio.calls();
                        youngest.retain(|call| !call.is_over());
                    }
                    if let Some(call) = youngest.pop() {
                        endings.spawn(end(call));
                    }
                }
            }
        }
        let mut asked: Vec<Asked> = Vec::new();
        while let Some(outcome) = requests.join_next().await {
            // A request that panicked has not been answered.
            let outcome = outcome.unwrap_or_else(|error| Outcome {
                rate: 0,
                late: Duration::ZERO,
                answer: Err(error.to_string()),
            });
            if asked.len() <= outcome.rate {
                asked.resize_with(outcome.rate + 1, Asked::default);
            }
            let of_rate = &mut asked[outcome.rate];
            of_rate.sent += 1;
            of_rate.lateness.saturating_record(micros(outcome.late));
            match outcome.answer {
                Ok(time) => of_rate.times.saturating_record(micros(time)),
                Err(why) => of_rate.refusals.push(why),
            }
        }
        while endings.join_next().await.is_some() {}
        asked
    }

    /// Places one call, now.
    pub(crate) async fn place_one(&mut self) -> Result<(), String> {
        let request = self.request();
        outcome(request, 0, Instant::now(), self.view.clone()).await.answer.map(drop)
    }

    fn request(&mut self) -> reqwest::RequestBuilder {
        let body = json!({ "companyId": 1, "destinationNumber": number(self.next) });
        self.next += 1;
        self.http.post(&self.initiate_url).header("X-API-Key", &self.key).json(&body)
    }
}

async fn outcome(
    request: reqwest::RequestBuilder,
    rate: usize,
    due: Instant,
    view: View,
) -> Outcome {
    let late = due.elapsed();
    view.tally.placed.fetch_add(1, Ordering::Relaxed);
    let answer = answered(request).await.map(|()| due.elapsed());
    if answer.is_err() {
        view.tally.failed.fetch_add(1, Ordering::Relaxed);
    }
    Outcome { rate, late, answer }
}

/// Sends one request and reads its answer.
async fn answered(request: reqwest::RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(()) } else { Err(format!("{status}: {body}")) }
}

/// Ends a call from the phone's side, after what it said has arrived.
async fn end(call: SimCall) {
    call.fall_silent();
    sleep(LAST_SILENCE).await;
    call.hang_up();
}

/// Whom call number `n` is for. Numbers whose last seven digits are 555-0100 to 555-0199 are set
/// aside for fiction, in every area code: should all else fail, nobody is called.
pub(crate) fn number(n: u32) -> String {
    let (area, line) = (n / 100 % 800, n % 100);
    format!("+1{}55501{line:02}", 200 + area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_number_of_its_own_and_none_is_anybodys() {
        let numbers: std::collections::HashSet<_> = (0..80_000).map(number).collect();
        assert_eq!(numbers.len(), 80_000);
        assert!(numbers.iter().all(|number| number.len() == 12 && &number[5..10] == "55501"));
        assert_eq!((number(0), number(79_999)), ("+12005550100".into(), "+19995550199".into()));
    }
}
