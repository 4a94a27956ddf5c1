//! Puts the service together, runs it, and ends it in order.
//!
//! Starting is all or nothing: the database is opened and brought up to date, the address is
//! bound, and only then does anything run. Ending is a drain: no new calls, live calls finish,
//! what is left is hung up, everything is written, and only then does the server stop.

mod http_service;
mod server;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor as _, Addr, Arbiter};
use actix_web::web;
use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::ids::{CallId, CompanyId};
use actors::ports::{CallLog as _, Ports};
use actors::registry::{NotAccepted, Registry};
use jiff::Timestamp;
use secrecy::SecretString;
use tracing::info;

use crate::api::{self, AdminKey, NewAdminKey, RateLimiters, Vitals, Watchers, ensure_admin_key};
use crate::campaigns::{self, Campaigns};
use crate::clients::agent_socket::AgentConnector;
use crate::clients::twilio::TwilioClient;
use crate::clients::ultravox::UltravoxClient;
use crate::clients::{ClientSetupError, TlsSetupError};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pacing::{PacedTelephony, Pacer};
use crate::public_url::PublicUrl;
use crate::reconcile::{self, Pace};
use crate::recorder::Recorder;
use crate::recovery;
use crate::secrets::key_file::{self, KeyError};
use crate::store::{Journal, NodeId, Store, StoreError};
use crate::webhooks::inbound::OneAtATime;

pub use http_service::HttpService;
use http_service::{Drain, Hurry};

