//! What a test found, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::figures::{Percentiles, per};
use super::outcome::{self, CampaignFigures, Interruptions, RateStep};
use super::probe::{FrameCounts, TRUSTED_LATENESS};
use super::series::Sample;

/// The results of one test.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// What was done: the scenario's name.
    pub(crate) scenario: String,
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
    /// initiate-call at rising rates.
    pub(crate) rates: Vec<RateStep>,
    pub(crate) campaign: Option<CampaignFigures>,
    /// Where agents were talked over.
    pub(crate) interruptions: Option<Interruptions>,
    /// By how much a call makes the database grow.
    pub(crate) database_bytes_per_call: Option<f64>,
    /// Each second of the test.
    pub(crate) samples: Vec<Sample>,
    /// Why the figures may be the generator's rather than the service's.
    pub(crate) warnings: Vec<String>,
    pub(crate) failures: Vec<String>,
}

/// Processor time while measuring.
#[derive(Clone, Copy, Debug, Default, Serialize)]
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
#[derive(Clone, Copy, Debug, Default, Serialize)]
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

    /// A short table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("a String takes any text");
        text
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let on = match &self.service_cpus {
            _ if let Some(target) = &self.target => format!("service at {target}"),
            Some(cpus) => format!("service on processor {cpus} of {}", self.machine_cpus),
            None => format!("{} processors, shared with the generator", self.machine_cpus),
        };
        writeln!(out, "{}: {} calls, {:.1} s, {on}", self.scenario, self.calls, self.seconds)?;
        if self.startup_ms > 0.0 {
            writeln!(out, "  start to ready          {:>10.0} ms", self.startup_ms)?;
        }
        let cpu = self.service_cpu;
        writeln!(
            out,
            "  CPU per relayed frame   {:>10.2} µs   ({:.2} cores, {:.0}% in the kernel)",
            cpu.us_per_frame,
            cpu.cores,
            share(cpu.system_seconds, cpu.user_seconds + cpu.system_seconds),
        )?;
        let memory = self.memory_bytes;
        writeln!(
            out,
            "  memory per call         {:>10.1} KiB  (idle {:.1} MiB, with calls {:.1}, after {:.1})",
            memory.per_call / 1024.0,
            mib(memory.idle),
            mib(memory.with_calls),
            mib(memory.after),
        )?;
        let files = self.descriptors;
        writeln!(
            out,
            "  descriptors per call    {:>10.2}      (idle {}, with calls {}, after {})",
            files.per_call, files.idle, files.with_calls, files.after,
        )?;
        let frames = self.frames_relayed;
        let rate = per(frames as f64, 1) / self.seconds.max(1e-9);
        writeln!(out, "  frames relayed          {frames:>10}      ({rate:.0} a second)")?;
        self.write_losses(out)?;
        writeln!(out, "  milliseconds             p50      p90      p99    p99.9      max")?;
        for (name, percentiles) in [
            ("initiate-call", &self.initiate_call),
            ("  of that, sent late", &self.initiate_lateness),
            ("phone to agent", &self.delay_phone_to_agent),
            ("agent to phone", &self.delay_agent_to_phone),
            ("generator's clock late", &self.generator_lateness),
        ] {
            writeln!(out, "  {name:<22}{}", percentiles.cells())?;
        }
        outcome::write_table(self, out)?;
        if let Some(bytes) = self.database_bytes_per_call {
            writeln!(out, "  database, each call     {bytes:>10.0} bytes")?;
        }
        let own = self.generator_cpu;
        writeln!(
            out,
            "  generator               {:>10.2} µs a frame ({:.2} cores)",
            own.us_per_frame, own.cores
        )?;
        // Whoever has no warnings is told at least this.
        if !self.delays_trusted && self.warnings.is_empty() {
            writeln!(
                out,
                "  The generator was the bottleneck: its clock was late by more than {} ms.\n  \
                 The delays and initiate-call figures are not to be trusted. Lost frames may be its \
                 own doing, too:\n  what it sends too late, the service has replaced by silence.",
                TRUSTED_LATENESS.as_millis()
            )?;
        }
        for warning in &self.warnings {
            writeln!(out, "  {warning}")?;
        }
        match self.failures.as_slice() {
            [] => write!(out, "passed"),
            failures => write!(out, "FAILED\n  {}", failures.join("\n  ")),
        }
    }

    fn write_losses(&self, out: &mut String) -> std::fmt::Result {
        for (name, counts) in [
            ("phone to agent", self.frames_phone_to_agent),
            ("agent to phone", self.frames_agent_to_phone),
        ] {
            writeln!(
                out,
                "    {name}: {} sent, {} lost, {} out of order, {} damaged, {} of silence put in",
                counts.sent,
                counts.lost(),
                counts.out_of_order,
                counts.damaged,
                counts.unmarked,
            )?;
        }
        for (labels, count) in &self.dropped_by_service {
            writeln!(out, "    the service dropped {count} frames: {labels}")?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
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
        let report = Report { delays_trusted: false, ..Report::default() };
        assert!(report.table().contains("not to be trusted"));
    }

    #[test]
    fn the_verdict_comes_last() {
        let mut report = Report { delays_trusted: true, ..Report::default() };
        assert!(report.table().ends_with("\npassed"));
        report.failures = vec!["a frame was lost".into()];
        assert!(report.table().ends_with("FAILED\n  a frame was lost"));
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
}
