//! Two reports beside each other: what became better, what worse, and what is but noise.
//!
//! Figures of two machines, or of two different tests, say nothing about the service: such reports
//! are shown beside each other too, but no verdict is drawn from them.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::Percentiles;
use super::reference::Against;
use super::report::Report;
use super::units::{Unit, short};

/// Two reports beside each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// Why no verdict can be drawn, in sentences.
    pub(crate) obstacles: Vec<String>,
    pub(crate) figures: Vec<Compared>,
}

/// One figure, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Compared {
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) unit: Unit,
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) change: Change,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Better,
    Worse,
    /// As far apart as two runs of the same build may be.
    Same,
}

/// What two reports come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    Same,
    /// They are not of the same test on the same machine.
    NotComparable,
}

/// By how much a figure may differ between two runs of the same build.
#[derive(Clone, Copy)]
struct Noise {
    share: f64,
    /// However small the figure is.
    at_least: f64,
}

/// Processor time and memory repeat well.
const STEADY: Noise = Noise { share: 0.05, at_least: 0.0 };
/// Delays hang on what else the machine did, the more so the closer to the maximum they are.
const MEDIAN: Noise = Noise { share: 0.15, at_least: 50.0 };
const TAIL: Noise = Noise { share: 0.25, at_least: 200.0 };
/// Not one frame or failure more is noise.
const EXACT: Noise = Noise { share: 0.0, at_least: 0.0 };

impl Comparison {
    pub(crate) fn of(before: &Report, after: &Report) -> Self {
        Comparison { obstacles: obstacles(before, after), figures: figures(before, after) }
    }

    /// Worse if any figure is: what is gained elsewhere does not pay for it.
    pub(crate) fn verdict(&self) -> Verdict {
        let any = |change| self.figures.iter().any(|figure| figure.change == change);
        match self.obstacles.is_empty() {
            false => Verdict::NotComparable,
            true if any(Change::Worse) => Verdict::Worse,
            true if any(Change::Better) => Verdict::Better,
            true => Verdict::Same,
        }
    }

    /// The verdict in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let named = |change| {
            let changed = self.figures.iter().filter(|figure| figure.change == change);
            changed.map(|figure| figure.name).collect::<Vec<_>>().join("; ")
        };
        let (better, worse) = (named(Change::Better), named(Change::Worse));
        match self.verdict() {
            Verdict::NotComparable => "not comparable, so no verdict".to_owned(),
            Verdict::Worse if better.is_empty() => format!("worse: {worse}"),
            Verdict::Worse => format!("worse: {worse} (better: {better})"),
            Verdict::Better => format!("better: {better}"),
            Verdict::Same => "the same, within what two runs may differ".to_owned(),
        }
    }

    /// Everything as a table for people at a terminal; the verdict comes last.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<38}{:>12}{:>12}{:>9}\n", "", "before", "after", "ratio");
        for figure in &self.figures {
            let [before, after] =
                [figure.before, figure.after].map(|value| figure.unit.show(value));
            let line = format!("{:<38}{before:>12}{after:>12}{:>9}", figure.name, figure.ratio());
            let _ = writeln!(text, "{}", format!("{line}  {}", figure.word()).trim_end());
        }
        for obstacle in &self.obstacles {
            let _ = writeln!(text, "{obstacle}");
        }
        text + &self.sentence()
    }
}

impl Compared {
    /// After over before; a dash when that is no number.
    pub(crate) fn ratio(&self) -> String {
        short(self.after / self.before)
    }

    /// The change in a word; none when there is none.
    pub(crate) fn word(&self) -> &'static str {
        match self.change {
            Change::Better => "better",
            Change::Worse => "worse",
            Change::Same => "",
        }
    }
}

/// Everything that makes two reports ones of different things.
fn obstacles(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, one: &str, other: &str| {
        if one != other {
            found.push(format!("The {what} is another: {one} before, {other} after."));
        }
    };
    // What an older report does not say is taken to be the same.
    let known = |one: &str, other: &str| !one.is_empty() && !other.is_empty();
    if known(&before.scenario, &after.scenario) {
        differ("scenario", &before.scenario, &after.scenario);
    }
    differ("number of calls", &before.calls.to_string(), &after.calls.to_string());
    if known(&before.machine.cpu, &after.machine.cpu) {
        differ("processor", &before.machine.cpu, &after.machine.cpu);
    }
    let [one, other] = [before, after].map(|report| report.machine_cpus.to_string());
    differ("number of processors", &one, &other);
    let [one, other] =
        [before, after].map(|report| report.service_cpus.as_deref().unwrap_or("all"));
    differ("share of processors for the service", one, other);
    let [one, other] = [before, after].map(|report| if report.tls { "TLS" } else { "plain TCP" });
    differ("transport", one, other);
    for (when, report) in [("before", before), ("after", after)] {
        if !report.delays_trusted {
            found.push(format!(
                "The generator was the bottleneck in the test {when}: its figures are its own."
            ));
        }
    }
    found
}

