//! Calls that Twilio has said nothing of for a while: it is asked how they stand.
//!
//! A callback may be lost, since Twilio repeats none by default, and a number's own calls have none
//! unless somebody configured one. Whatever is live here and silent is asked about, seldom and a
//! few at a time, and its actor is told as if a callback had come: the core never moves a call
//! backwards. A call that is stored as live here and has no actor is ended.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::web;
use actors::call::{CallStatus, EndReason};
use actors::call_session::{EndCall, PhoneNews};
use actors::ids::{CallId, CompanyId};
use actors::ports::{Telephony as _, VendorError};
use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::recovery;
use crate::startup::Context;
use crate::store::{CallRow, StoreError};

/// How many calls are asked about at a time: few beside the requests that place and end calls.
const AT_ONCE: usize = 4;
/// How long a company's calls are left alone when Twilio says that it is asked too often, and does
/// not say for how long.
const REST: SignedDuration = SignedDuration::from_secs(60);
/// The wait doubles this often at most.
const MOST_DOUBLINGS: u32 = 3;
/// How long what is known of calls may take to be written before they are looked at.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How often Twilio is asked about calls it is silent about.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often silent calls are looked for.
    pub every: Duration,
    /// How long a call that is not answered yet may be silent. The wait doubles with each question
    /// that brought nothing new, as it does below.
    pub unanswered: Duration,
    /// How long an answered call may be silent. Its media socket tells of its end as well.
    pub answered: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            every: Duration::from_secs(30),
            unanswered: Duration::from_secs(60),
            answered: Duration::from_secs(180),
        }
    }
}

/// The questions asked about one call since its row last changed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    last: Timestamp,
    times: u32,
}

/// When Twilio is to be asked about a call whose row last changed at `changed`.
fn due(pace: &Pace, status: CallStatus, changed: Timestamp, asked: Option<Asked>) -> Timestamp {
    let patience = match status {
        CallStatus::InProgress => pace.answered,
        _ => pace.unanswered,
    };
    let (since, doublings) = match asked {
        Some(asked) if asked.last > changed => (asked.last, asked.times.min(MOST_DOUBLINGS)),
        _ => (changed, 0),
    };
    let patience = SignedDuration::try_from(patience * (1 << doublings));
    since.checked_add(patience.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// Looks for silent calls, for good.
pub(crate) async fn run(context: web::Data<Context>, pace: Pace) {
    let mut ticks = tokio::time::interval(pace.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rounds = Rounds { context, pace, asked: HashMap::new(), resting: HashMap::new() };
    loop {
        ticks.tick().await;
        if let Err(error) = rounds.round().await {
            warn!(%error, "silent calls could not be looked for");
        }
    }
}

struct Rounds {
    context: web::Data<Context>,
    pace: Pace,
    /// Of calls that are still live.
    asked: HashMap<CallId, Asked>,
    /// Until when Twilio is not to be asked in the name of these.
    resting: HashMap<CompanyId, Timestamp>,
}

impl Rounds {
    async fn round(&mut self) -> Result<(), StoreError> {
        // A call that has just ended here must not look like one that nobody looks after.
        if !self.context.journal.flush(FLUSH_LIMIT).await {
            return Ok(());
        }
        let live = self.context.store.live_calls_of_node(self.context.node).await?;
        let now = Timestamp::now();
        self.asked.retain(|id, _| live.iter().any(|row| row.id == *id));
        self.resting.retain(|_, until| *until > now);
        let silent: Vec<CallRow> = live
            .into_iter()
            .filter(|row| {
                let asked = self.asked.get(&row.id).copied();
                due(&self.pace, row.status, row.updated_at, asked) <= now
                    && !self.resting.contains_key(&row.company)
            })
            .collect();
        for row in &silent {
            let asked = self.asked.entry(row.id).or_insert(Asked { last: now, times: 0 });
            let times = if asked.last > row.updated_at { asked.times + 1 } else { 1 };
            *asked = Asked { last: now, times };
        }
        let context = &self.context;
        let answers = stream::iter(silent).map(|row| async move {
            let company = row.company;
            (company, look_after(context, row).await)
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(AT_ONCE));
        while let Some((company, answer)) = answers.next().await {
            let Err(error) = answer else { continue };
            warn!(%company, %error, "Twilio does not say how a call stands");
            if let Some(retry_after) = error.busy() {
                let rest = retry_after.and_then(|after| SignedDuration::try_from(after).ok());
                let until = Timestamp::now().checked_add(rest.unwrap_or(REST));
                self.resting.insert(company, until.unwrap_or(Timestamp::MAX));
            }
        }
        Ok(())
    }
}

/// Finds out how one silent call stands, and tells whom it concerns.
async fn look_after(context: &web::Data<Context>, row: CallRow) -> Result<(), VendorError> {
    let id = row.id;
    let Some((account, call)) = context.registry.get(id) else {
        recovery::end_orphan(context.clone(), row, EndReason::InternalError).await;
        return Ok(());
    };
    // One that is still being dialled is looked for by its actor.
    let Some(call_sid) = row.call_sid else { return Ok(()) };
    let told = match context.telephony.fetch(&account, &call_sid).await? {
        Some(phone) if row.status.may_become(phone.status) => {
            let status = phone.status;
            info!(call.id = %id, call.status = %status, "Twilio says when asked: call {id} is {status}");
            call.send(PhoneNews { call_sid, status, answered_by: None }).await
        }
        Some(_) => return Ok(()),
        None => {
            warn!(call.id = %id, call.sid = %call_sid, "Twilio does not know call {id} any more");
            call.send(EndCall(EndReason::PhoneLost)).await
        }
    };
    if told.is_err() {
        warn!(call.id = %id, "call {id} died while Twilio was asked about it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        every: Duration::from_secs(30),
        unanswered: Duration::from_secs(60),
        answered: Duration::from_secs(180),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn asked(seconds: i64, times: u32) -> Option<Asked> {
        Some(Asked { last: at(seconds), times })
    }

    #[test]
    fn an_answered_call_is_left_alone_for_longer() {
        for status in [CallStatus::Initiated, CallStatus::Ringing] {
            assert_eq!(due(&PACE, status, at(1_000), None), at(1_060));
        }
        assert_eq!(due(&PACE, CallStatus::InProgress, at(1_000), None), at(1_180));
    }

    #[test]
    fn the_wait_doubles_until_there_is_news() {
        let due = |changed, asked| due(&PACE, CallStatus::Ringing, at(changed), asked);
        assert_eq!(due(1_000, asked(1_060, 1)), at(1_180));
        assert_eq!(due(1_000, asked(1_180, 2)), at(1_420));
        assert_eq!(due(1_000, asked(2_000, 3)), at(2_480));
        assert_eq!(due(1_000, asked(9_000, 50)), at(9_480), "but not for ever");
        assert_eq!(due(1_500, asked(1_420, 3)), at(1_560), "news begins it anew");
    }
}
