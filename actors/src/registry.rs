//! The live calls of this node.
//!
//! Every call is entered before anything is dialled and leaves when both its legs are over. A call
//! whose actor died is found by its closed mailbox (actix's `Supervisor` does not restart an actor
//! that panicked), and is ended here on both sides, so that no bug leaves a phone off the hook.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, ArbiterHandle};
use tokio::sync::{Notify, oneshot};
use tracing::{error, info};

use crate::call::{CallEnd, CallEvent, CallStatus, CallUpdate, Direction, EndReason};
use crate::call_session::{CallSession, CallSpec, Dialled, EndCall};
use crate::ids::{CallId, CallSid};
use crate::machine::AnsweredBy;
use crate::ports::{AgentCall, Ports, TwilioAccount};

/// How often dead calls are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How often the phone of a dead call is hung up before it is left to Twilio's own time limit.
const HANG_UP_TRIES: u32 = 6;

/// Why a call was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// As many calls are live as this node may carry.
    #[error("this node carries its limit of {limit} calls; try again later")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The service is shutting down.
    #[error("this node is shutting down and takes no new calls")]
    Draining,
}

/// A call that was taken on.
#[derive(Debug)]
pub struct Started {
    /// Resolves when Twilio has accepted the call, or with the reason why there is none. Of no use
    /// for a call that has come in.
    pub dialled: oneshot::Receiver<Dialled>,
    /// Resolves when the call is over on both legs and has made room for another. It always does:
    /// no bug in a call loses its end.
    pub ended: oneshot::Receiver<CallEnd>,
}

/// What is needed to end a call whose actor is gone.
#[derive(Debug)]
pub(crate) struct Lifeline {
    pub(crate) account: TwilioAccount,
    pub(crate) direction: Direction,
    pub(crate) call_sid: Option<CallSid>,
    /// An agent nobody has joined.
    pub(crate) unjoined: Option<AgentCall>,
    pub(crate) answered_at: Option<Instant>,
    pub(crate) answered_by: Option<AnsweredBy>,
    /// Whoever waits for the end.
    pub(crate) ended: Option<oneshot::Sender<CallEnd>>,
}

impl Lifeline {
    /// All of it. Whoever comes later finds nobody to hang up on or to tell.
    fn take(&mut self) -> Lifeline {
        Lifeline {
            account: self.account.clone(),
            direction: self.direction,
            call_sid: self.call_sid.take(),
            unjoined: self.unjoined.take(),
            answered_at: self.answered_at,
            answered_by: self.answered_by,
            ended: self.ended.take(),
        }
    }
}

pub(crate) type SharedLifeline = Arc<Mutex<Lifeline>>;

struct Entry {
    call: Addr<CallSession>,
    lifeline: SharedLifeline,
}

/// The live calls of this node.
pub struct Registry {
    ports: Ports,
    arbiter: ArbiterHandle,
    limit: usize,
    draining: AtomicBool,
    calls: Mutex<HashMap<CallId, Entry>>,
    /// Wakes whoever waits for the last call to end.
    emptied: Notify,
}

