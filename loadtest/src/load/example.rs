//! A report as a real test writes one, for tests of what is made of reports.

use super::figures::{Percentiles, per};
use super::machine::Machine;
use super::outcome::RateStep;
use super::probe::{FrameCounts, histogram};
use super::reference::{self, Against, Reference};
use super::report::{Cpu, Distribution, FORMAT, LegHandshakes, Level, Report};
use super::series::Sample;
use crate::tls::Handshakes;

/// A number between 0 and 1 that looks like chance and is none.
fn chance(n: u64) -> f64 {
    (((n + 1) as f64 * 12.9898).sin() * 43_758.547).rem_euclid(1.0)
}

/// A whole number of microseconds about as large as this, and never below.
fn micros(at_least: f64, spread: f64, n: u64) -> u64 {
    format!("{:.0}", at_least + spread * chance(n).powi(3)).parse().expect("a whole number")
}

/// Few digits, so that JSON gives back exactly what was written.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// 300 calls for 40 seconds.
pub(crate) fn report() -> Report {
    at(300)
}

/// The same over TLS, between halves without it.
pub(crate) fn over_tls() -> Report {
    let plain = report();
    let mut report = report();
    report.tls = true;
    report.service_cpu.us_per_frame *= 1.25;
    let leg = |resumed| Handshakes { all: 300, resumed };
    report.handshakes = Some(LegHandshakes { agents: leg(299), phones: leg(290) });
    report.reference =
        Some(reference::combine(Against::Plain, &plain, &plain, &report.service_cpu));
    report
}

/// The same with so many calls, at about the same cost for each.
pub(crate) fn at(calls: u64) -> Report {
    let frames_a_second = calls * 100;
    let frames = frames_a_second * 40;
    let whole = FrameCounts {
        sent: frames / 2 + 12_000,
        in_order: frames / 2 + 12_000,
        ..FrameCounts::default()
    };
    let cpu = |us: f64, kernel: f64| {
        let seconds = us * frames as f64 / 1e6;
        Cpu {
            user_seconds: rounded(seconds * (1.0 - kernel)),
            system_seconds: rounded(seconds * kernel),
            us_per_frame: us,
            cores: rounded(seconds / 40.0),
        }
    };
    let times = |scale: f64, count: u64| {
        let at = |factor: f64, n: u64| micros(scale * factor, 0.0, n);
        Percentiles {
            count,
            p50_us: at(1.0, 1),
            p90_us: at(2.9, 2),
            p99_us: at(6.05, 3),
            p999_us: at(11.4, 4),
            max_us: at(27.7, 5),
        }
    };
    Report {
        format: FORMAT,
        scenario: "steady".into(),
        begun_at: "2026-03-14T09:26:53Z".into(),
        callspan_version: "0.1.0".into(),
        machine: Machine {
            cpu: "AMD EPYC 7763 64-Core Processor".into(),
            cpus: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1.0-18-amd64".into(),
        },
        calls,
        seconds: 40.0,
        machine_cpus: 2,
        service_cpus: Some("0".into()),
        startup_ms: 48.0,
        initiate_call: times(1_300.0, calls),
        frames_relayed: frames,
        service_cpu: cpu(9.1, 0.71),
        generator_cpu: cpu(14.2, 0.55),
        generator_lateness: times(190.0, frames / 2),
        delays_trusted: true,
        delay_phone_to_agent: times(150.0, frames / 2),
        delay_agent_to_phone: times(141.0, frames / 2),
        memory_bytes: Level::new(11 << 20, (11 << 20) + calls * 31_900, 14 << 20, calls),
        descriptors: Level::new(24, 24 + calls * 2, 31, calls),
        frames_phone_to_agent: whole,
        frames_agent_to_phone: whole,
        distribution: distribution(),
        reference: Some(Reference {
            name: "HAProxy 2.6.12".into(),
            connections: calls,
            seconds: 40.0,
            frames_relayed: frames,
            cpu: cpu(8.43, 0.83),
            delay_round_trip: times(250.0, frames / 2),
            ratio: 1.08,
            ..Reference::default()
        }),
        database_bytes_per_call: Some(1_420.0),
        samples: (1..=54).map(|second| sample(calls, second)).collect(),
        ..Report::default()
    }
}

