//! One load test: the simulators, the service between them, and what is then done.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::attach::{AttachError, Target, ULTRAVOX_KEY, check_listen};
use super::bare::{self, BareError, Setup};
use super::caller::Caller;
use super::drive::Test;
use super::gauge::GaugeError;
use super::limits::{self, TooFewDescriptors};
use super::output::progress;
use super::private;
use super::probe::Probe;
use super::reference::{self, Against};
use super::report::Report;
use super::scenario::{Overrides, Scenario};
use super::service::{Service, ServiceError};
use super::setup;
use super::subject::{Attachment, LaunchMode, Subject};
use super::watch::{Tally, View};
use crate::tls::{Authority, Tls, TlsError};
use crate::twilio::SimTwilio;
use crate::ultravox::SimUltravox;

/// How long one request to the service may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Why there was no test.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Descriptors(#[from] TooFewDescriptors),
    #[error("{0}")]
    Service(#[from] ServiceError),
    #[error("{0}")]
    Attach(#[from] AttachError),
    #[error("the simulators cannot be started: {0}")]
    Simulators(io::Error),
    #[error("the service cannot be measured: {0}")]
    Gauge(#[from] GaugeError),
    #[error("the service cannot be measured: {0}")]
    Proc(#[from] io::Error),
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("the reference: {0}")]
    Bare(#[from] BareError),
    #[error("interrupted")]
    Interrupted,
}

/// Runs a test, and before and after it, for half the time each, what it is compared with, if
/// anything: on the same processors, so that a machine that becomes slower or faster meanwhile is so
/// for both. Whatever stops it, a service of our own is stopped too.
pub(crate) async fn run(
    scenario: &Scenario,
    mode: &LaunchMode,
    against: Option<Against>,
) -> Result<Report, RunError> {
    until_told_to_stop(async {
        let Some(against) = against else { return test(scenario, mode).await };
        let before = side(scenario, mode, against).await?;
        let mut report = test(scenario, mode).await?;
        let after = side(scenario, mode, against).await?;
        let reference = reference::combine(against, &before, &after, &report.service_cpu);
        for problem in before.failures.iter().chain(&after.failures) {
            report.warnings.push(format!("{}: {problem}", reference.name));
        }
        report.reference = Some(reference);
        Ok(report)
    })
    .await?
}

/// One side of a comparison.
async fn side(
    scenario: &Scenario,
    mode: &LaunchMode,
    against: Against,
) -> Result<Report, RunError> {
    match against {
        Against::Haproxy => {
            progress(&format!("HAProxy, {} calls", scenario.calls));
            let time = Duration::from_secs(scenario.seconds) / 2;
            let setup = Setup { calls: scenario.calls, time, cpus: mode.cpus() };
            Ok(bare::measure(&bare::Target::Haproxy, &setup).await?)
        }
        Against::Plain => {
            progress(&format!("without TLS, {} calls", scenario.calls));
            let seconds = Some((scenario.seconds / 2).max(1));
            let half = scenario.clone().with(Overrides { seconds, ..Overrides::default() });
            test(&half, &mode.plain()).await
        }
    }
}

/// Does something unless this process is told to stop; what it started is dropped then.
pub(crate) async fn until_told_to_stop<T>(work: impl Future<Output = T>) -> Result<T, RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = work => Ok(done),
        _ = terminate.recv() => Err(RunError::Interrupted),
        _ = interrupt.recv() => Err(RunError::Interrupted),
    }
}

async fn test(scenario: &Scenario, mode: &LaunchMode) -> Result<Report, RunError> {
    let calls = scenario.most_calls();
    limits::make_room(calls)?;
    let probe = Probe::with(setup::manner(scenario));
    let mut twilio = setup::twilio(scenario, &probe);
    let mut ultravox = setup::ultravox(scenario, &probe);
    let authority = mode.is_tls().then(Authority::new).transpose()?;
    let tls = authority.as_ref().map(Authority::peers).transpose()?;
    // Streams that are not encrypted are refused then.
    twilio.allow_ws = tls.is_none();
    (twilio.tls, ultravox.tls) = (tls.clone(), tls.clone());
    if let LaunchMode::Attached(Attachment { listen, twilio_port, ultravox_port, .. }) = mode {
        check_listen(*listen).map_err(AttachError::Public)?;
        (twilio.listen, twilio.port) = (*listen, *twilio_port);
        (ultravox.listen, ultravox.port) = (*listen, *ultravox_port);
        ultravox.join_port = ultravox_port.checked_add(1).filter(|port| *port > 1).unwrap_or(0);
        ultravox.api_key = Some(ULTRAVOX_KEY.to_owned());
    }
    let twilio = SimTwilio::start(twilio).map_err(RunError::Simulators)?;
    let ultravox = SimUltravox::start(ultravox).map_err(RunError::Simulators)?;
    let http = tls.as_ref().map_or_else(reqwest::Client::builder, Tls::http_client);
    let http = http
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(private::Resolver))
        .timeout(REQUEST_LIMIT)
        .build()?;
    let sims = (&twilio, &ultravox);
    let subject = match mode {
        LaunchMode::Own { program, cpus, .. } => {
            let (cpus, authority) = (cpus.as_deref(), authority.as_ref());
            let service = Service::start(program, cpus, authority, calls, sims, &http).await?;
            let started = service.started_in().as_millis();
            progress(&format!("{}: ready after {started} ms", scenario.name));
            Subject::Own { service, program: program.clone() }
        }
        LaunchMode::Attached(Attachment { url, key, .. }) => {
            let target = Target::new(url, key.clone()).await?;
            target.wait_until_ready(&http, calls, sims).await?;
            Subject::Attached { target, http: http.clone() }
        }
    };
    let tally = Arc::new(Tally::default());
    let view = View { probe, twilio, ultravox, tally, gauge: subject.gauge() };
    let caller = Caller {
        http: http.clone(),
        initiate_url: subject.url("/api/ultravox-calls/initiate-call"),
        key: subject.key().to_owned(),
        view: view.clone(),
        next: 0,
    };
    let begun_at = jiff::Timestamp::now().to_string();
    let mut test = Test { scenario, mode, view, http, caller, subject };
    test.look_first().await?;
    Ok(Report { begun_at, ..test.run().await? })
}