/// The company that the environment describes.
const COMPANY_FROM_ENVIRONMENT: CompanyId = CompanyId(1);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The key that secrets are sealed under.
    #[error("the master key: {0}")]
    Key(#[from] KeyError),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// What is needed to reach the vendors.
    #[error("the connection to a vendor cannot be set up: {0}")]
    Client(#[from] ClientSetupError),
    /// The roots of trust.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] TlsSetupError),
    /// Our own certificate.
    #[error("CALLSPAN_TLS_CERT and CALLSPAN_TLS_KEY: {0}")]
    Certificate(#[from] tls::CertificateError),
    /// The address to listen on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// What every handler may use.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) journal: Arc<Journal>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) campaigns: Arc<Campaigns>,
    pub(crate) pacer: Pacer,
    pub(crate) watchers: Watchers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) telephony: Arc<TwilioClient>,
    pub(crate) agents: Arc<UltravoxClient>,
    pub(crate) connector: AgentConnector,
    pub(crate) public_url: PublicUrl,
    pub(crate) admin_key: AdminKey,
    pub(crate) rate_limiters: RateLimiters,
    pub(crate) vitals: Vitals,
    pub(crate) recorder: Recorder,
    pub(crate) metrics_token: Option<SecretString>,
    pub(crate) node: NodeId,
    pub(crate) incoming: OneAtATime,
    pub(crate) apology: String,
    pub(crate) ring_timeout: Duration,
    pub(crate) max_call: Duration,
    /// Calls a second of a company that does not say otherwise.
    pub(crate) max_cps: f64,
}

impl Context {
    /// A call that was stored, and for which there was no room after all, is over.
    pub(crate) fn record_refusal(&self, id: CallId, refusal: NotAccepted) {
        let detail = Some(refusal.to_string());
        let (status, reason) = (CallStatus::Failed, EndReason::NotAccepted);
        self.journal.record(id, CallUpdate::Ended { status, reason, detail, duration: None });
    }
}

/// A running service.
pub struct Application {
    address: SocketAddr,
    new_admin_key: Option<NewAdminKey>,
    service: Addr<HttpService>,
    context: web::Data<Context>,
}

impl Application {
    /// Starts the service on the current actix system.
    pub async fn start(config: Config) -> Result<Application, StartupError> {
        Self::start_with(config, Pace::default()).await
    }

    /// The same, asking Twilio about silent calls at another pace.
    pub async fn start_with(config: Config, pace: Pace) -> Result<Application, StartupError> {
        let url = config.database_url.expose();
        let sealer = key_file::load(config.master_key.as_ref(), url)?;
        let store = Store::connect(url, sealer).await?;
        let resealed = store.reseal().await?;
        if resealed > 0 {
            info!(resealed, "{resealed} secrets are now sealed under the first master key");
        }
        if let Some(settings) = config.company_settings() {
            store.upsert_company(COMPANY_FROM_ENVIRONMENT, &settings, Timestamp::now()).await?;
        }
        let new_admin_key = ensure_admin_key(&store, config.admin_key.as_ref()).await?;

        let (listener, address) = server::bind(config.bind)?;
        let vitals = Vitals::new(store.first_configured().await?);
        let context = web::Data::new(build_context(&config, store, address, vitals)?);
        let server = server::prepare(&config, listener, context.clone())?;
        context.store.register(context.node, Timestamp::now()).await?;
        actix_web::rt::spawn(context.store.clone().keep_log_short());
        actix_web::rt::spawn(recovery::beat(context.clone()));
        actix_web::rt::spawn(api::settle_agents(context.clone()));
        actix_web::rt::spawn(api::watch_vitals(context.clone()));
        actix_web::rt::spawn(api::purge_idempotency(context.clone()));
        actix_web::rt::spawn(reconcile::run(context.clone(), pace));
        actix_web::rt::spawn(campaigns::run(context.clone()));
        let service = HttpService::new(server, context.clone()).start();
        info!(%address, public_url = %context.public_url, "ready on {address}");
        Ok(Application { address, new_admin_key, service, context })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin key that was made because there was none. It cannot be read again.
    pub fn take_new_admin_key(&mut self) -> Option<SecretString> {
        self.new_admin_key.take().map(|NewAdminKey(key)| key)
    }

    /// How many calls are live.
    pub fn live_calls(&self) -> usize {
        self.context.registry.count()
    }

    /// The live calls, for whoever starts some without a request.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.context.registry
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.context.node
    }

    /// The campaigns this node runs.
    pub fn campaigns(&self) -> &Arc<Campaigns> {
        &self.context.campaigns
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// Waits until what is known of all calls and requests is written. False when that took too long.
    pub async fn flush(&self, limit: Duration) -> bool {
        let recorded = tokio::time::timeout(limit, self.context.recorder.flush()).await;
        self.context.journal.flush(limit).await && recorded.is_ok()
    }

    /// Takes no new calls, lets live ones finish for at most `grace`, hangs up the rest, and stops.
    pub async fn drain(&self, grace: Duration) {
        // An error means that it has stopped already.
        let _ = self.service.send(Drain { grace }).await;
    }

    /// Closes the database, which a service that has stopped needs no more.
    pub async fn close(self) {
        self.context.store.close().await;
    }

    /// Cuts the grace of a drain short.
    pub fn hurry(&self) {
        self.service.do_send(Hurry);
    }
}

fn build_context(
    config: &Config,
    store: Store,
    address: SocketAddr,
    vitals: Vitals,
) -> Result<Context, StartupError> {
    let metrics = Arc::new(Metrics::new());
    let telephony = Arc::new(TwilioClient::new(&config.twilio_api_url, metrics.clone())?);
    let agents = Arc::new(UltravoxClient::new(&config.ultravox_api_url, metrics.clone())?);
    let journal = Arc::new(Journal::spawn(store.clone()));
    let pacer = Pacer::new(store.clone(), config.max_cps);
    let ports = Ports {
        telephony: Arc::new(PacedTelephony::new(pacer.clone(), telephony.clone())),
        agents: agents.clone(),
        log: journal.clone(),
        observer: metrics.clone(),
    };
    let arbiter = Arbiter::current();
    Ok(Context {
        rate_limiters: RateLimiters::new(&config.rate_limits, config.trusted_proxies.clone()),
        vitals,
        recorder: Recorder::spawn(store.clone()),
        registry: Registry::new(ports, arbiter, config.max_active_calls),
        campaigns: Arc::default(),
        pacer,
        watchers: Watchers::default(),
        store,
        journal,
        metrics,
        telephony,
        agents,
        connector: AgentConnector::new()?,
        public_url: config.public_url.clone().with_chosen_port(address.port()),
        admin_key: AdminKey::new(config.admin_key.as_ref()),
        metrics_token: config.metrics_token.clone(),
        node: NodeId::generate(),
        incoming: OneAtATime::default(),
        apology: config.apology.clone(),
        ring_timeout: config.ring_timeout,
        max_call: config.max_call,
        max_cps: config.max_cps,
    })
}

/// Brings the database's schema up to date.
pub async fn migrate(config: &Config) -> Result<(), StartupError> {
    let url = config.database_url.expose();
    let sealer = key_file::load(config.master_key.as_ref(), url)?;
    let store = Store::connect(url, sealer).await?;
    store.close().await;
    Ok(())
}
