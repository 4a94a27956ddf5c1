//! The page of two reports beside each other.

use serde::Serialize;

use super::axis::Axis;
use super::document::{Badge, Document, figure};
use super::plot::{Line, Plot};
use super::text::{escape, notes};
use super::{charts, summary};
use crate::load::compare::{Change, Compared, Comparison, Verdict};
use crate::load::report::Report;
use crate::load::series::Sample;
use crate::load::units::Unit;

/// What the page holds as JSON.
#[derive(Serialize)]
struct Data<'a> {
    comparison: &'a Comparison,
    before: &'a Report,
    after: &'a Report,
}

/// What changed from one report to another, as one page.
pub(crate) fn comparison_page(before: &Report, after: &Report) -> String {
    let comparison = Comparison::of(before, after);
    let badge = match comparison.verdict() {
        Verdict::Better => (Badge::Good, "better"),
        Verdict::Same => (Badge::Good, "the same"),
        Verdict::Worse => (Badge::Bad, "worse"),
        Verdict::NotComparable => (Badge::Doubtful, "not comparable"),
    };
    let about = [("before", before), ("after", after)].map(|(when, report)| {
        format!("{when}: {} · {}", summary::title(report), summary::about(report).join(" · "))
    });
    let sentence = sentence_case(&comparison.sentence());
    let mut body = format!("<p class=\"lead\">{}</p>", escape(&sentence));
    body.push_str(&notes("doubtful", "Why there is no verdict", &comparison.obstacles));
    body.push_str("<h2>All figures</h2><div class=\"whole\">");
    body.push_str(&table(&comparison.figures));
    body.push_str("</div>");
    let plots = plots(before, after);
    if !plots.is_empty() {
        body.push_str(&format!("<h2>How they went</h2><div class=\"plots\">{plots}</div>"));
    }
    let data = Data { comparison: &comparison, before, after };
    Document { title: "Callspan: two load tests compared", about: about.to_vec(), badge, body }
        .with_data(&data)
}

fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

fn table(figures: &[Compared]) -> String {
    let row = |figure: &Compared| {
        let class = match figure.change {
            Change::Better => "better",
            Change::Worse => "worse",
            Change::Same => "faint",
        };
        let word = if figure.change == Change::Same { "same" } else { figure.word() };
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{class}\">{word}</td></tr>",
            escape(figure.name),
            escape(&figure.unit.show(figure.before)),
            escape(&figure.unit.show(figure.after)),
            escape(&figure.ratio()),
        )
    };
    let columns = ["", "before", "after", "ratio", "change"];
    let columns = columns.map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
    format!(
        "<div class=\"scroll\"><table><thead><tr>{columns}</tr></thead><tbody>{}</tbody></table>\
         </div>",
        figures.iter().map(row).collect::<String>()
    )
}

fn plots(before: &Report, after: &Report) -> String {
    if before.samples.is_empty() || after.samples.is_empty() {
        return String::new();
    }
    let plot = |id: &'static str, title: &str, unit: Unit, value: fn(&Sample) -> f64| {
        let line = |name: &str, colour: usize, report: &Report| {
            let (_, samples) = crate::load::series::thinned(&report.samples, 300);
            let points = samples.iter().map(|sample| (sample.at_seconds, value(sample)));
            Line::new(name, colour, points.collect())
        };
        let lines = vec![line("before", 0, before).dashed(), line("after", 1, after)];
        let plot = Plot {
            id,
            title: title.to_owned(),
            description: charts::described(unit, &lines),
            x: Axis::along("since the test began", Unit::Seconds, &charts::xs(&lines)),
            y: Axis::from_zero("", unit, &charts::ys(&lines)),
            lines,
            limit: None,
        };
        figure(title, "", &plot.svg())
    };
    [
        plot("to-agent", "Phone to agent, p99", Unit::Micros, |s| s.to_agent_p99_us as f64),
        plot("to-phone", "Agent to phone, p99", Unit::Micros, |s| s.to_phone_p99_us as f64),
        plot("cpu", "Processors the service kept busy", Unit::Cores, |s| s.service_cores),
        plot("memory", "Resident memory", Unit::Bytes, |s| s.resident_bytes as f64),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::well_formed;
    use super::*;
    use crate::load::example;

    #[test]
    fn the_page_tells_what_changed() {
        let before = example::report();
        let mut after = example::report();
        after.service_cpu.us_per_frame *= 1.5;
        let page = comparison_page(&before, &after);
        well_formed(&page);
        assert!(page.contains("<p class=\"lead\">Worse: CPU per frame.</p>"), "{page}");
        assert!(page.contains("<td>1.50</td><td class=\"worse\">worse</td>"), "{page}");
    }

    #[test]
    fn reports_that_cannot_be_compared_are_shown_with_the_reason() {
        let hostile = "</script><script>".to_owned();
        let before = Report { scenario: hostile, ..Report::default() };
        let page = comparison_page(&before, &example::report());
        well_formed(&page);
        assert!(page.contains("Why there is no verdict") && page.contains(">not comparable<"));
        assert_eq!(page.matches("<script").count(), 1);
    }
}
