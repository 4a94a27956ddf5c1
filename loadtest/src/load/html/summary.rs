//! What a report comes to, in a few large figures and a sentence or two.

use super::document::{Badge, Tile};
use crate::load::reference::Against;
use crate::load::report::Report;
use crate::load::units::{Unit, grouped, short};

/// Passed or failed; a pass whose delays mean nothing is only half one.
pub(super) fn badge(report: &Report) -> (Badge, &'static str) {
    match (report.failures.is_empty(), report.delays_trusted) {
        (false, _) => (Badge::Bad, "failed"),
        (true, false) => (Badge::Doubtful, "passed, generator overloaded"),
        (true, true) => (Badge::Good, "passed"),
    }
}

/// The scenario and how large it was.
pub(super) fn title(report: &Report) -> String {
    let name = if report.scenario.is_empty() { "load test" } else { &report.scenario };
    format!("Callspan: {name}, {} calls", grouped(report.calls as f64, 0))
}

/// Where and when it was.
pub(super) fn about(report: &Report) -> Vec<String> {
    let mut first = Vec::new();
    if !report.callspan_version.is_empty() {
        first.push(format!("callspan {}", report.callspan_version));
    }
    if !report.begun_at.is_empty() {
        first.push(minute(&report.begun_at));
    }
    first.push(format!("measured for {}", Unit::Seconds.show(report.seconds)));
    first.push(if report.tls { "both legs over TLS" } else { "without TLS" }.to_owned());
    if let Some(handshakes) = &report.handshakes {
        first.push(format!("handshakes: {}", handshakes.sentence()));
    }
    let machine = report.machine.line();
    let machine = if machine.is_empty() && report.machine_cpus > 0 {
        format!("{} processors", report.machine_cpus)
    } else {
        machine
    };
    let place = match &report.service_cpus {
        Some(cpus) => format!("{machine}; service on processor {cpus} only"),
        None => format!("{machine}; service and generator share its processors"),
    };
    vec![first.join(" · "), place.trim_start_matches("; ").to_owned()]
}

/// A time as people write it; whatever else it is stays as it is.
fn minute(begun_at: &str) -> String {
    match begun_at.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => begun_at.to_owned(),
    }
}

/// Calls one processor would carry at the cost seen. None when nothing was seen.
pub(super) fn calls_per_core(report: &Report) -> Option<f64> {
    let calls = report.calls as f64 / report.service_cpu.cores;
    (calls.is_finite() && calls > 0.0).then_some(calls)
}

/// Frames that did not arrive as they should.
pub(super) fn lost(report: &Report) -> u64 {
    report.frames_phone_to_agent.lost() + report.frames_agent_to_phone.lost()
}

/// The figures people ask for first.
pub(super) fn tiles(report: &Report) -> Vec<Tile> {
    let cpu = report.service_cpu;
    let mut tiles = vec![Tile {
        name: "CPU per frame",
        value: Unit::Micros.show(cpu.us_per_frame),
        beside: format!("{} cores busy", short(cpu.cores)),
    }];
    if let Some(reference) = &report.reference {
        tiles.push(Tile {
            name: match reference.against {
                Against::Haproxy => "times the byte proxy",
                Against::Plain => "times plain TCP",
            },
            value: Unit::Times.show(reference.ratio),
            beside: format!(
                "{} takes {}",
                reference.name,
                Unit::Micros.show(reference.cpu.us_per_frame)
            ),
        });
    }
    if let Some(calls) = calls_per_core(report) {
        tiles.push(Tile {
            name: "calls per core",
            value: grouped(calls, 0),
            beside: format!("at the cost seen with {}", grouped(report.calls as f64, 0)),
        });
    }
    tiles.push(Tile {
        name: "memory per call",
        value: Unit::Bytes.show(report.memory_bytes.per_call),
        beside: format!("{} in all", Unit::Bytes.show(report.memory_bytes.with_calls as f64)),
    });
    for (name, delay) in [
        ("delay to agent, p99", report.delay_phone_to_agent),
        ("delay to phone, p99", report.delay_agent_to_phone),
    ] {
        let beside = match report.delays_trusted {
            true => format!("median {}", Unit::Micros.show(delay.p50_us as f64)),
            false => "not to be trusted".to_owned(),
        };
        tiles.push(Tile { name, value: Unit::Micros.show(delay.p99_us as f64), beside });
    }
    let sent = report.frames_phone_to_agent.sent + report.frames_agent_to_phone.sent;
    tiles.push(Tile {
        name: "frames lost",
        value: grouped(lost(report) as f64, 0),
        beside: format!("of {}", grouped(sent as f64, 0)),
    });
    tiles
}

