//! Whom a campaign calls: one row a recipient, from the upload to its final state.
//!
//! A recipient is claimed and its call stored in one transaction, which also says that this node
//! still runs the campaign: so nobody is dialled twice, whoever dies when. What is counted of
//! recipients is counted in the transaction that writes them.

use std::collections::BTreeMap;

use actors::call::CallEnd;
use actors::campaign::zone_groups::ZoneGroup;
use actors::campaign::{Recipient, RecipientState};
use actors::ids::{AgentId, CallId, CallSid, CampaignId};
use jiff::Timestamp;
use sqlx::QueryBuilder;

use super::Store;
use super::campaigns::{ANSWERED_BY, MAY_DIAL};
use super::error::StoreError;
use super::pools::{Locking, in_transaction, locking, on_pool};
use super::recipient_rows::{
    Claimed, ClaimedCall, NewRecipient, RawClaim, RawEnd, RawRecipient, RawScheduled, RecipientRow,
    ScheduledRecipient, Settlement, Standing, join_url_of, small,
};
use super::rows::Row;

/// Rows of one transaction: few enough that it is over in milliseconds, others get their turn, and what
/// is bound takes little memory.
const BATCH: usize = 100;

const COUNT: &str = "INSERT INTO campaign_counts (campaign_id, name, count) VALUES ($1, $2, $3) \
     ON CONFLICT (campaign_id, name) DO UPDATE SET count = campaign_counts.count + excluded.count";
const INSERT: &str = "INSERT INTO campaign_calls (campaign_id, seq, number, context, timezone, \
     priority, not_before, due_at, state, detail, updated_at) ";
const ADD_ROWS: &str = "UPDATE campaigns SET recipients = recipients + $2 WHERE id = $1";
const TO_SCHEDULE: &str = "SELECT seq, number, timezone, priority, state, attempts, due_at, call_id \
     FROM campaign_calls WHERE campaign_id = $1 AND state = $2 AND seq > $3 \
     ORDER BY seq LIMIT $4";
const CLAIM: &str = "UPDATE campaign_calls SET state = 'calling', attempts = $3, call_id = $4, \
     call_sid = NULL, join_url = NULL, reason = NULL, detail = NULL, answered_by = NULL, \
     duration_ms = NULL, updated_at = $5 WHERE campaign_id = $1 AND seq = $2";
const TO_CLAIM: Locking = locking!(
    "SELECT number, context, state, call_id FROM campaign_calls \
     WHERE campaign_id = $1 AND seq = $2",
    "FOR UPDATE"
);
const IS_DO_NOT_CALL: &str = "SELECT number FROM do_not_call WHERE company_id = $1 AND number = $2";
const INSERT_CALL: &str = "INSERT INTO calls (id, company_id, node_id, direction, to_number, \
     from_number, agent_id, campaign_id, campaign_seq, status, created_at, updated_at) \
     VALUES ($1, $2, $3, 'outbound', $4, $5, $6, $7, $8, 'initiated', $9, $9) \
     ON CONFLICT (id) DO NOTHING";
const STATE_OF: Locking =
    locking!("SELECT state FROM campaign_calls WHERE campaign_id = $1 AND seq = $2", "FOR UPDATE");
/// `$12` says whether there was a call.
const SETTLE: &str = "UPDATE campaign_calls SET state = $3, attempts = $4, due_at = $5, \
     call_sid = CASE WHEN $12 THEN $6 ELSE call_sid END, \
     join_url = CASE WHEN $12 THEN $7 ELSE join_url END, \
     reason = CASE WHEN $12 THEN $8 ELSE reason END, \
     detail = CASE WHEN $12 THEN $9 ELSE detail END, \
     answered_by = CASE WHEN $12 THEN $10 ELSE answered_by END, \
     duration_ms = CASE WHEN $12 THEN $11 ELSE duration_ms END, updated_at = $13 \
     WHERE campaign_id = $1 AND seq = $2";
