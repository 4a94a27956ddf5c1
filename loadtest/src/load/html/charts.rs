//! Which plots a report has.

use super::axis::Axis;
use super::document::figure;
use super::plot::{Line, Plot};
use crate::load::probe::TRUSTED_LATENESS;
use crate::load::report::Report;
use crate::load::series::{Sample, thinned};
use crate::load::units::Unit;

/// Points of a line that are still told apart on a screen.
const MOST_POINTS: usize = 300;
/// Phone to agent, and agent to phone.
const TO_AGENT: usize = 0;
const TO_PHONE: usize = 1;

/// All plots of a report, each in its figure.
pub(super) fn charts(report: &Report) -> String {
    let mut out = String::new();
    let (delay, rest) = over_time(&report.samples);
    out.push_str(&delay);
    if !report.distribution.to_agent.is_empty() || !report.distribution.to_phone.is_empty() {
        out.push_str(&distribution(report));
    }
    out.push_str(&rest);
    if !report.rates.is_empty() {
        out.push_str(&rates(report));
    }
    out
}

/// What a line over time shows of each sample.
type Value = fn(&Sample) -> f64;

/// The plot of delays over time, and all others over time.
fn over_time(samples: &[Sample]) -> (String, String) {
    if samples.is_empty() {
        return Default::default();
    }
    let (each, samples) = thinned(samples, MOST_POINTS);
    let note = match each {
        1 => String::new(),
        each => format!("Each point is {each} seconds."),
    };
    let line = |name: &str, colour: usize, value: Value| {
        let points = samples.iter().map(|sample| (sample.at_seconds, value(sample)));
        Line::new(name, colour, points.collect())
    };
    let plot = |id: &'static str, title: &str, unit: Unit, lines: Vec<Line>| {
        let plot = Plot {
            id,
            title: title.to_owned(),
            description: described(unit, &lines),
            x: Axis::along("since the test began", Unit::Seconds, &xs(&lines)),
            y: Axis::from_zero("", unit, &ys(&lines)),
            lines,
            limit: None,
        };
        figure(title, &note, &plot.svg())
    };
    let delay = plot(
        "delay",
        "Delay that the service adds to a frame",
        Unit::Micros,
        vec![
            line("to agent, p99", TO_AGENT, |s| s.to_agent_p99_us as f64),
            line("to agent, p50", TO_AGENT, |s| s.to_agent_p50_us as f64).dashed(),
            line("to phone, p99", TO_PHONE, |s| s.to_phone_p99_us as f64),
            line("to phone, p50", TO_PHONE, |s| s.to_phone_p50_us as f64).dashed(),
        ],
    );
    let mut out = String::new();
    out.push_str(&plot(
        "cpu",
        "Processors kept busy",
        Unit::Cores,
        vec![
            line("service", 2, |s| s.service_cores),
            line("generator", 3, |s| s.generator_cores).dashed(),
        ],
    ));
    out.push_str(&lateness(&note, line("late by, p99", 3, |s| s.lateness_p99_us as f64)));
    out.push_str(&plot(
        "calls",
        "Calls",
        Unit::Count("calls"),
        vec![
            line("up", 0, |s| s.calls_up as f64),
            line("placed", 2, |s| s.placed as f64).dashed(),
            line("refused", 1, |s| s.failed as f64),
        ],
    ));
    out.push_str(&plot(
        "frames",
        "Frames relayed each second, both ways",
        Unit::Count("frames"),
        vec![line("frames", 0, |s| s.frames as f64)],
    ));
    out.push_str(&plot(
        "memory",
        "Resident memory of the service",
        Unit::Bytes,
        vec![line("memory", 2, |s| s.resident_bytes as f64)],
    ));
    out.push_str(&plot(
        "descriptors",
        "Descriptors that the service holds",
        Unit::Count("files"),
        vec![line("descriptors", 2, |s| s.descriptors as f64)],
    ));
    if samples.iter().any(|sample| sample.dropped > 0) {
        let lines = vec![line("missing", 1, |s| s.dropped as f64)];
        out.push_str(&plot("drops", "Frames that went missing", Unit::Count("frames"), lines));
    }
    (delay, out)
}

/// How punctual the generator was: the measure of the measure.
fn lateness(note: &str, line: Line) -> String {
    let title = "Lateness of the generator's own clock (p99)";
    let limit = TRUSTED_LATENESS.as_micros() as f64;
    let mut values = ys(std::slice::from_ref(&line));
    values.push(limit);
    let plot = Plot {
        id: "lateness",
        title: title.to_owned(),
        description: described(Unit::Micros, std::slice::from_ref(&line)),
        x: Axis::along("since the test began", Unit::Seconds, &xs(std::slice::from_ref(&line))),
        y: Axis::from_zero("", Unit::Micros, &values),
        lines: vec![line],
        limit: Some((limit, "above this, delays are not to be trusted".to_owned())),
    };
    figure(title, note, &plot.svg())
}

