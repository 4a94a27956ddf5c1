//! Carries a scenario out on a service that is ready, and looks at what it leaves.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::bottleneck;
use super::caller::{Asked, Caller};
use super::campaign::Campaigns;
use super::check::{self, Observed};
use super::figures::per;
use super::gauge::{Gauge, Metrics, Usage};
use super::measured::Measured;
use super::metrics::{labelled, value_of};
use super::outcome::RateStep;
use super::output::progress;
use super::plan::{self, Plan};
use super::proc::Process;
use super::report::{LegHandshakes, Level, Report};
use super::run::RunError;
use super::scenario::{FRAME, Scenario, Shape};
use super::subject::{LaunchMode, Stopped, Subject};
use super::watch::{View, Watch};
use crate::twilio::SimCall;

/// How long calls may take to come up after the last was placed, and to end after the last hung up.
const CALLS_LIMIT: Duration = Duration::from_secs(30);
/// From the last call coming up to the beginning of the measurement, so that what a new call costs
/// is not counted with what its frames cost.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the last frames may be on their way.
const FRAMES_LIMIT: Duration = Duration::from_secs(3);
/// How long connections are kept for the next request.
const CONNECTIONS_LIMIT: Duration = Duration::from_secs(15);
/// How often something that must happen is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Hang-ups a second, at most.
const HANG_UP_EVERY: Duration = Duration::from_millis(5);
/// Calls below which the growth of a database says more about its pages than about calls.
const GROWTH_CALLS: u64 = 100;
/// What Twilio's debugger notes when the service ends a stream, or when it breaks.
const STREAM_ENDED: [u32; 2] = [31_921, 31_903];

/// The parts of a running test.
pub(crate) struct Test<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) mode: &'a LaunchMode,
    pub(crate) view: View,
    pub(crate) http: reqwest::Client,
    pub(crate) caller: Caller,
    pub(crate) subject: Subject,
}