/// Up to a place that is found once: PostgreSQL may ask a list of places again for every row. The
/// state is asked for twice, since rows may change while their locks are waited for.
const SETTLE_SOME_WAITING: &str = "UPDATE campaign_calls SET state = $2, updated_at = $3, \
     detail = $4 WHERE campaign_id = $1 AND state = 'waiting' AND seq <= (SELECT max(seq) FROM \
     (SELECT seq FROM campaign_calls WHERE campaign_id = $1 AND state = 'waiting' \
     ORDER BY seq LIMIT 5000) AS some_waiting)";
const ENDS: &str = "SELECT id, status, end_reason, detail, duration_ms, answered_by, call_sid \
     FROM calls WHERE end_reason IS NOT NULL AND id IN (";
macro_rules! columns {
    () => {
        "seq, number, context, timezone, priority, state, attempts, due_at, call_id, call_sid, \
         join_url, reason, detail, answered_by, duration_ms, updated_at"
    };
}
const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM campaign_calls WHERE campaign_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
);
const PAGE_OF_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM campaign_calls WHERE campaign_id = $1 AND state = $4 AND seq > $2 ORDER BY seq LIMIT $3"
);

#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    ADD_ROWS,
    TO_SCHEDULE,
    CLAIM,
    TO_CLAIM.sqlite,
    IS_DO_NOT_CALL,
    STATE_OF.sqlite,
    SETTLE,
    SETTLE_SOME_WAITING,
    PAGE,
    PAGE_OF_STATE,
];

impl Store {
    /// Adds recipients to a campaign that is being filled.
    pub async fn add_recipients(
        &self,
        campaign: CampaignId,
        recipients: &[NewRecipient],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = campaign.to_string();
        for batch in recipients.chunks(BATCH) {
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for recipient in batch {
                *counts.entry(recipient.state.as_str()).or_default() += 1;
            }
            in_transaction!(self, |tx| {
                let mut insert = QueryBuilder::new(INSERT);
                insert.push_values(batch, |mut row, recipient| {
                    let not_before = recipient.not_before.map(Timestamp::as_millisecond);
                    row.push_bind(&id)
                        .push_bind(i64::from(recipient.seq))
                        .push_bind(&recipient.number)
                        .push_bind(&recipient.context)
                        .push_bind(&recipient.timezone)
                        .push_bind(i64::from(recipient.priority))
                        .push_bind(not_before)
                        .push_bind(not_before)
                        .push_bind(recipient.state.as_str())
                        .push_bind(&recipient.detail)
                        .push_bind(now.as_millisecond());
                });
                insert.build().execute(&mut *tx).await?;
                for (name, count) in &counts {
                    let query = sqlx::query(COUNT).bind(&id).bind(*name).bind(*count);
                    query.execute(&mut *tx).await?;
                }
                let rows = counts.values().sum::<i64>();
                sqlx::query(ADD_ROWS).bind(&id).bind(rows).execute(&mut *tx).await?;
            })?;
        }
        Ok(())
    }