fn figures(before: &Report, after: &Report) -> Vec<Compared> {
    let mut found = Figures { before, after, all: Vec::new() };
    found.less("failures of the test", Unit::Count(""), EXACT, |r| r.failures.len() as f64);
    found.less("frames lost", Unit::Count(""), EXACT, |r| {
        (r.frames_phone_to_agent.lost() + r.frames_agent_to_phone.lost()) as f64
    });
    found.less("CPU per frame", Unit::Micros, STEADY, |r| r.service_cpu.us_per_frame);
    found.less_if_known("CPU per frame, over byte proxy", Unit::Times, STEADY, |r| {
        ratio(r, Against::Haproxy)
    });
    found.less_if_known("CPU per frame, over plain TCP", Unit::Times, STEADY, |r| {
        ratio(r, Against::Plain)
    });
    found.less("memory per call", Unit::Bytes, Noise { share: 0.05, at_least: 1_024.0 }, |r| {
        r.memory_bytes.per_call
    });
    found.less(
        "descriptors per call",
        Unit::Count(""),
        Noise { share: 0.01, at_least: 0.1 },
        |r| r.descriptors.per_call,
    );
    for (name, of) in [
        (["phone to agent, p50", "phone to agent, p99"], to_agent as fn(&Report) -> Percentiles),
        (["agent to phone, p50", "agent to phone, p99"], to_phone),
        (["initiate-call, p50", "initiate-call, p99"], initiate),
    ] {
        found.times(name[0], MEDIAN, of, |times| times.p50_us);
        found.times(name[1], TAIL, of, |times| times.p99_us);
    }
    found.less("start to ready", Unit::Micros, Noise { share: 0.25, at_least: 20_000.0 }, |r| {
        r.startup_ms * 1_000.0
    });
    found.less_if_known("database, per call", Unit::Bytes, STEADY, |r| r.database_bytes_per_call);
    found.more_if_known("campaign, dialled a second", Unit::Count(""), STEADY, |r| {
        Some(r.campaign?.dispatched_per_second)
    });
    found.more_if_known("campaign, of its limit in use", Unit::Count(""), STEADY, |r| {
        Some(r.campaign?.mean_occupancy)
    });
    found.all
}

fn ratio(report: &Report, against: Against) -> Option<f64> {
    let reference = report.reference.as_ref()?;
    (reference.against == against).then_some(reference.ratio)
}

fn to_agent(report: &Report) -> Percentiles {
    report.delay_phone_to_agent
}

fn to_phone(report: &Report) -> Percentiles {
    report.delay_agent_to_phone
}

fn initiate(report: &Report) -> Percentiles {
    report.initiate_call
}

/// Figures of two reports as they are found.
struct Figures<'a> {
    before: &'a Report,
    after: &'a Report,
    all: Vec<Compared>,
}

/// A figure that not every test has.
type Known = fn(&Report) -> Option<f64>;

impl Figures<'_> {
    /// A figure that is the better the less it is.
    fn less(&mut self, name: &'static str, unit: Unit, noise: Noise, of: fn(&Report) -> f64) {
        let (before, after) = (of(self.before), of(self.after));
        self.all.push(Compared { name, unit, before, after, change: change(before, after, noise) });
    }

    fn less_if_known(&mut self, name: &'static str, unit: Unit, noise: Noise, of: Known) {
        self.if_known(name, unit, of, |before, after| change(before, after, noise));
    }

    /// A figure that is the better the more it is.
    fn more_if_known(&mut self, name: &'static str, unit: Unit, noise: Noise, of: Known) {
        self.if_known(name, unit, of, |before, after| change(after, before, noise));
    }

    fn if_known(
        &mut self,
        name: &'static str,
        unit: Unit,
        of: Known,
        change: impl Fn(f64, f64) -> Change,
    ) {
        if let (Some(before), Some(after)) = (of(self.before), of(self.after)) {
            self.all.push(Compared { name, unit, before, after, change: change(before, after) });
        }
    }

    /// Times, if both tests measured any.
    fn times(
        &mut self,
        name: &'static str,
        noise: Noise,
        of: fn(&Report) -> Percentiles,
        value: fn(&Percentiles) -> u64,
    ) {
        let (before, after) = (of(self.before), of(self.after));
        if before.count > 0 && after.count > 0 {
            let (before, after) = (value(&before) as f64, value(&after) as f64);
            let change = change(before, after, noise);
            self.all.push(Compared { name, unit: Unit::Micros, before, after, change });
        }
    }
}

