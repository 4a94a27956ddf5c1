//! What the service uses: of a process of ours from `/proc`, of anybody's from its own metrics.

use std::time::Duration;

use super::metrics::value_of;
use super::proc::{CpuTime, Process};

/// How long the service may take to tell its metrics.
const PATIENCE: Duration = Duration::from_secs(5);

/// Processor time so far, memory and descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: CpuTime,
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: u64,
}

/// Where they are read.
#[derive(Clone, Debug)]
pub(crate) enum Gauge {
    Process(Process),
    Metrics(Metrics),
}

/// The `/metrics` of a service.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    /// What it asks for, if anything.
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Metrics({})", self.url)
    }
}

/// The service cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GaugeError {
    #[error("{0}")]
    Proc(#[from] std::io::Error),
    #[error(
        "{url} does not tell {missing}; with CALLSPAN_METRICS_TOKEN set, give the same token as \
         LOADTEST_METRICS_TOKEN"
    )]
    Missing { url: String, missing: &'static str },
}

impl Gauge {
    pub(crate) async fn read(&self) -> Result<Usage, GaugeError> {
        match self {
            Gauge::Process(process) => Ok(Usage {
                cpu: process.cpu()?,
                resident_bytes: process.resident_bytes()?,
                descriptors: process.descriptors()?,
            }),
            Gauge::Metrics(metrics) => {
                let text = metrics.text().await;
                usage(&text)
                    .map_err(|missing| GaugeError::Missing { url: metrics.url.clone(), missing })
            }
        }
    }

    /// Looks over which processor time has to be averaged: metrics tell whole seconds of it.
    pub(crate) fn seconds_averaged(&self) -> usize {
        match self {
            Gauge::Process(_) => 1,
            Gauge::Metrics(_) => 10,
        }
    }
}

impl Metrics {
    /// Everything it tells; nothing if it does not answer.
    pub(crate) async fn text(&self) -> String {
        let mut request = self.http.get(&self.url).timeout(PATIENCE);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// What a service's metrics say about its process, or which of them is missing.
fn usage(metrics: &str) -> Result<Usage, &'static str> {
    let tell = |name: &'static str| match value_of(metrics, name) {
        value if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(name),
    };
    let user = Duration::from_secs_f64(tell("process_cpu_seconds_total")?);
    Ok(Usage {
        // Not told apart; see `Cpu`.
        cpu: CpuTime { user, system: Duration::ZERO },
        resident_bytes: whole(tell("process_resident_memory_bytes")?),
        descriptors: whole(tell("process_open_fds")?),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_tells_what_it_uses() {
        let metrics = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12\n\
                       process_open_fds 34\nprocess_resident_memory_bytes 56000000\n";
        let used = usage(metrics).expect("all is there");
        assert_eq!(used.cpu.user, Duration::from_secs(12));
        assert_eq!((used.resident_bytes, used.descriptors), (56_000_000, 34));
        assert_eq!(usage("process_cpu_seconds_total 12"), Err("process_resident_memory_bytes"));
        assert_eq!(usage(""), Err("process_cpu_seconds_total"));
    }
}
