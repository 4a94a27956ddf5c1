//! One running campaign: dials whom its scheduler names, and tells it how that went.
//!
//! A thin shell: whom to dial and when is the [`Scheduler`]'s business, each call is a
//! [`CallSession`](crate::call_session::CallSession)'s, and what must outlive the process is kept
//! by the [`CampaignBook`]. A recipient is claimed there before its call is begun, and whatever is
//! stored about it is stored before it is claimed again.

#![expect(clippy::disallowed_methods, reason = "this shell has a clock")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::call::{CallEnd, EndReason};
use crate::call_session::{DialError, Dialled, EndCall, Placed};
use crate::campaign::scheduler::{Action, Input, Scheduler};
use crate::campaign::zone_groups::ZoneGroups;
use crate::campaign::{Limits, RecipientState, Refusal, verdict};
use crate::campaign_book::{Begin, CampaignBook, EndedCall, Loaded, Standing, Wanted, Write};
use crate::ids::{CallId, CampaignId};
use crate::registry::{Registry, Started};

/// How often the campaign's row is looked at, in case another node was told something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The time over which the pace is counted.
const PACE_OVER: SignedDuration = SignedDuration::from_secs(60);
/// Messages a campaign may have waiting; all of them say the same.
const MAILBOX: usize = 8;

/// Looks at the campaign's row now: it has changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Look;

/// One running campaign.
pub struct BulkCampaign {
    id: CampaignId,
    scheduler: Scheduler<ZoneGroups>,
    book: Arc<dyn CampaignBook>,
    registry: Arc<Registry>,
    /// Those whose calls this actor began.
    flights: HashMap<u32, Flight>,
    /// Those whose calls were begun before it, and are found in the database when they are over.
    inherited: HashMap<CallId, u32>,
    orders: Wanted,
    limits: Limits,
    unwritten: VecDeque<Write>,
    is_writing: bool,
    /// Recipients about whom something is still to be written, and whether they are to be dialled
    /// when it is.
    held_back: HashMap<u32, Option<u8>>,
    /// How the calls of those who are being settled ended.
    ended: HashMap<u32, EndedCall>,
    finished: VecDeque<Timestamp>,
    is_complete: bool,
    is_looking: bool,
    /// How often it has paused by itself. A look that began before such a pause does not undo it.
    pauses: u32,
    /// Set while the row says that the campaign runs, and a claim was refused all the same.
    is_held: bool,
    timer: Option<SpawnHandle>,
}

#[derive(Debug)]
struct Flight {
    call: CallId,
    placed: Option<Placed>,
    failure: Option<DialError>,
}

impl BulkCampaign {
    /// A campaign that goes on where it was stored.
    pub fn new(
        id: CampaignId,
        loaded: Loaded,
        book: Arc<dyn CampaignBook>,
        registry: Arc<Registry>,
    ) -> Self {
        let Loaded { limits, rules, hours, orders, is_resumed, waiting, calling } = loaded;
        let now = Timestamp::now();
        let mut scheduler = Scheduler::new(hours, limits, rules);
        if is_resumed || orders != Wanted::Run {
            scheduler.begin_paused();
        }
        let inherited = calling.iter().map(|(recipient, call)| (*call, recipient.seq)).collect();
        for (recipient, _) in calling {
            scheduler.resume_call(recipient);
        }
        scheduler.handle(now, Input::Recipients(waiting));
        if is_resumed && orders == Wanted::Run {
            // Slowly at first, as after any pause.
            scheduler.handle(now, Input::Resume);
        }
        BulkCampaign {
            id,
            scheduler,
            book,
            registry,
            flights: HashMap::new(),
            inherited,
            // A canceled one is told so when it starts, which gives those who wait their state.
            orders: if orders == Wanted::Pause { Wanted::Pause } else { Wanted::Run },
            limits,
            unwritten: VecDeque::new(),
            is_writing: false,
            held_back: HashMap::new(),
            ended: HashMap::new(),
            finished: VecDeque::new(),
            is_complete: false,
            is_looking: false,
            pauses: 0,
            is_held: false,
            timer: None,
        }
    }

