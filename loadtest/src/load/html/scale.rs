//! The page of a run at rising numbers of calls: what a call costs as calls grow, and where that
//! bends.

use super::axis::Axis;
use super::charts::{described, xs, ys};
use super::document::{Badge, Document, figure};
use super::plot::{Line, Plot};
use super::summary;
use super::text::{escape, notes, table};
use crate::load::figures::per;
use crate::load::reference::Reference;
use crate::load::report::Report;
use crate::load::units::{Unit, grouped, short};

/// A frame that costs this much more than the cheapest has bent the curve.
const DEARER: f64 = 1.15;
/// A delay that people begin to notice in sums.
const LONG_DELAY_US: u64 = 10_000;

/// What several reports say about scale, as one page.
pub(crate) fn scale_page(reports: &[Report]) -> String {
    let mut reports: Vec<&Report> = reports.iter().collect();
    reports.sort_by_key(|report| report.calls);
    let first = reports.first().copied().cloned().unwrap_or_default();
    let failures = each_named(&reports, |report| &report.failures);
    let warnings = each_named(&reports, |report| &report.warnings);
    let badge = match failures.is_empty() {
        true => (Badge::Good, "passed"),
        false => (Badge::Bad, "failed"),
    };
    let mut body = format!("<p class=\"lead\">{}</p>", escape(&bend(&reports)));
    body.push_str(&notes("bad", "What was wrong", &failures));
    body.push_str(&notes("doubtful", "To be read with care", &warnings));
    body.push_str(&format!(
        "<h2>As calls grow</h2><div class=\"plots\">{}</div>\
         <h2>All figures</h2><div class=\"whole\">{}</div>",
        plots(&reports),
        figures(&reports)
    ));
    let title = match (reports.first(), reports.last()) {
        (Some(first), Some(last)) => format!(
            "Callspan: the cost of scale, {} to {} calls",
            grouped(first.calls as f64, 0),
            grouped(last.calls as f64, 0)
        ),
        _ => "Callspan: the cost of scale".to_owned(),
    };
    let about = summary::about(&first);
    Document { title: &title, about, badge, body }.with_data(&reports)
}

/// Sentences of all reports, each with the number of calls it is about.
fn each_named(reports: &[&Report], of: fn(&Report) -> &Vec<String>) -> Vec<String> {
    let named = |report: &&Report| {
        let calls = grouped(report.calls as f64, 0);
        of(report).iter().map(|text| format!("{calls} calls: {text}")).collect::<Vec<_>>()
    };
    reports.iter().flat_map(named).collect()
}

/// The longer of the two directions' 99th percentiles.
fn worst_p99(report: &Report) -> u64 {
    report.delay_phone_to_agent.p99_us.max(report.delay_agent_to_phone.p99_us)
}

/// Where the curve bends and why, in words.
fn bend(reports: &[&Report]) -> String {
    let cost = |report: &Report| report.service_cpu.us_per_frame;
    let measured = reports.iter().filter(|report| cost(report) > 0.0);
    let Some(best) = measured.min_by(|one, other| cost(one).total_cmp(&cost(other))) else {
        return "Nothing was measured.".to_owned();
    };
    let cheapest = format!(
        "{}A frame is cheapest at {} calls, {}",
        compared(reports),
        grouped(best.calls as f64, 0),
        Unit::Micros.show(cost(best))
    );
    for report in reports {
        let mut why = Vec::new();
        // With few calls each pays more of what is done once for all of them.
        if report.calls > best.calls && cost(report) > DEARER * cost(best) {
            why.push(format!(
                "a frame costs {}, {:.0}% more than at best",
                Unit::Micros.show(cost(report)),
                100.0 * (cost(report) / cost(best) - 1.0)
            ));
        }
        if report.delays_trusted && worst_p99(report) > LONG_DELAY_US {
            let delay = Unit::Micros.show(worst_p99(report) as f64);
            why.push(format!("the 99th percentile of the delay is {delay}"));
        }
        if !report.delays_trusted {
            why.push(
                "the generator was the bottleneck, so what comes after says nothing of the service"
                    .to_owned(),
            );
        }
        if !why.is_empty() {
            let calls = grouped(report.calls as f64, 0);
            return format!("{cheapest}. It bends at {calls} calls: {}.", why.join("; "));
        }
    }
    let last = reports.last().map_or(0.0, |report| report.calls as f64);
    format!(
        "{cheapest}, and up to {} calls the curve does not bend: with more calls no frame costs 15% \
         more than that, and no 99th percentile is above {}.",
        grouped(last, 0),
        Unit::Micros.show(LONG_DELAY_US as f64)
    )
}

