//! The book of one campaign, kept in the database.
//!
//! Everything here goes on trying while the database is away: a recipient that is being called must
//! not be forgotten, and one that may have been claimed must not be claimed for another call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::web;
use actors::call::CallEnd;
use actors::call_session::{CallSpec, PhoneLeg};
use actors::campaign::scheduler::Rules;
use actors::campaign::zone_groups::{ZoneGroup, ZoneGroups};
use actors::campaign::{Limits, Recipient, RecipientState, Refusal};
use actors::campaign_book::{Begin, CampaignBook, EndedCall, Loaded, Standing, Wanted, Write};
use actors::ids::{CallId, CampaignId, PhoneNumber};
use actors::ports::{AgentSource, UltravoxAccount, Urgency};
use actors::registry::NotAccepted;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tracing::{error, warn};

use crate::api::agent_source;
use crate::startup::Context;
use crate::store::{
    AgentStatus, CampaignRow, CampaignState, Claimed, ClaimedCall, ScheduledRecipient, SettledCall,
    Settlement, StoreError, UltravoxConfig,
};
use crate::webhooks::paths;

use super::settings::CampaignSettings;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Recipients that are read at a time: few enough that what they pass through takes little memory,
/// however large the campaign is.
const PAGE: u32 = 500;
/// Recipients that are settled in one transaction.
const BATCH: usize = 200;

