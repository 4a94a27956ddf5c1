//! What the REST side, the sockets and the handles of one simulated Ultravox share.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rand::{RngExt, distr::Alphanumeric};
use serde_json::Value;
use tokio::{runtime::Handle, sync::watch};

use super::{
    call::{CallState, EndReason, NewCall},
    handle::SimAgentCall,
    options::{Fault, JoinFault, On, UltravoxOptions},
    record,
    script::AgentScript,
    settings::CallSettings,
    webhooks::{Delivery, Mail, Webhook},
};
use crate::tls::{HandshakeCount, Tls};

/// Something the service did that it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The call it concerns, if it is about one.
    pub call_id: Option<String>,
    /// What was wrong.
    pub what: String,
}

/// One REST request, as it came.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// When it came.
    pub at: Instant,
    /// `GET`, `POST` …
    pub method: String,
    /// Its path, such as `/api/calls`.
    pub path: String,
    /// Its query, without the question mark.
    pub query: String,
    /// Its JSON body; null when there was none or it was not JSON.
    pub body: Value,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: UltravoxOptions,
    pub(crate) api_key: String,
    pub(crate) rest_at: SocketAddr,
    pub(crate) join_at: SocketAddr,
    pub(crate) live_sockets: watch::Sender<usize>,
    /// Those of join sockets.
    pub(crate) handshakes: HandshakeCount,
    /// The sockets' runtime, which also ends calls that nobody joins and delivers webhooks.
    pub(crate) runtime: Handle,
    pub(crate) mail: Mail,
    deliveries: watch::Sender<Vec<Delivery>>,
    state: Mutex<State>,
    created: watch::Sender<()>,
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) script: AgentScript,
    pub(crate) next_scripts: VecDeque<AgentScript>,
    pub(crate) calls: VecDeque<Arc<CallState>>,
    pub(crate) by_id: HashMap<String, Arc<CallState>>,
    handed_out: usize,
    pub(crate) agents: Vec<AgentRecord>,
    pub(crate) requests: Vec<RecordedRequest>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) next_faults: Vec<(On, Fault)>,
    pub(crate) lasting_faults: Vec<(On, Fault)>,
    pub(crate) next_join_faults: VecDeque<JoinFault>,
    pub(crate) lasting_join_fault: Option<JoinFault>,
    pub(crate) webhook: Option<Webhook>,
}

/// One agent of the Agents API.
#[derive(Clone, Debug)]
pub(crate) struct AgentRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: String,
    pub(crate) template: Value,
    pub(crate) calls: u64,
}

impl Shared {
    pub(crate) fn new(
        options: UltravoxOptions,
        rest_at: SocketAddr,
        join_at: SocketAddr,
        runtime: Handle,
    ) -> Self {
        Shared {
            api_key: options.api_key.clone().unwrap_or_else(random_key),
            rest_at,
            join_at,
            live_sockets: watch::Sender::new(0),
            handshakes: HandshakeCount::default(),
            runtime,
            mail: Mail::default(),
            deliveries: watch::Sender::new(Vec::new()),
            state: Mutex::new(State {
                script: options.script.clone(),
                next_scripts: VecDeque::new(),
                calls: VecDeque::new(),
                by_id: HashMap::new(),
                handed_out: 0,
                agents: Vec::new(),
                requests: Vec::new(),
                violations: Vec::new(),
                next_faults: Vec::new(),
                lasting_faults: Vec::new(),
                next_join_faults: VecDeque::new(),
                lasting_join_fault: None,
                webhook: None,
            }),
            created: watch::Sender::new(()),
            options,
        }
    }

    /// The address of the REST API, without a slash at the end.
    pub(crate) fn rest_url(&self) -> String {
        format!("http{}://{}", Tls::letter(self.options.tls.as_ref()), self.rest_at)
    }

