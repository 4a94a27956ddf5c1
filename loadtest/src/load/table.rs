//! A report as a table for people at a terminal.

use std::fmt::Write as _;

use super::figures::per;
use super::outcome;
use super::probe::TRUSTED_LATENESS;
use super::reference::Against;
use super::report::Report;

impl Report {
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
        let over = if self.tls { ", both legs over TLS" } else { "" };
        writeln!(
            out,
            "{}: {} calls, {:.1} s, {on}{over}",
            self.scenario, self.calls, self.seconds
        )?;
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
        if let Some(handshakes) = &self.handshakes {
            writeln!(out, "  TLS handshakes of media sockets: {}", handshakes.sentence())?;
        }
        if let Some(reference) = &self.reference {
            write!(
                out,
                "  over {:<17}  {:>10.2} ×    ({:.2} µs a frame ",
                reference.name, reference.ratio, reference.cpu.us_per_frame,
            )?;
            let kib = reference.memory_bytes_per_call / 1024.0;
            match reference.against {
                Against::Haproxy => writeln!(out, "merely to move the bytes)")?,
                Against::Plain => writeln!(out, "and {kib:.1} KiB a call without TLS)")?,
            }
        }
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
    fn the_verdict_comes_last() {
        let mut report = Report { delays_trusted: true, ..Report::default() };
        assert!(report.table().ends_with("\npassed"));
        report.failures = vec!["a frame was lost".into()];
        assert!(report.table().ends_with("FAILED\n  a frame was lost"));
    }

    #[test]
    fn a_late_generator_is_spoken_of() {
        let report = Report { delays_trusted: false, ..Report::default() };
        assert!(report.table().contains("not to be trusted"));
    }

    #[test]
    fn a_reference_and_a_warning_are_told() {
        let mut report = crate::load::example::report();
        report.warnings.push("The machine was busy.".into());
        let table = report.table();
        assert!(table.contains("over HAProxy 2.6.12           1.08 ×    (8.43 µs"), "{table}");
        assert!(table.contains("\n  The machine was busy.\n"), "{table}");
    }

    #[test]
    fn tls_is_told_with_its_handshakes_and_what_there_is_without_it() {
        let table = crate::load::example::over_tls().table();
        assert!(table.lines().next().expect("one").ends_with(", both legs over TLS"), "{table}");
        let handshakes = "agents 300, of which 299 resumed; phones 300, of which 290 resumed";
        assert!(table.contains(handshakes), "{table}");
        let without = "over plain TCP                1.25 ×    (9.10 µs a frame and 31.2 KiB a call without TLS)";
        assert!(table.contains(without), "{table}");
        assert!(!crate::load::example::report().table().contains("TLS"));
    }
}
