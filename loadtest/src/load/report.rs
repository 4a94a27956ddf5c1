//! What a test found, as data.
//!
//! Written as JSON, and read again by [`super::stored`]: a report of another version lacks some parts
//! and has others, so every part has a default.

use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::figures::{Percentiles, per};
use super::machine::Machine;
use super::outcome::{CampaignFigures, Interruptions, RateStep};
use super::probe::{FrameCounts, TRUSTED_LATENESS};
use super::reference::Reference;
use super::series::Sample;
use crate::tls::Handshakes;

/// The version of the JSON; a part that changes its meaning raises it, a new one does not.
pub(crate) const FORMAT: u32 = 1;

/// The results of one test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// [`FORMAT`]; 0 in reports from before there was one.
    pub(crate) format: u32,
    /// What was done, by name; empty where there was but one thing to do.
    pub(crate) scenario: String,
    /// When it began, as RFC 3339 has it.
    pub(crate) begun_at: String,
    pub(crate) callspan_version: String,
    pub(crate) machine: Machine,
    /// Whether both legs were encrypted.
    pub(crate) tls: bool,
    /// Those of media sockets, if they were.
    pub(crate) handshakes: Option<LegHandshakes>,
    /// The service somebody else started, if it was one.
    pub(crate) target: Option<String>,
    /// Most calls at a time.
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    /// Processors of the machine, and those the service was kept to.
    pub(crate) machine_cpus: usize,
    pub(crate) service_cpus: Option<String>,
    pub(crate) startup_ms: f64,
    /// From when a request was due until it was answered.
    pub(crate) initiate_call: Percentiles,
    /// How late such requests were sent.
    pub(crate) initiate_lateness: Percentiles,
    /// Calls asked for in all.
    pub(crate) placed: u64,
    /// Frames that arrived while measuring, both directions together.
    pub(crate) frames_relayed: u64,
    pub(crate) service_cpu: Cpu,
    pub(crate) generator_cpu: Cpu,
    /// How late the phones' 20 ms clocks were.
    pub(crate) generator_lateness: Percentiles,
    /// False when the generator was the bottleneck.
    pub(crate) delays_trusted: bool,
    pub(crate) delay_phone_to_agent: Percentiles,
    pub(crate) delay_agent_to_phone: Percentiles,
    pub(crate) memory_bytes: Level,
    pub(crate) descriptors: Level,
    /// Frames of the whole test, from the first to the last.
    pub(crate) frames_phone_to_agent: FrameCounts,
    pub(crate) frames_agent_to_phone: FrameCounts,
    /// Frames the service says it dropped, by its own metrics: label and count.
    pub(crate) dropped_by_service: Vec<(String, f64)>,
    /// How long delays were, in detail.
    pub(crate) distribution: Distribution,
    /// What something else cost in the same run.
    pub(crate) reference: Option<Reference>,
    /// By how much a call makes the database grow.
    pub(crate) database_bytes_per_call: Option<f64>,
    /// initiate-call at rising rates.
    pub(crate) rates: Vec<RateStep>,
    pub(crate) campaign: Option<CampaignFigures>,
    /// Where agents were talked over.
    pub(crate) interruptions: Option<Interruptions>,
    /// Each second of the test.
    pub(crate) samples: Vec<Sample>,
    /// Why some figures may not mean what they seem to, in sentences.
    pub(crate) warnings: Vec<String>,
    pub(crate) failures: Vec<String>,
}

/// TLS handshakes of both legs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LegHandshakes {
    /// Of the service with agents, whose client it is.
    pub(crate) agents: Handshakes,
    /// Of phones with the service.
    pub(crate) phones: Handshakes,
}

impl LegHandshakes {
    /// In words.
    pub(crate) fn sentence(&self) -> String {
        let leg =
            |name, Handshakes { all, resumed }| format!("{name} {all}, of which {resumed} resumed");
        format!("{}; {}", leg("agents", self.agents), leg("phones", self.phones))
    }
}

/// Delays by quantile: which share of all frames took at most so many microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Distribution {
    pub(crate) to_agent: Vec<(f64, u64)>,
    pub(crate) to_phone: Vec<(f64, u64)>,
}