impl Registry {
    /// A registry whose calls run on `arbiter`, at most `limit` at a time. Starts to look for dead
    /// calls; must be called on a tokio runtime.
    pub fn new(ports: Ports, arbiter: ArbiterHandle, limit: usize) -> Arc<Self> {
        let registry = Arc::new(Registry {
            ports,
            arbiter,
            limit,
            draining: AtomicBool::new(false),
            calls: Mutex::default(),
            emptied: Notify::new(),
        });
        let weak = Arc::downgrade(&registry);
        tokio::spawn(async move {
            let mut sweep = tokio::time::interval(SWEEP_EVERY);
            sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                sweep.tick().await;
                let Some(registry) = weak.upgrade() else { return };
                for (id, lifeline) in registry.remove_dead() {
                    let ports = registry.ports.clone();
                    tokio::spawn(end_dead_call(ports, id, lifeline));
                }
            }
        });
        registry
    }

    /// Takes on a call. One that is to be dialled is dialled; one that has come in waits for
    /// [`TakeCall`](crate::call_session::TakeCall).
    pub fn start(self: &Arc<Self>, spec: CallSpec) -> Result<Started, NotAccepted> {
        let id = spec.id;
        let (dialled, when_dialled) = oneshot::channel();
        let (ended, when_ended) = oneshot::channel();
        let lifeline = Arc::new(Mutex::new(Lifeline {
            account: spec.twilio.clone(),
            direction: spec.phone.direction(),
            call_sid: spec.phone.call_sid().cloned(),
            unjoined: None,
            answered_at: None,
            answered_by: None,
            ended: Some(ended),
        }));
        let mut calls = self.lock();
        if self.draining.load(Ordering::Acquire) {
            return Err(NotAccepted::Draining);
        }
        if calls.len() >= self.limit {
            return Err(NotAccepted::Full { limit: self.limit });
        }
        let session = {
            let (registry, lifeline) = (Arc::clone(self), Arc::clone(&lifeline));
            let ports = self.ports.clone();
            move || CallSession::new(spec, ports, registry, lifeline, dialled)
        };
        let call = CallSession::start_in_arbiter(&self.arbiter, move |_| session());
        calls.insert(id, Entry { call, lifeline });
        self.ports.observer.started();
        Ok(Started { dialled: when_dialled, ended: when_ended })
    }

    /// The actor of a live call, and whose phone line it uses.
    pub fn get(&self, id: CallId) -> Option<(TwilioAccount, Addr<CallSession>)> {
        let calls = self.lock();
        let entry = calls.get(&id)?;
        let account = entry.lifeline.lock().unwrap_or_else(PoisonError::into_inner).account.clone();
        Some((account, entry.call.clone()))
    }

    /// How many calls are live.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Takes on no more calls.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        if self.lock().is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Whether calls are still taken on.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether one more call would be taken on.
    pub fn has_room(&self) -> Result<(), NotAccepted> {
        if self.is_draining() {
            return Err(NotAccepted::Draining);
        }
        match self.count() < self.limit {
            true => Ok(()),
            false => Err(NotAccepted::Full { limit: self.limit }),
        }
    }

    /// Ends every live call.
    pub fn end_all(&self, reason: EndReason) {
        for entry in self.lock().values() {
            entry.call.do_send(EndCall(reason));
        }
    }

    /// Waits until no call is live.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A call is over and has said so everywhere.
    pub(crate) fn remove(&self, id: CallId) {
        let mut calls = self.lock();
        calls.remove(&id);
        if calls.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn remove_dead(&self) -> Vec<(CallId, SharedLifeline)> {
        let mut calls = self.lock();
        let dead: Vec<CallId> =
            calls.iter().filter(|(_, entry)| !entry.call.connected()).map(|(id, _)| *id).collect();
        let dead = dead
            .into_iter()
            .filter_map(|id| calls.remove(&id).map(|entry| (id, entry.lifeline)))
            .collect();
        if calls.is_empty() {
            self.emptied.notify_waiters();
        }
        dead
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Entry>> {
        // The map is never left half changed, so a panic elsewhere does not spoil it.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends both legs of a call whose actor panicked. Its pump has noticed by itself.
#[expect(clippy::disallowed_methods, reason = "this shell has a clock")]
async fn end_dead_call(ports: Ports, id: CallId, lifeline: SharedLifeline) {
    error!(call.id = %id, "the actor of call {id} died; ending the call on both sides");
    let Lifeline { account, direction, call_sid, unjoined, answered_at, answered_by, ended } =
        lifeline.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(agent) = unjoined {
        ports.agents.release(&agent).await;
    }
    if let Some(sid) = call_sid {
        for attempt in 0..HANG_UP_TRIES {
            match ports.telephony.hang_up(&account, &sid).await {
                Ok(_) => {
                    info!(call.sid = %sid, "call {sid} hung up after its actor died");
                    break;
                }
                Err(error) => {
                    error!(call.sid = %sid, %error, "call {sid} of a dead actor is not hung up");
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                }
            }
        }
    }
    let (status, reason) = (CallStatus::Failed, EndReason::InternalError);
    let duration = answered_at.map(|at| at.elapsed());
    ports.log.event(id, CallEvent::Ended { status, reason, detail: None });
    ports.log.record(id, CallUpdate::Ended { status, reason, detail: None, duration });
    ports.observer.ended(direction, status, duration);
    if let Some(ended) = ended {
        // Nobody has to wait for it.
        let _ = ended.send(CallEnd { status, reason, detail: None, duration, answered_by });
    }
}

#[cfg(test)]
mod tests;
