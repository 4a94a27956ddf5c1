//! What a campaign asks of the outside world: where its recipients are kept, and by which rules
//! each is called.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::call::CallEnd;
use crate::call_session::CallSpec;
use crate::campaign::scheduler::Rules;
use crate::campaign::zone_groups::ZoneGroups;
use crate::campaign::{Limits, Recipient, RecipientState, Refusal};
use crate::ids::{CallId, CallSid};
use jiff::Timestamp;

/// A campaign as it is stored.
#[derive(Debug)]
pub struct Loaded {
    /// How many calls, how fast.
    pub limits: Limits,
    /// Retries, time to live.
    pub rules: Rules,
    /// Calling hours.
    pub hours: ZoneGroups,
    /// What it is to do.
    pub orders: Wanted,
    /// Whether somebody has let it go on after a pause.
    pub is_resumed: bool,
    /// Everybody who is still to be called.
    pub waiting: Vec<Recipient>,
    /// Those whose calls were begun before, and perhaps by another node.
    pub calling: Vec<(Recipient, CallId)>,
}

/// What somebody wants a campaign to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Place calls.
    Run,
    /// Place none for now.
    Pause,
    /// Place none any more.
    Cancel {
        /// And end those that are live.
        end_calls: bool,
    },
}

/// How a campaign's row stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It is to do this, with these limits.
    Ours(Wanted, Limits),
    /// Its rules were changed: it has to be loaded again.
    Changed,
    /// It is another node's, over, or gone.
    NotOurs,
}

/// What came of the wish to call somebody.
#[derive(Debug)]
pub enum Begin {
    /// The call is stored: dial.
    Call(Box<CallSpec>),
    /// Nothing was stored; nobody is called.
    Refused(Refusal),
    /// The campaign is not to place calls. Nothing was stored.
    NotRunning,
    /// It has its final state already. Nothing was stored.
    Gone,
}

/// Something to be stored about recipients.
#[derive(Debug)]
pub enum Write {
    /// How one stands after an attempt.
    Settle {
        /// Place in the upload.
        seq: u32,
        /// How it stands.
        state: RecipientState,
        /// How often it was dialled.
        attempts: u8,
        /// Not dialled again before.
        due: Option<Timestamp>,
        /// Its latest call; `None` where there was none.
        call: Option<EndedCall>,
    },
    /// Everybody who waits has ended like this.
    SettleWaiting {
        /// Like this.
        state: RecipientState,
        /// Why, for people.
        detail: Option<String>,
    },
    /// The campaign pauses by itself.
    Pause {
        /// Why, for people.
        cause: String,
    },
}

/// A call of a campaign that is over. `Debug` hides the join URL.
#[derive(Clone, Debug)]
pub struct EndedCall {
    /// Twilio's id, where Twilio had accepted it.
    pub call_sid: Option<CallSid>,
    /// The agent's socket, where there was one.
    pub join_url: Option<SecretString>,
    /// How it ended.
    pub end: CallEnd,
}

/// The book of one campaign. Every method goes on trying while the database is away.
#[async_trait]
pub trait CampaignBook: Send + Sync {
    /// Claims a recipient for a call, and stores the call: both or neither. May be asked again for
    /// the same call.
    async fn begin(&self, seq: u32, attempt: u8, call: CallId) -> Begin;

    /// Says of a call that was stored that this node had no room for it.
    fn not_accepted(&self, call: CallId);

    /// Stores all of these, in order.
    async fn write(&self, writes: Vec<Write>);

    /// How the campaign's row stands. Stores how many recipients were done with in the last minute.
    async fn look(&self, finished_in_a_minute: usize) -> Standing;

    /// How those of these calls ended that are over.
    async fn ends(&self, calls: Vec<CallId>) -> Vec<(CallId, EndedCall)>;

    /// Everybody has a final state.
    async fn complete(&self);

    /// Lets another node have the campaign.
    async fn release(&self);
}