impl Distribution {
    pub(crate) fn of(to_agent: &Histogram<u64>, to_phone: &Histogram<u64>) -> Self {
        Distribution { to_agent: quantiles(to_agent), to_phone: quantiles(to_phone) }
    }
}

/// Quantiles that are ever closer to the maximum, as far as there are values enough to tell, and the
/// maximum itself.
fn quantiles(micros: &Histogram<u64>) -> Vec<(f64, u64)> {
    if micros.is_empty() {
        return Vec::new();
    }
    let nines = (micros.len() as f64).log10();
    let steps = (0..200_u32).map(|step| f64::from(step) / 10.0);
    let mut found: Vec<(f64, u64)> = steps
        .take_while(|&step| step <= nines)
        // More digits would only make the file longer.
        .map(|step| ((1.0 - 10_f64.powf(-step)) * 1e9).round() / 1e9)
        .map(|quantile| (quantile, micros.value_at_quantile(quantile)))
        .collect();
    found.push((1.0, micros.max()));
    found
}

/// Processor time while measuring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cpu {
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    pub(crate) us_per_frame: f64,
    /// Processors kept busy.
    pub(crate) cores: f64,
}

impl Cpu {
    pub(crate) fn new(user_seconds: f64, system_seconds: f64, frames: u64, seconds: f64) -> Self {
        let total = user_seconds + system_seconds;
        Cpu {
            user_seconds,
            system_seconds,
            us_per_frame: per(total * 1e6, frames),
            cores: if seconds > 0.0 { total / seconds } else { 0.0 },
        }
    }
}

/// Something the service holds: before any call, with all of them, and after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Level {
    pub(crate) idle: u64,
    pub(crate) with_calls: u64,
    pub(crate) after: u64,
    pub(crate) per_call: f64,
}

impl Level {
    pub(crate) fn new(idle: u64, with_calls: u64, after: u64, calls: u64) -> Self {
        let per_call = per(with_calls as f64 - idle as f64, calls);
        Level { idle, with_calls, after, per_call }
    }
}

/// Whether delays say something about the service.
pub(crate) fn delays_are_trusted(lateness: &Percentiles) -> bool {
    u128::from(lateness.p99_us) <= TRUSTED_LATENESS.as_micros()
}

/// Writes several reports as one JSON list.
pub(crate) fn write_all(reports: &[Report], path: &Path) -> io::Result<()> {
    write_json(&reports, path)
}

fn write_json(value: &impl Serialize, path: &Path) -> io::Result<()> {
    let mut json = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    json.push('\n');
    std::fs::write(path, json)
}

impl Report {
    /// Writes everything as JSON.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        write_json(self, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_shared_out() {
        let cpu = Cpu::new(1.5, 0.5, 100_000, 10.0);
        assert_eq!((cpu.us_per_frame, cpu.cores), (20.0, 0.2));
        assert_eq!(Cpu::new(1.0, 1.0, 0, 0.0).us_per_frame, 0.0);
        assert_eq!(Level::new(1_000, 3_000, 1_200, 10).per_call, 200.0);
        assert_eq!(Level::new(3_000, 1_000, 0, 10).per_call, -200.0);
    }

    #[test]
    fn a_late_generator_is_not_believed() {
        let late = |p99_us| Percentiles { p99_us, ..Percentiles::default() };
        assert!(delays_are_trusted(&late(5_000)));
        assert!(!delays_are_trusted(&late(5_001)));
    }

    #[test]
    fn the_report_is_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        let report = Report { calls: 7, ..Report::default() };
        report.write(&path).expect("it is written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["calls"], 7);
        assert_eq!(json["frames_phone_to_agent"]["sent"], 0);
    }

    #[test]
    fn a_distribution_goes_as_far_as_its_values() {
        let mut micros = crate::load::probe::histogram();
        for value in 1..=1_000 {
            micros.record(value).expect("within bounds");
        }
        let all = Distribution::of(&micros, &crate::load::probe::histogram());
        assert_eq!(all.to_agent.first(), Some(&(0.0, 1)));
        assert_eq!(all.to_agent.last(), Some(&(1.0, 1_000)));
        assert_eq!(all.to_agent.len(), 32, "three nines by tenths, and the maximum");
        assert!(all.to_agent.is_sorted());
        assert_eq!(all.to_phone, []);
    }
}