/// What became of a figure that is the better the less it is. What is no number has not changed.
fn change(before: f64, after: f64, noise: Noise) -> Change {
    let margin = (before.abs() * noise.share).max(noise.at_least);
    if after > before + margin {
        Change::Worse
    } else if after < before - margin {
        Change::Better
    } else {
        Change::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example;

    fn compared(edit: impl FnOnce(&mut Report)) -> Comparison {
        let mut after = example::report();
        edit(&mut after);
        Comparison::of(&example::report(), &after)
    }

    #[test]
    fn two_runs_of_one_build_are_the_same() {
        let comparison = compared(|after| {
            after.service_cpu.us_per_frame *= 1.04;
            after.delay_phone_to_agent.p99_us += 190;
            after.memory_bytes.per_call += 900.0;
            after.startup_ms += 15.0;
        });
        assert_eq!(comparison.verdict(), Verdict::Same);
        assert!(comparison.table().ends_with("\nthe same, within what two runs may differ"));
    }

    #[test]
    fn a_dearer_frame_is_a_regression_whatever_was_gained() {
        let comparison = compared(|after| {
            after.service_cpu.us_per_frame *= 1.06;
            after.memory_bytes.per_call *= 0.5;
        });
        assert_eq!(comparison.verdict(), Verdict::Worse);
        assert_eq!(comparison.sentence(), "worse: CPU per frame (better: memory per call)");
        let table = comparison.table();
        assert!(table.contains("9.10 µs     9.65 µs     1.06  worse"), "{table}");
    }

    #[test]
    fn what_is_less_is_better() {
        let comparison = compared(|after| after.service_cpu.us_per_frame *= 0.8);
        assert_eq!(comparison.verdict(), Verdict::Better);
        assert_eq!(comparison.sentence(), "better: CPU per frame");
    }

    #[test]
    fn a_single_lost_frame_is_no_noise() {
        let comparison = compared(|after| after.frames_agent_to_phone.in_order -= 1);
        assert_eq!(comparison.sentence(), "worse: frames lost");
    }

    #[test]
    fn a_campaign_that_dials_more_is_better() {
        let campaign = |dispatched_per_second| {
            let mut report = example::report();
            let campaign = crate::load::outcome::CampaignFigures {
                dispatched_per_second,
                ..Default::default()
            };
            report.campaign = Some(campaign);
            report
        };
        let verdict = |one, other| Comparison::of(&campaign(one), &campaign(other)).verdict();
        assert_eq!(verdict(10.0, 12.0), Verdict::Better);
        assert_eq!(verdict(12.0, 10.0), Verdict::Worse);
        assert_eq!(
            compared(|after| after.campaign = campaign(1.0).campaign).verdict(),
            Verdict::Same
        );
    }

    #[test]
    fn different_tests_are_not_compared() {
        type Edit = fn(&mut Report);
        let edits: [(Edit, &str); 7] = [
            (|after| after.scenario = "churn".into(), "scenario"),
            (|after| after.calls = 301, "number of calls"),
            (|after| after.machine.cpu = "Other".into(), "processor"),
            (|after| after.machine_cpus = 64, "number of processors"),
            (|after| after.service_cpus = None, "for the service is another: 0 before, all after"),
            (|after| after.tls = true, "transport"),
            (|after| after.delays_trusted = false, "bottleneck in the test after"),
        ];
        for (edit, why) in edits {
            let comparison = compared(|after| {
                after.service_cpu.us_per_frame *= 2.0;
                edit(after);
            });
            assert_eq!(comparison.verdict(), Verdict::NotComparable, "{why}");
            assert_eq!(comparison.obstacles.len(), 1, "{why}");
            assert!(comparison.obstacles[0].contains(why), "{:?}", comparison.obstacles);
            assert!(comparison.table().ends_with("no verdict"), "{why}");
        }
    }

    #[test]
    fn what_tls_costs_is_a_ratio_and_no_regression() {
        let comparison = Comparison::of(&example::report(), &example::over_tls());
        assert_eq!(comparison.verdict(), Verdict::NotComparable);
        let table = comparison.table();
        assert!(table.contains("9.10 µs     11.4 µs     1.25"), "{table}");
        assert!(
            table.contains("The transport is another: plain TCP before, TLS after."),
            "{table}"
        );
        assert!(!table.contains(", over"), "their references are not the same: {table}");
        let twice = Comparison::of(&example::over_tls(), &example::over_tls());
        assert_eq!(twice.verdict(), Verdict::Same);
        assert!(twice.table().contains("CPU per frame, over plain TCP"), "{}", twice.table());
    }

    #[test]
    fn what_an_older_report_does_not_say_is_taken_to_be_the_same() {
        let comparison = compared(|after| {
            after.scenario.clear();
            after.machine.cpu.clear();
            after.reference = None;
        });
        assert_eq!(comparison.verdict(), Verdict::Same);
    }

    #[test]
    fn what_is_no_number_has_not_changed() {
        let comparison = compared(|after| after.service_cpu.us_per_frame = f64::NAN);
        assert_eq!(comparison.verdict(), Verdict::Same);
        assert!(comparison.table().contains('–'));
    }
}