/// The rules of a campaign cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    /// Written by a newer version, or by hand.
    #[error("the rules of campaign {0} cannot be read: {1}")]
    Settings(CampaignId, String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The book of one campaign.
pub(super) struct Book {
    context: web::Data<Context>,
    campaign: CampaignRow,
    settings: CampaignSettings,
    last: Mutex<Last>,
}

/// What was seen and stored last.
struct Last {
    standing: Standing,
    pace: usize,
}

impl Book {
    /// Opens the book of a campaign of this node.
    pub(super) async fn open(
        context: web::Data<Context>,
        campaign: CampaignRow,
    ) -> Result<(Book, Loaded), BookError> {
        let id = campaign.id;
        let settings = read(&campaign)?;
        let limits = limits(&context, &campaign, &settings).await?;
        let orders = wanted(&campaign);
        let started = campaign.started_at.unwrap_or(campaign.created_at);
        let expires_at = settings.time_to_live_seconds.map(|seconds| {
            let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            started.saturating_add(seconds).unwrap_or(Timestamp::MAX)
        });
        let rules = Rules {
            retries: (&settings.retries).into(),
            expires_at,
            on_break: settings.origin.on_break(),
        };
        let mut hours = ZoneGroups::new(settings.hours.clone());
        let everybody = usize::try_from(campaign.recipients).unwrap_or_default();
        let (mut waiting, mut calling) = (Vec::with_capacity(everybody), Vec::new());
        for state in [RecipientState::Waiting, RecipientState::Calling] {
            let mut after = 0;
            loop {
                let page = context.store.recipients_to_schedule(id, state, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.recipient.seq;
                for scheduled in page {
                    let recipient = grouped(&mut hours, &scheduled);
                    match (state, scheduled.call) {
                        (RecipientState::Calling, Some(call)) => calling.push((recipient, call)),
                        _ => waiting.push(recipient),
                    }
                }
            }
        }
        // The row of a campaign that runs is changed by pauses, and by new rules at most.
        let is_resumed = campaign.started_at.is_some_and(|at| at != campaign.updated_at);
        let loaded = Loaded { limits, rules, hours, orders, is_resumed, waiting, calling };
        let last = Last { standing: Standing::Ours(orders, limits), pace: 0 };
        Ok((Book { context, campaign, settings, last: Mutex::new(last) }, loaded))
    }

    /// Says what is needed to call one recipient, or why nobody is to be.
    async fn prepare(&self, seq: u32) -> Result<Result<Prepared, Refusal>, StoreError> {
        let (store, company) = (&self.context.store, self.campaign.company);
        let hopeless = |cause: String| Ok(Err(Refusal::Hopeless { cause }));
        let Some(twilio) = store.twilio_account(company).await? else {
            return hopeless("Twilio configuration not found".to_owned());
        };
        let Some(ultravox) = store.ultravox_config(company).await? else {
            return hopeless("Ultravox configuration not found".to_owned());
        };
        let found = store.recipients(self.campaign.id, None, seq.saturating_sub(1), 1).await?;
        let Some(row) = found.into_iter().next().filter(|row| row.seq == seq) else {
            return Ok(Err(Refusal::NotThisOne(RecipientState::Expired)));
        };
        let Ok(to) = row.number.parse::<PhoneNumber>() else {
            return Ok(Err(Refusal::NotThisOne(RecipientState::Invalid)));
        };
        if let Some(prefixes) = store.allowed_prefixes(company).await?
            && !prefixes.iter().any(|prefix| to.as_str().starts_with(prefix))
        {
            return Ok(Err(Refusal::NotThisOne(RecipientState::Invalid)));
        }
        let account = ultravox.account.clone();
        let agent = match (&self.settings.twiml_url, &self.campaign.agent) {
            (Some(_), _) => None,
            (None, None) => Some(of_company(ultravox)),
            (None, Some(id)) => match store.agent(company, id).await? {
                None => return hopeless(format!("agent {id} is not there any more")),
                Some(agent) if agent.status != AgentStatus::Active => {
                    return hopeless(format!("agent {id} is {}", agent.status));
                }
                Some(agent) => {
                    let mut given = self.settings.template_context.clone();
                    given.extend(own_context(row.context.as_deref()));
                    match agent_source(&agent, given) {
                        Ok(source) => Some(source),
                        Err(error) => {
                            return Ok(Err(Refusal::Failed { cause: error.to_string() }));
                        }
                    }
                }
            },
        };
        Ok(Ok(Prepared { twilio, account, to, agent }))
    }

    async fn try_to_begin(&self, seq: u32, attempt: u8, call: CallId) -> Result<Begin, StoreError> {
        let prepared = match self.prepare(seq).await? {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Begin::Refused(refusal)),
        };
        let claim = ClaimedCall {
            id: call,
            node: self.context.node,
            from: prepared.twilio.phone_number.clone(),
            agent: self.campaign.agent.clone(),
            at: Timestamp::now(),
        };
        let store = &self.context.store;
        Ok(match store.claim_recipient(self.campaign.id, seq, attempt, &claim).await? {
            Claimed::Yes { .. } => Begin::Call(Box::new(self.spec(call, prepared))),
            Claimed::DoNotCall => Begin::Refused(Refusal::NotThisOne(RecipientState::DoNotCall)),
            Claimed::NotRunning => Begin::NotRunning,
            Claimed::Gone => Begin::Gone,
        })
    }

    fn spec(&self, id: CallId, prepared: Prepared) -> CallSpec {
        let Prepared { twilio, account, to, agent } = prepared;
        let (context, settings) = (&self.context, &self.settings);
        let url = |path: String| context.public_url.http(&path);
        let answer_url = settings.twiml_url.clone();
        CallSpec {
            id,
            company: self.campaign.company,
            twilio,
            phone: PhoneLeg::Outbound {
                to,
                answer_url: answer_url.unwrap_or_else(|| url(paths::answer(id))),
                status_url: url(paths::status(id)),
                machine_url: url(paths::machine(id)),
                ring_timeout: seconds_or(settings.ring_timeout_seconds, context.ring_timeout),
                urgency: Urgency::Campaign,
                detection: settings.answering_machine.clone(),
            },
            max_duration: seconds_or(settings.max_call_seconds, context.max_call),
            ultravox: account,
            offers_do_not_call: agent.is_some(),
            agent,
        }
    }

    async fn store(&self, writes: &[Write]) -> Result<(), StoreError> {
        let (store, id) = (&self.context.store, self.campaign.id);
        let mut settlements = Vec::new();
        for write in writes {
            if let Write::Settle { .. } = write {
                settlements.extend(self.settlement(write));
                if settlements.len() < BATCH {
                    continue;
                }
            }
            store
                .settle_recipients(id, &std::mem::take(&mut settlements), Timestamp::now())
                .await?;
            match write {
                Write::Settle { .. } => {}
                Write::SettleWaiting { state, detail } => {
                    let now = Timestamp::now();
                    store.settle_waiting(id, *state, detail.as_deref(), now).await?;
                }
                Write::Pause { cause } => {
                    let (from, to) = (&[CampaignState::Running], CampaignState::Paused);
                    store.move_campaign(id, from, to, Some(cause), Timestamp::now()).await?;
                }
            }
        }
        store.settle_recipients(id, &settlements, Timestamp::now()).await
    }

    fn settlement(&self, write: &Write) -> Option<Settlement> {
        let Write::Settle { seq, state, attempts, due, call } = write else { return None };
        let end = call.as_ref().map(|EndedCall { call_sid, join_url, end }| SettledCall {
            call_sid: call_sid.clone(),
            join_url: join_url.clone().filter(|_| self.settings.origin.is_bulk()),
            reason: end.reason.as_str().to_owned(),
            detail: end.detail.clone(),
            answered_by: end.answered_by,
            duration: end.duration,
        });
        Some(Settlement { seq: *seq, state: *state, attempts: *attempts, due: *due, end })
    }

    async fn try_to_look(&self, pace: usize) -> Result<Standing, BookError> {
        let store = &self.context.store;
        let Some(row) = store.campaign(self.campaign.id).await? else {
            return Ok(Standing::NotOurs);
        };
        let is_ours = row.node == Some(self.context.node);
        if !is_ours || row.state.is_final() || row.state == CampaignState::Loading {
            return Ok(Standing::NotOurs);
        }
        let settings = read(&row)?;
        let limits = limits(&self.context, &row, &settings).await?;
        let only_limits = CampaignSettings {
            max_concurrent_calls: self.settings.max_concurrent_calls,
            max_cps: self.settings.max_cps,
            ..settings
        };
        if only_limits != self.settings {
            return Ok(Standing::Changed);
        }
        let known = self.last().pace;
        if known != pace {
            #[expect(clippy::cast_precision_loss, reason = "a count of a minute is small")]
            store.set_campaign_pace(row.id, pace as f64).await?;
            self.last().pace = pace;
        }
        Ok(Standing::Ours(wanted(&row), limits))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Prepared {
    twilio: actors::ports::TwilioAccount,
    account: UltravoxAccount,
    to: PhoneNumber,
    agent: Option<AgentSource>,
}

#[async_trait]
impl CampaignBook for Book {
    async fn begin(&self, seq: u32, attempt: u8, call: CallId) -> Begin {
        let begun = patiently(|| self.try_to_begin(seq, attempt, call)).await;
        begun.unwrap_or_else(|error| Begin::Refused(Refusal::Hopeless { cause: error.to_string() }))
    }

    fn not_accepted(&self, call: CallId) {
        // The node has no room, or is shutting down; either way nobody was dialled.
        let refusal = match self.context.registry.has_room() {
            Err(refusal) => refusal,
            Ok(()) => NotAccepted::Full { limit: self.context.registry.count() },
        };
        self.context.record_refusal(call, refusal);
    }

    async fn write(&self, writes: Vec<Write>) {
        let written = patiently(|| self.store(&writes)).await;
        if let Err(error) = written {
            let id = self.campaign.id;
            error!(campaign.id = %id, %error, "what became of calls of campaign {id} is lost");
        }
        for write in &writes {
            if let Write::Settle { state, .. } = write
                && state.is_final()
            {
                self.context.metrics.campaign_call(*state);
            }
        }
    }

    async fn look(&self, finished_in_a_minute: usize) -> Standing {
        match self.try_to_look(finished_in_a_minute).await {
            Ok(standing) => {
                self.last().standing = standing.clone();
                standing
            }
            // What was known goes on to be true while the database is away.
            Err(error) => {
                let id = self.campaign.id;
                warn!(campaign.id = %id, %error, "campaign {id} could not be looked at");
                self.last().standing.clone()
            }
        }
    }

    async fn ends(&self, calls: Vec<CallId>) -> Vec<(CallId, EndedCall)> {
        match self.context.store.ends_of_calls(&calls).await {
            Ok(ends) => {
                let ended = |(call, end, call_sid): (CallId, CallEnd, _)| {
                    (call, EndedCall { call_sid, join_url: None, end })
                };
                ends.into_iter().map(ended).collect()
            }
            Err(error) => {
                let id = self.campaign.id;
                warn!(campaign.id = %id, %error, "calls of campaign {id} could not be looked at");
                Vec::new()
            }
        }
    }

    async fn complete(&self) {
        let id = self.campaign.id;
        let ends = [
            (&[CampaignState::Canceling][..], CampaignState::Canceled),
            (&[CampaignState::Running, CampaignState::Paused], CampaignState::Completed),
        ];
        for (from, to) in ends {
            let store = &self.context.store;
            let moved = patiently(|| store.move_campaign(id, from, to, None, Timestamp::now()));
            if let Err(error) = moved.await {
                error!(campaign.id = %id, %error, "the end of campaign {id} is not stored");
            }
        }
        if let Err(error) = self.context.store.set_campaign_pace(id, 0.0).await {
            warn!(campaign.id = %id, %error, "the pace of campaign {id} is not stored");
        }
    }

    async fn release(&self) {
        let (store, id, node) = (&self.context.store, self.campaign.id, self.context.node);
        if let Err(error) = store.release_campaign(id, node).await {
            warn!(campaign.id = %id, %error, "campaign {id} is left when this node is gone");
        }
    }
}

/// Does something as often as it takes while the database is away.
async fn patiently<T, F>(work: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = FIRST_RETRY;
    loop {
        match work().await {
            Err(error) if error.is_unavailable() => {
                warn!(%error, "a campaign waits for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_RETRY);
            }
            done => return done,
        }
    }
}

fn read(campaign: &CampaignRow) -> Result<CampaignSettings, BookError> {
    serde_json::from_str(&campaign.settings)
        .map_err(|error| BookError::Settings(campaign.id, error.to_string()))
}

fn wanted(campaign: &CampaignRow) -> Wanted {
    match campaign.state {
        CampaignState::Paused => Wanted::Pause,
        CampaignState::Canceling => Wanted::Cancel { end_calls: campaign.end_calls },
        _ => Wanted::Run,
    }
}

/// The campaign's own limits, and never faster than the company may dial.
async fn limits(
    context: &Context,
    campaign: &CampaignRow,
    settings: &CampaignSettings,
) -> Result<Limits, StoreError> {
    let company = context.store.max_cps(campaign.company).await?.unwrap_or(context.max_cps);
    Ok(Limits {
        max_concurrent_calls: settings.max_concurrent_calls,
        max_cps: settings.max_cps.map_or(company, |own| own.min(company)),
    })
}

fn grouped(hours: &mut ZoneGroups, scheduled: &ScheduledRecipient) -> Recipient {
    let group = scheduled.number.parse::<PhoneNumber>().ok().and_then(|number| {
        // A zone that is not known any more, after an update: the campaign's own counts.
        hours.group(scheduled.timezone.as_deref(), &number).ok()
    });
    Recipient { group: group.unwrap_or(ZoneGroup::default()), ..scheduled.recipient }
}

fn of_company(config: UltravoxConfig) -> AgentSource {
    let UltravoxConfig { system_prompt, model, voice, first_speaker, .. } = config;
    AgentSource::Inline { system_prompt, model, voice, first_speaker }
}

fn own_context(json: Option<&str>) -> Map<String, Value> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn seconds_or(own: Option<u32>, default: Duration) -> Duration {
    own.map_or(default, |seconds| Duration::from_secs(u64::from(seconds)))
}
