//! Everything the simulated Twilio knows: accounts, calls, how phones behave, and the logs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::account::Account;
use super::call::{Call, CallLines, CallPlan, Violation, lock};
use super::call_run::CallRun;
use super::faults::{CallbackFaults, RestFault, RestOperation};
use super::options::{AccountOptions, InboundCall, TwilioOptions};
use super::phone::PhoneBehaviour;
use super::status::Direction;
use super::webhook::Webhooks;
use crate::crew::Crew;
use crate::tls::HandshakeCount;

/// A request to the REST API.
#[derive(Clone, Debug)]
pub struct RestRequest {
    /// HTTP method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Parameters of the query.
    pub query: Vec<(String, String)>,
    /// Form fields of the body.
    pub form: Vec<(String, String)>,
    /// User of the Basic credentials.
    pub user: Option<String>,
    /// Status of the answer; None while, or when, there is none.
    pub status: Option<u16>,
    /// When it arrived.
    pub at: Instant,
}

impl RestRequest {
    /// The first value of a form field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

/// A callback that was sent to the service.
#[derive(Clone, Debug)]
pub struct CallbackRecord {
    /// The call it is about.
    pub call_sid: String,
    /// Where it was sent, as configured.
    pub url: String,
    /// What it said.
    pub fields: Vec<(String, String)>,
    /// The service's HTTP status, or what went wrong.
    pub answer: Result<u16, String>,
    /// When that was known.
    pub at: Instant,
}

impl CallbackRecord {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

/// A refusal to call a number.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
}

#[derive(Default)]
struct Calls {
    in_order: Vec<Arc<Call>>,
    by_sid: HashMap<String, Arc<Call>>,
    by_number: HashMap<String, Vec<Arc<Call>>>,
    handed_out: HashSet<String>,
}

#[derive(Default)]
struct Phones {
    usual: HashMap<String, PhoneBehaviour>,
    next: HashMap<String, VecDeque<PhoneBehaviour>>,
    refused: HashMap<String, Refusal>,
}

#[derive(Default)]
struct RestFaults {
    next: VecDeque<(Option<RestOperation>, RestFault)>,
    standing: Option<(Option<RestOperation>, RestFault)>,
}

pub(crate) struct World {
    pub(crate) options: TwilioOptions,
    pub(crate) runtime: Handle,
    crew: Arc<Crew>,
    pub(crate) webhooks: Webhooks,
    pub(crate) live_calls: AtomicUsize,
    pub(crate) live_streams: AtomicUsize,
    /// Those of media sockets.
    pub(crate) handshakes: HandshakeCount,
    default_phone: Mutex<PhoneBehaviour>,
    callback_faults: Mutex<CallbackFaults>,
    accounts: Mutex<Vec<Arc<Account>>>,
    calls: Mutex<Calls>,
    phones: Mutex<Phones>,
    rest_faults: Mutex<RestFaults>,
    requests: Mutex<Vec<RestRequest>>,
    callbacks: Mutex<Vec<CallbackRecord>>,
    violations: Mutex<Vec<Violation>>,
    changes: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new(options: TwilioOptions, runtime: Handle, crew: Arc<Crew>) -> Self {
        World {
            runtime,
            crew,
            webhooks: Webhooks::new(options.private_only, options.tls.clone()),
            live_calls: AtomicUsize::new(0),
            live_streams: AtomicUsize::new(0),
            handshakes: HandshakeCount::default(),
            default_phone: Mutex::new(options.phone.clone()),
            callback_faults: Mutex::new(options.callbacks.clone()),
            accounts: Mutex::new(vec![Arc::new(Account::new(options.account.clone()))]),
            calls: Mutex::default(),
            phones: Mutex::default(),
            rest_faults: Mutex::default(),
            requests: Mutex::default(),
            callbacks: Mutex::default(),
            violations: Mutex::default(),
            changes: watch::Sender::new(0),
            options,
        }
    }