/// The same in words.
pub(super) fn sentence(report: &Report) -> String {
    let frames = report.frames_relayed as f64 / report.seconds;
    let mut text = format!(
        "{} calls at a time relayed {} frames a second",
        grouped(report.calls as f64, 0),
        grouped(frames, 0)
    );
    text.push_str(&match lost(report) {
        0 => ", and not one was lost".to_owned(),
        1 => ", and one was lost".to_owned(),
        lost => format!(", and {} were lost", grouped(lost as f64, 0)),
    });
    text.push_str(&format!(
        ". Each cost {} of processor time",
        Unit::Micros.show(report.service_cpu.us_per_frame)
    ));
    if let Some(reference) = &report.reference {
        text.push_str(&format!(", {} {}", short(reference.ratio), reference.in_words()));
    }
    let worst = report.delay_phone_to_agent.p99_us.max(report.delay_agent_to_phone.p99_us);
    if report.delays_trusted {
        text.push_str(&format!(
            "; 99 of 100 took less than {} to pass.",
            Unit::Micros.show(worst as f64)
        ));
    } else {
        text.push_str(
            ". The generator was too busy to keep its own time, so the delays say nothing about \
             the service.",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example;

    #[test]
    fn a_report_is_told_in_words() {
        assert_eq!(
            sentence(&example::report()),
            "300 calls at a time relayed 30,000 frames a second, and not one was lost. Each cost \
             9.10 µs of processor time, 1.08 times what HAProxy 2.6.12 needs to merely move its \
             bytes; 99 of 100 took less than 908 µs to pass."
        );
        let mut report = example::report();
        report.delays_trusted = false;
        report.frames_agent_to_phone.in_order -= 1;
        let text = sentence(&report);
        assert!(text.contains("and one was lost") && text.contains("say nothing"), "{text}");
        assert_eq!(badge(&report), (Badge::Doubtful, "passed, generator overloaded"));
        report.failures.push("one frame was lost".into());
        assert_eq!(badge(&report).0, Badge::Bad);
    }

    #[test]
    fn tls_is_told_with_what_it_costs() {
        let report = example::over_tls();
        let about = about(&report)[0].clone();
        let told = "both legs over TLS · handshakes: agents 300, of which 299 resumed; phones 300";
        assert!(about.contains(told), "{about}");
        assert!(sentence(&report).contains(", 1.25 times what it costs without TLS; 99 of 100"));
        assert!(tiles(&report).iter().any(|tile| tile.name == "times plain TCP"));
    }

    #[test]
    fn calls_per_core_are_those_at_the_cost_seen() {
        let calls = calls_per_core(&example::report()).expect("it is known");
        assert!((1_098.0..1_100.0).contains(&calls), "{calls}");
        assert_eq!(calls_per_core(&Report::default()), None);
    }

    #[test]
    fn an_empty_report_says_so_without_failing() {
        let about = about(&Report { begun_at: "yesterday".into(), ..Report::default() });
        assert!(about[0].starts_with("yesterday · "), "{about:?}");
        assert!(sentence(&Report::default()).contains("relayed – frames"));
    }
}