    fn join_url(&self, id: &str, door: &str) -> String {
        let letter = Tls::letter(self.options.tls.as_ref());
        format!("ws{letter}://{}/calls/{id}/{door}", self.join_at)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn violation(&self, call_id: Option<&str>, what: impl Into<String>) {
        let violation = Violation { call_id: call_id.map(Into::into), what: what.into() };
        self.state().violations.push(violation);
    }

    pub(crate) fn call(&self, id: &str) -> Option<Arc<CallState>> {
        self.state().by_id.get(id).cloned()
    }

    pub(crate) fn active_calls(&self) -> usize {
        let calls = self.state().calls.clone();
        calls.iter().filter(|call| call.log().end_reason.is_none()).count()
    }

    /// The fault that meets a request of this kind, if any.
    pub(crate) fn fault(&self, kind: On) -> Option<Fault> {
        let mut state = self.state();
        let meets = |on: &On| *on == On::Any || *on == kind;
        if let Some(n) = state.next_faults.iter().position(|(on, _)| meets(on)) {
            return Some(state.next_faults.remove(n).1);
        }
        state.lasting_faults.iter().find(|(on, _)| meets(on)).map(|(_, fault)| fault.clone())
    }

    pub(crate) fn join_fault(&self) -> Option<JoinFault> {
        let mut state = self.state();
        state.next_join_faults.pop_front().or_else(|| state.lasting_join_fault.clone())
    }

    /// Creates a call. A continuation goes on with its prior call's script after the turns that
    /// have begun there.
    pub(crate) fn create_call(
        self: &Arc<Self>,
        request: Value,
        prior: Option<&Arc<CallState>>,
        agent: Option<(String, String)>,
    ) -> Arc<CallState> {
        let id = uuid::Uuid::new_v4().to_string();
        let mut state = self.state();
        let script = state
            .next_scripts
            .pop_front()
            .or_else(|| prior.and_then(|prior| remaining(prior)))
            .unwrap_or_else(|| state.script.clone());
        let door = match request["medium"].as_object().and_then(|medium| medium.keys().next()) {
            Some(medium) if medium == "serverWebSocket" => "server_web_socket",
            Some(medium) if medium == "twilio" => "telephony",
            _ => "webrtc",
        };
        let call = Arc::new(CallState::new(NewCall {
            join_url: self.join_url(&id, door),
            id: id.clone(),
            request,
            prior: prior.map(|prior| prior.id.clone()),
            agent,
            history: prior.map(|prior| record::messages_json(prior, true)).unwrap_or_default(),
            script,
        }));
        state.calls.push_back(call.clone());
        state.by_id.insert(id, call.clone());
        state.forget_beyond(self.options.keep_calls);
        drop(state);
        self.created.send_replace(());
        self.expire_unjoined(call.clone());
        self.announce(&call, "call.started");
        call
    }

    fn expire_unjoined(self: &Arc<Self>, call: Arc<CallState>) {
        let timeout = CallSettings::of(&call.id, &call.request, &self.options).join_timeout;
        let shared = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(timeout).await;
            let unjoined = call.update(|log| {
                if !log.claimed {
                    log.end(EndReason::Unjoined);
                }
                !log.claimed
            });
            if unjoined {
                shared.announce(&call, "call.ended");
            }
        });
    }

    pub(crate) fn delivered(&self, delivery: Delivery) {
        self.deliveries.send_modify(|deliveries| deliveries.push(delivery));
    }

    pub(crate) fn deliveries(&self) -> watch::Receiver<Vec<Delivery>> {
        self.deliveries.subscribe()
    }

    pub(crate) async fn wait_for_call(&self) -> SimAgentCall {
        let mut created = self.created.subscribe();
        loop {
            {
                let mut state = self.state();
                if let Some(call) = state.calls.get(state.handed_out).cloned() {
                    state.handed_out += 1;
                    return SimAgentCall(call);
                }
            }
            // The sender lives in `self`.
            created.changed().await.expect("the server outlives its handle");
        }
    }
}

impl State {
    fn forget_beyond(&mut self, keep: usize) {
        while self.calls.len() > keep {
            match self.calls.pop_front() {
                Some(oldest) if oldest.log().is_over() => {
                    self.by_id.remove(&oldest.id);
                    self.handed_out = self.handed_out.saturating_sub(1);
                }
                // Still talking: it stays, and so does everything after it.
                Some(oldest) => return self.calls.push_front(oldest),
                None => return,
            }
        }
    }
}

/// What is left of a call's script.
fn remaining(call: &CallState) -> Option<AgentScript> {
    let log = call.log();
    match log.script.clone()? {
        AgentScript::Conversation(turns) => {
            Some(AgentScript::Conversation(turns.into_iter().skip(log.turns_begun).collect()))
        }
        other => Some(other),
    }
}

fn random_key() -> String {
    let mut letters = rand::rng().sample_iter(Alphanumeric).map(char::from);
    let mut take = |count| letters.by_ref().take(count).collect::<String>();
    format!("{}.{}", take(8), take(32))
}