/// A second of a ramp of six, a steady state of forty-two, and an end of six.
fn sample(calls: u64, second: u64) -> Sample {
    let share = match second {
        0..=6 => second as f64 / 6.0,
        7..=48 => 1.0,
        _ => (54 - second) as f64 / 6.0,
    };
    let up = micros(calls as f64 * share, 0.0, second);
    let noise = |n: u64| 1.0 + 0.06 * (chance(second * 7 + n) - 0.5);
    Sample {
        at_seconds: second as f64,
        calls_up: up,
        placed: if second <= 6 { calls / 6 } else { 0 },
        failed: 0,
        frames: micros(100.0 * up as f64 * noise(1), 0.0, second),
        service_cores: rounded(9.1e-4 * up as f64 * noise(2) + 0.003),
        generator_cores: rounded(14.2e-4 * up as f64 * noise(3) + 0.004),
        resident_bytes: (11 << 20) + 31_900 * up.max(if second > 48 { calls / 3 } else { 0 }),
        descriptors: 24 + 2 * up,
        to_agent_p50_us: micros(138.0, 40.0, second),
        to_agent_p99_us: micros(620.0, 780.0, second + 100),
        to_phone_p50_us: micros(131.0, 36.0, second + 200),
        to_phone_p99_us: micros(590.0, 640.0, second + 300),
        lateness_p99_us: micros(700.0, 1_300.0, second + 400),
        dropped: 0,
    }
}

fn distribution() -> Distribution {
    let [mut to_agent, mut to_phone] = [histogram(), histogram()];
    for n in 0..20_000_u64 {
        // A long tail: each nine takes about twice as long as the one before.
        let nines = -(1.0 - (n as f64 + 0.5) / 20_000.0).log10();
        to_agent.saturating_record(micros(105.0 * 2.05_f64.powf(nines * 1.35), 9.0, n));
        to_phone.saturating_record(micros(98.0 * 1.95_f64.powf(nines * 1.35), 9.0, n));
    }
    Distribution::of(&to_agent, &to_phone)
}

/// initiate-call at rates up to where it becomes slow.
pub(crate) fn rates() -> Vec<RateStep> {
    let step = |(per_second, p99): (f64, u64)| {
        let requests = micros(per_second * 20.0, 0.0, 0);
        let times = Percentiles {
            count: requests,
            p50_us: p99 / 3,
            p90_us: p99 / 2,
            p99_us: p99,
            p999_us: p99 * 2,
            max_us: p99 * 3,
        };
        RateStep { per_second, requests, times, ..RateStep::default() }
    };
    [(10.0, 3_900), (25.0, 4_100), (50.0, 4_600), (100.0, 6_800), (200.0, 19_000)].map(step).into()
}

/// A run at rising numbers of calls, whose cost rises at the end.
pub(crate) fn scale() -> Vec<Report> {
    let levels = [(50, 1.03), (100, 1.0), (200, 1.01), (500, 1.06), (1_000, 1.13), (1_500, 1.31)];
    let level = |(calls, dearer): (u64, f64)| {
        let mut report = at(calls);
        report.service_cpu.us_per_frame *= dearer;
        report.service_cpu.cores *= dearer;
        if let Some(reference) = &mut report.reference {
            reference.ratio *= dearer;
        }
        report.memory_bytes.per_call *= 1.0 + 20.0 / calls as f64;
        for delay in [&mut report.delay_phone_to_agent, &mut report.delay_agent_to_phone] {
            delay.p50_us += calls / 5;
            delay.p99_us = micros(300.0 + per(calls as f64, 1).powf(1.25), 0.0, 0);
        }
        report
    };
    levels.map(level).into()
}