/// Delays by percentile; each nine has as much room as the one before it.
fn distribution(report: &Report) -> String {
    let all = [
        ("phone to agent", TO_AGENT, &report.distribution.to_agent),
        ("agent to phone", TO_PHONE, &report.distribution.to_phone),
    ];
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let inner = all.iter().flat_map(|(_, _, pairs)| pairs.iter().map(|pair| nines(pair.0)));
    let end = inner.filter(|x| x.is_finite()).fold(0.0, f64::max) + 0.25;
    let lines = all.map(|(name, colour, pairs)| {
        let place = |quantile: f64| if quantile >= 1.0 { end } else { nines(quantile) };
        let points = pairs.iter().map(|&(quantile, micros)| (place(quantile), micros as f64));
        Line::new(name, colour, points.collect())
    });
    let mut ticks: Vec<(f64, String)> =
        [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999, 0.999_999_9]
            .into_iter()
            .map(|quantile| (nines(quantile), percent(quantile)))
            .filter(|(at, _)| *at < end - 0.3)
            .collect();
    ticks.push((end, "max".to_owned()));
    let title = "Delay by percentile";
    let plot = Plot {
        id: "distribution",
        title: title.to_owned(),
        description: format!("{} The scale is logarithmic.", described(Unit::Micros, &lines)),
        x: Axis::with_ticks("share of all frames that took no longer", ticks, end)
            .naming(|nines| percent(1.0 - 10_f64.powf(-nines))),
        y: Axis::logarithmic("", Unit::Micros, &ys(&lines)),
        lines: lines.to_vec(),
        limit: None,
    };
    figure(title, "", &plot.svg())
}

/// A share as a percentage with as many digits as its nines need.
fn percent(share: f64) -> String {
    let digits = match 1.0 - share {
        rest if rest > 0.0095 => 0,
        rest if rest > 0.000_95 => 1,
        rest if rest > 0.000_095 => 2,
        rest if rest > 0.000_009_5 => 3,
        _ => 4,
    };
    format!("{:.digits$}%", share * 100.0)
}

fn rates(report: &Report) -> String {
    let line = |name: &str, colour: usize, value: fn(&crate::load::figures::Percentiles) -> u64| {
        let points = report.rates.iter().map(|rate| (rate.per_second, value(&rate.times) as f64));
        Line::new(name, colour, points.collect()).with_dots()
    };
    let lines = vec![
        line("p50", 0, |times| times.p50_us),
        line("p90", 2, |times| times.p90_us),
        line("p99", 1, |times| times.p99_us),
    ];
    let title = "initiate-call at rising rates";
    let plot = Plot {
        id: "rates",
        title: title.to_owned(),
        description: described(Unit::Micros, &lines),
        x: Axis::along("requests a second", Unit::Count(""), &xs(&lines)),
        y: Axis::from_zero("", Unit::Micros, &ys(&lines)),
        lines,
        limit: None,
    };
    figure(title, "From when a request was due until it was answered.", &plot.svg())
}

pub(super) fn xs(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect()
}

pub(super) fn ys(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.1).collect()
}

/// Each line's extent, for those who cannot see it.
pub(super) fn described(unit: Unit, lines: &[Line]) -> String {
    let line = |line: &Line| {
        let values = line.points.iter().map(|point| point.1).filter(|value| value.is_finite());
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        format!("{}: {} to {}.", line.name, unit.show(least), unit.show(most))
    };
    lines.iter().map(line).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example;

    #[test]
    fn a_report_has_the_plots_it_has_data_for() {
        let count = |report: &Report| charts(report).matches("<svg").count();
        let mut report = example::report();
        assert_eq!(count(&report), 8, "all but missing frames, of which there are none");
        report.samples[3].dropped = 1;
        assert_eq!(count(&report), 9);
        report.rates = example::rates();
        assert_eq!(count(&report), 10);
        report.samples.clear();
        assert_eq!(count(&report), 2);
        assert_eq!(count(&Report::default()), 0);
    }

    #[test]
    fn percentiles_have_the_digits_they_need() {
        let shown = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].map(percent);
        assert_eq!(shown, ["50%", "90%", "99%", "99.9%", "99.99%", "99.999%"]);
    }

    #[test]
    fn a_plot_is_described_for_those_who_cannot_see_it() {
        let lines = [Line::new("p99", 0, vec![(1.0, 900.0), (2.0, 1_500.0), (3.0, f64::NAN)])];
        assert_eq!(described(Unit::Micros, &lines), "p99: 900 µs to 1.50 ms.");
    }
}