/// What the service was compared with, if it was.
fn reference<'a>(reports: &[&'a Report]) -> Option<&'a Reference> {
    reports.iter().find_map(|report| report.reference.as_ref())
}

/// The least and the most that a frame cost beside what it was compared with, as a sentence.
fn compared(reports: &[&Report]) -> String {
    let Some(reference) = reference(reports) else { return String::new() };
    let ratios = reports.iter().filter_map(|report| Some(report.reference.as_ref()?.ratio));
    let (least, most) = ratios
        .fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| (least.min(ratio), most.max(ratio)));
    format!("A frame costs {} to {} {}. ", short(least), short(most), reference.in_words())
}

/// Microseconds of processor time that a call takes each second.
fn us_per_call_second(report: &Report) -> f64 {
    per(report.service_cpu.cores * 1e6, report.calls)
}

fn plots(reports: &[&Report]) -> String {
    type Value = fn(&Report) -> f64;
    let line = |name: &str, colour: usize, value: Value| {
        let points = reports.iter().map(|report| (report.calls as f64, value(report)));
        Line::new(name, colour, points.collect()).with_dots()
    };
    let plot = |id: &'static str, title: &str, unit: Unit, lines: Vec<Line>| {
        let plot = Plot {
            id,
            title: title.to_owned(),
            description: described(unit, &lines),
            x: Axis::along("calls at a time", Unit::Count(""), &xs(&lines)),
            y: Axis::from_zero("", unit, &ys(&lines)),
            lines,
            limit: None,
        };
        figure(title, "", &plot.svg())
    };
    let one = |name: &str, value: Value| vec![line(name, 0, value)];
    let mut per_frame = vec![line("callspan", 0, |r| r.service_cpu.us_per_frame)];
    if let Some(reference) = reference(reports) {
        let cost: Value =
            |r| r.reference.as_ref().map_or(f64::NAN, |reference| reference.cpu.us_per_frame);
        per_frame.push(line(&reference.name, 3, cost).dashed());
    }
    [
        plot("frame", "Processor time per frame", Unit::Micros, per_frame),
        plot(
            "call",
            "Processor time per call and second",
            Unit::Micros,
            one("per call", us_per_call_second),
        ),
        plot(
            "delay",
            "Delay that the service adds to a frame",
            Unit::Micros,
            vec![
                line("to agent, p99", 0, |r| r.delay_phone_to_agent.p99_us as f64),
                line("to agent, p50", 0, |r| r.delay_phone_to_agent.p50_us as f64).dashed(),
                line("to phone, p99", 1, |r| r.delay_agent_to_phone.p99_us as f64),
                line("to phone, p50", 1, |r| r.delay_agent_to_phone.p50_us as f64).dashed(),
            ],
        ),
        plot(
            "memory",
            "Memory per call",
            Unit::Bytes,
            vec![line("per call", 2, |r| r.memory_bytes.per_call)],
        ),
        plot(
            "descriptors",
            "Descriptors per call",
            Unit::Count("files"),
            vec![line("per call", 2, |r| r.descriptors.per_call)],
        ),
        plot(
            "cores",
            "Processors kept busy",
            Unit::Cores,
            vec![
                line("service", 2, |r| r.service_cpu.cores),
                line("generator", 3, |r| r.generator_cpu.cores).dashed(),
            ],
        ),
    ]
    .concat()
}