    /// A page of recipients in one of the two states that are not final, in the upload's order.
    pub async fn recipients_to_schedule(
        &self,
        campaign: CampaignId,
        state: RecipientState,
        after: u32,
        limit: u32,
    ) -> Result<Vec<ScheduledRecipient>, StoreError> {
        let raw: Vec<RawScheduled> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(TO_SCHEDULE).bind(campaign.to_string());
            let query = query.bind(state.as_str()).bind(i64::from(after)).bind(i64::from(limit));
            Ok(query.fetch_all(db).await?)
        })?;
        let id = campaign.to_string();
        let row = Row { kind: "recipient of campaign", id: &id };
        raw.into_iter()
            .map(|raw| {
                Ok(ScheduledRecipient {
                    recipient: Recipient {
                        seq: small(raw.seq),
                        priority: i32::try_from(raw.priority).unwrap_or_default(),
                        group: ZoneGroup::default(),
                        attempts: u8::try_from(raw.attempts).unwrap_or(u8::MAX),
                        due: raw.due_at.map(|ms| row.time("due_at", ms)).transpose()?,
                    },
                    number: raw.number,
                    timezone: raw.timezone,
                    call: raw.call_id.map(|id| row.parse("call_id", &id)).transpose()?,
                })
            })
            .collect()
    }

    /// Claims a recipient for a call, and stores the call: both or neither. Claiming again for the
    /// same call changes nothing.
    pub async fn claim_recipient(
        &self,
        campaign: CampaignId,
        seq: u32,
        attempt: u8,
        call: &ClaimedCall,
    ) -> Result<Claimed, StoreError> {
        let (id, me, call_id) = (campaign.to_string(), call.node.to_string(), call.id.to_string());
        let (may_dial, to_claim) = (MAY_DIAL.on(&self.pools), TO_CLAIM.on(&self.pools));
        in_transaction!(self, |tx| {
            let query = sqlx::query_scalar(may_dial).bind(&id).bind(&me);
            let company: Option<i64> = query.fetch_optional(&mut *tx).await?;
            let query = sqlx::query_as(to_claim).bind(&id).bind(i64::from(seq));
            let found: Option<RawClaim> = query.fetch_optional(&mut *tx).await?;
            let standing = Standing::of(company, found, &call_id);
            match standing {
                Standing::NotRunning => Claimed::NotRunning,
                Standing::Gone => Claimed::Gone,
                Standing::Claimed(found) => found.claimed(&id)?,
                Standing::Waiting(company, found) => {
                    let query = sqlx::query(IS_DO_NOT_CALL).bind(company).bind(&found.number);
                    if query.fetch_optional(&mut *tx).await?.is_some() {
                        Claimed::DoNotCall
                    } else {
                        sqlx::query(CLAIM)
                            .bind(&id)
                            .bind(i64::from(seq))
                            .bind(i64::from(attempt))
                            .bind(&call_id)
                            .bind(call.at.as_millisecond())
                            .execute(&mut *tx)
                            .await?;
                        sqlx::query(INSERT_CALL)
                            .bind(&call_id)
                            .bind(company)
                            .bind(&me)
                            .bind(&found.number)
                            .bind(call.from.as_str())
                            .bind(call.agent.as_ref().map(AgentId::as_str))
                            .bind(&id)
                            .bind(i64::from(seq))
                            .bind(call.at.as_millisecond())
                            .execute(&mut *tx)
                            .await?;
                        for (name, change) in moved(RecipientState::Calling, 1) {
                            let query = sqlx::query(COUNT).bind(&id).bind(name).bind(change);
                            query.execute(&mut *tx).await?;
                        }
                        found.claimed(&id)?
                    }
                }
            }
        })
    }

    /// Stores how recipients stand after their attempts; all of them or none. One that has a final
    /// state keeps it.
    pub async fn settle_recipients(
        &self,
        campaign: CampaignId,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = campaign.to_string();
        let state_of = STATE_OF.on(&self.pools);
        in_transaction!(self, |tx| {
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            for settlement in settlements {
                let query = sqlx::query_scalar(state_of).bind(&id).bind(i64::from(settlement.seq));
                let before: Option<String> = query.fetch_optional(&mut *tx).await?;
                let before = before.and_then(|state| state.parse::<RecipientState>().ok());
                let Some(before) = before.filter(|state| !state.is_final()) else { continue };
                *counts.entry(before.as_str().to_owned()).or_default() -= 1;
                *counts.entry(settlement.state.as_str().to_owned()).or_default() += 1;
                let end = settlement.end.as_ref();
                let answered_by = end.and_then(|end| end.answered_by).map(|who| who.as_str());
                if let Some(who) = answered_by {
                    *counts.entry(format!("{ANSWERED_BY}{who}")).or_default() += 1;
                }
                let join_url = end
                    .and_then(|end| end.join_url.as_ref())
                    .map(|url| self.sealer.seal(&join_url_of(campaign, settlement.seq), url));
                let duration = end.and_then(|end| end.duration);
                sqlx::query(SETTLE)
                    .bind(&id)
                    .bind(i64::from(settlement.seq))
                    .bind(settlement.state.as_str())
                    .bind(i64::from(settlement.attempts))
                    .bind(settlement.due.map(Timestamp::as_millisecond))
                    .bind(end.and_then(|end| end.call_sid.as_ref()).map(|sid| sid.as_str()))
                    .bind(join_url)
                    .bind(end.map(|end| end.reason.as_str()))
                    .bind(end.and_then(|end| end.detail.as_deref()))
                    .bind(answered_by)
                    .bind(duration.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
                    .bind(end.is_some())
                    .bind(now.as_millisecond())
                    .execute(&mut *tx)
                    .await?;
            }
            for (name, change) in counts.iter().filter(|(_, change)| **change != 0) {
                let query = sqlx::query(COUNT).bind(&id).bind(name).bind(*change);
                query.execute(&mut *tx).await?;
            }
        })
    }

    /// Everybody who waits has ended like this; a few thousand at a time.
    pub async fn settle_waiting(
        &self,
        campaign: CampaignId,
        state: RecipientState,
        detail: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = campaign.to_string();
        loop {
            let settled = in_transaction!(self, |tx| {
                let query = sqlx::query(SETTLE_SOME_WAITING).bind(&id).bind(state.as_str());
                let query = query.bind(now.as_millisecond()).bind(detail);
                let settled = query.execute(&mut *tx).await?.rows_affected();
                let change = i64::try_from(settled).unwrap_or(i64::MAX);
                for (name, change) in moved(state, change) {
                    let query = sqlx::query(COUNT).bind(&id).bind(name).bind(change);
                    query.execute(&mut *tx).await?;
                }
                settled
            })?;
            if settled == 0 {
                return Ok(());
            }
        }
    }

    /// How those of these calls ended that are over.
    pub async fn ends_of_calls(
        &self,
        calls: &[CallId],
    ) -> Result<Vec<(CallId, CallEnd, Option<CallSid>)>, StoreError> {
        let mut ends = Vec::new();
        for some in calls.chunks(BATCH) {
            let raw: Vec<RawEnd> = on_pool!(self.reader, |db| {
                let mut query = QueryBuilder::new(ENDS);
                let mut list = query.separated(", ");
                for call in some {
                    list.push_bind(call.to_string());
                }
                query.push(")");
                Ok(query.build_query_as().persistent(false).fetch_all(db).await?)
            })?;
            for raw in raw {
                ends.push(raw.read()?);
            }
        }
        Ok(ends)
    }

    /// A page of a campaign's recipients in the upload's order, after the one given.
    pub async fn recipients(
        &self,
        campaign: CampaignId,
        state: Option<RecipientState>,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RecipientRow>, StoreError> {
        let sql = if state.is_some() { PAGE_OF_STATE } else { PAGE };
        let raw: Vec<RawRecipient> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(sql).bind(campaign.to_string());
            let query = query.bind(i64::from(after)).bind(i64::from(limit));
            let query = match state {
                Some(state) => query.bind(state.as_str()),
                None => query,
            };
            Ok(query.fetch_all(db).await?)
        })?;
        raw.into_iter().map(|raw| raw.read(self, campaign)).collect()
    }
}

/// What changes in the counts when so many no longer wait but are in this state. Counts are written
/// in the order of their names everywhere, so that no two transactions wait for each other.
fn moved(state: RecipientState, change: i64) -> BTreeMap<&'static str, i64> {
    [(RecipientState::Waiting.as_str(), -change), (state.as_str(), change)].into()
}