    /// Wakes whoever waits for a change.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// Waits until something can be found.
    pub(crate) async fn when<T>(&self, mut found: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(value) = found() {
                return value;
            }
            if changes.changed().await.is_err() {
                // Cannot happen: the sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    // Accounts.

    pub(crate) fn add_account(&self, options: AccountOptions) {
        let mut accounts = lock(&self.accounts);
        accounts.retain(|account| account.options.sid != options.sid);
        accounts.push(Arc::new(Account::new(options)));
    }

    pub(crate) fn account(&self, sid: &str) -> Option<Arc<Account>> {
        lock(&self.accounts).iter().find(|account| account.options.sid == sid).cloned()
    }

    /// The account that owns a number, or else the first one.
    pub(crate) fn account_of_number(&self, number: &str) -> Arc<Account> {
        let accounts = lock(&self.accounts);
        let owns = |account: &&Arc<Account>| account.options.numbers.iter().any(|n| n == number);
        let owner = accounts.iter().find(owns).or_else(|| accounts.first());
        owner.cloned().expect("there is an account from the beginning and none is ever taken away")
    }

    /// The account these credentials belong to.
    pub(crate) fn authenticate(&self, user: &str, password: &str) -> Option<Arc<Account>> {
        let accounts = lock(&self.accounts);
        let found = accounts.iter().find(|account| {
            let options = &account.options;
            (options.sid == user && options.auth_token == password)
                || options.api_keys.iter().any(|(sid, secret)| sid == user && secret == password)
        });
        found.cloned()
    }

    // Calls.

    /// Places a call that the REST API was asked for.
    pub(crate) fn place_call(
        self: &Arc<Self>,
        account: &Arc<Account>,
        (from, to): (&str, &str),
        plan: CallPlan,
    ) -> Arc<Call> {
        let turn = account.take_turn();
        let sid = &account.options.sid;
        let (call, lines) = Call::new(sid, (from, to), Direction::OutboundApi, turn, plan);
        let behaviour = self.phone_of(to);
        self.begin(account, call, lines, behaviour)
    }

    /// Begins a call that somebody places to the service.
    pub(crate) fn receive_call(
        self: &Arc<Self>,
        account: &Arc<Account>,
        inbound: &InboundCall,
        plan: CallPlan,
    ) -> Arc<Call> {
        let numbers = (&*inbound.from, &*inbound.to);
        let sid = &account.options.sid;
        let (call, lines) = Call::new(sid, numbers, Direction::Inbound, Duration::ZERO, plan);
        self.begin(account, call, lines, inbound.phone.clone())
    }

    fn begin(
        self: &Arc<Self>,
        account: &Arc<Account>,
        call: Call,
        lines: CallLines,
        behaviour: PhoneBehaviour,
    ) -> Arc<Call> {
        let call = Arc::new(call);
        {
            let mut calls = lock(&self.calls);
            calls.in_order.push(call.clone());
            calls.by_sid.insert(call.sid.clone(), call.clone());
            calls.by_number.entry(call.to.clone()).or_default().push(call.clone());
        }
        self.live_calls.fetch_add(1, Ordering::SeqCst);
        let run = CallRun::new(self.clone(), account.clone(), call.clone(), lines, behaviour);
        self.crew.next().unwrap_or(&self.runtime).spawn(run);
        self.changed();
        call
    }

    pub(crate) fn call(&self, sid: &str) -> Option<Arc<Call>> {
        lock(&self.calls).by_sid.get(sid).cloned()
    }

    pub(crate) fn calls(&self) -> Vec<Arc<Call>> {
        lock(&self.calls).in_order.clone()
    }

    pub(crate) fn calls_to(&self, number: &str) -> Vec<Arc<Call>> {
        lock(&self.calls).by_number.get(number).cloned().unwrap_or_default()
    }

    /// A call to this number that has not been handed out before.
    pub(crate) fn take_call_to(&self, number: &str) -> Option<Arc<Call>> {
        let mut calls = lock(&self.calls);
        let Calls { by_number, handed_out, .. } = &mut *calls;
        let call = by_number.get(number)?.iter().find(|call| !handed_out.contains(&call.sid))?;
        handed_out.insert(call.sid.clone());
        Some(call.clone())
    }

    /// Calls of an account that have not ended.
    pub(crate) fn live_calls_of(&self, account_sid: &str) -> usize {
        let calls = lock(&self.calls);
        let live = calls
            .in_order
            .iter()
            .filter(|call| call.account_sid == account_sid && !call.status().is_final());
        live.count()
    }

    // Phones.

    pub(crate) fn set_phone(&self, number: &str, behaviour: PhoneBehaviour) {
        lock(&self.phones).usual.insert(number.to_owned(), behaviour);
    }

    pub(crate) fn set_next_phone(&self, number: &str, behaviour: PhoneBehaviour) {
        lock(&self.phones).next.entry(number.to_owned()).or_default().push_back(behaviour);
    }

    pub(crate) fn set_default_phone(&self, behaviour: PhoneBehaviour) {
        *lock(&self.default_phone) = behaviour;
    }

    fn phone_of(&self, number: &str) -> PhoneBehaviour {
        let mut phones = lock(&self.phones);
        let next = phones.next.get_mut(number).and_then(VecDeque::pop_front);
        next.or_else(|| phones.usual.get(number).cloned())
            .unwrap_or_else(|| lock(&self.default_phone).clone())
    }

    pub(crate) fn refuse(&self, number: &str, refusal: Option<Refusal>) {
        let refused = &mut lock(&self.phones).refused;
        match refusal {
            Some(refusal) => refused.insert(number.to_owned(), refusal),
            None => refused.remove(number),
        };
    }

    pub(crate) fn refusal_of(&self, number: &str) -> Option<Refusal> {
        lock(&self.phones).refused.get(number).cloned()
    }

    // Faults.

    pub(crate) fn set_callback_faults(&self, faults: CallbackFaults) {
        *lock(&self.callback_faults) = faults;
    }

    pub(crate) fn callback_faults(&self) -> CallbackFaults {
        lock(&self.callback_faults).clone()
    }

    pub(crate) fn add_rest_fault(&self, on: Option<RestOperation>, fault: RestFault) {
        lock(&self.rest_faults).next.push_back((on, fault));
    }

    pub(crate) fn set_standing_rest_fault(
        &self,
        fault: Option<(Option<RestOperation>, RestFault)>,
    ) {
        let mut faults = lock(&self.rest_faults);
        faults.standing = fault;
        if faults.standing.is_none() {
            faults.next.clear();
        }
    }

    pub(crate) fn take_rest_fault(&self, operation: RestOperation) -> Option<RestFault> {
        let mut faults = lock(&self.rest_faults);
        let hits = |on: &Option<RestOperation>| on.is_none_or(|on| on == operation);
        if let Some(at) = faults.next.iter().position(|(on, _)| hits(on)) {
            return faults.next.remove(at).map(|(_, fault)| fault);
        }
        faults.standing.as_ref().filter(|(on, _)| hits(on)).map(|(_, fault)| fault.clone())
    }

    // Logs.

    pub(crate) fn log_request(&self, request: RestRequest) -> usize {
        let mut requests = lock(&self.requests);
        requests.push(request);
        let index = requests.len() - 1;
        drop(requests);
        self.changed();
        index
    }

    pub(crate) fn log_answer(&self, index: usize, status: u16) {
        if let Some(request) = lock(&self.requests).get_mut(index) {
            request.status = Some(status);
        }
        self.changed();
    }

    pub(crate) fn requests(&self) -> Vec<RestRequest> {
        lock(&self.requests).clone()
    }

    pub(crate) fn log_callback(&self, record: CallbackRecord) {
        lock(&self.callbacks).push(record);
        self.changed();
    }

    pub(crate) fn callbacks(&self) -> Vec<CallbackRecord> {
        lock(&self.callbacks).clone()
    }

    /// A rule broken outside of any call.
    pub(crate) fn violation(&self, code: Option<u32>, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(code, "the service broke a rule: {what}");
        lock(&self.violations).push(Violation { call_sid: None, code, what, at: Instant::now() });
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut all = lock(&self.violations).clone();
        for call in self.calls() {
            all.extend(call.state().violations.iter().cloned());
        }
        all
    }
}
