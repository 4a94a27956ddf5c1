//! Requests by the clock, whether or not those before are answered.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::routes::Route;

/// Longest wait for an answer: it is an error then.
const LIMIT: Duration = Duration::from_secs(30);

/// How one request went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From when it was due to the last byte of its answer.
    pub(crate) took: Duration,
    /// What was wrong with the answer.
    pub(crate) error: Option<String>,
}

/// Sends `count` requests of a route, `rate` a second.
pub(crate) async fn drive(base: &str, route: Arc<Route>, rate: u32, count: u32) -> Vec<Outcome> {
    let (done, outcomes) = oneshot::channel();
    let base = base.to_owned();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let sent = runtime.expect("a runtime").block_on(send_all(base, route, rate, count));
        // Nobody waits for the outcomes of a measurement that was given up.
        let _ = done.send(sent);
    });
    outcomes.await.expect("the thread of the requests does not panic")
}

async fn send_all(base: String, route: Arc<Route>, rate: u32, count: u32) -> Vec<Outcome> {
    let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build().expect("a client");
    let mut due = by_the_clock(rate, count);
    let mut requests = tokio::task::JoinSet::new();
    while let Some((number, due)) = due.recv().await {
        let (client, base, route) = (client.clone(), base.clone(), route.clone());
        requests.spawn(async move {
            let error = send(&client, &base, &route, number).await.err();
            Outcome { took: due.elapsed(), error }
        });
    }
    requests.join_all().await
}

/// Says when each request is due, at that time. A thread sleeps to a tenth of a millisecond, where
/// tokio's timers know whole ones.
fn by_the_clock(rate: u32, count: u32) -> mpsc::UnboundedReceiver<(u32, Instant)> {
    let (tell, due) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let start = Instant::now();
        for number in 0..count {
            let at = start + Duration::from_secs(1) * number / rate;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if tell.send((number, at)).is_err() {
                return;
            }
        }
    });
    due
}

async fn send(
    client: &reqwest::Client,
    base: &str,
    route: &Route,
    number: u32,
) -> Result<(), String> {
    let answer = route.request(client, base, number).send().await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(|error| error.to_string())?;
    match status == route.expected {
        true => Ok(()),
        false => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}
