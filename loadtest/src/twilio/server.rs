//! Starts and stops the simulated Twilio.
//!
//! It lives on threads of its own: one for the calls, their streams and their webhooks, and
//! another for the REST API, so that neither a busy test nor a burst of requests shakes the 20 ms
//! clock.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use actix_web::{App, HttpServer, web};
use tokio::sync::oneshot;

use super::call::{CallPlan, Source, Violation, lock};
use super::faults::{CallbackFaults, RestFault, RestOperation};
use super::handle::SimCall;
use super::options::{AccountOptions, InboundCall, TwilioOptions};
use super::phone::PhoneBehaviour;
use super::rest;
use super::world::{CallbackRecord, Refusal, RestRequest, World};
use crate::crew::Crew;
use crate::tls::{Handshakes, Tls};

/// A simulated Twilio. Clones are handles to the same one; it ends with the last of them, or with
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct SimTwilio {
    running: Arc<Running>,
    world: Arc<World>,
    address: SocketAddr,
}

struct Running {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    crew: Arc<Crew>,
}

impl Running {
    fn stop(&self) {
        if let Some(stop) = lock(&self.stop).take() {
            // Fails when the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the simulated Twilio panicked");
        }
        self.crew.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Chooses the implementation of TLS, unless the process has chosen one.
pub(crate) fn install_crypto_provider() {
    // The error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl SimTwilio {
    /// Starts. When this returns, requests are answered.
    ///
    /// # Errors
    /// When the port cannot be bound or the threads cannot be started.
    pub fn start(options: TwilioOptions) -> io::Result<Self> {
        install_crypto_provider();
        let listener = TcpListener::bind((options.listen, options.port))?;
        let address = listener.local_addr()?;
        let crew = Arc::new(Crew::start("twilio-calls", options.threads)?);
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let (for_calls, tls) = (crew.clone(), options.tls.clone());
        let thread =
            std::thread::Builder::new().name("sim-twilio".to_owned()).spawn(move || {
                actix_rt::System::new().block_on(async move {
                    let world =
                        Arc::new(World::new(options, tokio::runtime::Handle::current(), for_calls));
                    let data = web::Data::from(world.clone());
                    let server = HttpServer::new(move || {
                        App::new()
                            .app_data(data.clone())
                            .app_data(web::PayloadConfig::new(1024 * 1024))
                            .default_service(web::to(rest::answer))
                    })
                    .workers(1)
                    .disable_signals()
                    .on_connect(rest::remember_connection);
                    let server = match tls {
                        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()),
                        None => server.listen(listener),
                    };
                    let server = match server {
                        Ok(server) => server.run(),
                        Err(error) => {
                            // Whoever started it waits for one answer.
                            let _ = ready.send(Err(error));
                            return;
                        }
                    };
                    let handle = server.handle();
                    actix_rt::spawn(server);
                    let _ = ready.send(Ok(world));
                    // An error means that all handles are gone, which is the same.
                    let _ = stopped.await;
                    handle.stop(false).await;
                });
            })?;
        let world = started
            .recv()
            .map_err(|_| io::Error::other("the simulated Twilio ended while starting"))??;
        let (stop, thread) = (Mutex::new(Some(stop)), Mutex::new(Some(thread)));
        let running = Running { stop, thread, crew };
        Ok(SimTwilio { running: Arc::new(running), world, address })
    }

    /// Ends everything: calls, streams, callbacks and the REST API. Returns when all of it is
    /// gone.
    pub fn shutdown(&self) {
        self.running.stop();
    }

    /// Base URL of the REST API, without a slash at the end: what `https://api.twilio.com` is to
    /// others.
    #[must_use]
    pub fn api_url(&self) -> String {
        let letter = Tls::letter(self.world.options.tls.as_ref());
        format!("http{letter}://{}", self.address)
    }

    /// TLS handshakes of media sockets so far.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        self.world.handshakes.read()
    }

    /// The first account's SID.
    #[must_use]
    pub fn account_sid(&self) -> &str {
        &self.world.options.account.sid
    }

    /// The first account's auth token.
    #[must_use]
    pub fn auth_token(&self) -> &str {
        &self.world.options.account.auth_token
    }

    /// A number that the first account may call from.
    #[must_use]
    pub fn phone_number(&self) -> &str {
        self.world.options.account.numbers.first().map_or("", |number| number)
    }

    /// Adds an account, or replaces the one with the same SID.
    pub fn add_account(&self, account: AccountOptions) {
        self.world.add_account(account);
    }

