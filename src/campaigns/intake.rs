//! Makes a campaign of an upload.
//!
//! Rows are checked, stored and forgotten as they come, so that an upload of any length needs little
//! memory. A bad row and one whose number stood above are stored too, as what they are, and spoil no
//! other. A campaign is there when all of its upload is, or not at all: whatever ends an upload
//! before its end, be it a client that goes away, takes back what was stored of it.

mod row;

use std::sync::Arc;

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::warn;

use crate::startup::Context;
use crate::store::{NewCampaign, NewRecipient, Store, StoreError};

use super::{Campaigns, Filling};
use row::Seen;
pub(crate) use row::{GivenRecipient, RowRules, priority_is};

/// Rows of one upload, good or bad. The largest list people have asked for fits twice.
pub(crate) const MAX_RECIPIENTS: u32 = 200_000;
/// So many rows that are not called are told one by one.
const REPORTED: usize = 100;
/// Rows that wait to be stored together.
const BUFFERED: usize = 1_000;

/// Why an upload is no campaign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("must have at most {MAX_RECIPIENTS} recipients; split the list into several campaigns")]
    TooMany,
    #[error("must have at least one recipient")]
    Empty,
    #[error("must have at least one phone number that can be called: none of {} can", .0.rows())]
    NobodyToCall(Accepted),
    #[error("the campaign was deleted while its recipients were stored")]
    Deleted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of an upload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Accepted {
    /// Rows that are called.
    pub(crate) accepted: u32,
    /// Rows that cannot be called.
    pub(crate) invalid: u32,
    /// Rows whose number stood above.
    pub(crate) duplicates: u32,
    /// The first of those that are not called.
    pub(crate) rejected: Vec<Rejected>,
}

impl Accepted {
    /// How many rows there were.
    pub(crate) fn rows(&self) -> u32 {
        self.accepted + self.invalid + self.duplicates
    }

    fn count(&mut self, line: u64, recipient: &NewRecipient) {
        match recipient.state {
            RecipientState::Waiting => self.accepted += 1,
            RecipientState::Duplicate => self.duplicates += 1,
            _ => self.invalid += 1,
        }
        if let Some(reason) = &recipient.detail
            && self.rejected.len() < REPORTED
        {
            let (number, reason) = (recipient.number.clone(), reason.clone());
            self.rejected.push(Rejected { line, number, reason });
        }
    }
}

/// A row that is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Where it stands.
    pub(crate) line: u64,
    /// What stands in the place of its number.
    pub(crate) number: String,
    /// Why it is not called.
    pub(crate) reason: String,
}

/// A campaign that is being filled.
pub(crate) struct Intake {
    rules: RowRules,
    seen: Seen,
    waiting: Vec<NewRecipient>,
    accepted: Accepted,
    /// Where it is stored; none in a dry run.
    draft: Option<Draft>,
}

impl Intake {
    /// Stores a campaign that is yet to be filled.
    pub(crate) async fn begin(
        context: &Context,
        campaign: &NewCampaign,
        rules: RowRules,
    ) -> Result<Intake, StoreError> {
        // First, since nobody knows how far an insertion came that was broken off.
        let draft = Draft {
            id: campaign.id,
            store: context.store.clone(),
            campaigns: context.campaigns.clone(),
            _filling: context.campaigns.filling(campaign.id),
            is_settled: false,
        };
        context.store.insert_campaign(campaign).await?;
        Ok(Intake { draft: Some(draft), ..Intake::dry_run(rules) })
    }

    /// Checks rows and stores none.
    pub(crate) fn dry_run(rules: RowRules) -> Intake {
        Intake {
            rules,
            seen: Seen::default(),
            waiting: Vec::new(),
            accepted: Accepted::default(),
            draft: None,
        }
    }

    /// Takes the next rows of the upload. After an error the intake is good for nothing but to be
    /// abandoned.
    pub(crate) async fn add(
        &mut self,
        given: impl IntoIterator<Item = GivenRecipient>,
    ) -> Result<(), IntakeError> {
        for given in given {
            let seq = self.accepted.rows() + 1;
            if seq > MAX_RECIPIENTS {
                return Err(IntakeError::TooMany);
            }
            let line = given.line;
            let recipient = self.rules.recipient(seq, given, &mut self.seen);
            self.accepted.count(line, &recipient);
            self.waiting.push(recipient);
            if self.waiting.len() == BUFFERED {
                self.store().await?;
            }
        }
        Ok(())
    }

    /// The upload is over: calls may be placed, if there is anybody to call.
    pub(crate) async fn finish(mut self) -> Result<Accepted, IntakeError> {
        let done = self.try_finish().await;
        let accepted = std::mem::take(&mut self.accepted);
        self.abandon().await;
        done?;
        match (accepted.rows(), accepted.accepted) {
            (0, _) => Err(IntakeError::Empty),
            (_, 0) => Err(IntakeError::NobodyToCall(accepted)),
            _ => Ok(accepted),
        }
    }

    /// Takes back what is stored of a campaign that was not finished. Whoever only drops an intake
    /// gets the same, a little later.
    pub(crate) async fn abandon(mut self) {
        if let Some(draft) = &mut self.draft {
            draft.take_back().await;
        }
    }

    async fn try_finish(&mut self) -> Result<(), IntakeError> {
        if self.accepted.accepted > 0 {
            self.store().await?;
            if let Some(draft) = &mut self.draft {
                draft.open().await?;
            }
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), StoreError> {
        if let Some(draft) = &self.draft {
            draft.store.add_recipients(draft.id, &self.waiting, Timestamp::now()).await?;
        }
        self.waiting.clear();
        Ok(())
    }
}

/// What is stored of an upload. It goes unless it was opened.
struct Draft {
    id: CampaignId,
    store: Store,
    campaigns: Arc<Campaigns>,
    _filling: Filling,
    /// Nothing is to be taken back: it is a campaign now, or has been taken back.
    is_settled: bool,
}

impl Draft {
    async fn open(&mut self) -> Result<(), IntakeError> {
        if !self.store.open_campaign(self.id, Timestamp::now()).await? {
            return Err(IntakeError::Deleted);
        }
        self.is_settled = true;
        self.campaigns.poke(self.id);
        Ok(())
    }

    async fn take_back(&mut self) {
        if !self.is_settled {
            take_back(&self.store, self.id).await;
            self.is_settled = true;
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where nothing runs any more, whoever takes over this node's campaigns takes it back.
        if let Ok(runtime) = Handle::try_current()
            && !self.is_settled
        {
            let (store, id) = (self.store.clone(), self.id);
            runtime.spawn(async move { take_back(&store, id).await });
        }
    }
}

async fn take_back(store: &Store, id: CampaignId) {
    if let Err(error) = store.delete_draft(id, Timestamp::now()).await {
        warn!(%error, "campaign {id} was not filled, and is not deleted yet: {error}");
    }
}