impl Test<'_> {
    /// A service of somebody else's must be there for the test alone, and between our simulators.
    pub(crate) async fn look_first(&mut self) -> Result<(), RunError> {
        let metrics = self.metrics().await;
        if let Subject::Attached { target, .. } = &self.subject {
            let (twilio, first) = (self.view.twilio.clone(), self.caller.place_one());
            // It is cut off, so what it says would be lost.
            self.view.probe.speak(false);
            target.try_one_call(&metrics, &twilio, first).await?;
            self.view.probe.speak(true);
        }
        Ok(())
    }

    /// From the first call to the service's end.
    pub(crate) async fn run(mut self) -> Result<Report, RunError> {
        // What the first connection allocates is no call's.
        sleep(Duration::from_millis(200)).await;
        let first = self.view.moment().await?;
        let plan = plan::plan(self.scenario);
        let mut seen =
            Observed { descriptors_idle: first.usage.descriptors, ..Observed::default() };
        let watch = Watch::begin(self.view.clone(), first);

        let initiated = self.caller.carry_out(&plan.before, Instant::now()).await;
        if !plan.before.is_empty() {
            let refused: usize = initiated.iter().map(|asked| asked.refusals.len()).sum();
            let up = (plan.before.len() - refused) as u64;
            wait_for(CALLS_LIMIT, || self.view.calls_up() >= up).await;
            sleep(SETTLE).await;
        }
        let mut measured = self.measure(&plan, &mut seen).await?;
        measured.asked.splice(0..0, initiated);
        let samples = watch.samples();
        drop(watch);
        self.wait_until_up(&plan, &measured.asked).await;
        self.end_calls(&mut seen).await;
        progress("all calls are over");
        let dropped = self.ask_service(&mut seen).await;
        let last = self.settled(first.usage.descriptors).await?;
        seen.descriptors_after = last.descriptors;

        let mut report = measured.report(self.scenario, self.mode, &self.view.probe, &mut seen);
        report.startup_ms = self.subject.started_in().as_secs_f64() * 1_000.0;
        report.dropped_by_service = dropped;
        report.handshakes = report.tls.then(|| LegHandshakes {
            agents: self.view.ultravox.handshakes(),
            phones: self.view.twilio.handshakes(),
        });
        let full = samples.iter().max_by_key(|sample| sample.calls_up);
        let full = full.copied().unwrap_or_default();
        let idle = first.usage;
        report.calls = full.calls_up;
        report.memory_bytes = Level::new(
            idle.resident_bytes,
            full.resident_bytes,
            last.resident_bytes,
            full.calls_up,
        );
        report.descriptors =
            Level::new(idle.descriptors, full.descriptors, last.descriptors, full.calls_up);
        let expect = self.scenario.expect;
        let stopped = self.stop(&mut seen).await;
        report.database_bytes_per_call = stopped
            .database_growth
            .filter(|_| seen.came_up >= GROWTH_CALLS)
            .map(|bytes| per(bytes as f64, seen.came_up));
        report.samples = samples;
        Ok(Report { failures: check::failures(&seen, expect), ..report })
    }

    /// Carries out what is done while measuring.
    async fn measure(&mut self, plan: &Plan, seen: &mut Observed) -> Result<Measured, RunError> {
        let this = Process::this();
        let before = self.view.moment().await?;
        let (generator, threads) = (this.cpu()?, this.threads()?);
        self.view.probe.measure(true);
        let began = Instant::now();
        let mut campaign = None;
        let asked = match &self.scenario.shape {
            Shape::Campaign { .. } => {
                let campaigns = Campaigns {
                    http: &self.http,
                    url: self.subject.url("/api/v1/campaigns"),
                    key: self.subject.key(),
                    view: &self.view,
                };
                let (figures, problems) = campaigns.run(self.scenario).await;
                campaign = Some(figures);
                seen.campaign = problems;
                Vec::new()
            }
            _ => {
                let asked = self.caller.carry_out(&plan.measured, began).await;
                let end = began + Duration::from_secs(self.scenario.seconds);
                tokio::time::sleep_until(end.into()).await;
                asked
            }
        };
        self.view.probe.measure(false);
        let after = self.view.moment().await?;
        let seconds = (after.at - before.at).as_secs_f64();
        let rates = match &self.scenario.shape {
            Shape::Rest { rates, .. } => {
                rates.iter().zip(&asked).map(|(rate, asked)| RateStep::new(*rate, asked)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Measured {
            before,
            after,
            generator: this.cpu()?.since(generator),
            busiest: bottleneck::busiest(&threads, &this.threads()?, seconds),
            asked,
            rates,
            campaign,
        })
    }

    /// Calls whose phone got its stream, the first one to somebody else's service left out.
    fn came_up(&self) -> u64 {
        let calls = self.view.twilio.calls();
        let tried = usize::from(matches!(self.mode, LaunchMode::Attached(_)));
        calls.iter().skip(tried).filter(|call| !call.stream_sids().is_empty()).count() as u64
    }

    /// Waits until all calls that were accepted have come up, and those are over that end by
    /// themselves.
    async fn wait_until_up(&self, plan: &Plan, asked: &[Asked]) {
        let accepted = asked.iter().map(|asked| asked.sent - asked.refusals.len() as u64);
        let accepted: u64 = accepted.sum();
        wait_for(CALLS_LIMIT, || self.came_up() >= accepted).await;
        if let Some(length) = self.scenario.call_length() {
            let over = || self.view.twilio.live_calls() == 0;
            wait_for(length + CALLS_LIMIT, over).await;
        } else if plan.held < self.scenario.calls {
            // Phones that were told to hang up fall silent first.
            wait_for(CALLS_LIMIT, || self.view.calls_up() <= plan.held.into()).await;
        }
    }

    /// Lets every frame arrive, then hangs up all phones and waits for the end of everything.
    async fn end_calls(&self, seen: &mut Observed) {
        let View { probe, twilio, ultravox, .. } = &self.view;
        probe.speak(false);
        // The clocks' current tick may still speak.
        sleep(FRAME * 2).await;
        wait_for(FRAMES_LIMIT, || probe.to_agent().lost() == 0 && probe.to_phone().lost() == 0)
            .await;
        (seen.to_agent, seen.to_phone) = (probe.to_agent(), probe.to_phone());
        for call in twilio.calls().into_iter().filter(|call| !call.is_over()) {
            call.hang_up();
            sleep(HANG_UP_EVERY).await;
        }
        let at_twilio = || twilio.live_calls() + twilio.live_streams();
        let at_ultravox = || ultravox.live_sockets() + ultravox.active_calls();
        wait_for(CALLS_LIMIT, || at_twilio() + at_ultravox() == 0).await;
        (seen.left_at_twilio, seen.left_at_ultravox) = (at_twilio() as u64, at_ultravox() as u64);
        seen.came_up = self.came_up();
        let ended = |call: &SimCall| {
            call.notifications().iter().any(|note| STREAM_ENDED.contains(&note.code))
        };
        seen.ended = twilio.calls().iter().filter(|call| ended(call)).count() as u64;
    }

    /// Waits until the service, too, counts no call; gives the frames it says it dropped.
    async fn ask_service(&self, seen: &mut Observed) -> Vec<(String, f64)> {
        let began = Instant::now();
        loop {
            let metrics = self.metrics().await;
            seen.left_in_service = value_of(&metrics, "callspan_calls_active")
                + value_of(&metrics, "callspan_media_streams_active");
            if seen.left_in_service == 0.0 || began.elapsed() > CALLS_LIMIT {
                return labelled(&metrics, "callspan_media_dropped_frames_total");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What the service holds once connections have been closed that nobody uses any more: their
    /// peers do that after some seconds.
    async fn settled(&self, descriptors_idle: u64) -> Result<Usage, RunError> {
        let began = Instant::now();
        loop {
            let usage = self.view.gauge.read().await?;
            let is_settled = usage.descriptors <= descriptors_idle + check::KEPT_CONNECTIONS;
            if is_settled || began.elapsed() > CONNECTIONS_LIMIT {
                return Ok(usage);
            }
            sleep(LOOK_EVERY * 10).await;
        }
    }

    async fn metrics(&self) -> String {
        match &self.view.gauge {
            Gauge::Metrics(metrics) => metrics.text().await,
            Gauge::Process(_) => {
                let url = self.subject.url("/metrics");
                Metrics { http: self.http.clone(), url, token: None }.text().await
            }
        }
    }

    /// Stops everything, and notes what the simulators say of it.
    async fn stop(self, seen: &mut Observed) -> Stopped {
        let stopped = self.subject.stop().await;
        seen.bad_exit.clone_from(&stopped.bad_exit);
        let View { twilio, ultravox, .. } = &self.view;
        let at_twilio = twilio.violations().into_iter().map(|found| found.what);
        let at_ultravox = ultravox.violations().into_iter().map(|found| found.what);
        seen.violations = at_twilio.chain(at_ultravox).collect();
        twilio.shutdown();
        ultravox.shutdown();
        stopped
    }
}

/// Waits until something is so, for at most this long.
async fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() && began.elapsed() < limit {
        sleep(LOOK_EVERY).await;
    }
}