    /// Feeds one input to the scheduler and carries out everything it asks for.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.scheduler.handle(Timestamp::now(), input);
        self.perform(ctx);
    }

    fn perform(&mut self, ctx: &mut Context<Self>) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Dial { seq, attempt } => match self.held_back.get_mut(&seq) {
                    Some(then) => *then = Some(attempt),
                    None => self.begin(seq, attempt, ctx),
                },
                Action::Settle { seq, state, attempts, due } => {
                    if state.is_final() {
                        self.finished.push_back(Timestamp::now());
                    }
                    self.held_back.insert(seq, None);
                    let call = self.ended.remove(&seq);
                    self.unwritten.push_back(Write::Settle { seq, state, attempts, due, call });
                }
                Action::SettleWaiting { state, detail } => {
                    self.unwritten.push_back(Write::SettleWaiting { state, detail });
                }
                Action::Pause { cause } => {
                    let id = self.id;
                    warn!(campaign.id = %id, %cause, "campaign {id} pauses: {cause}");
                    self.orders = Wanted::Pause;
                    self.pauses += 1;
                    self.unwritten.push_back(Write::Pause { cause });
                }
                Action::Complete => self.is_complete = true,
            }
        }
        self.write(ctx);
        self.rearm_timer(ctx);
    }

    fn rearm_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = self.scheduler.next_deadline().map(|at| {
            let after = at.duration_since(Timestamp::now());
            ctx.run_later(after.try_into().unwrap_or(Duration::ZERO), |campaign, ctx| {
                campaign.timer = None;
                campaign.step(Input::Tick, ctx);
            })
        });
    }

    fn begin(&mut self, seq: u32, attempt: u8, ctx: &mut Context<Self>) {
        // Nothing is stored for a call that this node would not take.
        if self.registry.has_room().is_err() {
            return self.refused(seq, Refusal::NoRoom, ctx);
        }
        let call = CallId::generate();
        self.flights.insert(seq, Flight { call, placed: None, failure: None });
        let book = Arc::clone(&self.book);
        let begin = async move { book.begin(seq, attempt, call).await };
        ctx.spawn(begin.into_actor(self).map(move |begin, campaign, ctx| match begin {
            Begin::Call(spec) => match campaign.registry.start(*spec) {
                Ok(started) => campaign.follow(seq, started, ctx),
                Err(_) => {
                    campaign.book.not_accepted(call);
                    campaign.refused(seq, Refusal::NoRoom, ctx);
                }
            },
            Begin::Refused(refusal) => campaign.refused(seq, refusal, ctx),
            Begin::NotRunning => {
                // Whatever the row says, it is looked at before anybody else is dialled.
                campaign.is_held = true;
                campaign.scheduler.begin_paused();
                campaign.refused(seq, Refusal::NotDialled, ctx);
                campaign.look(ctx);
            }
            // It was settled with all who waited.
            Begin::Gone => {
                let refusal = Refusal::NotThisOne(RecipientState::Expired);
                campaign.refused(seq, refusal, ctx);
            }
        }));
    }

    fn refused(&mut self, seq: u32, refusal: Refusal, ctx: &mut Context<Self>) {
        self.flights.remove(&seq);
        self.step(Input::Refused(seq, refusal), ctx);
    }

    /// Waits for what becomes of a call: first whether it is placed, then how it ends.
    fn follow(&mut self, seq: u32, started: Started, ctx: &mut Context<Self>) {
        let Started { dialled, ended } = started;
        ctx.spawn(dialled.into_actor(self).map(move |dialled, campaign, ctx| {
            if let Ok(dialled) = dialled {
                campaign.dialled(seq, dialled, ctx);
            }
            ctx.spawn(ended.into_actor(campaign).map(move |end, campaign, ctx| match end {
                Ok(end) => campaign.flight_ended(seq, end, ctx),
                // It is found in the database, then.
                Err(_) => {
                    if let Some(flight) = campaign.flights.remove(&seq) {
                        campaign.inherited.insert(flight.call, seq);
                    }
                }
            }));
        }));
    }

    fn dialled(&mut self, seq: u32, dialled: Dialled, ctx: &mut Context<Self>) {
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        match dialled {
            Ok(placed) => {
                flight.placed = Some(placed);
                self.step(Input::Placed(seq), ctx);
            }
            Err(failure) => flight.failure = Some(failure),
        }
    }

    fn flight_ended(&mut self, seq: u32, end: CallEnd, ctx: &mut Context<Self>) {
        let Some(Flight { placed, failure, .. }) = self.flights.remove(&seq) else { return };
        let input = verdict(seq, failure.as_ref(), &end);
        let (call_sid, join_url) = match placed {
            Some(Placed { call_sid, join_url }) => (Some(call_sid), join_url),
            None => (None, None),
        };
        self.call_ended(seq, EndedCall { call_sid, join_url, end }, input, ctx);
    }

    fn call_ended(&mut self, seq: u32, call: EndedCall, input: Input, ctx: &mut Context<Self>) {
        self.ended.insert(seq, call);
        self.step(input, ctx);
        self.ended.remove(&seq);
    }

    /// Writes what there is to be written, one batch after another.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        if self.unwritten.is_empty() {
            return self.end_if_done(ctx);
        }
        let writes: Vec<Write> = self.unwritten.drain(..).collect();
        let settled: HashSet<u32> = writes
            .iter()
            .filter_map(|write| match write {
                Write::Settle { seq, .. } => Some(*seq),
                _ => None,
            })
            .collect();
        self.is_writing = true;
        let book = Arc::clone(&self.book);
        let write = async move { book.write(writes).await };
        ctx.spawn(write.into_actor(self).map(move |(), campaign, ctx| {
            campaign.is_writing = false;
            for seq in settled {
                if campaign.is_to_be_written(seq) {
                    continue;
                }
                if let Some(Some(attempt)) = campaign.held_back.remove(&seq) {
                    campaign.begin(seq, attempt, ctx);
                }
            }
            campaign.write(ctx);
        }));
    }

    fn is_to_be_written(&self, seq: u32) -> bool {
        let about =
            |write: &Write| matches!(write, Write::Settle { seq: other, .. } if *other == seq);
        self.unwritten.iter().any(about)
    }

    /// Ends with the campaign, or leaves it to another node when this one shuts down. A campaign
    /// that is paused needs no actor.
    fn end_if_done(&mut self, ctx: &mut Context<Self>) {
        let is_idle = self.scheduler.in_flight() == 0;
        let is_leaving = self.registry.is_draining() && is_idle;
        if !self.is_complete && !is_leaving {
            if is_idle && self.orders == Wanted::Pause && !self.is_looking {
                ctx.stop();
            }
            return;
        }
        // Nothing more is dialled or written, whatever comes meanwhile.
        self.is_writing = true;
        let (book, id, is_complete) = (Arc::clone(&self.book), self.id, self.is_complete);
        let end = async move {
            match is_complete {
                true => book.complete().await,
                false => book.release().await,
            }
        };
        ctx.spawn(end.into_actor(self).map(move |(), _, ctx| {
            match is_complete {
                true => info!(campaign.id = %id, "campaign {id} is over"),
                false => info!(campaign.id = %id, "campaign {id} is left to another node"),
            }
            ctx.stop();
        }));
    }

    /// Finds out what the campaign is to do, and what became of calls it has inherited.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.is_looking || self.is_complete {
            return;
        }
        self.is_looking = true;
        let since = Timestamp::now().saturating_sub(PACE_OVER).unwrap_or(Timestamp::MIN);
        while self.finished.front().is_some_and(|at| *at < since) {
            self.finished.pop_front();
        }
        let (book, finished, pauses) = (Arc::clone(&self.book), self.finished.len(), self.pauses);
        let inherited: Vec<CallId> = self.inherited.keys().copied().collect();
        let look = async move {
            let ends = match inherited.is_empty() {
                true => Vec::new(),
                false => book.ends(inherited).await,
            };
            (ends, book.look(finished).await)
        };
        ctx.spawn(look.into_actor(self).map(move |(ends, standing), campaign, ctx| {
            campaign.is_looking = false;
            for (call, ended) in ends {
                if let Some(seq) = campaign.inherited.remove(&call) {
                    let input = verdict(seq, None, &ended.end);
                    campaign.call_ended(seq, ended, input, ctx);
                }
            }
            let is_outdated = pauses != campaign.pauses || campaign.is_pausing();
            if !is_outdated || standing == Standing::NotOurs {
                campaign.stand(standing, ctx);
            }
        }));
    }

    /// Whether it has paused by itself, and that is not stored yet.
    fn is_pausing(&self) -> bool {
        self.pauses > 0
            && (self.is_writing
                || self.unwritten.iter().any(|write| matches!(write, Write::Pause { .. })))
    }

    fn stand(&mut self, standing: Standing, ctx: &mut Context<Self>) {
        let id = self.id;
        let (mut wanted, limits) = match standing {
            Standing::Ours(wanted, limits) => (wanted, limits),
            Standing::Changed => {
                info!(campaign.id = %id, "campaign {id} has new rules");
                return ctx.stop();
            }
            Standing::NotOurs => {
                info!(campaign.id = %id, "campaign {id} is not ours any more");
                return ctx.stop();
            }
        };
        if limits != self.limits {
            self.limits = limits;
            self.step(Input::Limits(limits), ctx);
        }
        if wanted == Wanted::Run && self.registry.is_draining() {
            wanted = Wanted::Pause;
        }
        if wanted == self.orders && !self.is_held {
            return self.write(ctx);
        }
        self.is_held = false;
        self.orders = wanted;
        match wanted {
            Wanted::Run => self.step(Input::Resume, ctx),
            Wanted::Pause => self.step(Input::Pause, ctx),
            Wanted::Cancel { end_calls } => {
                if end_calls {
                    self.end_calls();
                }
                self.step(Input::Cancel, ctx);
            }
        }
    }

    /// Ends the calls that are live here.
    fn end_calls(&self) {
        let calls = self.flights.values().map(|flight| &flight.call);
        for call in calls.chain(self.inherited.keys()) {
            if let Some((_, session)) = self.registry.get(*call) {
                session.do_send(EndCall(EndReason::HungUp));
            }
        }
    }
}

impl Actor for BulkCampaign {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.perform(ctx);
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, |campaign, ctx| campaign.look(ctx));
    }
}

impl Handler<Look> for BulkCampaign {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}
