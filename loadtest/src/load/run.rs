//! One load test from beginning to end.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::args::Args;
use super::check::{self, Observed};
use super::figures::{Percentiles, micros};
use super::limits::{self, TooFewDescriptors};
use super::output::progress;
use super::probe::{Probe, histogram};
use super::proc::{CpuTime, Process};
use super::report::{Cpu, Level, Report, delays_are_trusted};
use super::service::{ADMIN_KEY, Service, ServiceError};
use crate::twilio::{SimTwilio, TwilioOptions};
use crate::ultravox::{SimUltravox, UltravoxOptions};

/// How long one request to the service may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long calls may take to come up after the last was placed, and to end after the last hung up.
const CALLS_LIMIT: Duration = Duration::from_secs(30);
/// From the last call coming up to the beginning of the measurement, so that what a new call costs
/// is not counted with what its frames cost.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the last frames may be on their way.
const FRAMES_LIMIT: Duration = Duration::from_secs(3);
/// How often something that must happen is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Length of a frame, over which the calls' clocks are spread.
const FRAME: Duration = Duration::from_millis(20);
/// Hang-ups a second, at most.
const HANG_UP_EVERY: Duration = Duration::from_millis(5);

/// Why there was no test.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Descriptors(#[from] TooFewDescriptors),
    #[error("{0}")]
    Service(#[from] ServiceError),
    #[error("the callspan binary is not there; build it, or name it with --callspan: {0}")]
    NoBinary(io::Error),
    #[error("the simulators cannot be started: {0}")]
    Simulators(io::Error),
    #[error("the service cannot be measured: {0}")]
    Proc(#[from] io::Error),
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("interrupted")]
    Interrupted,
}

/// Runs a test; whatever stops it, the service is stopped too.
pub(crate) async fn run(args: &Args) -> Result<Report, RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        report = test(args) => report,
        _ = terminate.recv() => Err(RunError::Interrupted),
        _ = interrupt.recv() => Err(RunError::Interrupted),
    }
}

async fn test(args: &Args) -> Result<Report, RunError> {
    limits::make_room(args.calls)?;
    let probe = Probe::new();
    let twilio = TwilioOptions {
        verb_time: 0.0,
        record: false,
        probe: Some(probe.clone()),
        ..TwilioOptions::default()
    };
    let ultravox = UltravoxOptions { probe: Some(probe.clone()), ..UltravoxOptions::for_load() };
    let twilio = SimTwilio::start(twilio).map_err(RunError::Simulators)?;
    let ultravox = SimUltravox::start(ultravox).map_err(RunError::Simulators)?;
    let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_LIMIT).build()?;
    let sims = (&twilio, &ultravox);
    let program = args.callspan().map_err(RunError::NoBinary)?;
    let service =
        Service::start(&program, args.service_cpus.as_deref(), args.calls, sims, &http).await?;
    progress(&format!("ready after {:.0} ms", ms(service.started_in())));

    let test = Test { args, probe, twilio, ultravox, http, process: service.process(), service };
    test.run().await
}

/// The parts of a running test.
struct Test<'a> {
    args: &'a Args,
    probe: Probe,
    twilio: SimTwilio,
    ultravox: SimUltravox,
    http: reqwest::Client,
    process: Process,
    service: Service,
}

/// Processor time and frames, at one moment.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    service: CpuTime,
    generator: CpuTime,
    frames: u64,
}

