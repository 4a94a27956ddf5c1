//! The page of one report.

use super::charts::charts;
use super::document::{Document, tiles};
use super::summary;
use super::text::{escape, notes, table};
use crate::load::figures::{Percentiles, per};
use crate::load::outcome::RateStep;
use crate::load::reference::Against;
use crate::load::report::{Level, Report};
use crate::load::units::{Unit, grouped, short};

/// Everything a test found, as one page.
pub(crate) fn page(report: &Report) -> String {
    let mut body = format!("<p class=\"lead\">{}</p>", escape(&summary::sentence(report)));
    body.push_str(&tiles(&summary::tiles(report)));
    body.push_str(&notes("bad", "What was wrong", &report.failures));
    body.push_str(&notes("doubtful", "To be read with care", &report.warnings));
    let charts = charts(report);
    if !charts.is_empty() {
        body.push_str(&format!("<h2>How it went</h2><div class=\"plots\">{charts}</div>"));
    }
    body.push_str("<h2>All figures</h2><div class=\"tables\">");
    body.push_str(&costs(report));
    body.push_str(&delays(report));
    body.push_str(&frames(report));
    body.push_str(&levels(report));
    body.push_str(&reference(report));
    body.push_str(&rates(report));
    body.push_str(&campaign(report));
    body.push_str("</div>");
    let title = summary::title(report);
    let about = summary::about(report);
    let badge = summary::badge(report);
    Document { title: &title, about, badge, body }.with_data(report)
}

fn costs(report: &Report) -> String {
    let (service, generator) = (report.service_cpu, report.generator_cpu);
    let row = |name: &str, unit: Unit, one: f64, other: f64| {
        vec![name.to_owned(), unit.show(one), unit.show(other)]
    };
    let each = |cores: f64| per(cores * 1e6, report.calls);
    table(
        "Processor time",
        &["", "service", "generator"],
        &[
            row("per relayed frame", Unit::Micros, service.us_per_frame, generator.us_per_frame),
            row("per call and second", Unit::Micros, each(service.cores), each(generator.cores)),
            row("processors kept busy", Unit::Cores, service.cores, generator.cores),
            row(
                "in the program, seconds",
                Unit::Count(""),
                service.user_seconds,
                generator.user_seconds,
            ),
            row(
                "in the kernel, seconds",
                Unit::Count(""),
                service.system_seconds,
                generator.system_seconds,
            ),
        ],
    )
}

/// Columns of percentiles.
const PERCENTILES: [&str; 6] = ["", "p50", "p90", "p99", "p99.9", "max"];