    /// How the phone with this number behaves from now on.
    pub fn set_phone(&self, number: &str, behaviour: PhoneBehaviour) {
        self.world.set_phone(number, behaviour);
    }

    /// How the phone with this number behaves for one call; several of these queue up.
    pub fn set_next_phone(&self, number: &str, behaviour: PhoneBehaviour) {
        self.world.set_next_phone(number, behaviour);
    }

    /// How phones behave that nothing else was said about.
    pub fn set_default_phone(&self, behaviour: PhoneBehaviour) {
        self.world.set_default_phone(behaviour);
    }

    /// Makes the REST API refuse calls to a number.
    pub fn refuse(&self, number: &str, status: u16, code: u32, message: &str) {
        let refusal = Refusal { status, code, message: message.to_owned() };
        self.world.refuse(number, Some(refusal));
    }

    /// Takes back [`refuse`](Self::refuse).
    pub fn accept(&self, number: &str) {
        self.world.refuse(number, None);
    }

    /// Changes what goes wrong with status callbacks.
    pub fn set_callback_faults(&self, faults: CallbackFaults) {
        self.world.set_callback_faults(faults);
    }

    /// Makes the next such REST request go wrong; several of these queue up.
    pub fn fail_next(&self, operation: impl Into<Option<RestOperation>>, fault: RestFault) {
        self.world.add_rest_fault(operation.into(), fault);
    }

    /// Makes every such REST request go wrong until [`heal`](Self::heal).
    pub fn fail_always(&self, operation: impl Into<Option<RestOperation>>, fault: RestFault) {
        self.world.set_standing_rest_fault(Some((operation.into(), fault)));
    }

    /// Ends all faults of the REST API, those not yet used included.
    pub fn heal(&self) {
        self.world.set_standing_rest_fault(None);
    }

    /// Places a call to the service. It belongs to the first account that owns `to`, or else to
    /// the first account.
    #[must_use]
    pub fn call_in(&self, inbound: InboundCall) -> SimCall {
        let owner = self.world.account_of_number(&inbound.to);
        let source = |url: String| Source::Url { url, method: "POST".to_owned() };
        let plan = CallPlan {
            source: Some(source(inbound.voice_url.clone())),
            fallback: inbound.fallback_url.clone().map(source),
            status_callback: inbound.status_callback.clone(),
            status_callback_method: "POST".to_owned(),
            status_events: vec!["completed".to_owned()],
            ..CallPlan::default()
        };
        let call = self.world.receive_call(&owner, &inbound, plan);
        SimCall::new(self.world.clone(), call)
    }

    /// The next call to a number that this has not returned before, waiting for it if need be.
    pub async fn wait_for_call(&self, to: &str) -> SimCall {
        let call = self.world.when(|| self.world.take_call_to(to)).await;
        SimCall::new(self.world.clone(), call)
    }

    /// Waits until something is true of the simulator as a whole. It is asked again whenever a
    /// call or stream begins or ends, a REST request comes or is answered, or a callback is
    /// delivered.
    pub async fn wait_until(&self, mut condition: impl FnMut(&SimTwilio) -> bool) {
        self.world.when(|| condition(self).then_some(())).await;
    }

    /// A call by its SID.
    #[must_use]
    pub fn call(&self, sid: &str) -> Option<SimCall> {
        self.world.call(sid).map(|call| SimCall::new(self.world.clone(), call))
    }

    /// All calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<SimCall> {
        self.world.calls().into_iter().map(|call| SimCall::new(self.world.clone(), call)).collect()
    }

    /// All calls to a number, oldest first.
    #[must_use]
    pub fn calls_to(&self, number: &str) -> Vec<SimCall> {
        let calls = self.world.calls_to(number).into_iter();
        calls.map(|call| SimCall::new(self.world.clone(), call)).collect()
    }

    /// How often a number was called.
    #[must_use]
    pub fn dials_to(&self, number: &str) -> usize {
        self.world.calls_to(number).len()
    }

    /// Calls that have not ended.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.world.live_calls.load(Ordering::SeqCst)
    }

    /// Media sockets that are open.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.world.live_streams.load(Ordering::SeqCst)
    }

    /// Every REST request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RestRequest> {
        self.world.requests()
    }

    /// Every status and stream callback delivered (or not) so far, in order of completion.
    #[must_use]
    pub fn callbacks(&self) -> Vec<CallbackRecord> {
        self.world.callbacks()
    }

    /// Everything the service did that Twilio does not allow, in all calls and outside of them.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.world.violations()
    }
}
