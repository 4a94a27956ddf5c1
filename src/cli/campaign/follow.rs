//! Follows a campaign until it comes to rest, however often the service goes away meanwhile.
//!
//! The campaign itself needs nobody to look at it. So a connection that breaks is no reason to give
//! up: the service is asked again, for a while.

use std::time::{Duration, Instant};

use actors::ids::CampaignId;
use serde_json::Value;

use crate::cli::service::{Service, ServiceError, Streamed};

use super::path;
use super::progress::Progress;
use super::screen::Screen;
use super::sse::Events;

/// The service gives a sign of life every fifteen seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// How long after a connection has ended the service is asked again; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// A service that is away for longer does not come back by itself.
const PATIENCE: Duration = Duration::from_secs(600);

/// Shows how a campaign gets on until nothing happens any more, and gives how it stands then.
pub(super) async fn follow(
    service: &Service,
    id: CampaignId,
    screen: &mut Screen,
) -> Result<Progress, ServiceError> {
    let mut absence = Absence::default();
    loop {
        let looked = look(service, id, screen).await;
        match looked {
            Ok(progress) => {
                if absence.is_over() {
                    screen.say("the service is back");
                }
                if progress.is_at_rest() {
                    return Ok(progress);
                }
                match listen(service, id, screen).await {
                    Heard::Rest(progress) => return Ok(progress),
                    // Too many listen already: looking does as well.
                    Heard::Refused => tokio::time::sleep(LONGEST_WAIT).await,
                    Heard::Lost(why) => {
                        absence.begin(screen, &why);
                        tokio::time::sleep(FIRST_WAIT).await;
                    }
                }
            }
            Err(error) if may_come_back(&error) => {
                absence.begin(screen, &error.to_string());
                match absence.wait(Instant::now()) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Shows how a campaign stands now.
async fn look(
    service: &Service,
    id: CampaignId,
    screen: &mut Screen,
) -> Result<Progress, ServiceError> {
    let told = service.ask(|| service.get(&path(id, ""))).await?;
    let progress = Progress::read(&told).ok_or(ServiceError::Unreadable("has no progress"))?;
    screen.show(&progress, &told);
    Ok(progress)
}

/// What came of listening.
enum Heard {
    /// Nothing happens any more.
    Rest(Progress),
    /// There was nothing to hear.
    Refused,
    /// The connection has ended before that.
    Lost(String),
}

async fn listen(service: &Service, id: CampaignId, screen: &mut Screen) -> Heard {
    match service.open_once(service.get(&path(id, "/events"))).await {
        Ok(stream) => match hear(stream, screen).await {
            Ok(progress) => Heard::Rest(progress),
            Err(why) => Heard::Lost(why),
        },
        Err(ServiceError::Unreachable { cause, .. }) => Heard::Lost(cause),
        Err(_) => Heard::Refused,
    }
}

async fn hear(mut stream: Streamed, screen: &mut Screen) -> Result<Progress, String> {
    let mut events = Events::default();
    loop {
        let due = screen.due();
        let bytes = tokio::select! {
            bytes = stream.next(SILENCE) => bytes.map_err(|error| error.to_string())?,
            () = tokio::time::sleep(due.unwrap_or(SILENCE)), if due.is_some() => {
                screen.catch_up();
                continue;
            }
        };
        let bytes = bytes.ok_or("it has ended the connection")?;
        for event in events.push(&bytes).map_err(|error| error.to_string())? {
            let told: Option<Value> = serde_json::from_str(&event.data).ok();
            let read = told.and_then(|told| Some((Progress::read(&told)?, told)));
            let (progress, told) = read.ok_or("an event of it cannot be read")?;
            screen.show(&progress, &told);
            if progress.is_at_rest() || event.name == "end" {
                return Ok(progress);
            }
        }
    }
}

/// Whether the same may be answered otherwise in a while.
fn may_come_back(error: &ServiceError) -> bool {
    let limited = matches!(error, ServiceError::Refused { status: 429, .. });
    limited || matches!(error, ServiceError::Unreachable { .. } | ServiceError::Failed { .. })
}

/// How long the service has been away.
#[derive(Debug, Default)]
struct Absence {
    since: Option<Instant>,
    waits: u32,
}

impl Absence {
    /// Says so, once.
    fn begin(&mut self, screen: &mut Screen, why: &str) {
        if self.since.is_none() {
            screen.say(&format!("lost the service ({why}); the campaign goes on; trying again"));
            self.since = Some(Instant::now());
        }
    }

    /// How long to wait before the service is asked again; nothing when that is pointless.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let wait = FIRST_WAIT.saturating_mul(1 << self.waits.min(8)).min(LONGEST_WAIT);
        self.waits += 1;
        (now.duration_since(since) < PATIENCE).then_some(wait)
    }

    /// It has answered. Says whether it had been away.
    fn is_over(&mut self) -> bool {
        std::mem::take(self).since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_away_is_asked_less_and_less_often_and_not_for_ever() {
        let start = Instant::now();
        let mut absence = Absence::default();
        let mut wait = |seconds| absence.wait(start + Duration::from_secs(seconds));
        let waits: Vec<_> = [0, 1, 3, 7, 15, 599].into_iter().filter_map(&mut wait).collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15].map(Duration::from_secs));
        assert_eq!(wait(600), None);
        assert!(absence.is_over(), "it had been away");
        assert!(!absence.is_over());
        let again = start + Duration::from_secs(601);
        assert_eq!(absence.wait(again), Some(FIRST_WAIT), "patience is new");
    }

    #[test]
    fn what_is_refused_is_refused_for_good() {
        let refused = |status| {
            let (message, details) = (String::new(), Value::Null);
            ServiceError::Refused { status, message, details }
        };
        assert!(may_come_back(&refused(429)));
        assert!(!may_come_back(&refused(401)) && !may_come_back(&refused(404)));
        assert!(may_come_back(&ServiceError::Failed { status: 500, message: String::new() }));
        assert!(!may_come_back(&ServiceError::NoKey));
    }
}
