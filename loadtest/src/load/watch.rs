//! Looks at a running test each second: one sample for the report, one line for whoever waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gauge::{Gauge, GaugeError, Usage};
use super::output;
use super::probe::{Probe, Recent};
use super::proc::Process;
use super::series::Sample;
use crate::twilio::SimTwilio;
use crate::ultravox::SimUltravox;

/// How often a line is written where nothing can be redrawn.
const PLAIN_LINE_EVERY: usize = 10;

/// What has been asked of the service so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) placed: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Everything that is looked at. Clones look at the same.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) probe: Probe,
    pub(crate) twilio: SimTwilio,
    pub(crate) ultravox: SimUltravox,
    pub(crate) tally: Arc<Tally>,
    pub(crate) gauge: Gauge,
}

/// What has been counted up to one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) usage: Usage,
    pub(crate) generator: Duration,
    pub(crate) frames: u64,
    skipped: u64,
    placed: u64,
    failed: u64,
}

impl View {
    /// Calls with both sockets open.
    pub(crate) fn calls_up(&self) -> u64 {
        self.twilio.live_streams().min(self.ultravox.live_sockets()) as u64
    }

    pub(crate) async fn moment(&self) -> Result<Moment, GaugeError> {
        let usage = self.gauge.read().await?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Moment {
            at: Instant::now(),
            usage,
            generator: Process::this().cpu()?.total(),
            frames: self.probe.to_agent().in_order + self.probe.to_phone().in_order,
            skipped: self.probe.skipped(),
            placed: count(&self.tally.placed),
            failed: count(&self.tally.failed),
        })
    }
}

/// The samples of a running test; the looking ends when this is dropped.
pub(crate) struct Watch {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
        output::end_progress_line();
    }
}

impl Watch {
    /// Begins to look, each second from now.
    pub(crate) fn begin(view: View, first: Moment) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(look(view, first, samples.clone()));
        Watch { samples, task }
    }

    /// Those so far.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look(view: View, first: Moment, samples: Arc<Mutex<Vec<Sample>>>) {
    let averaged = view.gauge.seconds_averaged();
    let mut earlier = VecDeque::from([first]);
    for second in 1u32.. {
        tokio::time::sleep_until((first.at + Duration::from_secs(1) * second).into()).await;
        // A service that does not answer is found out by the test itself.
        let Ok(now) = view.moment().await else { continue };
        let recent = view.probe.take_recent();
        let before = Before { last: earlier.back().copied(), cpu: earlier.front().copied() };
        let sample = sample(first.at, before, &now, view.calls_up(), &recent);
        let mut all = samples.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(sample);
        output::show_progress(&sample.line(), all.len().is_multiple_of(PLAIN_LINE_EVERY));
        drop(all);
        earlier.push_back(now);
        if earlier.len() > averaged {
            earlier.pop_front();
        }
    }
}

/// What a second is compared with: its beginning, and for processor time perhaps an earlier one.
#[derive(Clone, Copy)]
struct Before {
    last: Option<Moment>,
    cpu: Option<Moment>,
}

fn sample(began: Instant, before: Before, now: &Moment, calls_up: u64, recent: &Recent) -> Sample {
    let last = before.last.unwrap_or(*now);
    let cpu = before.cpu.unwrap_or(last);
    let cores = |used: Duration, since: Instant| {
        let seconds = (now.at - since).as_secs_f64();
        if seconds > 0.0 { used.as_secs_f64() / seconds } else { 0.0 }
    };
    Sample {
        at_seconds: (now.at - began).as_secs_f64(),
        calls_up,
        placed: now.placed - last.placed,
        failed: now.failed - last.failed,
        frames: now.frames - last.frames,
        service_cores: cores(now.usage.cpu.since(cpu.usage.cpu).total(), cpu.at),
        generator_cores: cores(now.generator.saturating_sub(last.generator), last.at),
        resident_bytes: now.usage.resident_bytes,
        descriptors: now.usage.descriptors,
        to_agent_p50_us: recent.to_agent.value_at_quantile(0.5),
        to_agent_p99_us: recent.to_agent.value_at_quantile(0.99),
        to_phone_p50_us: recent.to_phone.value_at_quantile(0.5),
        to_phone_p99_us: recent.to_phone.value_at_quantile(0.99),
        lateness_p99_us: recent.lateness.value_at_quantile(0.99),
        dropped: now.skipped - last.skipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::proc::CpuTime;

    const SECOND: Duration = Duration::from_secs(1);

    fn moment(at: Instant, cpu_ms: u64, count: u64) -> Moment {
        let user = Duration::from_millis(cpu_ms);
        let usage = Usage {
            cpu: CpuTime { user, system: Duration::ZERO },
            resident_bytes: 1_000 + count,
            descriptors: count,
        };
        let (frames, skipped, placed, failed) = (count * 100, count * 2, count, count / 2);
        Moment { at, usage, generator: user / 2, frames, skipped, placed, failed }
    }

    #[test]
    fn a_sample_tells_what_changed_in_its_second() {
        let began = Instant::now();
        let [one, two, three] = [(1, 100, 4), (2, 100, 6), (3, 1_100, 10)]
            .map(|(seconds, cpu_ms, count)| moment(began + SECOND * seconds, cpu_ms, count));
        let recent = Probe::new().take_recent();
        let before = Before { last: Some(two), cpu: Some(one) };
        let sample = sample(began, before, &three, 9, &recent);
        let expected = Sample {
            at_seconds: 3.0,
            calls_up: 9,
            placed: 4,
            failed: 2,
            frames: 400,
            // A second of processor time in the two seconds since the first moment.
            service_cores: 0.5,
            generator_cores: 0.5,
            resident_bytes: 1_010,
            descriptors: 10,
            dropped: 8,
            ..Sample::default()
        };
        assert_eq!(sample, expected);
    }
}
