//! A simulated Ultravox: its REST API, its join sockets, and agents that listen and talk.
//!
//! It is strict, so that a service which passes here has a chance with the real one: whatever is
//! not documented is answered with an error where Ultravox has one, and recorded as a violation
//! that a test can fail on. It keeps an absolute clock on threads of its own, so that a busy test
//! does not disturb it. It shares no protocol code with the service.

mod agent;
mod call;
mod ears;
mod handle;
mod join;
mod meter;
mod options;
mod playout;
mod record;
mod rest;
mod rules;
mod schema;
mod script;
mod session;
mod settings;
mod shared;
mod socket;
mod speech;
mod telephone;
mod webhooks;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use tokio::sync::watch;

pub use call::{AgentEvent, CloseReceived, EndReason, Said};
pub use handle::SimAgentCall;
pub use meter::{TimingEvent, TimingKind};
pub use options::{Fault, JoinFault, On, UltravoxOptions, UnknownCall};
pub use script::{AgentScript, HangUpWhen, Line, Pacing, Then, Turn};
pub use shared::{RecordedRequest, Violation};
pub use webhooks::{Delivery, Webhook};

use crate::{crew::Crew, tls::Handshakes};
use shared::Shared;

/// How long the last requests may take to be dropped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running simulated Ultravox. Clones are the same one; it stops when the last is dropped.
#[derive(Clone, Debug)]
pub struct SimUltravox {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// The threads, joined when the last handle goes.
#[derive(Debug)]
struct Threads {
    stop_sockets: watch::Sender<bool>,
    crew: Arc<Crew>,
    rest: ServerHandle,
    rest_gone: Mutex<mpsc::Receiver<()>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl SimUltravox {
    /// Starts one.
    pub fn start(options: UltravoxOptions) -> io::Result<Self> {
        let rest = TcpListener::bind((options.listen, options.port))?;
        let sockets = TcpListener::bind((options.listen, options.join_port))?;
        sockets.set_nonblocking(true)?;
        if let Some(bytes) = options.receive_buffer_bytes {
            // Accepted connections inherit it.
            socket2::SockRef::from(&sockets).set_recv_buffer_size(bytes)?;
        }
        let crew = Arc::new(Crew::start("ultravox-calls", options.threads)?);
        let (rest_at, sockets_at) = (rest.local_addr()?, sockets.local_addr()?);

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::new(options, rest_at, sockets_at, runtime.handle().clone()));
        let (stop_sockets, stopped) = watch::channel(false);
        let (for_sockets, for_calls) = (shared.clone(), crew.clone());
        let sockets = thread::Builder::new().name("ultravox-join".into()).spawn(move || {
            runtime.block_on(join::serve(for_sockets, sockets, for_calls, stopped))
        })?;

        let (tell, told) = mpsc::channel();
        let (alive, rest_gone) = mpsc::channel();
        let for_rest = shared.clone();
        let rest = thread::Builder::new().name("ultravox-rest".into()).spawn(move || {
            actix_rt::System::new().block_on(rest::serve(for_rest, rest, tell, alive));
        })?;
        let handle = told.recv().map_err(io::Error::other)??;
        let running = Mutex::new(vec![sockets, rest]);
        let rest_gone = Mutex::new(rest_gone);
        let threads = Threads { stop_sockets, crew, rest: handle, rest_gone, running };
        Ok(SimUltravox { shared, threads: Arc::new(threads) })
    }

    /// What a company's `apiurl` is to be: `{api_url}/api/calls` creates a call.
    pub fn api_url(&self) -> String {
        self.shared.rest_url()
    }

    /// The one key it accepts: 8 characters, a dot, and 32 more.
    pub fn api_key(&self) -> &str {
        &self.shared.api_key
    }

    /// Where join sockets are.
    pub fn join_address(&self) -> SocketAddr {
        self.shared.join_at
    }

    /// Stops everything and waits until nothing is left running. Calls end by losing their
    /// sockets.
    pub fn shutdown(&self) {
        self.threads.stop();
    }