impl Test<'_> {
    async fn run(self) -> Result<Report, RunError> {
        let args = self.args;
        // What the first connection allocates is no call's.
        sleep(Duration::from_millis(200)).await;
        let idle = (self.process.resident_bytes()?, self.process.descriptors()?);

        let mut seen = Observed { calls_asked: args.calls.into(), ..Observed::default() };
        seen.descriptors_idle = idle.1;
        let initiate = self.place_calls(&mut seen).await;
        seen.up_at_first = self.wait_until_up(args.calls as usize - seen.refusals.len()).await;
        progress(&format!("{} calls are up", seen.up_at_first));
        sleep(SETTLE).await;

        let before = self.moment()?;
        self.probe.measure(true);
        sleep(args.duration()).await;
        self.probe.measure(false);
        let after = self.moment()?;
        let full = (self.process.resident_bytes()?, self.process.descriptors()?);
        seen.up_at_last = self.up();

        self.end_calls(&mut seen).await;
        let dropped = self.ask_service(&mut seen).await;
        let empty = (self.process.resident_bytes()?, self.process.descriptors()?);
        seen.descriptors_after = empty.1;
        let calls = seen.up_at_last;

        let seconds = (after.at - before.at).as_secs_f64();
        let frames = after.frames - before.frames;
        let cpu = |used: CpuTime| {
            Cpu::new(used.user.as_secs_f64(), used.system.as_secs_f64(), frames, seconds)
        };
        let lateness = Percentiles::of(&self.probe.lateness());
        let report = Report {
            calls: seen.up_at_first,
            seconds,
            machine_cpus: std::thread::available_parallelism().map_or(1, usize::from),
            service_cpus: args.service_cpus.clone(),
            startup_ms: ms(self.service.started_in()),
            initiate_call: Percentiles::of(&initiate),
            frames_relayed: frames,
            service_cpu: cpu(after.service.since(before.service)),
            generator_cpu: cpu(after.generator.since(before.generator)),
            generator_lateness: lateness,
            delays_trusted: delays_are_trusted(&lateness),
            delay_phone_to_agent: Percentiles::of(&self.probe.delay_to_agent()),
            delay_agent_to_phone: Percentiles::of(&self.probe.delay_to_phone()),
            memory_bytes: Level::new(idle.0, full.0, empty.0, calls),
            descriptors: Level::new(idle.1, full.1, empty.1, calls),
            frames_phone_to_agent: seen.to_agent,
            frames_agent_to_phone: seen.to_phone,
            dropped_by_service: dropped,
            failures: Vec::new(),
        };
        self.stop(&mut seen).await;
        Ok(Report { failures: check::failures(&seen), ..report })
    }

    fn moment(&self) -> io::Result<Moment> {
        Ok(Moment {
            at: Instant::now(),
            service: self.process.cpu()?,
            generator: Process::this().cpu()?,
            frames: self.probe.to_agent().in_order + self.probe.to_phone().in_order,
        })
    }

    /// Places all calls at the rate asked for; gives how long each request took.
    async fn place_calls(&self, seen: &mut Observed) -> Histogram<u64> {
        let between = self.args.between_calls();
        let url = self.service.url("/api/ultravox-calls/initiate-call");
        let began = Instant::now();
        let mut requests = JoinSet::new();
        for n in 0..self.args.calls {
            tokio::time::sleep_until((began + between * n + phase(n)).into()).await;
            let body = json!({ "companyId": 1, "destinationNumber": number(n) });
            let request = self.http.post(&url).header("X-API-Key", ADMIN_KEY).json(&body);
            requests.spawn(initiate(request));
        }
        let mut times = histogram();
        while let Some(outcome) = requests.join_next().await {
            match outcome {
                Ok(Ok(time)) => times.saturating_record(micros(time)),
                Ok(Err(why)) => seen.refusals.push(why),
                Err(error) => seen.refusals.push(error.to_string()),
            }
        }
        times
    }

    /// Calls with both sockets open.
    fn up(&self) -> u64 {
        self.twilio.live_streams().min(self.ultravox.live_sockets()) as u64
    }

    async fn wait_until_up(&self, calls: usize) -> u64 {
        wait_for(CALLS_LIMIT, || self.up() >= calls as u64).await;
        self.up()
    }

    /// Lets every frame arrive, then hangs up all phones and waits for the end of everything.
    async fn end_calls(&self, seen: &mut Observed) {
        self.probe.speak(false);
        // The clocks' current tick may still speak.
        sleep(FRAME * 2).await;
        wait_for(FRAMES_LIMIT, || {
            self.probe.to_agent().lost() == 0 && self.probe.to_phone().lost() == 0
        })
        .await;
        (seen.to_agent, seen.to_phone) = (self.probe.to_agent(), self.probe.to_phone());
        for call in self.twilio.calls() {
            call.hang_up();
            sleep(HANG_UP_EVERY).await;
        }
        let at_twilio = || self.twilio.live_calls() + self.twilio.live_streams();
        let at_ultravox = || self.ultravox.live_sockets() + self.ultravox.active_calls();
        wait_for(CALLS_LIMIT, || at_twilio() + at_ultravox() == 0).await;
        (seen.left_at_twilio, seen.left_at_ultravox) = (at_twilio() as u64, at_ultravox() as u64);
        progress("all calls are over");
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

    async fn metrics(&self) -> String {
        match self.http.get(self.service.url("/metrics")).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Stops everything, and notes how the service went and what the simulators say of it.
    async fn stop(self, seen: &mut Observed) {
        seen.bad_exit = match self.service.terminate().await {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the service ended with {status}")),
            Err(error) => Some(error.to_string()),
        };
        let at_twilio = self.twilio.violations().into_iter().map(|found| found.what);
        let at_ultravox = self.ultravox.violations().into_iter().map(|found| found.what);
        seen.violations = at_twilio.chain(at_ultravox).collect();
        self.twilio.shutdown();
        self.ultravox.shutdown();
    }
}

/// Sends one request and reads its answer; gives how long that took.
async fn initiate(request: reqwest::RequestBuilder) -> Result<Duration, String> {
    let began = Instant::now();
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(began.elapsed()) } else { Err(format!("{status}: {body}")) }
}