fn percentiles(name: &str, times: &Percentiles) -> Vec<String> {
    let micros = [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
    let mut row = vec![name.to_owned()];
    row.extend(micros.map(|micros| Unit::Micros.show(micros as f64)));
    row
}

fn delays(report: &Report) -> String {
    let rows = [
        percentiles("phone to agent", &report.delay_phone_to_agent),
        percentiles("agent to phone", &report.delay_agent_to_phone),
        percentiles("initiate-call", &report.initiate_call),
        percentiles("generator late by", &report.generator_lateness),
    ];
    table("Times", &PERCENTILES, &rows)
}

fn frames(report: &Report) -> String {
    let (to_agent, to_phone) = (report.frames_phone_to_agent, report.frames_agent_to_phone);
    let row = |name: &str, one: u64, other: u64| {
        vec![name.to_owned(), grouped(one as f64, 0), grouped(other as f64, 0)]
    };
    let mut rows = vec![
        row("sent", to_agent.sent, to_phone.sent),
        row("arrived whole and in order", to_agent.in_order, to_phone.in_order),
        row("lost", to_agent.lost(), to_phone.lost()),
        row("out of order", to_agent.out_of_order, to_phone.out_of_order),
        row("damaged or astray", to_agent.damaged, to_phone.damaged),
        row("silence put in", to_agent.unmarked, to_phone.unmarked),
    ];
    for (labels, count) in &report.dropped_by_service {
        let name = format!("dropped, says the service: {labels}");
        rows.push(vec![name, grouped(*count, 0), String::new()]);
    }
    table("Frames of the whole test", &["", "phone to agent", "agent to phone"], &rows)
}

fn levels(report: &Report) -> String {
    let row = |name: &str, unit: Unit, level: &Level| {
        let held = [level.idle, level.with_calls, level.after].map(|held| unit.show(held as f64));
        let mut row = vec![name.to_owned()];
        row.extend(held);
        row.push(unit.show(level.per_call));
        row
    };
    let none = || "–".to_owned();
    let mut rows = vec![
        row("memory", Unit::Bytes, &report.memory_bytes),
        row("descriptors", Unit::Count(""), &report.descriptors),
    ];
    if let Some(bytes) = report.database_bytes_per_call {
        rows.push(vec!["database".to_owned(), none(), none(), none(), Unit::Bytes.show(bytes)]);
    }
    let ready = Unit::Micros.show(report.startup_ms * 1_000.0);
    rows.push(vec!["start to ready".to_owned(), ready, none(), none(), none()]);
    table("What the service holds", &["", "idle", "with calls", "after", "per call"], &rows)
}

fn reference(report: &Report) -> String {
    let Some(reference) = &report.reference else { return String::new() };
    let (ours, theirs) = (report.service_cpu, reference.cpu);
    let ratio = |one: f64, other: f64| Unit::Times.show(one / other);
    let row = |name: &str, unit: Unit, one: f64, other: f64| {
        vec![name.to_owned(), unit.show(one), unit.show(other), ratio(one, other)]
    };
    let beside = match reference.against {
        Against::Haproxy => {
            let there_and_back =
                report.delay_phone_to_agent.p50_us + report.delay_agent_to_phone.p50_us;
            let trip = reference.delay_round_trip.p50_us;
            row("there and back, p50", Unit::Micros, there_and_back as f64, trip as f64)
        }
        Against::Plain => {
            let ours = report.memory_bytes.per_call;
            row("memory per call", Unit::Bytes, ours, reference.memory_bytes_per_call)
        }
    };
    let rows = [
        vec![
            "processor time per frame".to_owned(),
            Unit::Micros.show(ours.us_per_frame),
            Unit::Micros.show(theirs.us_per_frame),
            Unit::Times.show(reference.ratio),
        ],
        row("processors kept busy", Unit::Cores, ours.cores, theirs.cores),
        beside,
        vec![
            "frames relayed".to_owned(),
            grouped(report.frames_relayed as f64, 0),
            grouped(reference.frames_relayed as f64, 0),
            String::new(),
        ],
        vec![
            "connections".to_owned(),
            String::new(),
            grouped(reference.connections as f64, 0),
            String::new(),
        ],
    ];
    let title = match reference.against {
        Against::Haproxy => "Merely moving the bytes",
        Against::Plain => "The same without TLS",
    };
    table(title, &["", "callspan", &reference.name, "ratio"], &rows)
}

fn rates(report: &Report) -> String {
    if report.rates.is_empty() {
        return String::new();
    }
    let row = |rate: &RateStep| {
        let requests = match rate.refused {
            0 => grouped(rate.requests as f64, 0),
            refused => {
                let refused = grouped(refused as f64, 0);
                format!("{} ({refused} refused)", grouped(rate.requests as f64, 0))
            }
        };
        let Percentiles { p50_us, p90_us, p99_us, max_us, .. } = rate.times;
        let mut row = vec![format!("{} a second", Unit::Count("").show(rate.per_second)), requests];
        row.extend([p50_us, p90_us, p99_us, max_us].map(|us| Unit::Micros.show(us as f64)));
        row
    };
    let rows: Vec<_> = report.rates.iter().map(row).collect();
    let columns = ["", "requests", "p50", "p90", "p99", "max"];
    table("initiate-call at rising rates", &columns, &rows)
}

fn campaign(report: &Report) -> String {
    let Some(campaign) = &report.campaign else { return String::new() };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    table(
        "Campaign",
        &[],
        &[
            row("recipients", grouped(campaign.recipients as f64, 0)),
            row("calls at a time, at most", grouped(campaign.concurrent as f64, 0)),
            row("calls dialled a second", short(campaign.dispatched_per_second)),
            row("of its limit in use", format!("{}%", short(100.0 * campaign.mean_occupancy))),
            row("accepted in", Unit::Micros.show(campaign.accepted_ms * 1_000.0)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::well_formed;
    use super::*;
    use crate::load::example;

    fn data(page: &str) -> serde_json::Value {
        let (_, rest) =
            page.split_once("<script type=\"application/json\" id=\"data\">").expect("data");
        serde_json::from_str(rest.split("</script>").next().expect("its end")).expect("JSON")
    }

    #[test]
    fn the_page_holds_the_report() {
        let report = Report { rates: example::rates(), ..example::report() };
        let page = page(&report);
        well_formed(&page);
        let read: Report = serde_json::from_value(data(&page)).expect("a report");
        assert!(read == report, "what is embedded is the report");
        assert!(page.contains(">passed</strong>") && page.contains("1.08"), "{page}");
    }

    #[test]
    fn tls_is_beside_what_there_is_without_it() {
        let report = example::over_tls();
        let page = page(&report);
        well_formed(&page);
        let read: Report = serde_json::from_value(data(&page)).expect("a report");
        assert!(read == report, "what is embedded is the report");
        assert!(page.contains("The same without TLS") && page.contains("plain TCP"), "{page}");
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile =
            "</script></title></style><script>alert(1)</script><!-- & \" '\u{0}".to_owned();
        let mut report = example::report();
        report.scenario = hostile.clone();
        report.begun_at = hostile.clone();
        report.callspan_version = hostile.clone();
        report.machine.cpu = hostile.clone();
        report.service_cpus = Some(hostile.clone());
        report.dropped_by_service = vec![(hostile.clone(), 3.0)];
        report.failures = vec![hostile.clone()];
        report.warnings = vec![hostile.clone()];
        report.reference.as_mut().expect("it has one").name = hostile.clone();
        let page = page(&report);
        well_formed(&page);
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(!page.contains("<!--"));
        assert_eq!(data(&page)["failures"][0], hostile);
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let page = page(&example::report()).replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<link", "<img"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_is_missing_or_no_number_breaks_no_page() {
        let mut odd = example::report();
        odd.samples.truncate(1);
        odd.samples[0].service_cores = f64::NAN;
        odd.samples[0].at_seconds = f64::INFINITY;
        odd.service_cpu.us_per_frame = f64::NAN;
        odd.service_cpu.cores = f64::INFINITY;
        odd.memory_bytes.per_call = f64::NEG_INFINITY;
        odd.seconds = 0.0;
        odd.distribution.to_agent = vec![(f64::NAN, 5), (2.0, 0)];
        odd.rates = vec![Default::default()];
        odd.campaign = Some(Default::default());
        odd.reference.as_mut().expect("it has one").ratio = f64::NAN;
        for report in [odd, Report::default()] {
            let page = page(&report);
            well_formed(&page);
            let shown = page.split("<script").next().expect("the part that is shown");
            for odd in ["NaN", "inf<", ">inf", "inf "] {
                assert!(!shown.contains(odd), "{odd}");
            }
        }
    }
}