    /// Gives agents of calls created from now on this script.
    pub fn set_script(&self, script: AgentScript) {
        self.shared.state().script = script;
    }

    /// Gives the agent of the next call this script; several queue up.
    pub fn script_next(&self, script: AgentScript) {
        self.shared.state().next_scripts.push_back(script);
    }

    /// Tells this webhook of every call from now on, besides the calls' own `callbacks`.
    pub fn set_webhook(&self, webhook: Option<Webhook>) {
        self.shared.state().webhook = webhook;
    }

    /// Every attempt to deliver a webhook so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries().borrow().clone()
    }

    /// Waits until a webhook of this event has been delivered about a call, and accepted.
    pub async fn wait_for_delivery(&self, event: &str, call_id: &str) {
        let wanted = |delivery: &Delivery| {
            delivery.event == event
                && delivery.call_id == call_id
                && delivery.status.is_some_and(|status| (200..300).contains(&status))
        };
        let mut deliveries = self.shared.deliveries();
        // The sender lives in `self`.
        let found = deliveries.wait_for(|all| all.iter().any(wanted)).await;
        found.expect("the server outlives its handle");
    }

    /// The next matching request fails; several queue up.
    pub fn fail_next(&self, on: On, fault: Fault) {
        self.shared.state().next_faults.push((on, fault));
    }

    /// Every matching request fails until `heal`.
    pub fn fail_always(&self, on: On, fault: Fault) {
        self.shared.state().lasting_faults.push((on, fault));
    }

    /// The next connection to a join socket fails; several queue up.
    pub fn fail_next_join(&self, fault: JoinFault) {
        self.shared.state().next_join_faults.push_back(fault);
    }

    /// Every connection to a join socket fails until `heal`.
    pub fn fail_every_join(&self, fault: JoinFault) {
        self.shared.state().lasting_join_fault = Some(fault);
    }

    /// Nothing fails any more, and faults still queued are forgotten.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.next_faults.clear();
        state.lasting_faults.clear();
        state.next_join_faults.clear();
        state.lasting_join_fault = None;
    }

    /// Waits for the next call to be created that no earlier `wait_for_call` returned.
    pub async fn wait_for_call(&self) -> SimAgentCall {
        self.shared.wait_for_call().await
    }

    /// Every call, oldest first.
    pub fn calls(&self) -> Vec<SimAgentCall> {
        self.shared.state().calls.iter().cloned().map(SimAgentCall).collect()
    }

    /// The call of this id.
    pub fn call(&self, id: &str) -> Option<SimAgentCall> {
        self.shared.state().by_id.get(id).cloned().map(SimAgentCall)
    }

    /// Calls that have not ended, joined or not.
    pub fn active_calls(&self) -> usize {
        self.shared.active_calls()
    }

    /// Open connections to join sockets.
    pub fn live_sockets(&self) -> usize {
        *self.shared.live_sockets.borrow()
    }

    /// TLS handshakes of join sockets so far.
    pub fn handshakes(&self) -> Handshakes {
        self.shared.handshakes.read()
    }

    /// Waits until no connection to a join socket is open.
    pub async fn wait_for_no_sockets(&self) {
        let mut live = self.shared.live_sockets.subscribe();
        // The sender lives in `self`.
        live.wait_for(|live| *live == 0).await.expect("the server outlives its handle");
    }

    /// Everything the service did that it must not, oldest first. A test ends with this empty.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.state().violations.clone()
    }

    /// Every REST request received, refused ones included.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.state().requests.clone()
    }
}

impl Threads {
    fn stop(&self) {
        self.stop_sockets.send_replace(true);
        // The command is sent by the call; only its outcome would have to be awaited.
        drop(self.rest.stop(false));
        let threads: Vec<_> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the simulated Ultravox panicked");
            }
        }
        self.crew.stop();
        // Nothing is ever sent: the wait ends when the last sender is dropped.
        let rest_gone = self.rest_gone.lock().unwrap_or_else(PoisonError::into_inner);
        if rest_gone.recv_timeout(STOP_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the simulated Ultravox API is still running");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