/// Spreads calls evenly over the length of a frame, as chance would: the clocks of all phones would
/// otherwise tick together.
fn phase(n: u32) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    FRAME.mul_f64((f64::from(n) * GOLDEN).fract())
}

/// Whom the call number `n` is for.
fn number(n: u32) -> String {
    format!("+1212{:07}", 5_550_000 + n)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Waits until something is so, for at most this long.
async fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() && began.elapsed() < limit {
        sleep(LOOK_EVERY).await;
    }
}

/// A metric without labels; not a number when it is missing.
fn value_of(metrics: &str, name: &str) -> f64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// The labels and values of a metric that are not zero.
fn labelled(metrics: &str, name: &str) -> Vec<(String, f64)> {
    let series = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let value: f64 = value.trim().parse().ok()?;
        (value != 0.0).then(|| (labels.to_owned(), value))
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_over_a_frame() {
        let mut quarters = [0; 4];
        for n in 0..1_000 {
            let quarter = (phase(n).as_micros() / 5_000).min(3);
            quarters[usize::try_from(quarter).expect("a quarter")] += 1;
        }
        assert!(quarters.iter().all(|count| (240..=260).contains(count)), "{quarters:?}");
    }

    #[test]
    fn every_call_has_a_number_of_its_own() {
        assert_eq!(number(0), "+12125550000");
        assert_eq!(number(4_999), "+12125554999");
    }

    #[test]
    fn metrics_are_read_by_their_whole_name() {
        let metrics = "# HELP calls_active Calls.\ncalls_active_total 9\ncalls_active 3\n\
                       dropped{direction=\"a\",reason=\"late\"} 2\ndropped{direction=\"b\"} 0\n";
        assert_eq!(value_of(metrics, "calls_active"), 3.0);
        assert!(value_of(metrics, "calls").is_nan());
        let expected = [(r#"direction="a",reason="late""#.to_owned(), 2.0)];
        assert_eq!(labelled(metrics, "dropped"), expected);
    }
}