fn figures(reports: &[&Report]) -> String {
    let row = |report: &&Report| {
        let micros = |value: u64| Unit::Micros.show(value as f64);
        let (to_agent, to_phone) = (report.delay_phone_to_agent, report.delay_agent_to_phone);
        let ratio = report.reference.as_ref().map_or(f64::NAN, |reference| reference.ratio);
        vec![
            grouped(report.calls as f64, 0),
            Unit::Micros.show(report.service_cpu.us_per_frame),
            Unit::Times.show(ratio),
            Unit::Micros.show(us_per_call_second(report)),
            short(report.service_cpu.cores),
            Unit::Bytes.show(report.memory_bytes.per_call),
            short(report.descriptors.per_call),
            format!("{} / {}", micros(to_agent.p50_us), micros(to_agent.p99_us)),
            format!("{} / {}", micros(to_phone.p50_us), micros(to_phone.p99_us)),
            grouped(summary::lost(report) as f64, 0),
            if report.delays_trusted { "no" } else { "yes" }.to_owned(),
        ]
    };
    let ratio = format!("× {}", reference(reports).map_or("proxy", |reference| &reference.name));
    let columns = [
        "calls",
        "CPU per frame",
        &ratio,
        "CPU per call·s",
        "cores",
        "memory per call",
        "files per call",
        "to agent p50 / p99",
        "to phone p50 / p99",
        "lost",
        "overloaded",
    ];
    let rows: Vec<_> = reports.iter().map(row).collect();
    table("", &columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::well_formed;
    use super::*;
    use crate::load::example;

    fn bend_of(reports: &[Report]) -> String {
        bend(&reports.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_dearer_frame_bends_the_curve() {
        let mut reports = example::scale();
        let text = bend_of(&reports);
        let compared = "A frame costs 1.08 to 1.41 times what HAProxy 2.6.12 needs to merely move";
        assert!(text.starts_with(compared), "{text}");
        assert!(text.contains("its bytes. A frame is cheapest at 100 calls, 9.10 µs."), "{text}");
        assert!(text.contains("bends at 1,500 calls: a frame costs 11.9 µs, 31% more"), "{text}");
        reports.pop();
        let text = bend_of(&reports);
        assert!(text.contains("up to 1,000 calls the curve does not bend"), "{text}");
    }

    #[test]
    fn what_few_calls_cost_more_bends_nothing() {
        let mut reports = example::scale();
        reports.pop();
        reports[0].service_cpu.us_per_frame *= 2.0;
        let text = bend_of(&reports);
        assert!(text.contains("up to 1,000 calls the curve does not bend"), "{text}");
        for report in &mut reports {
            report.reference = None;
        }
        assert!(bend_of(&reports).starts_with("A frame is cheapest at 100 calls"), "{text}");
    }

    #[test]
    fn a_long_delay_or_a_busy_generator_bends_it_too() {
        let mut reports = example::scale();
        reports[3].delay_agent_to_phone.p99_us = 10_001;
        let text = bend_of(&reports);
        assert!(text.contains("bends at 500 calls: the 99th percentile of the delay"), "{text}");
        reports[2].delays_trusted = false;
        let text = bend_of(&reports);
        assert!(text.contains("bends at 200 calls: the generator was the bottleneck"), "{text}");
        assert_eq!(bend_of(&[]), "Nothing was measured.");
    }

    #[test]
    fn the_page_orders_its_levels_and_holds_them_all() {
        let mut reports = example::scale();
        reports.reverse();
        reports[0].failures.push("a <frame> was lost".into());
        let page = scale_page(&reports);
        well_formed(&page);
        assert!(page.contains("1,500 calls: a &lt;frame&gt; was lost"), "{page}");
        assert!(page.contains("50 to 1,500 calls"), "{page}");
        assert_eq!(page.matches("<svg").count(), 6);
        let (_, data) = page.split_once("id=\"data\">").expect("data");
        let data = data.split("</script>").next().expect("its end");
        let read: Vec<Report> = serde_json::from_str(data).expect("reports");
        assert_eq!(read.len(), 6);
        assert!(read.is_sorted_by_key(|report| report.calls));
    }

    #[test]
    fn odd_levels_break_no_page() {
        well_formed(&scale_page(&[]));
        well_formed(&scale_page(&[Report::default()]));
        let mut odd = example::report();
        odd.service_cpu.us_per_frame = f64::NAN;
        odd.memory_bytes.per_call = f64::INFINITY;
        let page = scale_page(&[odd, example::report()]);
        well_formed(&page);
        assert!(!page.contains("NaN"));
    }
}
